"""Gathers what a posture report rests on, from the home of a command: the Hub, a bucket, our own records, deployment files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from weighbridge.cli.console import write_whole
from weighbridge.core import canonical
from weighbridge.core.errors import ConfigError, NothingCollected, WeighbridgeError
from weighbridge.core.names import Address, ModelName, is_revision

if TYPE_CHECKING:
    from weighbridge.cli.settings import Home
    from weighbridge.cli.yard import OpenYard
    from weighbridge.core.ports import ObjectStore, SignatureVerifier
    from weighbridge.posture.evidence import Dossier, Evidence, Unobtained
    from weighbridge.posture.hub_facts import Crossed
    from weighbridge.serve.web_posture import PostureSheet
    from weighbridge.store.catalog import CataloguedRevision
    from weighbridge.transfer.scan import Scanner

MAX_DEPLOYMENT_BYTES: Final = 4 * 1024 * 1024
MAX_EVIDENCE_BYTES: Final = 64 * 1024 * 1024
MAX_SHOWN_BYTES: Final = 4 * 1024 * 1024
"""Of evidence that the catalog judges for a page."""
MAX_PARENTS: Final = 16


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks about. `measure_bytes` is how much is read on each route to measure its rate."""

    model_name: ModelName
    ref: str = ""
    bucket: str = ""
    deployment: tuple[Path, ...] = ()
    egress: Path | None = None
    offline: bool = False
    measure_bytes: int = 0

    @classmethod
    def parse(cls, text: str) -> Asked:
        """Reads `org/name[@ref]`, with or without `hf://`.

        Raises:
            ConfigError: it names no model on the Hub.
        """
        address = Address.parse(text if "://" in text else f"hf://{text}")
        if address.scheme != "hf":
            raise ConfigError(f"'{text}' is no model on the Hub", hint="Write org/name or org/name@REF.")
        return cls(ModelName.parse(address.location), address.ref)


def gather(yard: OpenYard, asked: Asked) -> Dossier:
    """All evidence about a model, by the settings and credentials in use.

    Raises:
        ConfigError: a file cannot be read, or an address is none.
    """
    from weighbridge.posture.evidence import Dossier
    from weighbridge.store.ledger import now_rfc3339

    return Dossier.of(_gathered(yard, asked, now_rfc3339()))


def _gathered(yard: OpenYard, asked: Asked, now: str) -> Iterator[Evidence | Unobtained]:
    from weighbridge.posture import deployment_facts
    from weighbridge.posture.evidence import Evidence

    row = _row(yard, asked)
    yield Evidence("report.model", str(asked.model_name), "the command line", now)
    if asked.bucket:
        yield Evidence("report.bucket", asked.bucket, "the command line", now)
    yield from _hub(yard, asked, row, now)
    yield from _bucket(yard, asked, row, now)
    yield from _crossing(yard, row, now)
    files = {str(path): _read(path, MAX_DEPLOYMENT_BYTES) for path in asked.deployment}
    yield from deployment_facts.collect(files, observed_at=now)


def _row(yard: OpenYard, asked: Asked) -> CataloguedRevision | None:
    """The revision that came in: the one that is named, else the newest."""
    if not yard.has_ledger:
        return None
    try:
        return yard.resolve(f"{asked.model_name}@{asked.ref}" if is_revision(asked.ref) else str(asked.model_name))
    except NothingCollected:
        return None


# --- the Hub


def _hub(yard: OpenYard, asked: Asked, row: CataloguedRevision | None, now: str) -> Iterator[Evidence | Unobtained]:
    from huggingface_hub import constants, get_token

    from weighbridge.posture import egress, hub_facts
    from weighbridge.posture.evidence import Unobtained
    from weighbridge.posture.gathering import Notes

    recorded = None if asked.egress is None else _read(asked.egress, egress.MAX_BYTES)
    if asked.offline:
        notes = Notes(now)
        yield from (Unobtained(id_, "not asked: --offline") for id_ in hub_facts.IDS)
        yield notes.saw("hub.revision.ref", asked.ref or "main", "the reference")
        yield notes.saw("hub.revision.pinned", is_revision(asked.ref), "the reference")
        if recorded is not None and asked.egress is not None:
            yield from egress.read_egress(notes, recorded, asked.egress.name, asked.model_name)
        return
    with ExitStack() as closing:
        question = hub_facts.HubQuestion(
            Address("hf", str(asked.model_name), asked.ref),
            (yard.config.hub.endpoint or constants.ENDPOINT).rstrip("/"),
            crossed=_crossed(yard, row),
            scanner=_scanner(yard, closing),
            egress=recorded,
            egress_source="" if asked.egress is None else asked.egress.name,
            measure_bytes=asked.measure_bytes,
        )
        yield from hub_facts.collect(yard.http, question, observed_at=now, token=get_token() or "")


def _scanner(yard: OpenYard, closing: ExitStack) -> Scanner:
    import threading

    from weighbridge.cli.console import Output
    from weighbridge.cli.progress import watching
    from weighbridge.transfer.inspecting import Inspecting
    from weighbridge.transfer.scan import Scanner

    inspecting = closing.enter_context(Inspecting(yard.config.inspection))
    observer = closing.enter_context(watching(Output(quiet=True), "inspecting"))
    return Scanner(yard.config.transfer, inspecting, observer, threading.Event())


def _crossed(yard: OpenYard, row: CataloguedRevision | None) -> Crossed | None:
    """What came in from the Hub: of a derived revision, what it was derived from. None where that cannot be proven."""
    from weighbridge.posture.hub_facts import Crossed
    from weighbridge.vault.inspections import latest_inspection

    for _ in range(MAX_PARENTS):
        if row is None:
            return None
        try:
            store = yard.store(row.store)
            revision = yard.open_sealed(row)
            origin = revision.manifest.origin
            if origin.kind == "derived":
                row = yard.resolve(origin.address)
                continue
            return Crossed(origin, latest_inspection(store, revision, yard.ledger()))
        except WeighbridgeError:
            return None
    return None


# --- the bucket


def _bucket(yard: OpenYard, asked: Asked, row: CataloguedRevision | None, now: str) -> Iterator[Evidence | Unobtained]:
    from weighbridge.posture import bucket_facts
    from weighbridge.posture.evidence import Unobtained
    from weighbridge.vault.records import open_revision

    if not asked.bucket:
        yield from (Unobtained(id_, "no bucket was named: --bucket s3://…") for id_ in bucket_facts.IDS)
        return
    address = Address.parse(asked.bucket)
    question = bucket_facts.BucketQuestion(
        address, yard.config.store, verifier=yard.trusted, measure_bytes=asked.measure_bytes
    )
    try:
        store: ObjectStore | None = yard.store(asked.bucket)
        question = replace(question, store=store)
        if store is not None and row is not None:
            opened = open_revision(store, row.model_name, row.revision, yard.trusted)
            question = replace(question, revision=opened)
    except WeighbridgeError as error:
        yard.output.say(f"warning: {asked.bucket}: {error.message}")
    yield from bucket_facts.collect(yard.http, question, observed_at=now)


# --- our own records


def _crossing(yard: OpenYard, row: CataloguedRevision | None, now: str) -> Iterator[Evidence | Unobtained]:
    from weighbridge.cli.channeling import index_reader
    from weighbridge.posture import crossing_facts
    from weighbridge.posture.evidence import Unobtained

    if row is None:
        why = "no revision of this model came over the bridge here"
        yield from (Unobtained(id_, why) for id_ in crossing_facts.IDS)
        return
    question = crossing_facts.CrossingQuestion(
        row,
        yard.ledger(),
        yard.trusted,
        yard.store,
        approved=yard.approved().address,
        index=lambda: index_reader(yard).current(),
    )
    yield from crossing_facts.collect(question, observed_at=now)


def _read(path: Path, limit: int) -> bytes:
    from weighbridge.wire.files import read_small

    return read_small(path, f"'{path}'", limit=limit)


def read_evidence(
    path: Path, limit: int = MAX_EVIDENCE_BYTES, *, trusted: Callable[[], SignatureVerifier] | None = None
) -> Dossier:
    """A stored dossier; a signed one is opened with the keys that are trusted, which only then are asked for.

    Raises:
        ConfigError: the file cannot be read. Malformed, LimitExceeded: it is no dossier.
        TrustError: it is signed, and by no trusted key.
    """
    from weighbridge.posture.evidence import Dossier
    from weighbridge.posture.signed import is_signed, open_dossier

    data = _read(path, limit)
    if trusted is not None and is_signed(data):
        return open_dossier(data, trusted())
    return Dossier.from_bytes(data)


# --- what the catalog shows


def kept_at(home: Home, model_name: ModelName) -> Path:
    """Where the newest evidence about a model is kept."""
    return home.posture / model_name.organisation / f"{model_name.name}.json"


def keep(yard: OpenYard, asked: Asked, dossier: Dossier) -> None:
    """Keeps the evidence for the gateway's catalog, where the home can be written."""
    path = kept_at(yard.home, asked.model_name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(path, canonical.encode(dossier.to_json()))
    except (OSError, ConfigError) as error:
        yard.output.say(f"warning: the evidence is not kept for the catalog: {error}")


def sheet_of(home: Home, model_name: ModelName) -> PostureSheet | None:
    """The report that the evidence kept here gives, for the catalog; None where none is kept.

    Raises:
        ConfigError, Malformed, LimitExceeded: what is kept cannot be read.
    """
    from weighbridge.posture.questions import judge
    from weighbridge.posture.report import Cell, english
    from weighbridge.posture.speech import Speech
    from weighbridge.serve.web_posture import PostureAnswer, PostureLine, PostureSheet

    path = kept_at(home, model_name)
    if not path.exists():
        return None
    dossier, speech = read_evidence(path, MAX_SHOWN_BYTES), Speech()
    posture = judge(dossier)

    def answer(cell: Cell) -> PostureAnswer:
        why = " ".join(english(words) for words in (cell.why, *cell.also))
        return PostureAnswer(cell.standing.value, speech.standing(cell.standing), why, english(cell.next_step))

    return PostureSheet(
        posture.revision,
        max((fact.observed_at for fact in dossier), default=""),
        tuple(english(words) for words in posture.recommendation),
        tuple(PostureLine(english(row.title), answer(row.hub), answer(row.bucket)) for row in posture.rows),
    )
