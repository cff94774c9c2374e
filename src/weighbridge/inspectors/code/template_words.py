"""Judges what a chat template says, and when: words against the user, and words that wait for something.

Every constant and every text of the template is looked at, with the conditions around it. A condition is a trigger when
it asks whether a message holds particular words (tags such as `</think>` and switches such as `/no_think` are ordinary),
how long the talk is, who speaks, or what day it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

from jinja2 import nodes

from weighbridge.core.dataclass import dataclass
from weighbridge.formats.templates import walk
from weighbridge.inspectors.code import template_turns as turns
from weighbridge.inspectors.code.template_folding import Folding
from weighbridge.inspectors.steering_phrases import broken, invisible, unremarkable, words

Note = Callable[[str, str, int], None]


def _named(names: str) -> frozenset[str]:
    return frozenset(names.split())


_CONTENT: Final = frozenset(
    ("content", "text", "query", "prompt", "user_message", "last_message", "user_input", "question")
)
_SPEAKER: Final = frozenset(
    ("username", "user_name", "user_id", "organization", "org", "hostname", "locale", "country")
)
_SEARCHES: Final = frozenset(
    ("startswith", "endswith", "find", "rfind", "count", "index", "split", "partition", "rpartition")
)
_UNNATURAL = re.compile(r"[<>\[\]{}|\n&]")
_LETTERS = re.compile(r"[^\W\d_]{2,}")
_SWITCHES: Final = frozenset(("/think", "/no_think", "/nothink", "detailed thinking on", "detailed thinking off"))
_STRUCTURE: Final = _named(
    "text image image_url video video_url audio audio_url input_audio file document content type role value thinking "
    "tool_calls tool_call tool_result name input_text output_text input_image reasoning reference citations parts blocks "
    "url data"
)
MIN_WORDS: Final = 3
"""Words of prose under a trigger that make an instruction."""

MIN_PREFILL: Final = 4
_AGREES = re.compile(r"(?i)(?:sure|of course|absolutely|certainly|yes)\b,? \w")
_ROLES: Final = _named(
    "user assistant system tool tools developer function ipython model human gpt bot observation environment context "
    "document documents control critic query response output input functions think thinking analysis final python "
    "browser code latest root reminder instruction agent chatbot ai"
)
MAX_DEEP: Final = 400
MAX_JUDGED: Final = 512 * 1024
"""Characters of different texts that are judged; each counts for `SMALLEST` more."""

SMALLEST: Final = 32


@dataclass(frozen=True, slots=True)
class _Around:
    """What a text stands under."""

    trigger: str = ""
    prefill: bool = False


@dataclass(frozen=True, slots=True)
class _Told:
    """What there is to say of one text, wherever it stands."""

    broken: tuple[tuple[str, str], ...]
    invisible: str
    words: int


class WordsJudge:
    """Goes through one template's tree once; `note` is told what breaks a rule."""

    def __init__(self, tree: nodes.Template, note: Note) -> None:
        self._tree = tree
        self._note = note
        self._all = walk(tree)
        self._folding = Folding()
        self._folding.learn(self._all)
        self._content: set[str] = set()
        self._dates: set[str] = set()
        self._turns: set[str] = set()
        self._flags: dict[str, str] = {}
        self._tables: set[str] = set()
        self._macros = {node.name: node for node in self._all if isinstance(node, nodes.Macro)}
        self._told: dict[str, _Told] = {}
        self._said_chars = 0
        self._within: set[int] = set()
        for _ in range(3):
            self._follow_names()

    def judge(self) -> None:
        """Looks at every text, with what is around it."""
        waiting: list[tuple[nodes.Node, _Around]] = [(self._tree, _Around())]
        while waiting:
            node, around = waiting.pop()
            if isinstance(node, nodes.TemplateData):
                self._text(node.data, node, around)
            elif isinstance(node, nodes.Const):
                if isinstance(node.value, str):
                    self._text(node.value, node, around)
            else:
                if isinstance(node, nodes.Add | nodes.Concat | nodes.Filter | nodes.Call | nodes.Getitem | nodes.Mod):
                    self._joined(node, around)
                if isinstance(node, nodes.Filter | nodes.Call):
                    self._replaced(node)
                elif isinstance(node, nodes.FilterBlock):
                    self._replaced_below(node)
                if isinstance(node, nodes.Output):
                    self._added(node)
                waiting.extend(reversed(list(self._below(node, around))))

    # --- conditions -----------------------------------------------------------------------------------------

    def _below(self, node: nodes.Node, around: _Around) -> Iterator[tuple[nodes.Node, _Around]]:
        """The children, each with what it stands under. Conditions themselves are no text."""
        if isinstance(node, nodes.If):
            inner = self._under(node.test, around)
            yield from ((part, inner) for part in node.body)
            yield from ((part, around) for part in node.elif_)
            otherwise = _Around(inner.trigger, around.prefill)
            yield from ((part, otherwise) for part in node.else_)
        elif isinstance(node, nodes.CondExpr):
            inner = self._under(node.test, around)
            yield node.expr1, inner
            if node.expr2 is not None:
                yield node.expr2, _Around(inner.trigger, around.prefill)
        elif isinstance(node, nodes.For):
            inner = self._under(node.test, around) if node.test is not None else around
            yield from ((part, inner) for part in (*node.body, *node.else_))
            yield node.iter, around
        elif isinstance(node, nodes.And | nodes.Or):
            for operand in _operands(node):
                yield operand, around
                around = self._under(operand, around)
        elif isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name == "raise_exception":
            return
        elif (isinstance(node, nodes.Getitem | nodes.Call) and self._looked_up(node)) or self._is_asked(node):
            yield from ((part, _Around("the words of a message", around.prefill)) for part in node.iter_child_nodes())
        elif isinstance(node, nodes.Compare | nodes.Test):
            return
        else:
            yield from ((part, around) for part in node.iter_child_nodes())

    def _is_asked(self, node: nodes.Node) -> bool:
        """Texts of which what a message says picks one: `["", "text"][condition]`, `"text" * condition`, a named table."""
        if isinstance(node, nodes.Assign):
            return isinstance(node.node, nodes.Dict | nodes.List) and _dotted(node.target) in self._tables
        if isinstance(node, nodes.Getitem) and isinstance(node.node, nodes.List | nodes.Tuple):
            return bool(self._trigger(node.arg)) or self._varies(node.arg)
        if isinstance(node, nodes.Getitem):
            return isinstance(node.arg, nodes.Slice) and isinstance(node.node, nodes.Const) and self._varies(node.arg)
        if isinstance(node, nodes.Mul):
            sides = [side for side in (node.left, node.right) if not isinstance(side, nodes.Mul)]
            return any(bool(self._trigger(side)) or self._varies(side) for side in sides)
        return False

    def _varies(self, node: nodes.Node) -> bool:
        """Whether a value depends on what a message says, on the length of the talk or on the day."""
        return self._reads(node) or self._dated(node) or turns.counts_turns(node, self._turns)

    def _asks(self, node: nodes.Node) -> bool:
        """Whether a condition looks into what is said, in one message or in all together."""
        return self._reads(node) or turns.takes_talk(node, _CONTENT)

    def _looked_up(self, node: nodes.Getitem | nodes.Call) -> bool:
        """A dictionary written down in the template and asked for what a message says."""
        if isinstance(node, nodes.Getitem):
            return isinstance(node.node, nodes.Dict) and self._varies(node.arg)
        callee = node.node
        return (
            isinstance(callee, nodes.Getattr)
            and isinstance(callee.node, nodes.Dict)
            and any(self._varies(argument) for argument in node.args)
        )

    def _under(self, test: nodes.Node, around: _Around) -> _Around:
        prefill = around.prefill or (isinstance(test, nodes.Name) and test.name == "add_generation_prompt")
        return _Around(around.trigger or self._trigger(test), prefill)

    def _trigger(self, test: nodes.Node) -> str:
        """What a condition waits for, or ""."""
        for node in islice(_steps(test), 2_000):
            waits = ""
            if isinstance(node, nodes.Compare):
                waits = self._compared(node)
            elif isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
                if node.node.attr in _SEARCHES and self._asks(node.node.node):
                    waits = self._particular(node.args)
                elif node.node.attr in _SEARCHES and self._dated(node.node.node):
                    waits = "the date"
            elif turns.is_late_turn(node):
                waits = "the number of messages"
            elif isinstance(node, nodes.Test | nodes.Filter) and node.args:
                waits = self._tested(node)
            else:
                waits = self._flags.get(_dotted(node), "")
            if waits:
                return waits
        return ""

    def _tested(self, node: nodes.Test | nodes.Filter) -> str:
        if node.name == "divisibleby" and node.node is not None and turns.counts_turns(node.node, self._turns):
            return "the number of messages" if any((turns.number(one) or 0) > 2 for one in node.args) else ""
        if isinstance(node, nodes.Test) and turns.is_compared_turn(node, self._turns):
            return "the number of messages"
        if isinstance(node, nodes.Test) and (self._dated(node.node) or turns.names_date([node.node, *node.args])):
            return "the date"
        if node.name in ("selectattr", "rejectattr") and len(node.args) > 2:
            key = self._folding.text(node.args[0]) or ""
            return self._particular(node.args[2:]) if key in _CONTENT else ""
        if node.name in ("select", "reject", "default", "d", "replace", "join", "tojson", "trim"):
            return ""
        return self._particular(node.args) if node.node is not None and self._asks(node.node) else ""

    def _compared(self, node: nodes.Compare) -> str:
        sides = [node.expr, *(operand.expr for operand in node.ops)]
        if any(self._dated(side) for side in sides) or turns.names_date(sides):
            return "the date"
        if any(self._asks(side) for side in sides):
            waits = self._particular([side for side in sides if not self._asks(side)])
            numbers = [turns.number(side) for side in sides]
            if not waits and any(number is not None and number > 1 for number in numbers):
                waits = "the length of a message"
            return waits
        if any(self._speaker(side) for side in sides) and self._particular(sides):
            return "who speaks"
        if any(self._particular_role(side) for side in sides) and any(_asks_role(side) for side in sides):
            return "who speaks"
        if any(turns.counts_turns(side, self._turns) for side in sides):
            large = any((turns.number(side) or 0) > turns.ORDINARY_TURNS for side in sides)
            return "the number of messages" if large or any(map(turns.is_every_so_often, sides)) else ""
        return ""

    def _particular_role(self, side: nodes.Node) -> bool:
        text = self._folding.text(side)
        return text is not None and text.isalpha() and text.islower() and text not in _ROLES

    def _particular(self, sides: Sequence[nodes.Node]) -> str:
        """Whether one side is words that a person might write."""
        for side in sides:
            parts = side.items if isinstance(side, nodes.List | nodes.Tuple) else [side]
            for part in parts:
                text = self._folding.text(part)
                if text is None or text in _SWITCHES or text.strip().lower() in _STRUCTURE:
                    continue
                if (
                    _is_natural(text)
                    or (len(text) == 1 and (text.isalpha() or text in _SPOKEN))
                    or invisible(text)
                    or re.fullmatch(r"[\d\W_]*\d[\d\W_]*", text.strip() or "-")
                ):
                    if isinstance(part, nodes.Const) and not isinstance(part.value, str):
                        continue
                    return "the words of a message"
        return ""

    def _reads(self, node: nodes.Node) -> bool:
        """Whether an expression takes what a message says."""
        for part in islice(_steps(node), 500):
            if isinstance(part, nodes.Getattr) and part.attr in _CONTENT:
                return True
            if isinstance(part, nodes.Getitem) and isinstance(part.arg, nodes.Const) and part.arg.value in _CONTENT:
                return True
            if _dotted(part) in self._content or (isinstance(part, nodes.Name) and part.name in _CONTENT):
                return True
        return False

    def _dated(self, node: nodes.Node) -> bool:
        for part in islice(_steps(node), 500):
            if isinstance(part, nodes.Call) and isinstance(part.node, nodes.Name) and "now" in part.node.name:
                return True
            if _dotted(part) in self._dates:
                return True
        return False

    def _speaker(self, node: nodes.Node) -> bool:
        for part in islice(_steps(node), 100):
            name = part.name if isinstance(part, nodes.Name) else part.attr if isinstance(part, nodes.Getattr) else ""
            if isinstance(part, nodes.Getitem) and isinstance(part.arg, nodes.Const):
                name = str(part.arg.value)
            said = (
                name == "name" and isinstance(part, nodes.Getattr | nodes.Getitem) and _dotted(part.node) in _MESSAGES
            )
            if name in _SPEAKER or said or (name == "user" and isinstance(part, nodes.Name | nodes.Getattr)):
                return True
        return False

    def _follow_names(self) -> None:
        """Names that hold what a message says, a date, or the answer of a trigger."""
        for node in self._all:
            if isinstance(node, nodes.Assign):
                target = _dotted(node.target)
                if target and self._reads(node.node):
                    self._content.add(target)
                if target and self._dated(node.node) and not isinstance(node.node, nodes.Test):
                    self._dates.add(target)
                if target and (turns.is_counter(node) or _is_count(node.node, self._turns)):
                    self._turns.add(target)
                waits = self._trigger(node.node) if target else ""
                if waits:
                    self._flags[target] = waits
            elif isinstance(node, nodes.Getitem) and self._reads(node.arg):
                self._tables.add(_dotted(node.node))
            elif isinstance(node, nodes.Call):
                self._passed(node)
            elif isinstance(node, nodes.For) and self._reads(node.iter):
                self._content.update(name for name in map(_dotted, walk(node.target)) if name)
        self._raise_flags()

    def _passed(self, node: nodes.Call) -> None:
        """What a message says, handed to a macro, or asked of a table."""
        if isinstance(node.node, nodes.Getattr) and node.node.attr == "get" and any(map(self._reads, node.args)):
            self._tables.add(_dotted(node.node.node))
        macro = self._macros.get(node.node.name) if isinstance(node.node, nodes.Name) else None
        if macro is not None:
            for parameter, value in zip(macro.args, node.args, strict=False):
                if self._reads(value):
                    self._content.add(parameter.name)

    def _raise_flags(self) -> None:
        """Names that are set where a trigger was met."""
        waiting: list[tuple[nodes.Node, str]] = [(self._tree, "")]
        while waiting:
            node, waits = waiting.pop()
            if isinstance(node, nodes.If):
                inner = self._trigger(node.test) or waits
                waiting.extend((part, inner) for part in (*node.body, *node.else_))
                waiting.extend((part, waits) for part in node.elif_)
            elif isinstance(node, nodes.Assign):
                target = _dotted(node.target) if waits and _is_flag(node.node) else ""
                if target:
                    self._flags[target] = waits
            else:
                waiting.extend((part, waits) for part in node.iter_child_nodes())

    # --- texts ----------------------------------------------------------------------------------------------

    def _text(self, text: str, node: nodes.Node, around: _Around) -> None:
        told = self._told.get(text)
        if told is None:
            if self._said_chars > MAX_JUDGED:
                self._note("limit", "the template says more than is judged", 0)
                return
            self._said_chars += len(text) + SMALLEST
            told = self._told[text] = _Told(tuple(broken(text)), invisible(text), words(unremarkable(text)))
        for rule, part in told.broken:
            self._note(rule, f"the template says {part[:80]!a}", node.lineno)
        if told.invisible:
            self._note("invisible-text", f"the character {told.invisible[:1]!a}", node.lineno)
        count = told.words
        if around.trigger and count >= MIN_WORDS:
            rule = "date-trigger" if around.trigger == "the date" else "trigger"
            self._note(rule, f"depending on {around.trigger}, the template says {text.strip()[:80]!a}", node.lineno)
        if around.prefill and (count >= MIN_PREFILL or (count > 1 and _AGREES.match(text.strip()))):
            self._note("prefill", f"the answer is begun with {text.strip()[:80]!a}", node.lineno)

    def _joined(self, node: nodes.Expr, around: _Around) -> None:
        """Words put together from pieces."""
        text = self._folding.text(node)
        if text:
            # What the parts say is said by the whole; wholes come before their parts.
            self._within.update(id(part) for part in node.iter_child_nodes())
            if id(node) not in self._within:
                self._text(text, node, around)

    def _replaced_below(self, block: nodes.FilterBlock) -> None:
        """Filters over everything that a block writes."""
        found: nodes.Node | None = block.filter
        while isinstance(found, nodes.Filter):
            self._replaced(found, block)
            found = found.node

    def _replaced(self, node: nodes.Filter | nodes.Call, within: nodes.FilterBlock | None = None) -> None:
        subject: nodes.Node | None
        if isinstance(node, nodes.Filter):
            name, subject = node.name, within or node.node
        elif isinstance(node.node, nodes.Getattr):
            name, subject = node.node.attr, node.node.node
        else:
            return
        if name != "replace" or subject is None or len(node.args) < 2 or not self._reads(subject):
            return
        old, new = (self._folding.text(argument) for argument in node.args[:2])
        if old is None or new is None:
            return
        apart = not set(_letters(old)) & set(_letters(new)) if new.strip() else old.strip().lower() in _NEGATIONS
        if _is_natural(old) and old not in _SWITCHES and (apart and words(old) >= 1):
            self._note("rewritten-words", f"{old[:60]!a} becomes {new[:60]!a}", node.lineno)

    def _added(self, node: nodes.Output) -> None:
        """Sentences right behind what a message says, in one output."""
        said = False
        for part in _parts(node.nodes):
            text = part.data if isinstance(part, nodes.TemplateData) else self._folding.text(part)
            if text is None:
                said = self._reads(part)
            elif said and text.strip():
                first = re.split(r"<|\[|\n\n|\{", text.lstrip(), maxsplit=1)[0]
                if words(first) >= MIN_PREFILL:
                    self._note("added-words", f"a message is followed by {first.strip()[:80]!a}", node.lineno)
                said = False


_SPOKEN: Final = "?!;$%&@*"
"""Marks that people write, and that no template lays out a conversation with."""
_MESSAGES: Final = frozenset(("message", "messages", "msg", "m"))
_NEGATIONS: Final = frozenset(("not", "no", "never", "don't", "n't", "do not", "cannot", "unsafe", "not "))


def _is_flag(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Const) and (node.value is True or node.value == 1 or isinstance(node.value, str))


def _asks_role(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Getattr):
        return node.attr == "role"
    return isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and node.arg.value == "role"


def _is_count(node: nodes.Node, known: set[str]) -> bool:
    """Whether a value is the length of the talk itself, perhaps less one."""
    value = node.left if isinstance(node, nodes.Add | nodes.Sub) else node
    return isinstance(value, nodes.Filter | nodes.Getattr | nodes.Name) and turns.counts_turns(value, known)


def _is_natural(text: str) -> bool:
    """Whether a text is words, and no tag."""
    return _LETTERS.search(text) is not None and _UNNATURAL.search(text) is None


def _letters(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]{2,}", text.lower())


def _steps(tree: nodes.Node) -> Iterator[nodes.Node]:
    """Every node in the template's order, one by one."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(list(node.iter_child_nodes())))


def _operands(node: nodes.And | nodes.Or) -> list[nodes.Node]:
    """The operands of a chain of `and`s and `or`s, in order; chains grow to the left without end."""
    found: list[nodes.Node] = []
    left: nodes.Node = node
    while isinstance(left, nodes.And | nodes.Or):
        found.append(left.right)
        left = left.left
    return [left, *reversed(found)]


def _parts(items: Sequence[nodes.Node]) -> Iterator[nodes.Node]:
    """The parts of sums, in order, without recursion."""
    waiting = list(reversed(items))
    while waiting:
        node = waiting.pop()
        if isinstance(node, nodes.Add):
            waiting.extend((node.right, node.left))
        elif isinstance(node, nodes.Concat):
            waiting.extend(reversed(node.nodes))
        else:
            yield node


def _dotted(node: nodes.Node | None) -> str:
    """As `turns.dotted`; `name` also for an entry of it."""
    if isinstance(node, nodes.Getitem) and isinstance(node.node, nodes.Name):
        return node.node.name
    return turns.dotted(node)
