"""`weighbridge attest`: says, signed, where a revision came from, what was found and what policy made of it."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weighbridge.cli.console import Output
from weighbridge.cli.keyless import Keyless, keyless_options
from weighbridge.cli.options import common
from weighbridge.cli.settings import Home
from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import Denied, NothingCollected, StoreError

if TYPE_CHECKING:
    from weighbridge.attest.attestations import Inspected, Provenance
    from weighbridge.attest.summary import Approved, Summary
    from weighbridge.attest.trust import TrustedKeys
    from weighbridge.cli.yard import OpenYard
    from weighbridge.core.decision import Decision
    from weighbridge.core.finding import Inspection
    from weighbridge.core.ports import ObjectStore
    from weighbridge.store.catalog import CataloguedRevision
    from weighbridge.vault.attested import Attested
    from weighbridge.vault.records import SealedRevision

    _Open = tuple[ObjectStore, SealedRevision, Inspection]
    """A store, the verified records of a revision in it, and its newest inspection."""

TYPES = ("provenance", "inspection", "vsa", "all")
MAX_FILE_BYTES = 64 * 1024 * 1024


@click.command(
    "attest",
    epilog="\b\nExamples:\n  weighbridge attest org/name                          provenance, inspection, summary\n"
    "  weighbridge attest org/name --type provenance --show   print what it says\n"
    "  weighbridge attest org/name --output attestations      and write the envelopes into a folder\n"
    "  weighbridge attest org/name --verify vsa.dsse.json --max-age 30\n"
    "  weighbridge attest org/name --verify model.sig --anchors publisher-root.pem",
)
@click.argument("reference", metavar="MODEL[@REV]")
@click.option("--type", "chosen", type=click.Choice(TYPES), default="all", show_default=True, help="Which statement.")
@click.option("--output", "folder", default="", metavar="DIR", help="Write the envelopes there as well.")
@click.option("--show", is_flag=True, help="Print what the statements say.")
@click.option("--verify", "file", default="", metavar="FILE", help="Verify an attestation instead of making one.")
@click.option("--max-age", type=click.IntRange(min=1), metavar="DAYS", help="With --verify: refuse an older summary.")
@click.option("--anchors", default="", metavar="FILE", help="With --verify: a model signature, by these authorities.")
@keyless_options
@common
def attest_command(
    home: Home,
    output: Output,
    /,
    *,
    reference: str,
    chosen: str,
    folder: str,
    show: bool,
    file: str,
    max_age: int | None,
    anchors: str,
    keyless: Keyless,
) -> int:
    """Sign statements about a revision: where it came from, what was found, and what policy made of it.

    They are kept with the revision's records. The summary needs a decision (`weighbridge decide`).
    """
    from weighbridge.cli.yard import OpenYard

    if file and (folder or show or chosen != "all"):
        raise click.UsageError("--verify makes nothing: leave out --type, --output and --show")
    if (max_age is not None or anchors) and not file:
        raise click.UsageError("--max-age and --anchors go with --verify")
    keyless.check(verifying=bool(file), output=bool(folder))
    with OpenYard(home, output) as yard:
        if file and anchors:
            return _verify_signature(yard, reference, _read(file), Path(anchors))
        if file:
            return _verify(yard, reference, keyless.opened(_read(file), yard.trusted), max_age)
        made, decided = make_attestations(yard, _opened(yard, yard.resolve_arrival(reference)), chosen)
        if folder:
            _write(Path(folder), made)
            if keyless.sign:
                for path in keyless.write(Path(folder), made):
                    output.say(f"signed by Sigstore: {path}")
        _show(output, made, full=show)
        if not decided and chosen in ("vsa", "all"):
            said = f"no decision on {reference} is recorded, so there is no summary"
            if chosen == "vsa":
                raise NothingCollected(said, hint=f"Decide first: weighbridge decide {reference}")
            output.say(f"{said} (weighbridge decide {reference})")
    return 0


def _opened(yard: OpenYard, row: CataloguedRevision) -> _Open:
    from weighbridge.vault.inspections import latest_inspection

    store, revision = yard.store(row.store), yard.open_sealed(row)
    return store, revision, latest_inspection(store, revision, yard.ledger())


def make_attestations(yard: OpenYard, opened: _Open, chosen: str) -> tuple[list[Attested], bool]:
    """The attestations that were asked for of a revision where it came in, and whether there is a decision."""
    from weighbridge.attest.attestations import Kind, inspection, provenance
    from weighbridge.attest.summary import Cited, Grounds, summary
    from weighbridge.vault.attested import Desk, keep, newest_decision

    store, revision, found = opened
    manifest, seal = revision.manifest, revision.seal
    decision = newest_decision(store, manifest, yard.ledger())
    desk = Desk(store, yard.ledger(writing=True), yard.key, yard.trusted, yard.actor)
    made = []
    if chosen != "inspection":
        came = provenance(manifest, finished_at=seal.sealed_at, version=seal.weighbridge_version)
        made.append(keep(desk, manifest, Kind.PROVENANCE, came))
    if chosen != "provenance":
        made.append(keep(desk, manifest, Kind.INSPECTION, inspection(manifest, found)))
    if chosen in ("vsa", "all") and decision is not None:
        cited = tuple(Cited(one.record, one.sha256) for one in made)
        grounds = Grounds(found, cited, _approvals(yard, decision))
        made.append(keep(desk, manifest, Kind.SUMMARY, summary(manifest, decision, grounds)))
    wanted = [one for one in made if chosen in ("all", one.kind.value)]
    return wanted, decision is not None


def _approvals(yard: OpenYard, decision: Decision) -> tuple[Approved, ...]:
    """The approvals that count for a decision now."""
    from weighbridge.admit.approvals import case_of, standing_of
    from weighbridge.admit.people import roster_of
    from weighbridge.attest.summary import Approved
    from weighbridge.cli.admission import heritage
    from weighbridge.store.ledger import now_rfc3339

    ledger, now = yard.ledger(), now_rfc3339()
    inherited = heritage(yard, f"{decision.model_name}@{decision.revision}")
    stands = standing_of(ledger, case_of(ledger, decision), roster_of(ledger), now=now, heritage=inherited)
    return () if stands.rejected else tuple(Approved(one.person, one.digest, one.said_at) for one in stands.approved)


def _write(folder: Path, made: list[Attested]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for one in made:
            (folder / one.record.rpartition("/")[2]).write_bytes(one.envelope)
    except OSError as error:
        raise StoreError(f"'{folder}' cannot be written to: {error.strerror}") from error


def _statement(envelope: bytes) -> JsonValue:
    said: JsonValue = json.loads(base64.b64decode(json.loads(envelope)["payload"]))
    return said


def _show(output: Output, made: list[Attested], *, full: bool) -> None:
    if output.as_json:
        output.document(
            [
                {
                    "type": one.kind.value,
                    "record": one.record,
                    "sha256": one.sha256,
                    "new": one.new,
                    **({"statement": _statement(one.envelope)} if full else {}),
                }
                for one in made
            ]
        )
        return
    for one in made:
        if full:
            output.line(json.dumps(_statement(one.envelope), indent=2, ensure_ascii=False))
        else:
            output.line(f"{one.kind.value}\t{one.record}\t{'signed' if one.new else 'there already'}")


# --- verifying ----------------------------------------------------------------------------------


def _verify(yard: OpenYard, reference: str, signed: tuple[bytes, TrustedKeys], max_age: int | None) -> int:
    from weighbridge.attest.summary import Summary

    found = _open(yard, reference, signed, max_age)
    output = yard.output
    if output.as_json:
        record: dict[str, JsonValue] = json.loads(json.dumps(asdict(found)))
        output.document({"verified": True, **record})
    else:
        output.line(f"{found.reference}: {_result(found)}")
        for number, step in enumerate(found.steps, 1):
            output.say(f"  {number}. {step}")
    if isinstance(found, Summary) and not found.passed:
        raise Denied(
            f"the summary holds, and says that {found.reference} did not pass: policy '{found.policy_name}' said "
            f"{found.outcome}",
            hint="`weighbridge decide` says what would change it.",
        )
    return 0


def _verify_signature(yard: OpenYard, reference: str, signature: bytes, anchors: Path) -> int:
    """An OpenSSF model signature with certificates: a publisher's, or our own."""
    from weighbridge.attest.certificate import STEPS, Anchors
    from weighbridge.attest.sign import verify_certified_model

    _, revision, _ = _opened(yard, yard.resolve(reference))
    chain = verify_certified_model(signature, revision.manifest, Anchors.load(anchors), at=datetime.now(UTC))
    output, signer = yard.output, chain.certificates[0].subject.rfc4514_string()
    if output.as_json:
        output.document(
            {
                "verified": True,
                "reference": revision.manifest.reference,
                "signer": signer,
                "key_id": chain.key_id,
                "steps": list(STEPS),
            }
        )
        return 0
    output.line(f"{revision.manifest.reference}: ok, signed by {signer}")
    for number, step in enumerate(STEPS, 1):
        output.say(f"  {number}. {step}")
    return 0


def _result(found: Provenance | Inspected | Summary) -> str:
    from weighbridge.attest.attestations import Inspected, Provenance

    if isinstance(found, Provenance):
        return f"ok, from {found.source}{f' at {found.commit}' if found.commit else ''}"
    if isinstance(found, Inspected):
        return f"ok, {found.verdict} by rules {found.rules_version}"
    return f"ok, {'PASSED' if found.passed else 'FAILED'} policy '{found.policy_name}' at {found.verified_at}"


def _open(
    yard: OpenYard, reference: str, signed: tuple[bytes, TrustedKeys], max_age: int | None
) -> Provenance | Inspected | Summary:
    from weighbridge.attest.attestations import Kind, inspection_named, kind_of, open_inspection, open_provenance
    from weighbridge.attest.summary import Freshness, open_summary
    from weighbridge.vault.attested import newest_decided_at
    from weighbridge.vault.inspections import read_inspection

    envelope, keys = signed
    kind = kind_of(envelope)
    store, revision, found = _opened(yard, yard.resolve(reference))
    manifest = revision.manifest
    if kind is Kind.PROVENANCE:
        return open_provenance(envelope, manifest, keys)
    if kind is Kind.INSPECTION:
        named = inspection_named(envelope)
        for known in (found, revision.inspection):
            if _digest(known) == named:
                return open_inspection(envelope, manifest, known, keys)
        return open_inspection(envelope, manifest, read_inspection(store, revision, named), keys)
    fresh = Freshness(
        now=datetime.now(UTC),
        max_age=timedelta(days=max_age) if max_age else None,
        newest_decision=newest_decided_at(manifest, yard.ledger()),
    )
    return open_summary(envelope, manifest, keys, fresh=fresh)


def _digest(found: Inspection) -> str:
    import hashlib

    return hashlib.sha256(found.to_bytes()).hexdigest()


def _read(file: str) -> bytes:
    from weighbridge.wire.files import read_small

    return read_small(Path(file), f"'{file}'", limit=MAX_FILE_BYTES)
