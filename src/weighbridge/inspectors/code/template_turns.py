"""What in a template's conditions counts the talk's turns, or tells the day: the parts of triggers that are no words."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from jinja2 import nodes

ORDINARY_TURNS: Final = 3
"""Templates ask whether there are up to so many messages, to find the first ones."""

_MESSAGES: Final = frozenset(("messages", "conversation", "history", "chat", "loop_messages"))
_TURNS: Final = frozenset(("index", "index0", "revindex", "revindex0", "length"))
_DATES: Final = frozenset(
    (
        *("date_string", "current_date", "today", "todays_date", "date", "datetime", "now", "current_time"),
        *("current_datetime", "weekday", "year"),
    )
)
_COMPARING: Final = frozenset(
    (
        "gt",
        "ge",
        "lt",
        "le",
        "eq",
        "ne",
        "greaterthan",
        "lessthan",
        "equalto",
        "sameas",
        ">",
        ">=",
        "<",
        "<=",
        "==",
        "!=",
    )
)


def steps(tree: nodes.Node, at_most: int = 500) -> Iterator[nodes.Node]:
    """Every node in the template's order, one by one."""
    waiting, count = [tree], 0
    while waiting and count < at_most:
        node = waiting.pop()
        yield node
        count += 1
        waiting.extend(reversed(list(node.iter_child_nodes())))


def number(node: nodes.Node | None) -> int | None:
    """A constant whole number."""
    return node.value if isinstance(node, nodes.Const) and type(node.value) is int else None


def counts_turns(node: nodes.Node, known: Collection[str] = ()) -> bool:
    """Whether an expression is made of how many messages there are; `known` are names that hold it."""
    return any(_counts(part) or dotted(part) in known for part in steps(node))


def _counts(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Filter) and node.name in ("length", "count"):
        return isinstance(node.node, nodes.Name | nodes.Filter)
    return isinstance(node, nodes.Getattr) and node.attr in _TURNS and dotted(node.node) == "loop"


def is_late_turn(node: nodes.Node) -> bool:
    """Whether it fetches a message that only long talks have: `messages[7]`, `messages[7:]`, `messages|batch(8)`."""
    if isinstance(node, nodes.Getitem) and isinstance(node.node, nodes.Name) and node.node.name in _MESSAGES:
        first = node.arg.start if isinstance(node.arg, nodes.Slice) else node.arg
        return (number(first) or 0) > ORDINARY_TURNS
    if isinstance(node, nodes.Filter) and node.name in ("batch", "slice"):
        talk = isinstance(node.node, nodes.Name) and node.node.name in _MESSAGES
        return talk and any((number(one) or 0) > ORDINARY_TURNS for one in node.args)
    return False


def is_compared_turn(node: nodes.Test, known: Collection[str]) -> bool:
    """Whether a test such as `is gt 7` asks how long the talk is."""
    large = any((number(one) or 0) > ORDINARY_TURNS for one in node.args or ())
    return node.name in _COMPARING and large and counts_turns(node.node, known)


def is_every_so_often(node: nodes.Node) -> bool:
    """Whether turns are counted off, other than by twos."""
    return any(isinstance(part, nodes.Mod) and (number(part.right) or 0) > 2 for part in steps(node, 100))


def is_counter(node: nodes.Assign) -> bool:
    """Whether a name is counted up: `{% set ns.n = ns.n + 1 %}`."""
    value, target = node.node, dotted(node.target)
    return bool(target) and isinstance(value, nodes.Add) and dotted(value.left) == target and number(value.right) == 1


def takes_talk(node: nodes.Node, content: Collection[str]) -> bool:
    """Whether it makes one text of what the messages say; `content` are the keys that hold it."""
    for part in steps(node):
        if not isinstance(part, nodes.Filter):
            continue
        if part.name == "map" and any(
            pair.key == "attribute" and isinstance(pair.value, nodes.Const) and pair.value.value in content
            for pair in part.kwargs
        ):
            return True
        if part.name in ("tojson", "string") and isinstance(part.node, nodes.Name) and part.node.name in _MESSAGES:
            return True
    return False


def names_date(sides: Sequence[nodes.Node]) -> bool:
    """Whether a name that applications pass the day in is compared with a particular one."""
    named = any(dotted(part).rpartition(".")[2] in _DATES for side in sides for part in steps(side, 100))
    return named and any(_has_digit(part) for side in sides for part in steps(side, 100))


def _has_digit(node: nodes.Node) -> bool:
    if not isinstance(node, nodes.Const) or isinstance(node.value, bool):
        return False
    return any(character.isdigit() for character in str(node.value)[:200])


def dotted(node: nodes.Node | None) -> str:
    """`name` or `name.attribute`; "" for anything else."""
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.NSRef):
        return f"{node.name}.{node.attr}"
    if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
        return f"{node.node.name}.{node.attr}"
    return ""
