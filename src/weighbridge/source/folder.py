"""Reads a model from a folder: a plain one, a Git checkout, a snapshot of the Hugging Face cache; or from one file.

Rules:

1. Symbolic links are followed only where the Hugging Face cache lays them: from `snapshots/<commit>/…` into `blobs/` of
   the same cached repository. Any other link is refused, in whichever component of the path it stands.
2. Only regular files are read. `.git` and `.cache` are not part of a model and are left out; so is `__pycache__`, unless
   asked for: Python, started in the folder, runs what lies there in place of the source.
3. A file that changes while it is read is an error.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from weighbridge.core.errors import ContentChanged, NotFound, SourceError, UnsafePath
from weighbridge.core.names import MAX_PATH_COMPONENTS, Address, ModelName, check_paths
from weighbridge.core.ports import ByteStream
from weighbridge.core.snapshot import Entry, Origin, Snapshot
from weighbridge.wire.files import FileRange

LEFT_OUT = frozenset({".git", ".cache"})
COMPILED = frozenset({"__pycache__"})
MAX_ENTRIES = 200_000
_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class FolderSource:
    """See `core.ports.Source`. The revision is known only once the bytes are."""

    def __init__(self, address: Address, *, as_name: ModelName | None = None, compiled: bool = False) -> None:
        named = Path(address.location)
        try:
            self._only = named.name if named.is_file() else ""
            self._root = named.parent if self._only else named
            self._blobs = _blobs_of(self._root)
        except (OSError, RuntimeError) as error:  # `resolve` says so of links that lead to themselves
            why = error.strerror if isinstance(error, OSError) else "its links lead to themselves"
            raise SourceError(f"'{named}' cannot be read: {why}") from error
        self._address = address
        self._as_name = as_name
        self._left_out = LEFT_OUT if compiled else LEFT_OUT | COMPILED

    def pin(self) -> Snapshot:
        """Lists the folder's files.

        Raises:
            NotFound: it is no readable folder.
            UnsafePath: a link that leaves it, a special file, or an unsafe name.
        """
        if not self._root.is_dir():
            if self._root.exists():
                raise NotFound(
                    f"'{self._root}' is neither a folder nor a regular file", hint="Copy what it holds to one."
                )
            raise NotFound(
                f"there is no file or folder '{self._root}'", hint="Name a folder, or hf://org/name, or s3://bucket."
            )
        try:
            listed = [(self._only, None)] if self._only else self._walk(self._root, "")
            entries = [self._entry(path, found) for path, found in listed]
        except OSError as error:
            raise SourceError(f"'{error.filename}' cannot be read: {error.strerror}") from error
        check_paths((entry.path for entry in entries), of=f"'{self._root}'")
        newest = max((entry.validator for entry in entries), default="0", key=lambda v: int(v.partition("-")[0]))
        published = datetime.fromtimestamp(int(newest.partition("-")[0]) // 10**9, tz=UTC).isoformat()
        return Snapshot(
            model_name=self._as_name or _local_name(self._root / self._only),
            source=self._address,
            origin=Origin(kind="folder", address=str(self._root.resolve() / self._only), published_at=published),
            entries=tuple(sorted(entries, key=lambda entry: entry.path)),
        )

    def _walk(self, folder: Path, prefix: str) -> Iterator[tuple[str, os.stat_result | None]]:
        """Paths; of regular files also what they are, of links nothing."""
        if prefix.count("/") > MAX_PATH_COMPONENTS:
            raise UnsafePath(
                f"'{self._root}' holds folders more than {MAX_PATH_COMPONENTS} deep", hint="No model needs that."
            )
        for count, item in enumerate(sorted(os.scandir(folder), key=lambda entry: entry.name)):
            if count >= MAX_ENTRIES:
                raise SourceError(f"'{folder}' holds more than {MAX_ENTRIES} files")
            path = f"{prefix}{item.name}"
            if item.name in self._left_out:
                continue
            if item.is_dir(follow_symlinks=False):
                yield from self._walk(Path(item.path), f"{path}/")
            elif item.is_symlink():
                yield path, None
            elif item.is_file(follow_symlinks=False):
                yield path, item.stat(follow_symlinks=False)
            else:
                raise UnsafePath(
                    f"'{path}' in '{self._root}' is not a regular file", hint="Leave it out of the folder."
                )

    def _entry(self, path: str, found: os.stat_result | None) -> Entry:
        if found is None:
            descriptor, found = self._opened(path)
            os.close(descriptor)
        return Entry(path, found.st_size, validator=_validator(found))

    def _opened(self, path: str) -> tuple[int, os.stat_result]:
        """Opens a file without following links other than the cache's own; it is for the caller to close."""
        target = f"{self._root}/{path}"
        try:
            try:
                descriptor = os.open(target, _READING)
            except OSError:
                if not os.path.islink(target):  # noqa: PTH114 - thousands of small files are opened here
                    raise
                descriptor = os.open(self._resolve_link(Path(target), path), _READING)
        except OSError as error:
            raise SourceError(f"'{path}' in '{self._root}' cannot be read: {error.strerror}") from error
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            raise UnsafePath(f"'{path}' in '{self._root}' is not a regular file")
        return descriptor, found

    def _resolve_link(self, link: Path, path: str) -> Path:
        target = Path(os.path.normpath(link.parent / link.readlink()))
        if self._blobs is None or target.resolve().parent != self._blobs or target.is_symlink():
            raise UnsafePath(
                f"'{path}' in '{self._root}' is a symbolic link out of the folder",
                hint="Only links inside the Hugging Face cache are followed. Copy the file in place of the link.",
            )
        return target

    @contextmanager
    def open(self, entry: Entry, start: int, end: int) -> Iterator[ByteStream]:
        """Opens bytes `start` to `end` (excluded) of `entry`."""
        descriptor, found = self._opened(entry.path)
        try:
            if _validator(found) != entry.validator:
                raise ContentChanged(f"'{entry.path}' in '{self._root}' changed while it was ingested")
            yield FileRange(descriptor, entry.path, start, end)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Nothing is kept open."""


def _validator(found: os.stat_result) -> str:
    return f"{found.st_mtime_ns}-{found.st_size}-{found.st_ino}"


def _blobs_of(root: Path) -> Path | None:
    """The `blobs` folder beside `snapshots/<commit>`, where `root` is such a snapshot."""
    real = root.resolve()
    for parent in (real, *real.parents):
        if parent.parent.name == "snapshots" and (parent.parent.parent / "blobs").is_dir():
            return (parent.parent.parent / "blobs").resolve()
    return None


def _local_name(root: Path) -> ModelName:
    """`local/<name>`, or the repository's name where the folder is a snapshot of the Hugging Face cache."""
    real = root.resolve()
    if real.parent.name == "snapshots" and real.parent.parent.name.startswith("models--"):
        _, organisation, name = [*real.parent.parent.name.split("--", 2), "", ""][:3]
        if organisation and name:
            return ModelName(organisation, name)
    return ModelName("local", real.name)
