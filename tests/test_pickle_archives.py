"""Pickles in zip archives: torch's, numpy's, and archives made to be read in two ways."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Callable

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.cases import each
from tests.support.inspecting import Bytes, answer, examined, rules_of
from tests.support.pickles import BENIGN, call, legacy_torch, state_dict
from weighbridge.core.finding import Finding, Verdict
from weighbridge.formats.zips import MAX_MEMBERS, ZipArchive
from weighbridge.inspectors.pickles.inspector import Pickles
from weighbridge.inspectors.registry import inspect_artifact
from weighbridge.inspectors.subject import Inspected

STORAGE = struct.pack("<6f", *range(6))
WEAPON = call("os system")


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return buffer.getvalue()


class Unseekable(io.RawIOBase):
    """Makes zipfile write sizes behind the data, as torch does."""

    def __init__(self) -> None:
        super().__init__()
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.data += memoryview(data)  # type: ignore[arg-type]
        return len(memoryview(data))  # type: ignore[arg-type]


def torch_archive(storages: int = 3, *, pickled: bytes | None = None, streamed: bool = False) -> bytes:
    files = {"archive/data.pkl": pickled or state_dict(storages), "archive/byteorder": b"little"}
    files |= {f"archive/data/{number}": STORAGE for number in range(storages)}
    files |= {"archive/version": b"3\n", "archive/.data/serialization_id": b"0123456789" * 4}
    if not streamed:
        return zipped(files)
    out = Unseekable()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return bytes(out.data)


def inspect(data: bytes, path: str = "model.pt") -> Inspected:
    return examined(path, data)


def findings(found: Inspected) -> list[Finding]:
    return [finding for report in found.reports for finding in report.findings]


def rules(data: bytes, path: str = "model.pt") -> set[str]:
    return rules_of(path, data)


# --- what is in them -----------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True])
def test_an_archive_of_torch_is_clean_to_the_last_byte(streamed: bool) -> None:
    data = torch_archive(streamed=streamed)
    found = inspect(data)
    assert findings(found) == []
    (report,) = [report for report in found.reports if report.inspector == "archives"]
    assert (found.verdict, report.coverage.inspected_bytes) == (Verdict.CLEAN, len(data))


def test_a_weapon_in_an_archive_is_found_and_located() -> None:
    for name in ("archive/data.pkl", "archive/code/.data/constants.pkl", "readme", "x/y.bin"):
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            report = inspect(zipped({"archive/version": b"3\n", name: WEAPON}, method))
            assert report.verdict is Verdict.BAD
            assert any(name in finding.location for finding in findings(report))
            assert {finding.path for finding in findings(report)} == {"model.pt"}


def test_a_large_archive_costs_its_directory_and_its_pickles() -> None:
    size = 40_000_000
    pickled = state_dict(1).replace(b"K\x06tQ", b"J" + struct.pack("<i", size // 4) + b"tQ")
    data = zipped({"archive/data.pkl": pickled, "archive/data/0": bytes(size)})
    reader = Bytes("model.pt", data)
    assert inspect_artifact(reader).verdict is Verdict.CLEAN
    assert reader.read_bytes < 200_000


def test_what_no_pickle_accounts_for_is_not_clean() -> None:
    more = {"archive/data.pkl": state_dict(1), "archive/data/0": STORAGE, "archive/more": b"\x00" * 9}
    assert inspect(zipped(more)).verdict is Verdict.UNKNOWN
    assert "zip-storage-size" in rules(zipped({"a/data.pkl": state_dict(1), "a/data/0": STORAGE + b"x"}))
    assert "zip-storage-size" in rules(zipped({"a/data.pkl": state_dict(2), "a/data/0": STORAGE}))


def test_arrays_of_objects_are_pickles() -> None:
    def saved(array: object) -> bytes:
        buffer = io.BytesIO()
        numpy.save(buffer, array, allow_pickle=True)  # type: ignore[arg-type]
        return buffer.getvalue()

    objects = saved(numpy.array([1, "a"], dtype=object))
    assert inspect(objects, "x.npy").verdict is Verdict.CLEAN
    assert answer(Pickles(), Bytes("x.npy", saved(numpy.ones(3)))) is None
    armed = objects[: objects.index(b"\n") + 1] + WEAPON
    assert inspect(armed, "x.npy").verdict is Verdict.BAD
    assert inspect(zipped({"a.npy": objects}), "x.npz").verdict is Verdict.CLEAN
    assert inspect(zipped({"a.npy": armed}, zipfile.ZIP_DEFLATED), "x.npz").verdict is Verdict.BAD


def test_pickles_leaves_archives_to_others_and_says_which_storages_a_pickle_names() -> None:
    assert answer(Pickles(), Bytes("x.zip", zipped({"a.pkl": WEAPON}))) is None
    (fact, *more) = examined("archive/data.pkl", state_dict(3)).facts
    assert (fact.kind, fact.location, fact.value, len(more)) == ("torch-storage", "0", str(len(STORAGE)), 2)
    assert examined("old.pt", legacy_torch(2)).facts == ()


def test_a_checkpoint_of_the_old_format_in_an_archive_needs_no_storages_beside_it() -> None:
    assert inspect(zipped({"old.pt": legacy_torch(3), "a.pkl": BENIGN}), "x.zip").verdict is Verdict.CLEAN


# --- archives that are two -----------------------------------------------------------------------


def patched(data: bytes, find: bytes, offset: int, value: bytes) -> bytes:
    """Changes bytes at `offset` behind the first `find`."""
    place = data.index(find) + offset
    return data[:place] + value + data[place + len(value) :]


def doubled() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/data.pkl", BENIGN)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a/data.pkl", WEAPON)
    return buffer.getvalue()


PLAIN = zipped({"a/data.pkl": BENIGN})
PACKED = zipped({"a/data.pkl": pickle.dumps(["word"] * 400, 2)}, zipfile.ZIP_DEFLATED)
TRICKS: dict[str, tuple[Callable[[], bytes], str]] = {
    "two of one name": (doubled, "zip-duplicate-name"),
    "two of one name to some": (lambda: zipped({"a/data.pkl": BENIGN, "A/Data.pkl": BENIGN}), "zip-duplicate-name"),
    "parent folder": (lambda: zipped({"../data.pkl": BENIGN}), "zip-traversal"),
    "from the root": (lambda: zipped({"/etc/data.pkl": BENIGN}), "zip-traversal"),
    "a drive": (lambda: zipped({"C:\\data.pkl": BENIGN}), "zip-traversal"),
    "encrypted in the directory": (lambda: patched(PLAIN, b"PK\x01\x02", 8, b"\x01\x00"), "zip-encrypted"),
    "flags of the local header": (lambda: patched(PLAIN, b"PK\x03\x04", 6, b"\x01\x00"), "zip-header-mismatch"),
    "another name": (lambda: patched(PLAIN, b"PK\x03\x04", 30, b"b"), "zip-header-mismatch"),
    "another method": (lambda: patched(PLAIN, b"PK\x03\x04", 8, b"\x08\x00"), "zip-header-mismatch"),
    "another size": (lambda: patched(PLAIN, b"PK\x03\x04", 22, b"\x01"), "zip-header-mismatch"),
    "stored, of two sizes": (lambda: patched(PLAIN, b"PK\x01\x02", 24, b"\x01"), "zip-header-mismatch"),
    "unknown method": (lambda: patched(PLAIN, b"PK\x01\x02", 10, b"\x63\x00"), "zip-method"),
    "another checksum": (
        lambda: patched(patched(PLAIN, b"PK\x01\x02", 16, b"abcd"), b"PK\x03\x04", 14, b"abcd"),
        "zip-checksum",
    ),
    "packed, another checksum": (lambda: patched(PACKED, b"PK\x01\x02", 16, b"abcd"), "zip-checksum"),
    "packed, damaged": (lambda: patched(PACKED, b"data.pkl", 10, b"\xff\xff\xff"), "zip-broken"),
    "before the archive": (lambda: b"PK\x03\x04 and more" + PLAIN, "zip-extra-data"),
    "behind the archive": (lambda: PLAIN + b"x", "zip-extra-data"),
    "between the files": (
        lambda: PLAIN[: PLAIN.index(b"PK\x01\x02")] + b"hidden" + PLAIN[PLAIN.index(b"PK\x01\x02") :],
        "zip-extra-data",
    ),
    "two archives": (lambda: PLAIN + zipped({"b/data.pkl": BENIGN}), "zip-ambiguous"),
    "cut": (lambda: PLAIN[:-10], "zip-broken"),
    "no directory": (lambda: PLAIN[: PLAIN.index(b"PK\x01\x02")], "zip-broken"),
    "directory elsewhere": (lambda: patched(PLAIN, b"PK\x05\x06", 16, b"\xff\xff\xff\x00"), "zip-broken"),
    "no local header": (lambda: patched(PLAIN, b"PK\x03\x04", 1, b"X"), "zip-broken"),
    "beyond the end": (lambda: patched(PLAIN, b"PK\x01\x02", 20, b"\xff\xff\xff\x00\xff\xff\xff\x00"), "zip-broken"),
    "several disks": (lambda: patched(PLAIN, b"PK\x05\x06", 4, b"\x01\x00"), "zip-broken"),
    "too many": (lambda: patched(PLAIN, b"PK\x05\x06", 12, b"\xff\xff\xff\x7f"), "zip-limit"),
    "bomb": (
        lambda: zipped({"a/data.pkl": bytes(70 << 20)}, zipfile.ZIP_DEFLATED),
        "zip-bomb",
    ),
    "bomb beyond the limit": (
        lambda: patched(
            patched(PACKED, b"PK\x01\x02", 24, b"\xff\xff\xff\x7f"), b"PK\x03\x04", 22, b"\xff\xff\xff\x7f"
        ),
        "zip-limit",
    ),
}


@each("name", TRICKS)
def test_an_archive_made_to_deceive_breaks_its_rule(name: str) -> None:
    make, rule = TRICKS[name]
    data = make()
    path = "model.pkl" if not data.startswith(b"PK") else "model.pt"
    assert rule in rules(data, path)
    assert inspect(data, path).verdict is not Verdict.CLEAN


def test_the_later_of_two_files_is_followed_as_well() -> None:
    assert "pickle-dangerous-callable" in rules(doubled())


def test_an_archive_behind_a_pickle_is_both() -> None:
    found = rules(BENIGN + zipped({"a/data.pkl": WEAPON}), "x.pkl")
    assert {"zip-ambiguous", "pickle-trailing-data", "pickle-dangerous-callable"} <= found


def test_overlapping_files_are_noticed() -> None:
    data = zipped({"a.pkl": BENIGN, "b.pkl": BENIGN})
    directory = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", directory + 4)
    assert "zip-overlap" in rules(data[: second + 42] + b"\x00\x00\x00\x00" + data[second + 46 :])


def test_many_members_are_bounded() -> None:
    archive = zipped({f"{number}.pkl": BENIGN for number in range(3000)})
    assert inspect(archive).verdict is Verdict.CLEAN
    assert MAX_MEMBERS <= 50_000


def test_a_large_archive_with_wide_numbers_is_read() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("a/data.pkl", "w", force_zip64=True) as member:
        member.write(BENIGN)
    assert inspect(buffer.getvalue()).verdict is Verdict.CLEAN
    data = buffer.getvalue()
    end = data.index(b"PK\x05\x06")
    _, _, _, here, total, length, offset, _ = struct.unpack("<4s4H2LH", data[end:])
    wide = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, here, total, length, offset)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    short = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert inspect(data[:end] + wide + locator + short).verdict is Verdict.CLEAN
    other = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 7, 7, length, offset, 0)
    assert "zip-header-mismatch" in rules(data[:end] + wide + locator + other)


NAMES = st.text("abcdef/.", min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, st.binary(max_size=200), max_size=5), st.booleans())
def test_members_are_those_that_python_sees(files: dict[str, bytes], packed: bool) -> None:
    data = zipped(files, zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED)
    reader = Bytes("x.zip", data)
    opened = ZipArchive(reader)
    assert opened.readable
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert [member.name for member in opened.members] == archive.namelist()
        for index, info in enumerate(archive.infolist()):
            member = opened.locate(index)
            assert (member.size_bytes, member.crc32) == (info.file_size, info.CRC)
            assert data[member.data_offset :][: member.packed_bytes] or not info.compress_size
    opened.settle()
    assert {problem.rule for problem in opened.problems} <= {"traversal", "duplicate-name"}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_archive_is_never_a_surprise(draw: st.DataObject) -> None:
    data = bytearray(torch_archive(2, pickled=WEAPON))
    for _ in range(draw.draw(st.integers(1, 3))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    assert inspect(bytes(data)).verdict is not Verdict.CLEAN
