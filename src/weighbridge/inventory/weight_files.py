"""Which files hold a model's weights, by their content, and which of them are read for its fingerprint.

A repository may hold its weights several times: as safetensors and as pickles, in several quantisations, under the publisher's own
names beside the library's. Of such the fingerprint takes one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from weighbridge.core.errors import FormatError, IntegrityError
from weighbridge.core.ports import RangeReader
from weighbridge.formats.kinds import HEAD_BYTES, NAMED_PICKLES, kind_of, suffix_of
from weighbridge.formats.torch_checkpoint import form_of
from weighbridge.formats.zips import ZipArchive

READABLE: Final = ("safetensors", "torch", "gguf")
"""Formats whose values are read, the preferred one first."""
RUNS_CODE: Final = {
    "torch": "pickle",
    "pickle": "pickle",
    "nemo": "pickle",
    "torchscript": "program",
    "saved-model": "program",
    "keras": "may hold code",
    "hdf5": "may hold code",
}
MIN_BYTES: Final = 128
LOOKERS: Final = 16
_NO_WEIGHTS: Final = frozenset(("keras-metadata", "onnx-tensor", "ubjson", "word2vec"))
_TAR_MEMBERS: Final = (b"storages\x00", b"tensors\x00", b"pickle\x00", b"sys_info\x00")
_SHARD: Final = re.compile(r"[-_.](\d{4,6})-of-(\d{4,6})(?=\.|$)")
_VARIANT: Final = re.compile(r"\.(?:fp16|bf16|fp32|non_ema|ema)(?=[-.])")
_OWN_NAMES: Final = ("consolidated", "original/")
_USUAL: Final = (".safetensors", ".gguf", ".bin", ".pt", ".pth", ".ckpt")


def format_of(reader: RangeReader) -> str:
    """The format of the weights in a file, "" where it holds none.

    Raises:
        SourceError, StoreError, IntegrityError: it cannot be read.
    """
    size, path = reader.size_bytes, reader.path
    if size < MIN_BYTES:
        return ""
    head = reader.read(0, HEAD_BYTES)
    kind = kind_of(path.rpartition("/")[2], head, size)
    if kind.name == "zip":
        return _zip_format(reader)
    if kind.name == "tar":
        if path.lower().endswith(".nemo"):
            return "nemo"
        return "torch" if head.startswith(_TAR_MEMBERS) else ""
    if kind.name == "pickle":
        return "torch" if form_of(head) == "stream" else "pickle"
    if kind.family == "weights":
        return "" if kind.name in _NO_WEIGHTS else kind.name
    return "pickle" if kind.family == "serialised" and suffix_of(path) in NAMED_PICKLES else ""


def weights_of(paths: Iterable[str], open_file: Callable[[str], RangeReader]) -> list[tuple[str, str]]:
    """The weight files of one model with their formats; several are looked into at once.

    Raises:
        SourceError, StoreError, IntegrityError: one cannot be read.
    """
    wanted = looked_at(paths)
    with ThreadPoolExecutor(LOOKERS, thread_name_prefix="heads") as threads:
        formats = threads.map(lambda path: format_of(open_file(path)), wanted)
        return [(path, kind) for path, kind in zip(wanted, formats, strict=True) if kind]


def _zip_format(reader: RangeReader) -> str:
    try:
        names = [member.name for member in ZipArchive(reader).members]
    except (FormatError, IntegrityError):
        return ""
    tails = {name.partition("/")[2] or name for name in names}
    if "data.pkl" in tails or "data.pkl" in names:
        return "torchscript" if "constants.pkl" in tails or any(tail.startswith("code/") for tail in tails) else "torch"
    return "keras" if "config.json" in names and any(name.endswith(".weights.h5") for name in names) else ""


def stem_of(path: str) -> str:
    """What the shards of one model share."""
    return _SHARD.sub("", path)


def chosen(files: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Of all weight files of a model, each a path and a format, those that its fingerprint is made of."""
    found = sorted(files)
    for wanted in READABLE:
        of = [file for file in found if file[1] == wanted]
        if wanted == "gguf" and of:
            stems = sorted({stem_of(path) for path, _ in of}, key=_fineness)
            return [file for file in of if stem_of(file[0]) == stems[0]]
        if of:
            return _without_twins(of)
    return []


def _fineness(stem: str) -> tuple[int, str]:
    """Files whose values are decoded, by what their names say, first."""
    order = ("f32", "bf16", "f16", "q8_0", "q6_k", "q5_", "q4_", "iq4_", "q3_k", "q2_k")
    lower = stem.lower()
    return next((number for number, word in enumerate(order) if word in lower), len(order)), stem


def _without_twins(files: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    kept = [file for file in files if not file[0].startswith(_OWN_NAMES)] or list(files)
    names = {path for path, _ in kept}
    return [(path, kind) for path, kind in kept if not _VARIANT.search(path) or _VARIANT.sub("", path) not in names]


def looked_at(paths: Iterable[str]) -> list[str]:
    """Files that are opened to find the weights of one model: those with a usual ending; without any, all."""
    listed = sorted(paths)
    return [path for path in listed if path.lower().endswith(_USUAL)] or listed
