"""The catalog says what the ledger says, and finds it by name, by digits, by channel and by digest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from tests.support.postgres import PostgresServer, postgres
from weighbridge.core.errors import ConfigError, LedgerError, Malformed, NothingCollected
from weighbridge.core.names import ModelName, Reference
from weighbridge.store.ledger import Ledger

__all__ = ["postgres"]

ACME = ModelName("acme", "tiny")
OTHER = ModelName("acme", "Large-2.0")
QUARANTINE, APPROVED = "s3://bucket/quarantine", "s3://bucket/approved"
FIRST, SECOND, TWIN = "ab12" + "0" * 36, "cd34" + "1" * 36, "ab12" + "f" * 36
CATALOG_TABLES = ("catalog_revisions", "catalog_artifacts", "catalog_channels")


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/ledger.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.url()
    yield url
    server.drop(url)


@pytest.fixture
def ledger(ledger_url: str, tmp_path: Path) -> Iterator[Ledger]:
    numbers = iter(range(1, 1000))
    with Ledger(
        ledger_url,
        head_path=tmp_path / "head.json",
        signer=None,
        clock=lambda: f"2026-01-01T00:00:{next(numbers):06.3f}Z",
    ) as ledger:
        yield ledger


def artifact(path: str, size_bytes: int = 7, *, digit: str = "a", key: str = "") -> dict[str, Any]:
    return {
        "path": path,
        "size_bytes": size_bytes,
        "sha256": digit * 64,
        "git_sha1": digit * 40,
        "key": key or f"models/{path}",
        "version_id": "v1",
    }


def record(model_name: ModelName, revision: str, *, store: str = QUARANTINE, **changes: Any) -> dict[str, Any]:
    return {
        "store": store,
        "model": str(model_name),
        "revision": revision,
        "source": f"hf://{model_name}@main",
        "manifest_digest": "1" * 64,
        "seal_digest": "2" * 64,
        "verdict": "clean",
        "findings": {"low": 2},
        "total_bytes": 7,
        "artifacts": [artifact("config.json")],
    } | changes


def ingest(
    ledger: Ledger, model_name: ModelName, revision: str, kind: str = "revision.ingested", **changes: Any
) -> int:
    payload = record(model_name, revision, **changes)
    return ledger.append(kind, f"{model_name}@{revision}", payload, actor="tester").sequence


def set_channel(ledger: Ledger, model_name: ModelName, channel: str, revision: str) -> None:
    payload = {"model": str(model_name), "channel": channel, "revision": revision}
    ledger.append("channel.set", str(model_name), payload, actor="tester")


def resolve(ledger: Ledger, reference: str, *, store: str = "") -> str:
    return ledger.catalog().resolve(Reference.parse(reference), store=store).revision


def dump(url: str) -> dict[str, list[tuple[object, ...]]]:
    engine = create_engine(url)
    with engine.connect() as connection:
        tables = {
            name: [tuple(row) for row in connection.execute(text(f"SELECT * FROM {name}"))] for name in CATALOG_TABLES
        }
    engine.dispose()
    return {name: sorted(rows, key=repr) for name, rows in tables.items()}


def execute(url: str, *statements: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


# --- the projection --------------------------------------------------------------------------------------------------


def test_an_ingested_revision_is_catalogued_as_recorded(ledger: Ledger) -> None:
    artifacts = [artifact("config.json"), artifact("model.safetensors", 2**40, digit="b")]
    sequence = ingest(
        ledger, ACME, FIRST, verdict="bad", findings={"critical": 1}, total_bytes=2**52, artifacts=artifacts
    )
    (found,) = ledger.catalog().revisions()
    assert (found.model_name, found.revision, found.store, found.sequence) == (ACME, FIRST, QUARANTINE, sequence)
    assert (found.source, found.verdict, dict(found.findings)) == ("hf://acme/tiny@main", "bad", {"critical": 1})
    assert (found.manifest_digest, found.seal_digest) == ("1" * 64, "2" * 64)
    assert (found.artifact_count, found.total_bytes) == (2, 2**52)
    assert found.ingested_at == "2026-01-01T00:00:01.000Z"


def test_revisions_are_newest_first_and_selected_by_model_and_store(ledger: Ledger) -> None:
    ingest(ledger, ACME, FIRST)
    ingest(ledger, OTHER, TWIN)
    ingest(ledger, ACME, SECOND)
    ingest(ledger, ACME, FIRST, store=APPROVED)
    catalog = ledger.catalog()
    assert [one.revision for one in catalog.revisions()] == [FIRST, SECOND, TWIN, FIRST]
    assert [one.revision for one in catalog.revisions(ACME, store=QUARANTINE)] == [SECOND, FIRST]
    assert [one.store for one in catalog.revisions(ACME)] == [APPROVED, QUARANTINE, QUARANTINE]
    assert catalog.revisions(ModelName("no", "body")) == []
    assert catalog.known_models() == [OTHER, ACME]
    assert catalog.known_models(store=APPROVED) == [ACME]


def test_a_revision_recorded_again_takes_the_place_of_its_record(ledger: Ledger) -> None:
    ingest(ledger, ACME, FIRST, artifacts=[artifact("old.bin", digit="a")])
    ingest(ledger, ACME, SECOND)
    sequence = ingest(ledger, ACME, FIRST, "revision.recovered", artifacts=[artifact("new.bin", digit="c")])
    catalog = ledger.catalog()
    assert [(one.revision, one.sequence) for one in catalog.revisions()] == [(FIRST, sequence), (SECOND, 2)]
    assert catalog.find_artifact(store=QUARANTINE, size_bytes=7, sha256="c" * 64) is not None


def test_a_removed_revision_is_gone_from_its_store_alone(ledger: Ledger) -> None:
    ingest(ledger, ACME, FIRST)
    ingest(ledger, ACME, FIRST, store=APPROVED)
    removed = {"store": QUARANTINE, "model": str(ACME), "revision": FIRST}
    ledger.append("revision.removed", str(ACME), removed, actor="tester")
    catalog = ledger.catalog()
    assert [one.store for one in catalog.revisions()] == [APPROVED]
    assert catalog.find_artifact(store=QUARANTINE, size_bytes=7, sha256="a" * 64) is None
    assert catalog.find_artifact(store=APPROVED, size_bytes=7, sha256="a" * 64) is not None


def test_other_kinds_of_event_change_nothing_in_the_catalog(ledger: Ledger, ledger_url: str) -> None:
    ingest(ledger, ACME, FIRST)
    before = dump(ledger_url)
    ledger.append("policy.changed", "policy", record(OTHER, SECOND), actor="tester")
    assert dump(ledger_url) == before
    assert ledger.verify(None).events == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"revision": "main"},
        {"revision": FIRST.upper()},
        {"model": "acme"},
        {"model": "../tiny"},
        {"verdict": "fine"},
        {"findings": {"low": -1}},
        {"findings": {"terrible": 1}},
        {"total_bytes": -1},
        {"total_bytes": "7"},
        {"artifacts": [artifact("a") | {"size_bytes": 2**53}]},
        {"artifacts": [artifact("a"), artifact("a")]},
        {"artifacts": [artifact("a\x00b")]},
        {"artifacts": [{"path": "a"}]},
        {"artifacts": {}},
        {"store": None},
    ],
)
def test_a_record_that_the_catalog_cannot_read_is_refused_whole(ledger: Ledger, changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        ledger.append("revision.ingested", "acme/tiny", record(ACME, FIRST) | changes, actor="tester")
    assert ledger.verify(None).events == 0
    assert ledger.catalog().revisions() == []


def test_ten_thousand_artifacts_are_taken_in_and_found(ledger: Ledger) -> None:
    artifacts = [artifact(f"part-{number}", number) | {"sha256": f"{number:064x}"} for number in range(10_000)]
    ingest(ledger, ACME, FIRST, artifacts=artifacts, total_bytes=sum(range(10_000)))
    assert ledger.catalog().revisions(ACME)[0].artifact_count == 10_000
    found = ledger.catalog().find_artifact(store=QUARANTINE, size_bytes=9_876, sha256=f"{9_876:064x}")
    assert found is not None
    assert found.key == "models/part-9876"


# --- the ledger is the truth -----------------------------------------------------------------------------------------


def _eventful(ledger: Ledger) -> None:
    ingest(ledger, ACME, FIRST, artifacts=[artifact("a"), artifact("b", digit="b")])
    ingest(ledger, OTHER, TWIN, findings={})
    set_channel(ledger, ACME, "production", FIRST)
    ledger.append("policy.changed", "policy", {"x": 1}, actor="tester")
    ingest(ledger, ACME, SECOND, artifacts=[])
    set_channel(ledger, ACME, "production", SECOND)
    set_channel(ledger, ACME, "staging", FIRST)
    ledger.append(
        "revision.removed", str(OTHER), {"store": QUARANTINE, "model": str(OTHER), "revision": TWIN}, actor="tester"
    )
    ingest(ledger, ACME, FIRST, "revision.recovered", artifacts=[artifact("a", digit="d")])


def test_a_rebuilt_catalog_equals_the_one_that_grew(ledger: Ledger, ledger_url: str) -> None:
    _eventful(ledger)
    grown = dump(ledger_url)
    assert [len(grown[name]) for name in CATALOG_TABLES] == [2, 1, 2]
    assert ledger.rebuild_catalog() == 9
    assert dump(ledger_url) == grown


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM catalog_channels",
        "UPDATE catalog_revisions SET verdict = 'unknown', source = 'x'",
        "DROP TABLE catalog_artifacts",
    ],
)
def test_a_damaged_catalog_is_rebuilt_from_the_ledger(ledger: Ledger, ledger_url: str, statement: str) -> None:
    _eventful(ledger)
    grown = dump(ledger_url)
    execute(ledger_url, statement)
    ledger.rebuild_catalog()
    assert dump(ledger_url) == grown
    ingest(ledger, OTHER, SECOND)
    assert resolve(ledger, str(OTHER)) == SECOND


def test_a_dropped_catalog_says_what_to_do(ledger: Ledger, ledger_url: str) -> None:
    execute(ledger_url, "DROP TABLE catalog_artifacts", "DROP TABLE catalog_revisions")
    with pytest.raises(LedgerError) as caught:
        ledger.catalog().revisions()
    assert "Rebuild the catalog" in caught.value.hint


def test_an_altered_ledger_is_not_projected(ledger: Ledger, ledger_url: str) -> None:
    _eventful(ledger)
    grown = dump(ledger_url)
    execute(ledger_url, "UPDATE ledger_events SET actor = 'somebody else' WHERE sequence = 8")
    with pytest.raises(LedgerError, match="event 8 "):
        ledger.rebuild_catalog()
    assert dump(ledger_url) == grown


# --- resolving -------------------------------------------------------------------------------------------------------


def test_a_name_alone_means_the_newest(ledger: Ledger) -> None:
    ingest(ledger, ACME, SECOND)
    ingest(ledger, ACME, FIRST)
    ingest(ledger, ACME, TWIN, store=APPROVED)
    assert resolve(ledger, "acme/tiny") == TWIN
    assert resolve(ledger, "acme/tiny", store=QUARANTINE) == FIRST


@pytest.mark.parametrize("digits", [4, 5, 12, 39, 40])
def test_a_revision_is_found_by_its_first_digits(ledger: Ledger, digits: int) -> None:
    ingest(ledger, ACME, FIRST)
    ingest(ledger, ACME, SECOND)
    ingest(ledger, OTHER, TWIN)  # begins alike, but is another model's
    assert resolve(ledger, f"acme/tiny@{FIRST[:digits]}") == FIRST


def test_an_ambiguous_prefix_is_refused(ledger: Ledger) -> None:
    ingest(ledger, ACME, FIRST)
    ingest(ledger, ACME, TWIN)
    with pytest.raises(ConfigError, match="ambiguous") as caught:
        resolve(ledger, "acme/tiny@ab12")
    assert FIRST in caught.value.hint
    assert TWIN in caught.value.hint
    assert resolve(ledger, f"acme/tiny@{FIRST}") == FIRST
    assert resolve(ledger, "acme/tiny@ab120") == FIRST


def test_one_revision_in_two_stores_is_not_ambiguous(ledger: Ledger) -> None:
    ingest(ledger, ACME, FIRST)
    ingest(ledger, ACME, FIRST, store=APPROVED)
    assert ledger.catalog().resolve(Reference.parse("acme/tiny@ab12")).store == APPROVED
    assert ledger.catalog().resolve(Reference.parse("acme/tiny@ab12"), store=QUARANTINE).store == QUARANTINE


def test_a_channel_follows_its_last_event(ledger: Ledger) -> None:
    ingest(ledger, ACME, FIRST)
    ingest(ledger, ACME, SECOND)
    set_channel(ledger, ACME, "production", SECOND)
    assert resolve(ledger, "acme/tiny@production") == SECOND
    set_channel(ledger, ACME, "production", FIRST)
    assert resolve(ledger, "acme/tiny@production") == FIRST
    assert ledger.catalog().channels(ACME) == {"production": FIRST}


def test_a_channel_named_like_other_digits_is_ambiguous(ledger: Ledger) -> None:
    ingest(ledger, ACME, FIRST)
    ingest(ledger, ACME, SECOND)
    set_channel(ledger, ACME, "ab12", SECOND)
    with pytest.raises(ConfigError, match="ambiguous"):
        resolve(ledger, "acme/tiny@ab12")
    set_channel(ledger, ACME, FIRST, SECOND)
    assert resolve(ledger, f"acme/tiny@{FIRST}") == FIRST  # forty digits are a revision and nothing else


@pytest.mark.parametrize(
    ("reference", "store", "hinted"),
    [
        ("acme/tiyn", "", "acme/tiny"),
        ("ACME/TINY", "", "acme/tiny"),
        ("acme/tiny@prodcution", "", "@production"),
        ("acme/tiny@ffff", "", "@ab1200000000"),
        ("acme/tiny@ab1", "", "at least 4 digits"),
        ("acme/tiny@AB12", "", "@ab1200000000"),
        ("acme/tiny@a%", "", None),
        ("acme/tiny@" + "e" * 40, "", "@ab1200000000"),
        ("acme/tiny", APPROVED, "acme/Large-2.0"),
        ("acme/Large-2.0@production", APPROVED, "@ab12ffffffff"),
    ],
)
def test_what_is_not_known_comes_with_names_that_are(
    ledger: Ledger, reference: str, store: str, hinted: str | None
) -> None:
    ingest(ledger, ACME, FIRST)
    ingest(ledger, OTHER, TWIN, store=APPROVED)
    set_channel(ledger, ACME, "production", FIRST)
    if hinted is None:
        with pytest.raises(ConfigError):
            resolve(ledger, reference)
        return
    with pytest.raises(NothingCollected) as caught:
        resolve(ledger, reference, store=store)
    assert hinted in caught.value.hint


def test_nothing_is_known_at_first(ledger: Ledger) -> None:
    with pytest.raises(NothingCollected) as caught:
        resolve(ledger, "acme/tiny")
    assert "Nothing was ingested" in caught.value.hint


def test_a_channel_that_points_to_what_is_not_stored_says_so(ledger: Ledger) -> None:
    ingest(ledger, ACME, FIRST)
    set_channel(ledger, ACME, "production", SECOND)
    with pytest.raises(NothingCollected, match="points to cd34"):
        resolve(ledger, "acme/tiny@production")
    set_channel(ledger, ACME, "production", FIRST)
    with pytest.raises(NothingCollected, match="in s3://bucket/approved"):
        resolve(ledger, "acme/tiny@production", store=APPROVED)


# --- artifacts that need not be fetched again ------------------------------------------------------------------------


def test_an_artifact_is_found_by_size_and_digest_in_its_store(ledger: Ledger) -> None:
    ingest(ledger, ACME, FIRST, artifacts=[artifact("a", 7, digit="a"), artifact("b", 9, digit="b")])
    catalog = ledger.catalog()
    found = catalog.find_artifact(store=QUARANTINE, size_bytes=9, sha256="b" * 64)
    assert found is not None
    assert (found.store, found.key, found.version_id, found.size_bytes) == (QUARANTINE, "models/b", "v1", 9)
    assert (found.sha256, found.git_sha1) == ("b" * 64, "b" * 40)
    assert catalog.find_artifact(store=QUARANTINE, size_bytes=9, git_sha1="b" * 40) == found
    assert catalog.find_artifact(store=QUARANTINE, size_bytes=9, sha256="b" * 64, git_sha1="b" * 40) == found


@pytest.mark.parametrize(
    "wanted",
    [
        {"size_bytes": 9},
        {"size_bytes": 8, "sha256": "b" * 64},
        {"size_bytes": 9, "sha256": "a" * 64},
        {"size_bytes": 9, "sha256": "b" * 64, "git_sha1": "a" * 40},
        {"size_bytes": 9, "sha256": "b" * 64, "store": APPROVED},
    ],
)
def test_an_artifact_that_differs_in_anything_is_not_found(ledger: Ledger, wanted: dict[str, Any]) -> None:
    ingest(ledger, ACME, FIRST, artifacts=[artifact("a", 7, digit="a"), artifact("b", 9, digit="b")])
    assert ledger.catalog().find_artifact(**{"store": QUARANTINE, **wanted}) is None


def test_the_artifact_stored_last_is_found(ledger: Ledger) -> None:
    ingest(ledger, ACME, FIRST, artifacts=[artifact("a", key="first")])
    ingest(ledger, OTHER, TWIN, artifacts=[artifact("a", key="second")])
    found = ledger.catalog().find_artifact(store=QUARANTINE, size_bytes=7, sha256="a" * 64)
    assert found is not None
    assert found.key == "second"


def test_lookups_use_an_index(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    Ledger(url, head_path=tmp_path / "head.json", signer=None).close()
    engine = create_engine(url)
    with engine.connect() as connection:
        for query in (
            "SELECT * FROM catalog_revisions WHERE model_name = 'a/b' ORDER BY sequence DESC LIMIT 1",
            "SELECT * FROM catalog_artifacts a JOIN catalog_revisions r ON r.sequence = a.sequence WHERE a.sha256 = 'x'",
            "SELECT * FROM catalog_artifacts a JOIN catalog_revisions r ON r.sequence = a.sequence WHERE a.git_sha1 = 'x'",
            "SELECT * FROM ledger_events WHERE subject = 'x' AND sequence > 5 ORDER BY sequence LIMIT 3",
        ):
            plan = " ".join(str(row[3]) for row in connection.execute(text(f"EXPLAIN QUERY PLAN {query}")))
            assert "SCAN" not in plan, plan
            assert "TEMP B-TREE" not in plan, plan
    engine.dispose()
