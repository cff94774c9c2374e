"""Ordinary artifacts are shown to few inspectors: the others would have had nothing to say."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support import archive_corpus, gguf_corpus, pickles, safetensors_corpus
from tests.support.benign_pack import packed
from tests.support.fuzzing import TARGETS, mutated, seeds
from tests.support.inspecting import Bytes, subject_of
from weighbridge.core.errors import FormatError, IntegrityError
from weighbridge.inspectors.registry import INSPECTORS, ORDINARY, Deferred
from weighbridge.inspectors.subject import Subject


def artifacts() -> Iterator[tuple[str, bytes]]:
    """Honest and hostile ones, and damaged ones, of the kinds in question, under every ending in question."""
    endings = sorted({suffix for _, suffix in ORDINARY})
    for part in packed().values():
        for control in part[::12]:
            yield from ((f"model{ending}", control.data) for ending in endings[:: 1 + len(control.data) // 2_000])
    for case in archive_corpus.corpus():
        yield from ((f"a{ending}", case.data) for ending in (".zip", ".pt", ".bin", ""))
    yield from (("m.gguf", data) for _, data, *_ in gguf_corpus.hostile())
    yield from (("m.safetensors", data) for _, data, *_ in safetensors_corpus.hostile())
    yield from (("m.bin", data) for _, data, _ in pickles.corpus())
    source = random.Random(7)
    for target in ("pickle", "torch", "safetensors", "gguf", "npy", "zip"):
        for number in range(60):
            yield TARGETS[target][0], mutated(seeds(target)[number % len(seeds(target))], source)


def test_the_others_have_nothing_to_say() -> None:
    asked = 0
    for path, data in artifacts():
        subject = subject_of(Bytes(path, data))
        if (names := ORDINARY.get((subject.kind.name, subject.suffix))) is None:
            continue
        asked += 1
        for inspector in INSPECTORS:
            if inspector.name not in names:
                assert _report(inspector, subject) is None, (path, inspector.name)
    assert asked > 500


def _report(inspector: object, subject: Subject) -> object:
    try:
        return inspector.inspect(subject)  # type: ignore[attr-defined]
    except (FormatError, IntegrityError) as error:
        return error


def test_every_inspector_goes_by_its_own_name() -> None:
    names = [inspector.name for inspector in INSPECTORS]
    assert len(set(names)) == len(names)
    for inspector in INSPECTORS:
        if isinstance(inspector, Deferred):
            assert inspector.load().name == inspector.name
    assert {name for chosen in ORDINARY.values() for name in chosen} <= set(names)


@pytest.mark.parametrize(("name", "data"), [("m.safetensors", b"\x02" + bytes(7) + b"{}"), ("config.json", b"{}")])
def test_few_modules_are_imported_for_few_kinds(name: str, data: bytes) -> None:
    code = (
        "import sys\nfrom tests.support.inspecting import Bytes\n"
        "from weighbridge.inspectors.registry import inspect_artifact\n"
        f"inspect_artifact(Bytes({name!r}, {data!r}))\n"
        "print('weighbridge.inspectors.graphs.hdf5' in sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == str(name == "config.json")
