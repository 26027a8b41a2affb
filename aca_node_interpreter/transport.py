"""How a call meets httpx: what goes out, which errors come back, and when a call is sent again.

No other module but `auth` and `client` knows httpx.
"""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeAlias, TypeVar

import httpx

from ._version import version
from .endpoint import Endpoint
from .errors import ClientClosedError, ResponseTimeoutError, ServiceUnreachableError
from .operations import Operation, Reply

_CONNECT_TIMEOUT = 10.0  # seconds
_WRITE_TIMEOUT = 60.0  # seconds without progress

# A run holds its connection while it lasts, so the number of connections bounds the sessions in use.
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=64)

_PAUSES = (0.2, 1.0)
"""Seconds before a call is sent again, and so how often that is done."""


Transport = TypeVar("Transport", httpx.HTTPTransport, httpx.AsyncHTTPTransport)

_IDENTIFIER = re.compile(r"(?<=[?&]identifier=)[^&]*")


class _WithoutIdentifier(logging.Filter):
    """httpx logs every URL at INFO; a session's identifier is a key and does not belong in a log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, without the identifier."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                _IDENTIFIER.sub("…", str(each)) if isinstance(each, httpx.URL) else each for each in record.args
            )
        return True


logging.getLogger("httpx").addFilter(_WithoutIdentifier())


def settings(endpoint: Endpoint) -> dict[str, Any]:
    """Return what both httpx clients are made with.

    A loopback endpoint never goes through a proxy of the environment: the token would go there too.
    """
    return {
        "trust_env": not endpoint.is_loopback,
        "verify": False if endpoint.url.startswith("http:") else _trusted(),
        "headers": {"User-Agent": f"aca-node-interpreter/{version()}"},
        "limits": _LIMITS,
    }


def by_socket(endpoint: Endpoint, kind: type[Transport]) -> Transport | None:
    """Return what leads to the endpoint's Unix socket; nothing when it has none, and httpx finds the way itself."""
    return None if endpoint.socket is None else kind(verify=False, trust_env=False, limits=_LIMITS, uds=endpoint.socket)


@cache
def _trusted() -> ssl.SSLContext:
    """Load the certificates to trust, once: it takes 20 ms."""
    return httpx.create_ssl_context()


def request(endpoint: Endpoint, operation: Operation[Any]) -> dict[str, Any]:
    """Return the arguments for httpx's `request`, `stream` or `build_request`."""
    upload = operation.upload
    return {
        "method": operation.method,
        "url": endpoint.url + operation.target,
        "content": operation.content,
        "files": None if upload is None else {"file": (upload.name, upload.content)},
        "headers": None if operation.body is None else {"Content-Type": "application/json"},
        "timeout": httpx.Timeout(operation.wait, connect=_CONNECT_TIMEOUT, write=_WRITE_TIMEOUT, pool=_CONNECT_TIMEOUT),
    }


def reply_of(response: httpx.Response) -> Reply:
    """Return an answer that was read to its end."""
    return Reply(response.status_code, response.headers, response.content)


@contextmanager
def translated(operation: Operation[Any]) -> Iterator[None]:
    """Turn httpx's errors into ours, with what is known about whether code ran."""
    doubtful = None if operation.runs_code else False
    try:
        yield
    except httpx.LocalProtocolError:
        # The cause may hold the token.
        raise ServiceUnreachableError("Nothing was sent: the request can't be put into HTTP.", ran=False) from None
    except RuntimeError as error:
        if "closed" not in str(error):
            raise
        raise ClientClosedError from error
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise ServiceUnreachableError(
            f"Nothing was sent: the session pool can't be reached ({type(error).__name__}). Check the endpoint's "
            "region and your network.",
            ran=False,
        ) from error
    except httpx.TimeoutException as error:
        raise ResponseTimeoutError(
            f"The session pool did not answer within {operation.wait:.0f} seconds."
            + (" The code may have run." if operation.runs_code else ""),
            ran=doubtful,
        ) from error
    except (httpx.TransportError, httpx.DecodingError) as error:
        raise ServiceUnreachableError(
            f"The connection to the session pool broke ({type(error).__name__})."
            + (" The code may have run." if operation.runs_code else " Try again."),
            ran=doubtful,
        ) from error


Outcome: TypeAlias = "Reply | ServiceUnreachableError"
"""What came of sending a call once."""


def pause_before_retry(operation: Operation[Any], attempt: int, outcome: Outcome) -> float | None:
    """Return how many seconds to wait before sending again, or `None` to leave it.

    Again goes what was never sent, and what may be repeated when the connection broke or a gateway failed. Code is
    never sent twice once it may have arrived.
    """
    if attempt >= len(_PAUSES):
        return None
    if isinstance(outcome, Reply):
        again = operation.replayable and outcome.status in (502, 503, 504)
    elif isinstance(outcome.__cause__, (httpx.ConnectError, httpx.ConnectTimeout)):
        again = operation.replayable or operation.runs_code
    else:
        again = operation.replayable and not isinstance(outcome, ResponseTimeoutError)
    return _PAUSES[attempt] if again else None
