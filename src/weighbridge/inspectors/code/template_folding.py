"""Works out which text an expression of a template makes, where constants alone decide. Bounded, nothing is evaluated."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from jinja2 import nodes

MAX_TEXT: Final = 4_096
MAX_STEPS_DEEP: Final = 40
MAX_MADE: Final = 1024 * 1024
"""Characters of all texts that are put together for one template; what goes beyond is not judged."""

_PLAIN: Final[Mapping[str, Callable[[str], str]]] = {
    "lower": str.lower,
    "upper": str.upper,
    "trim": str.strip,
    "strip": str.strip,
    "string": str,
    "safe": str,
    "list": str,
    "e": str,
    "escape": str,
    "reverse": lambda text: text[::-1],
    "capitalize": str.capitalize,
    "title": str.title,
    "swapcase": str.swapcase,
    "first": lambda text: text[:1],
    "last": lambda text: text[-1:],
}


class Folding:
    """Constants of one template: what names are known to hold, and what expressions over them make."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self._folded: dict[int, str | None] = {}
        self._learnt = False
        self.made = 0
        """Characters of texts that were put together."""

    def learn(self, tree: Sequence[nodes.Node]) -> None:
        """Follows the assignments of constants, in the order of the template."""
        for node in tree:
            if isinstance(node, nodes.Assign):
                self._assign(node.target, node.node)
            elif isinstance(node, nodes.AssignBlock) and isinstance(node.target, nodes.Name):
                text = "".join(
                    data.data
                    for part in node.body
                    if isinstance(part, nodes.Output)
                    for data in part.nodes
                    if isinstance(data, nodes.TemplateData)
                )
                if text.strip():
                    self.known[node.target.name] = text.strip()[:MAX_TEXT]
            elif isinstance(node, nodes.With):
                for target, value in zip(node.targets, node.values, strict=False):
                    self._assign(target, value)
        self._learnt = True
        # From the leaves on, so that nothing is worked out twice and nothing is too deep.
        for node in reversed(tree):
            if isinstance(node, nodes.Expr):
                self.text(node)

    def _assign(self, target: nodes.Node, value: nodes.Node) -> None:
        if isinstance(target, nodes.Tuple) and isinstance(value, nodes.Tuple | nodes.List):
            for one, part in zip(target.items, value.items, strict=False):
                self._assign(one, part)
            return
        text = self.text(value)
        if text is None:
            return
        if isinstance(target, nodes.Name):
            self.known[target.name] = text
        elif isinstance(target, nodes.NSRef):
            self.known[f"{target.name}.{target.attr}"] = text

    def text(self, node: nodes.Node | None, deep: int = 0) -> str | None:
        """The text, or None where it depends on more than constants."""
        if node is None or deep > MAX_STEPS_DEEP:
            return None
        if isinstance(node, nodes.Const):
            return None if isinstance(node.value, bool) or node.value is None else str(node.value)[:MAX_TEXT]
        if isinstance(node, nodes.Name | nodes.Getattr):
            return self.known.get(_known_by(node))
        if self._learnt and id(node) in self._folded:
            return self._folded[id(node)]
        text = self._text(node, deep) if self.made <= MAX_MADE else None
        self.made += len(text or "")
        if self._learnt:
            self._folded[id(node)] = text
        return text

    def _text(self, node: nodes.Node, deep: int) -> str | None:
        if isinstance(node, nodes.Add | nodes.Concat):
            parts = node.nodes if isinstance(node, nodes.Concat) else [node.left, node.right]
            return self._joined(parts, "", deep)
        if isinstance(node, nodes.CondExpr):
            return self.text(node.expr1, deep + 1) or self.text(node.expr2, deep + 1)
        if isinstance(node, nodes.Mul):
            return self._times(node, deep)
        if isinstance(node, nodes.Mod):
            return self._percent(node.left, _items(node.right), deep)
        if isinstance(node, nodes.Getitem):
            return self._cut(node, deep)
        return self._called(node, deep)

    def _joined(self, parts: Sequence[nodes.Node], between: str, deep: int) -> str | None:
        texts = [self.text(part, deep + 1) for part in parts[:256]]
        found = [text for text in texts if text is not None]
        return between.join(found)[:MAX_TEXT] if len(found) == len(texts) and found else None

    def _times(self, node: nodes.Mul, deep: int) -> str | None:
        text, times = self.text(node.left, deep + 1), node.right
        if text is not None and isinstance(times, nodes.Const) and isinstance(times.value, int):
            return (text * max(0, min(times.value, 64)))[:MAX_TEXT]
        return None

    def _percent(self, template: nodes.Node, arguments: Sequence[nodes.Node], deep: int) -> str | None:
        """`%s` and `%c` filled in, each with the next argument."""
        text = self.text(template, deep + 1)
        if text is None or "%" not in text:
            return None
        for argument in arguments[:64]:
            value = self.text(argument, deep + 1)
            if value is None:
                return None
            if "%c" in text and value.isdigit() and int(value[:7]) < 0x110000:
                value = chr(int(value[:7]))
            place = min((at for at in (text.find("%s"), text.find("%c"), text.find("%d")) if at >= 0), default=-1)
            if place < 0:
                break
            text = (text[:place] + value + text[place + 2 :])[:MAX_TEXT]
        return text

    def _cut(self, node: nodes.Getitem, deep: int) -> str | None:
        text, arg = self.text(node.node, deep + 1), node.arg
        if text is None and isinstance(node.node, nodes.List | nodes.Tuple) and isinstance(arg, nodes.Const):
            items = node.node.items
            fits = isinstance(arg.value, int) and -len(items) <= arg.value < len(items)
            return self.text(items[arg.value], deep + 1) if fits else None
        if text is None:
            return None
        if isinstance(arg, nodes.Slice):
            start, stop, step = (_integer(part) for part in (arg.start, arg.stop, arg.step))
            return text[start:stop:step] if step != 0 else None
        place = _integer(arg)
        return text[place] if place is not None and -len(text) <= place < len(text) else None

    def _called(self, node: nodes.Node, deep: int) -> str | None:
        """Filters and methods, by one name."""
        if isinstance(node, nodes.Filter) and node.node is not None:
            name, subject = node.name, node.node
        elif isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
            name, subject = node.node.attr, node.node.node
            if name == "join":
                parts = _items(node.args[0]) if node.args else []
                return self._joined(parts, self.text(subject, deep + 1) or "", deep)
        else:
            return None
        arguments = node.args
        if name == "join":
            between = self.text(arguments[0], deep + 1) if arguments else ""
            if isinstance(subject, nodes.Filter) and subject.name in ("reverse", "list"):
                whole = self._joined(_items(subject.node), between or "", deep)
                return whole if whole is None or subject.name == "list" else whole[::-1]
            return self._joined(_items(subject), between or "", deep)
        text = self.text(subject, deep + 1)
        if text is None:
            return None
        if name == "replace" and len(arguments) >= 2:
            old, new = self.text(arguments[0], deep + 1), self.text(arguments[1], deep + 1)
            return text.replace(old, new)[:MAX_TEXT] if old and new is not None else None
        if name == "format":
            return self._percent(subject, arguments, deep) if "%" in text else self._braces(text, arguments, deep)
        return _PLAIN[name](text) if name in _PLAIN and not arguments else None

    def _braces(self, text: str, arguments: Sequence[nodes.Node], deep: int) -> str:
        for number, argument in enumerate(arguments[:32]):
            value = self.text(argument, deep + 1) or ""
            if value.isdigit() and "{:c}" in text:
                text = text.replace("{:c}", chr(min(int(value[:7]), 0x10FFFF)), 1)
            else:
                text = text.replace("{}", value, 1).replace(f"{{{number}}}", value)
            text = text[:MAX_TEXT]
        return text


def plain(text: str) -> str:
    """The text as Python reads an identifier: compatibility letters folded."""
    return unicodedata.normalize("NFKC", text)


def _known_by(node: nodes.Name | nodes.Getattr) -> str:
    if isinstance(node, nodes.Name):
        return node.name
    return f"{node.node.name}.{node.attr}" if isinstance(node.node, nodes.Name) else ""


def _items(node: nodes.Node | None) -> list[nodes.Expr]:
    if isinstance(node, nodes.List | nodes.Tuple):
        return node.items
    return [node] if isinstance(node, nodes.Expr) else []


def _integer(node: nodes.Node | None) -> int | None:
    if isinstance(node, nodes.Neg):
        inner = _integer(node.node)
        return None if inner is None else -inner
    return node.value if isinstance(node, nodes.Const) and isinstance(node.value, int) else None
