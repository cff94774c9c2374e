"""Renders two versions of a chat template on sample dialogues, in a process of its own that can be killed.

Rendering is running a stranger's program, so:

1. the process starts with an empty environment but for the interpreter's own, takes bounds on memory, processor time and
   output from the kernel before it sees the template, and is killed after `SECONDS` on the clock;
2. the template is judged first by the chat template inspector; code that it finds grave, or does not understand, is not
   rendered (what it finds in the template's words does not run, and is rendered: that is what a person wants to see);
3. the rest is rendered as transformers does, in Jinja's immutable sandbox, with its filters and functions and nothing else;
4. a dialogue may take `DIALOGUE_SECONDS` and give `MAX_TEXT` characters.

Whoever has a stronger confinement names another entry point (`Rendering.entry`) that takes it and then calls `serve`.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from types import FrameType
from typing import IO, Final, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import FormatError, IntegrityError
from weighbridge.drift.dialogues import SAMPLES, Dialogue
from weighbridge.formats.held import Held
from weighbridge.formats.templates import parse_template, walk
from weighbridge.inspectors.code.templates import ChatTemplates
from weighbridge.inspectors.subject import Inspected, Subject

SECONDS: Final = 15.0
DIALOGUE_SECONDS: Final = 1.0
MEMORY_BYTES: Final = 256 * 1024 * 1024
OUTPUT_BYTES: Final = 32 * 1024 * 1024
MAX_TEXT: Final = 200_000
MAX_WORDS: Final = 8
"""Texts that a template compares messages with and that become dialogues of their own."""
ENTRY: Final = "weighbridge.drift.rendering:main"
WORDS: Final = frozenset(
    f"template-{name}"
    for name in (
        "url", "encoded-text", "command", "active-markup", "steering", "trigger", "date-trigger", "prefill", "added-words",
        "rewritten-words", "invisible-text",
    )
)  # fmt: skip
"""Rules about what a template says; all others are about what it does."""
_KEPT_VARIABLES: Final = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "SYSTEMROOT")


@dataclass(frozen=True, slots=True)
class Rendering:
    """How templates are rendered: the entry point of the process, as `module:function`, and its time on the clock."""

    entry: str = ENTRY
    seconds: float = SECONDS


@dataclass(slots=True)
class Rendered:
    """What came of one pair of templates. `problems` are by side, 0 for before; texts are by dialogue."""

    problems: dict[int, str] = field(default_factory=dict)
    dialogues: dict[str, str] = field(default_factory=dict)
    """What was said in each, in a line."""
    texts: tuple[dict[str, str], dict[str, str]] = field(default_factory=lambda: ({}, {}))

    @property
    def complete(self) -> bool:
        """Whether both rendered every dialogue."""
        return not self.problems and self.dialogues.keys() == self.texts[0].keys() == self.texts[1].keys()

    @property
    def differing(self) -> list[str]:
        """Dialogues that both rendered, differently."""
        before, after = self.texts
        return [name for name in self.dialogues if name in before and name in after and before[name] != after[name]]


def render(templates: Sequence[str], tokens: Sequence[Mapping[str, str]], how: Rendering) -> Rendered:
    """Renders two templates, each with its side's special tokens, on the samples and on what they wait for."""
    module, _, function = how.entry.partition(":")
    question = json.dumps({"templates": list(templates), "tokens": [dict(one) for one in tokens]})
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as answered:
        asked.write(question.encode())
        asked.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", f"from {module} import {function}; {function}()"],
            stdin=asked,
            stdout=answered,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ} | {"PYTHONHASHSEED": "0"},
        )
        try:
            ended = f"the rendering process ended with {process.wait(how.seconds)}"
        except subprocess.TimeoutExpired:
            ended = f"it was not rendered within {how.seconds:g} seconds"
        finally:
            process.kill()
            process.wait()
        answered.seek(0)
        return _gathered(answered.read(OUTPUT_BYTES), ended)


def _gathered(data: bytes, ended: str) -> Rendered:
    rendered, done = Rendered(), False
    for line in data.split(b"\n")[:-1]:
        said = json.loads(line)
        if "name" in said:
            rendered.dialogues[str(said["name"])] = str(said["said"])
        elif "problem" in said:
            rendered.problems.setdefault(int(said["side"]), str(said["problem"]))
        elif "text" in said:
            rendered.texts[int(said["side"])][str(said["dialogue"])] = str(said["text"])
        else:
            done = True
    if not done:
        for side in (0, 1):
            if not rendered.dialogues or rendered.texts[side].keys() != rendered.dialogues.keys():
                rendered.problems.setdefault(side, ended)
    return rendered


# --- in the process ------------------------------------------------------------------------------


def main() -> None:
    """The process by default: bounds by the kernel, then `serve`."""
    for which, value in (
        (resource.RLIMIT_DATA, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, OUTPUT_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, int(SECONDS)),
    ):
        resource.setrlimit(which, (value, value))
    serve(sys.stdin.buffer, sys.stdout.buffer)


def serve(questions: IO[bytes], answers: IO[bytes]) -> None:
    """Reads one question and writes answers, a JSON line each, as they come."""
    question = json.load(questions)
    templates: list[str] = question["templates"]

    def say(record: Mapping[str, JsonValue]) -> None:
        answers.write(json.dumps(record).encode() + b"\n")
        answers.flush()

    dialogues = [*SAMPLES, *_waited_for(templates)]
    for dialogue in dialogues:
        last = str(dialogue.messages[-1].get("content")) if dialogue.messages else ""
        say({"name": dialogue.name, "said": last[:200]})
    for side, (template, tokens) in enumerate(zip(templates, question["tokens"], strict=True)):
        problem = refusal(template)
        if not problem:
            problem = _render_all(template, tokens, dialogues, lambda record, side=side: say({"side": side, **record}))  # type: ignore[misc]
        if problem:
            say({"side": side, "problem": problem})
    say({"done": True})


def refusal(template: str) -> str:
    """Why a template is not rendered; "" where it is."""
    if not template:
        return ""
    held = Held("chat_template.jinja", template.encode("utf-8", "surrogatepass"))
    try:
        report = ChatTemplates().inspect(Subject(held, lambda _member: Inspected(())))
    except (FormatError, IntegrityError) as error:
        return f"not rendered: {error.message}"
    if report is None:
        return "not rendered: it is no template, by its content"
    grave = [
        finding
        for finding in report.findings
        if finding.rule not in WORDS
        and (finding.severity.is_grave or finding.rule in ("template-not-understood", "template-limit"))
    ]
    return f"not rendered: {grave[0].rule}: {grave[0].message}" if grave else ""


def _waited_for(templates: Sequence[str]) -> Iterator[Dialogue]:
    """Dialogues of the texts that one of the templates compares something with, and the other does not."""
    found = [_compared_with(template) for template in templates]
    fresh = sorted(found[0] ^ found[1], key=lambda text: (text in found[0], text))[:MAX_WORDS]
    for text in fresh:
        yield Dialogue(f"a message that says {ascii(text)[:60]}", [{"role": "user", "content": text}])
    if len(fresh) > 1:
        every = " ".join(fresh)
        yield Dialogue("a message that says all of these", [{"role": "user", "content": every}])


def _compared_with(template: str) -> set[str]:
    try:
        tree = parse_template(template)
    except FormatError:
        return set()
    found: set[str] = set()
    for node in walk(tree):
        parts: list[nodes.Node] = []
        if isinstance(node, nodes.Compare):
            parts = [node.expr, *(operand.expr for operand in node.ops)]
        elif isinstance(node, nodes.Call):
            parts = list(node.args)
        for part in parts:
            for inner in [part, *part.iter_child_nodes()]:
                if isinstance(inner, nodes.Const) and isinstance(inner.value, str) and 0 < len(inner.value) <= 200:
                    found.add(inner.value)
    return found


class _TooSlow(Exception):
    """One dialogue took longer than it may."""


def _render_all(
    template: str,
    tokens: Mapping[str, str],
    dialogues: Sequence[Dialogue],
    say: Callable[[Mapping[str, JsonValue]], None],
) -> str:
    """Renders what can be, and returns why the rest was left; "" where nothing was."""
    now = [SAMPLES[0].clock]
    try:
        compiled = _environment(lambda: now[0]).from_string(template)
    except (TemplateError, ValueError, RecursionError, MemoryError, SyntaxError) as error:
        return f"Jinja does not read it: {type(error).__name__}"
    signal.signal(signal.SIGALRM, _alarm)
    for dialogue in dialogues:
        now[0] = dialogue.clock
        context = {**tokens, **asdict(dialogue), "tools": list(dialogue.tools) or None, "documents": None}
        context["add_generation_prompt"] = dialogue.generate
        for own in ("name", "generate", "now"):
            del context[own]
        signal.setitimer(signal.ITIMER_REAL, DIALOGUE_SECONDS)
        try:
            text = _bounded(compiled.generate(**context))
        except _TooSlow:
            return f"'{dialogue.name}' takes longer than {DIALOGUE_SECONDS:g} s"
        except MemoryError:
            return f"'{dialogue.name}' takes more than {MEMORY_BYTES} bytes of memory"
        except OverflowError as error:
            return f"'{dialogue.name}': {error}"
        except (
            TemplateError,
            ArithmeticError,
            AttributeError,
            LookupError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            # What a person would be told who calls the model so: a result like any other.
            text = f"({type(error).__name__}: {str(error)[:300]})"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        say({"dialogue": dialogue.name, "text": text})
    return ""


def _alarm(_number: int, _frame: FrameType | None) -> NoReturn:
    raise _TooSlow


def _bounded(pieces: Iterator[str]) -> str:
    found: list[str] = []
    length = 0
    for piece in pieces:
        length += len(piece)
        if length > MAX_TEXT:
            raise OverflowError(f"more than {MAX_TEXT} characters")
        found.append(piece)
    return "".join(found)


class _Generation(Extension):
    """The block that marks what an assistant said; its content stands where it stood, in a scope of its own."""

    tags = {"generation"}  # noqa: RUF012  # as Jinja's extensions declare it

    def parse(self, parser: Parser) -> nodes.Node:
        """The block as a call."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("inner"), [], [], body).set_lineno(line)

    def inner(self, caller: Macro) -> str:
        """What the block holds."""
        return caller()


def _environment(clock: Callable[[], datetime]) -> ImmutableSandboxedEnvironment:
    """The environment of transformers' `apply_chat_template`, with a clock that stands still."""

    def raise_exception(message: str) -> NoReturn:
        raise TemplateError(message)

    def to_json(  # the filter's own arguments
        value: object,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: clock().strftime(form)
    return environment
