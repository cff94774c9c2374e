"""`weighbridge remediate`: a safer revision of a model, derived from one that is stored, with proof of what changed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from weighbridge.cli.console import Output, duration, size
from weighbridge.cli.options import cancellable, common
from weighbridge.cli.settings import Home
from weighbridge.core.canonical import JsonValue
from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import ConfigError, FormatError, InspectError, MissingShard, NothingCollected
from weighbridge.core.finding import Inspection

if TYPE_CHECKING:
    from weighbridge.cli.yard import OpenYard
    from weighbridge.core.ports import ObjectStore
    from weighbridge.remediate.native import Engine
    from weighbridge.remediate.plan import Step
    from weighbridge.transfer.remedy import Plan, Remedied
    from weighbridge.vault.records import SealedRevision

SHOWN_FILES = 40
_CONTENT = ("antivirus", "content", "malware", "secrets")

EPILOG = """\b
Examples:
  weighbridge remediate org/name@1a2b                      what applies, and what each would change
  weighbridge remediate org/name@1a2b --to-safetensors     weights without pickles
  weighbridge remediate org/name@1a2b --strip-remote-code --engine vllm --engine-version 0.14
  weighbridge remediate org/name@1a2b --to-safetensors --strip-remote-code --drop-secrets --dry-run
"""


@click.command("remediate", epilog=EPILOG)
@click.argument("reference", metavar="MODEL[@REV]")
@click.option("--to-safetensors", is_flag=True, help="Pickled weights become safetensors, tensor by tensor.")
@click.option(
    "--strip-remote-code", is_flag=True, help="Take the model's own code out, where the engine has the architecture."
)
@click.option("--drop-secrets", is_flag=True, help="Leave out files in which a secret was found.")
@click.option(
    "--engine",
    type=click.Choice(["transformers", "vllm"]),
    default="transformers",
    help="What will serve the model (default: transformers).",
)
@click.option("--engine-version", default="", metavar="X.Y", help="The oldest version of it that is in use.")
@click.option("--dry-run", is_flag=True, help="Show what would change and what would be found, and write nothing.")
@common
def remediate_command(
    home: Home,
    output: Output,
    /,
    *,
    reference: str,
    engine: str,
    engine_version: str,
    dry_run: bool,
    **chosen: bool,
) -> int:
    """Derive a safer revision of a stored model, signed, with proof of what changed; the parent stays as it is.

    The derived revision is inspected and sealed like any other, under the same name. Without a remedy, shows which apply.
    Exits 2 or 1 when a remedy is refused, and says what to do.
    """
    from weighbridge.cli.yard import OpenYard
    from weighbridge.remediate.native import engine as engine_of

    target = engine_of(engine, engine_version)
    remedies = [name.replace("_", "-") for name, wanted in chosen.items() if wanted]
    with OpenYard(home, output) as yard:
        row = yard.resolve(reference)
        store = yard.store(row.store)
        parent = yard.open_sealed(row)
        if not remedies:
            return _offer(yard, store, parent, target)
        return _remediate(yard, store, parent, remedies, target, dry_run=dry_run)


def _remediate(
    yard: OpenYard,
    store: ObjectStore,
    parent: SealedRevision,
    remedies: Sequence[str],
    engine: Engine,
    *,
    dry_run: bool,
) -> int:
    from weighbridge.cli.crossing import ingesting
    from weighbridge.cli.progress import OnlyRetries, watching
    from weighbridge.transfer.inspecting import Inspecting
    from weighbridge.transfer.remedy import look_ahead, plan, remedy
    from weighbridge.transfer.scan import Scanner

    started, outcome = time.monotonic(), None
    quiet = Output(quiet=yard.output.quiet or yard.output.as_json, colour=yard.output.colour)
    with Inspecting(yard.config.inspection) as inspecting:
        inspecting.start()
        with cancellable(yard.output) as cancelled, watching(quiet, "remedying") as observer:
            planned = plan(store, parent, yard.ledger(), remedies, engine=engine)
            scanner = Scanner(yard.config.transfer, inspecting, OnlyRetries(observer), cancelled, content=False)
            ahead = look_ahead(scanner, planned)
            if ahead is not None and not dry_run:
                outcome = remedy(ingesting(yard, store, inspecting, observer, cancelled), planned)
    if ahead is None:
        raise NothingCollected(
            f"nothing of {parent.manifest.reference} is to be changed by {', '.join(remedies)}",
            hint="Without a remedy, `weighbridge remediate MODEL@REV` shows what applies.",
        )
    _show(yard.output, planned, ahead, outcome)
    if outcome is not None:
        how = ", ".join(f"{count} {word}" for word, count in outcome.how.items() if count)
        yard.output.say(f"  {how}; {duration(time.monotonic() - started)}")
        yard.output.say(f"Next: weighbridge show {outcome.revision.manifest.reference[:-28]}")
    return 0


# --- what applies -------------------------------------------------------------------------------


def _offer(yard: OpenYard, store: ObjectStore, parent: SealedRevision, engine: Engine) -> int:
    """For each remedy by itself: what it would change, that there is nothing to do, or why it is refused."""
    from weighbridge.transfer.remedy import REMEDIES, plan

    offers: list[tuple[str, str, str, list[_Change]]] = []
    for name in REMEDIES:
        try:
            planned = plan(store, parent, yard.ledger(), [name], engine=engine)
        except (ConfigError, FormatError, InspectError, MissingShard) as error:
            offers.append((name, "refused", f"{error.message}. {error.hint}".strip(), []))
            continue
        changes = _changes(planned)
        counts = Counter(change.what for change in changes)
        told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
        offers.append((name, "applies" if changes else "nothing to do", told, changes))
    if yard.output.as_json:
        found: list[JsonValue] = [
            {"remedy": name, "answer": answer, "why": told, "files": [change.to_json() for change in changes]}
            for name, answer, told, changes in offers
        ]
        yard.output.document({"parent": parent.manifest.reference, "engine": str(engine), "remedies": found})
        return 0
    yard.output.table(("remedy", "answer", ""), [(name, answer, told) for name, answer, told, _ in offers])
    applying = " ".join(f"--{name}" for name, answer, _, _ in offers if answer == "applies")
    if applying:
        yard.output.say(f"Next: weighbridge remediate {parent.manifest.reference[:-28]} {applying} --dry-run")
    return 0


# --- before and after ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Change:
    """One file and what becomes of it: `dropped`, `changed` or `made`; sizes are None where it is not."""

    path: str
    what: str
    remedy: str
    before_bytes: int | None
    after_bytes: int | None

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "path": self.path,
            "what": self.what,
            "remedy": self.remedy,
            "before_bytes": self.before_bytes,
            "after_bytes": self.after_bytes,
        }


def _changes(planned: Plan) -> list[_Change]:
    sizes = {artifact.path: artifact.size_bytes for artifact in planned.parent.manifest.artifacts}
    changes: dict[str, _Change] = {}
    for step in planned.steps:
        for path in step.dropped:
            changes[path] = _Change(path, "dropped", step.remedy, sizes.get(path), None)
        for made in step.made:
            what = "changed" if made.path in sizes else "made"
            changes[made.path] = _Change(made.path, what, step.remedy, sizes.get(made.path), made.size_bytes)
    return [changes[path] for path in sorted(changes)]


def _show(output: Output, planned: Plan, ahead: Inspection, outcome: Remedied | None) -> None:
    after = ahead if outcome is None else outcome.revision.inspection
    before = planned.before if outcome is not None else _without_content(planned.before)
    if output.as_json:
        output.document(_document(planned, before, after, outcome))
        return
    changes = _changes(planned)
    output.table(
        ("file", "", "before", "after"),
        [
            (change.path, change.what, _size(change.before_bytes), _size(change.after_bytes))
            for change in changes[:SHOWN_FILES]
        ],
        right=("before", "after"),
    )
    if len(changes) > SHOWN_FILES:
        output.say(f"and {len(changes) - SHOWN_FILES} more files")
    counts = (Counter(finding.rule for finding in one.findings) for one in (before, after))
    was, now = counts
    rows = [(rule, str(was[rule]), str(now[rule])) for rule in sorted(was | now) if was[rule] != now[rule]]
    output.table(("findings", "before", "after"), rows, right=("before", "after"))
    for step in planned.steps:
        output.say(f"  {step.remedy}: {_sketch(step)}")
    output.say(f"  verdict: {before.verdict.value} -> {after.verdict.value}")
    if outcome is None:
        output.say("Nothing was written. Leave --dry-run out to make it.")
        return
    output.line(outcome.revision.manifest.reference)
    output.say("  signed: what changed and how it is known" if outcome.fresh else "  it was there already")


def _document(planned: Plan, before: Inspection, after: Inspection, outcome: Remedied | None) -> dict[str, JsonValue]:
    steps: list[JsonValue] = [{"remedy": step.remedy, "proof": dict(step.proof)} for step in planned.steps]
    document: dict[str, JsonValue] = {
        "event": "planned" if outcome is None else "remedied",
        "parent": planned.parent.manifest.reference,
        "files": [change.to_json() for change in _changes(planned)],
        "verdict": {"before": before.verdict.value, "after": after.verdict.value},
        "findings": {
            "before": [finding.to_json() for finding in before.findings],
            "after": [finding.to_json() for finding in after.findings],
        },
        "steps": steps if outcome is None else [step.to_json() for step in outcome.remediation.steps],
    }
    if outcome is not None:
        manifest = outcome.revision.manifest
        document |= {
            "model": str(manifest.model_name),
            "revision": manifest.revision,
            "manifest_digest": manifest.digest,
            "fresh": outcome.fresh,
            "how": dict(outcome.how),
            "streamed_bytes": outcome.streamed_bytes,
        }
    return document


def _sketch(step: Step) -> str:
    """One line on how the step is known to be right."""
    proof = step.proof
    needs = proof.get("needs")
    if isinstance(needs, Mapping):
        versions = ", ".join(f"{name} {version}" for name, version in needs.items())
        return f"loads without code of its own in {versions or proof.get('engine')}"
    artifacts = proof.get("artifacts")
    if isinstance(artifacts, list):
        tensors = sum(len(one.get("tensors", [])) for one in artifacts if isinstance(one, Mapping))
        return f"{tensors} tensors, each with the digest of its elements on both sides"
    return f"{len(step.dropped)} files left out"


def _without_content(inspection: Inspection) -> Inspection:
    """The part of an inspection that a look ahead repeats: it does not search content for malware and secrets."""
    reports = tuple(report for report in inspection.reports if report.inspector not in _CONTENT)
    return Inspection(reports, inspection.rules_version)


def _size(count_bytes: int | None) -> str:
    return "-" if count_bytes is None else size(count_bytes)
