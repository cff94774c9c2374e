"""What the Hub says of a model and its owner, and what asking it gives away: the evidence of the Hub route.

Rules: everything is asked of one commit; a redirect is a fact and is not followed; the Hub's scan is recorded as its word and
nothing more, and "not scanned" is not "clean"; what an answer contradicts itself in counts by its worse word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import Malformed, NotFound, SourceError, WeighbridgeError
from weighbridge.core.finding import Inspection
from weighbridge.core.names import Address, ModelName, is_revision
from weighbridge.core.shown import plain
from weighbridge.core.snapshot import Origin
from weighbridge.formats.json_text import Json
from weighbridge.posture.egress import IDS as EGRESS_IDS
from weighbridge.posture.egress import read_egress
from weighbridge.posture.evidence import Evidence, Unobtained
from weighbridge.posture.gathering import MAX_INTEGER, Gathered, Notes, bounded, gathered, listed
from weighbridge.posture.git_commit import signature_of
from weighbridge.posture.hub_files import IDS as FILE_IDS
from weighbridge.posture.hub_files import LOAD_IDS, FilesQuestion, read_files
from weighbridge.source.hub_questions import (
    MAX_COMMITS,
    MAX_FILES,
    SCANNED,
    WAITING,
    Answer,
    HubAsking,
    account,
    new_name,
    repository_issues,
    scan_word,
    scanner_words,
    segment,
    text_field,
)
from weighbridge.transfer.scan import Scanner
from weighbridge.wire.http import Http

REF_IDS: Final = ("hub.revision.ref", "hub.revision.pinned")
INFO_IDS: Final = (
    "hub.revision.commit",
    "hub.repository.created_at",
    "hub.repository.id_unchanged",
    "hub.gated",
    "hub.private",
    "hub.disabled",
    "hub.licence",
    "hub.downloads",
    "hub.likes",
)
NAME_IDS: Final = ("hub.history.renamed", "hub.history.renamed_to")
OWNER_IDS: Final = (
    "hub.owner.name",
    "hub.owner.kind",
    "hub.owner.id",
    "hub.owner.verified",
    "hub.owner.created_at",
    "hub.owner.id_unchanged",
)
HISTORY_IDS: Final = ("hub.revision.moved_since", "hub.revision.still_there", "hub.history.commits")
COMMIT_IDS: Final = ("hub.commit.signed", "hub.commit.signature")
TREE_IDS: Final = (
    "hub.scan.files",
    "hub.scan.not_scanned",
    "hub.scan.flagged",
    "hub.formats",
    "hub.formats.unsafe",
)
IDS: Final = (
    *REF_IDS,
    *NAME_IDS,
    *INFO_IDS,
    *OWNER_IDS,
    *HISTORY_IDS,
    *COMMIT_IDS,
    *TREE_IDS,
    *FILE_IDS,
    *LOAD_IDS,
    *EGRESS_IDS,
)
"""All that `collect` promises: each comes out, as evidence or as unobtained."""

UNSAFE_ENDINGS: Final = frozenset(
    (
        *(
            ".bin",
            ".pt",
            ".pth",
            ".ckpt",
            ".pkl",
            ".pickle",
            ".joblib",
            ".dill",
            ".h5",
            ".hdf5",
            ".keras",
            ".pb",
            ".npy",
        ),
        *(".npz", ".nemo", ".mar", ".tar", ".7z", ".zip", ".llamafile", ".skops", ".rds", ".rdata", ".onnx"),
    )
)
"""Endings of formats that can run code when they are loaded, or hold such files."""


@dataclass(frozen=True, slots=True)
class Crossed:
    """The revision that came in from there, as our signed records say: for a derived one, its parent's origin.

    `inspection` is the newest one of exactly those bytes, where there is one.
    """

    origin: Origin
    inspection: Inspection | None = None


@dataclass(frozen=True, slots=True)
class HubQuestion:
    """What is asked about: `hf://org/name[@ref]` at an endpoint.

    `egress` is a recorded run of a client and `egress_source` its name; `measure_bytes` is how much of the largest file is
    read to measure the rate, 0 for not at all; `scanner` looks for secrets where no inspection has.
    """

    address: Address
    endpoint: str
    crossed: Crossed | None = None
    scanner: Scanner | None = None
    egress: bytes | None = None
    egress_source: str = ""
    measure_bytes: int = 0

    @property
    def ref(self) -> str:
        """What is asked for."""
        return self.address.ref or "main"


@dataclass(frozen=True, slots=True)
class _Info:
    """The model as the Hub describes it at one commit."""

    commit: str
    fields: Mapping[str, Json]
    answer: Answer


def collect(http: Http, question: HubQuestion, *, observed_at: str, token: str = "") -> Gathered:
    """The evidence of the Hub route; never raises for what cannot be read.

    Raises:
        ConfigError: the address is none of a model on the Hub.
    """
    notes = Notes(observed_at)
    model_name = ModelName.parse(question.address.location)
    hub = HubAsking(http, question.endpoint, model_name, token=token)
    yield notes.saw("hub.revision.ref", plain(question.ref), "the reference")
    yield notes.saw("hub.revision.pinned", is_revision(question.ref), "the reference")
    found: list[_Info] = []
    yield from gathered(NAME_IDS, lambda: _name(notes, hub, question, found))
    if found:
        info = found[0]
        yield from gathered(INFO_IDS, lambda: _info(notes, info, question))
        yield from gathered(OWNER_IDS, lambda: _owner(notes, hub, info, question))
        yield from gathered(HISTORY_IDS, lambda: _history(notes, hub, question))
        yield from gathered(COMMIT_IDS, lambda: _signature(notes, hub, info))
        tree = list(gathered(TREE_IDS, lambda: _tree(notes, hub, info)))
        yield from tree
        if any(isinstance(one, Evidence) for one in tree):
            asked = FilesQuestion(http, question.endpoint, model_name, info.commit, _inspection(question, info))
            yield from read_files(notes, asked, scanner=question.scanner, measure_bytes=question.measure_bytes)
        else:
            yield from (Unobtained(id_, "the commit's files could not be listed") for id_ in (*FILE_IDS, *LOAD_IDS))
    else:
        why = f"{plain(question.endpoint)} gave no answer about {model_name} that could be used"
        for id_ in (*INFO_IDS, *OWNER_IDS, *HISTORY_IDS, *COMMIT_IDS, *TREE_IDS, *FILE_IDS, *LOAD_IDS):
            yield Unobtained(id_, why)
    yield from gathered(EGRESS_IDS, lambda: _egress(notes, question, model_name))


def _egress(notes: Notes, question: HubQuestion, model_name: ModelName) -> Iterator[Evidence]:
    if question.egress is None:
        raise NotFound("no run of a client was recorded", hint="Record one, and pass it with --egress FILE.")
    yield from read_egress(notes, question.egress, question.egress_source or "the recorded run", model_name)


def _inspection(question: HubQuestion, info: _Info) -> Inspection | None:
    crossed = question.crossed
    return crossed.inspection if crossed is not None and crossed.origin.commit == info.commit else None


# --- the model and its name


def _name(notes: Notes, hub: HubAsking, question: HubQuestion, found: list[_Info]) -> Iterator[Evidence]:
    """Whether the name still is this repository's; puts the model's description into `found` where it is."""
    answer = hub.model(f"/revision/{segment(question.ref)}", securityStatus="true")
    asked = answer.asked
    if answer.location:
        moved_to = new_name(hub, answer)
        yield notes.saw("hub.history.renamed", True, asked, digest=answer.digest)
        yield notes.saw("hub.history.renamed_to", moved_to, asked, digest=answer.digest)
        return
    fields = answer.object()
    name = text_field(fields, "id")
    renamed = name != str(hub.model_name)
    yield notes.saw("hub.history.renamed", renamed, asked, digest=answer.digest)
    yield notes.saw("hub.history.renamed_to", plain(name) if renamed else "", asked, digest=answer.digest)
    if renamed:
        return
    commit = text_field(fields, "sha")
    if not is_revision(commit):
        raise Malformed(f"{asked} names no commit")
    if is_revision(question.ref) and commit != question.ref:
        raise Malformed(f"{asked} answers about commit {commit}")
    found.append(_Info(commit, fields, answer))


def _info(notes: Notes, info: _Info, question: HubQuestion) -> Iterator[Evidence | Unobtained]:
    fields, asked, digest = info.fields, info.answer.asked, info.answer.digest
    yield notes.saw("hub.revision.commit", info.commit, asked, digest=digest)
    told: tuple[tuple[str, JsonValue], ...] = (
        ("hub.repository.created_at", _time(fields.get("createdAt"))),
        ("hub.gated", _gated(fields.get("gated"))),
        ("hub.private", _flag(fields.get("private"))),
        ("hub.disabled", _flag(fields.get("disabled"))),
        ("hub.licence", _licence(fields)),
        ("hub.downloads", _number(fields.get("downloads"))),
        ("hub.likes", _number(fields.get("likes"))),
    )
    for id_, value in told:
        if value is None:
            yield Unobtained(id_, f"{asked} does not say it, or not in a form that is known")
        else:
            yield notes.saw(id_, value, asked, digest=digest)
    before = question.crossed.origin.repository_id if question.crossed else ""
    yield _same(notes, "hub.repository.id_unchanged", before, text_field(fields, "_id"), info.answer)


def _same(notes: Notes, id_: str, before: str, now: str, answer: Answer) -> Evidence | Unobtained:
    """Whether an id of the Hub is the one that was recorded when the model came in; null where none was."""
    if not before:
        return notes.saw(id_, None, "our records: no ingested revision of this model has the id it had")
    if not now:
        return Unobtained(id_, f"{answer.asked} names no id")
    return notes.saw(id_, before == now, f"{answer.asked}, and the signed manifest", digest=answer.digest)


def _licence(fields: Mapping[str, Json]) -> str | None:
    card = fields.get("cardData")
    said = card.get("license") if isinstance(card, dict) else None
    if isinstance(said, list):
        said = ", ".join(one for one in said if isinstance(one, str))
    if isinstance(said, str) and said:
        return plain(said)
    tags = fields.get("tags")
    if not isinstance(tags, list):
        return None
    named = [one.removeprefix("license:") for one in tags if isinstance(one, str) and one.startswith("license:")]
    return plain(", ".join(sorted(named)))


# --- the owner


def _owner(notes: Notes, hub: HubAsking, info: _Info, question: HubQuestion) -> Iterator[Evidence | Unobtained]:
    name = text_field(info.fields, "author") or hub.model_name.organisation
    if "/" in name or name.lower() != hub.model_name.organisation.lower():
        raise SourceError(f"{info.answer.asked} names another owner than the model's name does: {plain(name)}")
    kind, answer = account(hub, name)
    fields = answer.object()
    yield notes.saw("hub.owner.name", plain(name), answer.asked, digest=answer.digest)
    yield notes.saw("hub.owner.kind", kind, answer.asked, digest=answer.digest)
    identity = text_field(fields, "_id")
    if identity:
        yield notes.saw("hub.owner.id", plain(identity), answer.asked, digest=answer.digest)
    if kind == "user":
        yield notes.saw("hub.owner.verified", False, f"{answer.asked}: the Hub verifies organisations only")
    elif isinstance(verified := fields.get("isVerified"), bool):
        yield notes.saw("hub.owner.verified", verified, answer.asked, digest=answer.digest)
    created = _time(fields.get("createdAt"))
    if created is None:
        yield Unobtained("hub.owner.created_at", f"{answer.asked} does not say since when the account is there")
    else:
        yield notes.saw("hub.owner.created_at", created, answer.asked, digest=answer.digest)
    crossed = question.crossed
    same_name = crossed is not None and crossed.origin.owner.lower() == name.lower()
    before = crossed.origin.owner_id if crossed is not None and same_name else ""
    yield _same(notes, "hub.owner.id_unchanged", before, identity, answer)


# --- the history


def _history(notes: Notes, hub: HubAsking, question: HubQuestion) -> Iterator[Evidence | Unobtained]:
    origin = question.crossed.origin if question.crossed else None
    if origin is None or not origin.commit:
        why = "no revision of this model came in from the Hub, so there is nothing to compare"
        yield Unobtained("hub.revision.moved_since", why)
        yield notes.saw("hub.revision.still_there", None, f"our records: {why}")
        ref = question.ref
    else:
        ref = origin.requested_ref or "main"
        yield from _moved(notes, hub, origin, ref)
    yield from _commits(notes, hub, origin.commit if origin else "", "main" if is_revision(ref) else ref)


def _moved(notes: Notes, hub: HubAsking, origin: Origin, ref: str) -> Iterator[Evidence | Unobtained]:
    if is_revision(ref):
        yield notes.saw("hub.revision.moved_since", False, "the signed manifest: it was ingested by its commit")
        return
    answer = hub.model(f"/revision/{segment(ref)}")
    try:
        now = text_field(answer.object(), "sha")
    except WeighbridgeError as error:
        yield Unobtained("hub.revision.moved_since", plain(error.message))
        return
    source = f"{answer.asked}, and the signed manifest"
    yield notes.saw("hub.revision.moved_since", now != origin.commit, source, digest=answer.digest)


def _commits(notes: Notes, hub: HubAsking, wanted: str, ref: str) -> Iterator[Evidence]:
    count, there, asked = 0, False, ""
    for answer, rows in hub.pages(f"/commits/{segment(ref)}", limit=MAX_COMMITS):
        count += len(rows)
        there = there or any(row.get("id") == wanted for row in rows)
        asked = answer.asked
    yield notes.saw("hub.history.commits", count, asked)
    if wanted:
        yield notes.saw("hub.revision.still_there", there, f"{asked}, and the signed manifest")


def _signature(notes: Notes, hub: HubAsking, info: _Info) -> Iterator[Evidence]:
    signature = signature_of(hub, info.commit)
    yield notes.saw("hub.commit.signed", bool(signature.kind), signature.source, digest=signature.digest)
    yield notes.saw("hub.commit.signature", signature.kind, signature.source, digest=signature.digest)


# --- the tree: scans and formats


def _tree(notes: Notes, hub: HubAsking, info: _Info) -> Iterator[Evidence]:
    rows: dict[str, dict[str, Json]] = {}
    digests = []
    asked = ""
    for answer, page in hub.pages(f"/tree/{info.commit}", limit=MAX_FILES, recursive="true", expand="true"):
        digests.append(answer.digest)
        asked = answer.asked
        for row in page:
            path = row.get("path")
            if row.get("type") == "file" and isinstance(path, str):
                rows[path] = row
    digest = digests[0] if len(digests) == 1 else ""
    worse = repository_issues(info.fields)
    statuses = {path: scan_word(row, worse.get(path, "")) for path, row in rows.items()}
    files: list[JsonValue] = [
        {"path": plain(path), "status": statuses[path], "scanners": scanner_words(rows[path])} for path in sorted(rows)
    ]
    yield notes.saw("hub.scan.files", bounded(files), asked, digest=digest)
    waiting = listed(path for path, status in statuses.items() if status in WAITING)
    yield notes.saw("hub.scan.not_scanned", waiting, asked, digest=digest)
    flagged = [path for path, status in statuses.items() if status in SCANNED[1:]]
    flagged += [path for path in worse if path not in rows]
    yield notes.saw("hub.scan.flagged", listed(flagged), asked, digest=digest)
    formats = Counter(_format(path) for path in rows)
    yield notes.saw("hub.formats", _counted(formats), f"{asked}: names of files", digest=digest)
    unsafe = listed(path for path in rows if f".{_format(path)}" in UNSAFE_ENDINGS)
    yield notes.saw("hub.formats.unsafe", unsafe, f"{asked}: names of files", digest=digest)


def _counted(counts: Counter[str]) -> dict[str, JsonValue]:
    """The commonest formats; the many names of a hostile repository come together under `…`."""
    common = counts.most_common(100)
    rest = sum(counts.values()) - sum(count for _, count in common)
    return {**dict(common), **({"…": rest} if rest else {})}


def _format(path: str) -> str:
    name = path.rpartition("/")[2].lower()
    return plain(name.rpartition(".")[2], 20) if "." in name.lstrip(".") else "no ending"


# --- fields of a stranger


def _flag(value: Json) -> bool | None:
    return value if isinstance(value, bool) else None


def _gated(value: Json) -> bool | str | None:
    if value is False:
        return False
    return value if isinstance(value, str) and value in ("auto", "manual") else None


def _number(value: Json) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and isinstance(value, int) and 0 <= value <= MAX_INTEGER else None


def _time(value: Json) -> str | None:
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return value if moment.tzinfo is not None else None
