"""The published description of the API as a contract: schemathesis asks the pool whatever it allows and forbids.

No operation and no check is left out. The description is read in the form of OpenAPI 3, which can say two things that
Swagger 2.0 can't and that were captured from live pools: that an answer has no body (204; 401 for a wrong token), and
that it has a form of its own (JSON that can't be read). Beyond that, in memory only: the endpoint is the pool's; who
may ask is told by a header instead of OAuth, so that schemathesis can leave it out and see whether that is noticed; and
`timeoutInSeconds` may be missing, as on live pools.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aca_node_interpreter.local import LocalPool
from tests.local.remote import NEWEST, Remote, http_client
from tests.machine import unavailable

DESCRIPTION = Path(__file__).parents[2].parent / "shared" / "reference" / "DynamicSessions-2025-10-02-preview.json"
OPERATIONS = 12


def schema_of(described: dict[str, Any]) -> dict[str, Any]:
    if described.get("type") == "file":
        return {"type": "string", "format": "binary"}
    return {key: value for key, value in described.items() if key in _SCHEMA_KEYS}


_SCHEMA_KEYS = {"$ref", "type", "format", "minLength", "maxLength", "pattern", "enum", "items"}


def modern_operation(operation: dict[str, Any], parameters: dict[str, Any], produces: list[str]) -> dict[str, Any]:
    modern: dict[str, Any] = {"operationId": operation["operationId"], "parameters": [], "responses": {}}
    for given in operation["parameters"]:
        parameter = parameters[given["$ref"].rpartition("/")[2]] if "$ref" in given else given
        if parameter["in"] == "body":
            content = {"application/json": {"schema": parameter["schema"]}}
            modern["requestBody"] = {"required": parameter["required"], "content": content}
        elif parameter["in"] == "formData":
            form = {"type": "object", "required": ["file"], "properties": {parameter["name"]: schema_of(parameter)}}
            modern["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": form}}}
        else:
            kept = {key: parameter[key] for key in ("name", "in", "required")}
            modern["parameters"].append({**kept, "schema": schema_of(parameter)})
    for status, response in operation["responses"].items():
        answer: dict[str, Any] = {"description": response["description"]}
        answer["headers"] = {
            name: {"schema": schema_of(header)} for name, header in response.get("headers", {}).items()
        }
        if "schema" in response:
            kinds = ["application/json"] if status == "default" else operation.get("produces", produces)[:1]
            answer["content"] = {kind: {"schema": schema_of(response["schema"])} for kind in kinds}
        modern["responses"][status] = answer
    return modern


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    """The description in its modern form."""
    if not DESCRIPTION.exists():
        unavailable("the API's description is not part of the project, and is not on this machine")
    text = DESCRIPTION.read_text("utf-8").replace("#/definitions/", "#/components/schemas/")
    described: dict[str, Any] = json.loads(text)
    paths = {
        path: {
            method: modern_operation(operation, described["parameters"], described["produces"])
            for method, operation in operations.items()
        }
        for path, operations in described["paths"].items()
    }
    for operations in paths.values():
        for operation in operations.values():
            operation["responses"]["401"] = {"description": "no token, a wrong one, or an unknown api-version"}
    responses = paths["/executions"]["post"]["responses"]
    problem = {"schema": {"type": "object", "required": ["type", "title", "status", "errors", "traceId"]}}
    responses["400"] = {
        **responses["default"],
        "content": {**responses["default"]["content"], "application/problem+json": problem},
    }
    execution = described["definitions"]["SessionCodeExecutionRequest"]
    # Live pools run code without a `timeoutInSeconds`.
    assert execution.pop("required") == ["timeoutInSeconds"]
    # Without examples every request of the systematic part has an empty code, and is refused for that.
    fields = execution["properties"]
    fields["code"]["example"], fields["timeoutInSeconds"]["example"] = "1 + 1", 30
    fields["codeInputType"] = {**described["definitions"]["CodeInputType"], "example": "Inline"}
    return {
        "openapi": "3.0.3",
        "info": described["info"],
        "security": [{"token": []}],
        "components": {
            "schemas": described["definitions"],
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "Authorization"}},
        },
        "paths": paths,
    }


@pytest.fixture
def contract_pool(isolation: Any) -> Iterator[LocalPool]:
    """A pool with room for a session for each identifier that is made up."""
    with LocalPool(isolation=isolation, max_sessions=10_000, ready_sessions=0, cooldown=5) as pool:
        yield pool


def check(pool: LocalPool, description: dict[str, Any], folder: Path, *, examples: int) -> None:
    """Let schemathesis ask the pool, in a process of its own, and expect that it finds nothing."""
    with http_client(pool) as http:
        known = Remote(http, "contract")
        known.upload("known.txt", b"content")
        body = {"code": "1", "timeoutInSeconds": 9}
        known.call("POST", "/executions", version=NEWEST, json=body, headers={"operation-id": "known-run"})
    (folder / "description.json").write_text(json.dumps(description))
    (folder / "schemathesis.toml").write_text(CONFIGURATION)
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run"]
    command += ["description.json", "--url", pool.endpoint, "--header", f"Authorization: Bearer {pool.token}"]
    command += ["--checks", "all", "--mode", "all", "--max-examples", str(examples), "--no-color"]
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "SCHEMATHESIS_HOOKS": "tests.local.contract_hooks"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout[done.stdout.index("= SUMMARY =") :])
    assert f"Selected: {OPERATIONS}/{OPERATIONS}\n  Tested: {OPERATIONS}\n" in done.stdout


CONFIGURATION = f"""
seed = 1

[dictionaries]
identifiers.values = ["contract"]
names.values = ["known.txt"]
executions.values = ["known-run"]
codes.values = ["1 + 1", "console.log('printed')", "throw new Error('failed')", "$$.png('aGk=')", "process.exit()"]
seconds.values = [30]

# Requests shall get further than to a name that does not exist. One session: schemathesis takes a file of the same name
# in another one for a file that was deleted.
[parameters]
"query.api-version" = "{NEWEST}"
"query.identifier" = {{ dictionary = "identifiers", probability = 1 }}
"path.name" = {{ dictionary = "names", probability = 0.5 }}
"path.executionId" = {{ dictionary = "executions", probability = 0.5 }}
"body.code" = {{ dictionary = "codes", probability = 0.7 }}
"body.timeoutInSeconds" = {{ dictionary = "seconds", probability = 0.7 }}

# The rest are refused for reasons that the description leaves out; contract_hooks.py says for which.
[[operations]]
include-path = ["/executions", "/files", "/files/{{name}}", "/files/{{name}}/content", "/listSessions"]
checks.positive_data_acceptance.expected-statuses = [200, 204, 400, 404]

# Only pools of custom containers have it.
[[operations]]
include-path = "/.management/stopSession"
checks.positive_data_acceptance.expected-statuses = [400]
"""


def test_the_pool_keeps_to_the_published_description(
    contract_pool: LocalPool, description: dict[str, Any], tmp_path: Path
) -> None:
    check(contract_pool, description, tmp_path, examples=20)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_it_does_for_many_requests(contract_pool: LocalPool, description: dict[str, Any], tmp_path: Path) -> None:
    check(contract_pool, description, tmp_path, examples=400)
