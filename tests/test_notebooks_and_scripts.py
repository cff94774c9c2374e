"""Notebooks and scripts: attacks are found by their rule, ordinary ones are left with one word at most."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.cases import each
from tests.support.inspecting import Bytes, answer
from tests.support.notebook_corpus import (
    HOSTILE_NOTEBOOKS,
    HOSTILE_SCRIPTS,
    ORDINARY_SCRIPTS,
    TRAINING,
    notebook,
    shown,
)
from weighbridge.core.errors import FormatError
from weighbridge.core.finding import Report, Verdict
from weighbridge.inspectors.code.notebooks import Notebooks
from weighbridge.inspectors.code.scripts import Scripts


def report(data: bytes) -> Report:
    found = answer(Notebooks(), Bytes("demo.ipynb", data))
    assert found is not None
    return found


@each(("data", "rule"), [case[1:] for case in HOSTILE_NOTEBOOKS], ids=[case[0] for case in HOSTILE_NOTEBOOKS])
def test_a_hostile_notebook_breaks_its_rule(data: bytes, rule: str) -> None:
    found = report(data)
    assert rule in {finding.rule for finding in found.findings}
    assert found.findings
    if rule == "notebook-not-understood":
        assert found.verdict is Verdict.UNKNOWN


def test_the_corpora_are_as_large_as_they_say() -> None:
    assert len(HOSTILE_NOTEBOOKS) >= 30
    assert len(HOSTILE_SCRIPTS) >= 30


@pytest.mark.parametrize(
    "data",
    [
        notebook(*TRAINING),
        notebook(*TRAINING, outputs=shown("text/html", "<div><style scoped>.x {}</style><table></table></div>")),
        notebook("import requests\nr = requests.get('https://h.example/a.csv')\n", "import subprocess\nsubprocess.run(['nvidia-smi'])\n"),
        notebook("!git clone https://github.com/a/b\n%cd b\n!pip install -e .\n!python train.py\n"),
        notebook("!pip install git+https://github.com/huggingface/transformers\n"),
        notebook("!apt-get install -y ffmpeg\n!nvidia-smi\n%load_ext autoreload\n%autoreload 2\n"),
        notebook("x = 1", outputs=shown("image/png", "iVBORw0KGgo=")),
    ],
)  # fmt: skip
def test_an_ordinary_notebook_gets_the_one_word_and_is_clean(data: bytes) -> None:
    found = report(data)
    assert [finding.rule for finding in found.findings] == ["notebook-code"]
    assert found.verdict is Verdict.CLEAN


def test_a_notebook_without_code_is_worth_no_word() -> None:
    assert report(notebook()).findings == ()
    assert report(notebook()).verdict is Verdict.CLEAN


def test_the_cell_is_named() -> None:
    (finding,) = report(notebook("x = 1", "import base64\nexec(base64.b64decode('aWQ='))")).findings
    assert finding.location == "cell 3"


@each(("path", "text", "rule"), [case[1:] for case in HOSTILE_SCRIPTS], ids=[case[0] for case in HOSTILE_SCRIPTS])
def test_a_hostile_script_breaks_its_rule(path: str, text: str, rule: str) -> None:
    found = answer(Scripts(), Bytes(path, text.encode()))
    assert found is not None
    assert f"script-{rule}" in {finding.rule for finding in found.findings}
    assert found.verdict is Verdict.BAD


@each("path", ORDINARY_SCRIPTS)
def test_an_ordinary_script_is_left_to_the_census(path: str) -> None:
    assert answer(Scripts(), Bytes(path, ORDINARY_SCRIPTS[path].encode())) is None


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_whatever_is_changed_there_is_an_answer(data: st.DataObject) -> None:
    _, whole, _ = data.draw(st.sampled_from(HOSTILE_NOTEBOOKS))
    text = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 5))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(9, 255))
    try:
        found = answer(Notebooks(), Bytes("demo.ipynb", bytes(text)))
    except FormatError:
        return
    assert found is None or found.coverage.inspected_bytes <= len(text)


def test_deep_and_long_notebooks_have_an_answer() -> None:
    assert report(b'{"cells": ' + b"[" * 5000 + b"]" * 5000 + b"}").verdict is Verdict.UNKNOWN
    assert report(notebook("x = " + "(" * 50_000 + ")" * 50_000)).verdict is Verdict.UNKNOWN
