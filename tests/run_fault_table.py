"""What becomes of a run, and of its files, when its requests fail: the second table in `ERRORS.md`, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aca_node_interpreter import errors
from tests.fault_meetings import failing
from tests.fault_proxy import Fault
from tests.fault_table import FULL, PAGE
from tests.faults import (
    Answer,
    AnswerWith,
    CutReply,
    CutStreams,
    ForwardThenAnswer,
    Garble,
    LoseLastLine,
    Recycle,
    RefuseNext,
    ResetBeforeForward,
    ResetBeforeReply,
    ResetDuringRequest,
)

Ways = tuple[tuple[Fault, ...], ...]

FOR_GOOD = 40
"""More requests than are made."""


@dataclass(frozen=True)
class RunRow:
    """What happens to the requests of a run, and what the caller gets."""

    name: str
    ways: Ways
    """Each of them is what happens to the next requests of the kind, in turn."""
    error: type[errors.AcaNodeError] | None = None
    says: str = ""
    """In the error, or in the result's problems."""
    ran: bool | None = False
    """What the error tells."""
    runs: int = 1
    """How often the code ran."""
    files: Literal["now", "with the next run", "none"] = "now"
    """When the file that it made arrives."""
    kind: Literal["execution", "download"] = "execution"


def once(*faults: Fault) -> Ways:
    """Return ways of one fault each."""
    return tuple((fault,) for fault in faults)


def refusal(status: int, code: str) -> Ways:
    return once(AnswerWith(status, failing(code)))


RUN_ROWS = [
    RunRow("no connection for a moment", once(RefuseNext(0.5, ResetBeforeForward()))),
    RunRow(
        "the connection breaks, before or after the code ran",
        once(
            ResetBeforeForward(),
            ResetDuringRequest(100),
            ResetBeforeReply(),
            CutReply(10),
            CutReply(-30),
            CutReply(-30, "chunks"),
        ),
    ),
    RunRow(
        "500, 502, 503 or 504, before or after the code ran",
        once(
            AnswerWith(500, failing("InternalServerError")),
            AnswerWith(500, failing("InternalServerError"), reached=True),
            Answer(502),
            ForwardThenAnswer(502),
            Answer(503),
            ForwardThenAnswer(504),
        ),
    ),
    RunRow(
        "an answer that is none: a web page, half of the JSON, nothing, another shape",
        once(
            AnswerWith(200, PAGE, media_type="text/html"),
            AnswerWith(200, PAGE, media_type="text/html", reached=True),
            CutReply(-30, "none"),
            AnswerWith(200, reached=True),
            AnswerWith(200, b'{"a":1}', reached=True),
        ),
    ),
    RunRow("the output is cut, or its end is lost", once(CutStreams(20), LoseLastLine())),
    RunRow("429: the pool is full for a moment", once(AnswerWith(429, FULL))),
    RunRow("401, and the credential has a new token", once(AnswerWith(401))),
    RunRow(
        "401 to every token",
        ((AnswerWith(401), AnswerWith(401)),),
        errors.AuthenticationError,
        "az login",
        runs=0,
        files="none",
    ),
    RunRow("403", refusal(403, "Forbidden"), errors.PermissionDeniedError, "Session Executor", runs=0, files="none"),
    RunRow("400", refusal(400, "Invalid"), errors.InvalidRequestError, "change what was passed", runs=0, files="none"),
    RunRow("404", refusal(404, "NoSession"), errors.NotFoundError, "list what is there", runs=0, files="none"),
    RunRow("409", refusal(409, "Conflict"), errors.InvalidRequestError, "try again", runs=0, files="none"),
    RunRow("413", refusal(413, "TooLarge"), errors.PayloadTooLargeError, "split or compress it", runs=0, files="none"),
    RunRow("a redirection", once(AnswerWith(302)), errors.ServiceError, "Check the endpoint", runs=0, files="none"),
    RunRow(
        "no answer any more once the code was sent",
        ((ResetBeforeReply(),) * FOR_GOOD,),
        errors.ServiceUnreachableError,
        "Check what it did before you send it again",
        ran=None,
        files="with the next run",
    ),
    RunRow(
        "the answer is lost, and then the token is refused",
        ((ResetBeforeReply(), AnswerWith(401), AnswerWith(401)),),
        errors.ServiceUnreachableError,
        "Check what it did before you send it again",
        ran=None,
        files="with the next run",
    ),
    RunRow(
        "the session ends, and the answer is lost",
        once(Recycle(ResetBeforeReply())),
        errors.SessionLostError,
        "check what it may have done",
        ran=None,
        runs=0,
        files="none",
    ),
    RunRow(
        "a download breaks",
        once(
            ResetBeforeForward(),
            ResetBeforeReply(),
            CutReply(60_000),
            CutReply(60_000, "chunks"),
            Answer(502),
            AnswerWith(500),
        ),
        kind="download",
    ),
    RunRow(
        "a file comes otherwise than the session said (size, hash)",
        once(Garble(), CutReply(60_000, "none"), AnswerWith(200, b"other")),
        kind="download",
    ),
    RunRow("the token expires during the run: 401 to its download", once(AnswerWith(401)), kind="download"),
    RunRow(
        "a download stays broken",
        tuple(
            (fault,) * FOR_GOOD
            for fault in (CutReply(60_000), Answer(503), AnswerWith(401), AnswerWith(200, PAGE, media_type="text/html"))
        ),
        says="Not saved: a.bin:",
        files="with the next run",
        kind="download",
    ),
    RunRow(
        "a file comes otherwise twice: it changes, or is garbled",
        ((Garble(), Garble()), (CutReply(60_000, "none"), Garble())),
        says="a.bin as the session told it: it changes, or is garbled",
        files="with the next run",
        kind="download",
    ),
]
