"""Lists the files of a folder or a bucket, and opens them, without following a link out of the folder.

Rules of a folder:

1. No component of a path is ever followed as a link: each is opened from its parent, refusing links.
2. A link to a regular file within the folder stands for that file (so caches of the Hub are laid out). Links to folders, out of
   the folder, to nowhere and to other links are not followed, and are told.
3. Devices, sockets and pipes are not opened, and are told. So are folders that cannot be read.

What is told goes to `troubles`; at most `MAX_TROUBLES` are kept and the others are counted.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from weighbridge.core.errors import ContentChanged, LimitExceeded, NotFound, SourceError
from weighbridge.core.ports import ObjectStore, RangeReader, StoredObject
from weighbridge.vault.readers import MAX_READ_BYTES, StoredReader

MAX_FILES: Final = 1_000_000
MAX_DEPTH: Final = 64
MAX_TROUBLES: Final = 1_000
LEFT_OUT: Final = frozenset((".git",))
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class Found:
    """A file. `target` is where a link to it leads, relative to the root; "" where it is no link."""

    path: str
    size_bytes: int
    target: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that was not looked at, and why."""

    path: str
    what: str


@dataclass(slots=True)
class Troubles:
    """What was not looked at, as far as it is kept."""

    kept: list[Trouble] = field(default_factory=list)
    count: int = 0

    def add(self, path: str, what: str) -> None:
        """One more."""
        self.count += 1
        if len(self.kept) < MAX_TROUBLES:
            self.kept.append(Trouble(path, what))


class Place(Protocol):
    """Somewhere models may lie."""

    @property
    def address(self) -> str:
        """Where it is, without secrets."""
        ...

    def walk(self, troubles: Troubles) -> Iterator[Found]:
        """All files, as far as they can be reached.

        Raises:
            SourceError, StoreError: nothing can be listed.
        """
        ...

    def reader(self, path: str) -> RangeReader:
        """A file that `walk` found, by its path."""
        ...


# --- a folder ------------------------------------------------------------------------------------


class FolderPlace:
    """A folder, or one file of it. See `Place`."""

    def __init__(self, location: str) -> None:
        # What a person names is theirs to name, also through links.
        named = Path(os.path.realpath(Path(location).expanduser()))
        self._only = named.name if _is_file(named) else ""
        self._root = named.parent if self._only else named
        self._start = ""
        if named.parent.name == "snapshots" and named.parent.parent.name.startswith("models--"):
            # A snapshot in a cache of the Hub is links into its repository.
            self._root = named.parent.parent.parent
            self._start = named.relative_to(self._root).as_posix()
        self._targets: dict[str, str] = {}

    @property
    def address(self) -> str:
        """The folder, or the file."""
        return str(self._root / (self._only or self._start))

    def walk(self, troubles: Troubles) -> Iterator[Found]:
        """All files, folder by folder, in order of name."""
        if self._only:
            yield Found(self._only, self.reader(self._only).size_bytes)
            return
        count, waiting = 0, [self._start]
        while waiting:
            folder = waiting.pop()
            below: list[str] = []
            for name, item in self._entries(folder, troubles):
                path = f"{folder}/{name}" if folder else name
                count += 1
                if count > MAX_FILES:
                    troubles.add(path, f"there are more than {MAX_FILES} files: what follows was not looked at")
                    return
                if stat.S_ISDIR(item.st_mode):
                    if name not in LEFT_OUT:
                        below.append(path)
                elif (found := self._file(path, item, troubles)) is not None:
                    yield found
            waiting += reversed(below)

    def _entries(self, folder: str, troubles: Troubles) -> list[tuple[str, os.stat_result]]:
        if folder.count("/") >= MAX_DEPTH:
            troubles.add(folder, f"it lies more than {MAX_DEPTH} folders deep")
            return []
        try:
            with self._opened(folder, os.O_DIRECTORY) as descriptor, os.scandir(descriptor) as listed:
                found = []
                for item in listed:
                    found.append((item.name, item.stat(follow_symlinks=False)))
                    if len(found) > MAX_FILES:
                        troubles.add(folder, f"it holds more than {MAX_FILES} files")
                        break
        except OSError as error:
            if folder == self._start:
                raise SourceError(f"'{self._root}' cannot be read: {error.strerror}") from error
            troubles.add(folder, f"the folder cannot be read: {error.strerror}")
            return []
        return sorted(found, key=lambda pair: pair[0])

    def _file(self, path: str, item: os.stat_result, troubles: Troubles) -> Found | None:
        if stat.S_ISREG(item.st_mode):
            return Found(path, item.st_size)
        if not stat.S_ISLNK(item.st_mode):
            troubles.add(path, "it is no regular file: it was not opened")
            return None
        try:
            target = self._within(path)
            with self._opened(target) as descriptor:
                pointed = os.fstat(descriptor)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            if isinstance(error, OSError) and error.errno == errno.ELOOP:
                why = "it leads to another link"
            troubles.add(path, f"the link was not followed: {why}")
            return None
        if not stat.S_ISREG(pointed.st_mode):
            troubles.add(path, "the link was not followed: it leads to a folder or a special file")
            return None
        self._targets[path] = target
        return Found(path, pointed.st_size, target)

    def _within(self, path: str) -> str:
        """Where a link leads, relative to the root. Raises ValueError: out of it."""
        parent, _, name = path.rpartition("/")
        with self._opened(parent, os.O_DIRECTORY) as descriptor:
            pointed = os.readlink(name, dir_fd=descriptor)
        joined = os.path.normpath(self._root / parent / pointed)
        relative = os.path.relpath(joined, self._root)
        if relative in (".", "..") or relative.startswith("../"):
            raise ValueError("it leads out of the folder that is looked at")
        return relative

    @contextmanager
    def _opened(self, path: str, flags: int = 0) -> Iterator[int]:
        """Opens a path below the root, component by component."""
        components = path.split("/") if path else []
        descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for number, component in enumerate(components):
                last = number == len(components) - 1
                inner = os.open(component, _FLAGS | (flags if last else os.O_DIRECTORY), dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    def reader(self, path: str) -> RangeReader:
        """Reads a file; a link that `walk` followed, by where it led then."""
        target = self._targets.get(path, path)
        try:
            with self._opened(target) as descriptor:
                size = _regular(descriptor, path)
        except OSError as error:
            raise SourceError(f"'{path}' cannot be read: {error.strerror}") from error
        return _FileReader(path, size, lambda: self._opened(target))


def _is_file(named: Path) -> bool:
    """Whether what a person named is a file, and not a folder.

    Raises:
        NotFound: there is nothing. SourceError: it is something else, or may not be looked at.
    """
    try:
        mode = named.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        hint = "Name a folder, a file, or s3://bucket/prefix."
        raise NotFound(f"there is no folder '{named}'", hint=hint) from error
    except OSError as error:
        raise SourceError(f"'{named}' cannot be read: {error.strerror}") from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise SourceError(f"'{named}' is neither a folder nor a regular file: it was not opened")
    return stat.S_ISREG(mode)


def _regular(descriptor: int, path: str) -> int:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise SourceError(f"'{path}' is no regular file any more")
    return found.st_size


@dataclass(frozen=True, slots=True)
class _FileReader:
    """See `core.ports.RangeReader`. Each read opens the file anew, so that any number may be at hand."""

    path: str
    size_bytes: int
    opened: Callable[[], AbstractContextManager[int]]

    def read(self, offset: int, length: int) -> bytes:
        length = min(length, self.size_bytes - offset)
        if length > MAX_READ_BYTES:
            raise LimitExceeded(f"{length} bytes of '{self.path}' were asked for at once")
        if length <= 0:
            return b""
        try:
            with self.opened() as descriptor:
                if _regular(descriptor, self.path) != self.size_bytes:
                    raise ContentChanged(f"'{self.path}' changed while it was read")
                return os.pread(descriptor, length, offset)
        except OSError as error:
            raise SourceError(f"'{self.path}' cannot be read: {error.strerror}") from error


# --- a bucket ------------------------------------------------------------------------------------


class BucketPlace:
    """The objects of a store under its prefix. See `Place`."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._objects: dict[str, StoredObject] = {}

    @property
    def address(self) -> str:
        """The bucket and prefix."""
        return self._store.address

    def walk(self, troubles: Troubles) -> Iterator[Found]:
        """All current objects, in order of key."""
        for number, one in enumerate(self._store.list("")):
            if number >= MAX_FILES:
                troubles.add(one.key, f"there are more than {MAX_FILES} objects: what follows was not looked at")
                return
            self._objects[one.key] = one
            yield Found(one.key, one.size_bytes)

    def reader(self, path: str) -> RangeReader:
        """Reads an object."""
        return StoredReader(self._store, self._objects[path], path)
