"""Where the secrets engine is not started because it can find nothing: that is so for everything that it finds."""

from __future__ import annotations

import base64
import tomllib
from importlib import resources
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.cases import each
from weighbridge.inspectors.content.secrets_engine import Engine
from weighbridge.inspectors.content.secrets_silence import MAX_BYTES, is_silent, is_silent_in_parts
from weighbridge.inspectors.content.spool import Spool
from weighbridge.inspectors.content.strings import Mute, Strings

# Cut in two, so that no scanner takes this file for a leak.
TOKEN = "ghp_" + "a7Kq9Zx2Lm4Rt6Yv8Bn1Cd3Ef5Gh7Jk0Lp2Q"
JWT = ".".join(
    ("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "eyJzdWIiOiIxMjM0NTY3ODkwIn0x", "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9Q")
)
FOUND = {
    "token": TOKEN,
    "token in percent signs": quote(TOKEN, safe="").replace("g", "%67").replace("_", "%5F"),
    "percent signs twice": TOKEN.replace("g", "%2567"),
    "token in base64": base64.b64encode(f"token={TOKEN}".encode()).decode(),
    "token in url base64": base64.urlsafe_b64encode(f"token={TOKEN}??".encode()).decode().rstrip("="),
    "token in hex": f"token={TOKEN}".encode().hex(),
    "token in code points": "".join(f"\\u{ord(letter):04x}" for letter in TOKEN),
    "json web token": JWT,
    "address with a password": "postgres://carol:Zx81-quartz@db.internal.acme.net/models",
    "storage key": "AccountKey storage key = " + "qZ8x" * 21 + "Kw==",
    "hugging face": "hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH",
    "kelvin sign": "api_\u212aey = 'q8Zx2Lm4Rt6Yv8Bn1Cd3Ef5Gh7'",
    "password by name": "pwd = 'Xk29-qqT7zw'",
    "telegram": "1234567890:AA" + "Hq3K-x9Zb7Lm2Rt6Yv8Bn1Cd3Ef5Gh7JkQ"[:33],
    "aws": "A3TX" + "QWERTYUIOPASDF23",
}


@each("name", FOUND)
def test_what_the_engine_finds_is_never_silent(name: str) -> None:
    text = f"layer.0\n{FOUND[name]}\nlayer.1\n"
    assert not is_silent(text.encode())


@each(
    "text",
    [
        b"",
        b"ctorch._utils\n_rebuild_tensor_v2\nstorage\nctorch\nFloatStorage\nX\nlayers.0.weight\n",
        b'"model.layers.0.post_attention_layernorm.weight": {"dtype": "BF16", "shape": [4096], "data_offsets": [0, 8]}\n',
        b"100% of 50%\nGY.t'Hl[\nh\\0_G?\nsklearn.ensemble._forest RandomForestClassifier\n",
        b"\xe4\xb8\xad\xe6\x96\x87 %e4%b8 plain\n",
    ],
    ids=["nothing", "torch pickle", "safetensors header", "plain words", "other letters"],
)
def test_ordinary_texts_of_weights_are_silent(text: bytes) -> None:
    assert is_silent(text)


def test_much_text_is_not_judged_here() -> None:
    assert not is_silent(b"layer\n\n" * (MAX_BYTES // 7 + 1))
    assert not is_silent(b"abc " * 40_000)


_PIECES = st.sampled_from(
    [
        *FOUND.values(),
        "storage",
        "eyes",
        "://",
        "%41",
        "\\u0041",
        "key",
        "=",
        "weight",
        '"',
        "\n",
        "account name",
        " : ",
    ]
)


def _engine() -> Engine:
    engine = Engine.installed()
    if engine is None:
        pytest.fail("the secrets engine belongs to the packages of the tests")
    return engine


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(_PIECES, st.text(max_size=12)), max_size=12))
@example(["storage", "account", " name", "abcdef"])
@example(["ey", "a" * 14, ".ey", "b" * 14, ".", "c" * 20])
def test_the_engine_finds_nothing_in_what_is_silent(pieces: list[str]) -> None:
    text = "".join(pieces).encode("utf-8", "replace")
    if not text or not is_silent(text):
        return
    spool = Spool.create()
    try:
        spool.begin("a.txt", len(text))
        spool.append(text, 0)
        assert _engine().search(spool) == []
    finally:
        spool.close()


def test_the_keywords_are_those_of_the_engine_and_ours() -> None:
    rules = Path(str(resources.files("weighbridge.inspectors.content") / "rules"))
    ours = tomllib.loads((rules / "secrets.toml").read_text(encoding="utf-8"))
    program = _engine().program.read_bytes()
    start = program.index(
        b"# This file has been auto-generated. Do not edit manually.\n# If you would like to contribute new"
    )
    # The engine's own rules lie in the program as one text: as much of it as is rules.
    text = program[start : program.index(b"\n\n", program.rindex(b"\n[[rules]]\n"))].decode("utf-8")
    own, taken = None, text
    while own is None:
        try:
            own = tomllib.loads(taken)
        except tomllib.TOMLDecodeError:
            taken = taken[: taken.rindex("\n[[rules]]\n")]
    left_out = set(ours["extend"]["disabledRules"])
    every = [*(rule for rule in own["rules"] if rule["id"] not in left_out), *ours["rules"]]
    assert len(every) > 400
    assert [rule["id"] for rule in every if not rule.get("keywords")] == ["pkcs12-file"]
    keywords = {keyword.lower() for rule in every for keyword in rule.get("keywords", ())}
    known = set((rules / "secrets_keywords.txt").read_text(encoding="ascii").splitlines())
    assert keywords <= known
    assert not any("," in keyword or keyword != keyword.strip() for keyword in known)


# --- binaries that are not made lines ------------------------------------------------------------

_WORDS = st.sampled_from(
    [
        *(text.encode() for text in FOUND.values()),
        *(
            b"api_key",
            b"pwd",
            b"auth",
            b"token",
            b"layer.1.weight",
            b"losses",
            b"FloatStorage",
            b"%67hp_",
            b"U+0041",
            b"ey",
        ),
        b"p\0a\0s\0s\0w\0o\0r\0d\0",
    ]
)
_PIECES = st.one_of(
    _WORDS, st.binary(max_size=12), st.text("abcXYZ019._-+ ", max_size=20).map(str.encode), _WORDS.map(bytes.upper)
)
_LENGTHS = st.sampled_from([b"", b"\0", b"\x8c\x07", b"\x94", b"q\x01", b"X\x06\0\0\0", b"\x9f\x01"])


@given(st.lists(st.lists(st.tuples(_PIECES, _LENGTHS), max_size=8), min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_a_binary_that_is_mute_has_no_line_that_is_not_silent(binaries: list[list[tuple[bytes, bytes]]]) -> None:
    mute = Mute(is_silent_in_parts)
    for pieces in binaries:
        data = b"".join(map(b"".join, pieces))
        if mute.holds(data, pickled=True):
            lines = b"".join(line.data for line in Strings(pickled=True).whole(data, 0))
            assert is_silent(lines)


@each("name", [name for name in FOUND if name != "kelvin sign"])
def test_a_binary_with_a_secret_is_never_mute(name: str) -> None:
    mute = Mute(is_silent_in_parts)
    plain = b"\x80\x04\x8c\x07layer.0\x94K\x01."
    assert mute.holds(plain, pickled=True)
    for between in (b"\x94\x8c\x28", b"\0\x01", b"q\x02X\x28\0\0\0"):
        assert not mute.holds(b"\x80\x04\x8c\x06secret" + between + FOUND[name].encode() + b"\x94.", pickled=True)
        assert not mute.holds(plain + between + FOUND[name].encode() + b"\x94.", pickled=True)


def test_a_short_name_of_a_secret_before_a_value_is_heard() -> None:
    assert not Mute(is_silent_in_parts).holds(b"\x80\x04\x8c\x03pwd\x94\x8c\x09Xk29qqT7z\x94.", pickled=True)
