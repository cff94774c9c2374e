"""Keeps answers about immutable revisions for the moment between two looks at the index, so that the same question costs little.

- An answer is kept with the look at the index that it rests on, and is good only while that look is the last one and fresh:
  what was revoked or moved, or whose key was, is never answered from here.
- Only what depends on address and look alone is kept; who may ask was judged before.
- Bounded in number and bytes; everything goes with the next look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from starlette.types import Scope

    from weighbridge.serve.approved import Approved, Look

MAX_ANSWERS: Final = 512
MAX_BYTES: Final = 2 * 1024 * 1024
Message = dict[str, Any]
_Asked = tuple[bytes, bytes]


class Answers:
    """See above. To be used from one event loop."""

    def __init__(self, approved: Approved) -> None:
        self._approved = approved
        self._look: Look | None = None
        self._kept: dict[_Asked, tuple[Message, Message]] = {}
        self._bytes = 0

    def find(self, scope: Scope) -> tuple[Message, Message] | None:
        """The two messages of an answer to a GET, where it was given since the last look at the index."""
        look = self._approved.look()
        if look is None:
            return None
        if look is not self._look:
            self._look = look
            self._kept.clear()
            self._bytes = 0
            return None
        return self._kept.get((scope.get("raw_path") or b"", scope["query_string"]))

    @property
    def look(self) -> Look | None:
        """The look that `find` was last asked under: taken before an answer is made, it goes with it to `keep`."""
        return self._look

    def keep(self, look: Look | None, scope: Scope, start: Message, body: Message) -> None:
        """Keeps an answer that was made under `look`."""
        raw, size = scope.get("raw_path"), len(body["body"])
        if look is None or look is not self._look or not raw:
            return
        if len(self._kept) < MAX_ANSWERS and self._bytes + size <= MAX_BYTES:
            self._kept[raw, scope["query_string"]] = (start, body)
            self._bytes += size
