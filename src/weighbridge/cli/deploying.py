"""What the commands of `weighbridge deploy` share: options made of the targets' own choices, and a plan from them."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from weighbridge.cli.console import Output, duration, size
from weighbridge.core.canonical import JsonValue
from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import ConfigError, Interrupted
from weighbridge.core.finding import Severity
from weighbridge.wire.signals import on_stop

if TYPE_CHECKING:
    from weighbridge.cli.yard import OpenYard
    from weighbridge.core.names import ModelName
    from weighbridge.deploy.deployments import Recorded, Standing
    from weighbridge.deploy.latency import Predicted
    from weighbridge.deploy.plan import Plan, Target
    from weighbridge.serve.approved import Approved

OWN = "choice_"
"""Before the names of the targets' choices among a command's parameters."""


class ChoosingCommand(click.Command):
    """A command that also takes every choice of every target as an option.

    The targets are imported when the command's options are asked for, not when it is listed.
    """

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Its own options, then those of the targets."""
        own = super().get_params(ctx)
        taken = {name for parameter in own for name in parameter.opts}
        made = [option for option in _target_options() if not taken.intersection(option.opts)]
        return [*own, *made]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a command line asks to deploy."""

    model: str
    target: str
    choices_file: Path | None
    given: Mapping[str, object]

    @classmethod
    def of(cls, model: str, target: str, choices_file: Path | None, rest: Mapping[str, Any]) -> Wanted:
        """From a command's parameters; what was not given is left out."""
        given = {
            name.removeprefix(OWN): value
            for name, value in rest.items()
            if name.startswith(OWN) and value not in (None, ())
        }
        return cls(model, target, choices_file, given)


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and how long its model takes to load by each route."""

    plan: Plan
    load: tuple[Predicted, ...]
    options: object
    """Of the target: what was chosen."""

    @property
    def highest(self) -> Severity | None:
        """The worst of what lint says."""
        return max((finding.severity for finding in self.plan.findings), default=None)

    def to_json(self) -> dict[str, JsonValue]:
        """The plan with its load times, as one document."""
        return {
            **self.plan.to_json(),
            "load": [
                {
                    "route": one.route,
                    "milliseconds": round(one.seconds * 1000),
                    "transfer_milliseconds": round(one.transfer_seconds * 1000),
                    "bound": one.bound,
                }
                for one in self.load
            ],
        }


def planned(yard: OpenYard, wanted: Wanted) -> Planned:
    """The deployment that is wanted, thought through; nothing is created.

    Raises:
        ConfigError: no target, or a choice is missing, malformed or of another target.
        NothingCollected, Revoked, TrustError, StoreError: the model cannot be deployed. Denied: not in this way.
    """
    from weighbridge.admit.asking import PRODUCTION
    from weighbridge.core.names import Reference, is_revision
    from weighbridge.deploy.choosing import has, options_of, read_choices, render
    from weighbridge.deploy.deployable import check_prefix, deployable_of
    from weighbridge.deploy.plan import Target
    from weighbridge.serve.loading.node import Node

    target = _target(wanted.target or yard.config.deploy.target)
    file = wanted.choices_file or _settings_file(yard)
    chosen = {**(read_choices(file, target) if file else {}), **wanted.given}
    options = options_of(target, chosen)
    reference = Reference.parse(wanted.model)
    approved = approved_of(yard)
    sealed = Node(approved).resolve(wanted.model)
    channel = "" if is_revision(reference.selector) else reference.selector or PRODUCTION
    deployable = deployable_of(sealed, channel, approved.store)
    with tempfile.TemporaryDirectory(prefix="weighbridge-") as folder:
        if has(target, "trust") and "trust" not in chosen:
            options = options_of(target, {**chosen, "trust": _trust_file(yard, Path(folder))})
        plan = render(target, deployable, options)
    if target is Target.SAGEMAKER:
        check_prefix(approved.store, sealed)
    rate = getattr(options, "transfer_rate", 0)
    return Planned(_linted(plan), _load(yard, plan, rate if isinstance(rate, int) else 0), options)


def approved_of(yard: OpenYard) -> Approved:
    """The approved store of a home as readers see it.

    Raises:
        ConfigError: this home trusts no index.
    """
    from weighbridge.cli.channeling import index_reader
    from weighbridge.serve.approved import Approved

    reader = index_reader(yard)
    if not reader.trusted.has_root:
        raise ConfigError(
            "this home trusts no index of channels", hint="Promote a model first, or trust an index: channels trust."
        )
    return Approved(yard.approved(), reader, yard.trusted)


def show(output: Output, found: Planned) -> None:
    """A plan for people: tables on a terminal; in a pipe, lines that begin with what they are about."""
    plan = found.plan
    model = plan.deployable
    load = [(one.route, duration(one.seconds), one.bound) for one in found.load]
    sections = (
        ("resource", ("kind", "name", "what"), [(one.kind, one.name, one.summary) for one in plan.resources]),
        ("file", ("file", "size"), [(one.name, size(len(one.text.encode()))) for one in plan.files]),
        ("cost", ("costs", "how much", "why"), [(one.what, one.quantity, one.why) for one in plan.cost_drivers]),
        ("load", ("load by", "about", "bound by"), load),
        (
            "finding",
            ("severity", "rule", "where", "what", "do"),
            [
                (f.severity.label, f.rule, f"{f.path}{f' {f.location}' if f.location else ''}", f.message, f.remedy)
                for f in sorted(plan.findings, key=lambda one: (-one.severity, one.sort_key()))
            ],
        ),
        ("note", ("notes",), [(note,) for note in plan.notes]),
    )
    where = f"{plan.target.value}: {plan.name}"
    output.line(f"{where}\t{model.reference}\t{size(model.size_bytes)}")
    for word, columns, rows in sections:
        if output.rich and rows:
            output.table(columns, rows)
        elif rows:
            output.table(columns, [(word, *row) for row in rows])


def deliver(output: Output, plan: Plan, folder: Path | None, *, before: Callable[[], object] = lambda: None) -> None:
    """Writes a plan's files: into a folder that appears whole, or to stdout as one file where they are of one kind.

    `before` is called when all is ready to be handed out: what it raises leaves nothing.

    Raises:
        ConfigError: the folder is there already or cannot be written, or the files cannot be told apart on stdout.
    """
    if folder is not None:
        write_folder(folder, {file.name: file.text for file in plan.files}, before=before)
        output.say(f"wrote {folder} ({len(plan.files)} files)")
        return
    texts = [file.text for file in sorted(plan.files, key=lambda file: file.name)]
    if len(plan.files) > 1 and not all(file.name.endswith((".yaml", ".yml")) for file in plan.files):
        names = ", ".join(file.name for file in plan.files)
        raise ConfigError(f"{len(plan.files)} files do not fit into one: {names}", hint="Name a folder: --output DIR")
    before()
    output.deliver("---\n".join(texts), None)


def write_folder(folder: Path, files: Mapping[str, str], *, before: Callable[[], object] = lambda: None) -> None:
    """Writes files into a folder that appears whole; one that is there is left alone. `before` is called right before it appears.

    Raises:
        ConfigError: it is there already, or cannot be written.
    """
    from weighbridge.deploy.applying import plain_name

    if folder.exists() or folder.is_symlink():
        raise ConfigError(f"'{folder}' is there already", hint="Name one that is not; nothing is written over.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as staging:
            staged = Path(staging) / "files"
            staged.mkdir()
            for name, text in files.items():
                (staged / plain_name(name)).write_text(text, encoding="utf-8")
            before()
            staged.rename(folder)
    except OSError as error:
        raise ConfigError(f"'{folder}' cannot be written: {error.strerror}") from error


def _target(word: str) -> Target:
    from weighbridge.deploy.plan import Target

    try:
        return Target(word)
    except ValueError:
        names = ", ".join(one.value for one in Target)
        what = f"{word!r:.40} is no target" if word else "where to deploy is not said"
        raise ConfigError(what, hint=f"Give --target, one of {names}, or set deploy.target.") from None


def _settings_file(yard: OpenYard) -> Path | None:
    said = yard.config.deploy.choices
    return Path(said).expanduser() if said else None


def _trust_file(yard: OpenYard, folder: Path) -> Path:
    """What this home trusts, as nodes get it."""
    from weighbridge.cli.loading import trust_of

    file = folder / "trust.json"
    file.write_bytes(trust_of(yard).to_bytes())
    return file


def _linted(plan: Plan) -> Plan:
    """The plan with what lint says of its files beside what rendering found."""
    from weighbridge.deploy.linting import lint_plan

    found = lint_plan(plan)
    return replace(plan, findings=found) if found != plan.findings else plan


def _load(yard: OpenYard, plan: Plan, rate: int) -> tuple[Predicted, ...]:
    from weighbridge.deploy.latency import Link, Machine, routes
    from weighbridge.deploy.sizing import DEFAULT_RATE

    settings = yard.config.deploy
    store = Link(settings.store_bytes_per_second or rate or DEFAULT_RATE, settings.store_round_trip_seconds)
    hub = Link(settings.hub_bytes_per_second, settings.hub_round_trip_seconds)
    machine = Machine(settings.node_processors, disk_bytes_per_second=settings.node_disk_bytes_per_second)
    return routes(plan.deployable.files.values(), hub=hub, store=store, machine=machine)


def _target_options() -> list[click.Option]:
    from weighbridge.deploy.choosing import available, choices

    everywhere = len(available())
    made = []
    for choice in choices():
        flag = f"--{choice.name.replace('_', '-')}"
        words = choice.words or f"{choice.name.replace('_', ' ').capitalize()}."
        if len(choice.targets) < everywhere:
            words = f"[{', '.join(one.value for one in choice.targets)}] {words}"
        if choice.kind == "bool":
            name = [f"{flag}/--no{flag[1:]}", f"{OWN}{choice.name}"]
            made.append(click.Option(name, default=None, help=words))
            continue
        kinds: dict[str, click.ParamType[Any]] = {"int": click.INT, "float": click.FLOAT}
        made.append(
            click.Option(
                [flag, f"{OWN}{choice.name}"],
                type=kinds.get(choice.kind, click.STRING),
                default=None,
                multiple=choice.kind == "texts",
                metavar={"int": "N", "float": "N", "path": "FILE"}.get(choice.kind, "TEXT"),
                help=f"{words} May be repeated." if choice.kind == "texts" else words,
            )
        )
    return made


def standing_now(yard: OpenYard, done: Recorded) -> tuple[Standing, str]:
    """Whether what was deployed may still run, and why not. Raises as `approved_of`."""
    from weighbridge.deploy.deployments import standing_of

    approved = approved_of(yard)

    def resolve(model_name: ModelName, ref: str) -> tuple[str, str]:
        manifest = approved.resolve(model_name, ref).manifest
        return manifest.revision, manifest.digest

    return standing_of(done, resolve)


@contextmanager
def stoppable(goes_on: str) -> Iterator[None]:
    """Ctrl-C and SIGTERM end a change with words of what is there by now; `goes_on` says which commands go on or undo it.

    Raises:
        Interrupted: it was stopped; the exit code is that of the signal.
    """
    received: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    try:
        with on_stop(stop):
            yield
    except (KeyboardInterrupt, Interrupted) as error:
        ended = error if isinstance(error, Interrupted) else Interrupted("stopped; what was done so far stays")
        ended.hint = ended.hint or goes_on
        ended.exit_code = 128 + (received[0] if received else signal.SIGINT)
        raise ended from None
