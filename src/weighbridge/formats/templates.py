"""Reads a chat template into Jinja's syntax tree, within bounds, and never renders or compiles it.

The tree is made by Jinja's own parser, which follows nesting by recursion; so the tokens are counted first, and the
nesting they ask for. The tags are those of the libraries that render chat templates: Jinja's own, `break` and
`continue`, `do`, and the `generation` block that marks what an assistant said.
"""

from __future__ import annotations

import re
import warnings
from typing import Final

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser

from weighbridge.core.errors import LimitExceeded, Malformed

MAX_TEMPLATE_BYTES: Final = 256 * 1024
"""The largest known chat template has a tenth of that."""

MAX_TOKENS: Final = 60_000
MAX_NESTING: Final = 560
"""Steps of the parser within each other, by the costs below; Python stops at 1,000."""

_COST: Final = {"(": 16, "[": 16, "{": 16}
_BLOCK_COST: Final = 6
_PREFIX_COST: Final = 2
_OPENING = frozenset(
    ("if", "for", "macro", "call", "filter", "with", "generation", "block", "raw", "autoescape", "trans")
)
_PREFIXES = frozenset(("not", "else", "-", "+"))
_LONG_NUMBER = re.compile(r"\d[\d_]{300}")


class _Generation(Extension):
    """The `generation` block; what it holds counts as if it stood there without it."""

    tags = {"generation"}  # noqa: RUF012  # as Jinja's extensions declare it

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        """The statements up to its end."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def parse_template(text: str) -> nodes.Template:
    """The syntax tree of a template.

    Raises:
        LimitExceeded: it is larger, or nested deeper, than is read.
        Malformed: Jinja does not read it; another engine may.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_TEMPLATE_BYTES:
        raise LimitExceeded(f"the template is larger than {MAX_TEMPLATE_BYTES} bytes")
    if _LONG_NUMBER.search(text):
        raise LimitExceeded("the template has a number of more than 300 digits")
    environment = Environment(  # noqa: S701  # nothing is rendered
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_Generation, "jinja2.ext.loopcontrols", "jinja2.ext.do"],
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _count(environment, text)
            return environment.parse(text)
    except TemplateSyntaxError as error:
        raise Malformed(f"line {error.lineno}: {str(error.message)[:100]!a}") from error
    except RecursionError as error:
        raise LimitExceeded("the template is nested deeper than is read") from error
    except (ValueError, OverflowError, AssertionError) as error:
        raise Malformed("the template holds a value that Jinja does not read") from error


def _count(environment: Environment, text: str) -> None:
    """Raises `LimitExceeded` where the parser would have to go too deep, or on too long."""
    open_brackets: list[int] = []
    deep = blocks = run = chain = 0
    after_begin = False
    for number, (_, kind, value) in enumerate(environment.lex(text)):
        if number > MAX_TOKENS:
            raise LimitExceeded(f"the template has more than {MAX_TOKENS} tokens")
        if kind == "whitespace":
            continue
        if after_begin and kind == "name":
            blocks += _block_step(value)
        after_begin = kind == "block_begin"
        if kind in ("block_begin", "variable_begin"):
            open_brackets, deep, chain = [], 0, 0
        if kind == "operator" and value in _COST:
            open_brackets.append(_COST[value])
            deep += _COST[value]
        elif kind == "operator" and value in ")]}" and open_brackets:
            deep -= open_brackets.pop()
        run = run + _PREFIX_COST if value in _PREFIXES else 0
        # `a if b else c if d else e` nests to the right, as powers and `not`s do.
        chain += 4 if value == "else" and kind == "name" and not after_begin else 0
        if deep + blocks + run + chain > MAX_NESTING:
            raise LimitExceeded("the template is nested deeper than is read")


def _block_step(word: str) -> int:
    if word in _OPENING:
        return _BLOCK_COST
    return -_BLOCK_COST if word.startswith("end") and word[3:] in _OPENING else 0


def walk(tree: nodes.Node) -> list[nodes.Node]:
    """Every node, in the template's order, without recursion."""
    found, waiting = [], [tree]
    while waiting:
        node = waiting.pop()
        found.append(node)
        waiting.extend(reversed(list(node.iter_child_nodes())))
    return found
