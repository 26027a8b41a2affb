"""Ask the session pool that is named, from the endpoint to the network of its sessions, and stop where it can't go on.

A token that says it is for something else is not sent.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from aca_node_interpreter.errors import AcaNodeError, AuthenticationError, ConfigurationError, ServiceUnreachableError
from aca_node_interpreter.rest.auth import TokenSource, checked_token
from aca_node_interpreter.rest.client import TOKEN_VARIABLE, SessionPoolClient
from aca_node_interpreter.rest.endpoint import WHAT_TO_PASTE, Endpoint

from . import probe
from .claims import Claims
from .finding import Finding
from .fixes import AUDIENCE, AzureFixes, EmbeddedFixes, Fixes
from .refusal import Refusal
from .unreachable import why_unreachable

_SKEW_SECONDS = 300.0  # what Microsoft Entra ID allows a clock to be off
# Also as the older clients write it, and as the id of the service's own application. What the pool makes of the older
# one now is not public.
_AUDIENCES = (AUDIENCE, "https://acasessions.io", "2c7dd73f-7a21-485b-b97d-a2508fa152c3")
_INSTALL_AZ = "Install the Azure CLI first: https://learn.microsoft.com/cli/azure/install-azure-cli"
# A custom container pool has a host of its own.
_CUSTOM_CONTAINER_HOST = ".azurecontainerapps.io"


def examine_pool(endpoint: str, token: str | None, api_version: str) -> Iterator[Finding]:
    """Look at the endpoint, the token, the way there, the answer, and what code in a session can do."""
    azure = AzureFixes.of(endpoint)
    try:
        place = Endpoint.parse(endpoint)
    except ConfigurationError as error:
        words = str(error).removesuffix(WHAT_TO_PASTE).strip()
        here = endpoint.strip().lower().startswith("unix:")
        fix = (EmbeddedFixes() if here else azure).right_endpoint()
        yield Finding.failure("endpoint", f"{words} Nothing was sent.", fix)
        return
    host = place.socket or urlsplit(place.url).netloc
    fixes: Fixes = EmbeddedFixes() if place.is_loopback and not azure.is_named else azure
    if host.endswith(_CUSTOM_CONTAINER_HOST):
        words = f"{host} is where custom container pools are, which run no code of a caller's. Nothing was sent."
        yield Finding.failure("pool type", words, fixes.node_pool())
        return
    named = f"{azure.name} in {azure.group}, at {host}" if azure.is_named else host
    outside = ":".join(map(str, probe.OUTSIDE))
    words = f"{named}; it is sent a short run, whose session is then deleted and which tries to connect to {outside}"
    yield Finding("session pool", ok=True, words=words)

    try:
        token = _token(token, place)
    except AuthenticationError as error:
        install = "" if fixes is not azure or shutil.which("az") else f"{_INSTALL_AZ}\n"
        yield Finding.failure("credential", _without_advice(error), install + fixes.sign_in())
        return
    claims = None if isinstance(fixes, EmbeddedFixes) else Claims.of(token)
    if claims is not None and claims.audience and claims.audience.rstrip("/") not in _AUDIENCES:
        words = f"the token is for {claims.audience}, not for {AUDIENCE}; it was not sent"
        yield Finding.failure("audience", words, fixes.sign_in())
        return

    def connect(version: str) -> SessionPoolClient:
        return SessionPoolClient(endpoint, token=token, api_version=version)

    with connect(api_version) as client:
        try:
            asked = probe.run_in_a_session(client)
        except ServiceUnreachableError as error:
            yield why_unreachable(error, place, host, fixes)
            return
        skew = _skew(asked.reply.headers.get("date", ""))
        if skew is not None:
            yield _clock(skew)
        refusal = Refusal(client, connect, asked, claims, fixes, now=time.time() + (skew or 0.0))
        if asked.reply.status >= 300:
            yield refusal.why()
        else:
            yield from _ran(asked, refusal, fixes)


def _token(token: str | None, place: Endpoint) -> str:
    """Return the token that the package would send."""
    if token is None and place.is_loopback:
        token = os.environ.get(TOKEN_VARIABLE)
    if token is not None:
        return checked_token(token)
    if place.is_loopback:
        raise AuthenticationError("there is no token: neither --token nor ACA_POOL_TOKEN")
    return TokenSource.of(None).get()


def _without_advice(error: AuthenticationError) -> str:
    """Say what the credential says, in one line."""
    if error.__cause__ is None:
        return str(error)
    reasons = sorted(set(re.findall(r"AADSTS\d+", str(error.__cause__))))
    told = f" ({', '.join(reasons)})" if reasons else ""
    return f"nobody is signed in to Azure here, or not so that there is a token for {AUDIENCE}{told}"


def _skew(date: str) -> float | None:
    """Return by how many seconds the pool's clock is ahead of this one."""
    try:
        theirs = parsedate_to_datetime(date)
    except ValueError:
        return None
    if theirs.tzinfo is None:
        theirs = theirs.replace(tzinfo=timezone.utc)
    return (theirs - datetime.now(timezone.utc)).total_seconds()


def _clock(skew: float) -> Finding:
    if abs(skew) <= _SKEW_SECONDS:
        return Finding("clock", ok=True, words="agrees with the pool's")
    words = f"is {abs(skew):,.0f} s {'behind' if skew > 0 else 'ahead of'} the pool's: tokens seem valid that are not"
    fix = "Linux: sudo timedatectl set-ntp true\nmacOS: sudo sntp -sS time.apple.com\nWindows: w32tm /resync"
    return Finding("clock", ok=False, words=words, fix=fix)


def _ran(asked: probe.Asked, refusal: Refusal, fixes: Fixes) -> Iterator[Finding]:
    try:
        execution = asked.run.finish(asked.reply)
    except AcaNodeError as error:
        yield Finding.failure("endpoint", str(error), fixes.right_endpoint())
        return
    version = probe.node_version(execution.stdout)
    if not version:
        yield refusal.other_type(execution.stderr)
        return
    yield Finding("pool type", ok=True, words=f"code ran on Node.js {version}", needed=True)
    if asked.left:
        yield Finding("session", ok=False, words="it could not be deleted: it ends after the pool's cooldown")
    words = {
        "on": "code in a session reaches the network",
        "off": "code in a session can't reach the network, and so installs no packages",
        "": "unknown: the run did not tell whether it reached the network",
    }
    reached = probe.egress(execution.stdout)
    yield Finding("egress", ok=reached == "on", words=words[reached], fix="" if reached == "on" else fixes.egress())
