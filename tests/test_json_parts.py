"""A large JSON text that is read in parts is judged as it is when read whole."""

from __future__ import annotations

import json
import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.cases import each
from tests.support.inspecting import Bytes, answer
from weighbridge.core.finding import Verdict
from weighbridge.formats.json_parts import SMALL_CHARACTERS, Unordinary, parts_of
from weighbridge.formats.json_text import JsonProblem, parse
from weighbridge.inspectors.texts.configs import Configurations
from weighbridge.inspectors.texts.plain_json import FROM_BYTES, says_nothing

LIMIT = 4_000_000


def plain(data: bytes) -> bool:
    return says_nothing(Bytes("data.json", data), strict=True, max_values=LIMIT)


def many(count: int, value: str = "7") -> str:
    return ",".join(f'"k{number}":{value}' for number in range(count))


LARGE = {
    "numbers": "{@}".replace("@", many(6_000)),
    "texts": "{@}".replace("@", many(3_000, '"an ordinary word, or two {[]}"')),
    "objects in a list": "[" + ",".join(['{"id": 7, "text": "a\\"b,]"}'] * 3_000) + "]",
    "lists in a list": "[" + ",".join(["[1, [2.5e3, -0], []]"] * 6_000) + "]",
    "large within large": '{"a": {"b": [1], "c": {@}}, "d": null}'.replace("@", many(6_000)),
    "one long text": '{"a": "@", "b": 1}'.replace("@", "x" * 20_000),
    "spaces": "[ " + " ,\n ".join(["true"] * 12_000) + " ]\n",
}


@each("name", LARGE)
def test_a_large_ordinary_text_says_nothing(name: str) -> None:
    assert plain(LARGE[name].encode())


@each("name", LARGE)
def test_the_parts_make_the_whole(name: str) -> None:
    parts = list(parts_of(Bytes("data.json", LARGE[name].encode())))
    whole = json.loads(LARGE[name])
    outer = [part.value for part in parts if part.level == 1]
    if isinstance(whole, list):
        assert [one for part in outer for one in part] == whole
    else:
        joined = {key: value for part in outer if isinstance(part, dict) for key, value in part.items()}
        assert joined == {key: value for key, value in whole.items() if key in joined}
    assert max(len(json.dumps(part.value)) for part in parts) < 2 * SMALL_CHARACTERS


BEFORE = many(5_000)
LOUD = {
    "code by reference": '{@,"auto_map":{"AutoModel":"other/repo--x.Y"}}'.replace("@", BEFORE),
    "code in a small object": '{@,"inner":{"auto_map":{"AutoModel":"x.Y"}}}'.replace("@", BEFORE),
    "a shell": '{@,"_target_":"os.system"}'.replace("@", BEFORE),
    "code as text": '{@,"x":"__import__(\'os\').system(\'id\')"}'.replace("@", BEFORE),
    "code in a list": '{"x":[@"__import__(\'os\').system(\'id\')"]}'.replace("@", "1," * 20_000),
    "a key twice": '{@,"k3":8}'.replace("@", BEFORE),
    "a key twice, far inside": '{"a":{@,"k4999":8}}'.replace("@", BEFORE),
    "a key twice in a small object": '{@,"inner":{"a":1,"a":2}}'.replace("@", BEFORE),
    "a large object of code": '{"auto_map":{"AutoModel":"other/repo--x.Y",@}}'.replace("@", BEFORE),
    "a large object in one of code": '{"auto_map":{"x":{@}}}'.replace("@", BEFORE),
    "a large list under a key": '{"trust_remote_code":[@1]}'.replace("@", "1," * 20_000),
    "a large index": '{"weight_map":{@,"x":"../../x.bin"}}'.replace("@", many(5_000, '"a.bin"')),
    "a template": '{@,"chat_template":"{{ cycler.__init__ }}"}'.replace("@", BEFORE),
    "a pipeline": '{@,"_class_name":"XPipeline","unet":["os","system"]}'.replace("@", BEFORE),
    "modules": "[" + ",".join(['{"idx":1,"name":"0","path":"","type":"os.system"}'] * 900) + "]",
    "trailing data": "{@} {}".replace("@", BEFORE),
    "no end": "{@".replace("@", BEFORE),
    "two commas": "{@,,}".replace("@", BEFORE),
    "a comma at the end": "{@,}".replace("@", BEFORE),
    "no value": '{@,"x":}'.replace("@", BEFORE),
    "deep": "[" + "1," * 20_000 + "[" * 120 + "]" * 121,
    "NaN": "[" + "1," * 20_000 + "NaN]",
    "a mark in front": "\ufeff{@}".replace("@", BEFORE),
    "wrong bracket": "{@]".replace("@", BEFORE),
}  # fmt: skip


@each("name", LOUD)
def test_what_has_something_to_say_is_read_whole(name: str) -> None:
    assert not plain(LOUD[name].encode())


@each("name", [name for name in LOUD if name not in ("NaN", "a mark in front", "modules", "a template")])
def test_the_answer_is_that_of_the_whole(name: str) -> None:
    text = LOUD[name]
    padded = text[:1] + " " * FROM_BYTES + text[1:]
    found = answer(Configurations(), Bytes("data.json", padded.encode()))
    small = answer(Configurations(), Bytes("data.json", text.encode()))
    assert found is not None
    assert small is not None
    assert {one.rule for one in found.findings} == {one.rule for one in small.findings}
    assert found.findings


_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.floats(allow_nan=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None)
@given(_VALUES, st.integers(0, 3), st.data())
def test_nothing_that_is_no_json_is_read_in_parts(value: object, places: int, data: st.DataObject) -> None:
    text = json.dumps([value, {"a": value}])
    for _ in range(places):
        at = data.draw(st.integers(0, len(text) - 1))
        text = text[:at] + data.draw(st.sampled_from(["", ",", "[", "}", '"', "\\", "1", ":"])) + text[at + 1 :]
    encoded = text.encode()
    try:
        list(parts_of(Bytes("data.json", encoded)))
    except Unordinary:
        return
    try:
        assert parse(encoded).repeated == ()
    except JsonProblem as problem:
        raise AssertionError(f"{text!r}: {problem.message}") from problem


def test_memory_does_not_grow_with_the_text() -> None:
    data = "{@}".replace("@", many(200_000)).encode()
    assert len(data) > FROM_BYTES
    tracemalloc.start()
    try:
        found = answer(Configurations(), Bytes("data.json", data))
        assert found is not None
        assert found.verdict is Verdict.CLEAN
        assert found.coverage.complete
        assert tracemalloc.get_traced_memory()[1] < 16_000_000
    finally:
        tracemalloc.stop()
