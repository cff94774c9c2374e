"""What a prefix of an object store is as a model, whichever store it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from weighbridge.core.errors import (
    AccessRefused,
    Gated,
    NotFound,
    ObjectMissing,
    SourceError,
    StoreError,
    StoreUnreachable,
    Unreachable,
)
from weighbridge.core.names import Address, ModelName, check_paths
from weighbridge.core.snapshot import Entry, Origin, Snapshot

MAX_ENTRIES = 200_000


def snapshot_of(
    address: Address, entries: Sequence[Entry], *, newest: str, as_name: ModelName | None, endpoint: str = ""
) -> Snapshot:
    """The snapshot of the objects under a prefix; `newest` is the time of the last change, RFC 3339.

    Raises:
        NotFound: there are none.
        UnsafePath: a key that must not be stored.
    """
    if not entries:
        raise NotFound(f"there is nothing under {address}", hint="Check the bucket and the prefix.")
    check_paths((entry.path for entry in entries), of=str(address))
    return Snapshot(
        model_name=as_name or ModelName("local", (address.prefix or address.bucket).rpartition("/")[2]),
        source=address,
        origin=Origin(kind="bucket", address=str(address), endpoint=endpoint, published_at=newest),
        entries=tuple(sorted(entries, key=lambda entry: entry.path)),
    )


@contextmanager
def as_source_error() -> Iterator[None]:
    """The bucket is a source here: what a store would say becomes what a source says."""
    try:
        yield
    except StoreUnreachable as error:
        raise Unreachable(error.message, hint=error.hint) from error
    except AccessRefused as error:
        raise Gated(error.message, hint=error.hint) from error
    except ObjectMissing as error:
        raise NotFound(error.message, hint=error.hint) from error
    except StoreError as error:
        raise SourceError(error.message, hint=error.hint) from error
