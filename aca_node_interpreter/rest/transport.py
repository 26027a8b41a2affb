"""How a call meets httpx: what goes out, which errors come back, and when a call is sent again.

No other module but `auth`, `connections` and the clients knows httpx.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeAlias

import httpx

from aca_node_interpreter import telemetry
from aca_node_interpreter._version import version
from aca_node_interpreter.errors import (
    DeadlineExceededError,
    MalformedResponseError,
    ResponseTimeoutError,
    ServiceUnreachableError,
)

from .endpoint import Endpoint
from .failures import is_full, seconds_in
from .flow import Flow, Sleep
from .operations import MAX_ANSWER_BYTES, Operation, Reply
from .patience import Deadline, Patience
from .unreached import advice, tls_error

_CONNECT_TIMEOUT = 10.0  # seconds
_WRITE_TIMEOUT = 60.0  # seconds without progress

_PAUSES = (0.2, 1.0)
"""Seconds before a call is sent again, and so how often that is done."""

_LONGEST_PAUSE = 10.0
"""Seconds; a service that failed and asks for a longer pause is not called again."""

# Seconds to wait for a full pool that does not say how long: at first, and at most.
_FULL_FIRST, _FULL_MOST = 0.25, 8.0

# Answers of a service that may do better the next time, as Azure's own SDKs see it.
_PASSING = (500, 502, 503, 504)
# What httpx raises before anything was sent.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)

_ENCODINGS = ("gzip", "deflate")

_IDENTIFIER = re.compile(r"(?<=[?&]identifier=)[^&\s'\"]*")


class _WithoutIdentifier(logging.Filter):
    """Keep out of logs what is a key, a session's identifier.

    httpcore logs the headers of answers at DEBUG, which may have one in them. The headers of requests, where the token
    is, it does not log.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, without the identifier."""
        if isinstance(record.msg, str):
            record.msg = _IDENTIFIER.sub("…", record.msg)
        return True


logging.getLogger("httpcore.http11").addFilter(_WithoutIdentifier())


def request(endpoint: Endpoint, operation: Operation[Any], deadline: Deadline, **headers: str) -> httpx.Request:
    """Return what is sent to a transport: an httpx client in between would cost half as much again as the rest."""
    upload = operation.upload
    headers = {
        "User-Agent": f"aca-node-interpreter/{version()}",
        "Accept": "*/*",
        # Nothing that blows up a few bytes into gigabytes at once, as the newer compressions do.
        "Accept-Encoding": ", ".join(_ENCODINGS),
        **headers,
    }
    if operation.body is not None:
        headers["Content-Type"] = "application/json"
    connect, write = deadline.sooner(_CONNECT_TIMEOUT), deadline.sooner(_WRITE_TIMEOUT)
    timeout = {"connect": connect, "read": deadline.sooner(operation.wait), "write": write, "pool": connect}
    return httpx.Request(
        operation.method,
        _url(endpoint.url + operation.target),
        headers=headers,
        content=operation.content,
        files=None if upload is None else {"file": (upload.name, upload.content)},
        extensions={"timeout": timeout},
    )


# A session is called at the same few addresses again and again, and httpx looks at each character of one.
_url = lru_cache(maxsize=256)(httpx.URL)


def check_encoding(response: httpx.Response) -> None:
    """Refuse a compression that was not asked for.

    Raises:
        MalformedResponseError: it is one that may blow up a few bytes into gigabytes at once.
    """
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", *_ENCODINGS):
        raise MalformedResponseError(
            "The session pool answers in a compression that it was not asked for: check the endpoint and the proxy."
        )


def most_bytes(response: httpx.Response, operation: Operation[Any]) -> float:
    """Return how many bytes of an answer may be read into memory; a refusal is never long."""
    return operation.max_bytes if response.is_success else MAX_ANSWER_BYTES


def check_deadline(operation: Operation[Any], deadline: Deadline, *, was_sent: bool = True) -> None:
    """Refuse to go on when the deadline is over.

    Raises:
        DeadlineExceededError: it is.
    """
    if deadline.is_over:
        raise deadline_exceeded(operation, deadline, was_sent=was_sent)


def deadline_exceeded(operation: Operation[Any], deadline: Deadline, *, was_sent: bool = True) -> DeadlineExceededError:
    """Return the error of a call that the deadline ended."""
    error = DeadlineExceededError(
        f"The deadline of {deadline.seconds:,.0f} seconds was over before the session pool had answered: raise "
        "`deadline`, or ask for less.",
        ran=False,
    )
    return operation.doubted(error) if was_sent else error


def closed_under(operation: Operation[Any], _: Deadline) -> ServiceUnreachableError:
    """Return the error of a call under which its client was closed."""
    return operation.doubted(ServiceUnreachableError("The client was closed before the session pool had answered."))


@contextmanager
def translated(operation: Operation[Any], deadline: Deadline) -> Iterator[None]:
    """Turn httpx's errors into ours, with what is known about whether code ran."""
    try:
        with _forgetting_requests():
            yield
    except MalformedResponseError as error:
        raise operation.doubted(error)  # noqa: B904  # it is the same one
    except httpx.LocalProtocolError:
        # The cause may hold the token.
        raise ServiceUnreachableError(
            "Nothing was sent: the request can't be put into HTTP. Check the token and the proxy's address.",
            ran=False,
        ) from None
    except _NOT_SENT as error:
        if deadline.is_over:
            raise deadline_exceeded(operation, deadline, was_sent=False) from error
        through = "the proxy refuses. Check HTTPS_PROXY and NO_PROXY."
        why = through if isinstance(error, httpx.ProxyError) else advice(error)
        raise ServiceUnreachableError(
            f"Nothing was sent: the session pool can't be reached ({type(error).__name__}): {why}", ran=False
        ) from error
    except httpx.TimeoutException as error:
        if deadline.is_over:
            raise deadline_exceeded(operation, deadline) from error
        raise operation.doubted(
            ResponseTimeoutError(
                f"The session pool did not answer within {operation.wait:.0f} seconds. Try again later, or see whether "
                "the network between is down."
            )
        ) from error
    except (httpx.TransportError, httpx.DecodingError) as error:
        raise operation.doubted(
            ServiceUnreachableError(
                f"The connection to the session pool broke ({type(error).__name__}). When it does so again, check the "
                "endpoint and the network."
            )
        ) from error


@contextmanager
def _forgetting_requests() -> Iterator[None]:
    """Keep requests, with the token and the session's identifier, out of the causes of errors, which others record."""
    try:
        yield
    except httpx.RequestError as error:
        error.request = httpx.Request("GET", "https://session-pool.invalid")
        raise


Outcome: TypeAlias = "Reply | ServiceUnreachableError"
"""What came of sending a call once."""


@dataclass
class Retries:
    """When one call is sent again.

    Again goes what was never sent, what may be repeated when the connection broke or a gateway failed, and, for callers
    that wait for it, what a full pool refused. Code is never sent twice once it may have arrived.
    """

    operation: Operation[Any]
    patience: Patience
    _failures: int = 0
    _refusals: int = 0
    _may_have_arrived: bool = False

    def before_next(self, outcome: Outcome, *, went_on: bool = False) -> Flow[None] | None:
        """Return what to do before the call is sent again, or `None` to leave it.

        `went_on` tells whether a download brought more than the attempt before.
        """
        if isinstance(outcome, Reply) and is_full(outcome.status, outcome.content):
            return self._when_full(outcome.headers)
        if went_on:
            self._failures = 0
        if self._failures >= len(_PAUSES) or not self._is_worth_it(outcome, went_on):
            return None
        pause = _PAUSES[self._failures]
        if isinstance(outcome, Reply):
            pause = max(pause, seconds_in(outcome.headers.get("retry-after")) or 0)
            if pause > min(_LONGEST_PAUSE, self.patience.deadline.left()):
                return None
        self._failures += 1
        self._may_have_arrived |= not _was_not_sent(outcome)
        telemetry.sent_again("failure")
        return _waiting(pause)

    def settled(self, outcome: Outcome) -> Reply:
        """Return the answer to take, or raise the error, when the call is not sent again."""
        if not isinstance(outcome, Reply):
            raise outcome
        if self._may_have_arrived and self.operation.method == "DELETE" and outcome.status == 404:
            # An attempt before did it, and only its answer was lost.
            return replace(outcome, status=204, content=b"")
        return outcome

    def _is_worth_it(self, outcome: Outcome, went_on: bool) -> bool:
        operation = self.operation
        if isinstance(outcome, Reply):
            return operation.replayable and outcome.status in _PASSING
        if isinstance(outcome, DeadlineExceededError):
            return False
        if _was_not_sent(outcome):
            return (operation.replayable or operation.runs_code) and tls_error(outcome) is None
        return operation.replayable and (went_on or not isinstance(outcome, ResponseTimeoutError))

    def _when_full(self, headers: Mapping[str, str]) -> Flow[None] | None:
        if self.patience.when_full is None:
            return None
        asked = seconds_in(headers.get("retry-after"))
        # Each doubles, and a half is by chance, so that not all who wait come back at once.
        most = min(_FULL_FIRST * 2**self._refusals, _FULL_MOST)
        self._refusals += 1
        chance = random.random()  # noqa: S311  # nothing secret
        pause = asked * (1 + chance / 10) if asked else most * (1 + chance) / 2
        # A run's limit is on its way with the code: it must still fit when the pool has a session.
        deadline = self.patience.deadline.earlier(self.operation.takes)
        if pause >= deadline.left():
            return None
        telemetry.sent_again("pool_full")
        return self.patience.when_full(deadline, pause)


def _was_not_sent(outcome: Outcome) -> bool:
    return isinstance(outcome, ServiceUnreachableError) and isinstance(outcome.__cause__, _NOT_SENT)


def _waiting(seconds: float) -> Flow[None]:
    yield Sleep(seconds)
