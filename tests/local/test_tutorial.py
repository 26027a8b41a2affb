"""The eight requests of the tutorial, as `curl` sends them, to the embedded kernel and to genuine nel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.engine import Engine
from tests.local.remote import Remote, http_client

PREFIX = "/subscriptions/sub/resourceGroups/group/sessionPools/pool"
NPM = """console.time("time taken");
var result3 = require("child_process").spawnSync("npm", %s, { encoding: "utf-8" });
console.timeEnd("time taken");
if (result3.error) {
console.error(`Error: ${result3.error.message}`);
process.exit(1);
}
if (result3.status !== 0) {
console.error(`stderr: ${result3.stderr}`);
process.exit(result3.status);
}
console.log(`stdout: ${result3.stdout}`);
"""
WRITE = """$$.async(); var fs2 = require("fs");
var path2 = require("path");

// Define the file path and content
var filePath2 = path.join("/mnt/data", "example.txt");
var fileContent2 = "Hello, this is a sample content!";

// Write the file
fs2.writeFile(filePath2, fileContent2, (err) => {
if (err) {
console.log(`Error file creation  ${err.message}`);
return console.error(`A problem occurred while writing the file: ${err.message}`);
}
console.log("File has been created and saved successfully!");
});
 setTimeout($$.done, 500)"""


@pytest.fixture(scope="module")
def pool(engine: Engine) -> Engine:
    """Each kernel in turn."""
    return engine


@pytest.fixture(scope="module")
def http(pool: Engine) -> Iterator[httpx.Client]:
    """An HTTP client that knows this pool's token."""
    with http_client(pool) as http:
        yield http


def execute(pool: Engine, remote: Remote, code: str, kind: str = "inline") -> dict[str, Any]:
    # Two spaces after Bearer, as in the tutorial, and no api-version.
    properties = {
        "identifier": remote.identifier,
        "codeInputType": kind,
        "executionType": "synchronous",
        "code": code,
        "timeoutInSeconds": 100,
    }
    answer = httpx.post(
        f"{pool.endpoint}{PREFIX}/code/execute?identifier={remote.identifier}",
        headers={"Content-Type": "application/json", "Authorization": f"Bearer  {pool.token}"},
        json={"properties": properties},
        timeout=100,
    )
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert list(body) == ["$id", "properties"]
    result: dict[str, Any] = body["properties"]
    assert list(result) == ["$id", "status", "stdout", "stderr", "result", "executionTimeInMilliseconds"]
    return result


@pytest.mark.parametrize(
    ("kind", "code", "stdout", "value"),
    [
        ("inline", 'console.log("inline-synchronous")', "inline-synchronous\n", ""),
        ("inlinetext", "1+3", "", "4"),
        ("InlineBase64", "MSsy", "", "3"),
    ],
)
def test_code_types(pool: Engine, remote: Remote, kind: str, code: str, stdout: str, value: str) -> None:
    result = execute(pool, remote, code, kind)
    assert (result["status"], result["stdout"], result["stderr"], result["result"]) == ("Success", stdout, "", value)


def test_npm_list_prints_the_packages(pool: Engine, remote: Remote) -> None:
    result = execute(pool, remote, NPM % '["list"]')
    assert result["status"] == "Success", result
    assert "time taken: " in result["stdout"]
    assert "(empty)" in result["stdout"]


def test_npm_install_without_egress_fails_as_the_code_words_it(
    pool: Engine, remote: Remote, needs_bubblewrap: None
) -> None:
    result = execute(pool, remote, NPM % '["install","axios"]')
    assert result["status"] == "Failure"
    assert "stderr: npm error" in result["stderr"]
    # The tutorial's code calls process.exit() then.
    assert result["stderr"].endswith("Request timed out waiting for code execution to complete")


def test_a_file_written_by_code_is_downloaded(pool: Engine, remote: Remote) -> None:
    result = execute(pool, remote, WRITE)
    assert result["stdout"] == "File has been created and saved successfully!\n"
    answer = remote.call("GET", f"{PREFIX}/files/content/example.txt")
    assert answer.content == b"Hello, this is a sample content!"
    assert answer.headers["content-type"] == "application/octet-stream"


def test_an_upload_reaches_the_code(pool: Engine, remote: Remote) -> None:
    answer = remote.call("POST", f"{PREFIX}/files/upload", files={"file": ("sample.jpeg", b"\xff\xd8picture")})
    assert answer.status_code == 200
    assert answer.json()["value"][0]["properties"]["filename"] == "sample.jpeg"
    assert remote.value("fs.readFileSync('/mnt/data/sample.jpeg').length") == "9"
