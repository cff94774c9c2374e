"""Loads tensors of an approved model straight from the store, every chunk proven before a byte of it is handed out.

    from weighbridge.serve.loader import open_tensors

    with open_tensors("acme/tiny@production", trust="trust.json") as tensors:
        for name, tensor in tensors.stream():
            state[name] = torch.from_dlpack(tensor)

What is trusted is the trust file alone: the index says which revision the channel points to, the seal which manifest that is,
the manifest which digest each chunk has. This module and what it imports never bring in a source, an inspector or the command
line, and nothing here imports numpy, torch or jax: tensors are handed over by DLPack.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

from weighbridge.core.closing import Closing
from weighbridge.formats.safetensors import TensorEntry
from weighbridge.serve.loading.memory import CPU, Memory
from weighbridge.serve.loading.node import Node, NodeSettings, open_node
from weighbridge.serve.loading.partial import check_partial, partial_reference
from weighbridge.serve.loading.shards import Shards
from weighbridge.serve.loading.stream import TensorStream, memory_for, wanted_of
from weighbridge.serve.loading.wholeness import whole
from weighbridge.vault.records import SealedRevision

MAX_FILE_BYTES: Final = 256 * 1024 * 1024


def streams_for(processors: int | None) -> int:
    """How many ranges are read at once: two for each processor, at least 4 and at most 16."""
    return max(4, min(16, 2 * (processors or 1)))


class VerifiedTensor:
    """A tensor whose bytes were proven, in memory of its own.

    `torch.from_dlpack`, `jax.dlpack.from_dlpack` and `numpy.from_dlpack` take that memory over without copying it, once;
    whoever took it owns it. `dtype` is safetensors' word for the type. Not thread-safe.
    """

    __slots__ = ("_entry", "_memory")

    def __init__(self, entry: TensorEntry, memory: Memory) -> None:
        self._entry = entry
        self._memory = memory

    @property
    def name(self) -> str:
        """Its name."""
        return self._entry.name

    @property
    def dtype(self) -> str:
        """Its type as safetensors names it, such as `BF16`."""
        return self._entry.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self._entry.shape

    @property
    def size_bytes(self) -> int:
        """How many bytes it has."""
        return self._memory.size_bytes

    @property
    def data(self) -> memoryview:
        """Its bytes in place, for types that no library knows. While the view is in use, DLPack gets a copy.

        Raises:
            BufferError: the memory was handed over.
        """
        return self._memory.view()

    def __dlpack_device__(self) -> tuple[int, int]:
        """`(1, 0)`: main memory."""
        return CPU

    def __dlpack__(
        self,
        *,
        stream: object = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> object:
        """A DLPack capsule; see the array API standard.

        Raises:
            BufferError: it was handed over before, or is asked for on another device.
        """
        if stream is not None or dl_device not in (None, CPU):
            raise BufferError("this tensor lies in main memory")
        return self._memory.hand_over(versioned=max_version is not None and max_version[0] >= 1, copy=copy)

    def __repr__(self) -> str:
        return f"VerifiedTensor({self.name!r}, {self.dtype}, {self.shape})"


class VerifiedTensors(Closing, Mapping[str, VerifiedTensor]):
    """The tensors of one revision, by name. A context manager; to be used from one thread.

    `tensors[name]` reads one tensor, `stream` many, ahead of whoever uses them. Nothing is kept: asked for again, a tensor is read
    and proven again.

    Raises:
        NotFound: the revision has no safetensors files. ConfigError: a named file is none.
        TrustError, DigestMismatch, StoreError, FormatError, IntegrityError: what is read cannot be proven.
    """

    def __init__(
        self,
        node: Node,
        revision: SealedRevision,
        *,
        files: Sequence[str] = (),
        streams: int = 0,
        memory_bytes: int = 0,
    ) -> None:
        self._node = node
        self.revision = revision
        streams = streams or streams_for(os.cpu_count())
        self._memory_bytes = memory_bytes or memory_for(streams)
        self._closing = ExitStack()
        self._threads = ThreadPoolExecutor(streams, thread_name_prefix="weighbridge-tensors")
        self._closing.callback(self._threads.shutdown, wait=True, cancel_futures=True)
        try:
            with whole(revision.manifest.reference):
                self._shards = Shards(node.store, revision, files)
        except BaseException:
            self.close()
            raise

    @property
    def files(self) -> tuple[str, ...]:
        """The safetensors files that are read."""
        return self._shards.paths

    @property
    def remembers(self) -> bool:
        """Whether what was seen of the index is kept, so that an older one shows after a restart."""
        return self._node.remembers

    def stream(self, names: Iterable[str] | None = None) -> Iterator[tuple[str, VerifiedTensor]]:
        """Names and tensors, file by file and in order of their bytes; only some, with `names`.

        Besides the tensor that is next, at most `memory_bytes` are read ahead.

        Raises:
            KeyError: there is no tensor of one of the names; or as the class.
        """
        with whole(self.revision.manifest.reference):
            yield from self._stream(None if names is None else frozenset(names))

    def _stream(self, wanted: frozenset[str] | None) -> Iterator[tuple[str, VerifiedTensor]]:
        paths: Sequence[str] = self._shards.paths
        if wanted is not None:
            paths = sorted({self._shards.where(name) for name in wanted})
        reading = TensorStream(
            self._node.store,
            self._shards,
            self._threads,
            memory_bytes=self._memory_bytes,
            wanted=wanted_of(wanted),
        )
        given = 0
        with closing(reading.read(paths)) as found:
            for entry, memory in found:
                given += 1
                yield entry.name, VerifiedTensor(entry, memory)
        if wanted is not None and given != len(wanted):
            raise KeyError("a tensor is not in the file that the index names for it")

    def read_file(self, path: str, *, most: int = MAX_FILE_BYTES) -> bytes:
        """Another artifact of the revision, proven: a configuration, a tokenizer.

        Raises:
            NotFound: there is none. LimitExceeded: it is larger than `most` bytes; or as the class.
        """
        with whole(self.revision.manifest.reference):
            return self._shards.read(path, most)

    def __getitem__(self, name: str) -> VerifiedTensor:
        for _, tensor in self.stream((name,)):
            return tensor
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def _names(self) -> tuple[str, ...]:
        with whole(self.revision.manifest.reference):
            return self._shards.names()

    def close(self) -> None:
        """Ends what is being read."""
        self._closing.close()


class _Opened(VerifiedTensors):
    """Also lets go of the node that was opened for it."""

    def __init__(
        self, settings: NodeSettings, reference: str, *, files: Sequence[str], streams: int, memory_bytes: int
    ) -> None:
        with ExitStack() as opening:
            node = opening.enter_context(open_node(settings))
            revision = node.resolve(reference)
            super().__init__(node, revision, files=files, streams=streams, memory_bytes=memory_bytes)
            opening.callback(self._closing.pop_all().close)
            self._closing = opening.pop_all()


def open_tensors(
    reference: str,
    *,
    trust: str | os.PathLike[str] | None = None,
    store: str = "",
    files: Sequence[str] = (),
    streams: int = 0,
    memory_bytes: int = 0,
) -> VerifiedTensors:
    """Opens the tensors of `org/name[@channel|@revision]` in an approved store.

    `trust` is the trust file (else `WEIGHBRIDGE_TRUST`, else the home's), `store` an address to use instead of the one it
    names. `files` are the safetensors files to read, by default those that the model's index names. `streams` ranges are read
    at once, and besides the tensor that is next at most `memory_bytes` ahead (by default 16 MiB for each stream).

    Raises:
        ConfigError: there is no trust file, or an argument is wrong.
        NothingCollected: there is no such model or channel. NotFound: it has no safetensors files.
        TrustError: revoked, expired, rolled back, or signed by nobody who is trusted.
        StoreError, FormatError, IntegrityError: it cannot be read, or is not what was sealed.
    """
    settings = NodeSettings(trust=Path(trust) if trust is not None else None, store=store)
    return _Opened(settings, reference, files=files, streams=streams, memory_bytes=memory_bytes)


def open_partial(
    folder: str | os.PathLike[str],
    *,
    trust: str | os.PathLike[str] | None = None,
    store: str = "",
    streams: int = 0,
    memory_bytes: int = 0,
) -> VerifiedTensors:
    """Opens the tensors that belong to a folder of `weighbridge fetch --no-weights`, once every file in it was proven.

    Raises:
        ConfigError: the folder is none of those. DigestMismatch, LengthMismatch: a file in it was altered; or as `open_tensors`.
    """
    place = Path(folder)
    reference = partial_reference(place)
    opened = open_tensors(reference, trust=trust, store=store, streams=streams, memory_bytes=memory_bytes)
    try:
        check_partial(place, opened.revision.manifest, streams or streams_for(os.cpu_count()))
    except BaseException:
        opened.close()
        raise
    return opened


__all__ = ["VerifiedTensor", "VerifiedTensors", "open_partial", "open_tensors", "streams_for"]
