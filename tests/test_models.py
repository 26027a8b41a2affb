from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from aca_node_interpreter.errors import MalformedResponseError
from aca_node_interpreter.rest.models import Execution, Image, PoolMetadata, RemoteFile, SessionInfo, Status, parse_time

LEGACY = {"$id": "1", "properties": {"$id": "2", "status": "Success", "stdout": "a", "stderr": "b", "result": "4"}}
CURRENT = {
    "id": "e",
    "status": "Succeeded",
    "result": {"stdout": "a", "stderr": "b", "executionResult": "4", "executionTimeInMilliseconds": 72},
}


def test_both_families_say_the_same() -> None:
    old, new = Execution.from_json(LEGACY), Execution.from_json(CURRENT)
    assert (old.status, old.stdout, old.stderr, old.result) == (new.status, new.stdout, new.stderr, new.result)
    assert (new.status, new.id, new.duration) == (Status.SUCCEEDED, "e", 0.072)


@pytest.mark.parametrize("value", ["4", "", 4, 4.5, True, False, [1], {"a": 1}, {"type": "other"}])
def test_values_of_any_json_type_come_through(value: Any) -> None:
    legacy = Execution.from_json({"properties": {"status": "Success", "result": value}})
    current = Execution.from_json({"status": "Succeeded", "result": {"stdout": "", "executionResult": value}})
    assert legacy.result == current.result == value


def test_a_value_of_null_is_no_value() -> None:
    assert Execution.from_json({"properties": {"status": "Success", "result": None}}).result == ""


def test_the_documented_name_of_the_older_value_is_read_too() -> None:
    assert Execution.from_json({"properties": {"status": "Success", "executionResult": "4"}}).result == "4"


@pytest.mark.parametrize("family", ["legacy", "current"])
def test_an_image_is_a_value(family: str) -> None:
    value = {"type": "image", "format": "png", "base64_data": "aGk="}
    body = (
        {"properties": {"status": "Success", "result": value}}
        if family == "legacy"
        else {"status": "Succeeded", "result": {"stdout": "", "executionResult": value}}
    )
    assert Execution.from_json(body).result == Image("png", "aGk=")


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("Success", Status.SUCCEEDED),
        ("SUCCEEDED", Status.SUCCEEDED),
        ("0", Status.SUCCEEDED),
        ("Failure", Status.FAILED),
        ("failed", Status.FAILED),
        ("1", Status.FAILED),
        ("Running", Status.RUNNING),
        ("NotStarted", Status.NOT_STARTED),
        ("Canceled", Status.CANCELED),
        ("a word of tomorrow", Status.FAILED),
    ],
)
def test_every_status_word_is_understood(word: str, status: Status) -> None:
    assert Execution.from_json({"status": word}).status is status


def test_a_status_reads_as_its_word() -> None:
    word: str = "Succeeded"
    assert word == Status.SUCCEEDED
    assert word == f"{Status.SUCCEEDED}" == str(Status.SUCCEEDED)


def test_keys_of_any_casing_and_missing_keys_are_fine() -> None:
    run = Execution.from_json({"ID": "x", "Status": "Running"})
    assert (run.id, run.status, run.stdout, run.result) == ("x", Status.RUNNING, "", "")


def test_the_error_of_an_execution_stands_in_for_a_missing_stderr() -> None:
    run = Execution.from_json({"status": "Failed", "error": {"error": {"code": "C", "message": "m"}}})
    assert run.stderr == "C: m"


@pytest.mark.parametrize("body", [None, [], "text", 4, {}, {"properties": {}}, {"properties": []}])
def test_what_is_no_execution_is_a_typed_error(body: Any) -> None:
    with pytest.raises(MalformedResponseError):
        Execution.from_json(body)


def test_a_file_is_read_in_every_shape() -> None:
    old = {
        "$id": "1",
        "value": [{"properties": {"filename": "a.txt", "size": 7, "lastModifiedTime": "2024-08-29T10:32:25Z"}}],
    }
    upload = {
        "name": "a.txt",
        "type": "",
        "contentType": "",
        "sizeInBytes": 7,
        "lastModifiedAt": "2024-08-29T10:32:25.0000000Z",
    }
    listed = {**upload, "type": "File", "directory": ".", "contentType": "text/plain"}
    files = [RemoteFile.from_json(old), RemoteFile.from_json(upload), RemoteFile.from_json(listed)]
    assert {(f.path, f.size, f.modified_at, f.is_directory) for f in files} == {
        ("a.txt", 7, datetime(2024, 8, 29, 10, 32, 25, tzinfo=timezone.utc), False)
    }


def test_directories_are_told_apart_and_paths_joined() -> None:
    body = {
        "value": [
            {"name": "b", "directory": "a", "type": "Directory"},
            {"name": "x", "directory": "a/b", "type": "File"},
        ]
    }
    folder, file = RemoteFile.list_from_json(body)
    assert (folder.is_directory, folder.path, file.is_directory, file.path) == (True, "a/b", False, "a/b/x")


def test_a_bare_list_is_a_list_too() -> None:
    assert [file.name for file in RemoteFile.list_from_json([{"name": "a"}])] == ["a"]


@pytest.mark.parametrize("body", [{}, {"value": None}, {"value": [{}]}, {"value": ["a"]}, "text"])
def test_what_is_no_listing_is_a_typed_error(body: Any) -> None:
    with pytest.raises(MalformedResponseError):
        RemoteFile.list_from_json(body)


@pytest.mark.parametrize("word", ["expireAt", "expiresAt"])
def test_a_session_is_read_in_both_spellings(word: str) -> None:
    session = SessionInfo.from_json({"identifier": "abcd", word: "2025-01-05T22:18:41.752Z"})
    assert session.expires_at == datetime(2025, 1, 5, 22, 18, 41, 752000, tzinfo=timezone.utc)
    assert "abcd" not in repr(session)


def test_metadata_is_read() -> None:
    body = {
        "runtimes": [{"name": "node", "version": "20.2.4"}],
        "preInstalledPackages": [{"name": "axios", "version": "1.21.2"}],
        "jupyterKernel": {"name": "IJavascript", "version": "5.2.1"},
    }
    assert PoolMetadata.from_json(body) == PoolMetadata({"node": "20.2.4"}, {"axios": "1.21.2"}, "IJavascript 5.2.1")


@pytest.mark.parametrize("text", ["", "yesterday", None, 4, "2024-13-40T99:00:00Z"])
def test_what_is_no_time_is_none(text: Any) -> None:
    assert parse_time(text) is None


def test_a_value_that_looks_like_a_result_is_still_a_value() -> None:
    value = {"stdout": "x", "stderr": "", "status": 0}
    run = Execution.from_json({"properties": {"status": "Success", "stdout": "REAL", "result": value}})
    assert (run.stdout, run.result) == ("REAL", value)


@pytest.mark.parametrize("status", [{}, {"status": None}, {"status": ""}])
def test_a_missing_status_loses_no_output(status: dict[str, Any]) -> None:
    run = Execution.from_json({**status, "result": {"stdout": "out"}})
    assert (run.status, run.stdout) == (Status.SUCCEEDED, "out")
    failed = Execution.from_json({**status, "error": "Execution aborted", "result": {"stdout": "out"}})
    assert (failed.status, failed.stdout, failed.stderr) == (Status.FAILED, "out", "Execution aborted")
