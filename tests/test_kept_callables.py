"""Callables that a pickle keeps for later are for somebody to decide; what it calls, or reaches by them, is bad."""

from __future__ import annotations

from tests.support.cases import each
from tests.support.inspecting import examined, rules_of
from tests.support.pickles import stack_global, text
from weighbridge.core.finding import Verdict

KEPT = "functools partial"


def partial(function: bytes, given: bytes = b")") -> bytes:
    """A partial as its own `__reduce__` writes it."""
    return stack_global(KEPT) + function + b"\x85R(" + function + given + b"}Ntb"


def bound(name: str) -> bytes:
    """A method of an honest object."""
    return stack_global("builtins getattr") + stack_global("collections OrderedDict") + b")R" + text(name) + b"\x86R"


@each(
    "data",
    [
        partial(stack_global("river.stats.mean Mean")),
        bound("keys"),
        partial(bound("keys")),
        stack_global("joblib.memory Memory") + b")\x81}b",
        stack_global("_operator getitem") + stack_global("typing Union") + stack_global("builtins int") + b"\x86R",
    ],
)
def test_what_is_kept_for_a_later_call_is_for_somebody_to_decide(data: bytes) -> None:
    found = examined("model.pkl", b"\x80\x04" + data + b".")
    assert found.verdict is Verdict.UNKNOWN
    assert {"pickle-unknown-callable"} == rules_of("model.pkl", b"\x80\x04" + data + b".")


@each(
    "data",
    [
        partial(stack_global("os system")),
        partial(stack_global("builtins getattr")),
        partial(stack_global("river.stats.mean Mean")) + b")R",
        stack_global(KEPT),
        stack_global(KEPT) + text("id") + b"\x85R",
        bound("keys") + b")R",
        bound("keys") + b"}b",
        bound("__class__"),
        bound("gi_frame"),
        bound("system"),
        stack_global("builtins getattr") + bound("keys") + text("x") + b"\x86R",
        stack_global("joblib.memory Memory") + text("/tmp/cache") + b"\x85R",
        stack_global("_operator getitem") + b"}" + text("eval") + b"\x86R",
        stack_global("_operator getitem") + stack_global("typing Union") + text("exec('x')") + b"\x86R",
        stack_global("inspect getsource"),
        stack_global("types FunctionType"),
        stack_global("types CodeType"),
    ],
)
def test_what_is_called_or_reaches_further_stays_bad(data: bytes) -> None:
    assert examined("model.pkl", b"\x80\x04" + data + b".").verdict is Verdict.BAD


OBJECTS = (
    "river.linear_model.log_reg LogisticRegression", "sksurv.tree.tree SurvivalTree", "gymnasium.spaces.dict Dict",
    "tslearn.clustering.kmeans TimeSeriesKMeans", "sktime.forecasting.naive._naive NaiveForecaster",
    "implicit.cpu.als AlternatingLeastSquares", "river.preprocessing.scale StandardScaler", "xarray.core.dataset Dataset",
)  # fmt: skip


@each("name", OBJECTS)
def test_a_judged_class_keeps_its_state_and_no_weapon(name: str) -> None:
    made = b"\x80\x04" + stack_global(name) + b")\x81"
    assert examined("model.pkl", made + b"}b.").verdict is Verdict.CLEAN
    for state in (text("os"), b"]", b"}" + text("x") + stack_global("os system") + b"s"):
        assert examined("model.pkl", made + state + b"b.").verdict is not Verdict.CLEAN
    assert examined("model.pkl", b"\x80\x04" + stack_global(name) + text("id") + b"\x85R.").verdict is not Verdict.CLEAN
