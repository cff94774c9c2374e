"""The catalog: which revisions lie in which store, projected from the ledger and never written otherwise.

Projected kinds of event, and what their payload must hold (other keys are none of the catalog's business, other kinds are
ignored):

- `revision.ingested`, `revision.recovered` and `revision.promoted`: `store`, `model`, `revision`, `source`, `manifest_digest`, `seal_digest`,
  `verdict`, `findings` (count per severity), `total_bytes`, `artifacts` (each `path`, `size_bytes`, `sha256`, `git_sha1`,
  `key`, `version_id`). A revision recorded again in the same store takes the place of the earlier record;
- `revision.removed`: `store`, `model`, `revision`;
- `channel.set`: `model`, `channel`, `revision`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from weighbridge.core import canonical
from weighbridge.core.canonical import Fields, JsonObject, JsonValue
from weighbridge.core.errors import ConfigError, Malformed, NothingCollected, WeighbridgeError
from weighbridge.core.finding import Severity, Verdict
from weighbridge.core.names import ModelName, Reference, is_revision
from weighbridge.store.database import Database
from weighbridge.store.tables import ARTIFACTS, CATALOG_TABLES, CHANNELS, METADATA, REVISIONS

MIN_PREFIX_DIGITS = 4
_PREFIX = re.compile(r"[0-9a-f]{4,40}")
_NEAR_NAMES = 5
_COLUMNS = tuple(column.name for column in REVISIONS.columns)


@dataclass(frozen=True, slots=True)
class CataloguedRevision:
    """One revision in one store. `findings` counts per severity; `sequence` is the event that recorded it.

    `ingested_at` is that event's time, RFC 3339; digests are hexadecimal SHA-256.
    """

    model_name: ModelName
    revision: str
    store: str
    source: str
    manifest_digest: str
    seal_digest: str
    verdict: str
    findings: Mapping[str, int]
    artifact_count: int
    total_bytes: int
    ingested_at: str
    sequence: int


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """An artifact as it lies in a store, with the digests that were proven when it was stored."""

    store: str
    key: str
    version_id: str
    size_bytes: int
    sha256: str
    git_sha1: str


def project(connection: Connection, kind: str, payload: JsonObject, *, sequence: int, time: str) -> None:
    """Brings the catalog up to the event; called in the transaction that records it.

    Raises:
        Malformed: the payload of a projected kind lacks something.
    """
    fields = Fields(payload, what=f"the payload of event {sequence} ('{kind}')")
    if kind in ("revision.ingested", "revision.recovered", "revision.promoted"):
        _insert_revision(connection, fields, sequence=sequence, time=time)
    elif kind == "revision.rescanned":
        _update_verdict(connection, fields)
    elif kind == "revision.removed":
        _delete_revision(connection, _text(fields, "store"), _model(fields), _revision(fields))
    elif kind == "channel.set":
        values = {"model_name": _model(fields), "channel": _text(fields, "channel")}
        connection.execute(
            delete(CHANNELS).where(
                CHANNELS.c.model_name == values["model_name"], CHANNELS.c.channel == values["channel"]
            )
        )
        connection.execute(insert(CHANNELS), [{**values, "revision": _revision(fields), "sequence": sequence}])


def recreate(connection: Connection) -> None:
    """Drops the projection, whatever is left of it, and creates it empty."""
    METADATA.drop_all(connection, tables=CATALOG_TABLES)
    METADATA.create_all(connection, tables=CATALOG_TABLES)


def _insert_revision(connection: Connection, fields: Fields, *, sequence: int, time: str) -> None:
    artifacts = [_artifact(item, sequence) for item in fields.items("artifacts")]
    if len({artifact["path"] for artifact in artifacts}) != len(artifacts):
        raise Malformed(f"event {sequence} names an artifact twice")
    values = {
        "sequence": sequence,
        "store": _text(fields, "store"),
        "model_name": _model(fields),
        "revision": _revision(fields),
        "source": _text(fields, "source"),
        "manifest_digest": _text(fields, "manifest_digest"),
        "seal_digest": _text(fields, "seal_digest"),
        "verdict": _verdict(fields),
        "findings": canonical.encode(_counts(fields)).decode("utf-8"),
        "artifact_count": len(artifacts),
        "total_bytes": fields.integer("total_bytes"),
        "ingested_at": time,
    }
    _delete_revision(connection, str(values["store"]), str(values["model_name"]), str(values["revision"]))
    connection.execute(insert(REVISIONS), [values])
    if artifacts:
        connection.execute(insert(ARTIFACTS), artifacts)


def _update_verdict(connection: Connection, fields: Fields) -> None:
    connection.execute(
        update(REVISIONS)
        .where(
            REVISIONS.c.model_name == _model(fields),
            REVISIONS.c.revision == _revision(fields),
            REVISIONS.c.store == _text(fields, "store"),
        )
        .values(verdict=_verdict(fields), findings=canonical.encode(_counts(fields)).decode("utf-8"))
    )


def _verdict(fields: Fields) -> str:
    verdict = _text(fields, "verdict")
    if verdict not in {known.value for known in Verdict}:
        raise Malformed(f"'{verdict}' of an event is not a verdict")
    return verdict


def _counts(fields: Fields) -> dict[str, int]:
    """The findings per severity as the event names them; a severity nobody knows is refused."""
    counts = fields.fields("findings")
    numbers = {severity.label: counts.integer(severity.label, -1) for severity in Severity}
    counts.done()
    return {label: number for label, number in numbers.items() if number >= 0}


def _artifact(item: JsonValue, sequence: int) -> dict[str, int | str]:
    fields = Fields(item, what=f"an artifact of event {sequence}")
    texts = {name: _text(fields, name) for name in ("path", "sha256", "git_sha1", "key", "version_id")}
    return {**texts, "sequence": sequence, "size_bytes": fields.integer("size_bytes")}


def _delete_revision(connection: Connection, store: str, model_name: str, revision: str) -> None:
    # The artifacts go with their revision: the foreign key cascades.
    connection.execute(
        delete(REVISIONS).where(
            REVISIONS.c.model_name == model_name, REVISIONS.c.revision == revision, REVISIONS.c.store == store
        )
    )


def _text(fields: Fields, key: str) -> str:
    text = fields.text(key)
    if "\x00" in text:
        raise Malformed(f"'{key}' of an event holds a NUL character")
    return text


def _model(fields: Fields) -> str:
    text = fields.text("model")
    try:
        return str(ModelName.parse(text))
    except ConfigError as error:
        raise Malformed(f"an event is about '{text}', which is not a model name") from error


def _revision(fields: Fields) -> str:
    revision = fields.text("revision")
    if not is_revision(revision):
        raise Malformed(f"an event is about '{revision}', which is not a revision")
    return revision


class Catalog:
    """Queries over the projection. Thread-safe; usable while its ledger is open.

    Raises:
        LedgerError, StoreError: from every method, when the database cannot be read.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def revisions(self, model_name: ModelName | None = None, *, store: str = "") -> list[CataloguedRevision]:
        """The revisions of one model or all, in one store or all, newest first."""
        of = () if model_name is None else (REVISIONS.c.model_name == str(model_name),)
        return self._fetch(*of, store=store)

    def known_models(self, *, store: str = "") -> list[ModelName]:
        """The models with at least one revision, in order of name."""
        query = select(REVISIONS.c.model_name).distinct()
        if store:
            query = query.where(REVISIONS.c.store == store)
        with self._database.reading() as connection:
            return sorted(ModelName.parse(str(name)) for name in connection.execute(query).scalars())

    def channels(self, model_name: ModelName) -> dict[str, str]:
        """The revision each channel of the model points to."""
        query = select(CHANNELS.c.channel, CHANNELS.c.revision).where(CHANNELS.c.model_name == str(model_name))
        with self._database.reading() as connection:
            return {str(channel): str(revision) for channel, revision in connection.execute(query)}

    def resolve(self, reference: Reference, *, store: str = "") -> CataloguedRevision:
        """The revision a reference names: the newest, a unique prefix of at least 4 digits, or a channel's.

        A revision that lies in several stores is told from the one it was recorded in last.

        Raises:
            NothingCollected: there is no such model, revision or channel (here).
            ConfigError: the prefix fits several revisions, or a channel and another revision.
        """
        found = {one.revision: one for one in reversed(self._candidates(reference, store))}
        if not found:
            raise self._nothing(reference, store)
        if len(found) > 1:
            raise ConfigError(
                f"'{reference}' is ambiguous: it fits {len(found)} revisions",
                hint="Write more digits: " + ", ".join(sorted(found)[:_NEAR_NAMES]),
            )
        return next(iter(found.values()))

    def _candidates(self, reference: Reference, store: str) -> list[CataloguedRevision]:
        """All records of the revisions that the selector may mean, newest first."""
        of = REVISIONS.c.model_name == str(reference.model_name)
        selector = reference.selector
        if not selector:
            # The newest revision is the one that came in last, wherever it was promoted to since.
            came: dict[str, CataloguedRevision] = {one.revision: one for one in self._fetch(of, store=store)}
            newest = max(came.values(), key=lambda one: one.sequence, default=None)
            return [] if newest is None else self._fetch(of, REVISIONS.c.revision == newest.revision, store=store)
        meant: ColumnElement[bool] = REVISIONS.c.revision.in_(
            select(CHANNELS.c.revision).where(
                CHANNELS.c.model_name == str(reference.model_name), CHANNELS.c.channel == selector
            )
        )
        if is_revision(selector):
            meant = REVISIONS.c.revision == selector
        elif _PREFIX.fullmatch(selector):
            meant |= func.substr(REVISIONS.c.revision, 1, len(selector)) == selector
        return self._fetch(of, meant, store=store)

    def _nothing(self, reference: Reference, store: str) -> WeighbridgeError:
        name, where = reference.model_name, f" in {store}" if store else ""
        models = [str(model_name) for model_name in self.known_models(store=store)]
        if str(name) not in models:
            near = difflib.get_close_matches(str(name).lower(), {one.lower(): one for one in models}, _NEAR_NAMES, 0.5)
            names = [one for one in models if one.lower() in near] or models[:_NEAR_NAMES]
            hint = f"Known here: {', '.join(names)}." if names else "Nothing was ingested yet."
            return NothingCollected(f"no revision of {name} is known{where}", hint=hint)
        channels = self.channels(name)
        revisions = dict.fromkeys(one.revision for one in self.revisions(name, store=store))
        known = [f"@{revision[:12]}" for revision in list(revisions)[:_NEAR_NAMES]]
        near = difflib.get_close_matches(reference.selector, channels, _NEAR_NAMES, 0.5) or sorted(channels)
        hint = f"Known of {name}: {', '.join([f'@{channel}' for channel in near[:_NEAR_NAMES]] + known)}."
        if reference.selector in channels:
            what = (
                f"channel '{reference.selector}' of {name} points to {channels[reference.selector]}, which is not known"
            )
            return NothingCollected(what + where, hint=hint)
        if len(reference.selector) < MIN_PREFIX_DIGITS:
            hint += f" A revision takes at least {MIN_PREFIX_DIGITS} digits."
        return NothingCollected(f"{name} has no revision or channel '{reference.selector}'{where}", hint=hint)

    def find_artifact(
        self, *, store: str, size_bytes: int, sha256: str = "", git_sha1: str = ""
    ) -> StoredArtifact | None:
        """The artifact of that size and those digests that `store` took in last, None when it has none.

        Every digest that is given must match; without any there is no answer.
        """
        if not sha256 and not git_sha1:
            return None
        query = (
            select(*(ARTIFACTS.c[name] for name in ("key", "version_id", "sha256", "git_sha1")))
            .join(REVISIONS, REVISIONS.c.sequence == ARTIFACTS.c.sequence)
            .where(REVISIONS.c.store == store, ARTIFACTS.c.size_bytes == size_bytes)
            .order_by(ARTIFACTS.c.sequence.desc(), ARTIFACTS.c.path)
            .limit(1)
        )
        if sha256:
            query = query.where(ARTIFACTS.c.sha256 == sha256)
        if git_sha1:
            query = query.where(ARTIFACTS.c.git_sha1 == git_sha1)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        key, version_id, found_sha256, found_git_sha1 = map(str, row)
        return StoredArtifact(store, key, version_id, size_bytes, found_sha256, found_git_sha1)

    def _fetch(self, *conditions: ColumnElement[bool], store: str, limit: int = 0) -> list[CataloguedRevision]:
        query = select(*(REVISIONS.c[name] for name in _COLUMNS)).where(*conditions)
        if store:
            query = query.where(REVISIONS.c.store == store)
        query = query.order_by(REVISIONS.c.sequence.desc()).limit(limit or None)
        with self._database.reading() as connection:
            return [_catalogued(tuple(row)) for row in connection.execute(query)]


def _catalogued(row: Sequence[str | int]) -> CataloguedRevision:
    values = dict(zip(_COLUMNS, row, strict=True))
    counts = canonical.decode_object(str(values["findings"]).encode("utf-8"), what="the catalog's count of findings")
    return CataloguedRevision(
        model_name=ModelName.parse(str(values["model_name"])),
        **{name: str(values[name]) for name in ("revision", "store", "source", "manifest_digest", "seal_digest")},
        verdict=str(values["verdict"]),
        findings={severity: count for severity, count in counts.items() if isinstance(count, int)},
        artifact_count=int(values["artifact_count"]),
        total_bytes=int(values["total_bytes"]),
        ingested_at=str(values["ingested_at"]),
        sequence=int(values["sequence"]),
    )
