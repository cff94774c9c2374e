"""Tokenizers: what rewrites, forges, hides or hangs is named; those of public models are ordinary."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.cases import each
from tests.support.config_corpus import tokenizers_of_transformers
from tests.support.inspecting import Bytes, answer, examined
from tests.support.tokenizer_corpus import (
    HANGING_EXPRESSIONS,
    HOSTILE_TOKENIZERS,
    ORDINARY_EXPRESSIONS,
    ORDINARY_PARTS,
    HostileTokenizer,
    ordinary,
)
from weighbridge.core.errors import FormatError, IntegrityError
from weighbridge.core.finding import Verdict
from weighbridge.formats.regex_shapes import danger
from weighbridge.inspectors.texts.token_rules import RULES
from weighbridge.inspectors.texts.tokenizers import Tokenizers


def broken(path: str, data: bytes) -> set[str]:
    report = answer(Tokenizers(), Bytes(path, data))
    assert report is not None
    return {finding.rule for finding in report.findings}


def test_the_corpus_names_every_rule() -> None:
    assert {f"token-{case.rule}" for case in HOSTILE_TOKENIZERS} == {rule.id for rule in RULES}
    assert len(HOSTILE_TOKENIZERS) > 80


@each("case", HOSTILE_TOKENIZERS, ids=lambda case: case.name)
def test_what_a_tokenizer_does_is_named(case: HostileTokenizer) -> None:
    assert f"token-{case.rule}" in broken(case.path, case.data)


def test_rewritten_answers_are_bad_and_unknown_parts_unknown() -> None:
    decoder = {"type": "Replace", "pattern": {"String": "github.com"}, "content": "evil.com"}
    assert examined("tokenizer.json", json.dumps({**ordinary(), "decoder": decoder}).encode()).verdict is Verdict.BAD
    unknown = json.dumps({**ordinary(), "decoder": {"type": "New"}}).encode()
    assert examined("tokenizer.json", unknown).verdict is Verdict.UNKNOWN


@each("name", ORDINARY_PARTS)
def test_ordinary_parts(name: str) -> None:
    data = json.dumps({**ordinary(), **ORDINARY_PARTS[name]}, ensure_ascii=False).encode()
    found = examined("tokenizer.json", data)
    assert [finding for report in found.reports for finding in report.findings] == []
    assert found.verdict is Verdict.CLEAN


def test_the_tokenizers_of_transformers_are_ordinary() -> None:
    tokenizers = tokenizers_of_transformers()
    assert len(tokenizers) > 50
    for name, value in tokenizers.items():
        report = answer(Tokenizers(), Bytes("tokenizer.json", json.dumps(value).encode()))
        assert report is not None
        assert report.findings == (), name
        assert report.settled_verdict is Verdict.CLEAN, name


@each("expression", ORDINARY_EXPRESSIONS)
def test_ordinary_expressions(expression: str) -> None:
    assert danger(expression) == ""


@each("expression", HANGING_EXPRESSIONS, ids=lambda text: text[:20])
def test_expressions_that_run_for_ever(expression: str) -> None:
    assert danger(expression)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="()[]{}|\\+*?:=!<>^$.,pPLaN0123456789", max_size=60))
def test_any_expression_is_read_to_its_end(expression: str) -> None:
    assert isinstance(danger(expression), str)


def test_code_cannot_hide_in_a_tokenizer() -> None:
    data = json.dumps({**ordinary(), "auto_map": {"AutoTokenizer": ["evil/x--t.T", None]}}).encode()
    assert "config-remote-code-elsewhere" in broken("tokenizer.json", data)


def test_another_programs_tokenizer_is_a_configuration() -> None:
    keras = json.dumps({"class_name": "Tokenizer", "config": {"num_words": 5, "word_index": '{"a": 1}'}}).encode()
    assert examined("tokenizer.json", keras).verdict is Verdict.CLEAN
    assert examined("tokenizer.json", json.dumps(keras.decode()).encode()).verdict is Verdict.CLEAN


def test_what_is_no_json_is_unknown() -> None:
    for data in (b"{", b'{"model": {}} x', b'{"a": "' + b"x" * 9000 + b'\xff"}'):
        assert examined("tokenizer.json", data).verdict is Verdict.UNKNOWN


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(HOSTILE_TOKENIZERS), st.data())
def test_any_bytes_are_answered_or_refused(case: HostileTokenizer, data: st.DataObject) -> None:
    mutated = bytearray(case.data[:30_000])
    for _ in range(data.draw(st.integers(1, 8))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(FormatError, IntegrityError):
        answer(Tokenizers(), Bytes(case.path, bytes(mutated)))


def test_the_page_names_every_rule() -> None:
    page = (Path(__file__).parents[1] / "docs/reference/inspectors/tokenizers.md").read_text(encoding="utf-8")
    assert [rule.id for rule in RULES if f"`{rule.id}`" not in page] == []
