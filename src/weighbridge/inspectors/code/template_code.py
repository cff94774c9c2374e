"""Judges what the code of a chat template may reach: what chat templates use is allowed, all else is named.

The allow-lists are what the chat templates of published models use, and what is of the same kind. What is on none of
them is unknown; what leads out of the sandbox, or fills memory or time, is graver.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from jinja2 import nodes

from weighbridge.formats.templates import walk
from weighbridge.inspectors.code.template_folding import Folding, plain

Note = Callable[[str, str, int], None]
"""Takes a rule without its prefix, a message and a line."""

MAX_TIMES: Final = 10_000
MAX_LOOP_STEPS: Final = 1_000_000
MAX_LOOPS_DEEP: Final = 8


def _named(names: str) -> frozenset[str]:
    return frozenset(names.split())


_FUNCTIONS: Final = frozenset(
    ("raise_exception", "strftime_now", "namespace", "range", "dict", "caller", "loop", "tojson")
)
_METHODS: Final = _named(
    "append capitalize casefold center copy count endswith extend find get index insert isalnum isalpha isascii isdecimal "
    "isdigit islower isnumeric isspace istitle isupper items join keys ljust lower lstrip partition pop remove "
    "removeprefix removesuffix replace reverse rfind rindex rjust rpartition rsplit rstrip setdefault sort split "
    "splitlines startswith strip strftime isoformat swapcase title update upper values zfill cycle changed"
)
_FILTERS: Final = _named(
    "abs batch capitalize center count d default dictsort e ensure_ascii escape first float forceescape format fromjson "
    "from_json groupby indent int items join last length list lower map max min pprint reject rejectattr replace reverse "
    "round safe select selectattr slice sort string striptags sum title tojson trim truncate unique upper urlencode "
    "wordcount wordwrap"
)
_TESTS: Final = _named(
    "boolean callable defined divisibleby eq equalto escaped even false float ge greaterthan gt in integer iterable le "
    "lessthan lower lt mapping ne none number odd sameas sequence string true undefined upper == != > >= < <="
)
_CALLING_FILTERS = frozenset(("map", "select", "reject"))
_ATTRIBUTE_FILTERS = frozenset(("map", "groupby", "sort", "sum", "unique", "min", "max", "selectattr", "rejectattr"))
_ENGINE_OBJECTS: Final = _named(
    "cycler joiner lipsum self request config g session url_for get_flashed_messages application app current_app environ "
    "environment context handler settings os sys subprocess builtins importlib gc inspect ctypes posix pty popen eval exec open compile getattr "
    "setattr vars globals locals debug modules import_module object type super classmethod property"
)
_INTERNALS: Final = _named(
    "mro func_globals func_code func_closure func_dict func_defaults im_class im_func im_self gi_frame gi_code cr_frame "
    "cr_code ag_frame ag_code f_globals f_builtins f_locals f_back f_code tb_frame tb_next co_code co_consts "
    "format_map"
)
_PROCESS_METHODS: Final = _named(
    "system popen Popen check_output check_call getoutput getstatusoutput spawn execv execve exec eval run_line_magic "
    "import_module load_module exec_module loader from_string from_object from_pyfile get_template load subclasses "
    "read write readlines open unlink rmtree urlopen urlretrieve requests modules builtins globals putenv getenv "
    "overlay call_function compile_expression compile"
)
_DUNDER = re.compile(r"__\w|\w__")
_PATH = re.compile(r"[\w.\[\]'\"|]{2,200}")
_FIELD_ATTRIBUTE = re.compile(
    r"\{[\w ]*(?:[.\[][^{}]*_|![ra]?:?[^{}]*\{)|\{[\w]*\.(?:mro|format|func_|gi_|f_)|\{\w*[.\[]"
)
_BUILDING = frozenset(
    ("join", "replace", "reverse", "format", "lower", "upper", "title", "capitalize", "trim", "first", "last")
)


_LOADING = (nodes.Include, nodes.Extends, nodes.Import, nodes.FromImport)
_OF_A_PAGE = re.compile(r"(?:[\w-]{1,60}/){0,6}[\w-]{1,60}(?:\.[\w-]{1,30}){0,3}\.(?:html?|jinja2?|j2|css|svg)")
"""Templates that pages are put together of: by a constant name, in folders below."""


class CodeJudge:
    """Goes through one template's tree once; `note` is told what breaks a rule."""

    def __init__(self, tree: nodes.Template, note: Note, *, page: bool = False) -> None:
        self._tree = tree
        self._page = page
        self._inner_loops: dict[int, nodes.For | None] = {}
        self.nodes = walk(tree)
        self._note = note
        self.folding = Folding()
        self.folding.learn(self.nodes)
        self._macros = {node.name for node in self.nodes if isinstance(node, nodes.Macro)}
        self._bound = self._macros | {
            node.name for node in self.nodes if isinstance(node, nodes.Name) and node.ctx in ("store", "param")
        }
        self._called = {id(node.node) for node in self.nodes if isinstance(node, nodes.Call)}
        self._built = self._built_names()

    def judge(self) -> None:
        """Looks at every node."""
        self._growing(self._tree)
        for node in self.nodes:
            if isinstance(node, nodes.Keyword):
                self._reached(plain(node.key), node)
            elif isinstance(node, nodes.NSRef):
                self._reached(plain(node.attr), node)
            look = self._LOOKS.get(type(node))
            if look is not None:
                look(self, node)
            elif type(node) not in _HARMLESS and not (self._page and isinstance(node, nodes.Block)):
                self._say("unknown-construct", f"{type(node).__name__} is not what chat templates use", node)
            if isinstance(node, nodes.Expr):
                self._made(node)

    def _say(self, rule: str, message: str, node: nodes.Node) -> None:
        self._note(rule, message, node.lineno)

    def _built_names(self) -> set[str]:
        """Names, and attributes of namespaces, that are given text put together."""
        built = set()
        for node in self.nodes:
            if isinstance(node, nodes.Assign) and _is_built(node.node):
                if isinstance(node.target, nodes.Name):
                    built.add(node.target.name)
                elif isinstance(node.target, nodes.NSRef):
                    built.add(f"{node.target.name}.{node.target.attr}")
            elif isinstance(node, nodes.AssignBlock) and isinstance(node.target, nodes.Name):
                built.add(node.target.name)
        return built

    # --- names ----------------------------------------------------------------------------------------------

    def _name(self, node: nodes.Node) -> None:
        assert isinstance(node, nodes.Name)
        name = plain(node.name)
        if not node.name.isascii():
            self._say("unicode-name", f"the name {node.name!a} is read as {name!a}", node)
        if "__" in name:
            self._say("sandbox-escape", f"the name {name!a}", node)
        elif node.ctx == "load" and name in _ENGINE_OBJECTS and name not in self._bound:
            self._say("engine-object", f"the name {name!a}", node)

    def _attribute(self, node: nodes.Node) -> None:
        assert isinstance(node, nodes.Getattr)
        name = plain(node.attr)
        if not node.attr.isascii():
            self._say("unicode-name", f"the attribute {node.attr!a} is read as {name!a}", node)
        self._reached(name, node)
        if name in ("format", "format_map") and id(node) not in self._called and self._is_text(node.node):
            self._say("format-escape", f"the method {name} of a text is fetched and not called there", node)

    def _is_text(self, node: nodes.Node) -> bool:
        return self.folding.text(node) is not None or isinstance(node, nodes.TemplateData | nodes.Concat)

    def _reached(self, name: str, node: nodes.Node) -> None:
        if _DUNDER.search(name) or name in _INTERNALS - {"format_map"}:
            self._say("sandbox-escape", f"the attribute {name[:80]!a}", node)
        elif name == "format_map":
            self._say("format-escape", "the method format_map", node)
        elif name.startswith("_"):
            self._say("private-attribute", f"the attribute {name[:80]!a}", node)

    def _subscript(self, node: nodes.Node) -> None:
        assert isinstance(node, nodes.Getitem)
        key = node.arg
        if isinstance(key, nodes.Const | nodes.Slice):
            if isinstance(key, nodes.Const) and isinstance(key.value, str):
                self._reached(plain(key.value), node)
            return
        text = self.folding.text(key)
        if text is not None:
            self._reached(plain(text), node)
        name = _dotted(key)
        cut = isinstance(key, nodes.Getitem) and isinstance(key.arg, nodes.Slice)
        told = isinstance(key, nodes.Call) and isinstance(key.node, nodes.Name) and (key.node.name == "caller" or key.node.name in self._macros)  # fmt: skip
        if cut or told or _is_built(key) or name in self._built:
            self._say("computed-key", "the key is put together from pieces", node)

    def _made(self, node: nodes.Expr) -> None:
        """A constant, or a text made of constants, that is a way to Python's internals wherever it is used."""
        if isinstance(node, nodes.Name | nodes.Getattr):
            return
        text = self.folding.text(node)
        if text is None or not _PATH.fullmatch(plain(text)):
            if text is not None and "__" in text and _FIELD_ATTRIBUTE.search(text):
                self._say("format-escape", f"the format string {text[:80]!a}", node)
            return
        name = plain(text).strip("'\"[]")
        if re.search(r"__\w+__|^__|__$|\.__", name) and (len(name) > 1):
            self._say("sandbox-escape", f"the text {name[:80]!a}", node)
        elif name in _INTERNALS and not isinstance(node, nodes.Const):
            self._say("sandbox-escape", f"the text {name!a}, put together", node)

    # --- calls ----------------------------------------------------------------------------------------------

    def _call(self, node: nodes.Node) -> None:
        assert isinstance(node, nodes.Call)
        callee = node.node
        if isinstance(callee, nodes.Name):
            if callee.name == "range":
                self._counts(node)
            if callee.name not in _FUNCTIONS and callee.name not in self._macros:
                known = callee.name in _ENGINE_OBJECTS and callee.name not in self._bound
                self._say("engine-object" if known else "unknown-call", f"{callee.name[:80]!a} is called", node)
        elif isinstance(callee, nodes.Getattr):
            self._method(node, callee)
        elif isinstance(callee, nodes.Getitem | nodes.Filter):
            self._say("computed-key", "what is called was fetched by a key or a filter", node)
        else:
            self._say("unknown-call", "what is called is itself the result of something", node)
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            self._say("unknown-construct", "arguments are unpacked into a call", node)

    def _method(self, node: nodes.Call, callee: nodes.Getattr) -> None:
        name = plain(callee.attr)
        if name == "format":
            self._format(self.folding.text(callee.node), node)
        elif name in _PROCESS_METHODS:
            self._say("process-call", f"the method {name!a} is called", node)
        elif name not in _METHODS and name not in _INTERNALS and not name.startswith("_"):
            self._say("unknown-call", f"the method {name[:80]!a} is called", node)
        if name in ("center", "ljust", "rjust", "zfill"):
            self._sized(node.args, node)

    def _format(self, template: str | None, node: nodes.Node) -> None:
        if template is None:
            self._say("format-escape", "the text that is formatted is not a constant", node)
        elif _FIELD_ATTRIBUTE.search(template):
            self._say("format-escape", f"the format string {template[:80]!a} reads attributes", node)
        elif re.search(r"[:%][^{}%\s]{0,3}\d{5}", template):
            self._say("expansion-bomb", f"the format string {template[:80]!a} asks for a great width", node)

    def _filter(self, node: nodes.Node) -> None:
        assert isinstance(node, nodes.Filter)
        name = node.name
        if name == "attr":
            self._say("attr-filter", "the filter attr is used", node)
        elif name == "xmlattr":
            self._say("unknown-filter", "the filter xmlattr writes attributes of markup (CVE-2024-22195)", node)
        elif name == "format":
            text = self.folding.text(node.node)
            if text is not None and "%c" in text:
                self._say("computed-key", "text is made from the numbers of characters", node)
            self._percent(text, node)
        elif name not in _FILTERS:
            self._say("unknown-filter", f"the filter {name[:80]!a}", node)
        if name in ("center", "indent", "wordwrap", "truncate", "batch", "slice"):
            self._sized(node.args, node)
        if name in _ATTRIBUTE_FILTERS:
            self._by_name(node)

    def _by_name(self, node: nodes.Filter) -> None:
        """Filters and attributes that are named by text."""
        name = node.name
        keyed = [pair.value for pair in node.kwargs if pair.key == "attribute"]
        first = node.args[:1] if name in _CALLING_FILTERS else []
        if name in ("selectattr", "rejectattr", "groupby", "sum"):
            keyed += node.args[:1]
        for key in keyed:
            text = self.folding.text(key)
            if text is None:
                self._say("computed-key", f"the attribute that {name} reads is not a constant", node)
                continue
            for part in plain(text).split("."):
                self._reached(part, node)
        for named in first:
            text = self.folding.text(named)
            if text in ("attr", "format"):
                self._say("attr-filter" if text == "attr" else "format-escape", f"{name} applies {text}", node)
            elif text is None:
                self._say("computed-key", f"the filter that {name} applies is not a constant", node)
            elif text not in (_FILTERS if name == "map" else _TESTS):
                rule = "unknown-filter" if name == "map" else "unknown-test"
                self._say(rule, f"{name} applies {text[:80]!a}", node)

    def _test(self, node: nodes.Node) -> None:
        assert isinstance(node, nodes.Test)
        if node.name not in _TESTS:
            self._say("unknown-test", f"the test {node.name[:80]!a}", node)

    def _loads(self, node: nodes.Node) -> None:
        name = self.folding.text(node.template) if self._page and isinstance(node, _LOADING) else None
        if name is not None and _OF_A_PAGE.fullmatch(name):
            return
        self._say("loads-template", f"{type(node).__name__} reads another template", node)

    # --- bombs ----------------------------------------------------------------------------------------------

    def _sized(self, arguments: Sequence[nodes.Expr], node: nodes.Node) -> None:
        if any((self._number(argument) or 0) > MAX_TIMES for argument in arguments):
            self._say("expansion-bomb", "text is made longer than any message", node)

    def _number(self, node: nodes.Node) -> int | None:
        """A number of constants and of names that hold one."""
        if isinstance(node, nodes.Mul) and not isinstance(node.left, nodes.Mul):
            left, right = self._number(node.left), self._number(node.right)
            return None if left is None or right is None else min(left * right, 10**18)
        known = self.folding.known.get(_dotted(node), "")
        return int(known[:18]) if known.isascii() and known.isdigit() else _number(node)

    def _counts(self, node: nodes.Call) -> None:
        numbers = [self._number(argument) for argument in node.args]
        if any(number is not None and abs(number) > MAX_TIMES for number in numbers):
            self._say("loop-bomb", f"range counts to more than {MAX_TIMES}", node)

    def _times(self, node: nodes.Node) -> None:
        assert isinstance(node, nodes.Mul)
        numbers = [self._number(node.left), self._number(node.right)]
        texts = [self.folding.text(side) for side in (node.left, node.right)]
        listed = any(isinstance(side, nodes.List | nodes.Tuple) for side in (node.left, node.right))
        text = any(found is not None and number is None for found, number in zip(texts, numbers, strict=True))
        if any(number is not None and number > MAX_TIMES for number in numbers):
            self._say("expansion-bomb", f"something is repeated more than {MAX_TIMES} times", node)
        elif (text or listed) and any(isinstance(side, nodes.Pow | nodes.Mul) for side in (node.left, node.right)):
            self._say("expansion-bomb", "text is repeated a computed number of times", node)

    def _power(self, node: nodes.Node) -> None:
        assert isinstance(node, nodes.Pow)
        exponent = _number(node.right)
        if exponent is None or exponent > 64 or isinstance(node.left, nodes.Pow):
            self._say("expansion-bomb", "a number is raised to a great power", node)

    def _modulo(self, node: nodes.Node) -> None:
        assert isinstance(node, nodes.Mod)
        text = self.folding.text(node.left)
        if text is not None and "%" in text:
            if "%c" in text:
                self._say("computed-key", "text is made from the numbers of characters", node)
            self._percent(text, node)

    def _percent(self, text: str | None, node: nodes.Node) -> None:
        if text is None:
            self._say("format-escape", "the text that is formatted is not a constant", node)
        elif re.search(r"%[-+ #]*0*\d{5}|%\*|%\.\d{5}", text):
            self._say("expansion-bomb", f"the format string {text[:80]!a} asks for a great width", node)

    def _loop(self, node: nodes.Node) -> None:
        assert isinstance(node, nodes.For)
        inner, deep, steps = node, 1, _steps(node)
        while (below := self._first_loop(inner)) is not None and deep < 64:
            inner, deep = below, deep + 1
            steps *= _steps(inner)
        if steps > MAX_LOOP_STEPS or deep > MAX_LOOPS_DEEP:
            self._say("loop-bomb", f"{deep} loops within each other make {steps} rounds at least", node)

    def _first_loop(self, loop: nodes.For) -> nodes.For | None:
        if id(loop) not in self._inner_loops:
            self._inner_loops[id(loop)] = _first_loop(loop)
        return self._inner_loops[id(loop)]

    def _growing(self, tree: nodes.Template) -> None:
        """Every node of a loop's body, with what the loops around it go through."""
        waiting: list[tuple[nodes.Node, frozenset[str]]] = [(tree, frozenset())]
        while waiting:
            node, looped = waiting.pop()
            if looped:
                self._grows(node, looped)
            if isinstance(node, nodes.For):
                inner = looped | {_dotted(node.iter), "."}
                waiting.extend((part, inner) for part in node.body)
                waiting.extend((part, looped) for part in (node.iter, *node.else_))
            else:
                waiting.extend((part, looped) for part in node.iter_child_nodes())

    def _grows(self, node: nodes.Node, looped: frozenset[str]) -> None:
        """Text that doubles in every round, and lists that grow while they are gone through."""
        if isinstance(node, nodes.Assign):
            target = node.target.name if isinstance(node.target, nodes.Name) else ""
            if isinstance(node.target, nodes.NSRef):
                target = f"{node.target.name}.{node.target.attr}"
            used = sum(1 for part in walk(node.node) if _dotted(part) == target) if target else 0
            if (
                used > 1
                and isinstance(node.node, nodes.Add | nodes.Concat | nodes.Mul | nodes.Filter)
                and _summed(node.node, target) > 1
            ):
                self._say("expansion-bomb", f"{target[:80]!a} doubles in every round of a loop", node)
        elif isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
            grown = _dotted(node.node.node)
            if grown and grown in looped and node.node.attr in ("append", "extend", "insert"):
                self._say("loop-bomb", f"{grown[:80]!a} grows while it is gone through", node)

    _LOOKS: Final = {
        nodes.Name: _name,
        nodes.Getattr: _attribute,
        nodes.Getitem: _subscript,
        nodes.Call: _call,
        nodes.Filter: _filter,
        nodes.Test: _test,
        nodes.Include: _loads,
        nodes.Import: _loads,
        nodes.FromImport: _loads,
        nodes.Extends: _loads,
        nodes.Mul: _times,
        nodes.Pow: _power,
        nodes.Mod: _modulo,
        nodes.For: _loop,
    }


_HARMLESS: Final[frozenset[type[nodes.Node]]] = frozenset(
    (
        nodes.Template, nodes.Output, nodes.TemplateData, nodes.Const, nodes.If, nodes.Add, nodes.Sub, nodes.Div,
        nodes.FloorDiv, nodes.Assign, nodes.AssignBlock, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not,
        nodes.NSRef, nodes.Keyword, nodes.Concat, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.CondExpr,
        nodes.Macro, nodes.CallBlock, nodes.FilterBlock, nodes.With, nodes.Neg, nodes.Pos, nodes.Slice, nodes.Break,
        nodes.Continue, nodes.ExprStmt, nodes.Scope,
    )
)  # fmt: skip


def _dotted(node: nodes.Node | None) -> str:
    """`name` or `name.attribute`; "" for anything else."""
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
        return f"{node.node.name}.{node.attr}"
    return ""


def _is_built(node: nodes.Node | None) -> bool:
    """Whether an expression puts text together."""
    if isinstance(node, nodes.Concat | nodes.CondExpr):
        return isinstance(node, nodes.Concat)
    if isinstance(node, nodes.Add):
        return any(isinstance(part, nodes.Const) and isinstance(part.value, str) for part in walk(node))
    if isinstance(node, nodes.Mod):
        return isinstance(node.left, nodes.Const) and isinstance(node.left.value, str)
    if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
        return node.node.attr in _BUILDING
    return isinstance(node, nodes.Filter) and node.name in _BUILDING


def _summed(node: nodes.Node, target: str) -> int:
    """How often a name is a direct part of a sum."""
    parts, count = [node], 0
    while parts:
        part = parts.pop()
        if isinstance(part, nodes.Concat):
            parts.extend(part.nodes)
        elif isinstance(part, nodes.Filter) and part.name == "join" and isinstance(part.node, nodes.List | nodes.Tuple):
            parts.extend(part.node.items)
        elif isinstance(part, nodes.Add | nodes.Mul):
            parts.extend((part.left, part.right))
        elif _dotted(part) == target:
            count += 1
    return count


def _number(node: nodes.Node) -> int | None:
    """A constant, through products and powers of constants, capped."""
    if isinstance(node, nodes.Neg):
        return _number(node.node)
    if isinstance(node, nodes.Const) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return int(min(abs(node.value), 10**18))
    if isinstance(node, nodes.Mul | nodes.Pow | nodes.Add) and not isinstance(node.left, nodes.BinExpr):
        left, right = _number(node.left), _number(node.right)
        if left is None or right is None:
            return None
        if isinstance(node, nodes.Pow):
            return 10**18 if right > 60 and left > 1 else min(left**right, 10**18)
        return min(left * right if isinstance(node, nodes.Mul) else left + right, 10**18)
    return None


def _steps(loop: nodes.For) -> int:
    call = loop.iter
    if isinstance(call, nodes.Call) and isinstance(call.node, nodes.Name) and call.node.name == "range" and call.args:
        numbers = [_number(argument) for argument in call.args[:2]]
        return max((number for number in numbers if number is not None), default=1) or 1
    if isinstance(call, nodes.List | nodes.Tuple):
        return max(1, len(call.items))
    return 1


def _first_loop(loop: nodes.For) -> nodes.For | None:
    """The deepest-counting loop right below another."""
    waiting: list[nodes.Node] = list(loop.body)
    best: nodes.For | None = None
    while waiting:
        node = waiting.pop()
        if isinstance(node, nodes.For):
            best = node if best is None or _steps(node) > _steps(best) else best
        else:
            waiting.extend(node.iter_child_nodes())
    return best
