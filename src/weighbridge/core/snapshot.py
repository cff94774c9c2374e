"""What a source says it holds at one pinned revision, before any byte of it was read."""

from __future__ import annotations

import fnmatch
from dataclasses import field, replace

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import NothingCollected
from weighbridge.core.names import Address, ModelName


@dataclass(frozen=True, slots=True)
class Entry:
    """One artifact as the source announces it.

    `sha256` and `git_sha1` are the upstream's own claims ("" where it makes none), to be proven against the bytes.
    `validator` is what changes when the bytes at the source change (an ETag, a version id, a modification time); a
    resumed ingest compares it.
    """

    path: str
    size_bytes: int
    sha256: str = ""
    git_sha1: str = ""
    validator: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a revision came from, as recorded and signed.

    `kind` is `hub`, `bucket` or `folder`; `address` is without secrets; `commit` is "" unless the source has commits.
    `repository_id` and `owner_id` are the Hub's own stable ids, which a name reused by a stranger does not share.
    `published_at` is the commit's (or the newest object's) time, RFC 3339.
    """

    kind: str
    address: str
    endpoint: str = ""
    repository: str = ""
    repository_id: str = ""
    owner: str = ""
    owner_id: str = ""
    owner_kind: str = ""
    requested_ref: str = ""
    commit: str = ""
    published_at: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The pinned list of artifacts of a revision.

    `revision` is "" when it can only be known from the bytes (folders and buckets).
    """

    model_name: ModelName
    source: Address
    origin: Origin
    entries: tuple[Entry, ...]
    revision: str = ""
    include: tuple[str, ...] = field(default=())
    exclude: tuple[str, ...] = field(default=())

    @property
    def total_bytes(self) -> int:
        """The announced bytes of all entries."""
        return sum(entry.size_bytes for entry in self.entries)

    def select(self, include: tuple[str, ...], exclude: tuple[str, ...]) -> Snapshot:
        """The part of the snapshot that shell patterns choose; `*` also crosses `/`, as in `hf download`.

        Raises:
            NothingCollected: nothing is left.
        """

        def chosen(path: str) -> bool:
            wanted = not include or any(fnmatch.fnmatchcase(path, p) for p in include)
            return wanted and not any(fnmatch.fnmatchcase(path, p) for p in exclude)

        entries = tuple(entry for entry in self.entries if chosen(entry.path))
        if not entries:
            raise NothingCollected(
                f"{self.source} has {len(self.entries)} files and none of them is selected",
                hint="Check --include and --exclude; patterns are matched against the whole path.",
            )
        return replace(self, entries=entries, include=include, exclude=exclude)
