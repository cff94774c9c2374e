"""`weighbridge deploy lint`: does anyone's deployment serve what was approved, and nothing else?"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from weighbridge import __version__
from weighbridge.cli import reporting
from weighbridge.cli.accepting import Accepting
from weighbridge.cli.console import Output
from weighbridge.cli.loading import NodeOptions, node_options
from weighbridge.cli.options import common, fail_on_option, severity_code
from weighbridge.cli.settings import Home
from weighbridge.core.errors import ConfigError, InspectError, NothingCollected, WeighbridgeError
from weighbridge.core.names import ModelName

if TYPE_CHECKING:
    from weighbridge.deploy.lint import Approved
    from weighbridge.reports.document import ScanDocument
    from weighbridge.serve.loading.node import Node

MAX_FILES: Final = 2_000
MAX_FILE_BYTES: Final = 8 * 1024 * 1024
MAX_TOTAL_BYTES: Final = 64 * 1024 * 1024
_SKIPPED: Final = frozenset((".git", ".terraform", "node_modules", "__pycache__", ".venv", "charts"))
_ENDINGS: Final = (
    *(".yaml", ".yml", ".json", ".tf", ".tfvars", ".hcl", ".env", ".properties", ".service", ".container", ".sh"),
    *(".tpl", ".dockerfile"),
)
_NAMES: Final = ("dockerfile", "containerfile", ".env", "compose", "docker-compose")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the command line asked of the approved store."""

    models: tuple[str, ...]
    approved: bool
    size_gb: float | None
    node: NodeOptions


@click.command(
    "lint",
    epilog="\b\nExamples:\n  weighbridge deploy lint deployment.yaml\n"
    "  weighbridge deploy lint infrastructure/                     every file that looks like a part of a deployment\n"
    "  helm template my-chart | weighbridge deploy lint -          what a chart becomes\n"
    "  weighbridge deploy lint stack.json --approved --trust trust.json   prefixes, objects, sizes: as the store has them\n"
    "  weighbridge deploy lint k8s/ --format sarif --output lint.sarif\n"
    "  weighbridge deploy lint --explain deploy-hub-beside-mount",
)
@click.argument("paths", nargs=-1, metavar="[FILE]...")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="MODEL[@CHANNEL]",
    help="An approved model that it is to serve (repeatable).",
)
@click.option(
    "--approved", is_flag=True, help="Look every prefix that the files name up in the approved store, and list it."
)
@click.option("--size-gb", type=float, default=None, metavar="GB", help="The model's size, where no model is named.")
@click.option("--format", "chosen", type=click.Choice(reporting.FORMATS), default=None, help="How to report.")
@click.option("--output", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write the report to a file.")
@fail_on_option("low")
@click.option("--baseline", type=click.Path(path_type=Path, dir_okay=False), help="Findings that were accepted.")
@click.option(
    "--write-baseline", type=click.Path(path_type=Path, dir_okay=False), help="Accept what is found now, in this file."
)
@click.option("--reason", default="", metavar="TEXT", help="Why, with --write-baseline.")
@click.option("--expires", type=click.DateTime(["%Y-%m-%d"]), help="Until when, with --write-baseline (90 days).")
@click.option("--explain", metavar="RULE", help="Explain a rule instead: what it means, what to do, before and after.")
@node_options
@common
def lint_command(
    home: Home,
    output: Output,
    /,
    *,
    paths: tuple[str, ...],
    models: tuple[str, ...],
    approved: bool,
    size_gb: float | None,
    node: NodeOptions,
    chosen: str | None,
    file: Path | None,
    fail_on: str,
    explain: str | None,
    **baseline: object,
) -> int:
    """Find what is wrong with a deployment: Kubernetes and KServe YAML, CloudFormation, Terraform, compose, .env,
    serving.properties, Dockerfiles, systemd units, shell scripts, SageMaker requests. Nothing is deployed or fetched.

    Exits 0 only when every file was read and nothing was found; 4 when something could not be read; 11 to 14 by the
    highest severity found. What a baseline accepts does not count.
    """
    if explain:
        from weighbridge.cli.commands.rules import explain as explain_rule
        from weighbridge.deploy.rules import RULES

        return explain_rule(output, explain, RULES)
    if not paths:
        raise click.UsageError("name at least one file or folder, or a rule with --explain")
    files = read_paths(paths)
    facts = _facts(home, output, files, _Asked(models, approved, size_gb, node))
    accepting = Accepting.from_options(baseline)
    document = _accepted(lint(files, ", ".join(paths), facts), files, accepting)
    accepting.save(output)
    from weighbridge.deploy.rules import RULES

    reporting.write(output, [document], chosen or ("json" if output.as_json else "table"), file, RULES)
    return exit_code(document, fail_on)


def lint(files: dict[str, bytes], source: str, facts: Approved | None = None) -> ScanDocument:
    """What is wrong with a deployment's files, as every report writes it; `source` is what they are called together."""
    from weighbridge.deploy.lint import inspect_files
    from weighbridge.reports.document import ScanDocument

    started = time.monotonic()
    inspection = inspect_files(files, facts)
    size = sum(len(data) for data in files.values())
    return ScanDocument(
        source=source,
        revision="",
        inspection=inspection,
        files=len(files),
        total_bytes=size,
        read_bytes=size,
        milliseconds=round((time.monotonic() - started) * 1000),
        version=__version__,
    )


def _accepted(document: ScanDocument, files: Mapping[str, bytes], accepting: Accepting) -> ScanDocument:
    """The document with what a baseline accepts; an entry holds for a file with the digest that was accepted."""
    from weighbridge.core.names import Address
    from weighbridge.core.snapshot import Entry, Origin, Snapshot
    from weighbridge.transfer.scan import Scanned

    entries = tuple(Entry(path, len(data)) for path, data in files.items())
    snapshot = Snapshot(ModelName("local", "linted"), Address("folder", "."), Origin("folder", "."), entries)
    accepted = accepting.judge(
        Scanned(snapshot, document.inspection, document.read_bytes),
        lambda path: f"sha256:{hashlib.sha256(files[path]).hexdigest()}",
    )
    return replace(document, accepted=accepted)


def exit_code(document: ScanDocument, fail_on: str) -> int:
    """As `scan` ends: 11 to 14 by the worst finding, 4 where something could not be read, else 0."""
    unanswered = not document.answered and fail_on != "never"
    return severity_code(document.highest_severity, fail_on) or (InspectError.exit_code if unanswered else 0)


# --- files -------------------------------------------------------------------------------------------


def read_paths(paths: Sequence[str]) -> dict[str, bytes]:
    """The files that paths name, by how they are called in reports; of folders, those that look like parts of a deployment.

    Raises:
        ConfigError: one is not there, or there is more than is read.
        NothingCollected: there is no file.
    """
    found: dict[str, bytes] = {}
    total = 0
    for path in _paths(paths):
        data = _read(path)
        total += len(data)
        if len(found) >= MAX_FILES or total > MAX_TOTAL_BYTES:
            raise ConfigError(
                f"there are more than {MAX_FILES} files or {MAX_TOTAL_BYTES} bytes", hint="Name the files one by one."
            )
        found["stdin" if path == "-" else Path(path).as_posix()] = data
    if not found:
        raise NothingCollected(
            "no file there looks like a part of a deployment",
            hint="Name the files: they are then read whatever they are called.",
        )
    return found


def _read(path: str) -> bytes:
    try:
        if path == "-":
            return sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        with Path(path).open("rb") as file:
            # One byte more than is read: what is longer is then told to be not read.
            return file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"'{path}' cannot be read: {error.strerror}") from error


def _paths(paths: Sequence[str]) -> Iterator[str]:
    for name in paths:
        path = Path(name)
        if name == "-" or not path.is_dir():
            if name != "-" and not path.is_file():
                raise ConfigError(f"'{name}' is no file or folder")
            yield name
            continue
        yield from (str(one) for one in _below(path))


def _below(folder: Path) -> Iterator[Path]:
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            items = sorted(here.iterdir())
        except OSError as error:
            raise ConfigError(f"'{here}' cannot be read: {error.strerror}") from error
        for item in items:
            if item.is_symlink():
                continue
            if item.is_dir():
                if item.name not in _SKIPPED:
                    waiting.append(item)
            elif item.name.lower().endswith(_ENDINGS) or item.name.lower().startswith(_NAMES):
                yield item


# --- the approved store --------------------------------------------------------------------------------


def _facts(
    home: Home,
    output: Output,
    files: Mapping[str, bytes],
    asked: _Asked,
) -> Approved | None:
    from weighbridge.deploy.lint import Approved

    size = int((asked.size_gb or 0) * 1e9)
    if not asked.models and not asked.approved:
        return Approved(size_bytes=size) if size else None
    from weighbridge.cli.loading import opened_node

    with opened_node(home, output, asked.node) as node:
        return _looked_up(node, files, asked, size_bytes=size)


def _looked_up(node: Node, files: Mapping[str, bytes], asked: _Asked, *, size_bytes: int) -> Approved:
    """What the approved store says of the models that are named, and of the prefixes in the files."""
    from weighbridge.core.layout import MODELS, model_prefix
    from weighbridge.deploy.lint import Approved, prefixes_named
    from weighbridge.deploy.lint.approved import Revision

    store = node.store
    root = store.address.rstrip("/")
    refused: dict[str, str] = {}
    found = [node.resolve(model) for model in asked.models]
    for prefix in prefixes_named(files) if asked.approved else ():
        address, _, rest = prefix.rstrip("/").rpartition(f"/{MODELS}")
        if address.rstrip("/") != root:
            continue
        org, name, revision = rest.split("/")
        try:
            found.append(node.resolve(f"{org}/{name}@{revision}"))
        except WeighbridgeError as error:
            if error.transient:
                raise
            refused[prefix] = error.message
    revisions = {}
    for sealed in found:
        under = model_prefix(sealed.manifest.model_name, sealed.manifest.revision)
        sizes = {artifact.path: artifact.size_bytes for artifact in sealed.manifest.artifacts}
        present = tuple(item.key.removeprefix(under) for item in store.list(under))
        revisions[f"{root}/{under}"] = Revision(sizes, present)
    largest = max((one.size_bytes for one in revisions.values()), default=0)
    return Approved(root, revisions, size_bytes or largest, refused)
