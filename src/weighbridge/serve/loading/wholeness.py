"""Tells what an approved revision lacks in the store as what it is: the revision is not whole there, and is not to be used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from weighbridge.core.errors import AccessRefused, IntegrityError, LengthMismatch, ObjectMissing

_HINT: Final = (
    "It is not used so. Restore the object from a version or backup, or promote the revision again where models are promoted; "
    "--store may name a copy of the store meanwhile."
)


@contextmanager
def whole(reference: str) -> Iterator[None]:
    """What is missing or too short while a revision is read, by the revision's name.

    Raises:
        IntegrityError: in the place of ObjectMissing. LengthMismatch, AccessRefused: with what to do next.
    """
    try:
        yield
    except ObjectMissing as error:
        if error.hint:
            raise
        raise IntegrityError(f"{reference} is not whole in the store: {error.message}", hint=_HINT) from error
    except LengthMismatch as error:
        error.hint = error.hint or _HINT
        raise
    except AccessRefused as error:
        error.hint = error.hint or "A node has to be able to read all of models/, records/ and index/ in the store."
        raise
