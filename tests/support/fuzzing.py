"""One fuzz target for each parser, its seeds, and what must hold for any bytes: an answer, bounded reads, no crash.

`python -m tests.fuzz TARGET` runs one under atheris for as long as it is let; `tests/test_fuzz_targets.py` runs all of them
over their seeds and some mutations of these, without atheris.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import lz4.frame
import numpy
import safetensors.numpy
import zstandard

from tests.support import database_corpus, gguf_corpus, media_corpus
from tests.support.archive_corpus import sevenzip
from tests.support.benign_pack import packed
from tests.support.inspecting import Bytes
from tests.support.real_models import HONEST
from weighbridge.core.finding import Inspection, Verdict
from weighbridge.inspectors.all_rules import RULES
from weighbridge.inspectors.registry import RULES_VERSION, inspect_artifact

GRAPHS = Path(__file__).parents[1] / "data" / "graphs"
MAX_READ_FACTOR = 64
"""An artifact's bytes may be asked for so many times over, in all: inspectors share no cache here."""

TEMPLATE = b"{% for m in messages %}{{ '<|' + m['role'] + '|>' + m.content | trim }}{% endfor %}"
CODE = b"import torch\nfrom .configuration import C\n\nclass Model(torch.nn.Module):\n    def forward(self, x):\n        return x\n"
CONFIG = {"model_type": "llama", "auto_map": {"AutoModel": "modeling.Model"}, "vocab_size": 32, "rope": {"factor": 2.0}}
TOKENIZER = {"version": "1.0", "added_tokens": [{"id": 0, "content": "<s>", "special": True}], "model": {"type": "BPE"}}


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def _npy() -> bytes:
    out = io.BytesIO()
    numpy.save(out, numpy.arange(6.0))
    return out.getvalue()


def _library(part: str, count: int = 6) -> list[bytes]:
    return [control.data for control in packed()[part] if len(control.data) < 20_000][:count]


def _graphs(*names: str) -> list[bytes]:
    """What real libraries wrote; see `tests/data/graphs/README.md`."""
    return [lzma.decompress((GRAPHS / f"{name}.xz").read_bytes()) for name in names]


def _honest(name: str) -> list[bytes]:
    return [data for path, data in HONEST.values() if path == name][:3]


WEIGHTS = safetensors.numpy.save({"w": numpy.ones((4, 4), dtype="f4")}, metadata={"format": "pt"})
TARGETS: dict[str, tuple[str, Callable[[], list[bytes]]]] = {
    "pickle": ("model.pkl", lambda: [pickle.dumps({"a": [1, 2.5, b"x"]}, p) for p in range(6)] + _library("numpy")),
    "torch": ("model.pt", lambda: _library("tensors")),
    "joblib": ("model.joblib", lambda: _library("sklearn")),
    "safetensors": ("model.safetensors", lambda: [WEIGHTS]),
    "gguf": ("model.gguf", lambda: [gguf_corpus.vocabulary().build()]),
    "npy": ("a.npy", lambda: [_npy()]),
    "zip": ("a.zip", lambda: [zipped({"a.txt": b"text", "b/data.pkl": pickle.dumps([1])})]),
    "tar": ("a.tar", lambda: [tarred({"a.txt": b"text", "b.pkl": pickle.dumps([1])})]),
    "7z": ("a.7z", lambda: [sevenzip({"a.txt": b"text"})]),
    "gzip": ("a.gz", lambda: [gzip.compress(b"text" * 50)]),
    "bz2": ("a.bz2", lambda: [bz2.compress(b"text" * 50)]),
    "xz": ("a.xz", lambda: [lzma.compress(b"text" * 50)]),
    "zlib": ("a.z", lambda: [zlib.compress(pickle.dumps(list(range(50))))]),
    "zstd": ("a.zst", lambda: [zstandard.compress(b"text" * 50)]),
    "lz4": ("a.lz4", lambda: [lz4.frame.compress(b"text" * 50)]),
    "png": ("a.png", lambda: [media_corpus.png()]),
    "jpeg": ("a.jpg", lambda: [media_corpus.jpeg()]),
    "gif": ("a.gif", lambda: [media_corpus.gif()]),
    "pdf": ("a.pdf", lambda: [media_corpus.pdf()]),
    "svg": ("a.svg", lambda: [media_corpus.svg("<path d='M0 0'/>")]),
    "fonts": ("a.ttf", lambda: [media_corpus.truetype(), media_corpus.woff()]),
    "templates": ("chat_template.jinja", lambda: [TEMPLATE]),
    "python": ("modeling.py", lambda: [CODE]),
    "notebook": ("a.ipynb", lambda: [json.dumps({"cells": [{"cell_type": "code", "source": ["1"]}]}).encode()]),
    "config": ("config.json", lambda: [json.dumps(CONFIG).encode()]),
    "tokenizer": ("tokenizer.json", lambda: [json.dumps(TOKENIZER).encode()]),
    "tokenizer-config": ("tokenizer_config.json", lambda: [json.dumps({"chat_template": TEMPLATE.decode()}).encode()]),
    "index": ("m.safetensors.index.json", lambda: [b'{"weight_map": {"w": "m-00001-of-00002.safetensors"}}']),
    "yaml": ("a.yaml", lambda: [b"model: &a\n  - x: 1\n  - *a\n"]),
    "card": ("README.md", lambda: [b"---\nlicense: mit\n---\n# A model\n\n```sh\npip install x\n```\n"]),
    "xml": ("model.xml", lambda: [b"<?xml version='1.0'?><PMML><Header/></PMML>"]),
    "flax": ("model.msgpack", lambda: [b"\x81\xa1w\x93\x01\x02\x03"]),
    "protobuf": (
        "model.onnx",
        lambda: [b"\x08\x08\x12\x04test:\x00B\x02\x10\x11", *_graphs("logisticregression.onnx")],
    ),
    "saved-model": ("saved_model.pb", lambda: _graphs("keras3.saved_model.pb")),
    "graph-def": ("frozen.pb", lambda: _graphs("frozen.pb")),
    "keras": ("config.json", lambda: _graphs("conv.json")),
    "hdf5": ("model.h5", lambda: _graphs("chunked.h5", "keras-dense.h5")),
    "r": ("a.rds", lambda: [b"X\n" + struct.pack(">iii", 2, 0x40000, 0x20300) + struct.pack(">ii", 254, 0)]),
    "aiff": ("a.aiff", lambda: [media_corpus.aiff(media_corpus.COMM, media_corpus.SSND)]),
    "long-wave": ("a.wav", lambda: [media_corpus.long_wave((b"fmt ", bytes(16)), (b"data", bytes(16)))]),
    "wave64": ("a.w64", lambda: [media_corpus.wave64((b"fmt ", bytes(16)), (b"data", bytes(16)))]),
    "sqlite": ("a.sqlite3", lambda: [database_corpus.holding(pickle.dumps([1])), database_corpus.HONEST[4].data]),
    "wide-text": ("a.csv", lambda: ["a,b\r\n1,2\r\n".encode("utf-16"), b"\xfe\xff" + "ä\n".encode("utf-16-be")]),
    "environment": ("environment.yml", lambda: [b"name: x\nvariables:\n  LD_PRELOAD: ./x.so\n"]),
    "dockerfile": ("Dockerfile", lambda: [b"FROM a\nENV B=1 \\\n  C=2\nRUN pip install -i https://x/y z\n"]),
    "executable": ("lib.so", lambda: [b"\x7fELF\x02\x01\x01" + bytes(57)]),
}


@cache
def seeds(target: str) -> tuple[bytes, ...]:
    """Honest inputs of one target."""
    return tuple(TARGETS[target][1]())


def check(target: str, data: bytes) -> Verdict:
    """Inspects bytes under the target's name; whatever they are, there is an answer that can be stored."""
    reader = Bytes(TARGETS[target][0], data)
    found = inspect_artifact(reader)
    inspection = Inspection(found.reports, RULES_VERSION)
    assert Inspection.from_bytes(inspection.to_bytes()).verdict is inspection.verdict
    assert {finding.rule for finding in inspection.findings} <= set(RULES)
    for report in found.reports:
        assert report.coverage.inspected_bytes >= 0
    assert reader.read_bytes <= MAX_READ_FACTOR * len(data) + 1024 * 1024
    return inspection.verdict


def mutated(data: bytes, source: random.Random) -> bytes:
    """One small damage: bytes flipped, cut, doubled, or a length made huge."""
    changed = bytearray(data)
    for _ in range(source.randint(1, 4)):
        place = source.randrange(len(changed) + 1)
        match source.randrange(5):
            case 0 if place < len(changed):
                changed[place] ^= 1 << source.randrange(8)
            case 1:
                del changed[place : place + source.randint(1, 16)]
            case 2:
                changed[place:place] = source.randbytes(source.randint(1, 16))
            case 3:
                changed[place : place + 4] = source.choice([b"\xff" * 4, b"\x00" * 4, b"\xff\xff\xff\x7f", b"\x80" * 4])
            case _:
                changed[place:place] = changed[place : place + 32]
    return bytes(changed)
