"""Python code of a model: weapons are found by their rule, modelling code is worth one word and no more."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.cases import each
from tests.support.inspecting import Bytes, answer, examined, subject_of
from tests.support.python_corpus import HOSTILE_PYTHON, MODEL, ORDINARY_WAYS, HostilePython
from weighbridge.core.errors import FormatError, Truncated
from weighbridge.core.finding import Report, Severity, Verdict
from weighbridge.inspectors.code.python_code import IMPORT_FACT, PythonCode

PUBLISHED = sorted((Path(__file__).parent / "data" / "python").glob("*.txt"))


def report(text: str | bytes, path: str = "modeling_x.py") -> Report:
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    found = answer(PythonCode(), Bytes(path, data))
    assert found is not None
    return found


def broken_by(text: str | bytes, path: str = "modeling_x.py") -> set[str]:
    return {finding.rule for finding in report(text, path).findings}


def test_the_corpus_is_as_large_as_it_says_and_names_nothing_twice() -> None:
    assert len(HOSTILE_PYTHON) >= 150
    assert len({case.name for case in HOSTILE_PYTHON}) == len(HOSTILE_PYTHON)
    assert len({case.text for case in HOSTILE_PYTHON}) >= len(HOSTILE_PYTHON) - 2
    assert len(PUBLISHED) >= 40


@each("case", HOSTILE_PYTHON, ids=lambda case: case.name)
def test_hostile_code_breaks_its_rule(case: HostilePython) -> None:
    found = report(case.text, case.path)
    assert f"python-{case.rule}" in {finding.rule for finding in found.findings}
    assert case.rule == "reads-secrets" or found.verdict is Verdict.BAD


@each("path", PUBLISHED, ids=lambda path: path.stem)
def test_published_modelling_code_is_worth_a_word_and_clean(path: Path) -> None:
    found = report(path.read_bytes())
    assert {finding.severity for finding in found.findings} == {Severity.MEDIUM}
    assert found.verdict is Verdict.CLEAN
    assert found.coverage.complete


def test_unremarkable_code_has_exactly_the_one_finding() -> None:
    assert [finding.rule for finding in report(MODEL).findings] == ["python-remote-code"]
    seen = examined("modeling_x.py", MODEL.encode())
    assert {finding.rule for one in seen.reports for finding in one.findings} == {"python-remote-code"}


@each("text", ORDINARY_WAYS)
def test_looking_up_ones_own_modules_is_ordinary(text: str) -> None:
    assert broken_by(text) == {"python-remote-code"}


SEEN_IN_HONEST_CODE = {
    "image from a url": ("import requests\nfrom PIL import Image\ndef load(u):\n    return Image.open(requests.get(u, stream=True).raw)\n", "python-network"),
    "torch.load": ("import torch\ndef f(p):\n    return torch.load(p, map_location='cpu')\n", "python-deserialises"),
    "numpy pickles": ("import numpy as np\ndef f(p):\n    return np.load(p, allow_pickle=True)\n", "python-deserialises"),
    "yaml": ("import yaml\ndef f(p):\n    return yaml.load(open(p), Loader=yaml.Loader)\n", "python-deserialises"),
    "remote code of another": ("from transformers import AutoModel\ndef f(n):\n    return AutoModel.from_pretrained(n, trust_remote_code=True)\n", "python-deserialises"),
    "ffmpeg": ("import subprocess\ndef f(p):\n    return subprocess.run(['ffmpeg', '-i', p], capture_output=True).stdout\n", "python-process"),
    "hub file": ("from huggingface_hub import hf_hub_download\ndef f(r):\n    return hf_hub_download(r, 'vocab.txt')\n", "python-network"),
    "eval of settings": ("def f(c):\n    return eval(c.kernel_size)\n", "python-dynamic-code"),
    "optional import by name": ("import importlib\ndef f(n):\n    return importlib.import_module(n)\n", "python-dynamic-import"),
    "kernel by ctypes": ("import ctypes\ndef f(p):\n    return ctypes.cdll.LoadLibrary(p)\n", "python-native-code"),
    "cuda extension": ("from torch.utils.cpp_extension import load\ndef f():\n    return load(name='x', sources=['x.cu'])\n", "python-native-code"),
    "vocabulary saved": ("def f(p, v):\n    with open(p, 'w') as o:\n        o.write(v)\n", "python-writes-files"),
    "hub token": ("import os\nT = os.environ.get('HF_TOKEN')\n", "python-reads-secrets"),
    "patched layer": ("import torch\ntorch.nn.Linear.forward = lambda s, x: x\n", "python-patches-modules"),
    "compressed kernel": ("K = '" + "QlpoOTFBWSZTWU9y" * 60 + "'\n", "python-encoded-literal"),
    "setup": ("from setuptools import setup\nsetup(name='x')\n", "python-runs-by-name"),
    "installs when asked": ("import subprocess, sys\ndef f():\n    subprocess.run([sys.executable, '-m', 'pip', 'install', 'einops'])\n", "python-installs"),
}  # fmt: skip


@each("name", SEEN_IN_HONEST_CODE)
def test_what_honest_code_does_too_is_medium_and_no_more(name: str) -> None:
    text, rule = SEEN_IN_HONEST_CODE[name]
    found = report(text, "setup.py" if name == "setup" else "modeling_x.py")
    assert rule in {finding.rule for finding in found.findings}
    assert all(finding.severity is Severity.MEDIUM for finding in found.findings)
    assert found.verdict is Verdict.CLEAN


UNREMARKABLE = {
    "weights only": "import torch\ndef f(p):\n    return torch.load(p, weights_only=True)\n",
    "safe yaml": "import yaml\ndef f(p):\n    return yaml.load(p, Loader=yaml.SafeLoader)\n",
    "optional packages": "try:\n    from flash_attn import flash_attn_func\nexcept ImportError:\n    flash_attn_func = None\nfrom einops import rearrange\n",
    "found or not": "import importlib.util\nHAS = importlib.util.find_spec('flash_attn') is not None\n",
    "model in evaluation": "def f(model):\n    model.eval()\n    return model.compile()\n",
    "regular expression": "import re\nP = re.compile('a+')\n",
    "greek names": "\u03b1 = 1\n\u0394t = 2\ndef \u03c0_ref(x): return x\n",
    "chinese text": "x = '\u4f60\u597d'  # \u4e2d\u6587\n",
    "lazy module": "import sys\nsys.modules[__name__] = sys.modules[__name__]\n",
    "documented shell": '"""Run\n\n    curl -s https://h.example | bash\n"""\n',
    "wheel of requests": "import requests\n",
}  # fmt: skip


@each("name", UNREMARKABLE)
def test_what_is_unremarkable_says_so(name: str) -> None:
    assert broken_by(UNREMARKABLE[name]) == {"python-remote-code"}


def test_code_under_main_is_not_run_at_import() -> None:
    assert "python-runs-at-import" not in broken_by("import os\nif __name__ == '__main__':\n    os.system('ls')\n")
    assert "python-process" in broken_by("import os\nif __name__ == '__main__':\n    os.system('ls')\n")


def test_imports_within_the_repository_are_said() -> None:
    text = "from .configuration_x import C\nfrom . import vision, audio as a\nfrom ..up import z\nimport torch\n"
    subject = subject_of(Bytes("modeling_x.py", text.encode()))
    PythonCode().inspect(subject)
    assert [(fact.kind, fact.value, fact.location) for fact in subject.facts] == [
        (IMPORT_FACT, "configuration_x", "line 1"),
        (IMPORT_FACT, "vision", "line 2"),
        (IMPORT_FACT, "audio", "line 2"),
        (IMPORT_FACT, ".up", "line 3"),
    ]


NOT_UNDERSTOOD = {
    "python 2": "print 'hello'\n",
    "newer grammar": "type X = int\n",
    "cut": "def f(:\n",
    "nul": "x = 1\n",
}


@each("name", NOT_UNDERSTOOD)
def test_what_is_no_python_3_is_unknown(name: str) -> None:
    text = NOT_UNDERSTOOD[name] if name != "nul" else "x = (\n"
    assert broken_by(text) == {"python-not-understood"}
    assert report(text).verdict is Verdict.UNKNOWN


BOMBS = {
    "parentheses": "x = " + "(" * 100_000 + ")" * 100_000,
    "lists": "x = " + "[" * 90 + "]" * 90,
    "unary": "x = " + "-" * 200_000 + "1",
    "not": "x = " + "not " * 100_000 + "1",
    "sum": "x = " + "1+" * 140_000 + "1",
    "attributes": "x = a" + ".b" * 100_000,
    "calls": "x = a" + "()" * 40_000,
    "long line": "x = 1;" * 200_000,
    "ten megabytes": "#" * (10 * 1024 * 1024),
    "huge number": "x = " + "9" * 100_000,
    "nested blocks": "".join(" " * i + "if x:\n" for i in range(120)),
    "strings": "x = " + "'a' " * 100_000,
    "lambdas": "x = " + "lambda: " * 50_000 + "1",
    "f-strings": "x = " + 'f"{x}" ' * 50_000,
    "constant text": "x = '" + "a" * 900_000 + "'\ny = x + x + x + x\nz = y * 64\n",
}


@each("name", BOMBS)
def test_bombs_have_an_answer(name: str) -> None:
    assert report(BOMBS[name]).verdict in (Verdict.UNKNOWN, Verdict.CLEAN)


@each("case", HOSTILE_PYTHON[::9], ids=lambda case: case.name)
def test_cutting_or_adding_never_makes_bad_code_clean(case: HostilePython) -> None:
    if report(case.text, case.path).verdict is not Verdict.BAD:
        return
    assert report(case.text + "\n", case.path).verdict is Verdict.BAD
    assert report(case.text + "\n(", case.path).verdict is not Verdict.CLEAN
    assert report(case.text + "\nx = 1\n", case.path).verdict is Verdict.BAD


@given(data=st.data())
@settings(max_examples=120, deadline=None)
def test_whatever_is_changed_there_is_an_answer(data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(HOSTILE_PYTHON))
    text = bytearray(case.text.encode("utf-8", "surrogatepass"))
    for _ in range(data.draw(st.integers(1, 6))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(9, 255))
    reader = Bytes(case.path, bytes(text))
    try:
        found = answer(PythonCode(), reader)
    except FormatError:
        return
    assert found is None or found.coverage.inspected_bytes <= len(text)
    assert reader.read_bytes <= 3 * len(text) + 8192


def test_a_reader_that_gives_less_than_it_promised_is_no_answer() -> None:
    with pytest.raises(Truncated):
        answer(PythonCode(), Bytes("a.py", b"x = 1\n" * 2000, claimed=20_000))


def test_scripts_for_python_are_read_and_others_are_not() -> None:
    assert "python-runs-at-import" in broken_by("#!/usr/bin/env python3\nimport os\nos.system('id')\n", "run")
    assert answer(PythonCode(), Bytes("run.sh", b"#!/bin/sh\nid\n")) is None
    assert answer(PythonCode(), Bytes("README.md", b"import os\n")) is None


SCRIPTED = (
    "class M(Module):\n  __parameters__ = [\"w\", ]\n  w : Tensor\n  training : bool\n"
    "  def forward(self: __torch__.M,\n    x: Tensor) -> Tensor:\n    _0 = torch.add(torch.matmul(x, self.w), CONSTANTS.c0, alpha=1)\n"
    "    y = ops.prim.NumToTensor(torch.size(x, 0))\n    return torch.relu(_0)\n"
)  # fmt: skip
SCRIPT_PATH = "archive/code/__torch__/m.py"


def in_archive(text: str) -> Report:
    subject = subject_of(Bytes(SCRIPT_PATH, text.encode()))
    subject.depth = 1
    found = PythonCode().inspect(subject)
    assert found is not None
    return found


def test_a_file_of_the_repository_is_python_wherever_it_lies() -> None:
    assert "python-runs-at-import" in broken_by("import os\nos.system('id')\n", SCRIPT_PATH)
    assert broken_by(MODEL, SCRIPT_PATH) == {"python-remote-code"}


def test_torchscript_that_computes_is_clean_and_worth_no_word() -> None:
    assert in_archive(SCRIPTED).findings == ()
    assert in_archive(SCRIPTED).verdict is Verdict.CLEAN


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        ("ops.aten.from_file(\"/etc/passwd\")", "python-torchscript"),
        ("torch.from_file(\"/etc/passwd\", False, 10)", "python-torchscript"),
        ("ops.aten.save(x, \"/tmp/x\")", "python-torchscript"),
        ("torch.save(x, \"/tmp/x\")", "python-torchscript"),
        ("torch.load(\"x\")", "python-torchscript"),
        ("ops.evil.run(x)", "python-torchscript"),
        ("ops.image.read_file(\"/etc/passwd\")", "python-torchscript"),
        ("ops.torchaudio.load(\"x\")", "python-torchscript"),
        ("torch.hub.load(\"a\")", "python-torchscript"),
        ("os.system(\"id\")", "python-torchscript"),
        ("eval(\"x\")", "python-torchscript-unknown"),
    ],
)  # fmt: skip
def test_torchscript_that_does_more_is_named(call: str, rule: str) -> None:
    found = in_archive(SCRIPTED.replace("torch.relu(_0)", call))
    assert rule in {finding.rule for finding in found.findings}
    assert found.settled_verdict is not Verdict.CLEAN
