"""Are these boosted trees (XGBoost, LightGBM, CatBoost) whole trees, and nothing else?

The formats hold numbers, names and parameters as text; a library that loads them follows the links between nodes with
few checks or none. So every link is followed here first: children must be nodes of the tree, reached once; features and
lists must have the length the model says.

- XGBoost: JSON and UBJSON, models and saved boosters (model and configuration). The old binary format is recognised
  and not read: libraries before 3.1 read it without checking it.
- LightGBM: the text format, and its JSON dump.
- CatBoost: `.cbm`, a FlatBuffer behind `CBM1` and its length; CatBoost verifies the tables itself, so their offsets,
  names and parts are checked here and the numbers are left.

What the trees predict is not assessed. Limits: `MAX_BYTES` of model text.
"""

from __future__ import annotations

import re
from typing import Final

from weighbridge.core.errors import Malformed
from weighbridge.core.finding import Report, Severity
from weighbridge.formats.bounded import read_whole
from weighbridge.formats.flat_tables import FlatBuffer
from weighbridge.formats.json_text import Json, parse
from weighbridge.formats.ubjson import parse_ubjson
from weighbridge.inspectors.families.booster_trees import LightGbmText, XgboostModel
from weighbridge.inspectors.notes import Notes, shown
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject

NAME: Final = "boosters"
MAX_BYTES: Final = 64 * 1024 * 1024


def _rule(name: str, title: str, severity: Severity, explanation: str) -> Rule:
    remedy = "Do not load the file. Ask its publisher to save the model again with the current library."
    return Rule(name, title, severity, NAME, explanation, remedy)


_LINKS = "A library follows it without a check: reads and writes outside of the tree, or a prediction that never ends."
RULES: Final[tuple[Rule, ...]] = (
    _rule("xgboost-tree-links", "XGBoost tree that leads out of itself", Severity.HIGH, _LINKS),
    _rule(
        "xgboost-broken", "XGBoost model that breaks its format", Severity.MEDIUM, "It is not what the library writes."
    ),
    _rule(
        "xgboost-unknown-field",
        "Unknown field in an XGBoost model",
        Severity.LOW,
        "The library does not write it; nobody checks what nobody reads.",
    ),
    _rule(
        "xgboost-unknown-objective",
        "Objective or booster that XGBoost does not have",
        Severity.MEDIUM,
        "It needs a plug-in, or is there to be read by something else.",
    ),
    _rule(
        "xgboost-old-binary",
        "XGBoost's old binary format",
        Severity.MEDIUM,
        "Libraries read it into memory without checking it, and since 3.1 not at all.",
    ),
    _rule("lightgbm-tree-links", "LightGBM tree that leads out of itself", Severity.HIGH, _LINKS),
    _rule(
        "lightgbm-broken",
        "LightGBM model that breaks its format",
        Severity.MEDIUM,
        "It is not what the library writes.",
    ),
    _rule(
        "lightgbm-unknown-field",
        "Unknown line in a LightGBM model",
        Severity.LOW,
        "The library does not write it; nobody checks what nobody reads.",
    ),
    _rule(
        "lightgbm-unknown-objective",
        "Objective that LightGBM does not have",
        Severity.MEDIUM,
        "It needs a program that knows it.",
    ),
    _rule("catboost-broken", "CatBoost model that breaks its format", Severity.HIGH, "Offsets lead out of its tables."),
    _rule(
        "catboost-trailing-data",
        "Bytes after a CatBoost model",
        Severity.HIGH,
        "The model says it has no further parts, and something follows: a payload can hide there.",
    ),
    _rule(
        "catboost-unknown-part",
        "Part of a CatBoost model that is not known",
        Severity.MEDIUM,
        "The model names a part that the library does not write.",
    ),
)
_BY_ID: Final = {rule.id: rule for rule in RULES}

_XGBOOST_JSON = re.compile(rb'\s*\{\s*"(?:learner|version|Config|Model)"\s*:')
_OLD_OBJECTIVE = re.compile(rb"(?:reg|binary|multi|rank|count|survival):[a-z]+")
_LIGHTGBM = re.compile(rb"tree\r?\nversion=v\d\r?\n")
_LIGHTGBM_DUMP = re.compile(rb'\s*\{\s*"name"\s*:\s*"tree"\s*,\s*"version"\s*:\s*"v\d"')
_DUMP_KEYS = frozenset(
    (
        "name",
        "version",
        "num_class",
        "num_tree_per_iteration",
        "label_index",
        "max_feature_idx",
        "objective",
        "average_output",
        "feature_names",
        "monotone_constraints",
        "feature_infos",
        "tree_info",
        "feature_importances",
        "pandas_categorical",
    )
)
_CATBOOST_VERSION = re.compile(r"FlabuffersModel_v\d+\Z")
_CATBOOST_PARTS = re.compile(r"(?:static_ctr_provider_v\d+|text_process_v?\d+|embed_process_v?\d+)\x00?\Z")


class Boosters:
    """The inspector `boosters`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Clean with full coverage when every tree is whole; None for what is no booster.

        Raises:
            LimitExceeded: the model is larger than is read.
            Malformed: its JSON is none.
            Truncated: the reader returned less than the artifact's size promises.
        """
        kind, head, notes = subject.kind.name, subject.head, Notes(subject, _BY_ID)
        if kind == "catboost":
            return notes.report(NAME, _catboost(subject, notes))
        if kind == "xgboost-binary" or (kind == "unrecognised" and _OLD_OBJECTIVE.match(head, 144)):
            notes.say("xgboost-old-binary", "the model is in the old binary format")
            return notes.report(NAME, 0)
        if kind == "ubjson":
            return _xgboost(subject, notes, binary=True)
        if kind in ("text", "other-text") and _LIGHTGBM.match(head):
            understood = LightGbmText(notes).read(read_whole(subject, MAX_BYTES))
            return notes.report(NAME, subject.size_bytes if understood else 0)
        if kind == "json" and _LIGHTGBM_DUMP.match(head):
            return _lightgbm_dump(subject, notes)
        if kind == "json" and _XGBOOST_JSON.match(head) and b'"learner"' in head:
            return _xgboost(subject, notes, binary=False)
        return None


def _xgboost(subject: Subject, notes: Notes, *, binary: bool) -> Report | None:
    data = read_whole(subject, MAX_BYTES)
    value: Json
    try:
        value = parse_ubjson(data) if binary else parse(data).value
    except Malformed as problem:
        notes.say("xgboost-broken", problem.message)
        return notes.report(NAME, 0)
    understood = XgboostModel(notes).check(value)
    return notes.report(NAME, len(data) if understood else 0)


def _lightgbm_dump(subject: Subject, notes: Notes) -> Report | None:
    value = parse(read_whole(subject, MAX_BYTES)).value
    unknown = sorted(value.keys() - _DUMP_KEYS) if isinstance(value, dict) else ["?"]
    for key in unknown:
        notes.say("lightgbm-unknown-field", f"the dump has {shown(key)}")
    return notes.report(NAME, 0 if unknown else subject.size_bytes)


def _catboost(subject: Subject, notes: Notes) -> int:
    size = subject.size_bytes
    length = int.from_bytes(subject.head[4:8], "little")
    if len(subject.head) < 16 or 8 + length > size:
        notes.say("catboost-broken", f"the model says it has {length} bytes, and {size - 8} follow")
        return 0
    try:
        core = FlatBuffer(subject, 8, 8 + length).root()
        version, parts = core.text(0), core.texts(3)
        trees = core.table(1)
        for entry in core.tables(2):
            entry.text(0), entry.text(1)
    except Malformed as problem:
        notes.say("catboost-broken", problem.message)
        return 0
    if not _CATBOOST_VERSION.match(version) or trees is None:
        notes.say(
            "catboost-broken", f"the model's version is {shown(version)} and it has {'' if trees else 'no '}trees"
        )
        return 0
    unknown = [part for part in parts if not _CATBOOST_PARTS.match(part)]
    for part in unknown:
        notes.say("catboost-unknown-part", f"the model has the part {shown(part)}")
    if not parts and 8 + length != size:
        notes.say(
            "catboost-trailing-data", f"{size - 8 - length} bytes follow the model", location=f"offset {8 + length}"
        )
    # Only a few of its tables are followed, so what lies between them is not proven to be numbers.
    return size if not unknown else 8 + length
