"""Why no connection to the session pool could be made, and what to do about it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

# OpenSSL's numbers for a certificate that is not valid yet, or not any more.
WRONG_TIME = (9, 10)

_ENDPOINT = "Check the endpoint's region"


def causes(error: BaseException) -> Iterator[BaseException]:
    """Go through what led to an error, the latest first."""
    cause = error.__cause__ or error.__context__
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def tls_error(error: BaseException) -> ssl.SSLError | None:
    """Return why a server was not trusted; no other attempt changes that."""
    return next((cause for cause in causes(error) if isinstance(cause, ssl.SSLError)), None)


def advice(error: BaseException) -> str:
    """Say in a sentence or two why there is no connection, without naming a host."""
    tls = tls_error(error)
    if isinstance(tls, ssl.SSLCertVerificationError):
        # What comes after a comma names the host.
        words = tls.verify_message.split(",")[0]
        if tls.verify_code in WRONG_TIME:
            return f"its certificate is not valid now ({words}). Set this machine's clock, or have it renewed."
        return (
            f"its certificate is not trusted ({words}). If a proxy of yours inspects TLS, name the file with its root "
            "certificate in SSL_CERT_FILE; otherwise this is not the pool: check the endpoint."
        )
    if tls is not None:
        return "what answers there does not speak TLS. Check the endpoint, and HTTPS_PROXY if it is set."
    if any(isinstance(cause, socket.gaierror) for cause in causes(error)):
        return f"its host name is not known. {_ENDPOINT} and this machine's name server."
    return f"nothing answers there. {_ENDPOINT}, and that no firewall is in between."
