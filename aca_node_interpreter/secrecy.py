"""What holds a token, a session's identifier or a connection stays in its process."""

from __future__ import annotations

from typing import NoReturn


class StaysHere:
    """Something that is neither pickled nor copied, so that what it holds is written nowhere by accident."""

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} can't be pickled or copied: it holds what lets one into a session. Make "
            "another one where it is needed."
        )
