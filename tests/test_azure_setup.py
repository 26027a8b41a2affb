"""The Azure set-up script against a stand-in for `az` that records every call and keeps a small Azure in a file.

The stand-in refuses what the real one would: unknown options, missing ones, a pool in a group that does not exist.
"""

from __future__ import annotations

import inspect
import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.certificates import self_signed
from tests.http_server import Request, Response, serve
from tests.tunnel import tunnels_to

SCRIPT = Path(__file__).parents[1] / "samples" / "azure" / "setup.sh"
SH = shutil.which("sh")
pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or SH is None, reason="the script is for POSIX shells, and this system has none"
)

GROUP, POOL = "aca-sessions-tutorial", "code-interpreter-pool"
POOL_PATH = f"/subscriptions/0000-1111/resourceGroups/{GROUP}/providers/Microsoft.App/sessionPools/{POOL}"
ENDPOINT = f"https://eastasia.dynamicsessions.io/subscriptions/0000-1111/resourceGroups/{GROUP}/sessionPools/{POOL}"
EXPORT = f"export ACA_POOL_MANAGEMENT_ENDPOINT='{ENDPOINT}'\n"
SETTINGS = (
    *("RESOURCE_GROUP_NAME", "SESSION_POOL_LOCATION", "SESSION_POOL_NAME"),
    *("MAX_SESSIONS", "COOLDOWN_PERIOD", "EGRESS", "ASSIGNEE"),
)
OURS = {"created-by": "aca-node-interpreter"}
TOKEN = "eyJ0eXAi.the-token-nobody-may-see"

# The options of each command that the tutorial or the public reference of the Azure CLI shows; `*`: required.
OPTIONS = {
    "account get-access-token": "--resource",
    "account show": "",
    "ad signed-in-user show": "",
    "containerapp sessionpool create": "--name* --resource-group* --location --max-sessions --container-type"
    " --cooldown-period --network-status",
    "containerapp sessionpool delete": "--name* --resource-group* --yes",
    "containerapp sessionpool list": "--resource-group",
    "containerapp sessionpool show": "--name* --resource-group*",
    "extension add": "--name --upgrade --allow-preview -y",
    "group create": "--name* --location* --tags",
    "group delete": "--name* --yes",
    "group exists": "--name*",
    "group show": "--name*",
    "provider register": "--namespace* --wait",
    "provider show": "--namespace*",
    "resource list": "--resource-group",
    "role assignment create": "--role* --assignee --scope*",
    "role assignment list": "--role --assignee --scope",
}

CREATE = [
    "account show --query name --output tsv",
    "extension add --name containerapp --upgrade --allow-preview true -y --output none",
    "provider show --namespace Microsoft.App --query registrationState --output tsv",
    "provider register --namespace Microsoft.App --wait --output none",
    f"group exists --name {GROUP} --output json",
    f"group create --name {GROUP} --location eastasia --tags created-by=aca-node-interpreter --output none",
    f"containerapp sessionpool create --name {POOL} --resource-group {GROUP} --location eastasia --max-sessions 100"
    " --container-type NodeLTS --cooldown-period 300 --network-status EgressDisabled --output none",
    f"containerapp sessionpool show --name {POOL} --resource-group {GROUP} --query id --output tsv",
    f"containerapp sessionpool show --name {POOL} --resource-group {GROUP}"
    " --query properties.poolManagementEndpoint --output tsv",
    "ad signed-in-user show --query id --output tsv",
    "role assignment list --role 'Azure ContainerApps Session Executor' --assignee user-id"
    f" --scope {POOL_PATH} --query '[].id' --output tsv",
    "role assignment create --role 'Azure ContainerApps Session Executor' --assignee user-id"
    f" --scope {POOL_PATH} --output none",
    "account get-access-token --resource https://dynamicsessions.io --output none",
]
ONLY_ONCE = ("provider register", "group create", "role assignment create")

LOOK = [
    *CREATE[:2],
    f"group exists --name {GROUP} --output json",
    f"containerapp sessionpool list --resource-group {GROUP} --query \"[?name=='{POOL}'].id\" --output tsv",
    f"group show --name {GROUP} --query 'tags.\"created-by\"' --output tsv",
    f"resource list --resource-group {GROUP} --query '[].id' --output tsv",
]
DELETE_POOL = f"containerapp sessionpool delete --name {POOL} --resource-group {GROUP} --yes --output none"
DELETE_GROUP = f"group delete --name {GROUP} --yes --output none"


def stand_in(folder: Path, argv: list[str], options: dict[str, str], token: str) -> int:
    """Do what `az` would, on `azure.json`; its source is copied into the program that the tests put on PATH."""

    def refuse(status: int, message: str) -> int:
        print(f"ERROR: {message}", file=sys.stderr)
        return status

    with (folder / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps(argv) + "\n")
    azure: dict[str, Any] = json.loads((folder / "azure.json").read_text())
    first = next((at for at, word in enumerate(argv) if word.startswith("-")), len(argv))
    command, rest = " ".join(argv[:first]), argv[first:]
    given: dict[str, str] = {}
    while rest:
        name = rest.pop(0)
        given[name] = "" if name in {"--yes", "-y", "--wait", "--upgrade"} else rest.pop(0)

    if command not in options:
        return refuse(2, f"'{command}' is misspelled or not recognized by the system.")
    known = options[command].split()
    unknown = set(given) - {option.rstrip("*") for option in known} - {"--query", "--output"}
    missing = {option[:-1] for option in known if option.endswith("*")} - set(given)
    if unknown or missing:
        return refuse(2, f"unrecognized arguments: {unknown}; the following arguments are required: {missing}")
    if not azure["signed_in"]:
        return refuse(1, "Please run 'az login' to setup account.")
    if command == azure["failing"]:
        return refuse(1, "(AuthorizationFailed) The client does not have authorization to perform the action.")

    groups: dict[str, dict[str, str]] = azure["groups"]
    pools: dict[str, dict[str, str]] = azure["pools"]
    group = given.get("--resource-group", given.get("--name", "") if command.startswith("group") else "")
    if group and group not in groups and command not in {"group exists", "group create"}:
        return refuse(3, f"(ResourceGroupNotFound) Resource group '{group}' could not be found.")
    pool = given.get("--name", "")
    path = f"/subscriptions/0000-1111/resourceGroups/{group}"
    resource_id = f"{path}/providers/Microsoft.App/sessionPools/{pool}"
    assignment = [given.get("--role"), given.get("--assignee"), given.get("--scope")]
    answers: dict[str, str] = {}  # by --query
    whole = "{}"  # the answer without one
    if command == "account show":
        answers["name"] = "My subscription"
    elif command == "account get-access-token":
        whole = json.dumps({"accessToken": token, "expiresOn": "2030-01-01 00:00:00.000000"})
    elif command == "ad signed-in-user show":
        answers["id"] = "user-id"
    elif command == "provider show":
        answers["registrationState"] = azure["provider"]
    elif command == "provider register":
        azure["provider"] = "Registered"
    elif command == "group exists":
        whole = json.dumps(group in groups)
    elif command == "group create":
        # As Azure does: the tags of a group that exists are replaced.
        groups[group] = dict([given.get("--tags", "").split("=")])
    elif command == "group show":
        answers['tags."created-by"'] = groups[group].get("created-by", "")
    elif command == "group delete":
        del groups[group]
        azure["pools"] = {name: each for name, each in pools.items() if each["group"] != group}
    elif command == "resource list":
        # Azure does not keep the case of ids from one service to the next.
        answers["[].id"] = "\n".join([*(each["id"].lower() for each in pools.values()), *azure["others"]])
    elif command == "containerapp sessionpool create":
        if azure["provider"] != "Registered":
            return refuse(1, "(MissingSubscriptionRegistration) The subscription is not registered.")
        host = f"{given['--location']}.dynamicsessions.io"
        endpoint = f"https://{host}{path}/sessionPools/{pool}" if azure["has_endpoint"] else ""
        pools[pool] = {"group": group, "id": resource_id, "endpoint": azure["endpoint"] or endpoint}
    elif command == "containerapp sessionpool list":
        answers = {f"[?name=='{name}'].id": each["id"] for name, each in pools.items() if each["group"] == group}
        answers.setdefault(given.get("--query", ""), "")
    elif command.startswith("containerapp sessionpool"):
        if pool not in pools:
            return refuse(3, f"(ResourceNotFound) The resource '{pool}' was not found.")
        answers = {"id": pools[pool]["id"], "properties.poolManagementEndpoint": pools[pool]["endpoint"]}
        if command.endswith("delete"):
            del pools[pool]
    elif command == "role assignment list":
        answers["[].id"] = "assignment-id" if assignment in azure["assignments"] else ""
    elif command == "role assignment create":
        if assignment in azure["assignments"]:
            return refuse(1, "(RoleAssignmentExists) The role assignment already exists.")
        azure["assignments"].append(assignment)
    (folder / "azure.json").write_text(json.dumps(azure))

    if "--query" in given and given["--query"] not in answers:
        return refuse(2, f"the stand-in has no answer to the query {given['--query']}")
    answer = answers[given["--query"]] if "--query" in given else whole
    if answer and given.get("--output") != "none":
        print(answer)
    return 0


@dataclass
class Azure:
    """What is there before a run, what `az` was asked, and how a run is started."""

    folder: Path

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.folder / "azure.json").read_text())
        return state

    def change(self, **changes: object) -> None:
        (self.folder / "azure.json").write_text(json.dumps({**self.state, **changes}))

    def calls(self) -> list[list[str]]:
        """The calls since the last time that this was asked."""
        record = self.folder / "calls.jsonl"
        calls = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
        record.unlink(missing_ok=True)
        return calls

    def shell(self, *argv: str, answer: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
        # Nothing of the tester's own environment: a RESOURCE_GROUP_NAME there would change every call.
        env = {"PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}", **settings}
        run = subprocess.run(argv, input=answer, capture_output=True, text=True, check=False, timeout=60, env=env)
        assert TOKEN not in run.stdout + run.stderr
        return run

    def run(self, *arguments: str, answer: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
        return self.shell(str(SH), str(SCRIPT), *arguments, answer=answer, **settings)


def command(file: Path, script: str) -> None:
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


@pytest.fixture
def azure(tmp_path: Path) -> Azure:
    azure_bin = tmp_path / "bin"
    azure_bin.mkdir()
    program = tmp_path / "az.py"
    program.write_text(
        "from __future__ import annotations\nimport json, sys\nfrom pathlib import Path\n"
        + inspect.getsource(stand_in)
        + f"sys.exit(stand_in(Path({str(tmp_path)!r}), sys.argv[1:], {OPTIONS!r}, {TOKEN!r}))\n"
    )
    command(azure_bin / "az", f'exec {shlex.quote(sys.executable)} -IS {shlex.quote(str(program))} "$@"')
    nothing: dict[str, object] = {"endpoint": "", "groups": {}, "pools": {}, "others": [], "assignments": []}
    # Whoever has the real one on PATH must not ask Azure.
    asked = shlex.quote(str(tmp_path / "doctor.txt"))
    command(azure_bin / "aca-node", f'echo "$@" >{asked}; echo "what the doctor found"')
    state = {
        "endpoint": "",
        "signed_in": True,
        "provider": "NotRegistered",
        "has_endpoint": True,
        "failing": "",
        **nothing,
    }
    (tmp_path / "azure.json").write_text(json.dumps(state))
    return Azure(tmp_path)


def split(calls: list[str]) -> list[list[str]]:
    return [shlex.split(call) for call in calls]


@pytest.mark.parametrize("shell", [shell for shell in ("sh", "dash", "bash", "ksh") if shutil.which(shell)])
def test_create_makes_exactly_these_calls_and_prints_only_the_export_line(azure: Azure, shell: str) -> None:
    run = azure.shell(shell, str(SCRIPT))
    assert (run.returncode, run.stdout) == (0, EXPORT), run.stderr
    assert azure.calls() == split(CREATE)
    assert "minutes" in run.stderr
    assert "aca-node run -" in run.stderr
    assert "My subscription" in run.stderr


def test_it_ends_with_the_doctor(azure: Azure) -> None:
    run = azure.run()
    assert (azure.folder / "doctor.txt").read_text() == f"doctor --endpoint {ENDPOINT}\n"
    assert "what the doctor found" in run.stderr
    assert "does not work yet" not in run.stderr


def test_what_the_doctor_finds_does_not_stop_the_printed_line(azure: Azure) -> None:
    command(azure.folder / "bin" / "aca-node", "echo FAIL role; exit 1")
    run = azure.run()
    assert (run.returncode, run.stdout) == (0, EXPORT)
    assert "FAIL role\nIt does not work yet" in run.stderr


def test_without_the_package_it_says_how_to_look(azure: Azure) -> None:
    (azure.folder / "bin" / "aca-node").unlink()
    for tool in ("sh", "awk"):
        (azure.folder / "bin" / tool).symlink_to(str(shutil.which(tool)))
    run = azure.run(PATH=str(azure.folder / "bin"))
    assert (run.returncode, run.stdout) == (0, EXPORT)
    assert "aca-node is not on PATH: install the package" in run.stderr


@pytest.mark.parametrize("status", [200, 403])
def test_the_real_doctor_asks_the_pool_with_the_token_of_az(azure: Azure, status: int) -> None:
    def answer(request: Request) -> Response:
        execution = {"id": "e", "status": "Succeeded", "result": {"stdout": "node v20.17.0\negress off\n"}}
        return Response(status, json.dumps(execution).encode()) if request.method == "POST" else Response(204)

    certificate = self_signed(azure.folder, host=str(urlsplit(ENDPOINT).hostname))
    python = f'exec {shlex.quote(sys.executable)} -m aca_node_interpreter "$@"'
    command(azure.folder / "bin" / "aca-node", python)
    with serve(answer, certificate=certificate) as server, tunnels_to(urlsplit(server.url).port or 0) as proxy:
        # Nobody gets Azure's token on loopback itself.
        there = {"HTTPS_PROXY": proxy, "NO_PROXY": "", "SSL_CERT_FILE": str(certificate)}
        run = azure.run(**there, AZURE_TOKEN_CREDENTIALS="AzureCliCredential")
    assert (run.returncode, run.stdout) == (0, EXPORT), run.stderr
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {TOKEN}"}
    if status == 200:
        assert "code ran on Node.js 20.17.0" in run.stderr
    else:
        assert "FAIL role" in run.stderr
        assert f"--scope {POOL_PATH}\n" in run.stderr


def test_the_printed_line_sets_the_endpoint_even_with_the_oddest_legal_name(azure: Azure) -> None:
    code = f'eval "$(sh {shlex.quote(str(SCRIPT))})"; sh -c \'printf %s "$ACA_POOL_MANAGEMENT_ENDPOINT"\''
    run = azure.shell(str(SH), "-c", code, RESOURCE_GROUP_NAME="rg_(test)-1.x")
    assert run.stdout == ENDPOINT.replace(GROUP, "rg_(test)-1.x")


def test_a_second_create_changes_nothing_but_the_pools_settings(azure: Azure) -> None:
    azure.run()
    azure.calls()
    before = azure.state
    run = azure.run()
    assert (run.returncode, run.stdout) == (0, EXPORT), run.stderr
    assert azure.calls() == split([call for call in CREATE if not call.startswith(ONLY_ONCE)])
    assert azure.state == before


def test_create_leaves_the_tags_of_a_group_that_exists(azure: Azure) -> None:
    azure.change(groups={GROUP: {"team": "billing"}})
    assert azure.run().returncode == 0
    assert azure.state["groups"] == {GROUP: {"team": "billing"}}


def test_every_setting_reaches_az(azure: Azure) -> None:
    run = azure.run(
        RESOURCE_GROUP_NAME="my group",
        SESSION_POOL_LOCATION="westeurope",
        SESSION_POOL_NAME="mine",
        MAX_SESSIONS="7",
        COOLDOWN_PERIOD="600",
        EGRESS="enabled",
        ASSIGNEE="somebody",
    )
    assert run.returncode == 0, run.stderr
    calls = azure.calls()
    assert shlex.split("group create --name 'my group' --location westeurope") == calls[5][:6]
    assert calls[6] == shlex.split(
        "containerapp sessionpool create --name mine --resource-group 'my group' --location westeurope --max-sessions 7"
        " --container-type NodeLTS --cooldown-period 600 --network-status EgressEnabled --output none"
    )
    assert not [call for call in calls if call[0] == "ad"]
    (assigned,) = azure.state["assignments"]
    assert assigned[1] == "somebody"
    assert assigned[2].endswith("/resourceGroups/my group/providers/Microsoft.App/sessionPools/mine")


def test_a_wrong_egress_is_refused_before_anything_is_done(azure: Azure) -> None:
    run = azure.run(EGRESS="yes")
    assert (run.returncode, run.stdout) == (1, "")
    assert "EGRESS is 'yes'; set it to enabled or disabled" in run.stderr
    assert azure.calls() == []


@pytest.mark.parametrize("arguments", [[], ["remove", "--yes"]])
def test_not_signed_in(azure: Azure, arguments: list[str]) -> None:
    azure.change(signed_in=False)
    run = azure.run(*arguments)
    assert (run.returncode, run.stdout) == (1, "")
    assert "Run 'az login' first." in run.stderr.splitlines()[-1]
    assert azure.calls() == split(CREATE[:1])


@pytest.mark.parametrize("arguments", [[], ["remove", "--yes"]])
def test_az_missing(azure: Azure, arguments: list[str]) -> None:
    run = azure.run(*arguments, PATH=str(azure.folder / "empty"))
    assert (run.returncode, run.stdout) == (1, "")
    assert "az) is not installed: see https://learn.microsoft.com/" in run.stderr.splitlines()[-1]


@pytest.mark.parametrize("call", [*CREATE[1:7], *CREATE[9:]], ids=lambda call: call.partition(" --")[0])
def test_create_stops_at_a_failing_step_and_says_which(azure: Azure, call: str) -> None:
    azure.change(failing=call.partition(" --")[0])
    run = azure.run()
    assert (run.returncode, run.stdout) == (1, "")
    assert azure.calls() == split(CREATE[: CREATE.index(call) + 1])
    *_, announced, error, message = run.stderr.splitlines()
    assert error.startswith("ERROR: (AuthorizationFailed)")
    what = announced.removesuffix(" ...")
    hint = message.removeprefix(f"setup.sh: failed: {what}. ")
    assert hint != message
    assert len(hint) > 20


def test_a_pool_without_an_endpoint_yet(azure: Azure) -> None:
    azure.change(has_endpoint=False)
    run = azure.run()
    assert (run.returncode, run.stdout) == (1, "")
    assert "has no endpoint yet. Wait a minute" in run.stderr.splitlines()[-1]


@pytest.mark.parametrize(("arguments", "answer"), [(["remove", "--yes"], ""), (["remove"], f"{GROUP}\n")])
def test_remove_undoes_create(azure: Azure, arguments: list[str], answer: str) -> None:
    azure.run()
    azure.calls()
    run = azure.run(*arguments, answer=answer)
    assert run.returncode == 0, run.stderr
    assert azure.calls() == split([*LOOK, DELETE_POOL, DELETE_GROUP])
    assert (azure.state["groups"], azure.state["pools"]) == ({}, {})


@pytest.mark.parametrize("answer", ["", "\n", "y\n", f"{POOL}\n", f"{GROUP.upper()}\n"])
def test_remove_without_the_groups_name_removes_nothing(azure: Azure, answer: str) -> None:
    azure.run()
    azure.calls()
    before = azure.state
    run = azure.run("remove", answer=answer)
    assert run.returncode == 1
    assert f"nothing was removed: the name was not confirmed. Type {GROUP}, or pass --yes." in run.stderr
    assert azure.calls() == split(LOOK)
    assert azure.state == before


@pytest.mark.parametrize("tags", [{}, {"created-by": "somebody-else"}])
def test_remove_keeps_a_group_that_it_did_not_create(azure: Azure, tags: dict[str, str]) -> None:
    azure.change(groups={GROUP: tags})
    azure.run()
    azure.calls()
    run = azure.run("remove", "--yes")
    assert run.returncode == 0, run.stderr
    assert azure.calls() == split([*LOOK, DELETE_POOL])
    assert "stays: this script did not create it" in run.stderr
    assert (azure.state["groups"], azure.state["pools"]) == ({GROUP: tags}, {})


def test_remove_keeps_a_group_that_holds_something_else(azure: Azure) -> None:
    azure.run()
    azure.change(others=["/subscriptions/0000-1111/resourceGroups/x/providers/Microsoft.Storage/storageAccounts/data"])
    azure.calls()
    run = azure.run("remove", "--yes")
    assert run.returncode == 0, run.stderr
    assert azure.calls() == split([*LOOK, DELETE_POOL])
    assert "stays: it holds more than the pool:\n/subscriptions/" in run.stderr


def test_remove_where_there_is_no_group(azure: Azure) -> None:
    run = azure.run("remove")
    assert run.returncode == 0, run.stderr
    assert "nothing to remove" in run.stderr
    assert azure.calls() == split(LOOK[:3])


def test_remove_where_only_a_foreign_group_is_left(azure: Azure) -> None:
    azure.change(groups={GROUP: {}})
    run = azure.run("remove")
    assert run.returncode == 0, run.stderr
    assert "nothing to remove" in run.stderr
    assert azure.calls() == split(LOOK)


def test_remove_finishes_what_was_left_half_done(azure: Azure) -> None:
    azure.change(groups={GROUP: OURS})
    assert azure.run("remove", "--yes").returncode == 0
    assert azure.calls() == split([*LOOK, DELETE_GROUP])


@pytest.mark.parametrize("call", [*LOOK[1:], DELETE_POOL, DELETE_GROUP], ids=lambda call: call.partition(" --")[0])
def test_remove_stops_at_a_failing_step_and_says_which(azure: Azure, call: str) -> None:
    azure.run()
    azure.change(failing=call.partition(" --")[0])
    azure.calls()
    run = azure.run("remove", "--yes")
    calls = [*LOOK, DELETE_POOL, DELETE_GROUP]
    assert run.returncode == 1
    assert azure.calls() == split(calls[: calls.index(call) + 1])
    assert run.stderr.splitlines()[-1].startswith("setup.sh: failed: ")


def test_help_names_every_setting_and_asks_azure_nothing(azure: Azure) -> None:
    run = azure.run("--help", SESSION_POOL_NAME="mine")
    assert (run.returncode, run.stderr, azure.calls()) == (0, "", [])
    readme = SCRIPT.with_name("README.md").read_text(encoding="utf-8")
    for setting in SETTINGS:
        assert setting in run.stdout
        assert f"| `{setting}` |" in readme
    assert "mine" in run.stdout


@pytest.mark.parametrize("arguments", [["delete"], ["remove", "--force"], ["--yes"]])
def test_unknown_arguments(azure: Azure, arguments: list[str]) -> None:
    run = azure.run(*arguments)
    assert (run.returncode, run.stdout, azure.calls()) == (2, "", [])
    assert run.stderr.startswith("usage: setup.sh")


@pytest.mark.parametrize(
    ("call", "status", "says"),
    [
        ("group create --name x --location y --colour z", 2, "--colour"),
        ("group create --name x", 2, "--location"),
        ("group make --name x", 2, "not recognized"),
        ("group show --name x --query tags", 3, "ResourceGroupNotFound"),
        ("account get-access-token --resource https://dynamicsessions.io", 0, TOKEN),
    ],
)
def test_the_stand_in_is_strict_and_has_a_token_to_leak(azure: Azure, call: str, status: int, says: str) -> None:
    az = [str(azure.folder / "bin" / "az"), *call.split()]
    run = subprocess.run(az, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == status
    assert says in run.stdout + run.stderr
