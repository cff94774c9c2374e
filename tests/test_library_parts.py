"""What libraries write beside their weights passes when all of it is read, and what hides beside it does not."""

from __future__ import annotations

import base64
import io
import json
import struct
import zipfile
import zlib

import msgpack

from tests.support.cases import each
from tests.support.graphs import stored
from tests.support.inspecting import examined, rules_of
from tests.support.pickles import call, glob, stack_global
from weighbridge.core.finding import Verdict

WEAPON = call("os system")
TOKENIZER = msgpack.packb({"prefix_search": "^a|^b", "infix_finditer": "-", "rules": {}})
MODEL = msgpack.packb({"nodes": [{"name": "linear"}], "attrs": [{"nO": msgpack.packb(4)}], "params": [], "shims": [[]]})
POLICY = b"\x80\x04" + stack_global("stable_baselines3.common.policies ActorCriticPolicy") + b"."
CLASSIC, NETCDF4 = stored("classic.nc"), stored("netcdf4.h5")
PARQUET, IPC, DOCUMENTS = stored("polars.parquet"), stored("polars.ipc"), stored("documents.spacy")


def saved(value: bytes | str, *, version: bytes = b"2.9.2") -> bytes:
    """An archive as stable-baselines3 saves it, of one stored value."""
    kept = value if isinstance(value, str) else base64.b64encode(value).decode()
    data = {"policy_class": {":type:": "<class 'abc.ABCMeta'>", ":serialized:": kept}, "verbose": 0}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr("data", json.dumps(data))
        members.writestr("_stable_baselines3_version", version)
    return archive.getvalue()


HONEST = {
    "pipeline/tokenizer": TOKENIZER,
    "vocab/key2row": b"\x80",
    "vocab/lookups.bin": b"\x80",
    "textcat/model": MODEL,
    "train.spacy": DOCUMENTS,
    "agent.zip": saved(POLICY),
    "grid.nc": CLASSIC,
    "t.parquet": PARQUET,
    "t.ipc": IPC,
    "netcdf4.nc": NETCDF4,
    "stars.ecsv": b"# %ECSV 1.0\n# ---\n# datatype:\n# - {name: a, datatype: int64}\na\n1\n",
}


@each("path", HONEST)
def test_what_libraries_write_passes(path: str) -> None:
    found = examined(path, HONEST[path])
    assert found.verdict is Verdict.CLEAN
    assert rules_of(path, HONEST[path]) == set()


SHIMMED = msgpack.packb({"nodes": [], "shims": [[msgpack.packb({"config": {}, "state": WEAPON})]]})


@each(
    ("path", "data", "rule"),
    [
        ("agent.zip", saved(WEAPON), "pickle-dangerous-callable"),
        ("agent.zip", saved("\n".join(base64.b64encode(WEAPON).decode())), "pickle-dangerous-callable"),
        ("agent.zip", saved(b"\x80\x04" + glob("builtins eval") + b"."), "pickle-dangerous-callable"),
        ("textcat/model", SHIMMED, "pickle-dangerous-callable"),
        ("pipeline/tokenizer", msgpack.packb({"rules": WEAPON}), "pickle-dangerous-callable"),
        ("train.spacy", zlib.compress(msgpack.packb({"user_data": [WEAPON]})), "pickle-dangerous-callable"),
    ],
)
def test_a_pickle_inside_is_judged_as_one(path: str, data: bytes, rule: str) -> None:
    assert examined(path, data).verdict is Verdict.BAD
    assert rule in rules_of(path, data)


@each(
    ("path", "data", "rule"),
    [
        ("agent.zip", saved("A"), "policy-not-understood"),
        ("pipeline/tokenizer", TOKENIZER + b"\x00", "spacy-broken"),
        ("pipeline/tokenizer", TOKENIZER[:-1], "spacy-broken"),
        ("pipeline/tokenizer", msgpack.packb({"a": msgpack.ExtType(1, b"x")}), "spacy-broken"),
        ("train.spacy", DOCUMENTS + b"MZ and more", "spacy-broken"),
        ("grid.nc", CLASSIC[:-9], "netcdf-broken"),
        ("grid.nc", CLASSIC[:60], "netcdf-broken"),
        ("t.ipc", IPC[:8] + IPC[9:], "columnar-broken"),
    ],
)
def test_what_cannot_be_followed_is_not_clean(path: str, data: bytes, rule: str) -> None:
    assert examined(path, data).verdict is not Verdict.CLEAN
    assert rule in rules_of(path, data)


def test_bytes_behind_the_values_of_a_grid_belong_to_nothing() -> None:
    assert examined("grid.nc", CLASSIC + b"#!/bin/sh\nid\n").verdict is not Verdict.CLEAN


def test_a_copy_that_says_something_else_than_the_footer_is_not_a_copy() -> None:
    """The bytes behind a column are only a description when they say what the footer says."""
    place = PARQUET.index(b"\x15\x04\x19\x35\x00\x06\x10")
    other = PARQUET[: place + 12] + b"Z" + PARQUET[place + 13 :]
    assert examined("t.parquet", PARQUET).verdict is Verdict.CLEAN
    assert examined("t.parquet", other).verdict is not Verdict.CLEAN


def test_a_schema_without_a_frame_hides_nothing_behind_it() -> None:
    """Nobody says how long it is: it may not be much longer than the footer's own."""
    grown = IPC[:220] + b"#!/bin/sh\nid\n" + bytes(4096) + IPC[220:]
    assert examined("t.ipc", grown).verdict is not Verdict.CLEAN


def test_what_the_library_leaves_behind_lies_between_others_and_is_short() -> None:
    assert "hdf5-unaccounted" in rules_of("model.h5", stored("deleted.h5"))


def test_a_header_that_says_more_than_there_is_ends_the_reading() -> None:
    data = b"CDF\x01" + struct.pack(">III", 0, 10, 1 << 30) + bytes(40)
    assert rules_of("grid.nc", data) == {"netcdf-broken"}


@each(
    ("path", "text", "bad"),
    [
        ("errors.json", '{"Hints": "torch.compile(lambda x: f(x))", "Why": "re.compile(x) failed"}', False),
        ("errors.json", '{"Why": "builtins.compile(x)"}', True),
        ("errors.json", '{"Why": "{type(x).__mro__}"}', True),
        ("CMakeLists.txt.jinja", "set(a {{ b }})\nGIT_REPOSITORY https://github.com/a/b.git)\n", False),
        ("chat_template.jinja", "set(a {{ b }})\nGIT_REPOSITORY https://github.com/a/b.git)\n", True),
        ("additional_chat_templates/CMakeLists.txt.jinja", "{{ b }} https://github.com/a/b.git", True),
        ("CMakeLists.txt.jinja", "{{ messages }} https://github.com/a/b.git", True),
        ("CMakeLists.txt.jinja", "{{ ''.__class__.__mro__ }}", True),
    ],
)
def test_texts_of_programs_are_not_taken_for_words_to_a_model(path: str, text: str, bad: bool) -> None:
    assert (examined(path, text.encode()).verdict is Verdict.BAD) is bad
