"""Attacks written against these rules that lie in bytes, each with the rule that holds it, and an honest twin of each kind.

Nothing here is ever loaded. `TWINS` are what the real writers make of the same things, or what an honest publisher says in
the same keys: nothing is said of them.
"""

from __future__ import annotations

import io
import json
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator

import numpy

from tests.support.pickles import blob, call, stack_global, text

Case = tuple[str, str, bytes, str]
"""A name, a path, the bytes, and a rule that they break."""

_ODD = "pickle-odd-arguments"
_MINUS = b"J\xff\xff\xff\xff"


def _dtype(kind: str, state: bytes = b"") -> bytes:
    return stack_global("numpy dtype") + text(kind) + b"\x89\x88\x87R" + (state + b"b" if state else b"")


def _state(
    *, within: bytes = b"N", names: bytes = b"N", fields: bytes = b"N", size: bytes = _MINUS, flags: int = 0
) -> bytes:
    """What numpy writes of a type: version, order, the type repeated, names, fields, size, alignment, flags."""
    return b"(K\x03" + text("|") + within + names + fields + size + _MINUS + b"K" + bytes([flags]) + b"t"


def _array(dtype: bytes, before: bytes = b"") -> bytes:
    """An array of one element whose memory is the stream's own bytes."""
    made = stack_global("numpy._core.multiarray _reconstruct") + stack_global("numpy ndarray") + b"K\x00\x85"
    return (
        b"\x80\x04" + before + made + blob(b"b") + b"\x87R(K\x01K\x01\x85" + dtype + b"\x89" + blob(b"A" * 8) + b"tb."
    )


_OBJECTS = _dtype("O8", _state(flags=63))
_FIELD = text("a") + _OBJECTS + b"K\x00\x86"
_ESTIMATOR = stack_global("sklearn.svm._classes SVC") + b")\x81"
_ORDERED = stack_global("collections OrderedDict") + b")R"
_ZEROS = stack_global("numpy zeros")


def _fielded(fields: bytes, before: bytes = b"", *, flags: int = 0) -> bytes:
    state = _state(names=text("a") + b"\x85", fields=fields, size=b"K\x08", flags=flags)
    return _array(_dtype("V8", state), before)


def _types() -> Iterator[tuple[str, bytes]]:
    """Types of numpy whose state lies: addresses and sizes of the attacker's choosing."""
    yield "objects that say they are none", _array(_dtype("O8", _state()))
    yield "objects that say half of it", _array(_dtype("O8", _state(flags=1)))
    yield "objects in a field", _fielded(b"}" + _FIELD + b"s")
    yield "objects in a field, made by DICT", _fielded(b"(" + _FIELD + b"d")
    yield "objects in a field, by the memo", _fielded(b"h\x00", b"}\x94" + _FIELD + b"s0")
    yield "objects in a field, by another mapping", _fielded(_ORDERED + _FIELD + b"s")
    yield "objects, repeated", _array(_dtype("V8", _state(within=_OBJECTS + b"K\x01\x85\x86", size=b"K\x08")))
    yield "objects by a text of fields", _array(_dtype("i4,O", _state(size=b"K\x0c")))
    yield (
        "numbers, repeated beyond the size",
        _array(_dtype("V8", _state(within=_dtype("f8") + b"K\x64\x85\x86", size=b"K\x08"))),
    )
    yield "a field beyond the size", _fielded(b"}" + text("a") + _dtype("f8") + b"M\xff\xff\x86s")
    yield "a field before the start", _fielded(b"}" + text("a") + _dtype("f8") + b"J\x00\xff\xff\xff\x86s")
    yield "another size than it was made with", _array(_dtype("V8", _state(size=b"M\x00\x10")))
    yield "a state of another form", _array(_dtype("O8", b"(K\x01" + text("|") + b"NNNt"))
    data = b"(" + blob(b"A" * 8) + _dtype("O8", _state()) + b"K\x01\x85" + text("C") + b"tR."
    yield "objects from a buffer", b"\x80\x04" + stack_global("numpy._core.numeric _frombuffer") + data
    scalar = _dtype("O8", _state()) + blob(b"A" * 8) + b"\x86R."
    yield "an object from bytes", b"\x80\x04" + stack_global("numpy._core.multiarray scalar") + scalar


def _hooks() -> Iterator[tuple[str, bytes]]:
    """Calls that no opcode makes: what BUILD, APPEND and ADDITEMS look up in an object that has its own."""
    yield "its own __setstate__", b"\x80\x04" + _ESTIMATOR + b"}" + text("__setstate__") + _ZEROS + b"sb}b."
    yield (
        "its own __setstate__, by SETITEMS",
        b"\x80\x04" + _ESTIMATOR + b"}(" + text("__setstate__") + _ZEROS + b"ub}b.",
    )
    yield "its own __setstate__, by DICT", b"\x80\x04" + _ESTIMATOR + b"(" + text("__setstate__") + _ZEROS + b"db}b."
    twice = b"}(" + text("__setstate__") + b"K\x01" + text("__setstate__") + _ZEROS + b"ub}b."
    yield "its own __setstate__, the second time", b"\x80\x04" + _ESTIMATOR + twice
    name = b"\x80\x04" + text("__setstate__") + b"\x940" + _ESTIMATOR
    yield "its own __setstate__, by the memo", name + b"}h\x00" + _ZEROS + b"sb}b."
    slots = stack_global("scipy.interpolate._cubic CubicSpline") + b")\x81N}" + text("__class__")
    yield "another class by a slot", b"\x80\x04" + slots + stack_global("torch.nn.modules.linear Linear") + b"s\x86b."
    for way, opcodes in (("append", b"K\x05a"), ("extend", b"(K\x05e"), ("add", b"(K\x05\x90")):
        yield f"its own {way}", b"\x80\x04" + _ORDERED + b"}" + text(way) + _ZEROS + b"sb" + opcodes + b"."


def _zip(*, central: bytes = b"", local: bytes = b"", comment: bytes = b"", sizes: int | None = None) -> bytes:
    """An archive of one member, with fields beside its headers."""
    name, data = b"archive/data.pkl", pickle.dumps([1, 2, 3], 4)
    crc, size = zlib.crc32(data), len(data)
    told = size if sizes is None else sizes
    head = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 33, crc, size, size, len(name), len(local))
    body = head + name + local + data
    fields = (20, 20, 0, 0, 0, 33, crc, told, told, len(name), len(central), len(comment), 0, 0, 0, 0)
    directory = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *fields) + name + central + comment
    return body + directory + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(directory), len(body), 0)


def _extra(tag: int, data: bytes) -> bytes:
    return struct.pack("<2H", tag, len(data)) + data


def _unicode_name(other: bytes, name: bytes = b"archive/data.pkl") -> bytes:
    return _extra(0x7075, b"\x01" + struct.pack("<L", zlib.crc32(name)) + other)


_LENGTH = len(pickle.dumps([1, 2, 3], 4))
_WIDE = _extra(1, struct.pack("<2Q", _LENGTH, _LENGTH))


def _archives() -> Iterator[Case]:
    """Members that another reader takes for others, by fields beside their headers."""
    mismatch = "zip-header-mismatch"
    yield "name for others, local only", "m.pt", _zip(local=_unicode_name(b"archive/evil.pkl")), mismatch
    yield (
        "two names for others",
        "m.pt",
        _zip(central=_unicode_name(b"archive/data.pkl") + _unicode_name(b"archive/evil.pkl")),
        mismatch,
    )
    yield "sizes that nobody asks for", "m.pt", _zip(central=_extra(1, struct.pack("<2Q", 9, 9))), mismatch
    two = _WIDE + _extra(1, struct.pack("<2Q", 1, 1))
    yield "sizes given twice", "m.pt", _zip(central=two, sizes=0xFFFFFFFF), mismatch
    yield "comment of a member is a pickle", "m.pt", _zip(comment=call("os system")), "zip-extra-data"


def binary() -> list[Case]:
    """All of them."""
    pickles = ((name, "m.pkl", data, _ODD) for name, data in (*_types(), *_hooks()))
    return [*pickles, *_archives()]


def _arrays() -> Iterator[tuple[str, numpy.ndarray]]:
    yield "objects", numpy.array(["a", 1], object)
    yield "objects in a field", numpy.zeros(2, [("a", "O"), ("b", "f8")])
    yield "fields", numpy.zeros(2, [("a", "f8"), ("b", "U3"), ("c", [("d", "i4", (3, 2))])])
    yield (
        "fields with gaps",
        numpy.zeros(2, numpy.dtype({"names": ["a", "b"], "formats": ["u1", "u2"], "offsets": [2, 0]})),
    )
    yield "many fields", numpy.zeros(1, [(f"f{number}", "i4") for number in range(1200)])
    yield "days", numpy.array(["2020-01-01"], "M8[D]")
    yield "records", numpy.rec.array([(1, "a")])
    yield "nothing", numpy.zeros(0, "V0")


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def twins() -> Iterator[tuple[str, str, bytes]]:
    """Names, paths and bytes of honest files that come near."""
    for name, array in _arrays():
        for protocol in range(6):
            yield f"{name} by protocol {protocol}", "m.pkl", pickle.dumps(array, protocol)
    ordered = OrderedDict(append=1, add=[2])
    yield (
        "an ordered dictionary with such keys",
        "m.pkl",
        pickle.dumps({"__setstate__": 1, "__class__": "SVC", "x": ordered}),
    )
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps([1]))
        info = zipfile.ZipInfo("a/version.txt")
        info.comment = "ein Wort dazu: größer".encode()
        archive.writestr(info, "3\n")
        with archive.open("a/large.txt", "w", force_zip64=True) as file:
            file.write(b"text\n")
    yield "an archive with a comment and 64-bit sizes", "m.zip", plain.getvalue()
    yield (
        "a name for others that is its own",
        "m.pt",
        _zip(central=_unicode_name(b"archive/data.pkl"), local=_unicode_name(b"archive/data.pkl")),
    )
    yield "sizes that somebody asks for", "m.pt", _zip(central=_WIDE, sizes=0xFFFFFFFF)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a/b.txt"))
    yield "a tar of one file", "a.tar", tar.getvalue()
    yield (
        "a router",
        "router_config.json",
        _json(
            {
                "types": {"query_0": "sentence_transformers.models.Transformer"},
                "structure": {"query": ["query_0"]},
                "parameters": {},
            }
        ),
    )
    yield "types that are words", "config.json", _json({"types": {"a": "my.word"}, "model_type": "llama"})
    yield (
        "a served model",
        "model-settings.json",
        _json({"name": "x", "implementation": "mlserver_sklearn.SKLearnModel"}),
    )
    yield (
        "adapters beside each other",
        "adapter_config.json",
        _json({"peft_type": "XLORA", "adapters": {"0": "adapter_0", "1": "org/name"}}),
    )
    pattern = {"open_pattern": r"<think>\s*", "close_pattern": r"\s*</think>", "content": "text"}
    yield (
        "how answers are read",
        "tokenizer_config.json",
        _json(
            {
                "response_template": {
                    "start_anchor_pattern": r"<\|im_start\|>assistant\n",
                    "fields": {"thinking": pattern},
                }
            }
        ),
    )
    yield (
        "tasks that somebody starts",
        ".vscode/tasks.json",
        _json({"version": "2.0.0", "tasks": [{"label": "train", "type": "shell", "command": "python train.py"}]}),
    )
    yield (
        "a package that only builds",
        "package.json",
        _json({"name": "demo", "scripts": {"build": "tsc"}, "dependencies": {"@huggingface/transformers": "3.0.0"}}),
    )
    yield (
        "components of a pipeline",
        "model_index.json",
        _json({"_class_name": "StableDiffusionPipeline", "text_encoder": ["transformers", "CLIPTextModel"]}),
    )
    yield "imports of one's own format", "config.yaml", b"imports: [torch]\ncustom: 1\n"
    yield "a card with an odd tag", "README.md", b'---\nlicense: mit\ntags: [a, "!x", "!python"]\n---\n# A model\n'
    cell = {"cell_type": "markdown", "source": ["What this is"], "metadata": {}}
    yield (
        "a notebook of old",
        "a.ipynb",
        _json({"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [{"cells": [cell]}]}),
    )
    quiet = "{% filter trim %}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% endfilter %}"
    yield "a filter over all that is written", "chat_template.jinja", quiet.encode()
