"""Why a session pool would not run code: what its answer means, with what the token says and what the pool tells.

Much of it is not documented: several causes share an answer, and those that can be told apart here are.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone

from aca_node_interpreter.errors import AcaNodeError, ServiceError, ServiceUnreachableError
from aca_node_interpreter.rest.client import SessionPoolClient
from aca_node_interpreter.rest.operations import CURRENT_API, LEGACY_API

from . import probe
from .claims import Claims
from .finding import Finding
from .fixes import ROLE, AzureFixes, EmbeddedFixes, Fixes

_AZ_SECONDS = 20.0
_TENANT = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# What pools of other types answer to code.
_OTHER_TYPE_CODES = ("SessionPropertiesMissing", "SessionRequestNotSupported", "SessionWithIdentifierNotFound")
_RUNTIMES = {
    "node": "NodeLTS",
    "javascript": "NodeLTS",
    "python": "PythonLTS",
    "csharp": "CsharpLTS",
    "dotnet": "CsharpLTS",
}

Connect = Callable[[str], SessionPoolClient]
"""Makes a client, with a session of its own, for an api-version."""


@dataclass(frozen=True)
class Refusal:
    """An answer to the doctor's run that is not the run's result."""

    client: SessionPoolClient
    connect: Connect
    asked: probe.Asked
    claims: Claims | None
    fixes: Fixes
    now: float
    """By the pool's clock, in seconds since the epoch."""

    def why(self) -> Finding:
        """Say what the answer means, and what to do."""
        error = self._error()
        status = error.status
        if status == 429 or "SessionsCount" in error.code or "no more sessions" in str(error):
            return Finding.failure("pool full", str(error), self.fixes.room())
        if status in (401, 403):
            return self._token() or self._tenant() or (self._role() if status == 403 else self._unauthorized())
        if version := self._version(error):
            return version
        if status in (400, 404, 405):
            return self._not_a_node_pool(error)
        if status < 400:
            return Finding.failure("endpoint", str(error), self.fixes.right_endpoint())
        if status == 501:
            words = "what answers there knows no such request (501): it is no session pool"
            return Finding.failure("endpoint", words, self.fixes.right_endpoint())
        trace = f" To Azure's support, name the trace id {error.trace_id}." if error.trace_id else ""
        return Finding.failure("session pool", str(error), f"Run this again in some minutes.{trace}")

    def other_type(self, stderr: str = "") -> Finding:
        """Say what ran the code, when it was not Node.js."""
        kind = self._type()
        if kind == "NodeLTS":
            words = f"it has Node.js, but the run failed: {stderr.strip()[:300] or 'it does not say why'}"
            return Finding.failure("session pool", words, "Run this again in some minutes.")
        words = f"its type is {kind or 'unknown'}: it does not run Node.js"
        return Finding.failure("pool type", words, self.fixes.node_pool())

    def _error(self) -> ServiceError:
        try:
            self.asked.run.finish(self.asked.reply)
        except ServiceError as error:
            return error
        raise AssertionError("only for answers that are errors")

    def _token(self) -> Finding | None:
        expires = self.claims.expires if self.claims else None
        if expires is None or expires > self.now:
            return None
        at = datetime.fromtimestamp(expires, timezone.utc)
        return Finding.failure("token", f"it expired at {at:%Y-%m-%d %H:%M:%S} UTC", self.fixes.sign_in())

    def _tenant(self) -> Finding | None:
        """Compare the token's tenant with the pool's, where that can be known."""
        if self.claims is None or not self.claims.tenant or not isinstance(self.fixes, AzureFixes):
            return None
        tenant = self._tenant_named_by_the_pool() or _tenant_known_to_az(self.fixes)
        if not tenant or tenant == self.claims.tenant.lower():
            return None
        words = f"the token is of the tenant {self.claims.tenant}, the pool is in {tenant}"
        return Finding.failure("tenant", words, self.fixes.right_tenant(tenant))

    def _tenant_named_by_the_pool(self) -> str:
        # Azure's management API says it so; whether session pools do is not public.
        found = re.search(
            rf"authorization(?:_uri)?=\"?https://[\w.]+/({_TENANT.pattern})",
            self.asked.reply.headers.get("www-authenticate", ""),
            re.IGNORECASE,
        )
        return found[1].lower() if found else ""

    def _role(self) -> Finding:
        words = f"the caller lacks the role '{ROLE}' on the pool, or the role has not reached the pool yet (403)"
        return Finding.failure("role", words, self.fixes.permission(self.claims.caller if self.claims else ""))

    def _unauthorized(self) -> Finding:
        """Sort out 401: it is also what an unknown api-version is answered with."""
        for version in (CURRENT_API, LEGACY_API):
            if version != self.client.api_version and self._answers_to(version):
                return self._unknown_version(f"it runs code in {version}", version)
        if self.claims is None or not isinstance(self.fixes, AzureFixes):
            named = "" if isinstance(self.fixes, EmbeddedFixes) else ", which is none of Microsoft Entra ID's"
            words = f"the pool does not know the token{named} (401)"
            return Finding.failure("credential", words, self.fixes.sign_in())
        words = (
            "the pool does not know the caller (401), though the token is for session pools and has not expired. On "
            "record are a wrong tenant and a missing role; which one it is, the pool does not say"
        )
        caller = self.claims.caller
        fix = f"{self.fixes.right_tenant()}\n{self.fixes.permission(caller)}"
        return Finding.failure("credential", words, fix)

    def _answers_to(self, version: str) -> bool:
        try:
            with self.connect(version) as client:
                return probe.run_in_a_session(client).reply.status < 300
        except ServiceUnreachableError:
            return False

    def _version(self, error: ServiceError) -> Finding | None:
        """Tell by an error or a header that the pool does not know the api-version."""
        known = [each.strip() for each in self.asked.reply.headers.get("api-supported-versions", "").split(",")]
        known = [each for each in known if re.fullmatch(r"[\w.\-]{1,40}", each)]
        if known and self.client.api_version not in known:
            return self._unknown_version(f"it knows {', '.join(known)}", known[-1])
        if re.search(r"api-?version", f"{error.code} {error}", re.IGNORECASE):
            return self._unknown_version(str(error), CURRENT_API)
        return None

    def _unknown_version(self, words: str, better: str) -> Finding:
        mine = self.client.api_version or "none"
        fix = f'Pass api_version="{better}" (here --api-version {better}), or get a newer version of this package.'
        return Finding.failure("api-version", f"the pool does not know {mine}: {words}", fix)

    def _not_a_node_pool(self, error: ServiceError) -> Finding:
        kind = self._type()
        if kind == "NodeLTS":
            return Finding.failure("session pool", str(error), self.fixes.right_endpoint())
        if kind or error.code in _OTHER_TYPE_CODES:
            kind = kind or "another one, such as Shell or CustomContainer"
            return Finding.failure("pool type", f"it is {kind}, not NodeLTS. {error}", self.fixes.node_pool())
        if error.status == 404:
            words = "there is no such session pool, or, as Azure's documentation has it, it is full (404)"
            return Finding.failure("session pool", words, f"{self.fixes.right_endpoint()}\n{self.fixes.room()}")
        return Finding.failure("endpoint", str(error), self.fixes.right_endpoint())

    def _type(self) -> str:
        """Ask the pool what runs in it; empty if it does not say."""
        try:
            runtimes = self.client.get_metadata().runtimes
        except AcaNodeError:
            return ""
        for runtime in runtimes:
            for name, kind in _RUNTIMES.items():
                if name in runtime.lower():
                    return kind
        return ""


def _tenant_known_to_az(fixes: AzureFixes) -> str:
    """Ask the Azure CLI, which keeps the subscriptions of who signed in; empty if it does not know."""
    az = shutil.which("az")
    if az is None:
        return ""
    command = [az, *fixes.tenant_command[1:]]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=_AZ_SECONDS, check=False).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
    return told.lower() if _TENANT.fullmatch(told) else ""
