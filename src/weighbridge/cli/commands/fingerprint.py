"""`weighbridge fingerprint`: what a model is, whatever it is called, and which sealed revision it comes from."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from weighbridge.cli.console import Output, size
from weighbridge.cli.options import cancellable, common
from weighbridge.cli.settings import Home
from weighbridge.core.canonical import JsonValue
from weighbridge.core.counted import plural
from weighbridge.core.errors import (
    ConfigError,
    FormatError,
    InspectError,
    NothingCollected,
    SourceError,
    WeighbridgeError,
)
from weighbridge.core.names import Address, ModelName
from weighbridge.deploy.architecture import Architecture

if TYPE_CHECKING:
    from weighbridge.cli.yard import OpenYard
    from weighbridge.drift.fingerprint import Fingerprint
    from weighbridge.drift.likeness import Likeness
    from weighbridge.drift.side import Side
    from weighbridge.inventory.known import KnownRevision

NEAREST: Final = 5
_RECORD: Final = ".json"


@dataclass(frozen=True, slots=True)
class _Subject:
    name: str
    fingerprint: Fingerprint
    architecture: Architecture = field(default_factory=Architecture)


@click.command(
    "fingerprint",
    epilog="\b\nExamples:\n  weighbridge fingerprint ./model            which sealed revision is it?\n"
    "  weighbridge fingerprint hf://org/name      by ranged reads, a few megabytes of any model\n"
    "  weighbridge fingerprint ./a.gguf ./b       are these the same weights?\n"
    "  weighbridge fingerprint org/name --json > name.json\n"
    "  weighbridge fingerprint ./model name.json  against one that was written before\n"
    "  weighbridge fingerprint --all              of everything sealed, ahead of the first inventory",
)
@click.argument("model", metavar="[MODEL]", required=False, default="")
@click.argument("other", metavar="[OTHER]", required=False, default="")
@click.option("--all", "everything", is_flag=True, help="Make and keep those of all sealed revisions.")
@click.option("--hub", default=None, metavar="URL", help="The Hub's endpoint, instead of HF_ENDPOINT.")
@common
def fingerprint_command(
    home: Home, output: Output, /, *, model: str, other: str, everything: bool, hub: str | None
) -> int:
    """Tell a model by its architecture and by samples of its weights, and find the sealed revision that is nearest.

    MODEL is org/name[@revision] in the store, a folder, a file, hf://org/name[@ref], s3://bucket/prefix, or the JSON that
    this command wrote. Names of files and tensors, shards, types and containers do not matter. With OTHER the two are
    compared.
    """
    from weighbridge.cli.yard import OpenYard

    if bool(model) == everything:
        raise click.UsageError("name a model, or give --all")
    with OpenYard(home, output, {"hub.endpoint": hub}) as yard, cancellable(output) as stop:
        if everything:
            return _make_all(yard, stop)
        subject = _subject(yard, model, stop)
        if other:
            _compare(output, subject, _subject(yard, other, stop))
        else:
            _report(yard, subject, stop)
    return 0


def _make_all(yard: OpenYard, stop: threading.Event) -> int:
    from weighbridge.cli.inventorying import against

    found, unusable = against(yard, stop)
    if yard.output.as_json:
        models: list[JsonValue] = [
            {"model": one.reference, "weights": one.fingerprint.digest, "architecture": one.fingerprint.names_digest}
            for one in found.known
        ]
        yard.output.document({"models": models, "unusable": list(unusable)})
    else:
        yard.output.table(
            ("Model", "Architecture", "Weights", "Sampled"),
            (
                (
                    one.reference,
                    one.fingerprint.names_digest[:16],
                    one.fingerprint.digest[:16],
                    str(len(one.fingerprint.tensors)),
                )
                for one in found.known
            ),
        )
    for line in unusable:
        yard.output.say(line)
    return WeighbridgeError.exit_code if unusable else 0


# --- subjects ------------------------------------------------------------------------------------


def _subject(yard: OpenYard, text: str, stop: threading.Event) -> _Subject:
    from weighbridge.cli.inventorying import records_of

    address = Address.parse(text)
    path = Path(address.location).expanduser()
    if address.scheme == "folder" and path.suffix == _RECORD and os.path.lexists(path):
        from weighbridge.inventory.known import read_fingerprint

        try:
            return _Subject(text, read_fingerprint(path))
        except FormatError as error:
            raise ConfigError(f"'{text}' is no fingerprint that was written before") from error
    stored = address.scheme == "folder" and not os.path.lexists(path) and yard.has_ledger
    if stored and not text.startswith((".", "/", "~")):
        row = yard.resolve(text)
        known = records_of(yard).known(row)
        return _Subject(known.reference, known.fingerprint)
    return _upstream(yard, address, stop)


def _upstream(yard: OpenYard, address: Address, stop: threading.Event) -> _Subject:
    from weighbridge.drift.fingerprint import fingerprint
    from weighbridge.inventory.weight_files import chosen, weights_of
    from weighbridge.source.opening import open_source
    from weighbridge.transfer.comparing import open_upstream

    name = None if address.scheme == "hf" else ModelName("local", "fingerprinted")
    source = open_source(address, yard.config, yard.http, as_name=name)
    side = open_upstream(source, yard.config.transfer, stop, yard.output.say).side
    weights = weights_of(side.files, side.open)
    files = chosen(weights)
    if not files:
        kinds = ", ".join(sorted({kind for _, kind in weights})) or "none"
        raise NothingCollected(
            f"{side.name} holds no weights that have a fingerprint (found: {kinds})",
            hint="Read are safetensors, GGUF and torch checkpoints.",
        )
    made = fingerprint(files, side.open)
    if not made.tensor_count:
        raise InspectError(f"no tensor of {side.name} can be read: {'; '.join(made.left_out[:3]) or 'it has none'}")
    return _Subject(side.name, made, _architecture(side))


def _architecture(side: Side) -> Architecture:
    from weighbridge.deploy.architecture import read_architecture

    try:
        return read_architecture(side.open("config.json")) if "config.json" in side.files else Architecture()
    except (FormatError, SourceError):
        return Architecture()


# --- reports -------------------------------------------------------------------------------------


def _compare(output: Output, subject: _Subject, other: _Subject) -> None:
    from weighbridge.drift.likeness import compare
    from weighbridge.inventory.taking import described

    likeness = compare(subject.fingerprint, other.fingerprint)
    if output.as_json:
        output.document({"model": subject.name, "other": other.name, "likeness": likeness.to_json()})
        return
    output.line(f"{likeness.verdict.value}\t{described(likeness)}\t{_architectures(likeness)}")


def _architectures(likeness: Likeness) -> str:
    if likeness.same_architecture:
        return "the same architecture"
    return "the same shapes under other names" if likeness.same_shapes else "another architecture"


def _report(yard: OpenYard, subject: _Subject, stop: threading.Event) -> None:
    from weighbridge.cli.inventorying import against
    from weighbridge.drift.likeness import compare
    from weighbridge.inventory.report import architecture_json

    output, made = yard.output, subject.fingerprint
    found, unusable = against(yard, stop)
    others = [one for one in found.known if one.reference != subject.name]
    ranked = sorted(
        ((one, compare(made, one.fingerprint)) for one in others), key=lambda pair: pair[1].rank, reverse=True
    )
    nearest = [pair for pair in ranked if pair[1].alike][:NEAREST]
    if output.as_json:
        output.document(
            {
                "model": subject.name,
                "config": architecture_json(subject.architecture),
                "fingerprint": made.to_json(),
                "nearest": [{"model": one.reference, "likeness": likeness.to_json()} for one, likeness in nearest],
                "held_against": len(others),
            }
        )
    else:
        _lines(output, subject, nearest, len(others))
    for line in unusable:
        output.say(line)


def _lines(output: Output, subject: _Subject, nearest: list[tuple[KnownRevision, Likeness]], held_against: int) -> None:
    from weighbridge.inventory.taking import described

    made = subject.fingerprint
    types = ", ".join(f"{count} {name}" for name, count in made.types.items())
    kind = ", ".join(subject.architecture.names) or subject.architecture.model_type
    output.line(f"model\t{subject.name}")
    output.line(
        f"architecture\t{made.names_digest[:32]}\t{made.tensor_count} tensors, {made.parameters} parameters\t{kind}"
    )
    output.line(f"weights\t{made.digest[:32] or 'none'}\t{types}")
    for one, likeness in nearest:
        output.line(f"{likeness.verdict.value}\t{one.reference}\t{described(likeness)}")
    for line in made.left_out:
        output.say(f"  left out: {line}")
    output.say(
        f"  {size(made.read_bytes)} read in {made.reads} reads; held against {plural(held_against, 'sealed revision')}"
    )
