"""What schemathesis checks beyond its own checks; loaded by its process, started by test_contract.py."""

from __future__ import annotations

from typing import Any

import schemathesis

# The description says `string` or `integer`; the documentation says which: names of files and folders, a code that is
# there, positive limits, and calls that only pools of another kind have.
REFUSALS = {
    "POST /executions": {"SessionPropertiesMissing", "SessionRequestValidationFailed"},
    "POST /.management/stopSession": {"SessionRequestNotSupported"},
    "GET /listSessions": {"SessionRequestValidationFailed"},
    "GET /files": {"FilePathInvalid"},
    "POST /files": {"FilePathInvalid", "FileNameInvalid"},
    "GET /files/{name}": {"FilePathInvalid", "FileNameInvalid"},
    "DELETE /files/{name}": {"FilePathInvalid", "FileNameInvalid"},
    "GET /files/{name}/content": {"FilePathInvalid", "FileNameInvalid"},
}


@schemathesis.check
def valid_requests_are_refused_for_documented_reasons(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """A request that fits the description may be refused only by a rule that it leaves out."""
    meta = case.meta
    if response.status_code != 400 or meta is None or not meta.generation.mode.is_positive:
        return
    code = response.json()["error"]["code"]
    if case.operation.label == "GET /listSessions":
        assert int(case.query["skip"]) < 0
    assert code in REFUSALS.get(case.operation.label, ()), f"{case.operation.label}: {code}"


@schemathesis.check
def every_body_is_typed(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """What has a body says what it is; what has none does not."""
    kind = response.headers.get("content-type", [""])[0].partition(";")[0]
    if response.status_code == 204:
        assert not response.content
        assert not kind
    elif response.content and response.status_code != 200:
        assert kind in ("application/json", "application/problem+json")
        assert isinstance(response.json(), dict)
