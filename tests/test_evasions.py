"""Attacks written against these rules: each is held by its rule, and the work that hostile text causes is bounded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.support import evasion_corpus
from tests.support.cases import each
from tests.support.inspecting import Bytes, answer, examined, rules_of, verdict_of
from tests.support.work import calls_of
from weighbridge.core.finding import Verdict
from weighbridge.inspectors.code.python_code import PythonCode
from weighbridge.inspectors.code.templates import ChatTemplates
from weighbridge.inspectors.subject import Inspector
from weighbridge.inspectors.texts.yaml_files import MAX_EVENT_BYTES, YamlFiles

CASES: Final[list[dict[str, str]]] = json.loads(
    (Path(__file__).parent / "data" / "evasions.json").read_text(encoding="utf-8")
)


@each("case", CASES, ids=lambda case: case["name"])
def test_an_evasion_breaks_its_rule(case: dict[str, str]) -> None:
    assert case["rule"] in rules_of(case["path"], case["text"].encode())


BINARY: Final = evasion_corpus.binary()
TWINS: Final = list(evasion_corpus.twins())


@each(("name", "path", "data", "rule"), BINARY, ids=[name for name, *_ in BINARY])
def test_an_evasion_in_bytes_breaks_its_rule(name: str, path: str, data: bytes, rule: str) -> None:
    assert rule in rules_of(path, data)
    assert verdict_of(path, data) is not Verdict.CLEAN


@each(("name", "path", "data", "rule"), BINARY, ids=[name for name, *_ in BINARY])
def test_a_byte_more_or_less_makes_no_evasion_clean(name: str, path: str, data: bytes, rule: str) -> None:
    for changed in (data + b"\0", data + b".", data + b"\n", data[:-1], data[:-2], data[:-3]):
        assert verdict_of(path, changed) is not Verdict.CLEAN


@each(("name", "path", "data"), TWINS, ids=[name for name, *_ in TWINS])
def test_nothing_is_said_of_an_honest_twin(name: str, path: str, data: bytes) -> None:
    found = examined(path, data)
    assert [finding for report in found.reports for finding in report.findings] == []
    assert found.verdict is Verdict.CLEAN


def _nested(inner: int) -> str:
    """Functions within each other around one long value that all of them return."""
    head = "".join(" " * deep + f"def f{deep}():\n" for deep in range(60))
    return f"{head}{' ' * 60}return ({'a.b(c),' * inner})\n"


def _under(block: str, end: str, inner: str, count: int) -> str:
    return block * 30 + inner * count + end * 30


GROWING: Final[dict[str, tuple[Inspector, str, Callable[[int], str]]]] = {
    "functions in functions": (PythonCode(), "a.py", _nested),
    "chain of names": (PythonCode(), "a.py", lambda n: "".join(f"x{i + 1}=x{i}\n" for i in range(n)) + "exec(x9)\n"),
    "sums of text": (PythonCode(), "a.py", lambda n: "x=" + "'a'+" * n + "'a'\n"),
    "arguments handed on": (PythonCode(), "a.py", lambda n: "import os\nf(" + "os.system," * n + ")\n"),
    "code as text": (PythonCode(), "a.py", lambda n: "x='a=1;b=2'\n" + "exec(x)\n" * n),
    "loops": (
        ChatTemplates(),
        "a.jinja",
        lambda n: _under("{% for a in b %}", "{% endfor %}", "{% set x = y ~ z %}", n),
    ),
    "conditions": (
        ChatTemplates(),
        "a.jinja",
        lambda n: _under("{% if 'word' in message.content %}", "{% endif %}", "{%set x=true%}", n),
    ),
    "sums": (ChatTemplates(), "a.jinja", lambda n: "{{ a" + " + b" * n + " }}"),
    "joined text": (ChatTemplates(), "a.jinja", lambda n: "{% set a = 'word' %}" + "{{ a ~ a ~ a ~ a }}" * n),
    "operands": (ChatTemplates(), "a.jinja", lambda n: "{% if a" + " and 'x' in content" * n + " %}{% endif %}"),
}


@each("name", GROWING)
def test_twice_the_text_is_about_twice_the_work(name: str) -> None:
    inspector, path, made = GROWING[name]
    small, large = (
        calls_of(lambda size=size: answer(inspector, Bytes(path, made(size).encode()))) for size in (200, 400)
    )
    assert large < 3 * small


LONG_LINES: Final[dict[str, tuple[Inspector, str, str]]] = {
    "escaped quotes": (PythonCode(), "a.py", '\\"' * 100_000),
    "text put together": (PythonCode(), "a.py", f"x='{'a' * 60_000}'\n" + "y=x+x+x+x\n" * 500),
    "dots": (ChatTemplates(), "a.jinja", "{{ '" + "x." * 20_000 + "' }}"),
    "backslashes": (ChatTemplates(), "a.jinja", "a " + "\\" * 40_000),
    "long name in a table": (YamlFiles(), "a.yaml", "- *a\n" * (MAX_EVENT_BYTES // 4)),
}


@each("name", LONG_LINES)
def test_hostile_lines_come_to_an_end(name: str) -> None:
    inspector, path, text = LONG_LINES[name]
    found = answer(inspector, Bytes(path, text.encode()))
    assert found is not None
    assert found.verdict is not Verdict.CLEAN or inspector.name == "chat-templates"
