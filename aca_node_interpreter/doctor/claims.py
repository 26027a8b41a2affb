"""What a token says about itself: read here without verifying, which is the pool's part, and never shown as it is."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass

_LAST_YEAR = 253_402_300_800  # seconds since the epoch; no date is after it


@dataclass(frozen=True)
class Claims:
    """What is of use of the claims of an access token of Microsoft Entra ID; empty where it does not say."""

    audience: str = ""
    tenant: str = ""
    caller: str = ""
    """The object id of who signed in."""
    expires: float | None = None
    """Seconds since the epoch."""

    @classmethod
    def of(cls, token: str) -> Claims | None:
        """Read a token; `None` if it is no JSON Web Token, as the embedded pool's is none."""
        parts = token.split(".")
        if len(parts) != 3:
            return None
        try:
            claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        except (ValueError, RecursionError):
            return None
        if not isinstance(claims, Mapping):
            return None
        expires = claims.get("exp")
        return cls(
            audience=_word(claims.get("aud")),
            tenant=_word(claims.get("tid")),
            caller=_word(claims.get("oid")),
            expires=float(expires) if isinstance(expires, (int, float)) and 0 <= expires < _LAST_YEAR else None,
        )


def _word(claim: object) -> str:
    """Return a claim that may stand in a sentence and, quoted, in a command."""
    return claim if isinstance(claim, str) and claim.isascii() and claim.isprintable() and len(claim) < 200 else ""
