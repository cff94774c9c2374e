"""The smaller families of model formats: every hostile file by its rule, no honest one stopped, no byte that breaks it."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import zipfile

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import model_bytes as b
from tests.support.cases import each
from tests.support.honest_models import honest
from tests.support.hostile_models import hostile
from tests.support.inspecting import Bytes, examined
from weighbridge.core.errors import FormatError, IntegrityError
from weighbridge.core.finding import Report, Severity, Verdict
from weighbridge.inspectors import registry
from weighbridge.inspectors.all_rules import RULES as ALL_RULES
from weighbridge.inspectors.subject import Inspected, Subject

HOSTILE = hostile()
HONEST = honest()
NAMES = frozenset(
    [
        "boosters",
        "coreml",
        "columnar",
        "data-stores",
        "device-engines",
        "executables",
        "java",
        "older-frameworks",
        "r-data",
        "skops",
        "tokenizer-files",
        "xml-models",
        "yaml",
    ]
)
INSPECTORS = tuple(inspector for inspector in registry.INSPECTORS if inspector.name in NAMES)
RULES = tuple(rule for rule in ALL_RULES.values() if rule.inspector in NAMES)
BY_ID = {rule.id: rule for rule in RULES}
SAMPLES = [(path, data) for _, path, data, _ in HOSTILE] + [(path, data) for _, path, data in HONEST]


def reports_on(path: str, data: bytes) -> list[Report]:
    """What the inspectors of these families say; one that could not answer says nothing, and `failures` tells."""
    said = []
    for inspector in INSPECTORS:
        report = inspector.inspect(Subject(Bytes(path, data), lambda _: Inspected(())))
        if report is not None:
            said.append(report)
    return said


def rules_of(path: str, data: bytes) -> set[str]:
    return {finding.rule for report in reports_on(path, data) for finding in report.findings}


def stopped(path: str, data: bytes) -> bool:
    """Whether anything at all is said against it, or it is not known to be clean."""
    found = examined(path, data)
    return found.verdict is not Verdict.CLEAN or any(report.findings for report in found.reports)


def test_the_corpora_are_large_enough() -> None:
    assert len(HOSTILE) >= 400
    assert len(HONEST) >= 95
    assert len({name for name, *_ in HOSTILE}) > 350


def test_rule_ids_are_unique_and_each_has_a_hostile_file() -> None:
    assert len(BY_ID) == len(RULES)
    shown = {rule for _, _, _, rules in HOSTILE for rule in rules.split()}
    assert BY_ID.keys() - shown == set()


@each(("name", "path", "data", "rules"), HOSTILE, ids=[case[0] for case in HOSTILE])
def test_a_hostile_file_breaks_exactly_its_rules(name: str, path: str, data: bytes, rules: str) -> None:
    try:
        found = rules_of(path, data)
    except FormatError:
        found = set()
        assert not rules
    assert found == set(rules.split())
    whole = examined(path, data)
    assert whole.verdict is not Verdict.CLEAN or any(report.findings for report in whole.reports)
    if any(BY_ID[rule].severity >= Severity.HIGH for rule in rules.split()):
        assert whole.verdict is Verdict.BAD


@each(("name", "path", "data"), HONEST, ids=[case[0] for case in HONEST])
def test_an_honest_file_is_clean_to_its_last_byte_without_a_word(name: str, path: str, data: bytes) -> None:
    (report,) = reports_on(path, data)
    assert report.findings == ()
    assert report.settled_verdict is Verdict.CLEAN
    assert report.coverage.inspected_bytes == len(data)


# What is only cut or continued may be made whole again by the very byte.
LASTING = [case for case in HOSTILE if not case[3].endswith(("-broken", "-trailing-data"))]


@each(("name", "path", "data", "rules"), LASTING, ids=[case[0] for case in LASTING])
def test_one_byte_less_or_more_does_not_let_it_pass(name: str, path: str, data: bytes, rules: str) -> None:
    for other in (data[:-1], data + b"\x00", data + b"\n"):
        assert stopped(path, other), f"{len(other)} of {len(data)} bytes"


@each(("name", "path", "data"), HONEST, ids=[case[0] for case in HONEST])
def test_a_reader_that_gives_less_than_promised_is_noticed(name: str, path: str, data: bytes) -> None:
    for inspector in INSPECTORS:
        reader = Bytes(path, data, claimed=len(data) + 70_001)
        subject = Subject(reader, lambda _: Inspected(()))
        subject.__dict__["head"] = data[: 8 * 1024]
        try:
            report = inspector.inspect(subject)
        except (FormatError, IntegrityError):
            continue
        assert report is None or report.settled_verdict is not Verdict.CLEAN or report.findings


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.sampled_from(range(len(SAMPLES))), st.randoms(use_true_random=False), st.integers(1, 12))
def test_no_mutation_breaks_an_inspector(index: int, chance: random.Random, count: int) -> None:
    path, data = SAMPLES[index]
    changed = bytearray(data[:20_000])
    for _ in range(count):
        place = chance.randrange(len(changed)) if changed else 0
        match chance.randrange(4):
            case 0:
                changed[place : place + 1] = bytes((chance.randrange(256),))
            case 1:
                changed[place : place + 4] = chance.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00" * 4))
            case 2:
                del changed[place : place + chance.randrange(1, 9)]
            case _:
                changed[place:place] = bytes(changed[place : place + chance.randrange(1, 40)])
    for inspector in INSPECTORS:
        reader = Bytes(path, bytes(changed))
        with contextlib.suppress(FormatError, IntegrityError):
            inspector.inspect(Subject(reader, lambda _: Inspected(())))
        assert len(reader.reads) <= 4 * len(changed) + 64
        assert reader.read_bytes <= 64 * len(changed) + 1_000_000


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(sorted({path for path, _ in SAMPLES})))
def test_noise_under_any_name_is_answered(noise: bytes, path: str) -> None:
    for _, sample_path, data in HONEST[:40:4]:
        if sample_path == path:
            noise = data[:8] + noise
    for inspector in INSPECTORS:
        with contextlib.suppress(FormatError, IntegrityError):
            inspector.inspect(Subject(Bytes(path, noise), lambda _: Inspected(())))


# --- bounds --------------------------------------------------------------------------------------


def test_counts_that_promise_the_moon_cost_nothing() -> None:
    huge = struct.pack(">i", 0x7FFFFFFF)
    assert rules_of("m.rds", b.R_HEAD + b.word(19) + huge) == {"r-broken"}
    assert rules_of("m.rds", b.R_HEAD + b.word(14) + huge) == {"r-broken"}
    assert "xgboost-broken" in rules_of("m.ubj", b"{L" + bytes(7) + b"\x01a[$D#L" + b"\x00\x00\x00\x00\x00\x01\x00\x00")
    assert rules_of("m.pte", b"\x10\x00\x00\x00ET12" + b"\xff" * 40) == {"executorch-broken"}
    assert rules_of("m.params", struct.pack("<QQQ", 0x112, 0, 1) + struct.pack("<Ii", 0xF993FAC9, 0) + b"\xff" * 8) == {
        "mxnet-broken"
    }


def test_items_deeper_than_any_model_end_the_walk_and_not_the_process() -> None:
    for data in (b.r_data(b.word(19, 1) * 5_000 + b.NIL), b"{L" + bytes(7) + b"\x01a" + b"[" * 5_000):
        path = "m.rds" if data.startswith(b"X") else "m.ubj"
        assert stopped(path, data)


def test_a_table_of_fields_that_refer_to_each_other_ends() -> None:
    shared = bytearray(b.flat_buffer({0: 1, 1: [{0: "x"}]}, b"ET12"))
    assert not stopped("m.pte", bytes(shared))
    plan: dict[int, b.Flat] = {6: [{0: "aten::add"}] * 2_000}
    assert not stopped("m.pte", b.flat_buffer({0: 1, 1: [plan]}, b"ET12"))


def test_a_tag_longer_than_any_ends_the_reading() -> None:
    text = b'<net name="' + b"x" * (6 * 1024 * 1024) + b'"/>'
    reader = Bytes("m.xml", text)
    assert rules_of("m.xml", text) == {"xml-limit"}
    assert reader.size_bytes > 4 * 1024 * 1024


def test_yaml_too_large_to_be_parsed_is_said_to_be() -> None:
    text = b"a: 'x! y'\n" * 30_000
    assert rules_of("c.yaml", text) == {"yaml-not-understood"}
    assert rules_of("c.yaml", b"a: [1, 2, 3]\n" * 30_000) == set()
    assert "yaml-python-tag" in rules_of("c.yaml", text + b"b: !!python/object/apply:os.system [id]\n")


def test_numbers_are_not_read() -> None:
    data = b.paddle_tensor([1000, 1000], bytes(4_000_000))
    reader = Bytes("m.pdiparams", data)
    (report,) = [r for i in INSPECTORS if (r := i.inspect(Subject(reader, lambda _: Inspected(())))) is not None]
    assert report.settled_verdict is Verdict.CLEAN
    assert reader.read_bytes < 400_000


def test_facts_name_the_files_a_model_needs() -> None:
    layer = '<layer id="0" name="c" type="Const" version="opset1"><data offset="16" size="8"/></layer>'
    net = f'<net name="m" version="11"><layers>{layer}</layers></net>'.encode()
    found = examined("onnx/openvino_model.xml", net)
    assert found.values("file-reference") == {"openvino weights": "openvino_model.bin"}
    assert found.values("openvino-weights-bytes") == {"openvino_model.bin": "24"}


def test_a_member_of_an_archive_is_judged_like_a_file() -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\nPremain-Class: a.B\n")
        archive.writestr("a/B.class", b"\xca\xfe\xba\xbe\x00\x00\x00\x3d" + bytes(30))
    found = {finding.rule for report in examined("udf.jar", held.getvalue()).reports for finding in report.findings}
    assert {"java-start-class", "java-class"} <= found
