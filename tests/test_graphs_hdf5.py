"""HDF5: files that reach out, run or hide do not pass; what h5py, Keras, pandas and PyTables write does."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import zipfile

import pytest

from tests.support.cases import each
from tests.support.graphs import stored
from tests.support.inspecting import Bytes, answer, examined, subject_of
from weighbridge.core.errors import FormatError, IntegrityError
from weighbridge.core.finding import Verdict
from weighbridge.inspectors.graphs.hdf5 import Hdf5

BAD = Verdict.BAD
UNKNOWN = Verdict.UNKNOWN
PLAIN = stored("plain.h5")


def zip_of(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, b"x")
    return out.getvalue()


def patched(data: bytes, at: int, *new: bytes) -> bytes:
    put = b"".join(new)
    return data[:at] + put + data[at + len(put) :]


def grown(data: bytes, more: bytes) -> bytes:
    """With bytes at the end that the superblock counts in."""
    return patched(data, 40, struct.pack("<Q", len(data) + len(more))) + more


def layout_address(data: bytes, nth: int = 0) -> int:
    """Where a contiguous layout (version 3, class 1) keeps its address."""
    at = -1
    for _ in range(nth + 1):
        at = data.index(b"\x08\x00\x18\x00\x00\x00\x00\x00\x03\x01", at + 1)
    return at + 10


def moved(data: bytes, nth: int, address: int) -> bytes:
    return patched(data, layout_address(data, nth), struct.pack("<Q", address))


def address_of(data: bytes, nth: int) -> int:
    at = layout_address(data, nth)
    return struct.unpack("<Q", data[at : at + 8])[0]


TREE = PLAIN.index(b"TREE")
SNOD = PLAIN.index(b"SNOD")
HEAP = PLAIN.index(b"HEAP")
CASES: tuple[tuple[str, bytes, str, Verdict], ...] = (
    *((name, stored(f"{name}.h5"), rule, verdict) for name, rule, verdict in (
        ("external-storage", "hdf5-external-storage", BAD), ("external-storage-relative", "hdf5-external-storage", BAD),
        ("external-link", "hdf5-external-link", BAD), ("external-link-nested", "hdf5-external-link", BAD),
        ("virtual", "hdf5-virtual-dataset", BAD), ("bomb", "hdf5-shape-bomb", BAD), ("bomb-compressed", "hdf5-shape-bomb", BAD),
        ("bomb-contiguous", "hdf5-shape-bomb", BAD), ("filter-unknown", "hdf5-filter", UNKNOWN), ("filter-unknown-low", "hdf5-filter", UNKNOWN),
        ("keras-bytes", "keras-bytecode", BAD), ("keras-text", "keras-bytecode", BAD), ("keras-elsewhere", "keras-bytecode", BAD),
        ("keras-dense", "keras-bytecode", BAD), ("keras-escaped", "keras-bytecode", BAD), ("keras-import", "keras-import", BAD),
        ("keras-torch", "keras-loads-code", BAD), ("keras-training", "keras-function", BAD), ("keras-custom", "keras-custom-object", UNKNOWN),
        ("lambda", "keras-bytecode", BAD), ("lam2", "keras-bytecode", BAD), ("deleted", "hdf5-unaccounted", UNKNOWN),
    )),
    ("trailing", PLAIN + b"payload", "hdf5-trailing-data", BAD),
    ("trailing zeros", PLAIN + bytes(100), "hdf5-trailing-data", BAD),
    ("cut in the data", PLAIN[:-1], "hdf5-not-readable", BAD),
    ("cut after the data", patched(PLAIN, 40, struct.pack("<Q", len(PLAIN) + 8)), "hdf5-truncated", BAD),
    ("zip behind", PLAIN + zip_of("a"), "hdf5-trailing-data hdf5-polyglot hdf5-hidden-content", BAD),
    ("zip behind, counted in", grown(PLAIN, zip_of("a")), "hdf5-hidden-content hdf5-polyglot", BAD),
    ("program hidden", grown(PLAIN, b"\x7fELF\x02\x01\x01" + bytes(60)), "hdf5-hidden-content", BAD),
    ("pickle hidden", grown(PLAIN, b"\x80\x04\x95\x0b\0\0\0\0\0\0\0\x8c\x02os."), "hdf5-hidden-content", BAD),
    ("noise hidden", grown(PLAIN, b"\x01\x02\x03\x04 noise"), "hdf5-unaccounted", UNKNOWN),
    ("script in the user block", patched(stored("user-block-empty.h5"), 0, b"#!/bin/sh\nid\n"), "hdf5-polyglot", BAD),
    ("pickle in the user block", patched(stored("user-block-empty.h5"), 0, b"cos\nsystem\n(S'id'\ntR."), "hdf5-polyglot", BAD),
    ("bytes in the user block", patched(stored("user-block-empty.h5"), 0, bytes(range(1, 200))), "hdf5-polyglot", BAD),
    ("data on data", moved(PLAIN, 1, address_of(PLAIN, 0)), "hdf5-overlap", BAD),
    ("data on the superblock", moved(PLAIN, 0, 0), "hdf5-overlap", BAD),
    ("data beyond the end", moved(PLAIN, 0, len(PLAIN) + 8), "hdf5-not-readable", BAD),
    ("address that wraps", moved(PLAIN, 0, (1 << 64) - 16), "hdf5-not-readable", BAD),
    ("tree in circles", patched(PLAIN, TREE + 5, b"\x01\x01\x00", bytes(16), bytes(8), struct.pack("<Q", TREE)), "hdf5-not-readable", BAD),
    ("tree of another kind", patched(PLAIN, TREE + 4, b"\x01"), "hdf5-not-readable", BAD),
    ("tree that holds too much", patched(PLAIN, TREE + 6, b"\xff\xff"), "hdf5-not-readable", BAD),
    ("no tree", patched(PLAIN, TREE, b"EERT"), "hdf5-not-readable", BAD),
    ("symbols that hold too much", patched(PLAIN, SNOD + 6, b"\xff\xff"), "hdf5-not-readable", BAD),
    ("name outside its heap", patched(PLAIN, SNOD + 8, b"\xff\xff\xff\xff"), "hdf5-not-readable", BAD),
    ("heap of any size", patched(PLAIN, HEAP + 8, b"\xff" * 8), "hdf5-not-readable", BAD),
    ("no header", patched(PLAIN, SNOD + 16, struct.pack("<Q", 8)), "hdf5-not-readable", BAD),
    ("superblock of the future", patched(PLAIN, 8, b"\x09"), "hdf5-not-understood", UNKNOWN),
    ("addresses of 4 bytes", patched(PLAIN, 13, b"\x04\x04"), "hdf5-not-understood", UNKNOWN),
)  # fmt: skip


@each(("data", "rules", "verdict"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_hostile_file_breaks_its_rule(data: bytes, rules: str, verdict: Verdict) -> None:
    report = answer(Hdf5(), Bytes("model.h5", data))
    assert report is not None
    worst = max(finding.severity for finding in report.findings)
    assert {finding.rule for finding in report.findings if finding.severity is worst} == set(rules.split())
    assert report.settled_verdict is verdict
    assert examined("model.h5", data).verdict is not Verdict.CLEAN


@pytest.mark.parametrize(
    "name",
    ["attribute", "attribute-text", "attribute-void", "attribute-group", "attribute-dense", "vlen", "dataset-bytes",
     "dataset-void", "dataset-string"],
)  # fmt: skip
def test_a_pickle_in_the_file_is_inspected_as_one(name: str) -> None:
    found = examined("model.h5", stored(f"pickle-{name}.h5"))
    rules = {finding.rule for report in found.reports for finding in report.findings}
    assert found.verdict is BAD
    assert "pickle-dangerous-callable" in rules


BENIGN = (
    *("plain", "chunked", "latest", "tracked", "many", "hard-links", "committed", "user-block-empty"),
    *("pd-blosc", "pd-fixed", "pd-obj", "pd-table", "tables", "seq", "seq2", "func.weights", "tfop"),
)


@each("name", BENIGN)
def test_what_honest_writers_write_is_clean(name: str) -> None:
    data = stored(f"{name}.h5")
    report = answer(Hdf5(), Bytes("model.h5", data))
    assert report is not None
    assert (report.findings, report.settled_verdict) == ((), Verdict.CLEAN)
    assert report.coverage.complete
    found = examined("model.h5", data)
    assert found.verdict is Verdict.CLEAN, [one for one in found.reports if one.settled_verdict is not Verdict.CLEAN]


def test_a_soft_link_is_worth_a_word() -> None:
    report = answer(Hdf5(), Bytes("model.h5", stored("soft-link.h5")))
    assert report is not None
    assert {finding.rule for finding in report.findings} == {"hdf5-soft-link"}
    assert report.settled_verdict is Verdict.CLEAN


def test_text_in_the_user_block_is_worth_a_word() -> None:
    report = answer(Hdf5(), Bytes("model.h5", patched(stored("user-block-empty.h5"), 0, b"MATLAB 7.3 MAT-file")))
    assert report is not None
    assert {finding.rule for finding in report.findings} <= {"hdf5-user-block", "hdf5-polyglot"}
    assert report.findings


def test_what_is_not_read_is_said() -> None:
    data = stored("plain.h5")
    report = answer(Hdf5(), Bytes("x.bin", data))
    assert report is not None, "content decides, whatever the name"
    assert answer(Hdf5(), Bytes("x.h5", b"no HDF5 at all")) is None
    assert answer(Hdf5(), Bytes("x.h5", bytes(5000))) is None


def test_raw_data_is_inert() -> None:
    subject = subject_of(Bytes("m.h5", PLAIN))
    Hdf5().inspect(subject)
    assert sum(span.end - span.start for span in subject.inert_spans) == 800 + 8 * sum(range(1, 41))


def test_chunks_of_a_large_file_are_not_read() -> None:
    data = stored("pd-fixed.h5")
    reader = Bytes("m.h5", data)
    assert answer(Hdf5(), reader) is not None
    assert reader.read_bytes < 3 * len(data) + 300_000


@pytest.mark.parametrize("name", ["plain", "keras-dense", "latest", "chunked", "pd-table"])
def test_mutations_never_break_out(name: str) -> None:
    original, dice = stored(f"{name}.h5"), random.Random(5)
    for _ in range(40):
        data = bytearray(original)
        for _ in range(dice.randint(1, 8)):
            data[dice.randrange(min(len(data), 20_000))] = dice.choice((0, 1, 255, dice.randrange(256)))
        reader = Bytes("m.h5", bytes(data))
        with contextlib.suppress(FormatError, IntegrityError):
            answer(Hdf5(), reader)
        assert reader.read_bytes <= 40 * len(data) + 3_000_000


@pytest.mark.parametrize("name", ["keras-text", "external-link", "bomb", "virtual"])
def test_a_byte_more_or_less_never_makes_a_bad_file_clean(name: str) -> None:
    data = stored(f"{name}.h5")
    for changed in (data[:-1], data + b"\0", data + b"A"):
        report = answer(Hdf5(), Bytes("m.h5", changed))
        assert report is None or report.settled_verdict is not Verdict.CLEAN
