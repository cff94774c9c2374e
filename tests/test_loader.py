"""Tensors straight from the store: the values are the reference library's, and no unproven byte is handed out."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save

from tests.support.cases import each
from tests.support.loading import Depot, Lying, lying_node, race, race_files
from weighbridge.core.digests import CHUNK_BYTES
from weighbridge.core.errors import (
    Ambiguous,
    ConfigError,
    DigestMismatch,
    Expired,
    IntegrityError,
    Malformed,
    MissingShard,
    NotFound,
    NothingCollected,
    Revoked,
    RolledBack,
    SignatureInvalid,
    StatementMismatch,
    StoreError,
)
from weighbridge.serve.loader import VerifiedTensors, open_tensors
from weighbridge.serve.loading import memory
from weighbridge.serve.loading.memory import CODES, Memory
from weighbridge.serve.loading.node import Node
from weighbridge.serve.loading.trust import Trust, read_trust

TORCH = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "U16": torch.uint16,
    "U32": torch.uint32,
    "U64": torch.uint64,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "F32": torch.float32,
    "F64": torch.float64,
    "BF16": torch.bfloat16,
    "C64": torch.complex64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F8_E8M0": torch.float8_e8m0fnu,
    "F4": torch.float4_e2m1fn_x2,
}
RACES = 500
"""`python -m benchmarks.loading races` runs 10,000 and more."""
NUMPY = ("BOOL", "U8", "U16", "U32", "U64", "I8", "I16", "I32", "I64", "F16", "F32", "F64", "C64")
SIDE = 1_300
"""A square of this side in F32 is less than a chunk, two are more: chunks are shared and tensors lie in several."""


def raw(tensor: torch.Tensor) -> bytes:
    """A tensor's bytes."""
    return bytes(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()) if tensor.numel() else b""


def of_bytes(dtype: torch.dtype, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """A tensor of arbitrary bits."""
    count = int(numpy.prod(shape)) * dtype.itemsize
    bits = torch.from_numpy(
        numpy.random.default_rng(seed).integers(0, 2 if dtype is torch.bool else 256, count, "uint8")
    )
    return bits.view(dtype).reshape(shape)


def shards() -> dict[str, bytes]:
    """Three shards, their index, and a file that the index does not name."""
    parts: list[dict[str, torch.Tensor]] = [
        {f"types.{name}": of_bytes(dtype, (3, 8), number) for number, (name, dtype) in enumerate(TORCH.items())},
        {f"square.{number}": of_bytes(torch.float32, (SIDE, SIDE), number) for number in range(3)},
        {
            "long": of_bytes(torch.bfloat16, (CHUNK_BYTES + 4_321,), 9),
            "scalar": torch.tensor(2.5),
            "empty": torch.zeros((0, 7)),
        },
    ]
    files, index = {}, {}
    for number, tensors in enumerate(parts, start=1):
        path = f"model-{number:05}-of-00003.safetensors"
        files[path] = save(tensors, metadata={"format": "pt"})
        index.update(dict.fromkeys(tensors, path))
    files["model.safetensors.index.json"] = json.dumps({"metadata": {}, "weight_map": index}).encode()
    files["consolidated.safetensors"] = save({"square.0": torch.ones(2)})
    files["config.json"] = b'{"model_type": "llama"}'
    return files


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a node remembers goes nowhere near the tester's own."""
    monkeypatch.setenv("WEIGHBRIDGE_STATE", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def depot(tmp_path_factory: pytest.TempPathFactory) -> Depot:
    """An approved store with a model in shards, shared by tests that leave it as it is."""
    found = Depot(tmp_path_factory.mktemp("depot"))
    found.approve(shards())
    return found


@pytest.fixture(scope="module")
def node(depot: Depot) -> Iterator[Node]:
    """A node of that store."""
    with depot.node() as opened:
        yield opened


@pytest.fixture
def tensors(node: Node) -> Iterator[VerifiedTensors]:
    """The tensors of that model."""
    with VerifiedTensors(node, node.resolve("acme/tiny")) as opened:
        yield opened


@pytest.fixture(scope="module")
def expected(depot: Depot) -> dict[str, torch.Tensor]:
    """What safetensors itself reads."""
    manifest = depot.manifests["acme/tiny"]
    found = {}
    for path in (f"model-{number:05}-of-00003.safetensors" for number in (1, 2, 3)):
        with safe_open(depot.path(manifest, path), "pt") as file:
            found.update({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 (no mapping)
    return found


# --- values -------------------------------------------------------------------------------------


def test_torch_gets_what_safetensors_reads(tensors: VerifiedTensors, expected: dict[str, torch.Tensor]) -> None:
    got = {name: torch.from_dlpack(tensor) for name, tensor in tensors.stream()}
    assert got.keys() == expected.keys() == set(tensors)
    for name, tensor in expected.items():
        assert (got[name].dtype, got[name].shape) == (tensor.dtype, tensor.shape)
        assert raw(got[name]) == raw(tensor), name


def test_numpy_gets_the_types_it_knows_and_bytes_of_the_others(
    tensors: VerifiedTensors, expected: dict[str, torch.Tensor]
) -> None:
    for dtype in TORCH:
        tensor, name = tensors[f"types.{dtype}"], f"types.{dtype}"
        assert (tensor.dtype, tensor.shape) == (dtype, (3, 16) if dtype == "F4" else (3, 8))
        if dtype in NUMPY:
            assert numpy.array_equal(numpy.from_dlpack(tensor), expected[name].numpy(), equal_nan=dtype[0] in "FC")
            continue
        with pytest.raises((BufferError, RuntimeError)):
            numpy.from_dlpack(tensor)
        assert bytes(tensor.data) == raw(expected[name])


def test_tensors_are_found_by_name_in_any_order(tensors: VerifiedTensors, expected: dict[str, torch.Tensor]) -> None:
    for name in sorted(expected, reverse=True):
        assert raw(torch.from_dlpack(tensors[name])) == raw(expected[name])
    some = dict(tensors.stream(["long", "types.BF16", "square.1"]))
    assert list(some) == ["types.BF16", "square.1", "long"]
    assert len(tensors) == len(expected)
    assert "nothing" not in tensors
    with pytest.raises(KeyError):
        tensors["nothing"]


@each("memory_bytes", (1, 10 * 1024 * 1024, 1 << 30))
def test_little_memory_changes_nothing_but_the_speed(
    node: Node, expected: dict[str, torch.Tensor], memory_bytes: int
) -> None:
    with VerifiedTensors(node, node.resolve("acme/tiny"), memory_bytes=memory_bytes, streams=2) as tensors:
        assert {name: raw(torch.from_dlpack(one)) for name, one in tensors.stream()} == {
            name: raw(tensor) for name, tensor in expected.items()
        }


def test_tensors_and_chunks_may_meet_in_any_way(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.support.small_chunks", "7", "15"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "60\n"), ran.stderr


def test_other_files_are_proven_as_well(tensors: VerifiedTensors) -> None:
    assert json.loads(tensors.read_file("config.json")) == {"model_type": "llama"}
    with pytest.raises(NotFound):
        tensors.read_file("../config.json")


def test_files_that_are_named_are_read_instead(node: Node) -> None:
    with VerifiedTensors(node, node.resolve("acme/tiny"), files=["consolidated.safetensors"]) as tensors:
        assert torch.from_dlpack(tensors["square.0"]).tolist() == [1.0, 1.0]
    with pytest.raises(ConfigError):
        VerifiedTensors(node, node.resolve("acme/tiny"), files=["config.json"])


# --- memory is handed over, once ----------------------------------------------------------------


def test_memory_is_handed_over_without_a_copy_and_once(tensors: VerifiedTensors) -> None:
    tensor = tensors["long"]
    address = torch.frombuffer(tensor.data, dtype=torch.uint8).data_ptr()
    gc.collect()
    taken = torch.from_dlpack(tensor)
    assert taken.data_ptr() == address
    assert address % memory.ALIGNMENT == 0
    with pytest.raises(BufferError, match="handed over before"):
        torch.from_dlpack(tensor)
    with pytest.raises(BufferError):
        _ = tensor.data
    before = taken.clone()
    del tensor
    gc.collect()
    assert torch.equal(taken.view(torch.int16), before.view(torch.int16))


def test_while_a_view_is_in_use_takers_get_copies(tensors: VerifiedTensors) -> None:
    tensor = tensors["types.F32"]
    view = tensor.data
    copies = [torch.from_dlpack(tensor) for _ in range(3)]
    copies[0].zero_()
    assert raw(copies[1]) == raw(copies[2]) == bytes(view)
    with pytest.raises(BufferError, match="copied"):
        tensor.__dlpack__(copy=False)


def test_a_capsule_outlives_its_tensor_and_one_that_nobody_takes_is_freed(tensors: VerifiedTensors) -> None:
    tensor = tensors["types.F32"]
    wanted = bytes(tensor.data)
    capsule = tensor.__dlpack__(max_version=(1, 0))
    with pytest.raises(BufferError, match="being handed over"):
        tensor.__dlpack__()
    del tensor
    gc.collect()
    assert raw(torch.from_dlpack(capsule)) == wanted
    for _ in range(3):
        offered = tensors["types.F32"].__dlpack__()
        del offered
    torch.from_dlpack(tensors["types.F32"])
    assert not memory._orphans


def test_a_tensor_that_dies_while_an_exception_unwinds_hides_nothing(tensors: VerifiedTensors) -> None:
    def fails() -> None:
        held = torch.from_dlpack(tensors["types.F32"])
        raise ValueError(f"of its own {held.shape}")

    with pytest.raises(ValueError, match="of its own"):
        fails()


def test_tensors_may_live_until_the_interpreter_ends(depot: Depot, tmp_path: Path) -> None:
    script = (
        "import sys, torch, numpy\n"
        "from weighbridge.serve.loader import open_tensors\n"
        "opened = open_tensors('acme/tiny', trust=sys.argv[1])\n"
        "kept = {name: torch.from_dlpack(tensor) for name, tensor in opened.stream()}\n"
        "also = numpy.from_dlpack(opened['types.F32'])\n"
        "mine, view, offered = opened['long'], opened['long'].data, opened['scalar'].__dlpack__()\n"
        "assert not {name for name in sys.modules if name.startswith(('weighbridge.cli', 'weighbridge.source', "
        "'weighbridge.inspectors', 'weighbridge.transfer', 'starlette'))}\n"
        "print(len(kept))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(depot.trust())],
        capture_output=True,
        text=True,
        env={"WEIGHBRIDGE_STATE": str(tmp_path), "PATH": ""},
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert int(ran.stdout) == 26


def test_every_type_of_safetensors_has_a_code_and_no_other_device_is_promised() -> None:
    from weighbridge.formats.safetensors import DTYPE_BITS

    assert CODES.keys() == DTYPE_BITS.keys()
    assert all(bits == DTYPE_BITS[name] for name, (_, bits, _) in CODES.items())
    room = Memory("F32", (2,), 8)
    assert room.hand_over(versioned=True, copy=None) is not None


def test_a_tensor_is_in_main_memory_and_nowhere_else(tensors: VerifiedTensors) -> None:
    assert tensors["scalar"].__dlpack_device__() == (1, 0)
    with pytest.raises(BufferError):
        tensors["scalar"].__dlpack__(dl_device=(2, 0))


# --- attacks ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Raced:
    """A node, the files of an older revision, and the bytes of the newer one's tensors."""

    node: Node
    older: dict[str, bytes]
    truth: dict[str, bytes]

    def run(self, seed: int) -> bool | None:
        """Whether a load that raced was whole; None when nobody interfered."""
        store, got = race(self.node.store, self.older, seed), {}
        try:
            with lying_node(self.node, store), VerifiedTensors(self.node, self.node.resolve("acme/raced")) as tensors:
                for name, tensor in tensors.stream():
                    got[name] = bytes(tensor.data)
            whole = got.keys() == self.truth.keys()
        except (IntegrityError, StoreError):
            whole = False
        assert all(self.truth[name] == data for name, data in got.items()), seed
        assert whole or store.lies, seed
        return whole if store.lies else None


def raced(depot: Depot, node: Node, **size: int) -> Raced:
    """A model that was approved in two revisions."""
    older, _ = race_files(0.5, **size)
    newer, truth = race_files(0.75, **size)
    depot.approve(older, name="acme/raced")
    depot.approve(newer, name="acme/raced")
    return Raced(node, older, truth)


@pytest.mark.fault
def test_no_race_hands_out_an_unverified_byte(tmp_path: Path) -> None:
    depot = Depot(tmp_path)
    depot.approve({"README.md": b"# words"})
    with depot.node() as node:
        small = raced(depot, node)
        outcomes = [small.run(seed) for seed in range(RACES)]
    assert outcomes.count(False) > RACES // 3
    assert outcomes.count(None) > RACES // 10


@pytest.mark.fault
def test_no_race_within_a_file_hands_out_an_unverified_byte(tmp_path: Path) -> None:
    depot = Depot(tmp_path)
    depot.approve({"README.md": b"# words"})
    with depot.node() as node:
        large = raced(depot, node, shards=1, elements=CHUNK_BYTES // 4 + 1)
        outcomes = [large.run(seed) for seed in range(12)]
    assert False in outcomes


@each("memory_bytes", (1, 10 * 1024 * 1024))
def test_no_more_is_read_ahead_than_memory_was_given(node: Node, memory_bytes: int) -> None:
    read: list[int] = []

    def answer(_key: str, start: int, end: int) -> None:
        read.append(end - start)

    store = Lying(node.store, answer)
    least = SIDE * SIDE * 4
    with (
        lying_node(node, store),
        VerifiedTensors(node, node.resolve("acme/tiny"), memory_bytes=memory_bytes, streams=1) as tensors,
    ):
        stream = tensors.stream(["square.0", "square.1", "square.2", "long"])
        next(stream)
        # The shards' first chunks for their headers, and what the first tensor lies in.
        assert least <= sum(read) <= least + memory_bytes + 4 * CHUNK_BYTES
        stream.close()


@pytest.mark.fault
@each("where", (0, CHUNK_BYTES - 1, CHUNK_BYTES, 2 * CHUNK_BYTES - 1))
def test_one_changed_bit_ends_the_load(tmp_path: Path, where: int) -> None:
    tmp_path /= str(where)
    depot = Depot(tmp_path)
    data = save({"w": torch.zeros(2 * CHUNK_BYTES, dtype=torch.uint8), "v": torch.zeros(3)})
    manifest = depot.approve({"model.safetensors": data})
    path = depot.path(manifest, "model.safetensors")
    changed = bytearray(data)
    changed[where] ^= 1
    path.write_bytes(changed)
    with (
        open_tensors("acme/tiny", trust=depot.trust(), streams=2) as tensors,
        pytest.raises(DigestMismatch, match=r"model\.safetensors"),
    ):
        list(tensors.stream())


def test_a_shorter_or_missing_object_is_refused(tmp_path: Path) -> None:
    depot = Depot(tmp_path)
    manifest = depot.approve({"model.safetensors": save({"w": torch.zeros(1000)})})
    path = depot.path(manifest, "model.safetensors")
    whole = path.read_bytes()
    for left in (whole[:-1], b"", None):
        path.unlink()
        if left is not None:
            path.write_bytes(left)
        with pytest.raises(IntegrityError) as refused, open_tensors("acme/tiny", trust=depot.trust()) as tensors:
            list(tensors.stream())
        assert f"models/acme/tiny/{manifest.revision}/model.safetensors" in refused.value.message
        assert "Restore the object" in refused.value.hint


INDEXES = {
    "not JSON": (b"{", Malformed),
    "nested too deeply": (b'{"a":' * 50_000, Malformed),
    "names no tensor": (b'{"weight_map": {}}', Malformed),
    "names numbers": (b'{"weight_map": {"w": 1}}', Malformed),
    "names what is not there": (b'{"weight_map": {"w": "other.safetensors"}}', MissingShard),
    "leads out of the folder": (b'{"weight_map": {"w": "../model.safetensors"}}', MissingShard),
    "names a pickle": (b'{"weight_map": {"w": "config.json"}}', MissingShard),
}


@each("case", INDEXES)
def test_an_index_that_misleads_is_refused(tmp_path: Path, case: str) -> None:
    tmp_path /= case
    depot = Depot(tmp_path)
    data, error = INDEXES[case]
    files = {"model.safetensors": save({"w": torch.zeros(4)}), "config.json": b"{}"}
    depot.approve({**files, "model.safetensors.index.json": data})
    with pytest.raises(error):
        open_tensors("acme/tiny", trust=depot.trust())


def test_a_tensor_that_is_not_where_the_index_says_is_no_tensor(tmp_path: Path) -> None:
    depot = Depot(tmp_path)
    index = json.dumps({"weight_map": {"w": "a.safetensors", "v": "a.safetensors"}}).encode()
    depot.approve({"a.safetensors": save({"w": torch.zeros(4)}), "model.safetensors.index.json": index})
    with open_tensors("acme/tiny", trust=depot.trust()) as tensors, pytest.raises(KeyError):
        tensors["v"]


def test_two_shards_with_one_name_are_ambiguous(tmp_path: Path) -> None:
    depot = Depot(tmp_path)
    depot.approve({f"{one}.safetensors": save({"w": torch.zeros(4)}) for one in "ab"})
    with open_tensors("acme/tiny", trust=depot.trust()) as tensors, pytest.raises(Ambiguous):
        list(tensors.stream())


def test_a_model_without_safetensors_is_no_model_here(tmp_path: Path) -> None:
    depot = Depot(tmp_path)
    depot.approve({"pytorch_model.bin": b"x", "nested/w.safetensors": save({"w": torch.zeros(1)})})
    with pytest.raises(NotFound):
        open_tensors("acme/tiny", trust=depot.trust())
    with open_tensors("acme/tiny", trust=depot.trust(), files=["nested/w.safetensors"]) as tensors:
        assert list(tensors) == ["w"]


# --- what is trusted ----------------------------------------------------------------------------


def test_a_revoked_revision_is_refused(tmp_path: Path) -> None:
    depot = Depot(tmp_path)
    manifest = depot.approve({"model.safetensors": save({"w": torch.zeros(4)})})
    depot.writer.revoke(manifest.model_name, manifest.revision, "it was bad")
    with pytest.raises(Revoked):
        open_tensors("acme/tiny", trust=depot.trust())


def test_other_names_of_a_revision(tmp_path: Path) -> None:
    depot = Depot(tmp_path)
    manifest = depot.approve({"model.safetensors": save({"w": torch.zeros(4)})}, channel="staging")
    for reference in ("acme/tiny@staging", f"acme/tiny@{manifest.revision}"):
        with open_tensors(reference, trust=depot.trust()) as tensors:
            assert tensors.revision.manifest.digest == manifest.digest
    for reference, error in {
        "acme/tiny": NothingCollected,
        "acme/other@staging": NothingCollected,
        f"acme/tiny@{'0' * 40}": NothingCollected,
        f"acme/tiny@{manifest.revision[:12]}": ConfigError,
        "tiny": ConfigError,
    }.items():
        with pytest.raises(error):
            open_tensors(reference, trust=depot.trust())


def test_a_seal_by_another_key_is_refused(tmp_path: Path) -> None:
    from tests.support.admission import new_key
    from weighbridge.attest.keys import TrustedKeys

    depot = Depot(tmp_path)
    depot.approve({"model.safetensors": save({"w": torch.zeros(4)})})
    trust = depot.trust(keys=TrustedKeys().with_key(new_key().public_pem))
    with pytest.raises(SignatureInvalid):
        open_tensors("acme/tiny", trust=trust)


def test_an_index_that_is_older_than_the_trust_file_or_than_what_was_seen_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    depot = Depot(tmp_path / "depot")
    depot.approve({"model.safetensors": save({"w": torch.zeros(4)})})
    folder = tmp_path / "depot" / "approved" / "index"
    older = {path.name: path.read_bytes() for path in folder.iterdir()}
    depot.approve({"model.safetensors": save({"w": torch.ones(4)})})
    with open_tensors("acme/tiny", trust=depot.trust()) as tensors:
        assert torch.from_dlpack(tensors["w"]).tolist() == [1.0] * 4
    with pytest.raises(RolledBack, match="trust file"):
        open_tensors("acme/tiny", trust=depot.trust(index_version=99))
    for name, data in older.items():
        (folder / name).write_bytes(data)
    with pytest.raises(RolledBack):
        open_tensors("acme/tiny", trust=depot.trust())


def test_a_node_that_cannot_remember_says_so(depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEIGHBRIDGE_STATE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null/nowhere")
    with open_tensors("acme/tiny", trust=depot.trust()) as tensors:
        assert not tensors.remembers
    monkeypatch.setenv("WEIGHBRIDGE_STATE", "/dev/null/nowhere")
    with pytest.raises(ConfigError, match="state"):
        open_tensors("acme/tiny", trust=depot.trust())


def test_an_expired_index_is_refused(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    from weighbridge.admit.index_state import trust_folder
    from weighbridge.admit.index_writer import IndexWriter

    depot = Depot(tmp_path)
    then = datetime(2020, 1, 1, tzinfo=UTC).isoformat().replace("+00:00", "Z")
    depot.writer = IndexWriter(depot.store, depot.key, trust_folder(tmp_path / "long-ago", depot.store), lambda: then)
    depot.approve({"model.safetensors": save({"w": torch.zeros(4)})})
    with pytest.raises(Expired):
        open_tensors("acme/tiny", trust=depot.trust())


def test_a_trust_file_that_is_not_the_pinned_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    depot = Depot(tmp_path)
    depot.approve({"model.safetensors": save({"w": torch.zeros(4)})})
    monkeypatch.setenv("WEIGHBRIDGE_TRUST", str(depot.trust()))
    monkeypatch.setenv("WEIGHBRIDGE_TRUST_SHA256", "0" * 64)
    with pytest.raises(StatementMismatch, match="pinned"):
        open_tensors("acme/tiny")
    monkeypatch.delenv("WEIGHBRIDGE_TRUST_SHA256")
    with open_tensors("acme/tiny") as tensors:
        assert tensors.remembers


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(place=st.floats(0, 1, exclude_max=True), how=st.sampled_from(("cut", "changed", "longer")))
def test_a_damaged_trust_file_is_a_mistake_of_configuration(
    depot: Depot, tmp_path: Path, place: float, how: str
) -> None:
    whole = depot.trust().read_bytes()
    assert Trust.from_bytes(whole).to_bytes() == whole
    where = int(place * len(whole))
    damaged = {"cut": whole[:where], "changed": whole[:where] + b"\xff" + whole[where + 1 :], "longer": whole + b"x"}
    file = tmp_path / "trust.json"
    file.write_bytes(damaged[how])
    with pytest.raises(ConfigError):
        read_trust(file)
