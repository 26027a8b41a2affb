"""The samples as a user runs them: with a scripted model, and with the real `openai` client and a stand-in for Azure.

Only the model and Azure's identity service are stood in for. The code runs in real Node.js every time.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from aca_node_interpreter import LocalPool
from tests.images import decode_png
from tests.machine import unavailable, why_no_sandbox
from tests.openai_server import CALL_ID, CHAT, RESOURCE, TOKEN, AzureOpenAI, azure_openai, seal

SAMPLES = Path(__file__).parents[1] / "samples"
AGENTS = ["autogen_agent", "autogen_team", "autogen_tool", "langchain_agent", "openai_tools"]


def run_sample(name: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a sample with no variable about pools and models but the given ones; `clean_environment` took them away."""
    # AutoGen warns of every Azure deployment that is not called like its model.
    command = [sys.executable, "-W", "error", "-W", "ignore:Resolved model mismatch", str(SAMPLES / f"{name}.py")]
    direct = ",".join(filter(None, [os.environ.get("no_proxy", os.environ.get("NO_PROXY")), "127.0.0.1"]))
    environment = {**os.environ, "NO_PROXY": direct, "no_proxy": direct, **environment}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", timeout=100, check=False
    )


def variables(pool: LocalPool) -> dict[str, str]:
    return {"ACA_POOL_MANAGEMENT_ENDPOINT": pool.endpoint, "ACA_POOL_TOKEN": pool.token}


@pytest.fixture(scope="module")
def pool_with_egress(isolation: Any) -> Iterator[LocalPool]:
    with LocalPool(egress=True, isolation=isolation) as running:
        yield running


@pytest.fixture(params=["no variables", "a named pool"])
def offline(request: pytest.FixtureRequest, pool_with_egress: LocalPool) -> dict[str, str]:
    """What a sample without a model finds in its environment."""
    if request.param == "a named pool":
        return variables(pool_with_egress)
    if reason := why_no_sandbox():
        unavailable(f"a sample starts the embedded pool with its sandbox: {reason}")
    return {}


def output_of(name: str, folder: Path, environment: dict[str, str]) -> str:
    ended = run_sample(name, folder, environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_tutorial_makes_its_eight_requests(offline: dict[str, str], tmp_path: Path) -> None:
    steps = re.split(r"^(?=\d\. )", output_of("tutorial", tmp_path, offline), flags=re.MULTILINE)[1:]
    assert [step[:2] for step in steps] == [f"{number}." for number in range(1, 9)]
    install, packages, *short, upload = (step.strip() for step in steps)
    assert re.search(r"^added \d+ packages", install, re.MULTILINE)
    assert "── axios@" in packages
    assert short == [
        "3. Inline: inline-synchronous",
        "4. InlineText, 1+3: 4",
        "5. InlineBase64, MSsy: 3",
        "6. Write a file: File has been created and saved successfully!",
        "7. Download it: Hello, this is a sample content!",
    ]
    size = (SAMPLES / "tutorial.py").stat().st_size
    assert upload.startswith(f"8. Upload a file: tutorial.py, {size} bytes, beside [")
    assert {"'example.txt'", "'node_modules'", "'tutorial.py'"} <= set(re.findall(r"'[^']+'", upload))


def test_the_autogen_agent_counts_primes(offline: dict[str, str], pool: LocalPool, tmp_path: Path) -> None:
    composite = bytearray(1_000_000)
    for n in range(2, 1000):
        composite[n * n :: n] = b"\1" * len(composite[n * n :: n])
    primes = composite[2:].count(0)
    output = output_of("autogen_agent", tmp_path, offline)
    code, execution, answer = output.split("----------\n")[2:]
    assert "```javascript" in code
    assert execution.startswith(f"Node.js v{pool.node_version} counted {primes} primes.\n")
    assert f"{primes:,} primes" in answer


def test_the_autogen_team_repairs_its_own_error(pool: LocalPool, tmp_path: Path) -> None:
    output = output_of("autogen_team", tmp_path, variables(pool))
    turns = re.split(r"^-+ TextMessage \((\w+)\) -+$", output, flags=re.MULTILINE)
    assert turns[1::2] == ["user", "coder", "runner", "coder", "runner", "coder"]
    _, broken, error, repaired, result, answer = turns[2::2]
    assert "signs.map" in broken
    assert "TypeError: signs.map is not a function\n  line 2: " in error
    assert "Object.entries(signs).map" in repaired
    assert result.strip() == "MCMLXXXIV MMXXVIII"
    assert "1984 is MCMLXXXIV and 2028 is MMXXVIII" in answer


def test_the_autogen_assistant_calls_the_tool_twice(pool: LocalPool, tmp_path: Path) -> None:
    output = output_of("autogen_tool", tmp_path, variables(pool))
    assert output.count("ToolCallExecutionEvent (assistant)") == 2
    assert "€12,34,567.80" in output
    assert "[ 14, 13, 13 ]" in output
    assert output.strip().endswith("14, 13 and 13 signs.")


def test_the_langchain_agent_brings_back_a_chart(offline: dict[str, str], tmp_path: Path) -> None:
    totals: Counter[str] = Counter()
    (sales,) = re.findall(r"^SALES = (.+)$", (SAMPLES / "langchain_agent.py").read_text(), re.MULTILINE)
    for line in ast.literal_eval(sales).decode().splitlines()[1:]:
        region, amount = line.split(",")
        totals[region] += int(amount)
    output = output_of("langchain_agent", tmp_path, offline)
    value = ", ".join(f"{region}: {total}" for region, total in totals.items())
    assert f"\n=> {{ {value} }}\nFiles saved:\n- sales.png (" in output
    assert f"saved as {Path('results', 'sales.png')}\n" in output
    width, height, colors = decode_png((tmp_path / "results" / "sales.png").read_bytes())
    assert (width, height) == (1280, 720)
    assert colors > 100
    ((best, most),) = totals.most_common(1)
    assert f"The {best} sold most, {most}." in output.splitlines()[-1]


def test_the_langgraph_users_do_not_see_each_others_variables(pool: LocalPool, tmp_path: Path) -> None:
    ended = run_sample("langgraph_users", tmp_path, variables(pool))
    assert ended.stdout.splitlines() == [
        "ada: My budget is 1200: keep it in a variable.",
        "  Noted.",
        "grace: Is there a variable called budget?",
        "  Node.js says => 'undefined'",
        "ada: I spent 375. What is left?",
        "  Node.js says => 825",
        "ada: Is my budget still there?",
        "  Node.js says => 'undefined'",
    ]
    assert "checkpoint" not in ended.stderr


def test_the_openai_client_finds_fridays(offline: dict[str, str], tmp_path: Path) -> None:
    fridays = [day for month in range(1, 13) if (day := date(2028, month, 13)).weekday() == 4]
    result, answer = output_of("openai_tools", tmp_path, offline).splitlines()
    assert result == f"=> {[f'{day:%Y-%m}' for day in fridays]}".replace("[", "[ ").replace("]", " ]")
    assert answer == f"{' and '.join(f'{day:%B}' for day in fridays)} is the only one."


@pytest.mark.parametrize("name", AGENTS)
def test_with_azure_openai_what_node_computed_reaches_the_model(
    name: str, pool_with_egress: LocalPool, tmp_path: Path
) -> None:
    with azure_openai(pool_with_egress.node_version) as azure:
        output = output_of(name, tmp_path, azure.environment | variables(pool_with_egress))
    assert azure.refusals == []
    assert azure.answer
    assert azure.answer in output
    assert azure.openai_versions == {openai.__version__}
    assert azure.tokens_given == 1  # then it comes from the cache
    assert azure.token not in output


@pytest.mark.parametrize("name", ["autogen_agent", "langchain_agent", "openai_tools"])
def test_with_azure_openai_another_result_fails_the_sample(
    name: str, pool_with_egress: LocalPool, tmp_path: Path
) -> None:
    node_version = pool_with_egress.node_version
    with azure_openai(node_version, expected=seal("another nonce", node_version)) as azure:
        ended = run_sample(name, tmp_path, azure.environment | variables(pool_with_egress))
    assert azure.refusals == ["the tool result lacks what Node.js would have computed"]
    assert azure.answer == ""
    assert ended.returncode == 1
    assert azure.refusals[0] in ended.stderr


CODE_SENT = {"role": "assistant", "content": "```javascript\n…```"}
TOOL_CALLED = {"role": "assistant", "tool_calls": [{"id": CALL_ID}]}


@pytest.fixture
def azure() -> Iterator[AzureOpenAI]:
    with azure_openai("24.0.0") as running:
        yield running


@pytest.mark.parametrize(
    ("messages", "refusal"),
    [
        ([CODE_SENT], "no message after the code"),
        ([CODE_SENT, {"role": "user", "content": "It printed 42."}], "lacks what Node.js would have computed"),
        ([CODE_SENT, {"role": "user", "content": "{code}"}], "lacks what Node.js would have computed"),
        ([TOOL_CALLED, {"role": "user", "content": "{seal}"}], "without its tool message"),
        ([TOOL_CALLED, {"role": "tool", "tool_call_id": "x", "content": "{seal}"}], "unknown tool call"),
        ([TOOL_CALLED, {"role": "tool", "tool_call_id": CALL_ID, "content": ""}], "lacks what Node.js would"),
        ([{"role": "user", "content": "{seal}"}, CODE_SENT], "no message after the code"),
    ],
)
def test_the_stand_in_takes_only_the_result_in_its_place(
    messages: list[dict[str, Any]], refusal: str, azure: AzureOpenAI
) -> None:
    filled = [dict(message) for message in messages]
    for message in filled:
        if "content" in message:
            message["content"] = message["content"].replace("{seal}", azure.expected).replace("{code}", azure.code)
    answer = _ask(azure, {"messages": filled}, azure.token)
    assert answer.status_code == 400
    assert refusal in answer.json()["error"]["message"]
    assert azure.expected not in azure.code


def test_the_stand_in_wants_the_token_it_gave(azure: AzureOpenAI) -> None:
    assert _ask(azure, {"messages": []}, "another").status_code == 401


@pytest.mark.parametrize(("header", "resource", "status"), [(False, RESOURCE, 401), (True, "https://else", 400)])
def test_the_stand_in_gives_no_token_to_just_anyone(
    header: bool, resource: str, status: int, azure: AzureOpenAI
) -> None:
    headers = {"X-IDENTITY-HEADER": azure.identity_header} if header else {}
    answer = httpx.get(azure.url + TOKEN, params={"resource": resource}, headers=headers, trust_env=False)
    assert answer.status_code == status
    assert azure.token not in answer.text


def _ask(azure: AzureOpenAI, body: dict[str, Any], token: str) -> httpx.Response:
    url = f"{azure.url}{CHAT}?api-version=2024-10-21"
    return httpx.post(url, json=body, headers={"Authorization": f"Bearer {token}"}, trust_env=False)
