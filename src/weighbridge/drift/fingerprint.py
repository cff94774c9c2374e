"""Fingerprints a model by its architecture and by samples of its weights, with ranged reads only.

- The architecture is told by the plain names and shapes of all tensors, without their types; and by the shapes alone, which also
  survive another naming.
- The weights are told by a sketch (`sketch`) of each of at most `MAX_SKETCHED` tensors. Which ones follows from layers, shapes and
  plain names: all of a small model; of a large one those of `MAX_LAYERS` layers; of experts the first.
- Read are the headers, and at most `MAX_SKETCHED` times two windows of 512 values: 3 MB at 4 bytes each.

Formats: safetensors, GGUF, and torch checkpoints that hold nothing but weights. What is not read is said in `left_out`.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from weighbridge.core import canonical
from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.errors import FormatError, IntegrityError, Malformed
from weighbridge.core.ports import RangeReader
from weighbridge.drift.decoding import DECODERS
from weighbridge.drift.packed import unpacked
from weighbridge.drift.quantised import BLOCK_TYPES
from weighbridge.drift.sampling import read_spans
from weighbridge.drift.side import AheadReader, Tally
from weighbridge.drift.sketch import BITS, GRAINS, GROUP, MIN_VALUES, QUANTISED, Sketch, sketch, windows_of
from weighbridge.drift.tensor_names import expert_of, holds_experts, is_added, layer_of, plain
from weighbridge.drift.tensors import READERS, Tensor, gguf_tensors, safetensors_tensors
from weighbridge.formats.gguf import read_gguf
from weighbridge.remediate.checkpoints import read_weights as read_checkpoint_weights

FORMAT: Final = "weighbridge.fingerprint/1"
MAX_SKETCHED: Final = 384
MAX_LAYERS: Final = 24
MAX_TENSORS: Final = 400_000
MAX_FILES: Final = 2_000
MAX_NAME_CHARACTERS: Final = 200
MAX_NUMBER: Final = (1 << 53) - 1
"""What a record can hold."""
_SPANS_AT_ONCE: Final = 32
_TYPES: Final = frozenset(("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "I8"))

Open = Callable[[str], RangeReader]


@dataclass(frozen=True, slots=True)
class Sketched:
    """One tensor of a fingerprint, by its plain name."""

    name: str
    shape: tuple[int, ...]
    sketch: Sketch

    def to_json(self) -> JsonValue:
        """Name, shape, bits, grain, witness; and the reach of values in blocks."""
        kept = [_in_hex(values) for values in (self.sketch.witness, self.sketch.reach) if values]
        return [self.name, list(self.shape), f"{self.sketch.bits:032x}", self.sketch.grain, *kept]

    @classmethod
    def from_json(cls, value: JsonValue) -> Sketched:
        """Reads what `to_json` writes.

        Raises:
            Malformed: it is something else.
        """
        if not isinstance(value, list) or len(value) not in (5, 6) or not isinstance(value[1], list):
            raise Malformed("a tensor of a fingerprint is not well-formed")
        name, shape, bits, grain, *kept = value
        try:
            numbers = [struct.unpack(f"<{GROUP}f", bytes.fromhex(str(one))) for one in kept]
            if (
                grain not in GRAINS
                or len(str(bits)) != BITS // 4
                or any(not 0 <= one < math.inf for one in (*numbers, ())[1])
            ):
                raise ValueError("no sketch")
            sketched = Sketch(int(str(bits), 16), str(grain), *numbers)
            return cls(str(name), tuple(int(size) for size in shape), sketched)
        except (TypeError, ValueError, struct.error) as error:
            raise Malformed("a tensor of a fingerprint is not well-formed") from error


def _in_hex(values: Sequence[float]) -> str:
    return struct.pack(f"<{GROUP}f", *values).hex()


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What tells a model, whatever it is called. `types` counts tensors, `left_out` what could not be read, in words."""

    names_digest: str
    shapes_digest: str
    tensor_count: int
    parameters: int
    types: Mapping[str, int]
    files: int
    tensors: tuple[Sketched, ...]
    left_out: tuple[str, ...] = ()
    drawn: bool = False
    """Whether there are more tensors than are sketched."""
    read_bytes: int = 0
    reads: int = 0
    digest: str = field(init=False)
    """Of all sketches: equal for copies in the same types, wherever their tensors lie and whatever they are called."""

    def __post_init__(self) -> None:
        lines = sorted(f"{one.shape} {one.sketch.bits:032x} {one.sketch.witness}" for one in self.tensors)
        object.__setattr__(self, "digest", hashlib.sha256("\n".join(lines).encode()).hexdigest() if lines else "")

    @property
    def quantised(self) -> str:
        """The type in which most of its tensors are quantised; "" where most are not."""
        ((grain, _),) = Counter(one.sketch.grain for one in self.tensors).most_common(1) or [("", 0)]
        return grain if grain in QUANTISED else ""

    def to_json(self) -> dict[str, JsonValue]:
        """The record."""
        return {
            "format": FORMAT,
            "architecture": {
                "names": self.names_digest,
                "shapes": self.shapes_digest,
                "tensors": self.tensor_count,
                "parameters": self.parameters,
            },
            "weights": {"digest": self.digest, "types": dict(self.types), "files": self.files, "drawn": self.drawn},
            "left_out": list(self.left_out),
            "read": {"bytes": self.read_bytes, "requests": self.reads},
            "sketches": [one.to_json() for one in self.tensors],
        }

    @classmethod
    def from_bytes(cls, data: bytes) -> Fingerprint:
        """Reads a record.

        Raises:
            Malformed, LimitExceeded: it is none, or of another version.
        """
        return cls.from_json(canonical.decode_object(data, what="the fingerprint"))

    @classmethod
    def from_json(cls, value: JsonValue) -> Fingerprint:
        """As `from_bytes`, of a parsed record."""
        record = Fields(value, what="the fingerprint")
        if record.text("format") != FORMAT:
            raise Malformed("the fingerprint has a format this version does not read")
        architecture, weights, read = (record.fields(key) for key in ("architecture", "weights", "read"))
        types = weights.fields("types")
        kinds = weights.value("types")
        return cls(
            architecture.text("names"),
            architecture.text("shapes"),
            architecture.integer("tensors"),
            architecture.integer("parameters"),
            {str(name): types.integer(str(name)) for name in (kinds if isinstance(kinds, Mapping) else ())},
            weights.integer("files"),
            tuple(Sketched.from_json(one) for one in record.items("sketches")[:MAX_SKETCHED]),
            record.texts("left_out"),
            weights.boolean("drawn"),
            read.integer("bytes"),
            read.integer("requests"),
        )


@dataclass(frozen=True, slots=True)
class _Piece:
    """A tensor, or the first expert of a stack: row-major, the outermost dimension first."""

    name: str
    shape: tuple[int, ...]
    tensor: Tensor


def fingerprint(files: Sequence[tuple[str, str]], open_file: Open) -> Fingerprint:
    """The fingerprint of the model in weight files, each a path and a kind (`safetensors`, `gguf` or `torch`).

    Raises:
        SourceError, StoreError: a file could not be reached.
    """
    tally, left_out = Tally(), list[str]()
    if len(files) > MAX_FILES:
        left_out.append(f"{len(files) - MAX_FILES} files: more than {MAX_FILES}")
        files = sorted(files)[:MAX_FILES]
    tensors = _headers(files, open_file, tally, left_out)
    learned = [tensor for tensor in tensors if not is_added(tensor.name)]
    lines = sorted(f"{plain(one.name)} {_row_major(one)}" for one in learned)
    shapes = sorted(str(_row_major(one)) for one in learned)
    chosen, drawn = _chosen(learned)
    sketched, flat = _sketch_all(chosen, open_file, tally)
    undecoded = Counter(one.dtype for one in learned if len(one.shape) > 1 and not _is_decoded(one.dtype))
    left_out += [
        f"{count} tensors of {dtype}, whose values are not decoded" for dtype, count in sorted(undecoded.items())
    ]
    left_out += [f"{flat} tensors whose samples say nothing (constant, or no numbers)"] if flat else []
    return Fingerprint(
        _digest(lines),
        _digest(shapes),
        len(tensors),
        min(MAX_NUMBER, sum(math.prod(one.shape) for one in learned)),
        dict(sorted(Counter(one.dtype for one in learned).items())),
        len(files),
        tuple(sorted(sketched, key=lambda one: (one.name, one.shape))),
        tuple(left_out),
        drawn,
        tally.bytes,
        tally.reads,
    )


def _headers(files: Sequence[tuple[str, str]], open_file: Open, tally: Tally, left_out: list[str]) -> list[Tensor]:
    """The tensors of all files, several read at once; of a name in one folder the first, and no more than `MAX_TENSORS`."""
    found: dict[tuple[str, str], Tensor] = {}

    def read(file: tuple[str, str]) -> tuple[Sequence[Tensor], str]:
        if len(found) >= MAX_TENSORS:
            return (), f"'{file[0]}': there are more than {MAX_TENSORS} tensors without it"
        return _tensors(file, open_file, tally)

    ordered = sorted(files)
    with ThreadPoolExecutor(READERS, thread_name_prefix="headers") as threads:
        # A few at a time: what was read and is not yet taken is bounded as well.
        for at in range(0, len(ordered), 2 * READERS):
            for tensors, problem in threads.map(read, ordered[at : at + 2 * READERS]):
                left_out += [problem] if problem else []
                for one in tensors[: max(0, MAX_TENSORS - len(found))]:
                    found.setdefault((one.path.rpartition("/")[0], one.name), one)
    return list(found.values())


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def _tensors(file: tuple[str, str], open_file: Open, tally: Tally) -> tuple[Sequence[Tensor], str]:
    path, kind = file
    reader = AheadReader(open_file(path), tally)
    try:
        if kind == "gguf":
            return gguf_tensors(path, read_gguf(reader)).tensors, ""
        if kind == "safetensors":
            return unpacked(safetensors_tensors(reader).tensors, reader), ""
        return _of_checkpoint(reader), ""
    except (FormatError, IntegrityError) as error:
        return (), f"'{path}' is not understood: {error.message}"


def _of_checkpoint(reader: RangeReader) -> list[Tensor]:
    """Tensors of a torch checkpoint whose values lie in order; the others only by their shape."""
    found = []
    for one in read_checkpoint_weights(reader).tensors:
        dtype = one.dtype if one.contiguous else f"{one.dtype}, strided"
        found.append(
            Tensor(one.name, dtype, one.shape, one.path, one.begin, one.begin + one.size_bytes, 1, one.item_bytes)
        )
    return found


def _row_major(tensor: Tensor) -> tuple[int, ...]:
    """The shape, the outermost dimension first; dimensions of one are left out."""
    shape = tensor.shape[::-1] if tensor.gguf else tensor.shape
    return tuple(size for size in shape if size != 1)


def _is_decoded(dtype: str) -> bool:
    return dtype in _TYPES or dtype in BLOCK_TYPES


def _chosen(tensors: Iterable[Tensor]) -> tuple[list[_Piece], bool]:
    """What is sampled, and whether there is more: then whole layers, spread over all, as many as fit."""
    pieces: list[_Piece] = []
    for one in tensors:
        name, shape = plain(one.name), _row_major(one)
        if len(shape) == 3 and holds_experts(one.name):
            name, shape = f"{name}.0", shape[1:]
        if len(shape) < 2 or math.prod(shape) < MIN_VALUES or not _is_decoded(one.dtype) or expert_of(one.name):
            continue
        pieces.append(_Piece(name[:MAX_NAME_CHARACTERS], shape, one))
    if len(pieces) <= MAX_SKETCHED:
        return pieces, False
    by_layer: dict[int | None, list[_Piece]] = {}
    for piece in pieces:
        by_layer.setdefault(layer_of(piece.name), []).append(piece)
    layers = sorted(layer for layer in by_layer if layer is not None)
    for count in range(min(MAX_LAYERS, len(layers)), 1, -1):
        kept = {layers[number * (len(layers) - 1) // (count - 1)] for number in range(count)}
        whole = [piece for layer, held in by_layer.items() if layer is None or layer in kept for piece in held]
        if len(whole) <= MAX_SKETCHED:
            return whole, True
    return sorted(pieces, key=lambda one: _digest((str(one.shape), one.name)))[:MAX_SKETCHED], True


def _sketch_all(pieces: Sequence[_Piece], open_file: Open, tally: Tally) -> tuple[list[Sketched], int]:
    values = _read(pieces, open_file, tally)
    found: list[Sketched] = []
    for number, piece in enumerate(pieces):
        sketched = _sketched(piece.tensor.dtype, values[number])
        if sketched is not None:
            found.append(Sketched(piece.name, piece.shape, sketched))
    return found, len(pieces) - len(found)


def _sketched(dtype: str, windows: Iterable[bytes]) -> Sketch | None:
    values: list[float] = []
    reach: list[float] = []
    blocks = BLOCK_TYPES.get(dtype)
    for window in windows:
        if blocks is None:
            values += DECODERS[dtype](window)
        else:
            decoded, reaches = blocks.decode(window)
            values += decoded
            reach += reaches
    return sketch(values, blocks.name if blocks else dtype, reach)


def _read(pieces: Sequence[_Piece], open_file: Open, tally: Tally) -> list[list[bytes]]:
    """The bytes of each piece's windows; several requests at once, also to one file."""
    wanted: dict[str, list[tuple[int, int, int, int]]] = {}
    values: list[list[bytes]] = []
    for number, piece in enumerate(pieces):
        tensor, spans = piece.tensor, []
        for index, (first, count) in enumerate(windows_of(piece.shape)):
            start = tensor.start + first // tensor.block_values * tensor.block_bytes
            end = tensor.start + -(-(first + count) // tensor.block_values) * tensor.block_bytes
            spans.append((start, min(end, tensor.end), number, index))
        wanted.setdefault(tensor.path, []).extend(spans)
        values.append([b""] * len(spans))

    def read(job: tuple[str, list[tuple[int, int, int, int]]]) -> None:
        reader = _Counted(open_file(job[0]), tally)
        for _, _, number, index, data in read_spans(reader, job[1]):
            values[number][index] = data

    jobs = []
    for path, spans in sorted(wanted.items()):
        spans.sort()
        jobs += [(path, spans[at : at + _SPANS_AT_ONCE]) for at in range(0, len(spans), _SPANS_AT_ONCE)]
    with ThreadPoolExecutor(2 * READERS, thread_name_prefix="values") as threads:
        for _ in threads.map(read, jobs):
            pass
    return values


@dataclass(frozen=True, slots=True)
class _Counted:
    """A reader whose reads are counted."""

    reader: RangeReader
    tally: Tally

    @property
    def path(self) -> str:
        return self.reader.path

    @property
    def size_bytes(self) -> int:
        return self.reader.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        data = self.reader.read(offset, length)
        self.tally.add(len(data))
        return data
