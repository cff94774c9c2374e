"""The signed index of channels: one test for each attack that TUF names, and for what a crash or a second writer can do."""

from __future__ import annotations

import functools
import http.server
import random
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp
from tuf.ngclient import Updater

from tests.conftest import Ran
from tests.support.indexes import (
    MANIFEST,
    OTHER,
    TINY,
    Attacker,
    Counted,
    Killed,
    Place,
    Watched,
    meta,
    revision,
    target,
)
from tests.support.seaweed import S3Server
from weighbridge.admit import index
from weighbridge.admit.channels import Channels, pending
from weighbridge.admit.index import ModelEntry, Pointed, SetChannel, bits_for, check_channel, role_of
from weighbridge.admit.index_keys import encoded, new_root, read_root, set_keys, sign_draft, tuf_key
from weighbridge.admit.index_reader import IndexReader
from weighbridge.admit.index_writer import IndexWriter
from weighbridge.attest.keys import LocalKey
from weighbridge.cli import app
from weighbridge.cli.channeling import channels_of
from weighbridge.cli.console import Output
from weighbridge.cli.settings import Home
from weighbridge.cli.yard import OpenYard
from weighbridge.core.config import StoreSettings
from weighbridge.core.errors import (
    ConfigError,
    Expired,
    LedgerError,
    LimitExceeded,
    NothingCollected,
    ObjectMissing,
    Revoked,
    RolledBack,
    SignatureInvalid,
    StatementMismatch,
    StoreUnreachable,
    TrustError,
    WeighbridgeError,
)
from weighbridge.core.layout import SEAL, record_key
from weighbridge.core.names import Address, ModelName
from weighbridge.store.ledger import Ledger, now_rfc3339
from weighbridge.store.s3 import S3Store
from weighbridge.wire.http import Http


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An index with one channel."""
    made = Place(tmp_path)
    made.point(1)
    return made


def seen(reader: IndexReader, channel: str = "production", model_name: ModelName = TINY) -> str:
    return reader.current().pointed(model_name, channel).revision


# --- what it is for -------------------------------------------------------------------------------


def test_a_reader_sees_what_was_set(place: Place) -> None:
    reader = place.reader()
    assert reader.current().pointed(TINY, "production") == Pointed(revision(1), MANIFEST, place.clock())
    place.point(2)
    place.point(3, "staging", OTHER)
    assert seen(reader) == revision(2)
    assert reader.find(OTHER).channels["staging"].revision == revision(3)
    assert reader.find(ModelName.parse("acme/none")) == ModelEntry(ModelName.parse("acme/none"))
    with pytest.raises(NothingCollected, match="no channel 'staging'"):
        reader.current().pointed(TINY, "staging")
    with pytest.raises(NothingCollected):
        reader.current().pointed(ModelName.parse("acme/none"), "production")


def test_nothing_changed_costs_one_small_read(place: Place) -> None:
    store = Counted(place.store)
    reader = place.reader(store=store)
    first = reader.current()
    store.reads.clear()
    store.heads.clear()
    store.read_bytes = 0
    assert reader.current() is first
    assert (store.reads, store.heads) == (["index/timestamp.json"], ["index/timestamp.json"])
    assert store.read_bytes < 1_000


def test_the_same_again_is_no_new_state(place: Place) -> None:
    version = place.writer.apply([SetChannel(TINY, "production", Pointed(revision(1), MANIFEST, place.clock()))])
    assert version == place.reader().current().version
    before = place.save()
    place.writer.apply([])
    assert place.save() == before


def test_a_revocation_is_seen_at_the_next_look(place: Place) -> None:
    reader = place.reader()
    assert seen(reader) == revision(1)
    place.writer.revoke(TINY, revision(1), "it was poisoned")
    with pytest.raises(Revoked, match="it was poisoned"):
        reader.current().pointed(TINY, "production")
    with pytest.raises(Revoked):
        reader.current().check(TINY, revision(1))
    assert reader.current().revoked == {(TINY, revision(1))}
    place.point(2)
    assert seen(reader) == revision(2)


@pytest.mark.parametrize("name", ["", "Production", "1a", "-a", "a-", "a b", "a/b", "cafe", "deadbeef", "a" * 65, "ä"])
def test_names_that_could_be_mistaken_are_no_channels(place: Place, name: str) -> None:
    with pytest.raises(ConfigError):
        place.point(2, name)
    check_channel("production-eu")


def test_a_reader_without_a_root_believes_nothing(place: Place) -> None:
    with pytest.raises(ConfigError, match="no root"):
        IndexReader(place.store, place.folder / "none", place.clock).current()


def test_without_an_index_there_is_no_answer(tmp_path: Path) -> None:
    empty = Place(tmp_path)
    full = Place(tmp_path / "other")
    full.point(1)
    with pytest.raises(ObjectMissing):
        IndexReader(empty.store, tmp_path / "trust", empty.clock, root=full.root).current()


def test_an_index_that_is_gone_is_not_an_empty_one(place: Place) -> None:
    readers = [place.reader(), place.reader()]
    readers[0].current()
    for name in place.save():
        place.store.delete(f"index/{name}")
    for one in readers:
        with pytest.raises((ObjectMissing, TrustError)):
            one.current()
    with pytest.raises((ObjectMissing, TrustError, ConfigError)):
        place.point(2)


# --- TUF's attacks ---------------------------------------------------------------------------------


def test_rollback(place: Place) -> None:
    reader = place.reader()
    old = place.save()
    place.writer.revoke(TINY, revision(1), "bad")
    reader.current()
    for name, data in old.items():
        place.plant(name, data)
    for one in (reader, place.reader("reader")):
        with pytest.raises(RolledBack):
            one.current()
    # A reader that never saw better takes the old state, but only until it expires.
    assert seen(place.reader("another")) == revision(1)
    place.clock.advance(hours=169)
    with pytest.raises(Expired):
        place.reader("another").current()


def test_rollback_is_noticed_by_another_process(place: Place) -> None:
    old = place.bytes("timestamp.json")
    place.point(2)
    (place.folder / "root.json").write_bytes(place.root)
    script = (
        "import sys; from pathlib import Path\n"
        "from weighbridge.admit.index_reader import IndexReader\n"
        "from weighbridge.store.folder import FolderStore\n"
        "folder = Path(sys.argv[1])\n"
        "reader = IndexReader(FolderStore(folder / 'approved'), folder / 'trust-process', lambda: sys.argv[2],\n"
        "                     root=(folder / 'root.json').read_bytes(), tries=1)\n"
        "try: print(reader.current().version)\n"
        "except Exception as error: print(type(error).__name__)\n"
    )
    command = [sys.executable, "-c", script, str(place.folder), place.clock()]
    run = functools.partial(subprocess.run, command, capture_output=True, text=True, check=True)
    assert run().stdout.strip() == "3"
    place.plant("timestamp.json", old)
    assert run().stdout.strip() == "RolledBack"


def test_a_writer_does_not_sign_what_was_rolled_back(place: Place) -> None:
    old = place.bytes("timestamp.json")
    place.writer.revoke(TINY, revision(1), "bad")
    place.plant("timestamp.json", old)
    with pytest.raises(RolledBack):
        place.point(2)


def test_freeze(place: Place) -> None:
    reader = place.reader()
    reader.current()
    place.clock.advance(hours=167)
    reader.current()
    place.clock.advance(hours=2)
    for one in (reader, place.reader("another")):
        with pytest.raises(Expired):
            one.current()
    place.writer.refresh()
    assert seen(reader) == revision(1)


def test_freeze_of_the_lists_alone(place: Place) -> None:
    reader = place.reader()
    place.clock.advance(days=200)
    place.writer.refresh()
    place.clock.advance(days=200)
    place.writer.refresh()
    assert seen(reader) == revision(1)
    place.clock.advance(days=366)
    place.writer.refresh()
    assert seen(place.fresh()) == revision(1)


def test_fast_forward_is_recovered_from_by_new_keys(place: Place) -> None:
    reader = place.reader()
    thief = Attacker(place, place.key)
    far = 1 << 52
    targets = thief.targets()
    targets.version = far
    thief.publish(targets, number=far)
    assert reader.current().version == far
    entries = [ModelEntry(TINY, {"production": Pointed(revision(5), MANIFEST, place.clock())})]
    fresh_key = place.new_key("fresh")
    metadata = read_root(place.root)
    set_keys(metadata.signed, [tuf_key(place.key.public_pem)], 1, [tuf_key(fresh_key.public_pem)])
    metadata.signed.version = 2
    metadata.signatures.clear()
    root = sign_draft(encoded(metadata), place.key)
    writer = IndexWriter(place.store, fresh_key, place.folder / "trust-home", place.clock)
    writer.rewrite(entries, writer.trusted_mark(), root=root)
    assert seen(reader) == revision(5)
    assert reader.current().version < far
    # What the thief signs is worth nothing any more.
    thief.publish(targets, number=far + 1)
    with pytest.raises(SignatureInvalid):
        reader.current()


def test_mix_and_match(place: Place) -> None:
    place.point(7, "production", OTHER)
    first = place.save()
    place.writer.revoke(TINY, revision(1), "bad")
    second = place.save()
    newest = max(int(name.split(".")[0]) for name in second if name.endswith("snapshot.json"))
    lists = max(int(name.split(".")[0]) for name in second if name.endswith("targets.json"))
    mixes = {
        "an older list under the newer name": {f"{lists}.targets.json": first[f"{lists - 1}.targets.json"]},
        "an older snapshot under the newer name": {f"{newest}.snapshot.json": first[f"{newest - 1}.snapshot.json"]},
        "both": {
            f"{lists}.targets.json": first[f"{lists - 1}.targets.json"],
            f"{newest}.snapshot.json": first[f"{newest - 1}.snapshot.json"],
        },
    }
    for what, shown in mixes.items():
        store = Counted(place.store, {f"index/{name}": data for name, data in shown.items()})
        with pytest.raises(StatementMismatch):
            pytest.fail(f"{what}: {place.fresh(store).current()}")


def test_mix_and_match_of_bins(tmp_path: Path) -> None:
    place = Place(tmp_path)
    names = [ModelName("acme", f"m{number}") for number in range(70)]
    place.writer.apply(
        [SetChannel(name, "production", Pointed(revision(1), MANIFEST, place.clock())) for name in names]
    )
    old = place.save()
    role = role_of(str(names[0]), 4)
    place.writer.revoke(names[0], revision(1), "bad")
    (newer,) = (name for name in place.save() if name not in old and role in name)
    (older,) = (name for name in old if role in name)
    reader = place.fresh(Counted(place.store, {f"index/{newer}": old[older]}))
    with pytest.raises(StatementMismatch):
        reader.current()
    with pytest.raises(StatementMismatch):
        reader.find(names[0])


def test_arbitrary_software(place: Place) -> None:
    stranger = Attacker(place, place.new_key("stranger"))
    targets = stranger.targets()
    targets.targets["acme/tiny"] = target("acme/tiny", ModelEntry(TINY).to_json())
    stranger.publish(targets, number=9)
    with pytest.raises(SignatureInvalid):
        place.reader().current()


def test_the_record_of_another_model(place: Place) -> None:
    """Even with a good signature, a record counts for the model that it names, under that model's name."""
    thief = Attacker(place, place.key)
    entry = ModelEntry(OTHER, {"production": Pointed(revision(9), MANIFEST, place.clock())})
    targets = thief.targets()
    targets.targets["acme/tiny"] = target("acme/tiny", entry.to_json())
    thief.publish(targets, number=9)
    with pytest.raises(StatementMismatch, match="another model"):
        place.reader().current()


def test_a_record_that_its_own_digest_does_not_name(place: Place) -> None:
    thief = Attacker(place, place.key)
    targets = thief.targets()
    entry = ModelEntry(TINY, {"production": Pointed(revision(9), MANIFEST, place.clock())})
    targets.targets["acme/tiny"].unrecognized_fields["custom"] = entry.to_json()
    thief.publish(targets, number=9)
    with pytest.raises(StatementMismatch, match="digest"):
        place.reader().current()


def test_a_model_in_the_bin_of_another(tmp_path: Path) -> None:
    place = Place(tmp_path)
    names = [ModelName("acme", f"m{number}") for number in range(70)]
    place.writer.apply(
        [SetChannel(name, "production", Pointed(revision(1), MANIFEST, place.clock())) for name in names]
    )
    thief = Attacker(place, place.key)
    wrong = next(role for role in (role_of(str(name), 4) for name in names) if role != role_of(str(TINY), 4))
    number = thief.present("timestamp.json").version
    listed = thief.present(f"{number}.snapshot.json").meta[f"{wrong}.json"]
    targets = thief.present(f"{listed.version}.{wrong}.json")
    targets.version += 1
    entry = ModelEntry(TINY, {"production": Pointed(revision(9), MANIFEST, place.clock())})
    targets.targets["acme/tiny"] = target("acme/tiny", entry.to_json())
    data = thief.sign(targets)
    place.plant(f"{targets.version}.{wrong}.json", data)

    def change(snapshot: Snapshot) -> None:
        snapshot.meta[f"{wrong}.json"] = meta(targets.version, data)

    thief.publish(thief.targets(), number=number + 1, change=change)
    with pytest.raises(StatementMismatch, match="does not belong"):
        place.reader().current()


def test_swapped_roles(place: Place) -> None:
    files = {"timestamp.json": Timestamp, "2.snapshot.json": Snapshot, "2.targets.json": Targets, "1.root.json": Root}
    for shown in files:
        for other in files:
            if shown in (other, "1.root.json"):
                continue
            reader = place.fresh(Counted(place.store, {f"index/{shown}": place.bytes(other)}))
            with pytest.raises((TrustError, LimitExceeded)):
                pytest.fail(f"{other} as {shown}: {reader.current()}")
    with pytest.raises(SignatureInvalid):
        place.reader("new", store=place.store).trusted.trust_root(place.bytes("2.targets.json"))


def test_a_root_key_signs_no_lists_and_an_online_key_no_root(tmp_path: Path) -> None:
    place = Place(tmp_path)
    alice = place.new_key("alice")
    root = new_root(
        [tuf_key(alice.public_pem)], 1, [tuf_key(place.key.public_pem)], read_root(_own(place)).signed.expires
    )
    place.writer.create(sign_draft(encoded(Metadata(root)), alice))
    place.point(1)
    reader = place.reader()
    reader.current()
    thief = Attacker(place, place.key)
    mine = read_root(place.root).signed
    mine.version = 2
    place.plant("2.root.json", thief.sign(mine))
    with pytest.raises(SignatureInvalid):
        place.fresh().current()
    place.store.delete("index/2.root.json")
    traitor = Attacker(place, alice)
    traitor.publish(traitor.targets(), number=9)
    with pytest.raises(SignatureInvalid):
        reader.current()


def _own(place: Place) -> bytes:
    return place.writer._own_root()


# --- keys of several people ------------------------------------------------------------------------


class People:
    """An index whose root takes two of three people."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.keys = [place.new_key(name) for name in ("alice", "bob", "carol")]
        expires = read_root(_own(place)).signed.expires
        online = [tuf_key(place.key.public_pem)]
        self.draft = encoded(Metadata(new_root([tuf_key(key.public_pem) for key in self.keys], 2, online, expires)))

    def signed(self, draft: bytes, *who: int) -> bytes:
        for one in who:
            draft = sign_draft(draft, self.keys[one])
        return draft

    def next(self, online: bytes, people: list[bytes] | None = None, threshold: int = 2) -> bytes:
        metadata = read_root(self.place.writer.trusted.newest_root())
        root_keys = [tuf_key(pem) for pem in people or [key.public_pem for key in self.keys]]
        set_keys(metadata.signed, root_keys, threshold, [tuf_key(online)])
        metadata.signed.version += 1
        metadata.signatures.clear()
        return encoded(metadata)


@pytest.fixture
def people(tmp_path: Path) -> People:
    made = People(Place(tmp_path))
    made.place.writer.create(made.signed(made.draft, 0, 2))
    made.place.point(1)
    return made


def test_too_few_signatures_make_no_root(tmp_path: Path) -> None:
    made = People(Place(tmp_path))
    for draft in (made.draft, made.signed(made.draft, 0), made.signed(made.draft, 0, 0)):
        with pytest.raises(SignatureInvalid):
            made.place.writer.create(draft)
    assert made.place.writer.create(made.signed(made.draft, 0, 1))


def test_the_same_key_twice_is_one_key(tmp_path: Path) -> None:
    place = Place(tmp_path)
    own = tuf_key(place.key.public_pem)
    with pytest.raises(ConfigError, match="different"):
        new_root([own, own], 2, [own], read_root(_own(place)).signed.expires)
    # Nor under another name.
    metadata = read_root(_own(place))
    double = tuf_key(place.key.public_pem)
    double.keyid = "0" * 64
    metadata.signed.keys[double.keyid] = double
    metadata.signed.roles["root"].keyids.append(double.keyid)
    metadata.signed.roles["root"].threshold = 2
    with pytest.raises(SignatureInvalid):
        sign_draft(encoded(metadata), place.key)


def test_a_stolen_online_key_is_recovered_from(people: People) -> None:
    place = people.place
    reader = place.reader()
    assert seen(reader) == revision(1)
    thief = Attacker(place, place.key)
    new_key = place.new_key("new")
    entries = [ModelEntry(TINY, {"production": Pointed(revision(2), MANIFEST, place.clock())})]
    writer = IndexWriter(place.store, new_key, place.folder / "trust-home", place.clock)
    draft = people.next(new_key.public_pem)
    for weak in (draft, people.signed(draft, 1), sign_draft(people.signed(draft, 1), place.key)):
        with pytest.raises(SignatureInvalid):
            writer.rewrite(entries, writer.trusted_mark(), root=weak)
    assert seen(reader) == revision(1)
    writer.rewrite(entries, writer.trusted_mark(), root=people.signed(draft, 0, 1))
    assert seen(reader) == revision(2)
    assert reader.current().root_version == 2
    thief.publish(thief.targets(), number=99)
    for one in (reader, place.reader("another")):
        with pytest.raises(SignatureInvalid):
            one.current()
    with pytest.raises(SignatureInvalid):
        place.point(3)
    writer.rewrite(entries, writer.trusted_mark())
    assert seen(reader) == revision(2)
    with pytest.raises(ConfigError, match="may not sign"):
        place.point(3)


def test_a_stolen_root_key_below_the_threshold_makes_no_root(people: People) -> None:
    place = people.place
    reader = place.reader()
    reader.current()
    stolen = people.signed(people.next(place.new_key("evil").public_pem, [people.keys[0].public_pem], 1), 0)
    place.plant("2.root.json", stolen)
    with pytest.raises(SignatureInvalid):
        place.fresh().current()
    place.store.delete("index/2.root.json")
    # The two others replace the stolen key.
    fourth = place.new_key("dave")
    kept = [people.keys[1].public_pem, people.keys[2].public_pem, fourth.public_pem]
    root = people.signed(people.next(place.key.public_pem, kept), 1, 2)
    place.writer.rewrite(
        [ModelEntry(TINY, {"production": Pointed(revision(4), MANIFEST, place.clock())})],
        place.writer.trusted_mark(),
        root=root,
    )
    assert seen(reader) == revision(4)
    assert seen(place.reader("another")) == revision(4)


def test_a_root_that_skips_one_is_refused(people: People) -> None:
    metadata = read_root(people.next(people.place.key.public_pem))
    metadata.signed.version = 3
    with pytest.raises(StatementMismatch, match="next is 2"):
        people.place.writer.rewrite([], people.place.writer.trusted_mark(), root=people.signed(encoded(metadata), 0, 1))


def test_two_homes_with_a_key_each(tmp_path: Path) -> None:
    place = Place(tmp_path)
    second = place.new_key("second")
    online = [tuf_key(place.key.public_pem), tuf_key(second.public_pem)]
    root = Metadata(new_root(online[:1], 1, online, read_root(_own(place)).signed.expires))
    place.writer.create(sign_draft(encoded(root), place.key))
    place.point(1)
    other = place.machine("other", key=second)
    for number in (2, 3):
        other.set_channel(TINY, "production", revision(number), MANIFEST)
        assert seen(place.reader()) == revision(number)
        place.point(number, "staging", OTHER)
    other.revoke(TINY, revision(3), "bad")
    assert place.reader().current().pointed(OTHER, "staging").revision == revision(3)
    with pytest.raises(Revoked):
        seen(place.reader())


def test_a_key_that_the_root_does_not_name_writes_nothing(place: Place) -> None:
    before = place.save()
    stranger = place.machine("stranger", key=place.new_key("stranger"))
    with pytest.raises(ConfigError, match="may not sign"):
        stranger.set_channel(TINY, "production", revision(2), MANIFEST)
    unknown = IndexWriter(place.store, place.new_key("unknown"), place.folder / "trust-unknown", place.clock)
    with pytest.raises(ConfigError, match="not trusted here"):
        unknown.set_channel(TINY, "production", revision(2), MANIFEST)
    assert place.save() == before


# --- bytes of an attacker ---------------------------------------------------------------------------


def test_one_bit_anywhere(people: People) -> None:
    """Every flipped bit of everything a new reader reads is noticed; those it need not read are not there."""
    place = people.place
    place.writer.rewrite(
        [ModelEntry(TINY, {"production": Pointed(revision(2), MANIFEST, place.clock())})],
        place.writer.trusted_mark(),
        root=people.signed(people.next(place.key.public_pem), 0, 1),
    )
    watching = Counted(place.store)
    place.fresh(watching).current()
    assert {key.split(".", 1)[1] for key in watching.reads} >= {"json", "snapshot.json", "targets.json", "root.json"}
    chance = random.Random(17)
    flips = 0
    # In the order of reading: what a refused reader keeps is then never what the next one should read.
    for key in dict.fromkeys(watching.reads):
        data = place.bytes(key.removeprefix("index/"))
        step = {"index/timestamp.json": 1, "index/2.root.json": 2}.get(key, 8)
        for offset in range(0, len(data), step):
            flipped = bytearray(data)
            flipped[offset] ^= 1 << chance.randrange(8)
            reader = place.reader("flipped", store=Counted(place.store, {key: bytes(flipped)}))
            with pytest.raises(WeighbridgeError):
                pytest.fail(f"{key} at {offset}: {reader.current()}")
            flips += 1
    assert flips > 1_500


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(data=st.binary(max_size=400), cut=st.integers(0, 600), name=st.sampled_from(["timestamp.json", "1.root.json"]))
def test_any_bytes_at_all_are_refused_by_a_typed_error(place: Place, data: bytes, cut: int, name: str) -> None:
    for hostile in (data, place.bytes(name)[:cut] + data, b"[" * 5_000, b'{"signed":' * 900):
        if hostile == place.bytes(name):
            continue
        with pytest.raises(WeighbridgeError):
            place.fresh(Counted(place.store, {"index/timestamp.json": hostile})).current()
        with pytest.raises(WeighbridgeError):
            place.fresh(Counted(place.store, {"index/2.root.json": hostile})).current()


def test_endless_data_is_not_read(place: Place) -> None:
    class Endless(Counted):
        def head(self, key, *, version_id=""):  # type: ignore[no-untyped-def]
            from dataclasses import replace

            described = super().head(key)
            return replace(described, size_bytes=1 << 50) if key == self.endless else described

    for name in ("timestamp.json", "2.snapshot.json", "2.targets.json"):
        store = Endless(place.store)
        store.endless = f"index/{name}"  # type: ignore[attr-defined]
        with pytest.raises((LimitExceeded, StatementMismatch)):
            place.fresh(store).current()
        assert store.endless not in store.reads  # type: ignore[attr-defined]
    store = Endless(place.store, {"index/2.root.json": b"{}"})
    store.endless = "index/2.root.json"  # type: ignore[attr-defined]
    with pytest.raises(LimitExceeded):
        place.fresh(store).current()


def test_slow_retrieval_ends(place: Place) -> None:
    class Drip:
        def __init__(self, data: bytes) -> None:
            self.data = data

        def readinto(self, view: memoryview, /) -> int:
            time.sleep(0.01)
            view[:1], self.data = self.data[:1], self.data[1:]
            return 1

    class Slow(Counted):
        def _shown(self, data: bytes):  # type: ignore[no-untyped-def, override]
            import contextlib

            return contextlib.nullcontext(Drip(data))

    store = Slow(place.store, {"index/timestamp.json": place.bytes("timestamp.json")})
    reader = IndexReader(store, place.folder / "slow", place.clock, root=place.root, seconds=0.05)
    with pytest.raises(StoreUnreachable, match="slowly"):
        reader.current()


def test_metadata_of_the_future(place: Place) -> None:
    own = Attacker(place, place.key)

    def shown(change: Callable[[Targets], None]) -> IndexReader:
        targets = own.targets()
        change(targets)
        own.publish(targets, number=own.present("timestamp.json").version + 1)
        return place.fresh()

    def more(targets: Targets) -> None:
        targets.unrecognized_fields["x-later"] = {"any": ["thing"]}

    assert seen(shown(more)) == revision(1)

    def next_format(targets: Targets) -> None:
        record = {**ModelEntry(TINY).to_json(), "format": "weighbridge.channels/2"}
        targets.targets["acme/tiny"] = target("acme/tiny", record)

    with pytest.raises(StatementMismatch, match="format"):
        shown(next_format).current()

    def unknown_key(targets: Targets) -> None:
        targets.targets["acme/tiny"] = target("acme/tiny", {**ModelEntry(TINY).to_json(), "deny": ["all"]})

    with pytest.raises(StatementMismatch, match="unknown keys: deny"):
        shown(unknown_key).current()

    def next_specification(targets: Targets) -> None:
        targets.spec_version = "2.0.0"

    with pytest.raises(TrustError):
        shown(next_specification).current()


# --- crashes and other writers ---------------------------------------------------------------------


def _steps(folder: Path) -> list[str]:
    probe = Place(folder)
    probe.point(1)
    store = Watched(probe.store)
    probe.machine("probe", store=store).set_channel(TINY, "production", revision(2), MANIFEST)
    return store.puts


@pytest.mark.fault
@pytest.mark.parametrize("where", ["before", "after"])
def test_a_writer_killed_at_any_put_leaves_the_old_state_or_the_new_one(tmp_path: Path, where: str) -> None:
    steps = _steps(tmp_path / "probe")
    assert [step.rpartition(".json")[0].rpartition(".")[2] for step in steps] == [
        "targets",
        "snapshot",
        "index/timestamp",
    ]
    for number in range(len(steps)):
        place = Place(tmp_path / f"{where}-{number}")
        place.point(1)
        reader = place.reader()
        reader.current()

        def kill(at: int, _key: str, number: int = number) -> None:
            if at == number:
                raise Killed

        store = Watched(place.store, before=kill) if where == "before" else Watched(place.store, after=kill)
        with pytest.raises(Killed):
            place.machine("killed", store=store).set_channel(TINY, "production", revision(2), MANIFEST)
        published = where == "after" and number == len(steps) - 1
        for one in (reader, place.fresh()):
            assert seen(one) == revision(2 if published else 1)
        place.point(3, "staging")
        for one in (reader, place.fresh()):
            assert seen(one, "staging") == revision(3)
            assert seen(one) in (revision(1), revision(2))
        claimed = where == "after" and number == len(steps) - 2
        assert seen(reader) == revision(2 if published or claimed or (where, number) == ("before", 2) else 1)


@pytest.mark.fault
def test_killed_while_the_index_is_made(tmp_path: Path) -> None:
    probe = Place(tmp_path / "probe")
    store = Watched(probe.store)
    IndexWriter(store, probe.key, probe.folder / "trust-home", probe.clock).set_channel(
        TINY, "production", revision(1), MANIFEST
    )
    for number in range(len(store.puts)):
        place = Place(tmp_path / str(number))

        def kill(at: int, _key: str, number: int = number) -> None:
            if at == number:
                raise Killed

        for watched in (Watched(place.store, before=kill), Watched(place.store, after=kill)):
            writer = IndexWriter(watched, place.key, place.folder / "trust-home", place.clock)
            with pytest.raises(Killed):
                _repeatedly(writer, len(store.puts) + 1)
        place.point(1)
        assert seen(place.reader()) == revision(1)


def _repeatedly(writer: IndexWriter, times: int) -> None:
    for number in range(times):
        writer.set_channel(TINY, "production", revision(number), MANIFEST)


@pytest.mark.fault
def test_new_keys_killed_at_any_put(tmp_path: Path) -> None:
    for number in range(4):
        people = People(Place(tmp_path / str(number)))
        place = people.place
        place.writer.create(people.signed(people.draft, 0, 2))
        place.point(1)
        reader = place.reader()
        reader.current()
        entries = [ModelEntry(TINY, {"production": Pointed(revision(2), MANIFEST, place.clock())})]
        new_key = place.new_key("new")
        root = people.signed(people.next(new_key.public_pem), 0, 1)

        def kill(at: int, _key: str, number: int = number) -> None:
            if at == number:
                raise Killed

        with pytest.raises(Killed):
            IndexWriter(Watched(place.store, before=kill), new_key, place.folder / "trust-home", place.clock).rewrite(
                entries, place.writer.trusted_mark(), root=root
            )
        # The old state, or, between root and timestamp, none at all.
        try:
            assert seen(reader) == revision(1)
        except SignatureInvalid:
            assert number == 3
        writer = IndexWriter(place.store, new_key, place.folder / "trust-home", place.clock)
        writer.rewrite(entries, writer.trusted_mark(), root=b"" if number == 3 else root)
        assert seen(reader) == revision(2)


def test_a_second_writer_at_any_moment(tmp_path: Path) -> None:
    """Whenever the other one comes, no change is lost and no reader sees a mix."""
    steps = _steps(tmp_path / "probe")
    for when in range(len(steps)):
        for moment in ("before", "after"):
            place = Place(tmp_path / f"{moment}-{when}")
            place.point(1)
            reader = place.reader()
            other = place.machine("other")
            done: list[int] = []

            def come(number: int, _key: str, when: int = when, other: IndexWriter = other, done=done) -> None:  # type: ignore[no-untyped-def]
                if number == when and not done:
                    done.append(other.set_channel(OTHER, "production", revision(8), MANIFEST))

            store = Watched(place.store, before=come) if moment == "before" else Watched(place.store, after=come)
            place.machine("first", store=store).set_channel(TINY, "production", revision(2), MANIFEST)
            assert done
            for one in (reader, place.fresh()):
                assert seen(one) == revision(2)
                assert seen(one, model_name=OTHER) == revision(8)


def test_two_writers_at_once(place: Place) -> None:
    failures: list[BaseException] = []

    def write(name: str) -> None:
        try:
            writer = place.machine(name)
            for number in range(8):
                writer.set_channel(ModelName(name, f"m{number}"), "production", revision(number), MANIFEST)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in ("left", "right")]
    for thread in threads:
        thread.start()
    reader = place.reader(tries=20)
    while any(thread.is_alive() for thread in threads):
        reader.current()
    for thread in threads:
        thread.join()
    assert not failures
    entries = reader.current().entries
    assert {(str(name), channels["production"].revision) for name, channels in entries.items()} == {
        ("acme/tiny", revision(1)),
        *((f"{side}/m{number}", revision(number)) for side in ("left", "right") for number in range(8)),
    }


@pytest.mark.fault
def test_a_process_that_is_killed_for_real(place: Place) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from tests.support.indexes import *\n"
        "from weighbridge.attest.keys import LocalKey\n"
        "folder = Path(sys.argv[1])\n"
        "writer = IndexWriter(FolderStore(folder / 'approved'), LocalKey.load(folder / 'keys' / 'home.pem'),\n"
        "                     folder / 'trust-home', lambda: sys.argv[2])\n"
        "number = 2\n"
        "while True:\n"
        "    writer.set_channel(TINY, 'production', revision(number), MANIFEST)\n"
        "    print(number, flush=True); number += 1\n"
    )
    chance = random.Random(5)
    reader = place.reader(tries=20)
    for _ in range(2):
        command = [sys.executable, "-c", script, str(place.folder), place.clock()]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(chance.randrange(2, 8)):
            told = process.stdout.readline()
        time.sleep(chance.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
        process.wait()
        process.stdout.close()
        last = int(rest[-1] if rest else told)
        assert int(seen(reader), 16) in (last, last + 1)
        assert seen(place.fresh()) == seen(reader)
        place.point(1)
        assert seen(reader) == revision(1)


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff" * 100])
def test_a_damaged_folder_of_trust_is_read_again_and_not_believed(place: Place, damage: bytes) -> None:
    place.reader().current()
    trust = place.folder / "trust-reader"
    for name in ("timestamp", "snapshot", "targets"):
        (trust / f"{name}.json").write_bytes(damage)
    assert seen(place.reader()) == revision(1)
    place.point(2)
    assert seen(place.reader()) == revision(2)
    for path in trust.glob("*.json"):
        path.unlink()
    trust.chmod(0o700)
    assert seen(place.reader()) == revision(2)


def test_planted_claims_are_passed_over(place: Place) -> None:
    number = place.reader().current().version + 1
    place.plant(f"{number}.snapshot.json", b"{}")
    place.plant(f"{number + 1}.snapshot.json", place.bytes(f"{number - 1}.snapshot.json"))
    stranger = Attacker(place, place.new_key("stranger"))
    snapshot = stranger.present(f"{number - 1}.snapshot.json")
    snapshot.version = number + 2
    place.plant(f"{number + 2}.snapshot.json", stranger.sign(snapshot))
    place.point(2)
    assert seen(place.reader()) == revision(2)
    assert place.reader().current().version == number + 3


def test_the_index_grows_into_bins_and_old_readers_follow(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [bits_for(1), bits_for(70), bits_for(1_100), bits_for(1, at_least=4)] == [0, 4, 8, 4]
    monkeypatch.setattr(index, "BIN_MODELS", 2)
    reader = place.reader()
    reader.current()
    place.writer.revoke(OTHER, revision(3), "bad")
    many = [ModelName("many", f"m{number}") for number in range(40)]
    for part in (many[:5], many[5:]):
        place.writer.apply(
            [SetChannel(name, "staging", Pointed(revision(4), MANIFEST, place.clock())) for name in part]
        )
        for one in (reader, place.fresh()):
            found = one.current()
            assert seen(one) == revision(1)
            assert found.revoked == {(OTHER, revision(3))}
            assert all(found.pointed(name, "staging").revision == revision(4) for name in part)
    store = Counted(place.store)
    watching = place.reader("reader", store=store)
    watching.current()
    store.reads.clear()
    place.point(9)
    assert seen(watching) == revision(9)
    assert len([key for key in store.reads if "models256" in key]) == 1
    assert place.reader("another").find(many[5]).channels["staging"].revision == revision(4)


# --- others ----------------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Place, str]]:
    """An index served by a plain file server, signed by today's clock, which the stock client cannot be told."""
    place = Place(tmp_path)
    place.writer = IndexWriter(place.store, place.key, place.folder / "trust-home", now_rfc3339)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(place.folder / "approved"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield place, f"http://127.0.0.1:{server.server_address[1]}/index/"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("models", [3, 70])
def test_the_stock_client_of_python_tuf_reads_the_index(served: tuple[Place, str], models: int) -> None:
    place, url = served
    names = [ModelName("acme", f"m{number}") for number in range(models)]
    place.writer.apply(
        [SetChannel(name, "production", Pointed(revision(1), MANIFEST, now_rfc3339())) for name in names]
    )
    folder = place.folder / "stock"
    folder.mkdir()

    def stock() -> Updater:
        client = Updater(str(folder), url, bootstrap=place.root)
        client.refresh()
        return client

    found = stock().get_targetinfo("acme/m1")
    assert found is not None
    assert found.custom["channels"]["production"]["revision"] == revision(1)
    assert stock().get_targetinfo("acme/none") is None
    old = place.bytes("timestamp.json")
    place.writer.revoke(names[1], revision(1), "bad")
    found = stock().get_targetinfo("acme/m1")
    assert found is not None
    assert list(found.custom["revoked"]) == [revision(1)]
    place.plant("timestamp.json", old)
    with pytest.raises(RepositoryError):
        stock()
    # Our reader takes over what the stock client believes, and the other way round.
    with pytest.raises(RolledBack):
        IndexReader(place.store, folder, now_rfc3339, root=place.root, tries=1).current()


def test_every_curve_signs(tmp_path: Path) -> None:
    for curve in ("P-256", "P-384", "P-521"):
        place = Place(tmp_path / curve)
        place.key = LocalKey.create(tmp_path / curve / "keys" / "other.pem", curve=curve)
        place.writer = place.machine("home")
        place.point(1)
        assert seen(place.reader()) == revision(1)


def test_a_round_trip_on_s3(tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    http_pool = Http(user_agent="test")
    address = Address.parse(f"s3://{s3_server.bucket()}/approved")
    place = Place(tmp_path)
    place.store = S3Store(address, http=http_pool, settings=StoreSettings(s3_endpoint=s3_server.endpoint))  # type: ignore[assignment]
    place.writer = place.machine("home")
    try:
        place.point(1)
        store = Counted(place.store)
        reader = place.reader(store=store)
        assert seen(reader) == revision(1)
        reader.current()
        store.reads.clear()
        reader.current()
        assert store.reads == []
        place.machine("other").set_channel(OTHER, "staging", revision(3), MANIFEST)
        place.writer.revoke(TINY, revision(1), "bad")
        with pytest.raises(Revoked):
            seen(reader)
        assert seen(reader, "staging", OTHER) == revision(3)
        old = place.bytes("timestamp.json")
        place.point(2)
        assert seen(reader) == revision(2)
        place.plant("timestamp.json", old)
        with pytest.raises(RolledBack):
            reader.current()
    finally:
        http_pool.close()


# --- the ledger ------------------------------------------------------------------------------------


class Bridge:
    """A ledger, and an approved store whose seals only have to be there."""

    def __init__(self, folder: Path) -> None:
        self.place = Place(folder)
        self.ledger = Ledger(
            f"sqlite:///{folder / 'ledger.sqlite'}",
            head_path=folder / "head.json",
            signer=self.place.key,
            clock=self.place.clock,
        )
        self.channels = self.with_store(self.place.store)

    def with_store(self, store: Any) -> Channels:
        writer = IndexWriter(store, self.place.key, self.place.folder / "trust-home", self.place.clock)
        return Channels(self.ledger, writer, actor="tester")

    def promote(self, number: int, channel: str = "production", model_name: ModelName = TINY) -> Pointed:
        self.seal(number, model_name)
        return self.channels.point(model_name, channel, revision(number), MANIFEST, reason="works")

    def seal(self, number: int, model_name: ModelName = TINY) -> None:
        self.place.store.put(record_key(model_name, revision(number), SEAL), b"sealed", replace=True)

    def kinds(self) -> list[str]:
        return [event.kind for event in self.ledger.events()]


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[Bridge]:
    made = Bridge(tmp_path)
    yield made
    made.ledger.close()


def test_what_is_promoted_is_in_ledger_and_index(bridge: Bridge) -> None:
    pointed = bridge.promote(1)
    assert pointed == bridge.place.reader().current().pointed(TINY, "production")
    assert bridge.ledger.catalog().channels(TINY) == {"production": revision(1)}
    assert bridge.promote(1) == pointed
    assert bridge.kinds() == ["channel.set"]
    (event,) = bridge.ledger.events(subject="acme/tiny@production")
    assert event.payload == {
        "model": "acme/tiny",
        "channel": "production",
        "revision": revision(1),
        "manifest_digest": MANIFEST,
        "previous": "",
        "act": "promote",
        "reason": "works",
    }


def test_only_what_is_promoted_can_be_pointed_to(bridge: Bridge) -> None:
    with pytest.raises(NothingCollected, match="not promoted"):
        bridge.channels.point(TINY, "production", revision(1), MANIFEST)
    bridge.promote(2)
    with pytest.raises(NothingCollected, match="not known"):
        bridge.channels.rollback(TINY, "production", to=revision(1))
    with pytest.raises(ConfigError):
        bridge.channels.point(TINY, "Produktion!", revision(2), MANIFEST)
    with pytest.raises(ConfigError):
        bridge.channels.point(TINY, "production", "main", MANIFEST)
    assert bridge.kinds() == ["channel.set"]


def test_rolling_back_goes_back_and_not_to_and_fro(bridge: Bridge) -> None:
    for number in (1, 2, 3):
        bridge.promote(number)
    moved = bridge.channels.rollback(TINY, "production", reason="answers in Latin")
    assert (moved.before, moved.pointed.revision) == (revision(3), revision(2))
    assert bridge.channels.rollback(TINY, "production").pointed.revision == revision(1)
    with pytest.raises(NothingCollected, match="nothing earlier"):
        bridge.channels.rollback(TINY, "production")
    assert bridge.channels.rollback(TINY, "production", to=revision(3)).pointed.manifest_sha256 == MANIFEST
    assert seen(bridge.place.reader()) == revision(3)
    bridge.promote(4)
    assert bridge.channels.previous(TINY, "production") == revision(3)
    with pytest.raises(NothingCollected, match="no channel"):
        bridge.channels.rollback(TINY, "staging")


def test_a_revoked_revision_is_neither_promoted_nor_rolled_back_to(bridge: Bridge) -> None:
    for number in (1, 2, 3):
        bridge.promote(number)
    withdrawn = bridge.channels.revoke(TINY, revision(2), "poisoned")
    assert withdrawn.channels == ()
    assert bridge.channels.previous(TINY, "production") == revision(1)
    with pytest.raises(Revoked, match="poisoned"):
        bridge.promote(2)
    with pytest.raises(Revoked):
        bridge.channels.rollback(TINY, "production", to=revision(2))
    assert bridge.channels.revoke(TINY, revision(3), "poisoned too").channels == ("production",)
    reader = bridge.place.reader()
    with pytest.raises(Revoked):
        seen(reader)
    assert bridge.channels.rollback(TINY, "production").pointed.revision == revision(1)
    assert seen(reader) == revision(1)
    bridge.channels.reinstate(TINY, revision(3), "a false alarm")
    assert bridge.channels.rollback(TINY, "production", to=revision(3)).pointed.revision == revision(3)
    with pytest.raises(NothingCollected):
        bridge.channels.reinstate(TINY, revision(3), "again")


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 501, "\u202ereversed"])
def test_a_reason_is_a_line_of_text(bridge: Bridge, reason: str) -> None:
    with pytest.raises(ConfigError, match="reason"):
        bridge.channels.revoke(TINY, revision(1), reason)


@pytest.mark.fault
def test_killed_between_ledger_and_index_is_made_up_for(bridge: Bridge) -> None:
    bridge.promote(1)
    bridge.seal(2)

    def kill(_number: int, _key: str) -> None:
        raise Killed

    broken = bridge.with_store(Watched(bridge.place.store, before=kill))
    with pytest.raises(Killed):
        broken.point(TINY, "production", revision(2), MANIFEST)
    with pytest.raises(Killed):
        broken.revoke(TINY, revision(1), "poisoned")
    reader = bridge.place.reader()
    assert seen(reader) == revision(1)
    assert pending(bridge.ledger, reader.current().mark) == 2
    bridge.promote(3, "staging", OTHER)
    assert seen(reader) == revision(2)
    assert reader.current().revoked == {(TINY, revision(1))}
    assert pending(bridge.ledger, reader.current().mark) == 0
    with pytest.raises(Killed):
        broken.revoke(TINY, revision(2), "poisoned")
    bridge.channels.refresh()
    with pytest.raises(Revoked):
        seen(reader)


def test_an_index_of_another_ledger_is_left_alone(bridge: Bridge, tmp_path: Path) -> None:
    bridge.promote(1)
    other = Ledger(f"sqlite:///{tmp_path / 'o.sqlite'}", head_path=tmp_path / "o.json", signer=bridge.place.key)
    writer = IndexWriter(bridge.place.store, bridge.place.key, tmp_path / "trust-home", bridge.place.clock)
    strange = Channels(other, writer, actor="tester")
    before = bridge.place.save()
    with pytest.raises(LedgerError, match="not this one"):
        strange.sync()
    with pytest.raises(LedgerError):
        strange.revoke(TINY, revision(1), "poisoned")
    assert bridge.place.save() == before
    strange.rebuild()
    with pytest.raises(Revoked):
        bridge.place.reader().current().check(TINY, revision(1))
    other.close()


def test_a_broken_index_is_written_anew_from_the_ledger(bridge: Bridge) -> None:
    for number in (1, 2):
        bridge.promote(number)
    bridge.channels.revoke(TINY, revision(1), "poisoned")
    reader = bridge.place.reader()
    before = reader.current()
    for name in bridge.place.save():
        bridge.place.plant(name, b"{}") if name != "1.root.json" else None
    with pytest.raises(TrustError):
        reader.current()
    with pytest.raises(TrustError):
        bridge.channels.sync()
    bridge.channels.rebuild()
    after = reader.current()
    assert (after.entries, after.revoked, after.mark) == (before.entries, before.revoked, before.mark)
    assert after.version > before.version
    bridge.promote(3)
    assert seen(reader) == revision(3)


# --- the command line ------------------------------------------------------------------------------


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """The command line within this process, with a home of its own."""
    monkeypatch.setenv("WEIGHBRIDGE_HOME", str(tmp_path / "home"))

    def run(*arguments: str, code: int = 0) -> Ran:
        capsys.readouterr()
        found = app.main(arguments)
        captured = capsys.readouterr()
        assert found == code, captured.err
        return Ran(found, captured.out, captured.err)

    return run


class Promoted(NamedTuple):
    """A home with two revisions of acme/tiny in its approved store; production went from the first to the second."""

    first: str
    second: str
    home: Path


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Promoted:
    """Made once, and kept beside the home for each test to begin with."""
    folder = tmp_path_factory.mktemp("promoted")
    home, model = folder / "home", folder / "tiny"
    model.mkdir()
    found = []
    for number in (1, 2):
        (model / "README.md").write_text(f"# Words {number}\n")
        arguments = ("--as", "acme/tiny", "--to", str(home / "approved"), "--home", str(home), "--quiet")
        assert app.main(("ingest", str(model), *arguments)) == 0
        with OpenYard(Home(home), Output(quiet=True)) as yard:
            row = yard.resolve("acme/tiny")
            channels_of(yard).point(TINY, "production", row.revision, row.manifest_digest)
            found.append(row.revision)
    home.rename(folder / "saved")
    return Promoted(found[0], found[1], home)


@pytest.fixture
def promoted(line: Callable[..., Ran], template: Promoted, monkeypatch: pytest.MonkeyPatch) -> Promoted:
    """The template's home, as it was made."""
    shutil.rmtree(template.home, ignore_errors=True)
    shutil.copytree(template.home.parent / "saved", template.home)
    monkeypatch.setenv("WEIGHBRIDGE_HOME", str(template.home))
    return template


def test_a_command_rolls_back(line: Callable[..., Ran], promoted: Promoted) -> None:
    first, second, _ = promoted
    (row,) = line("channels", "--json").json["channels"]
    assert (row["model"], row["channel"], row["revision"], row["revoked"]) == ("acme/tiny", "production", second, False)
    ran = line("rollback", "acme/tiny", "--channel", "production", "--reason", "answers in Latin")
    assert ran.out == f"acme/tiny@production\t{first}\n"
    assert line("channels", "acme/tiny").out.split("\t")[2] == first[:12]
    assert line("channels", "acme/other").out == ""
    ran = line("rollback", "acme/tiny", "--channel", "production", "--to", second[:8], "--json")
    assert (ran.json["revision"], ran.json["before"]) == (second, first)
    line("rollback", "acme/tiny", "--channel", "staging", code=3)
    line("rollback", "acme/tiny", code=2)


def test_a_command_revokes(line: Callable[..., Ran], promoted: Promoted) -> None:
    first, second, _ = promoted
    ran = line("revoke", f"acme/tiny@{second[:8]}", "--reason", "poisoned")
    assert ran.out == f"acme/tiny@{second}\trevoked\n"
    assert "weighbridge rollback acme/tiny --channel production" in ran.err
    assert line("channels").out.split("\t")[4] == "revoked\n"
    ran = line("revoke", "acme/tiny@production", "--reason", "poisoned", "--rollback", "--json")
    assert ran.json["rolled_back"] == {"production": first}
    assert ran.json["still_pointing"] == []
    line("rollback", "acme/tiny", "--channel", "production", "--to", second, code=7)
    ran = line("revoke", f"acme/tiny@{second}", "--undo", "--reason", "a false alarm", "--json")
    assert ran.json["revoked"] is False
    line("rollback", "acme/tiny", "--channel", "production", "--to", second)
    line("revoke", "acme/tiny", "--reason", "all of it", code=2)
    line("revoke", f"acme/tiny@{first}", code=2)


def test_a_command_lists_nothing_where_nothing_is(line: Callable[..., Ran]) -> None:
    assert line("channels", "--json").json["channels"] == []
    assert "no channel yet" in line("channels").err
    line("rollback", "acme/tiny", "--channel", "production", code=3)
    line("channels", "root", code=3)


def test_an_exchanged_key_says_what_the_index_still_asks_for(
    line: Callable[..., Ran], promoted: Promoted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = line("keys", "rotate")
    line("revoke", f"acme/tiny@{promoted.first}", "--reason", "poisoned", code=2)
    public, exchange = (shlex.split(one) for one in ran.err.partition("asks for this one: ")[2].split("; "))
    assert public == ["weighbridge", "keys", "public", ">", "new.pub"]
    (tmp_path / "new.pub").write_text(line("keys", "public").out)
    line(*exchange[1:])
    line("channels", "refresh")
    again = line("keys", "rotate")
    assert "rotate-keys --root-key new.pub" in again.err


def test_what_was_revoked_is_listed_as_that(line: Callable[..., Ran], promoted: Promoted) -> None:
    line("revoke", f"acme/tiny@{promoted.first}", "--reason", "poisoned")
    said = {one["revision"]: one["revoked"] for one in line("ls", "--json").json}
    assert said == {promoted.first: True, promoted.second: False}
    where = {cells[1]: cells[-1] for cells in (row.split("\t") for row in line("ls").out.splitlines())}
    assert (where[promoted.first[:12]], where[promoted.second[:12]]) == ("revoked", "approved @production")
    line("revoke", f"acme/tiny@{promoted.first}", "--undo", "--reason", "a false alarm")
    assert not any(one["revoked"] for one in line("ls", "--json").json)


def test_a_command_signs_again_and_rebuilds(line: Callable[..., Ran], promoted: Promoted) -> None:
    before = line("channels", "--json").json
    again = line("channels", "refresh", "--json").json
    assert again["version"] == before["version"] + 1
    assert line("channels", "refresh", "--rebuild", "--json").json["version"] > again["version"]
    after = line("channels", "--json").json
    assert after["channels"] == before["channels"]
    assert after["pending"] == 0


def test_readers_elsewhere_are_given_the_root(
    line: Callable[..., Ran], promoted: Promoted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "root.json").write_text(line("channels", "root").out)
    monkeypatch.setenv("WEIGHBRIDGE_STORE_APPROVED", str(promoted.home / "approved"))
    there = ("--home", str(tmp_path / "elsewhere"))
    assert "no root" in line("channels", "root", *there, code=2).err
    line("channels", "trust", str(tmp_path / "root.json"), *there)
    (row,) = line("channels", "list", "--json", *there).json["channels"]
    assert row["revision"] == promoted.second
    line("channels", "trust", str(tmp_path / "root.json"), *there)
    (tmp_path / "root.json").write_text("{}")
    line("channels", "trust", str(tmp_path / "root.json"), *there, code=7)


def test_commands_for_a_root_of_several_people(line: Callable[..., Ran], tmp_path: Path, promoted: Promoted) -> None:
    people = [LocalKey.create(tmp_path / f"{name}.pem") for name in ("alice", "bob", "carol")]
    assert len({key.key_id for key in people}) == 3
    public = [part for name in ("alice", "bob", "carol") for part in ("--root-key", str(tmp_path / f"{name}.pem.pub"))]
    draft = str(tmp_path / "draft.json")
    line("channels", "init", code=2)
    ran = line("channels", "rotate-keys", *public, "--threshold", "2", "--draft", draft)
    assert "2 more signatures" in ran.err
    line("channels", "publish-root", draft, code=7)
    line("channels", "sign-root", draft, "--key", str(tmp_path / "alice.pem"))
    line("channels", "publish-root", draft, code=7)
    line("channels", "sign-root", draft, "--key", str(tmp_path / "carol.pem"))
    assert line("channels", "publish-root", draft).out == "root 2\n"
    after = line("channels", "--json").json
    assert after["root"]["version"] == 2
    assert after["channels"][0]["revision"] == promoted.second
    line("rollback", "acme/tiny", "--channel", "production")
    # The home's key signs lists only, from now on.
    line("channels", "rotate-keys", "--draft", draft)
    line("channels", "publish-root", draft, code=7)


def test_a_command_makes_an_index_of_several_people_at_once(line: Callable[..., Ran], tmp_path: Path) -> None:
    for name in ("alice", "bob"):
        LocalKey.create(tmp_path / f"{name}.pem")
    public = [part for name in ("alice", "bob") for part in ("--root-key", str(tmp_path / f"{name}.pem.pub"))]
    draft = str(tmp_path / "draft.json")
    line("channels", "init", *public, "--draft", draft)
    for name in ("alice", "bob"):
        line("channels", "sign-root", draft, "--key", str(tmp_path / f"{name}.pem"))
    line("channels", "publish-root", draft)
    assert line("channels", "--json").json["version"] == 1


def test_a_home_changes_its_own_key(line: Callable[..., Ran], promoted: Promoted, tmp_path: Path) -> None:
    keys = promoted.home / "keys"
    (keys / "signing.pem").rename(tmp_path / "old.pem")
    (keys / "trusted").mkdir()
    (keys / "signing.pem.pub").rename(keys / "trusted" / "old.pub")
    LocalKey.create(keys / "signing.pem")
    assert "may not sign" in line("rollback", "acme/tiny", "--channel", "production", code=2).err
    new = str(keys / "signing.pem.pub")
    line("channels", "rotate-keys", "--root-key", new, "--sign-with", str(tmp_path / "old.pem"))
    line("rollback", "acme/tiny", "--channel", "production")
    assert line("channels", "--json").json["channels"][0]["revision"] == promoted.first
