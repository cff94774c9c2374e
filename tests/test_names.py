"""Names that strangers choose are read one way or refused: models, references, addresses, artifact paths."""

from __future__ import annotations

import itertools
import os
import unicodedata
from pathlib import PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from tests.support.cases import each
from weighbridge.core.errors import ConfigError, UnsafePath, WeighbridgeError
from weighbridge.core.names import (
    MAX_PATH_BYTES,
    MAX_PATH_COMPONENTS,
    Address,
    ModelName,
    Reference,
    check_path,
    check_paths,
    is_revision,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"


# --- models, revisions, references ---------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["acme/tiny", "a/b", "deepseek-ai/DeepSeek-R1", "Org_1/name.v1.0", "_a/b_", "1/2", f"{'a' * 96}/{'b' * 96}"],
)
def test_a_model_name_reads_back_as_it_was_written(text: str) -> None:
    assert str(ModelName.parse(text)) == text


@each(
    "text",
    [
        "", "/", "acme", "acme/", "/tiny", "acme/tiny/more", "acme//tiny", "a b/c", "acme/ti ny", "acme/tiny\n",
        "\nacme/tiny", "-acme/tiny", "acme-/tiny", ".acme/tiny", "acme/tiny.", "acme/ti--ny", "acme/ti..ny", "acme/..",
        "../tiny", "acme/tiny@main", "acme\\tiny", "acme/tïny", "acme/tiny\x00", "acme/%2e%2e", "acme/~tiny",
        f"{'a' * 97}/b", f"a/{'b' * 97}", "acme/tin\u0443", "acme/tiny\u200b",
    ],
)  # fmt: skip
def test_what_is_no_model_name_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        ModelName.parse(text)


def test_model_names_are_ordered_by_organisation_then_name() -> None:
    names = [ModelName("b", "a"), ModelName("a", "b"), ModelName("a", "a")]
    assert [str(name) for name in sorted(names)] == ["a/a", "a/b", "b/a"]


@pytest.mark.parametrize(
    ("text", "immutable"),
    [
        (COMMIT, True), (COMMIT.upper(), False), (COMMIT[:-1], False), (COMMIT + "0", False), (COMMIT + "\n", False),
        ("main", False), ("", False), ("g" * 40, False), ("０" * 40, False), (f" {COMMIT}", False),
    ],
)  # fmt: skip
def test_only_forty_lowercase_hex_digits_are_a_revision(text: str, immutable: bool) -> None:
    assert is_revision(text) is immutable


@pytest.mark.parametrize(
    ("text", "model", "selector"),
    [
        ("acme/tiny", "acme/tiny", ""),
        (f"acme/tiny@{COMMIT}", "acme/tiny", COMMIT),
        ("acme/tiny@0123", "acme/tiny", "0123"),
        ("acme/tiny@production", "acme/tiny", "production"),
        ("acme/tiny@release/v1.0_2", "acme/tiny", "release/v1.0_2"),
    ],
)
def test_a_reference_names_a_model_and_which_of_its_revisions(text: str, model: str, selector: str) -> None:
    reference = Reference.parse(text)
    assert (str(reference.model_name), reference.selector) == (model, selector)
    assert str(reference) == text


@each(
    "text",
    [
        "", "@main", "acme@main", "acme/tiny@", "acme/tiny@@main", "acme/tiny@a b", "acme/tiny@-x", "acme/tiny@x-",
        "acme/tiny@../x", "acme/tiny@/x", "acme/tiny@x\n", "acme/tiny@x?y", f"acme/tiny@{'x' * 201}", "acme/tiny@\x00",
    ],
)  # fmt: skip
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Reference.parse(text)


# --- addresses -----------------------------------------------------------------------------------


@each(
    ("text", "scheme", "location", "ref"),
    [
        ("hf://acme/tiny", "hf", "acme/tiny", ""),
        ("hf://acme/tiny/", "hf", "acme/tiny", ""),
        ("hf://acme/tiny@main", "hf", "acme/tiny", "main"),
        (f"hf://acme/tiny@{COMMIT}", "hf", "acme/tiny", COMMIT),
        ("hf://acme/tiny@refs/pr/1", "hf", "acme/tiny", "refs/pr/1"),
        ("s3://bucket", "s3", "bucket", ""),
        ("s3://bucket/", "s3", "bucket", ""),
        ("s3://bucket/a/b/", "s3", "bucket/a/b", ""),
        ("gs://bucket/a", "gs", "bucket/a", ""),
        ("az://container/a", "az", "container/a", ""),
        ("./models/tiny", "folder", "./models/tiny", ""),
        ("/models/tiny", "folder", "/models/tiny", ""),
        ("file:///models/tiny", "folder", "/models/tiny", ""),
        ("acme/tiny", "folder", "acme/tiny", ""),
    ],
)
def test_an_address_names_a_scheme_a_place_and_a_ref(text: str, scheme: str, location: str, ref: str) -> None:
    address = Address.parse(text)
    assert (address.scheme, address.location, address.ref) == (scheme, location, ref)
    assert Address.parse(str(address)) == address


def test_bucket_and_prefix_of_an_object_store_address() -> None:
    address = Address.parse("s3://bucket/a/b")
    assert (address.bucket, address.prefix) == ("bucket", "a/b")
    assert (Address.parse("s3://bucket").bucket, Address.parse("s3://bucket").prefix) == ("bucket", "")


@each(
    "text",
    [
        "", "\x00", "a\x00b", "http://example.org/x", "https://example.org/x", "ftp://example.org/x", "S3://bucket/x",
        "HF://acme/tiny", "javascript://x", "://x", "s3://", "s3:///x", "gs://", "az://", "s3://bucket/x?versionId=1",
        "s3://bucket/x#y", "s3://key:secret@bucket/x", "s3://key@bucket", "gs://k:s@bucket/x", "az://k:s@container/x",
        "hf://", "hf://acme", "hf://acme/tiny/more", "hf://acme/tiny@", "hf://acme/tiny@a..b", "hf://acme/tiny@a//b",
        "hf://acme/tiny@../../x", "hf://acme/tiny@main@main", "hf://acme/tiny?token=x", "hf://key:secret@acme/tiny",
        "hf://acme/tiny@a b", "hf:///acme/tiny",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Address.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "s3://key:hunter2@bucket/x", "gs://hunter2@bucket", "https://key:hunter2@example.org/x",
        "hf://key:hunter2@acme/tiny",
    ],
)  # fmt: skip
def test_credentials_in_an_address_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Address.parse(text)
    assert "hunter2" not in refused.value.diagnostics()


@pytest.mark.parametrize("text", ["s3://[x/y", "s3://a]b/x", "s3://b\u2100/x", "gs://[::1/x"])
def test_an_address_that_no_parser_takes_is_a_configuration_error(text: str) -> None:
    with pytest.raises(ConfigError):
        Address.parse(text)


@pytest.mark.parametrize(
    "text", ["file://", "file://a\x00b", "file://key:secret@host/x", "s3://b\x00/x", "s3://b/\x00"]
)
def test_an_address_that_names_nothing_real_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Address.parse(text)


@pytest.mark.parametrize("text", ["s3://buck\net/x", "s3://bucket/a\tb", "s3://bucket/a\r"])
def test_an_address_with_a_line_break_or_tab_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Address.parse(text)


# --- artifact paths ------------------------------------------------------------------------------

UNICODE, LENGTH = "not valid Unicode", "empty or too long"
NORMAL, DRIVE = "normal form C", "backslash, a drive letter"
INVISIBLE, COMPONENT, OTHER_NAME = "invisible or control", "an empty, '.' or '..'", "some systems read as another name"

HOSTILE = [
    ("", LENGTH),
    ("a" * (MAX_PATH_BYTES + 1), LENGTH),
    ("é" * (MAX_PATH_BYTES // 2 + 1), LENGTH),
    ("/".join("a" * (MAX_PATH_COMPONENTS + 1)), LENGTH),
    ("../" * 400, LENGTH),
    ("..", COMPONENT),
    (".", COMPONENT),
    ("/", COMPONENT),
    ("//", COMPONENT),
    ("../etc/passwd", COMPONENT),
    ("a/../../b", COMPONENT),
    ("a/..", COMPONENT),
    ("a/./b", COMPONENT),
    ("./a", COMPONENT),
    ("a//b", COMPONENT),
    ("a/", COMPONENT),
    ("/etc/passwd", COMPONENT),
    ("//host/share", COMPONENT),
    ("a\\b", DRIVE),
    ("..\\..\\b", DRIVE),
    ("\\\\host\\share", DRIVE),
    ("\\", DRIVE),
    ("a/b\\..\\c", DRIVE),
    ("C:", DRIVE),
    ("C:x", DRIVE),
    ("c:/windows", DRIVE),
    ("Z:\\x", DRIVE),
    ("a\x00b", INVISIBLE),
    ("\x00", INVISIBLE),
    ("a\nb", INVISIBLE),
    ("a\rb", INVISIBLE),
    ("a\tb", INVISIBLE),
    ("a\x1b[2Jb", INVISIBLE),
    ("a\x7fb", INVISIBLE),
    ("a\x85b", INVISIBLE),
    ("a\u202eb", INVISIBLE),
    ("safe\u202dname", INVISIBLE),
    ("a\u202ab", INVISIBLE),
    ("a\u2066b", INVISIBLE),
    ("a\u2069b", INVISIBLE),
    ("a\u200eb", INVISIBLE),
    ("a\u200fb", INVISIBLE),
    ("a\u061cb", INVISIBLE),
    ("a\u200bb", INVISIBLE),
    ("a\u200cb", INVISIBLE),
    ("a\u200db", INVISIBLE),
    ("\ufeffa", INVISIBLE),
    ("a\u2060b", INVISIBLE),
    ("a\u00adb", INVISIBLE),
    ("a\u2028b", INVISIBLE),
    ("a\u2029b", INVISIBLE),
    ("a\ue000b", INVISIBLE),
    ("a\U000e0041b", INVISIBLE),
    ("\ud800", UNICODE),
    ("a\udcffb", UNICODE),
    ("e\u0301.txt", NORMAL),
    ("\u212b.bin", NORMAL),
    ("\u1100\u1161.bin", NORMAL),
    ("\u212a", NORMAL),
    ("con", OTHER_NAME),
    ("CON", OTHER_NAME),
    ("a/Nul.txt", OTHER_NAME),
    ("aux/a", OTHER_NAME),
    ("prn.tar.gz", OTHER_NAME),
    ("COM1", OTHER_NAME),
    ("lpt9.bin", OTHER_NAME),
    ("a.", OTHER_NAME),
    ("a ", OTHER_NAME),
    ("...", OTHER_NAME),
    ("a/b. /c", OTHER_NAME),
    ("a/ /c", OTHER_NAME),
    ("model.safetensors.", OTHER_NAME),
]  # fmt: skip


@each(("path", "reason"), [pytest.param(*row, id=f"{i}-{row[0][:20]!a}") for i, row in enumerate(HOSTILE)])
def test_a_hostile_path_is_refused_with_its_reason(path: str, reason: str) -> None:
    with pytest.raises(UnsafePath) as refused:
        check_path(path, of="acme/tiny")
    assert reason in refused.value.message
    assert "acme/tiny" in refused.value.message
    assert refused.value.exit_code == 6


@each(("path", "reason"), HOSTILE[:2] + HOSTILE[5:60:7])
def test_no_control_character_of_a_refused_path_reaches_the_terminal(path: str, reason: str) -> None:
    with pytest.raises(UnsafePath) as refused:
        check_path(path, of="acme/tiny")
    assert all(unicodedata.category(character) not in ("Cc", "Cf", "Cs") for character in refused.value.message)


@each(
    "path",
    [
        "config.json", "model-00001-of-000163.safetensors", "a/b/c.txt", ".gitattributes", "..a", "a..b", "a/...b",
        "~", "-rf", "con1", "console.txt", "nully", "com10", "é.txt", "模型.bin", "🤗.txt", "a b", " a", "a'b\"c",
        "%2e%2e/x", "a" * MAX_PATH_BYTES, "/".join("a" * MAX_PATH_COMPONENTS), "$HOME", "`id`", "a;b|c&d",
    ],
)  # fmt: skip
def test_an_honest_path_is_returned_unchanged(path: str) -> None:
    assert check_path(path, of="acme/tiny") == path


@pytest.mark.parametrize(
    "path",
    ["con .txt", "a/nul .bin", "COM\u00b9", "lpt\u00b3.txt", "CONIN$", "conout$"],
)
def test_the_rarer_spellings_of_device_names_are_refused(path: str) -> None:
    with pytest.raises(UnsafePath):
        check_path(path, of="acme/tiny")


@pytest.mark.parametrize("path", ["model.py:hidden", "a/model.bin::$DATA", "ab:x"])
def test_a_name_that_means_a_stream_of_another_file_is_refused(path: str) -> None:
    with pytest.raises(UnsafePath):
        check_path(path, of="acme/tiny")


@pytest.mark.parametrize(
    "path", ["model\u034f.py", "model\ufe0f.py", "model\u3164.py", "model\u115f.py", "a\U000e0100"]
)
def test_characters_that_show_nothing_are_refused(path: str) -> None:
    with pytest.raises(UnsafePath):
        check_path(path, of="acme/tiny")


PIECES = st.one_of(
    st.sampled_from(
        [
            "..",
            ".",
            "/",
            "//",
            "\\",
            "C:",
            "\x00",
            "\u202e",
            "\u200b",
            "~",
            "%2e",
            "con",
            "nul.",
            " ",
            "a",
            "b.txt",
            ":",
        ]
    ),
    st.text(alphabet="abAB01._-/", min_size=1, max_size=6),
    st.text(max_size=3),
)
PATHS = st.lists(PIECES, min_size=1, max_size=8).map("".join)


@given(PATHS)
@budget(max_examples=400, deadline=None)
def test_whatever_is_accepted_stays_inside_its_root(path: str) -> None:
    try:
        check_path(path, of="acme/tiny")
    except UnsafePath:
        return
    root = "/nowhere/root"
    resolved = os.path.realpath(os.path.join(root, path))
    assert resolved == f"{root}/{path}"
    windows = PureWindowsPath("D:/root") / path
    assert windows.is_relative_to("D:/root")
    assert windows.parts[2:] == tuple(path.split("/"))
    assert len(path.encode()) <= MAX_PATH_BYTES
    assert unicodedata.normalize("NFC", path) == path


@given(PATHS)
@budget(max_examples=200, deadline=None)
def test_the_answer_about_a_path_is_typed_and_repeats(path: str) -> None:
    def answer() -> str:
        try:
            return check_path(path, of="acme/tiny")
        except WeighbridgeError as error:
            return f"refused: {error.message}"

    assert answer() == answer()


# --- paths that meet -----------------------------------------------------------------------------


@each(
    ("paths", "reason"),
    [
        (["a.txt", "A.txt"], "one file where case is ignored"),
        (["README.md", "b", "readme.MD"], "one file where case is ignored"),
        (["a", "a"], "one file where case is ignored"),
        (["straße", "STRASSE"], "one file where case is ignored"),
        (["d/É", "d/é"], "one file where case is ignored"),
        (["σ", "ς"], "one file where case is ignored"),
        (["ﬁle", "file"], "one file where case is ignored"),
        (["D/x", "d/x"], "one file where case is ignored"),
        (["a", "a/b"], "both as a file and as the folder"),
        (["a", "a/b/c/d"], "both as a file and as the folder"),
        (["A", "a/b"], "both as a file and as the folder"),
        (["x/Y", "X/y/z"], "both as a file and as the folder"),
        (["ok", "../x"], "an empty, '.' or '..'"),
    ],
)
def test_paths_that_meet_on_some_system_are_refused_in_any_order(paths: list[str], reason: str) -> None:
    for order in itertools.permutations(paths):
        with pytest.raises(UnsafePath, match="acme/tiny") as refused:
            check_paths(order, of="acme/tiny")
        assert reason in refused.value.message


def test_paths_that_only_look_alike_are_accepted() -> None:
    check_paths(
        ["a", "b/a", "b/a.txt", "b/a-1", "ab", "D/x", "d/y", "a.b", "а"], of="acme/tiny"
    )  # the last is Cyrillic
    check_paths([], of="acme/tiny")


@given(st.lists(st.text(alphabet="aAbBß/", min_size=1, max_size=4), max_size=6))
@budget(max_examples=300, deadline=None)
def test_accepted_paths_are_distinct_files_where_case_is_ignored(paths: list[str]) -> None:
    try:
        check_paths(paths, of="acme/tiny")
    except UnsafePath:
        return
    folded = [path.casefold() for path in paths]
    assert len(set(folded)) == len(folded)
    assert not any(one != other and other.startswith(f"{one}/") for one in folded for other in folded)
