"""Containers: what is in them is inspected, what is wrong with them is said, and no bomb goes off."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import zipfile
import zlib

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.archive_corpus import (
    PACKERS,
    README,
    SEVENZIP_PACKED,
    WEAPON,
    WEAPON_RULE,
    Case,
    corpus,
    ended,
    entry,
    pax,
    sevenzip,
    tarred,
    zipped,
)
from tests.support.cases import each
from tests.support.inspecting import Bytes, examined, rules_of, verdict_of
from tests.support.pickles import BENIGN, state_dict
from weighbridge.core.errors import LimitExceeded, Truncated
from weighbridge.core.finding import Report, Severity, Verdict
from weighbridge.formats.decoders import StreamDefect
from weighbridge.formats.held import Held
from weighbridge.formats.members import MAX_HELD_BYTES, Replayed, Slice, held_bytes
from weighbridge.formats.streams import Unpacking, unpack
from weighbridge.formats.tars import TarArchive
from weighbridge.inspectors.archives.inspector import RULES
from weighbridge.inspectors.registry import inspect_artifact, inspect_subject
from weighbridge.inspectors.subject import Allowance, Subject

CORPUS = corpus()
SMALL = [case for case in CORPUS if len(case.data) <= 3000 and "bomb" not in case.name]
# Cutting off what is behind, or adding what was cut, makes an honest container again.
WHOLE = [case for case in SMALL if not case.name.endswith(("cut", "behind"))]
ANY = {"README.md": README, "d/a.pkl": BENIGN, "d/b.pkl": BENIGN * 3}


def archives(path: str, data: bytes) -> Report:
    """What the inspector says of the container itself."""
    found = examined(path, data)
    return next(report for report in found.reports if report.inspector == "archives")


# --- hostile ones --------------------------------------------------------------------------------


def test_the_corpus_is_large_and_every_rule_is_in_it_or_in_that_of_zips() -> None:
    assert len(CORPUS) >= 180
    assert len({case.name for case in CORPUS}) == len(CORPUS)
    elsewhere = {"zip-overlap", "zip-bomb", "zip-limit", "zip-storage-size", "stream-limit", "7z-limit"}
    assert {rule.id for rule in RULES} - elsewhere - {"7z-header-mismatch"} <= {case.rule for case in CORPUS}


@each("case", CORPUS, ids=lambda case: case.name)
def test_every_crafted_container_breaks_its_rule(case: Case) -> None:
    found = examined(case.path, case.data)
    by_rule = {finding.rule: finding for report in found.reports for finding in report.findings}
    assert case.rule in by_rule
    if any(finding.severity.is_grave for finding in by_rule.values()):
        assert found.verdict is Verdict.BAD
    elif by_rule[case.rule].severity >= Severity.MEDIUM:
        assert found.verdict is Verdict.UNKNOWN


@each("case", WHOLE[::4], ids=lambda case: case.name)
def test_no_cut_and_no_byte_more_makes_a_bad_container_clean(case: Case) -> None:
    if verdict_of(case.path, case.data) is Verdict.CLEAN:
        return
    for more in (b"\x00", b"x", b"PK"):
        assert verdict_of(case.path, case.data + more) is not Verdict.CLEAN
    for cut in range(1, len(case.data), max(1, len(case.data) // 12)):
        assert verdict_of(case.path, case.data[:cut]) is not Verdict.CLEAN or case.data[:cut] in (README, BENIGN)


# --- honest ones ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archives_of_tarfile_are_clean_to_the_last_byte(form: int) -> None:
    long = {"ä/" * 40 + "x" * 90 + ".pkl": BENIGN, "d/" * 60 + "y.pkl": BENIGN} if form else {}
    data = tarred({**ANY, **long}, form)
    report = archives("x.tar", data)
    assert (report.verdict, report.findings, report.coverage.inspected_bytes) == (Verdict.CLEAN, (), len(data))
    assert verdict_of("x.tar", data) is Verdict.CLEAN


def test_members_of_a_tar_are_those_that_tarfile_sees() -> None:
    files = {**ANY, "z" * 300: b"x" * 70_000, "empty": b""}
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        data = tarred(files, form)
        found = [(one.name, data[one.data_offset : one.end_offset]) for one in TarArchive(Bytes("x", data)).walk()]
        assert found == list(files.items())


def test_folders_and_old_headers_are_ordinary() -> None:
    data = ended(entry(b"d/", flag=b"5"), entry(b"d/", flag=b"5"), entry(b"d/README.md", README, flag=b"\x00"))
    assert verdict_of("x.tar", data) is Verdict.CLEAN
    old = ended(entry(b"README.md", README, magic=bytes(8), flag=b"\x00"))
    assert verdict_of("x.tar", old) is Verdict.CLEAN
    commented = ended(pax({"comment": "0123abcd"}, b"g"), pax({"mtime": "1.5"}), entry(b"README.md", README))
    assert verdict_of("x.tar", commented) is Verdict.CLEAN


@each("name", PACKERS)
def test_compressed_files_are_clean_alone_and_around_a_tar(name: str) -> None:
    suffix, pack = PACKERS[name]
    assert verdict_of(f"a.pkl.{suffix}", pack(BENIGN)) is Verdict.CLEAN
    assert verdict_of(f"a.tar.{suffix}", pack(tarred(ANY))) is Verdict.CLEAN
    assert archives(f"a.{suffix}", pack(BENIGN)).coverage.complete


def test_what_tools_write_into_headers_is_ordinary() -> None:
    whole = PACKERS["gzip"][1](BENIGN)
    named = whole[:3] + b"\x08" + whole[4:10] + b"model.pkl\x00" + whole[10:]
    block = whole[:3] + b"\x04" + whole[4:10] + b"\x06\x00BC\x02\x00\x1b\x00" + whole[10:]
    parallel = b"\x50\x2a\x4d\x18\x04\x00\x00\x00\x99\x00\x00\x00" + zstandard.compress(BENIGN)
    for path, data in (("a.pkl.gz", named + block), ("a.pkl.gz", whole + bytes(512)), ("a.pkl.zst", parallel * 2)):
        assert rules_of(path, data) == set()
        assert verdict_of(path, data) is Verdict.CLEAN


def test_archives_of_7z_are_clean() -> None:
    assert verdict_of("x.7z", SEVENZIP_PACKED) is Verdict.CLEAN
    assert verdict_of("x.7z", sevenzip({**ANY, "empty": b""})) is Verdict.CLEAN
    assert rules_of("x.7z", sevenzip({"README.md": WEAPON})) >= {WEAPON_RULE}


def test_archives_within_each_other_are_clean_where_they_end_together() -> None:
    """The inner archive's end record lies where the outer one's is looked for."""
    inner = zipped(ANY)
    for data in (
        zipped({"a.zip": inner}),
        tarred({"a.pt": inner}),
        sevenzip({"a.zip": inner}),
        zipped({"a.tar": tarred(ANY)}),
    ):
        assert rules_of("x.bin", data) == set()
        assert verdict_of("x.bin", data) is Verdict.CLEAN


def test_a_member_that_nobody_understands_is_unknown_and_named() -> None:
    for data in (
        zipped({"d/x": b"\x00\x01\x02"}),
        tarred({"d/x": b"\x00\x01\x02"}),
        sevenzip({"d/x": b"\x00\x01\x02"}),
    ):
        found = examined("a.bin", data)
        assert found.verdict is Verdict.UNKNOWN
        assert {finding.location for report in found.reports for finding in report.findings} == {"d/x"}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_method_of_zipfile_is_unpacked(method: int) -> None:
    assert verdict_of("x.zip", zipped(ANY, method, comment=b"made by hand")) is Verdict.CLEAN


@pytest.mark.parametrize(("key", "rules"), [(b"0", set()), (b"x.pth", {"zip-storage-size", "kind-unrecognised"})])
def test_a_storage_is_what_writers_call_one(key: bytes, rules: set[str]) -> None:
    pickled = state_dict(1).replace(b"X\x01\x00\x00\x000", b"X" + struct.pack("<L", len(key)) + key)
    data = zipped({"a/data.pkl": pickled, f"a/data/{key.decode()}": struct.pack("<6f", *range(6))})
    assert rules <= rules_of("m.pt", data)
    assert (verdict_of("m.pt", data) is Verdict.CLEAN) == (not rules)


# --- bounds --------------------------------------------------------------------------------------


def test_a_large_tar_costs_its_headers() -> None:
    pickled = bytes(20_000_000)
    data = tarred({"README.md": README, "a.bin": pickled, "b.pkl": BENIGN})
    reader = Bytes("x.tar", data)
    inspect_artifact(reader)
    assert reader.read_bytes < 2_000_000


def test_what_is_too_large_to_hold_is_unpacked_on_the_way() -> None:
    noise = os.urandom(1 << 16) * (45 << 4)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("big.bin", noise)
        archive.writestr("z.pkl", WEAPON)
    assert WEAPON_RULE in rules_of("x.zip", buffer.getvalue())
    pack = zlib.compressobj(1, zlib.DEFLATED, 31)
    inner = tarred({"big.bin": noise, "z.pkl": WEAPON})
    assert WEAPON_RULE in rules_of("x.tar.gz", pack.compress(inner) + pack.flush())


def test_a_member_is_read_again_from_the_start_of_its_stream() -> None:
    data = bytes(range(256)) * 40_000
    packed = zlib.compress(data)

    def chunks() -> object:
        return unpack("zlib", Bytes("x", packed), Unpacking())

    reader = Replayed("x", len(data), chunks, outer=Bytes("x", packed))  # type: ignore[arg-type]
    for offset in (0, 9_000_000, 100, 5_000_000, len(data) - 10):
        assert reader.read(offset, 20) == data[offset : offset + 20]
    costly = Replayed("x", len(data), chunks, outer=Bytes("x", packed), weight=1000)  # type: ignore[arg-type]
    with pytest.raises(LimitExceeded):
        costly.read(len(data) - 1, 1)
    short = Replayed("x", len(data) + 1, chunks, outer=Bytes("x", packed))  # type: ignore[arg-type]
    with pytest.raises(Truncated):
        short.read(len(data), 1)


def test_what_is_held_is_counted_along_the_containers() -> None:
    held = Held("a", bytes(1000), Bytes("x", b""))
    assert held_bytes(Held("b", bytes(10), Slice("s", held, 0, 100))) == 1010
    assert MAX_HELD_BYTES < 100 * 1024 * 1024


def test_containers_within_each_other_end_somewhere() -> None:
    data = zipped({"x": README})
    for _ in range(9):
        data = zipped({"x.zip": data})
    assert rules_of("x.zip", data) == {"zip-limit"}
    assert verdict_of("x.zip", data) is Verdict.UNKNOWN


def test_zips_that_multiply_are_stopped() -> None:
    data = zipped({"0.bin": bytes(1_000_000)}, zipfile.ZIP_DEFLATED)
    for _ in range(3):
        data = zipped({f"{number}.zip": data for number in range(16)}, zipfile.ZIP_DEFLATED)
    allowance = Allowance(unpacked_bytes=5_000_000)
    found = inspect_subject(Subject(Bytes("42.zip", data), inspect_subject, allowance=allowance))
    assert found.verdict is not Verdict.CLEAN
    assert allowance.unpacked_bytes >= -1_000_000
    assert "zip-limit" in {finding.rule for report in found.reports for finding in report.findings}


def test_a_member_of_a_gigabyte_is_a_bomb() -> None:
    data = zipped({"a.bin": bytes(70 << 20)}, zipfile.ZIP_DEFLATED)
    assert {"zip-bomb", "zip-limit"} <= rules_of("x.zip", data)


def test_zeros_that_are_packed_well_are_no_bomb() -> None:
    assert "zip-bomb" not in rules_of("x.npz", zipped({"a.bin": bytes(20 << 20)}, zipfile.ZIP_DEFLATED))


# --- anything ------------------------------------------------------------------------------------


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_a_damaged_container_is_never_a_surprise(draw: st.DataObject) -> None:
    case = draw.draw(st.sampled_from([case for case in SMALL if case.rule == WEAPON_RULE]))
    data = bytearray(case.data)
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    reader = Bytes(case.path, bytes(data))
    assert inspect_artifact(reader).reports
    assert reader.read_bytes < 100 * len(data) + 1_000_000


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(sorted(PACKERS)), st.binary(max_size=3000), st.integers(1, 5))
def test_streams_unpack_to_what_was_packed(name: str, data: bytes, times: int) -> None:
    times = 1 if name in ("zlib", "lzma") else times
    noted = Unpacking()
    whole = PACKERS[name][1](data) * times
    assert b"".join(unpack(name, Bytes("x", whole), noted)) == data * times
    assert noted.notes == []


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(sorted(PACKERS)), st.binary(max_size=200))
def test_no_bytes_break_a_decoder(name: str, data: bytes) -> None:
    magic = PACKERS[name][1](b"")[:6]
    rules = []
    try:
        assert sum(map(len, unpack(name, Bytes("x", magic + data), Unpacking()))) < 100_000_000
    except StreamDefect as broken:
        rules.append(f"stream-{broken.rule}")
    assert {*rules} <= {rule.id for rule in RULES}


def test_a_reader_that_gives_too_little_is_no_answer() -> None:
    for path, data in (("x.zip", zipped(ANY)), ("x.tar", tarred(ANY)), ("x.7z", sevenzip(ANY))):
        found = inspect_artifact(Bytes(path, data, claimed=len(data) + 600))
        assert found.verdict is not Verdict.CLEAN


def test_numbers_of_any_width_are_read() -> None:
    wide = b"\x80" + bytes(7) + struct.pack(">L", len(README))
    assert verdict_of("x.tar", ended(entry(b"README.md", README, size=wide))) is Verdict.CLEAN
