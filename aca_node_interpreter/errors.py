"""Everything this package raises, as one tree.

Code that the model wrote and that failed is *not* here: it comes back as a normal result to read.

    AcaNodeError
    ├── ConfigurationError (ValueError)    what was passed can't work; nothing was sent
    │   └── InvalidFileNameError
    ├── LocalPoolError                     the embedded pool can't start on this machine
    ├── ServiceUnreachableError            no answer: DNS, connect, TLS, a broken connection
    │   ├── ResponseTimeoutError (TimeoutError)
    │   ├── DeadlineExceededError (TimeoutError)
    │   ├── ClientClosedError              the client was closed first
    │   └── SessionLostError               the session ended under the code
    ├── UploadError                        some of several files could not be uploaded
    ├── PackageInstallError                npm could not install what was asked for
    ├── MalformedResponseError             an answer that isn't this API's
    ├── ScriptError (AssertionError)       a test's scripted model was not used as its script says
    └── ServiceError                       the pool answered with an error
        ├── InvalidRequestError            400
        ├── AuthenticationError            401, or no token could be had
        ├── PermissionDeniedError          403
        ├── NotFoundError                  404
        ├── PayloadTooLargeError           413
        └── PoolFullError                  429

Messages never hold a token, a session identifier or a URL: a model may read them.
"""

from __future__ import annotations

from typing import Any

MAY_HAVE_RUN = "The code may have run: check what it did before you send it again."
"""What is said when nobody knows."""


class AcaNodeError(Exception):
    """Base class of every error that this package raises on purpose.

    Attributes:
        ran: whether code that was to run did. `False`: it did not, or there was none; `None`: nobody knows.
    """

    ran: bool | None = False

    def __reduce__(self) -> tuple[Any, ...]:
        # Some word their own message, and can't be made from it.
        return _unpickled, (type(self), self.args, vars(self))


def _unpickled(kind: type[AcaNodeError], args: tuple[object, ...], attributes: dict[str, Any]) -> AcaNodeError:
    error = kind.__new__(kind)
    error.args = args
    vars(error).update(attributes)
    return error


class ConfigurationError(AcaNodeError, ValueError):
    """An argument or setting can't work; nothing was sent."""


class InvalidFileNameError(ConfigurationError):
    """The session pool has no such file name; nothing was sent."""


class LocalPoolError(AcaNodeError):
    """The embedded session pool can't start on this machine."""


class ServiceUnreachableError(AcaNodeError):
    """The session pool did not answer."""

    def __init__(self, message: str, *, ran: bool | None = None) -> None:
        super().__init__(message)
        self.ran = ran


class ResponseTimeoutError(ServiceUnreachableError, TimeoutError):
    """The session pool was reached but did not answer in time."""


class DeadlineExceededError(ServiceUnreachableError, TimeoutError):
    """The time for all of a call was over: for waiting its turn, for a session, for the run and for its files."""


class ClientClosedError(ServiceUnreachableError):
    """Nothing was sent: the client was closed."""

    def __init__(self) -> None:
        super().__init__("Nothing was sent: the client is closed.", ran=False)


class SessionLostError(ServiceUnreachableError):
    """The session ended, with its variables, while code was on its way or running."""

    def __init__(self, *, ran: bool | None = None) -> None:
        known = "The code ran, but what came of it is lost" if ran else "Nobody knows whether the code ran"
        super().__init__(
            f"The session ended before it answered, and its variables are gone. {known}: check what it may have done "
            "outside the session before you send it again.",
            ran=ran,
        )


class UploadError(AcaNodeError):
    """Some of several files could not be uploaded; the message names them, and the others are there."""


class PackageInstallError(AcaNodeError):
    """npm could not install the packages that the session was to have."""


class MalformedResponseError(AcaNodeError):
    """The answer is not one of the session-pool API."""

    ran = None


class ScriptError(AcaNodeError, AssertionError):
    """A scripted model was not used as its script says."""


class ServiceError(AcaNodeError):
    """The session pool refused the call.

    Attributes:
        status: HTTP status; 0 when no call was made.
        code: the service's own error code, such as `SessionsCountExceedsLimit`; may be empty.
        trace_id: what to quote to Azure support; may be empty.
        retry_after: seconds after which the service asks to be called again, if it said so.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        code: str = "",
        trace_id: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.trace_id = trace_id
        self.retry_after = retry_after


class InvalidRequestError(ServiceError):
    """400: the service does not accept the request."""


class AuthenticationError(ServiceError):
    """401, or no token could be had: the service does not know the caller."""


class PermissionDeniedError(ServiceError):
    """403: the caller lacks the role on this session pool."""


class NotFoundError(ServiceError):
    """404: no such session, file or execution."""


class PayloadTooLargeError(ServiceError):
    """413: the file is over the upload limit."""


class PoolFullError(ServiceError):
    """429: all the sessions of the pool are taken."""
