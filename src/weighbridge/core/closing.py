"""What is closed at its end, as a context manager: leaving it closes it, whatever happened."""

from __future__ import annotations

from typing import Self


class Closing:
    """A base for classes that have `close`."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of what is held; the class says of what."""
        raise NotImplementedError
