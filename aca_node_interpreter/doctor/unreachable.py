"""Why a session pool gave no answer: which step on the way to it failed, and what to do about that."""

from __future__ import annotations

import socket
import ssl

from aca_node_interpreter.errors import ServiceUnreachableError
from aca_node_interpreter.rest.endpoint import Endpoint
from aca_node_interpreter.rest.unreached import WRONG_TIME, causes

from .finding import Finding
from .fixes import Fixes

_CLOCK = "Set this machine's clock; if it is right, the certificate is not."
_ROOT_CERTIFICATE = """\
If a proxy on your way inspects TLS, name the file with its root certificate:
export SSL_CERT_FILE=/path/to/root.pem
Otherwise do not go on: this is not the pool."""
_OUTSIDE = """\
curl --silent --show-error --head https://{host}
If that fails, too, a firewall is in the way: let this machine reach the host on port 443, or set HTTPS_PROXY."""
_AGAIN = "Run this again; if that does not help, see how the region is: https://azure.status.microsoft"
_NO_TLS_HERE = "A pool that is served on this machine speaks plain http: write http:// for https://.\n"


def why_unreachable(error: ServiceUnreachableError, endpoint: Endpoint, host: str, fixes: Fixes) -> Finding:
    """Say which step failed: name, connection, TLS, or the answer itself."""
    for cause in causes(error):
        if isinstance(cause, socket.gaierror):
            words = f"{host} has no address ({cause.strerror}): its region is misspelled, or no name is found here"
            name = host.partition(":")[0]
            return Finding.failure(
                "DNS", words, f"{fixes.right_endpoint()}\nWhat the name server says:\nnslookup {name}"
            )
        if isinstance(cause, ssl.SSLCertVerificationError):
            words = f"the certificate of {host} is not trusted: {cause.verify_message}"
            return Finding.failure("TLS", words, _CLOCK if cause.verify_code in WRONG_TIME else _ROOT_CERTIFICATE)
        if isinstance(cause, ssl.SSLError):
            words = f"{host} does not speak TLS as it should: {cause.reason or type(cause).__name__}"
            where = _NO_TLS_HERE if endpoint.is_loopback else "Look at the endpoint, and at HTTPS_PROXY.\n"
            return Finding.failure("TLS", words, where + fixes.right_endpoint())
        if type(cause).__name__ == "ProxyError":  # httpx's, which this package's modules but two do not know
            return Finding.failure("connection", f"the proxy refuses: {cause}", "Look at HTTPS_PROXY and NO_PROXY.")
    if error.ran is False:
        words = f"nothing answers at {host}: {_reason(error)}"
        fix = fixes.right_endpoint() if endpoint.is_loopback else _OUTSIDE.format(host=host)
        return Finding.failure("connection", words, fix)
    # No region of Azure's has a part in what happens on this machine.
    fix = f"Run this again; if that does not help, something else listens there:\n{fixes.right_endpoint()}"
    return Finding.failure("connection", str(error), fix if endpoint.is_loopback else _AGAIN)


def _reason(error: ServiceUnreachableError) -> str:
    reasons = [cause.strerror for cause in causes(error) if isinstance(cause, OSError) and cause.strerror]
    return reasons[-1] if reasons else type(error.__cause__).__name__
