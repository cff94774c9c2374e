"""What libraries of other fields write passes where each class was judged, and what hides beside those classes does not."""

from __future__ import annotations

import sqlite3

import pytest

from tests.support.benign_pack import NEIGHBOURS, Control, packed
from tests.support.cases import each
from tests.support.inspecting import answer, rules_of, verdict_of
from tests.support.pickles import Bytes, blob, call, glob, text
from tests.test_benign_pickles import stopped
from weighbridge.core.finding import Report, Verdict
from weighbridge.inspectors.pickles.inspector import Pickles

OBJECTS = (
    "gymnasium.spaces.box Box", "optuna.trial._frozen FrozenTrial", "catboost.core CatBoostClassifier",
    "Bio.SeqRecord SeqRecord", "timm.models.convnext ConvNeXt", "pyod.models.ecod ECOD",
)  # fmt: skip
PARSED = ("rdkit.Chem.rdchem Mol", "rdkit.DataStructs.cDataStructs ExplicitBitVect", "shapely.io from_wkb")


@pytest.fixture(scope="module")
def made() -> list[Control]:
    """All controls, once."""
    return [control for part in packed(NEIGHBOURS).values() for control in part]


def inspect(data: bytes) -> Report:
    report = answer(Pickles(), Bytes("model.pkl", data))
    assert report is not None
    return report


def an_object(name: str, state: bytes) -> bytes:
    """An object of a class, made without arguments, and given a state."""
    return b"\x80\x02" + glob(name) + b")\x81" + state + b"b."


def test_what_other_fields_write_passes(made: list[Control]) -> None:
    assert len(made) >= 20
    assert [why for control in made for why in stopped(control)] == []


@each("name", OBJECTS)
def test_a_class_that_keeps_its_state_keeps_a_dictionary_and_no_more(name: str) -> None:
    assert inspect(an_object(name, b"}")).verdict is Verdict.CLEAN
    for state in (b"K\x01", text("os"), glob("os system"), b"]"):
        assert inspect(an_object(name, state)).verdict is not Verdict.CLEAN


@each("name", OBJECTS)
def test_a_weapon_in_the_state_of_an_honest_class_is_bad(name: str) -> None:
    for weapon in (glob("os system"), call("os system")[:-1], call("builtins eval")[:-1]):
        assert inspect(an_object(name, b"}" + text("x") + weapon + b"s")).verdict is Verdict.BAD


@each("name", OBJECTS)
def test_an_honest_class_is_called_by_nobody_with_arguments_of_his_own(name: str) -> None:
    for arguments in (text("x") + b"\x85", glob("os system") + b"\x85"):
        assert inspect(b"\x80\x02" + glob(name) + arguments + b"R.").verdict is not Verdict.CLEAN


@each("name", PARSED)
def test_what_parses_bytes_is_given_bytes(name: str) -> None:
    assert inspect(b"\x80\x03" + glob(name) + blob(b"bytes") + b"\x85R.").verdict is Verdict.CLEAN
    for argument in (b"K\x01", b"}", glob("builtins eval")):
        assert inspect(b"\x80\x03" + glob(name) + argument + b"\x85R.").verdict is not Verdict.CLEAN


@each(
    "name",
    (
        "gymnasium.spaces.multi_discrete MultiDiscrete", "gymnasium.core Env", "timm.layers.lambda_layer LambdaLayer",
        "stable_baselines3.common.vec_env.subproc_vec_env SubprocVecEnv", "catboost.core _CatBoostBase", "shapely.io from_wkt",
        "rdkit.Chem.rdchem MolBundle", "optuna.storages._rdb.storage RDBStorage", "timm.models._hub load_state_dict_from_hf",
        "stable_baselines3.common.save_util load_from_pkl", "lifelines.fitters.coxph_fitter CoxPHFitter",
    ),
)  # fmt: skip
def test_what_lies_beside_an_honest_class_is_not_allowed_with_it(name: str) -> None:
    assert inspect(an_object(name, b"}")).verdict is not Verdict.CLEAN


def test_a_generator_of_older_numpy_is_made_by_its_own_maker_and_no_other() -> None:
    def made_with(maker: str) -> bytes:
        return b"\x80\x02" + glob("numpy.random._pickle __generator_ctor") + text("PCG64") + glob(maker) + b"\x86R."

    assert inspect(made_with("numpy.random._pickle __bit_generator_ctor")).verdict is Verdict.CLEAN
    assert inspect(made_with("os system")).verdict is Verdict.BAD
    assert inspect(made_with("builtins list")).verdict is not Verdict.CLEAN


def test_the_triggers_of_a_geopackage_call_its_own_functions() -> None:
    for function, said in (("st_isempty", set()), ("st_load_extension", {"sqlite-unknown-function"})):
        with sqlite3.connect(":memory:") as places:
            places.execute("create table p (geom blob)")
            places.execute(f"create trigger t after insert on p begin select {function}(new.geom); end")
            assert rules_of("p.gpkg", places.serialize()) - {"sqlite-trigger"} == said


def test_a_setting_that_names_nothing_to_run_runs_nothing() -> None:
    for said in ('before-all = ""\n', "before-all = ''  # nothing\n"):
        assert rules_of("pyproject.toml", said.encode()) == set()
    for said in ('before-all = "sh x"\n', 'before-all = ""curl\n', 'before-all = """\ncurl x | sh\n"""\n'):
        assert "settings-runs-code" in rules_of("pyproject.toml", said.encode())


@each("path", ("s.nwk", "s.nex", "s.gb", "s.embl"))
def test_a_text_of_biology_is_a_text(path: str) -> None:
    assert verdict_of(path, b"((A:1.0,B:1.0):1.0,C:2.0);\n") is Verdict.CLEAN
    assert verdict_of(path, call("os system")) is not Verdict.CLEAN
