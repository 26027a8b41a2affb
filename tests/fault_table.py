"""Every failure of a call, and what the caller gets: the first table of `aca_node_interpreter/ERRORS.md`, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from aca_node_interpreter import errors
from tests.fault_meetings import (
    Meeting,
    answering,
    broken_after,
    clock_ahead,
    failing,
    informing,
    no_answer_to_connecting,
    nobody,
    proxy_saying,
    scripted,
    speaking_tls,
    talking,
    tokens,
    unknown_host,
)
from tests.http_server import Response

Kind = Literal["question", "upload", "download", "run"]


@dataclass(frozen=True)
class Row:
    """A failure, and what comes of each kind of call."""

    name: str
    meeting: Meeting
    error: type[errors.AcaNodeError] | None
    """`None`: it works in the end."""
    says: str = ""
    question: int = 0
    """How often a question or an upload is sent again."""
    download: int | None = None
    """How often a download is; as a question where it is not named."""
    run: int = 0
    ran: bool | None = False
    """What the error of a run tells."""
    kinds: tuple[Kind, ...] = ("question", "upload", "download", "run")
    pauses: tuple[float, ...] = (0.2, 1.0)
    """Seconds before it is sent again; none where that is done with a new token."""
    wait: float | None = None
    """Seconds that the service may take, instead of a minute and more."""
    deadline: float | None = None
    """Seconds that all of it may take."""
    size: int = 10
    """Bytes of what is sent."""

    def again(self, kind: Kind) -> int:
        """Tell how often this kind of call is sent again."""
        if kind == "run":
            return self.run
        return self.download if kind == "download" and self.download is not None else self.question


PAGE = b"<!DOCTYPE html><html><title>Sign in to this network</title></html>"
FULL = b'{"code":"SessionsCountExceedsLimit","message":"There are already 5 active sessions."}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
UNREACHABLE = errors.ServiceUnreachableError
WITH_JSON: tuple[Kind, ...] = ("question", "upload", "run")
BREAKS: dict[str, Any] = {
    "error": UNREACHABLE,
    "says": "check the endpoint and the network",
    "question": 2,
    "ran": None,
}
NOWHERE: dict[str, Any] = {"error": UNREACHABLE, "question": 2, "run": 2}
PASSING: dict[str, Any] = {"error": errors.ServiceError, "says": "try again later", "question": 2, "ran": None}
SILENT: dict[str, Any] = {
    "error": errors.ResponseTimeoutError,
    "says": "Try again later",
    "ran": None,
    "wait": 0.2,
}
STRANGE: dict[str, Any] = {"error": errors.MalformedResponseError, "ran": None}
SLOW: dict[str, Any] = {"error": errors.DeadlineExceededError, "says": "raise `deadline`", "ran": None, "deadline": 0.5}

ROWS = [
    # No connection: nothing was sent.
    Row("the host has no address (DNS)", unknown_host, says="its host name is not known", **NOWHERE),
    Row("nobody listens", nobody, says="nothing answers there", **NOWHERE),
    Row("connecting gets no answer for 10 s", no_answer_to_connecting, says="nothing answers there", **NOWHERE),
    Row(
        "the proxy wants a password (407)",
        proxy_saying(b"407 Proxy Authentication Required"),
        says="HTTPS_PROXY",
        **NOWHERE,
    ),
    Row("the proxy can't reach the pool (502)", proxy_saying(b"502 Bad Gateway"), says="HTTPS_PROXY", **NOWHERE),
    Row("certificate: nobody known signed it", speaking_tls(is_trusted=False), UNREACHABLE, "SSL_CERT_FILE"),
    Row("certificate: of another host", speaking_tls(host="localhost"), UNREACHABLE, "this is not the pool"),
    Row("certificate: expired", speaking_tls(days_old=60), UNREACHABLE, "Set this machine's clock"),
    Row(
        "no TLS behind `https`",
        talking(lambda c: c.say(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "https"),
        UNREACHABLE,
        "does not speak TLS",
    ),
    # The connection breaks.
    Row("reset before the request is read", broken_after(b"", reads="a byte"), **BREAKS),
    Row(
        "reset within the request's body",
        broken_after(b"", reads="the head"),
        size=3_000_000,
        kinds=("upload", "run"),
        **BREAKS,
    ),
    Row("reset before the answer", broken_after(b""), **BREAKS),
    Row("reset within the answer's head", broken_after(HEAD + b"Content-Le"), **BREAKS),
    Row("reset within the answer's body", broken_after(HEAD + b'Content-Length: 1000\r\n\r\n{"value"'), **BREAKS),
    Row("reset within a chunk", broken_after(HEAD + b'Transfer-Encoding: chunked\r\n\r\nff\r\n{"value"'), **BREAKS),
    Row("what answers is not HTTP", broken_after(b"SSH-2.0-OpenSSH_9.6\r\n"), **BREAKS),
    # The answer does not come, or not to its end.
    Row("no answer in time", broken_after(b"", stalls=True), **SILENT),
    Row("the answer's head stops coming", broken_after(HEAD, stalls=True), **SILENT),
    Row(
        "the answer's body stops coming",
        broken_after(HEAD + b'Content-Length: 99\r\n\r\n{"value"', stalls=True),
        download=1,
        **SILENT,
    ),
    Row("the answer drips until the deadline", scripted(lambda _: Response(200, b" " * 1000, pause=0.02)), **SLOW),
    # An answer that is none.
    Row(
        "a web page with 200 (a network's sign-in)",
        answering(200, PAGE, Content_Type="text/html"),
        says="a network that asks you to sign in",
        **STRANGE,
    ),
    Row("half of the JSON", answering(200, b'{"value":[{"na'), says="Check both", kinds=WITH_JSON, **STRANGE),
    Row("an empty body", answering(200), says="Check both", kinds=WITH_JSON, **STRANGE),
    Row(
        "JSON of another shape",
        answering(200, b'{"a":1}'),
        says="Check the endpoint and the api-version",
        kinds=WITH_JSON,
        **STRANGE,
    ),
    Row(
        "a compression that nobody asked for",
        answering(200, b"{}", Content_Encoding="br"),
        says="check the endpoint and the proxy",
        **STRANGE,
    ),
    Row("a redirection", answering(302, Location="https://example.org/"), errors.ServiceError, "Check the endpoint"),
    Row("100 or 103 before the answer", talking(informing), None),
    # Who is calling.
    Row("401, and the credential has a new token", tokens(), None, question=1, run=1, pauses=()),
    Row(
        "401 to every token of the credential",
        tokens(good_ones=False),
        errors.AuthenticationError,
        "az login",
        question=1,
        run=1,
        pauses=(),
    ),
    Row(
        "401 to a ready token",
        answering(401, failing("Unauthorized")),
        errors.AuthenticationError,
        "pass the token that it printed",
    ),
    Row(
        "401 without a word (also: unknown api-version)",
        answering(401),
        errors.AuthenticationError,
        "an api-version that the service knows",
    ),
    Row("clock behind: the service finds the token expired", tokens(lifetime=9000), None, question=1, run=1, pauses=()),
    Row("clock ahead: the token looks expired here", clock_ahead, None),
    Row(
        "403: the role is missing",
        answering(403, failing("Forbidden")),
        errors.PermissionDeniedError,
        "Azure ContainerApps Session Executor",
    ),
    # What the service refuses.
    Row(
        "400",
        answering(400, failing("SessionRequestValidationFailed")),
        errors.InvalidRequestError,
        "change what was passed",
    ),
    Row("404", answering(404, failing("FileNotFound")), errors.NotFoundError, "list what is there"),
    Row("409", answering(409, failing("Conflict")), errors.InvalidRequestError, "try again"),
    Row("413", answering(413, failing("PayloadTooLarge")), errors.PayloadTooLargeError, "split or compress it"),
    Row("429: the pool is full", answering(429, FULL), errors.PoolFullError, "delete sessions that are done"),
    Row(
        "429 with `Retry-After`",
        answering(429, FULL, Retry_After="7"),
        errors.PoolFullError,
        "delete sessions that are done",
    ),
    Row(
        "404 `SessionsCountExceedsLimit`: full, as documented",
        answering(404, failing("SessionsCountExceedsLimit")),
        errors.PoolFullError,
        "delete sessions that are done",
    ),
    # What goes wrong there.
    Row("500", answering(500, failing("InternalServerError")), **PASSING),
    Row("502", answering(502, b"<html>Bad Gateway</html>"), **PASSING),
    Row("503", answering(503), **PASSING),
    Row("503 with `Retry-After` of up to 10 s", answering(503, Retry_After="3"), pauses=(3.0, 3.0), **PASSING),
    Row("503 with a longer `Retry-After`", answering(503, Retry_After="60"), **{**PASSING, "question": 0}),
    Row("504", answering(504), **PASSING),
]
