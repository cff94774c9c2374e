"""Pictures, sounds, fonts and documents: ordinary ones are clean to the last byte, and what is hidden in them is said."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.cases import each
from tests.support.inspecting import Bytes, answer, examined, rules_of, verdict_of
from tests.support.media_corpus import HONEST, HOSTILE, Medium, chunk, object_stream, pdf, png, svg
from weighbridge.core.finding import Severity, Verdict
from weighbridge.inspectors.media import RULES, Media


@each("medium", HONEST, ids=lambda medium: medium.name)
def test_ordinary_files_are_clean_to_the_last_byte(medium: Medium) -> None:
    report = answer(Media(), Bytes(medium.path, medium.data))
    assert report is not None
    assert [finding.rule for finding in report.findings] == ([medium.rule] if medium.rule else [])
    assert report.coverage.complete
    assert verdict_of(medium.path, medium.data) is Verdict.CLEAN


def test_the_corpus_is_large_and_every_rule_is_in_it() -> None:
    assert len(HOSTILE) >= 80
    assert len({medium.name for medium in HOSTILE}) == len(HOSTILE)
    assert {rule.id for rule in RULES} <= {medium.rule for medium in (*HOSTILE, *HONEST)}


@each("medium", HOSTILE, ids=lambda medium: medium.name)
def test_every_crafted_file_breaks_its_rule(medium: Medium) -> None:
    found = examined(medium.path, medium.data)
    by_rule = {finding.rule: finding for report in found.reports for finding in report.findings}
    assert medium.rule in by_rule
    grave = any(finding.severity >= Severity.HIGH for finding in by_rule.values())
    assert found.verdict is (Verdict.BAD if grave else Verdict.UNKNOWN)


@each("medium", [one for one in HONEST if one.data[:1] not in b"<%"], ids=lambda medium: medium.name)
def test_a_byte_more_and_a_byte_less_are_noticed(medium: Medium) -> None:
    # What comes from a pipe has no length that could be wrong.
    piped = medium.name == "wav from a pipe"
    assert piped or verdict_of(medium.path, medium.data + b"x") is not Verdict.CLEAN
    cuts = range(1, len(medium.data), max(1, len(medium.data) // 20))
    whole = {len(one.data) for one in HONEST if medium.data.startswith(one.data)}
    # Pages of Ogg, frames of MP3 and boxes of MP4 end where the next might begin.
    joints = piped or medium.name.startswith(("ogg", "mp", "truetype", "jpeg of two"))
    for cut in cuts:
        if cut not in whole and not joints:
            assert verdict_of(medium.path, medium.data[:cut]) is not Verdict.CLEAN


def test_a_large_unknown_chunk_is_not_understood() -> None:
    report = answer(Media(), Bytes("a.png", png(chunk(b"prVt", bytes(9000)))))
    assert report is not None
    assert (report.verdict, report.findings) == (Verdict.UNKNOWN, ())


def test_a_document_that_cannot_be_looked_into_is_unknown() -> None:
    for data in (pdf(object_stream(b"x", b"/Filter /LZWDecode")), pdf(b"<< /Encrypt 9 0 R >>")):
        assert verdict_of("a.pdf", data) is Verdict.UNKNOWN


def test_a_large_picture_costs_its_chunks() -> None:
    reader = Bytes("a.png", png(*[chunk(b"IDAT", bytes(4_000_000))] * 8))
    report = answer(Media(), reader)
    assert report is not None
    assert report.verdict is Verdict.CLEAN
    assert reader.read_bytes < 8_000_000


def test_markup_that_never_closes_takes_linear_time() -> None:
    for text in ("<" * 200_000, "<a " + "x=" * 200_000, '<!ENTITY a "' * 5_000, "<rect " + " on" * 100_000):
        assert rules_of("a.svg", svg(text)) >= set()


def test_other_files_are_left_to_others() -> None:
    for path, data in (("a.txt", b"words\n"), ("a.bin", b"\x00\x01"), ("a.json", b"{}")):
        assert answer(Media(), Bytes(path, data)) is None


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_file_is_never_a_surprise(draw: st.DataObject) -> None:
    medium = draw.draw(st.sampled_from([*HONEST, *HOSTILE]))
    data = bytearray(medium.data)
    for _ in range(draw.draw(st.integers(1, 5))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    reader = Bytes(medium.path, bytes(data))
    answer(Media(), reader)
    assert reader.read_bytes < 10 * len(data) + 100_000
