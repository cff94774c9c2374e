"""Brings a revision into a folder that appears under its name only when every byte of it was proven.

- It is gathered in a sibling, `.NAME.REVISION.fetching`, and renamed when it is whole; where another folder lies in the way,
  the two are exchanged in one step (Linux, `RENAME_EXCHANGE`), and only if that was asked for and it looks like a model: what
  was exchanged is removed, and a name that was mistaken must not cost anybody's work.
- A chunk is held against its digest before it is written. Which chunks were written is noted in a journal; after a stop, those
  are read back and held against their digests again, for a journal proves nothing.
- Files can be read by all and written by none. A folder without the weights says so in a file of its own (`partial`).
"""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from weighbridge.core.config import TransferSettings
from weighbridge.core.digests import CHUNK_BYTES
from weighbridge.core.errors import (
    Busy,
    ConfigError,
    IntegrityError,
    Interrupted,
    OutOfSpace,
)
from weighbridge.core.manifest import Artifact, Manifest
from weighbridge.core.ports import Observer
from weighbridge.serve.approved import Approved
from weighbridge.serve.loading.checking import check_chunks, check_folder
from weighbridge.serve.loading.partial import PARTIAL, WEIGHTS, marker_of, without_weights
from weighbridge.serve.loading.wholeness import whole
from weighbridge.vault.chunks import read_chunks_into
from weighbridge.vault.patience import Patience
from weighbridge.vault.records import SealedRevision
from weighbridge.wire.files import as_store_errors, flush_folder, locked_file

RUN_CHUNKS: Final = 2
_OF_MODELS: Final = frozenset(("config.json", "model_index.json", "tokenizer.json", PARTIAL))
"""Files by whose names a folder shows that it holds a model, whichever."""
_ANYBODYS: Final = ("README", "LICENSE", ".git")
"""How names begin of files that lie in folders of any kind."""
FILE_MODE: Final = 0o444
FOLDER_MODE: Final = 0o755
_RECORD = struct.Struct("<II")
_PATIENCE = TransferSettings(retry_wait_seconds=0.2, retry_wait_limit_seconds=30.0)
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """How a revision is fetched: `replace` what lies there, leave the weights out, so many ranges at once."""

    observer: Observer
    cancelled: threading.Event
    streams: int
    replace: bool = False
    weights: bool = True


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of a folder: `fetched`, `replaced`, or `kept` because it held the revision already."""

    folder: Path
    manifest: Manifest
    how: str
    read_bytes: int
    resumed_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Work:
    """A fetch under way; `done` are the chunks that lie in the staging folder, proven, by number of the artifact."""

    approved: Approved
    sealed: SealedRevision
    artifacts: Sequence[Artifact]
    staging: Path
    options: FetchOptions
    done: set[tuple[int, int]] = field(default_factory=set)

    @property
    def files(self) -> Path:
        """Where the files are gathered."""
        return self.staging / "files"


def fetch(approved: Approved, sealed: SealedRevision, folder: Path, options: FetchOptions) -> Fetched:
    """Brings a resolved revision into `folder`.

    Raises:
        ConfigError: something else lies there, or the folder cannot be made.
        IntegrityError: the store's bytes are not what was sealed, or the folder held this revision and was altered.
        TrustError: it was revoked meanwhile. Busy: it is being fetched already.
        OutOfSpace, AccessRefused, StoreError: it cannot be read or written. Interrupted: it was stopped.
    """
    manifest = sealed.manifest
    artifacts = manifest.artifacts if options.weights else without_weights(manifest)
    marker = {} if options.weights else marker_of(manifest, artifacts)
    folder = folder.absolute()
    there = _what_lies(folder)
    if there == "folder" and _holds(folder, artifacts, marker, options):
        return Fetched(folder, manifest, "kept", 0)
    part = "" if options.weights else "-partial"
    staging = folder.parent / f".{folder.name}.{manifest.revision[:12]}{part}.fetching"
    with ExitStack() as closing:
        work = _Work(approved, sealed, artifacts, staging, options)
        with _writing(f"'{staging}'"):
            _make_staging(staging)
            closing.enter_context(_only_one(staging / "lock", folder))
        with whole(manifest.reference):
            read, resumed = _gather(work)
        with _writing(f"'{staging}'"):
            for name, data in marker.items():
                _write_marker(work.files / name, data)
            _settle(work.files)
        # What takes an hour to fetch may be revoked meanwhile.
        approved.check(manifest.model_name, manifest.revision)
        with _writing(f"'{folder}'"):
            _put_in_place(work.files, folder, exchange=there == "folder")
            flush_folder(folder.parent)
            # After an exchange, what lay there before is now in the staging folder.
            shutil.rmtree(staging, ignore_errors=True)
    return Fetched(folder, manifest, "replaced" if there == "folder" else "fetched", read, resumed)


def _what_lies(folder: Path) -> str:
    """`nothing` (or an empty folder), or `folder`."""
    try:
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode):
            raise ConfigError(f"'{folder}' is there and is no folder", hint="Name another one.")
        if folder.is_mount():
            raise ConfigError(
                f"'{folder}' is where a volume is mounted, so that nothing can be renamed to it",
                hint=f"Name a folder below it, such as '{folder / 'model'}'.",
            )
        return "folder" if any(folder.iterdir()) else "nothing"
    except FileNotFoundError:
        return "nothing"
    except OSError as error:
        raise ConfigError(
            f"'{folder}' cannot be looked at: {error.strerror}", hint="Name a folder that this user may make and fill."
        ) from error


def _holds(folder: Path, artifacts: Sequence[Artifact], marker: dict[str, bytes], options: FetchOptions) -> bool:
    """Whether the folder holds what is wanted; False when it is to be replaced."""
    try:
        check_folder(folder, artifacts, marker, options.streams, observer=options.observer, cancelled=options.cancelled)
    except (ConfigError, IntegrityError) as error:
        if not options.replace:
            error.hint = "Name another folder, or exchange this one for what was approved: --replace"
            raise
        _check_model_lies(folder, artifacts)
        return False
    return True


def _check_model_lies(folder: Path, artifacts: Sequence[Artifact]) -> None:
    """Returns when what lies there looks like a model, and nobody works in it.

    Raises:
        ConfigError: it does not.
    """
    own = {artifact.path for artifact in artifacts if not artifact.path.startswith(_ANYBODYS)}
    with _writing(f"'{folder}'"):
        names = [entry.name for entry in folder.iterdir()]
        within = Path.cwd().is_relative_to(folder.resolve())
    a_model = any(name in _OF_MODELS or name.lower().endswith(WEIGHTS) for name in names)
    if within or not (a_model or any((folder / path).is_file() for path in own)):
        what = "is where this command was started" if within else "holds no model"
        raise ConfigError(
            f"'{folder}' {what}, and would be removed as a whole",
            hint="Name the folder of the model itself; or remove this one yourself, if nobody needs it.",
        )


# --- gathering


def _gather(work: _Work) -> tuple[int, int]:
    """Fills the staging folder; how many bytes were read from the store, and how many were there before."""
    artifacts, options = work.artifacts, work.options
    with _writing(f"'{work.staging}'"):
        _make_files(work.files, artifacts)
        journal = _Journal(work.staging / "journal", f"{work.sealed.manifest.digest}\n".encode("ascii"))
    with journal, ThreadPoolExecutor(options.streams, thread_name_prefix="weighbridge-fetch") as threads:
        claimed = [(number, chunk) for number, chunk in journal.claimed() if _fits(artifacts, number, chunk)]
        options.observer.planned(len(artifacts), sum(one.size_bytes for one in artifacts), 0)
        work.done.update(
            check_chunks(
                work.files, artifacts, claimed, threads, observer=options.observer, cancelled=options.cancelled
            )
        )
        resumed = sum(_size(artifacts[number], chunk) for number, chunk in work.done)
        missing = sum(one.size_bytes for one in artifacts) - resumed
        _check_room(work.files, artifacts, missing)
        _all_of(threads, work, [_reader(work, journal, number, run) for number, run in _runs(work)])
    return missing, resumed


def _all_of(threads: ThreadPoolExecutor, work: _Work, tasks: Sequence[Callable[[threading.Event], None]]) -> None:
    """Runs all; the first that fails stops the others."""
    stop = threading.Event()
    futures = [threads.submit(task, stop) for task in tasks]
    try:
        waiting = set(futures)
        while waiting:
            finished, waiting = wait(waiting, timeout=0.2, return_when=FIRST_EXCEPTION)
            for future in finished:
                future.result()
            if work.options.cancelled.is_set():
                raise Interrupted("the fetch was stopped", hint="The same command goes on where it stopped.")
    finally:
        stop.set()
        for future in futures:
            future.cancel()


def _reader(work: _Work, journal: _Journal, number: int, run: Sequence[int]) -> Callable[[threading.Event], None]:
    """Reads one run of chunks of an artifact into its file."""
    artifact, options = work.artifacts[number], work.options
    stored, store = work.sealed.placed[artifact.path], work.approved.store

    def read(stop: threading.Event) -> None:
        if stop.is_set():
            return
        patience = Patience(
            _PATIENCE, stop, lambda why, seconds: options.observer.retrying(artifact.path, why, seconds)
        )
        buffer = _scratch()
        with _writing(f"'{work.files / artifact.path}'"):
            descriptor = os.open(work.files / artifact.path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            for chunk, view in read_chunks_into(
                store, stored, artifact, run, lambda _number, size: buffer[:size], patience=patience
            ):
                with _writing(f"'{work.files / artifact.path}'"):
                    _write_at(file.fileno(), view, chunk * CHUNK_BYTES)
                    journal.note(number, chunk)
                options.observer.advanced(artifact.path, len(view), artifact.size_bytes)
                if stop.is_set():
                    return

    return read


_own = threading.local()


def _scratch() -> memoryview:
    """A chunk's room of this thread's own."""
    buffer: bytearray | None = getattr(_own, "buffer", None)
    if buffer is None:
        buffer = _own.buffer = bytearray(CHUNK_BYTES)
    return memoryview(buffer)


def _write_at(descriptor: int, view: memoryview, offset: int) -> None:
    written = 0
    while written < len(view):
        written += os.pwrite(descriptor, view[written:], offset + written)


def _runs(work: _Work) -> Iterator[tuple[int, list[int]]]:
    """What is missing, as the artifact's number and a few consecutive chunks."""
    for number, artifact in enumerate(work.artifacts):
        run: list[int] = []
        for chunk in range(len(artifact.chunks)):
            if (number, chunk) in work.done:
                continue
            if run and (chunk != run[-1] + 1 or len(run) == RUN_CHUNKS):
                yield number, run
                run = []
            run.append(chunk)
        if run:
            yield number, run


def _fits(artifacts: Sequence[Artifact], number: int, chunk: int) -> bool:
    return number < len(artifacts) and chunk < len(artifacts[number].chunks)


def _size(artifact: Artifact, chunk: int) -> int:
    return min(CHUNK_BYTES, artifact.size_bytes - chunk * CHUNK_BYTES)


class _Journal:
    """Which chunks were written, for the next start: a line that says of what, then one record of eight bytes for each."""

    def __init__(self, path: Path, head: bytes) -> None:
        self._head = head
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if os.pread(self._descriptor, len(head), 0) != head:
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, head)
        # A record that a kill cut short would shift all that follow.
        size = os.fstat(self._descriptor).st_size - len(head)
        os.ftruncate(self._descriptor, len(head) + size - size % _RECORD.size)

    def claimed(self) -> list[tuple[int, int]]:
        """Artifact and chunk of every record, each once."""
        size = os.fstat(self._descriptor).st_size - len(self._head)
        data = os.pread(self._descriptor, size, len(self._head)) if size else b""
        return sorted({(number, chunk) for number, chunk in _RECORD.iter_unpack(data[: len(data) - len(data) % 8])})

    def note(self, number: int, chunk: int) -> None:
        """One more chunk was written."""
        os.write(self._descriptor, _RECORD.pack(number, chunk))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


# --- folders


def _writing(what: str) -> AbstractContextManager[None]:
    """The system's errors of writing as ours."""
    return as_store_errors(
        f"{what} cannot be written",
        room="Make room; the same command goes on where it stopped.",
        access="The model is gathered beside its folder and then renamed: this user has to be able to write to the folder above.",
    )


@contextmanager
def _only_one(lock: Path, folder: Path) -> Iterator[None]:
    try:
        with locked_file(lock, wait_seconds=0):
            yield
    except TimeoutError as error:
        raise Busy(f"another process is fetching into '{folder}'", hint="Wait for it.") from error


def _make_staging(staging: Path) -> None:
    """A folder of our own that nobody else can write to."""
    staging.parent.mkdir(parents=True, exist_ok=True)
    try:
        staging.mkdir(mode=0o700)
    except FileExistsError:
        status = staging.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise ConfigError(
                f"'{staging}' is there and is not ours alone", hint="Find out who made it, and remove it."
            ) from None


def _make_files(files: Path, artifacts: Sequence[Artifact]) -> None:
    files.mkdir(mode=0o700, exist_ok=True)
    for artifact in artifacts:
        path = files / artifact.path
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
            if os.fstat(descriptor).st_size != artifact.size_bytes:
                os.ftruncate(descriptor, artifact.size_bytes)
        finally:
            os.close(descriptor)


def _check_room(files: Path, artifacts: Sequence[Artifact], missing: int) -> None:
    """Chunks that were begun have their room already: what is not yet taken has to be there, not what is not yet proven."""
    with _writing(f"'{files}'"):
        free = os.statvfs(files)
        taken = sum(min((files / one.path).stat().st_blocks * 512, one.size_bytes) for one in artifacts)
    room = free.f_bavail * free.f_frsize
    if min(missing, sum(one.size_bytes for one in artifacts) - taken) > room:
        raise OutOfSpace(
            f"'{files.parent.parent}' has room for {room} bytes, and {missing} of {sum(a.size_bytes for a in artifacts)} are missing",
            hint="Make room, or name a folder on a larger volume.",
        )


def _write_marker(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
        file.write(data)


def _settle(files: Path) -> None:
    """Makes what was gathered last, and takes the right to write away."""
    for base, _, names in os.walk(files, topdown=False):
        for name in names:
            descriptor = os.open(Path(base) / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                os.fchmod(descriptor, FILE_MODE)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        Path(base).chmod(FOLDER_MODE)
        flush_folder(Path(base))


def _put_in_place(files: Path, folder: Path, *, exchange: bool) -> None:
    """The step at which the folder appears."""
    if not exchange:
        files.rename(folder)
        return
    library = ctypes.CDLL(None, use_errno=True)
    renamed = getattr(library, "renameat2", None)
    old, new = os.fsencode(files), os.fsencode(folder)
    if renamed is not None and renamed(_AT_FDCWD, old, _AT_FDCWD, new, _RENAME_EXCHANGE) == 0:
        return
    aside = files.parent / "before"
    folder.rename(aside)
    files.rename(folder)
