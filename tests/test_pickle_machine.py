"""The opcodes of pickle against CPython's own table, and the machine that follows them within its bounds."""

from __future__ import annotations

import pickle
import pickletools
import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.cases import each
from tests.support.pickles import Bytes, blob, glob, honest_values, text
from weighbridge.core.errors import Truncated
from weighbridge.formats import pickle_machine
from weighbridge.formats.pickle import OPCODES, Blob, LongText, tokens, unescape
from weighbridge.formats.pickle_machine import MAX_MARKS, MAX_MEMO, MAX_OPCODES, MAX_SPARSE_MEMO, Machine
from weighbridge.formats.pickle_values import Ending, Event, EventKind, Global, Instance, Items, Outcome, Sort, shown
from weighbridge.formats.pickle_window import BLOCK_BYTES, Budget, StreamBroken, StreamLimit

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=300)
    | st.binary(max_size=300)
    | st.integers(min_value=1 << 600, max_value=1 << 700)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.lists(inner, max_size=6).map(tuple)
        | st.dictionaries(st.text(max_size=8), inner, max_size=6)
        | st.frozensets(st.integers(), max_size=5)
        | st.binary(max_size=20).map(bytearray)
    ),
    max_leaves=30,
)
PROTOCOLS = st.integers(min_value=0, max_value=pickle.HIGHEST_PROTOCOL)


def run(data: bytes, budget: Budget | None = None) -> tuple[list[Event], Outcome]:
    machine = Machine(Bytes("x.pkl", data), 0, len(data), budget or Budget())
    return list(machine.run()), machine.outcome


def follow(data: bytes) -> Outcome:
    """The outcome alone, for streams with more events than anybody wants."""
    machine = Machine(Bytes("x.pkl", data), 0, len(data), Budget())
    for _ in machine.run():
        pass
    return machine.outcome


def ours(data: bytes) -> tuple[list[tuple[int, str]], bool]:
    """Where our reader sees opcodes begin, and whether it came to the end."""
    seen: list[tuple[int, str]] = []
    try:
        seen.extend((token.offset, token.opcode.name) for token in tokens(Bytes("x.pkl", data)))
    except (StreamBroken, StreamLimit):
        return seen, False
    return seen, True


def theirs(data: bytes) -> tuple[list[tuple[int, str]], bool]:
    seen: list[tuple[int, str]] = []
    try:
        seen.extend((position or 0, opcode.name) for opcode, _, position in pickletools.genops(data))
    except (ValueError, UnicodeDecodeError, struct.error, OverflowError):
        return seen, False
    return seen, True


# --- the table and the walk ----------------------------------------------------------------------


def test_the_table_is_the_one_of_cpython() -> None:
    known = {opcode.code: (opcode.name, opcode.proto, opcode.arg is None) for opcode in pickletools.opcodes}
    mine = {chr(opcode.code): (opcode.name, opcode.protocol, opcode.read is None) for opcode in OPCODES}
    assert mine == known


@settings(max_examples=150, deadline=None)
@given(VALUES, PROTOCOLS)
def test_honest_pickles_are_cut_into_the_same_opcodes(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    assert ours(data) == theirs(data)
    events, outcome = run(data)
    assert (outcome.ending, outcome.end) == (Ending.STOPPED, len(data))
    assert EventKind.ODD not in {event.kind for event in events}


@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning:pickletools")
@settings(max_examples=400, deadline=None)
@given(VALUES, PROTOCOLS, st.data())
def test_broken_pickles_are_cut_as_far_as_cpython_cuts_them(value: object, protocol: int, draw: st.DataObject) -> None:
    data = bytearray(pickle.dumps(value, protocol))
    for _ in range(draw.draw(st.integers(1, 4))):
        place = draw.draw(st.integers(0, len(data) - 1))
        match draw.draw(st.sampled_from(["byte", "opcode", "cut", "insert"])):
            case "byte":
                data[place] = draw.draw(st.integers(0, 255))
            case "opcode":
                data[place] = draw.draw(st.sampled_from(OPCODES)).code
            case "cut":
                del data[place + 1 :]
            case _:
                data.insert(place, draw.draw(st.sampled_from(OPCODES)).code)
    mine, complete = ours(bytes(data))
    reference, reference_complete = theirs(bytes(data))
    shorter = min(len(mine), len(reference))
    assert mine[:shorter] == reference[:shorter]
    # We follow what loaders follow and the reference does not; never the other way around.
    assert len(mine) >= len(reference)
    assert complete or not reference_complete
    run(bytes(data))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_end(data: bytes) -> None:
    _, outcome = run(data)
    assert outcome.end <= len(data)
    mine, _ = ours(data)
    reference, _ = theirs(data)
    assert mine[: len(reference)] == reference


@each("name", honest_values())
def test_real_objects_are_cut_into_the_same_opcodes(name: str) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        data = pickle.dumps(honest_values()[name], protocol)
        assert ours(data) == theirs(data)


@pytest.mark.parametrize("size", [BLOCK_BYTES - 3, BLOCK_BYTES, BLOCK_BYTES + 3, 8191, 8192, 8193])
def test_opcodes_across_the_ends_of_blocks(size: int) -> None:
    many = [b"K\x01"] * 3 + [text("name"), b"I12345\n", b"J\x01\x02\x03\x04", b"cmodule\nname\n", blob(b"12345")]
    body = b"".join(many[number % len(many)] for number in range(size))
    data = b"\x80\x04" + body[: size - 2] + b"N" * 300 + b"."
    assert ours(data)[0][: len(theirs(data)[0])] == theirs(data)[0]


def test_long_constants_are_passed_unread() -> None:
    reader = Bytes("x.pkl", b"\x80\x04" + blob(b"\x00" * 3_000_000) + b"0" + text("y" * 2_000_000) + b".")
    found = [token.argument for token in tokens(reader)]
    assert found[1] == Blob(7, 3_000_000, b"\x00" * 64)
    assert isinstance(found[3], LongText)
    assert found[3].length == 2_000_000
    assert reader.read_bytes < 300_000
    assert reader.largest <= BLOCK_BYTES


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40))
def test_escapes_are_undone(data: bytes) -> None:
    assert unescape(repr(data)[2:-1].encode("ascii")) == data


def test_a_reader_that_gives_too_little_is_no_broken_stream() -> None:
    reader = Bytes("x.pkl", b"\x80\x04N", claimed=10)
    with pytest.raises(Truncated):
        list(Machine(reader, 0, 10, Budget()).run())


# --- every opcode --------------------------------------------------------------------------------

LONG = b"\x8b" + struct.pack("<i", 100) + b"\x01" * 100
RESULTS: dict[str, tuple[bytes, object]] = {
    "NONE": (b"N", None),
    "NEWTRUE": (b"\x88", True),
    "NEWFALSE": (b"\x89", False),
    "INT": (b"I12\n", 12),
    "INT true": (b"I01\n", True),
    "INT hexadecimal": (b"I0x10\n", 16),
    "INT no number": (b"Ix\n", Sort.INT),
    "LONG": (b"L-12L\n", -12),
    "BININT": (b"J\xff\xff\xff\xff", -1),
    "BININT1": (b"K\xff", 255),
    "BININT2": (b"M\x01\x02", 513),
    "LONG1": (b"\x8a\x02\x00\xff", -256),
    "LONG1 empty": (b"\x8a\x00", 0),
    "LONG4": (b"\x8b\x01\x00\x00\x00\x07", 7),
    "LONG4 long": (LONG, Sort.INT),
    "FLOAT": (b"F1.5\n", 1.5),
    "BINFLOAT": (b"G" + struct.pack(">d", 2.5), 2.5),
    "STRING": (b"S'a\\nb'\n", "a\nb"),
    "STRING unquoted": (b"Sab\n", Sort.TEXT),
    "BINSTRING": (b"T\x02\x00\x00\x00ab", "ab"),
    "SHORT_BINSTRING": (b"U\x02ab", "ab"),
    "UNICODE": (b"Va\\u0062\n", "ab"),
    "BINUNICODE": (b"X\x02\x00\x00\x00ab", "ab"),
    "BINUNICODE bad": (b"X\x01\x00\x00\x00\xff", Sort.TEXT),
    "SHORT_BINUNICODE": (b"\x8c\x02ab", "ab"),
    "BINUNICODE8": (b"\x8d\x02" + b"\0" * 7 + b"ab", "ab"),
    "BINBYTES": (b"B\x02\x00\x00\x00ab", Blob(5, 2, b"ab")),
    "SHORT_BINBYTES": (b"C\x02ab", Blob(2, 2, b"ab")),
    "BINBYTES8": (b"\x8e\x02" + b"\0" * 7 + b"ab", Blob(9, 2, b"ab")),
    "BYTEARRAY8": (b"\x96\x02" + b"\0" * 7 + b"ab", Blob(9, 2, b"ab")),
    "EMPTY_LIST": (b"]", Sort.LIST),
    "EMPTY_DICT": (b"}", Sort.DICT),
    "EMPTY_SET": (b"\x8f", Sort.SET),
    "EMPTY_TUPLE": (b")", Items(())),
    "LIST": (b"(NNl", Sort.LIST),
    "DICT": (b"(NNd", Sort.DICT),
    "FROZENSET": (b"(K\x01\x91", Sort.FROZENSET),
    "TUPLE": (b"(K\x01K\x02t", Items((1, 2), weight=3)),
    "TUPLE1": (b"K\x01\x85", Items((1,), weight=2)),
    "TUPLE2": (b"K\x01K\x02\x86", Items((1, 2), weight=3)),
    "TUPLE3": (b"K\x01K\x02K\x03\x87", Items((1, 2, 3), weight=4)),
    "MARK and TUPLE": (b"K\x09(t", Items(())),
    "APPEND": (b"]Na", Sort.LIST),
    "APPENDS": (b"](NNe", Sort.LIST),
    "SETITEM": (b"}NNs", Sort.DICT),
    "SETITEMS": (b"}(NNu", Sort.DICT),
    "ADDITEMS": (b"\x8f(N\x90", Sort.SET),
    "POP": (b"K\x01K\x020", 1),
    "POP of a mark": (b"K\x01(0", 1),
    "POP_MARK": (b"K\x01(NN1", 1),
    "DUP": (b"K\x0120", 1),
    "PUT": (b"K\x05p7\n0g7\n", 5),
    "BINPUT": (b"K\x05q\x070h\x07", 5),
    "LONG_BINPUT": (b"K\x05r\x07\x01\x00\x000j\x07\x01\x00\x00", 5),
    "MEMOIZE": (b"K\x05\x94K\x06\x9400h\x01", 6),
    "PUT again": (b"K\x05q\x00K\x06q\x0000h\x00", 6),
    "MEMOIZE after gaps": (b"K\x05q\x09K\x06\x9400h\x01", 6),
    "NEXT_BUFFER": (b"\x97", Sort.BUFFER),
    "READONLY_BUFFER": (b"\x97\x98", Sort.BUFFER),
    "PROTO": (b"\x80\x05N", None),
    "FRAME": (b"\x95\x02" + b"\0" * 7 + b"N", None),
    "GLOBAL": (b"ca\nb\n", Global("a", "b")),
    "STACK_GLOBAL": (b"\x8c\x01a\x8c\x01b\x93", Global("a", "b")),
    "INST": (b"(K\x01ia\nb\n", Instance(Global("a", "b"))),
    "OBJ": (b"(ca\nb\nK\x01o", Instance(Global("a", "b"))),
    "REDUCE": (b"ca\nb\n)R", Instance(Global("a", "b"))),
    "NEWOBJ": (b"ca\nb\n)\x81", Instance(Global("a", "b"))),
    "NEWOBJ_EX": (b"ca\nb\n)}\x92", Instance(Global("a", "b"))),
    "BUILD": (b"ca\nb\n)R}b", Instance(Global("a", "b"))),
    "EXT1": (b"\x82\x01", Sort.UNKNOWN),
    "EXT2": (b"\x83\x01\x01", Sort.UNKNOWN),
    "EXT4": (b"\x84\x01\x01\x01\x01", Sort.UNKNOWN),
    "PERSID": (b"Pabc\n", Sort.PERSISTENT),
    "BINPERSID": (b"NQ", Sort.PERSISTENT),
    "GET": (b"K\x05p1_0\n0g 10\n", 5),
    "BINGET": (b"Nq\x000h\x00", None),
    "LONG_BINGET": (b"Nq\x000j\x00\x00\x00\x00", None),
    "MARK": (b"(t", Items(())),
    "STOP": (b"N.", None),
}


@each("name", RESULTS)
def test_every_opcode_does_to_the_stack_what_it_should(name: str) -> None:
    data, expected = RESULTS[name]
    events, outcome = run(data + b".")
    assert outcome.ending is Ending.STOPPED, outcome.message
    assert outcome.result == expected
    assert type(outcome.result) is type(expected)
    assert all(event.offset < len(data) for event in events)


def test_every_opcode_is_among_them() -> None:
    assert {opcode.name for opcode in OPCODES} == {name for name in RESULTS if name == name.split()[0]}


BROKEN = {
    "no values": b".",
    "nothing above the mark": b"N(.",
    "REDUCE below the mark": b"ca\nb\n)(R.",
    "TUPLE2 below the mark": b"N(N\x86.",
    "no mark": b"Nt.",
    "OBJ of nothing": b"(o.",
    "no memo": b"g7\n.",
    "nothing to PUT": b"q\x00.",
    "DUP of nothing": b"2.",
    "BUILD of nothing": b"}b.",
    "half a number": b"J\x01\x02",
    "half a name": b"cos\nsys",
    "half a line": b"I12",
    "no such opcode": b"N\xfe.",
    "nothing": b"",
}


@each("name", BROKEN)
def test_what_no_loader_follows_breaks(name: str) -> None:
    events, outcome = run(BROKEN[name])
    assert outcome.ending is Ending.BROKEN
    assert outcome.message
    assert EventKind.CALLED not in {event.kind for event in events}


def test_calls_come_with_their_arguments() -> None:
    events, _ = run(glob("os system") + b"(" + text("id") + b"K\x05ca\nb\ntR}b.")
    assert [event.kind for event in events] == [
        EventKind.RESOLVED,
        EventKind.RESOLVED,
        EventKind.CALLED,
        EventKind.BUILT,
    ]
    called = events[2]
    assert called.subject == Global("os", "system")
    assert isinstance(called.argument, Items)
    assert called.argument.items == ("id", 5, Global("a", "b"))
    assert (called.opcode, called.offset) == ("REDUCE", 24)
    assert shown(called.argument) == "('id', 5, a.b)"
    assert events[3].argument is Sort.DICT


@settings(max_examples=100, deadline=None)
@given(VALUES, PROTOCOLS)
def test_data_calls_nothing_but_what_old_protocols_need(value: object, protocol: int) -> None:
    events, _ = run(pickle.dumps(value, protocol))
    called = {shown(event.subject) for event in events if event.kind is EventKind.CALLED}
    allowed = {"_codecs.encode", "__builtin__.bytes", "__builtin__.bytearray", "builtins.bytearray"}
    assert called <= allowed | {"__builtin__.frozenset", "builtins.frozenset"}


# --- bounds --------------------------------------------------------------------------------------

BOMBS: dict[str, tuple[bytes, Ending]] = {
    "two million opcodes": (b"N0" * 1_000_000 + b"N.", Ending.STOPPED),
    "nested lists": (b"]" * 300_000 + b"a" * 299_999 + b".", Ending.STOPPED),
    "nested tuples": (b")" + b"\x85" * 300_000 + b".", Ending.STOPPED),
    "doubling tuples": (b")" + b"2\x86" * 300_000 + b".", Ending.STOPPED),
    "a stack too high": (b"N" * 1_000_100 + b".", Ending.LIMIT),
    "marks": (b"(" * (MAX_MARKS + 5), Ending.LIMIT),
    "names": (b"".join(b"c%d\nx\n0" % number for number in range(40_000)), Ending.LIMIT),
    "sparse memo": (
        b"N" + b"".join(b"r" + struct.pack("<I", 2 * n + 2) for n in range(MAX_SPARSE_MEMO + 5)),
        Ending.LIMIT,
    ),
    "texts in the memo": (b"".join(text(f"{n:0200}") + b"\x940" for n in range(60_000)) + b"N.", Ending.STOPPED),
}


@each("name", BOMBS)
def test_bombs_end_within_bounds(name: str) -> None:
    data, ending = BOMBS[name]
    outcome = follow(data)
    assert outcome.ending is ending, outcome.message


def test_a_memo_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_MEMO <= 2_000_000
    monkeypatch.setattr(pickle_machine, "MAX_MEMO", 1000)
    assert follow(b"N" + b"\x94" * 1001 + b".").ending is Ending.LIMIT
    assert follow(b"N" + b"\x94" * 1000 + b".").ending is Ending.STOPPED


def test_opcodes_are_drawn_from_the_budget() -> None:
    assert MAX_OPCODES == 5_000_000
    budget = Budget(opcodes=10)
    assert run(b"N0" * 3 + b"N.", budget)[1].ending is Ending.STOPPED
    assert budget.opcodes == 2
    events, outcome = run(b"N0N.", budget)
    assert (outcome.ending, outcome.end) == (Ending.LIMIT, 2)
    assert events == []


def test_bytes_are_drawn_from_the_budget() -> None:
    assert run(b"N0" * 100_000 + b"N.", Budget(read_bytes=50_000))[1].ending is Ending.LIMIT


@pytest.mark.parametrize(
    "data",
    [
        b"".join(text(f"{n:0250}") + b"\x94" for n in range(30_000)),
        (text("x" * 250) * 3 + b"\x87") * 8_000,
        b"".join(b"(" + text(f"{n:060}") * 12 + b"t\x94" for n in range(8_000)),
        b"".join(b"V" + b"%d" % n + b"y" * 900 + b"\n" for n in range(8_000)),
    ],
    ids=["memo of texts", "tuples of texts", "memo of tuples", "stack of long texts"],
)
def test_memory_is_bounded(data: bytes) -> None:
    tracemalloc.start()
    try:
        follow(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 48 * 1024 * 1024
