"""The second reader against the machine: the same end and the same names on honest streams, and no way to break it."""

from __future__ import annotations

import collections
import pickle

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.cases import each
from tests.support.inspecting import Bytes
from tests.support.pickles import BENIGN, blob, call, corpus, glob, honest_values, legacy_torch, stack_global, text
from weighbridge.formats.pickle_machine import Machine
from weighbridge.formats.pickle_values import Ending, EventKind, Global, Outcome
from weighbridge.formats.pickle_walker import MAX_LINE, Walk, walk
from weighbridge.formats.pickle_window import Budget
from weighbridge.formats.recent_reads import KEPT_BYTES, Recent

Names = set[tuple[str, str]]


def machine_of(data: bytes) -> tuple[Outcome, Names, Names]:
    """How the machine's stream ends, and the names it takes by GLOBAL and INST, and by STACK_GLOBAL."""
    machine = Machine(Bytes("x.pkl", data), 0, len(data), Budget())
    taken: dict[str, Names] = collections.defaultdict(set)
    for event in machine.run():
        if event.kind is EventKind.RESOLVED and isinstance(event.subject, Global):
            taken[event.opcode].add((event.subject.module, event.subject.name))
    return machine.outcome, taken["GLOBAL"] | taken["INST"], taken["STACK_GLOBAL"]


def walked(data: bytes) -> Walk:
    return walk(Bytes("x.pkl", data), 0, len(data))


@each("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@each("name", honest_values())
def test_both_readers_agree_on_honest_streams(name: str, protocol: int) -> None:
    data = pickle.dumps(honest_values()[name], protocol)
    outcome, named, stacked = machine_of(data)
    other = walked(data)
    assert (other.end, other.named, other.unsure) == (outcome.end, named, False)
    assert other.stacked == stacked


def test_both_readers_agree_on_crafted_streams_that_end() -> None:
    compared = 0
    for name, data, rule in corpus():
        outcome, named, stacked = machine_of(data)
        if outcome.ending is Ending.STOPPED and rule != "readers-disagree":
            other = walked(data[: outcome.end])
            assert other.unsure or (other.end, other.named) == (outcome.end, named), name
            assert other.stacked <= stacked, name
            compared += 1
    assert compared >= 250


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_end_the_walk(data: bytes) -> None:
    assert walked(data).end <= len(data)
    assert walked(b"\x80\x04" + data).end <= len(data) + 2


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([call("os system"), legacy_torch(2), pickle.dumps(honest_values()["many"], 2)[:4000]]), st.data()
)
def test_what_both_follow_to_the_end_ends_at_the_same_place(data: bytes, draw: st.DataObject) -> None:
    changed = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 3))):
        changed[draw.draw(st.integers(0, len(changed) - 1))] = draw.draw(st.integers(0, 255))
    outcome, named, stacked = machine_of(bytes(changed))
    if outcome.ending is Ending.STOPPED:
        other = walk(Bytes("x.pkl", bytes(changed)), 0, outcome.end)
        assert other.unsure or other.end == outcome.end
        assert other.named == named
        del stacked


def test_a_name_is_known_when_its_texts_come_last() -> None:
    assert walked(b"\x80\x04" + stack_global("os system") + b".").stacked == {("os", "system")}
    assert walked(b"\x80\x04" + text("os") + b"\x94" + text("system") + b"\x94\x93.").stacked == {("os", "system")}
    assert walked(b"\x80\x04" + text("os") + b"\x940h\x00" + text("system") + b"\x93.").stacked == {("os", "system")}
    assert walked(b"\x80\x04" + text("os") + b"K\x010" + text("system") + b"\x93.").stacked == set()
    assert walked(glob("os system") + b".").named == {("os", "system")}


def test_long_constants_are_passed_unread() -> None:
    data = b"\x80\x04" + blob(b"\x00" * 3_000_000) + b"0" + glob("a b") + b"."
    reader = Bytes("x.pkl", data)
    assert walk(reader, 0, len(data)).named == {("a", "b")}
    assert reader.read_bytes < 100_000


def test_a_line_without_end_gives_no_opinion() -> None:
    data = glob("a b") + b"0V" + b"x" * (MAX_LINE + 10) + b"\n."
    assert walked(data).unsure
    assert walked(glob("a b") + b"0V" + b"x" * 10).end == -1


def test_what_was_read_once_is_not_fetched_again() -> None:
    reader = Bytes("x.pkl", bytes(range(256)) * 100)
    recent = Recent(reader)
    for offset, length in ((0, 100), (100, 50), (20, 100), (0, 150), (149, 1)):
        assert recent.read(offset, length) == reader.data[offset : offset + length]
    assert reader.reads == [(0, 100), (100, 50)]
    assert recent.read(140, 20) == reader.data[140:160]
    assert (recent.path, recent.size_bytes) == (reader.path, reader.size_bytes)


def test_no_more_is_kept_than_is_promised() -> None:
    reader = Bytes("x.pkl", b"x" * (KEPT_BYTES + 100))
    recent = Recent(reader)
    recent.read(0, KEPT_BYTES)
    recent.read(KEPT_BYTES, 100)
    recent.read(KEPT_BYTES, 100)
    recent.read(5, 100)
    assert len(reader.reads) == 3
    assert walk(recent, 0, 10).end == -1
    assert BENIGN
