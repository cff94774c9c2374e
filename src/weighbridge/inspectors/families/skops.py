"""What would loading this skops schema construct, call or open? Clean only for types known to hold data.

A `.skops` archive keeps arrays as members and the object tree as `schema.json`. Every node names a loader, a module and
a class; loaders import and construct what is named there, and before each advisory some of them let a name through that
the reader's own audit did not see: operators (CVE-2025-54412), methods whose object is another than the node says
(CVE-2025-54413), types trusted as a whole (CVE-2024-37065). So every node is judged here by what it would do,
whatever the reader's version would ask.

Covers JSON that is a skops schema by content. The archive itself, its arrays, and a pickle under a skops name
(CVE-2025-54886) are for the inspectors of those formats.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from weighbridge.core.finding import Report, Severity
from weighbridge.formats.bounded import read_whole
from weighbridge.formats.json_text import Json, parse
from weighbridge.inspectors.dotted_names import Standing, standing_of
from weighbridge.inspectors.notes import Notes, shown
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject

NAME: Final = "skops"
MAX_BYTES: Final = 64 * 1024 * 1024


def _rule(name: str, title: str, severity: Severity, explanation: str) -> Rule:
    remedy = (
        "Do not load the file with trusted types taken from the file itself. Ask for a model of scikit-learn's types."
    )
    return Rule(f"skops-{name}", title, severity, NAME, explanation, remedy)


RULES: Final[tuple[Rule, ...]] = (
    _rule("weapon", "Names a type or function that runs code", Severity.CRITICAL, "Loading constructs or calls it."),
    _rule(
        "operator",
        "Operator in a schema",
        Severity.HIGH,
        "An operator node calls `operator.<name>` with what the file says; readers before 0.12 call any (CVE-2025-54412).",
    ),
    _rule(
        "method",
        "Bound method in a schema",
        Severity.MEDIUM,
        "Loading takes a method of an object by name; what calls it later is not known.",
    ),
    _rule(
        "method-mismatch",
        "Method of another object than the node says",
        Severity.CRITICAL,
        "The audit sees the node's type, and the reader takes the method of the object inside (CVE-2025-54413).",
    ),
    _rule(
        "unknown-type",
        "Type or function that is not known",
        Severity.MEDIUM,
        "Loading imports its module and constructs it.",
    ),
    _rule("unknown-loader", "Loader that is not known", Severity.HIGH, "No version of the library writes such a node."),
    _rule(
        "node", "Node that breaks the schema", Severity.HIGH, "Its names are no names: readers differ on what they see."
    ),
    _rule("path", "Array outside of the archive", Severity.HIGH, "The name of a member is a path, or of another kind."),
)
_BY_ID: Final = {rule.id: rule for rule in RULES}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LOADERS: Final = _words(
    "DictNode DefaultDictNode ListNode SetNode TupleNode FunctionNode PartialNode TypeNode SliceNode ObjectNode"
    " ConstructorFromReduceNode MethodNode JsonNode BytesNode BytearrayNode OperatorFuncNode NdArrayNode"
    " MaskedArrayNode RandomStateNode RandomGeneratorNode DTypeNode SparseMatrixNode ReduceNode TreeNode LossNode SGDNode"
    " QuantileForestNode CachedNode _DictWithDeprecatedKeysNode DatetimeNode"
)
_PLAIN: Final = _words(
    "builtins.dict builtins.list builtins.set builtins.tuple builtins.str builtins.int builtins.float builtins.bool"
    " builtins.bytes builtins.bytearray builtins.complex builtins.slice builtins.NoneType builtins.frozenset"
    " builtins.range builtins.object builtins.ellipsis collections.OrderedDict collections.defaultdict"
    " collections.Counter datetime.datetime datetime.date datetime.timedelta"
    " scipy._lib.array_api_compat.numpy._aliases.asarray scipy.interpolate._interpolate.interp1d scipy.interpolate._bsplines.BSpline"
    " numpy.dtype numpy.ndarray numpy.ma.MaskedArray numpy.random.RandomState numpy.random._pickle.__randomstate_ctor"
)
_ARRAYS: Final = re.compile(
    r"numpy\.(?:u?int(?:8|16|32|64|c|p)?|float(?:16|32|64|128)|longdouble|complex(?:64|128|256)|bool_?|str_|bytes_|object_"
    r"|void|datetime64|timedelta64|matrix|ndarray|dtype|dtypes\.\w+DType|ma\.MaskedArray)\Z"
)
_UFUNCS: Final = _words(
    "abs absolute add cbrt ceil clip cos cosh deg2rad degrees divide exp exp2 expm1 fabs floor isfinite isinf isnan log"
    " log10 log1p log2 logical_not max maximum mean median min minimum multiply nan_to_num negative power prod rad2deg"
    " radians reciprocal rint round sign sin sinh sqrt square std subtract sum tan tanh trunc var where identity array"
    " asarray ravel reshape argmax argmin argsort sort cumsum dot floor_divide mod hypot"
)
_PACKAGES: Final = re.compile(
    r"(?:sklearn\.(?!utils\._testing|utils\._joblib|utils\.parallel|utils\.fixes|externals|datasets|conftest|tests|_build"
    r"|utils\.tests|utils\._show_versions|show_versions)"
    r"|scipy\.sparse\._(?:csr|csc|coo|bsr|dia|dok|lil)\.|scipy\.sparse\.(?:csr|csc|coo)_(?:matrix|array)\Z"
    r"|scipy\.special\._ufuncs\.|scipy\.special\.(?:expit|logit|gammaln|erf|erfinv|boxcox|xlogy)\Z|scipy\.stats\._(?:continuous|discrete)_distns\."
    r"|scipy\.stats\._distn_infrastructure\.rv_|scipy\.stats\._kde\."
    r"|numpy\.random\.(?:_generator|_pcg64|_mt19937|_philox|_sfc64|mtrand|bit_generator)\.[A-Z]"
    r"|xgboost\.sklearn\.XGB|lightgbm\.sklearn\.LGBM|catboost\.core\.CatBoost|quantile_forest\._quantile_forest)"
)
_MEMBER: Final = re.compile(r"[\w-]{1,100}\.(?:npy|npz|bin)\Z")
_NAME_TEXT: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*\Z")


class SkopsSchemas:
    """The inspector `skops`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Clean with full coverage for a schema of known types; None for what is no schema.

        Raises:
            JsonProblem, LimitExceeded: it cannot be read.
            Truncated: the reader returned less than the artifact's size promises.
        """
        named = subject.path.rpartition("/")[2] == "schema.json"
        if subject.kind.name != "json" or not (b'"__loader__"' in subject.head or named):
            return None
        value = parse(read_whole(subject, MAX_BYTES)).value
        if not isinstance(value, dict) or "__loader__" not in value:
            return None
        notes = Notes(subject, _BY_ID)
        for node in _nodes(value):
            _judge(node, notes)
        return notes.report(NAME, subject.size_bytes)


def _nodes(value: Json) -> Iterator[dict[str, Json]]:
    todo: list[Json] = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            if any(key in one for key in ("__loader__", "__class__", "__module__")):
                yield one
            todo.extend(one.values())
        elif isinstance(one, list):
            todo.extend(one)


def _judge(node: dict[str, Json], notes: Notes) -> None:
    loader, module, name = node.get("__loader__"), node.get("__module__"), node.get("__class__")
    if loader == "CachedNode" and module is None:
        return
    if not (isinstance(loader, str) and isinstance(module, str) and isinstance(name, str)):
        notes.say("skops-node", f"a node has the loader {shown(str(loader))} and the type {shown(f'{module}.{name}')}")
        return
    where, full = f"node {loader}", f"{module}.{name}"
    if loader not in _LOADERS:
        notes.say("skops-unknown-loader", f"a node has the loader {shown(loader)}", location=shown(full))
    if not _NAME_TEXT.match(full):
        notes.say("skops-node", f"a node has the type {shown(full)}", location=where)
        return
    special = _SPECIAL.get(loader)
    if special is not None:
        special(node, full, notes)
    else:
        _type(full, where, notes)
    member = node.get("file")
    if member is not None and not (isinstance(member, str) and _MEMBER.match(member)):
        notes.say("skops-path", f"an array is in {shown(str(member))}", location=where)


def _type(full: str, where: str, notes: Notes) -> None:
    if full in _PLAIN or _ARRAYS.match(full):
        return
    # The transformer calls a function that is a node of its own, and judged there.
    held = full == "sklearn.preprocessing._function_transformer.FunctionTransformer"
    standing = Standing.ORDINARY if held else standing_of(full)
    if standing is Standing.WEAPON:
        notes.say("skops-weapon", f"the schema names {shown(full)}", location=where)
    elif not _PACKAGES.match(full):
        notes.say("skops-unknown-type", f"the schema names {shown(full)}", location=where)


def _function(node: dict[str, Json], full: str, notes: Notes) -> None:
    content = node.get("content")
    if isinstance(content, dict) and "module_path" in content:
        # Old protocols name the function inside, and readers follow that name.
        full = f"{content.get('module_path')}.{content.get('function')}"
    module, _, name = full.rpartition(".")
    if module in ("numpy", "numpy._core", "numpy.core") and name in _UFUNCS:
        return
    _type(full, "node FunctionNode", notes)


def _method(node: dict[str, Json], full: str, notes: Notes) -> None:
    content = node.get("content")
    content = content if isinstance(content, dict) else {}
    owner, method = content.get("obj"), content.get("func")
    if not isinstance(owner, dict) or not isinstance(method, str):
        notes.say("skops-node", "a method has no object or no name", location="node MethodNode")
        return
    inside = f"{owner.get('__module__')}.{owner.get('__class__')}"
    if inside != full and owner.get("__loader__") != "CachedNode":
        notes.say("skops-method-mismatch", f"the node says {shown(full)}, its object is {shown(inside)}")
    if method.startswith("_") or not method.isidentifier() or standing_of(f"{inside}.{method}") is Standing.WEAPON:
        notes.say("skops-weapon", f"the schema takes the method {shown(method)} of {shown(inside)}")
    else:
        notes.say("skops-method", f"the schema takes the method {shown(method)} of {shown(inside)}")
    _type(full, "node MethodNode", notes)


def _operator(_node: dict[str, Json], full: str, notes: Notes) -> None:
    notes.say("skops-operator", f"the schema calls the operator {shown(full)}", location="node OperatorFuncNode")


def _partial(_node: dict[str, Json], full: str, notes: Notes) -> None:
    if full != "functools.partial":
        _type(full, "node PartialNode", notes)
    else:
        notes.say("skops-unknown-type", "the schema names a partial function", location="node PartialNode")


_SPECIAL: Final[dict[str, Callable[[dict[str, Json], str, Notes], None]]] = {
    "FunctionNode": _function,
    "MethodNode": _method,
    "OperatorFuncNode": _operator,
    "PartialNode": _partial,
}
