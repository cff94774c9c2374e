"""A manifest is one record with one spelling: equal content, equal digest; any other byte, another answer."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from tests.support.cases import each
from weighbridge.core import canonical
from weighbridge.core.canonical import Fields
from weighbridge.core.digests import CHUNK_BYTES, EMPTY_SHA256, chunk_count, git_blob_header, is_sha1, is_sha256
from weighbridge.core.errors import LimitExceeded, Malformed, NothingCollected, UnsafePath, WeighbridgeError
from weighbridge.core.manifest import Artifact, Manifest, content_revision
from weighbridge.core.names import Address, ModelName
from weighbridge.core.snapshot import Entry, Origin, Snapshot

ORIGIN = Origin(
    kind="hub",
    address="hf://acme/tiny",
    endpoint="https://hub.example.org",
    repository="acme/tiny",
    repository_id="64b",
    owner="acme",
    owner_id="64a",
    owner_kind="organization",
    requested_ref="main",
    commit="c" * 40,
    published_at="2025-01-20T12:00:00+00:00",
)
CONFIG = Artifact("config.json", 3, "1" * 64, ("2" * 64,), git_sha1="3" * 40, proven="git-sha1")
WEIGHTS = Artifact("modèle.bin", CHUNK_BYTES + 1, "4" * 64, ("5" * 64, "6" * 64), proven="sha256")
MANIFEST = Manifest(
    model_name=ModelName("acme", "tiny"),
    revision="c" * 40,
    origin=ORIGIN,
    artifacts=(CONFIG, WEIGHTS),
    include=("*",),
    exclude=("*.md",),
    created_at="2025-01-21T00:00:00Z",
)
DATA = MANIFEST.to_bytes()


# --- canonical bytes -----------------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 53) + 1, (1 << 53) - 1)
    | st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=("Cs",)), max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)
RECORDS = st.dictionaries(st.text(st.characters(exclude_categories=("Cs",)), max_size=6), JSON, max_size=5)


@given(RECORDS, st.randoms(use_true_random=False))
@budget(max_examples=200, deadline=None)
def test_a_record_has_one_spelling_whatever_the_order_of_its_keys(record: dict[str, Any], order: random.Random) -> None:
    data = canonical.encode(record)
    assert canonical.decode_object(data, what="the record") == record
    keys = list(record)
    order.shuffle(keys)
    assert canonical.encode({key: record[key] for key in keys}) == data
    assert canonical.digest(record) == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ({}, b"{}"),
        ({"b": 1, "a": [True, False, None]}, b'{"a":[true,false,null],"b":1}'),
        ({"é": '\u20ac\n\x0f\\"/'}, '{"é":"\u20ac\\n\\u000f\\\\\\"/"}'.encode()),
        ({"a": 9007199254740991}, b'{"a":9007199254740991}'),
        (["z", "a"], b'["z","a"]'),
    ],
)
def test_the_canonical_bytes_are_those_of_rfc_8785(value: Any, data: bytes) -> None:
    assert canonical.encode(value) == data


@each(
    "data",
    [
        b"", b" ", b"{", b"}", b"[]", b"null", b"1", b'"text"', b"{}{}", b"{} x", b"{'a':1}", b'{"a":1,}', b'{"a":}',
        b'{"a":1,"a":1}', b'{"a":1,"\\u0061":2}', b'{"x":{"a":1,"a":2}}', b'{"x":[{"a":1,"a":2}]}',
        b'{"a":1.0}', b'{"a":-0.5}', b'{"a":1e3}', b'{"a":1E400}', b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}',
        b'{"a":' + b"9" * 5_000 + b"}", b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b"[" * 1_000_000, b'{"a":"\xff"}', b'{"a":"\n"}', b'{"a":tru}',
        b'{"a":"\\ud800\\u"}', b'{"a":01}', b'{"a":+1}', b'{"a":0x1}', b"\x00",
    ],
    ids=range(36),
)  # fmt: skip
def test_what_is_not_exactly_one_json_object_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed, match="the record"):
        canonical.decode_object(data, what="the record")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-32-le"])
def test_a_record_in_another_encoding_than_utf_8_is_malformed(encoding: str) -> None:
    with pytest.raises(Malformed):
        canonical.decode_object('{"a":1}'.encode(encoding), what="the record")


def test_a_record_larger_than_any_honest_one_is_not_even_parsed() -> None:
    with pytest.raises(LimitExceeded):
        canonical.decode_object(bytes(canonical.MAX_RECORD_BYTES + 1), what="the record")


@given(st.binary(max_size=64) | st.text(max_size=64).map(lambda text: text.encode("utf-8", "surrogatepass")))
@budget(max_examples=300, deadline=None)
def test_any_bytes_are_an_object_or_a_typed_refusal(data: bytes) -> None:
    try:
        record = canonical.decode_object(data, what="the record")
    except WeighbridgeError:
        return
    assert isinstance(record, dict)


# --- typed access to a record --------------------------------------------------------------------

RECORD: dict[str, Any] = {
    "text": "a", "number": 7, "truth": True, "list": [1], "texts": ["a"], "object": {"a": "b"}, "null": None,
}  # fmt: skip


@each(
    "read",
    [
        lambda f: f.text("missing"), lambda f: f.text("number"), lambda f: f.text("null"), lambda f: f.text("list"),
        lambda f: f.integer("missing"), lambda f: f.integer("text"), lambda f: f.integer("truth"),
        lambda f: f.boolean("number"), lambda f: f.boolean("missing"), lambda f: f.items("text"),
        lambda f: f.items("object"), lambda f: f.texts("list"), lambda f: f.texts("text"), lambda f: f.fields("list"),
        lambda f: f.fields("null"), lambda f: f.mapping("texts"), lambda f: f.text("null", "default"),
        lambda f: f.integer("text", 1), lambda f: f.done(),
    ],
    ids=range(19),
)  # fmt: skip
def test_a_field_that_is_missing_unknown_or_of_another_type_is_malformed(read: Callable[[Fields], object]) -> None:
    with pytest.raises(Malformed, match="the record"):
        read(Fields(RECORD, what="the record"))


def test_fields_of_the_right_type_are_read() -> None:
    fields = Fields(RECORD, what="the record")
    assert (fields.text("text"), fields.integer("number"), fields.boolean("truth")) == ("a", 7, True)
    assert (fields.items("list"), fields.texts("texts"), fields.mapping("object")) == ([1], ("a",), {"a": "b"})
    assert fields.fields("object").text("a") == "b"
    assert (fields.text("missing", "x"), fields.integer("missing", 3)) == ("x", 3)
    with pytest.raises(Malformed, match="null"):
        fields.done()


@pytest.mark.parametrize("number", [-1, 1 << 53, 1 << 64, 10**300])
def test_a_number_outside_of_53_bits_is_malformed(number: int) -> None:
    with pytest.raises(Malformed):
        Fields({"size_bytes": number}, what="the record").integer("size_bytes")


@pytest.mark.parametrize("value", [None, 1, "text", [], True])
def test_what_is_no_object_has_no_fields(value: Any) -> None:
    with pytest.raises(Malformed):
        Fields(value, what="the record")


# --- the shapes of digests -----------------------------------------------------------------------


def test_digests_have_one_shape() -> None:
    assert is_sha256("a" * 64)
    assert is_sha1("a" * 40)
    for text in ("A" * 64, "a" * 63, "a" * 65, "g" * 64, "a" * 64 + "\n", "", "０" * 64):
        assert not is_sha256(text)
    for text in ("A" * 40, "a" * 39, "a" * 41, "a" * 40 + "\n", ""):
        assert not is_sha1(text)
    assert hashlib.sha256(b"").hexdigest() == EMPTY_SHA256


@pytest.mark.parametrize(
    ("size", "count"),
    [(0, 0), (1, 1), (CHUNK_BYTES - 1, 1), (CHUNK_BYTES, 1), (CHUNK_BYTES + 1, 2), (1 << 52, 1 << 29)],
)
def test_the_number_of_chunks(size: int, count: int) -> None:
    assert chunk_count(size) == count


def test_a_blob_is_named_as_git_names_it() -> None:
    assert hashlib.sha1(git_blob_header(6) + b"hello\n").hexdigest() == "ce013625030ba8dba906f756967f9e9ca394464a"


# --- the manifest --------------------------------------------------------------------------------


def test_a_manifest_reads_back_as_it_was_written() -> None:
    read = Manifest.from_bytes(DATA)
    assert read == MANIFEST
    assert read.to_bytes() == DATA
    assert read.reference == f"acme/tiny@{'c' * 40}"
    assert read.total_bytes == CHUNK_BYTES + 4
    assert read.artifact("config.json") == CONFIG
    assert read.artifact("missing") is None


def test_the_bytes_are_plain_canonical_json() -> None:
    assert canonical.encode(json.loads(DATA)) == DATA
    assert "modèle.bin".encode() in DATA


HEX64 = st.text("0123456789abcdef", min_size=64, max_size=64)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    artifacts = []
    for path in sorted(draw(st.sets(st.from_regex(r"[a-z]{1,6}(/[a-z]{1,6})?\.[a-z]{2}", fullmatch=True), max_size=4))):
        size = draw(st.integers(0, 3 * CHUNK_BYTES))
        chunks = tuple(draw(HEX64) for _ in range(chunk_count(size)))
        git_sha1 = draw(st.just("") | st.text("0123456789abcdef", min_size=40, max_size=40))
        artifacts.append(Artifact(path, size, draw(HEX64), chunks, git_sha1, draw(st.sampled_from(["", "sha256"]))))
    return Manifest(
        model_name=ModelName("acme", draw(st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True))),
        revision=draw(st.text("0123456789abcdef", min_size=40, max_size=40)),
        origin=Origin(*(draw(TEXT) for _ in range(11))),
        artifacts=tuple(artifacts),
        include=tuple(draw(st.lists(TEXT, max_size=2))),
        exclude=tuple(draw(st.lists(TEXT, max_size=2))),
        created_at=draw(TEXT),
    )


@given(manifests(), TEXT)
@budget(max_examples=60, deadline=None)
def test_every_manifest_reads_back_and_its_digest_ignores_when_it_was_made(manifest: Manifest, moment: str) -> None:
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest
    later = replace(manifest, created_at=moment)
    assert later.digest == manifest.digest
    assert (later.to_bytes() == manifest.to_bytes()) is (moment == manifest.created_at)


def _with_artifact(**changes: Any) -> Manifest:
    return replace(MANIFEST, artifacts=(replace(CONFIG, **changes), WEIGHTS))


CHANGED = {
    "model": replace(MANIFEST, model_name=ModelName("acme", "tiny2")),
    "organisation": replace(MANIFEST, model_name=ModelName("acme2", "tiny")),
    "revision": replace(MANIFEST, revision="d" * 40),
    "include": replace(MANIFEST, include=()),
    "exclude": replace(MANIFEST, exclude=("*.md", "*.txt")),
    "include and exclude swapped": replace(MANIFEST, include=MANIFEST.exclude, exclude=MANIFEST.include),
    "artifact gone": replace(MANIFEST, artifacts=(CONFIG,)),
    "artifact more": replace(MANIFEST, artifacts=(CONFIG, WEIGHTS, replace(CONFIG, path="z"))),
    "path": _with_artifact(path="configs.json"),
    "size": _with_artifact(size_bytes=4),
    "sha256": _with_artifact(sha256="f" * 64),
    "chunk": _with_artifact(chunks=("f" * 64,)),
    "git_sha1": _with_artifact(git_sha1=""),
    "proven": _with_artifact(proven=""),
} | {
    f"origin.{name}": replace(MANIFEST, origin=replace(ORIGIN, **{name: "other"}))
    for name in (
        "kind", "address", "endpoint", "repository", "repository_id", "owner", "owner_id", "owner_kind",
        "requested_ref", "commit", "published_at",
    )
}  # fmt: skip


@each("what", CHANGED)
def test_the_digest_covers_every_field_but_the_time(what: str) -> None:
    assert CHANGED[what].digest != MANIFEST.digest
    assert Manifest.from_bytes(CHANGED[what].to_bytes()) == CHANGED[what]


def test_no_two_changes_have_one_digest() -> None:
    digests = [manifest.digest for manifest in CHANGED.values()]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize("revision", ["", "main", "C" * 40, "c" * 39, "c" * 40 + "\n"])
def test_a_manifest_has_an_immutable_revision(revision: str) -> None:
    with pytest.raises(Malformed):
        replace(MANIFEST, revision=revision)


def test_artifacts_are_in_order_and_their_paths_are_safe() -> None:
    with pytest.raises(Malformed):
        replace(MANIFEST, artifacts=(WEIGHTS, CONFIG))
    for path in ("../a", "CONFIG.JSON", "config.json"):
        with pytest.raises(UnsafePath):
            replace(MANIFEST, artifacts=(replace(CONFIG, path=path), CONFIG))


# --- altered bytes -------------------------------------------------------------------------------


def _changed(**changes: Any) -> bytes:
    """The record with changes at the top, spelled canonically."""
    return canonical.encode(json.loads(DATA) | changes)


def _artifact(**changes: Any) -> bytes:
    record = json.loads(DATA)
    record["artifacts"][0] |= changes
    return canonical.encode(record)


def _without(key: str) -> bytes:
    return canonical.encode({name: value for name, value in json.loads(DATA).items() if name != key})


ALTERED = {
    "a space": DATA.replace(b'":', b'": ', 1),
    "a newline at the end": DATA + b"\n",
    "a space before": b" " + DATA,
    "indented": json.dumps(json.loads(DATA), indent=1, sort_keys=True, ensure_ascii=False).encode(),
    "escaped": json.dumps(json.loads(DATA), separators=(",", ":"), sort_keys=True).encode(),
    "other order": json.dumps(
        dict(reversed(list(json.loads(DATA).items()))), separators=(",", ":"), ensure_ascii=False
    ).encode(),
    "a key twice": DATA.replace(b'"created_at":', b'"created_at":"","created_at":', 1),
    "utf-16": DATA.decode().encode("utf-16"),
    "utf-32": DATA.decode().encode("utf-32-le"),
    "with a byte order mark": b"\xef\xbb\xbf" + DATA,
    "cut": DATA[:-1],
    "twice": DATA + DATA,
    "empty": b"",
    "a float size": DATA.replace(b'"size_bytes":3', b'"size_bytes":3.0', 1),
    "an exponent": DATA.replace(b'"size_bytes":3', b'"size_bytes":3e0', 1),
    "NaN": DATA.replace(b'"size_bytes":3', b'"size_bytes":NaN', 1),
    "a huge size": DATA.replace(b'"size_bytes":3', b'"size_bytes":' + b"3" * 4_000, 1),
    "an endless size": DATA.replace(b'"size_bytes":3', b'"size_bytes":' + b"3" * 5_000, 1),
    "a leading zero": DATA.replace(b'"size_bytes":3', b'"size_bytes":03', 1),
    "deep": DATA.replace(b'"exclude":["*.md"]', b'"exclude":' + b"[" * 50_000 + b"]" * 50_000, 1),
    "another format": _changed(format="weighbridge.manifest/2"),
    "another chunk size": _changed(chunk={"algorithm": "blake3", "size_bytes": CHUNK_BYTES * 2}),
    "another chunk algorithm": _changed(chunk={"algorithm": "md5", "size_bytes": CHUNK_BYTES}),
    "more about chunks": _changed(chunk={"algorithm": "blake3", "size_bytes": CHUNK_BYTES, "more": 1}),
    "an unknown key": _changed(more=1),
    "no artifacts": _without("artifacts"),
    "no origin": _without("origin"),
    "origin is a list": _changed(origin=[]),
    "origin holds a number": _changed(origin={"kind": 1}),
    "artifacts is an object": _changed(artifacts={}),
    "an artifact is text": _changed(artifacts=["config.json"]),
    "include holds a number": _changed(include=[1]),
    "a branch as revision": _changed(revision="main"),
    "created_at is a number": _changed(created_at=1),
    "a negative size": _artifact(size_bytes=-1),
    "a size of 54 bits": _artifact(size_bytes=1 << 53),
    "true as size": _artifact(size_bytes=True),
    "a size that needs more chunks": _artifact(size_bytes=CHUNK_BYTES + 1),
    "an empty file with a chunk": _artifact(size_bytes=0),
    "an uppercase digest": _artifact(sha256="A" * 64),
    "a short digest": _artifact(sha256="a" * 63),
    "a short chunk digest": _artifact(chunks=["a" * 63]),
    "a long git id": _artifact(git_sha1="a" * 41),
    "an unknown key of an artifact": _artifact(more=""),
    "a path that escapes": _artifact(path="../config.json"),
    "a path out of order": _artifact(path="zzz"),
}


@each("what", ALTERED)
def test_a_record_that_is_not_what_was_written_is_refused(what: str) -> None:
    assert ALTERED[what] != DATA
    with pytest.raises((Malformed, LimitExceeded, UnsafePath)):
        Manifest.from_bytes(ALTERED[what])


@pytest.mark.parametrize("origin", [{}, {"kind": "hub"}, {"kind": "hub", "address": "x", "more": "y"}, {"": ""}])
def test_an_origin_with_other_keys_is_refused(origin: dict[str, str]) -> None:
    with pytest.raises(Malformed):
        Manifest.from_bytes(_changed(origin=origin))


@pytest.mark.parametrize("key", ["created_at", "include", "path"])
def test_half_a_surrogate_pair_is_refused(key: str, request: pytest.FixtureRequest) -> None:
    data = {
        "created_at": DATA.replace(b"2025-01-21", rb"\ud800", 1),
        "include": DATA.replace(b'"include":["*"]', rb'"include":["\udfff"]', 1),
        "path": DATA.replace(b'"config.json"', rb'"\ud800"', 1),
    }[key]
    with pytest.raises((Malformed, UnsafePath)):
        Manifest.from_bytes(data)


@pytest.mark.parametrize("model", ["tiny", "acme/", "", "acme/ti--ny"])
def test_a_damaged_model_name_is_a_malformed_record_and_no_wrong_setting(model: str) -> None:
    with pytest.raises(Malformed):
        Manifest.from_bytes(_changed(model=model))


ORIGIN_SPAN = range(DATA.index(b'"origin":{'), DATA.index(b"}", DATA.index(b'"origin":{')))


def _judge(data: bytes) -> None:
    """Another record than the one that was written is refused, or is another manifest."""
    try:
        read = Manifest.from_bytes(data)
    except WeighbridgeError:
        return
    assert read.to_bytes() == data
    assert read != MANIFEST
    assert read.digest != MANIFEST.digest or replace(read, created_at=MANIFEST.created_at) == MANIFEST


def test_two_thousand_single_bit_flips_never_pass_unnoticed() -> None:
    chance = random.Random(20250120)
    outside = [position for position in range(len(DATA)) if position not in ORIGIN_SPAN]
    for _ in range(2_000):
        flipped = bytearray(DATA)
        flipped[chance.choice(outside)] ^= 1 << chance.randrange(8)
        _judge(bytes(flipped))


def test_no_single_bit_flip_within_the_origin_passes_unnoticed() -> None:
    for position in ORIGIN_SPAN:
        for bit in range(8):
            flipped = bytearray(DATA)
            flipped[position] ^= 1 << bit
            _judge(bytes(flipped))


@given(
    st.lists(
        st.tuples(
            st.integers(0, len(DATA)).filter(lambda position: position not in ORIGIN_SPAN),
            st.integers(0, 12),
            st.binary(max_size=12) | st.sampled_from([b"\\u0000", b"null", b"[]", b"{}", b'"', b"0", b",", b"1e9"]),
        ),
        min_size=1,
        max_size=3,
    )
)
@budget(max_examples=400, deadline=None)
def test_no_splice_of_the_bytes_passes_unnoticed(splices: list[tuple[int, int, bytes]]) -> None:
    data = bytearray(DATA)
    for position, length, new in splices:
        if ORIGIN_SPAN.start < min(position + length, ORIGIN_SPAN.stop) and position < ORIGIN_SPAN.start:
            length = ORIGIN_SPAN.start - position
        data[position : position + length] = new
    if bytes(data) == DATA:
        assert Manifest.from_bytes(bytes(data)) == MANIFEST
    elif data.find(DATA[ORIGIN_SPAN.start : ORIGIN_SPAN.stop]) >= 0:
        _judge(bytes(data))


# --- the revision of content ---------------------------------------------------------------------


def test_the_revision_of_content_follows_the_content() -> None:
    revision = content_revision([CONFIG, WEIGHTS])
    assert len(revision) == 40
    others = [
        content_revision(artifacts)
        for artifacts in (
            [],
            [CONFIG],
            [WEIGHTS],
            [replace(CONFIG, path="a"), WEIGHTS],
            [replace(CONFIG, sha256="f" * 64), WEIGHTS],
            [replace(CONFIG, chunks=("f" * 64,)), WEIGHTS],
            [replace(CONFIG, size_bytes=4), WEIGHTS],
        )
    ]
    assert len({revision, *others}) == len(others) + 1


def test_the_revision_of_content_does_not_depend_on_the_kind_of_iterable() -> None:
    assert content_revision(iter((CONFIG, WEIGHTS))) == content_revision([CONFIG, WEIGHTS])


def test_equal_content_has_an_equal_revision_whatever_upstream_claimed_about_it() -> None:
    unclaimed = [replace(artifact, git_sha1="", proven="") for artifact in (CONFIG, WEIGHTS)]
    assert content_revision(unclaimed) == content_revision([CONFIG, WEIGHTS])


# --- choosing from a snapshot --------------------------------------------------------------------

PATHS = ("README.md", "config.json", "figures/a.png", "model-00001.safetensors", "sub/deep/model.bin", "[x].txt")
SNAPSHOT = Snapshot(
    ModelName("acme", "tiny"),
    Address.parse("hf://acme/tiny"),
    ORIGIN,
    tuple(Entry(path, size) for size, path in enumerate(PATHS, start=1)),
    revision="c" * 40,
)


@each(
    ("include", "exclude", "chosen"),
    [
        ((), (), PATHS),
        (("*",), (), PATHS),
        (("*.json",), (), ("config.json",)),
        (("*.json", "*.md"), (), ("README.md", "config.json")),
        ((), ("*.md",), PATHS[1:]),
        (("*.bin",), (), ("sub/deep/model.bin",)),
        (("sub/*",), (), ("sub/deep/model.bin",)),
        (("model*",), (), ("model-00001.safetensors",)),
        (("*model*",), ("sub/*",), ("model-00001.safetensors",)),
        (("[[]x].txt",), (), ("[x].txt",)),
        (("model-0000?.safetensors",), (), ("model-00001.safetensors",)),
        (("readme.md", "config.json"), (), ("config.json",)),
    ],
)
def test_patterns_choose_from_whole_paths(
    include: tuple[str, ...], exclude: tuple[str, ...], chosen: tuple[str, ...]
) -> None:
    part = SNAPSHOT.select(include, exclude)
    assert tuple(entry.path for entry in part.entries) == chosen
    assert (part.include, part.exclude) == (include, exclude)
    assert part.total_bytes == sum(PATHS.index(path) + 1 for path in chosen)
    assert (part.model_name, part.source, part.origin, part.revision) == (
        SNAPSHOT.model_name, SNAPSHOT.source, SNAPSHOT.origin, SNAPSHOT.revision,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("include", "exclude"), [(("*.gguf",), ()), ((), ("*",)), (("*.md",), ("README*",)), (("",), ())]
)
def test_choosing_nothing_is_said(include: tuple[str, ...], exclude: tuple[str, ...]) -> None:
    with pytest.raises(NothingCollected, match="6 files") as nothing:
        SNAPSHOT.select(include, exclude)
    assert nothing.value.exit_code == 3


PATTERNS = st.lists(st.sampled_from(["*", "*.json", "*.md", "sub/*", "model*", "?*", "[!m]*", "", "*/*"]), max_size=3)


@given(PATTERNS.map(tuple), PATTERNS.map(tuple))
@budget(max_examples=100, deadline=None)
def test_exactly_what_is_wanted_and_not_left_out_is_chosen(include: tuple[str, ...], exclude: tuple[str, ...]) -> None:
    try:
        chosen = {entry.path for entry in SNAPSHOT.select(include, exclude).entries}
    except NothingCollected:
        chosen = set()
    for path in PATHS:
        wanted = not include or any(fnmatch.fnmatchcase(path, pattern) for pattern in include)
        left_out = any(fnmatch.fnmatchcase(path, pattern) for pattern in exclude)
        assert (path in chosen) is (wanted and not left_out)
