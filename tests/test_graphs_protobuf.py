"""The walker of protocol buffers: strict, bounded, and it reads no payload."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.cases import each
from tests.support.graphs import f, varint
from tests.support.inspecting import Bytes
from weighbridge.formats.protobuf import (
    MAX_DEPTH,
    Budget,
    Field,
    Message,
    ProtobufLimit,
    ProtobufProblem,
    fields,
    float_of,
)


def walked(data: bytes) -> list[Field]:
    return list(Message.of(Bytes("x", data)).fields())


@given(
    st.lists(
        st.tuples(st.integers(1, (1 << 29) - 1), st.one_of(st.integers(0, (1 << 64) - 1), st.binary(max_size=300)))
    )
)
@settings(max_examples=200, deadline=None)
def test_what_was_written_is_read(said: list[tuple[int, int | bytes]]) -> None:
    data = b"".join(f(number, value) for number, value in said)
    found = walked(data)
    assert [one.number for one in found] == [number for number, _ in said]
    for one, (_, value) in zip(found, said, strict=True):
        assert one.value == value if isinstance(value, int) else data[one.start : one.end] == value


FEW = st.integers(1, 3)
PIECES = st.one_of(
    st.builds(f, FEW, st.integers(0, (1 << 64) - 1)),
    st.builds(f, FEW, st.binary(max_size=40)),
    st.builds(lambda number, value: varint(number << 3 | 5) + value, FEW, st.binary(min_size=4, max_size=4)),
    st.builds(lambda number, value: varint(number << 3 | 1) + value, FEW, st.binary(min_size=8, max_size=8)),
    st.binary(max_size=3),
)


@given(st.lists(PIECES, max_size=60), st.integers(1, 4))
@settings(max_examples=400, deadline=None)
def test_fields_passed_at_once_are_those_that_are_read_one_by_one(pieces: list[bytes], repeated: int) -> None:
    data = b"".join(piece * repeated for piece in pieces)

    def ends(runs: frozenset[int]) -> tuple[list[tuple[int, int, int, int]], str]:
        """Number, wire type and span of what is read, what follows each other alike taken together; and why it ended."""
        found: list[tuple[int, int, int, int]] = []
        try:
            for one in Message.of(Bytes("x", data)).fields(runs=runs):
                last = found[-1] if found else (0, 0, 0, 0)
                alike = last[:2] == (one.number, one.wire_type)
                found[-1:] = [(*last[:3], one.end)] if alike else [last, (one.number, one.wire_type, one.at, one.end)]
        except ProtobufProblem as error:
            return found, str(error)
        return found, ""

    assert ends(frozenset((1, 2))) == ends(frozenset())


def test_a_run_costs_its_share_of_the_budget() -> None:
    data = f(8, 1) * 100_000
    assert len(list(Message.of(Bytes("x", data), Budget(1_000)).fields(runs=frozenset((8,))))) == 1
    with pytest.raises(ProtobufLimit):
        list(Message.of(Bytes("x", data), Budget(500)).fields(runs=frozenset((8,))))


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_fields_to_the_end_or_a_problem(data: bytes) -> None:
    try:
        found = walked(data)
    except ProtobufProblem:
        return
    assert sum(one.end - one.at for one in found) == len(data)


@each(
    "data",
    [b"\x0b", b"\x0c", b"\x0e", b"\x0f", b"\x00\x01", b"\x08", b"\x0a\x05abc", b"\x09\x01", b"\x0d\x01", b"\x08" + b"\xff" * 10,
     b"\x08" + b"\xff" * 9 + b"\x02", b"\xff\xff\xff\xff\xff\x01\x00"],
)  # fmt: skip
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ProtobufProblem):
        walked(data)


def test_numbers_of_every_wire_type() -> None:
    one, two, three = walked(f(1, -1) + b"\x15\x00\x00\x80\x3f" + b"\x19" + b"\x00" * 6 + b"\xf0\x3f")
    assert one.signed == -1
    assert float_of(two) == 1.0
    assert float_of(three) == 1.0


def test_packed_numbers() -> None:
    message = Message.of(Bytes("x", f(1, varint(5) + varint(300) + varint(-1))))
    (one,) = message.fields()
    assert message.numbers(one) == [5, 300, -1]


def test_payloads_are_not_read() -> None:
    reader = Bytes("x", f(1, 7) + f(2, bytes(10_000_000)) + f(3, "end"))
    assert [one.number for one in Message.of(reader).fields()] == [1, 2, 3]
    assert reader.read_bytes < 200_000


def test_bounds_are_kept() -> None:
    with pytest.raises(ProtobufLimit):
        list(fields(Bytes("x", f(1, 1) * 100), 0, 200, Budget(fields=50)))
    message = Message.of(Bytes("x", f(1, "x" * 100)))
    (one,) = message.fields()
    with pytest.raises(ProtobufLimit):
        message.text(one, at_most=50)
    data = b""
    for _ in range(MAX_DEPTH + 2):
        data = f(1, data)
    with pytest.raises(ProtobufLimit):
        innermost(Message.of(Bytes("x", data)))


def innermost(message: Message) -> None:
    while True:
        (one,) = message.fields()
        message = message.within(one)
