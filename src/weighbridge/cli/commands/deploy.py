"""`weighbridge deploy`: plans, renders, applies and watches deployments of approved revisions, and lints anyone's."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from weighbridge.cli.console import Output
from weighbridge.cli.deploying import (
    ChoosingCommand,
    Planned,
    Wanted,
    approved_of,
    deliver,
    planned,
    show,
    standing_now,
    stoppable,
)
from weighbridge.cli.options import common, fail_on_option, severity_code
from weighbridge.cli.settings import Home
from weighbridge.core.errors import Denied, NothingCollected, Revoked, TrustError

if TYPE_CHECKING:
    from weighbridge.cli.yard import OpenYard
    from weighbridge.core.names import ModelName
    from weighbridge.deploy.apply_sagemaker import SageMaker
    from weighbridge.deploy.deployments import Deployment, Recorded
    from weighbridge.deploy.platforms import Platform

WAIT_SECONDS = 1800
_LATER = {
    "status": "deploy_status:status_command",
    "lint": "deploy_lint:lint_command",
    "policies": "deploy_policies:policies_command",
}
"""Commands whose modules are large, as `module:attribute` beside this one."""

TARGETS = ("sagemaker", "vllm", "tgi", "lmi", "kserve", "compose")
_TARGET = click.option(
    "--target", type=click.Choice(TARGETS), default=None, help="Where to deploy (default: deploy.target)."
)
_CHOICES = click.option(
    "--choices",
    "choices_file",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE",
    help="A TOML file with choices; a table [vllm] is for that target alone (default: deploy.choices).",
)
_REASON = click.option("--reason", default="", metavar="TEXT", help="Why, for the ledger.")
_KEEP_OLD = click.option(
    "--keep-old",
    is_flag=True,
    help="Leave what only older versions had: a rollback then has it at hand. Else it is removed.",
)
CONTEXT = click.option("--context", default="", metavar="NAME", help="The context that kubectl uses.")
PLACE = click.option("--place", default="", metavar="NAME", help="Its namespace or region, where several fit.")


class _DeployGroup(click.Group):
    """Imports what is large only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.commands, *_LATER]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _LATER:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = _LATER[cmd_name].partition(":")
        found = getattr(importlib.import_module(f"weighbridge.cli.commands.{module}"), attribute)
        assert isinstance(found, click.Command)
        return found


@click.group("deploy", cls=_DeployGroup)
def deploy_command() -> None:
    """Make an approved revision run: plan it, render its files, apply them, and see what runs."""


# --- plan, render ---------------------------------------------------------------------------------


@deploy_command.command(
    "plan",
    cls=ChoosingCommand,
    epilog="\b\nExamples:\n  weighbridge deploy plan org/name --target vllm --choices deploy.toml\n"
    "  weighbridge deploy plan org/name@staging --target kserve --gpus 8 --gpu h200 --image reg/vllm@sha256:… …\n"
    "\b\nExit codes: 0 planned · 2 a choice is missing or wrong · 3 no such model or channel · 5 not to be run so ·\n"
    "7 revoked or not trusted · 11 to 14 the highest severity found",
)
@click.argument("model", metavar="MODEL[@CHANNEL]")
@_TARGET
@_CHOICES
@fail_on_option("high")
@common
def plan_command(
    home: Home,
    output: Output,
    /,
    *,
    model: str,
    target: str | None,
    choices_file: Path | None,
    fail_on: str,
    **rest: Any,
) -> int:
    """Say what a deployment would create, what drives its cost, how long it loads, and what lint finds. Nothing is created."""
    from weighbridge.cli.yard import OpenYard

    with OpenYard(home, output) as yard:
        found = planned(yard, Wanted.of(model, target or "", choices_file, rest))
    if output.as_json:
        output.document(found.to_json())
    else:
        show(output, found)
    return severity_code(found.highest, fail_on)


@deploy_command.command(
    "render",
    cls=ChoosingCommand,
    epilog="\b\nExamples:\n  weighbridge deploy render org/name --target vllm --choices deploy.toml > manifests.yaml\n"
    "  weighbridge deploy render org/name --target compose --choices deploy.toml --output ./deployment",
)
@click.argument("model", metavar="MODEL[@CHANNEL]")
@_TARGET
@_CHOICES
@click.option(
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    default=None,
    metavar="DIR",
    help="Write the files into this folder, which appears whole (default: stdout).",
)
@_REASON
@click.option("--accept-findings", is_flag=True, help="Render in spite of grave findings; --reason says why.")
@click.option("--no-record", is_flag=True, help="Do not enter in the ledger that files were handed out.")
@common
def render_command(
    home: Home,
    output: Output,
    /,
    *,
    model: str,
    target: str | None,
    choices_file: Path | None,
    folder: Path | None,
    reason: str,
    accept_findings: bool,
    no_record: bool,
    **rest: Any,
) -> int:
    """Write the files of a deployment: manifests, templates, a compose file, units."""
    from weighbridge.cli.yard import OpenYard
    from weighbridge.deploy.deployments import PLANNED, record, recorded_of

    with OpenYard(home, output) as yard:
        found = planned(yard, Wanted.of(model, target or "", choices_file, rest))
        accepted = _accepted(found, accept=accept_findings, reason=reason)
        done = recorded_of(found.plan, PLANNED, reason=reason, accepted=accepted)

        def recorded() -> None:
            # The ledger has the first word: files that nobody knows of would look handed out.
            if not no_record:
                record(yard.ledger(writing=True), done, actor=yard.actor)

        if output.as_json and folder is None:
            recorded()
        else:
            deliver(output, found.plan, folder, before=recorded)
    if output.as_json:
        output.document(found.to_json())
    for finding in found.plan.findings:
        output.say(f"{finding.severity.label}: {finding.rule}: {finding.message}")
    return 0


def _accepted(found: Planned, *, accept: bool, reason: str) -> tuple[str, ...]:
    """The rules of grave findings, which somebody accepted with a reason.

    Raises:
        Denied: there are some, and nobody did.
    """
    grave = sorted({finding.rule for finding in found.plan.findings if finding.severity.is_grave})
    if grave and not (accept and reason.strip()):
        first = next(finding for finding in found.plan.findings if finding.severity.is_grave)
        raise Denied(
            f"lint says: {first.message}" + (f" (and {len(grave) - 1} more rules)" if len(grave) > 1 else ""),
            rules=tuple(grave),
            hint='See `weighbridge deploy plan`. To go on: --accept-findings --reason "…", which the ledger keeps.',
        )
    return tuple(grave)


def _check_can_serve(found: Planned) -> None:
    """Returns when nothing says that the deployment could never serve: such a finding cannot be accepted.

    Raises:
        Denied: something does.
    """
    from weighbridge.deploy.targets.sagemaker_rules import RULES

    never = {rule.id for rule in RULES}
    for finding in found.plan.findings:
        if finding.severity.is_grave and finding.rule in never:
            raise Denied(f"it would never serve: {finding.message}", rules=(finding.rule,), hint=finding.remedy)


# --- apply, rollback, delete ----------------------------------------------------------------------


@deploy_command.command(
    "apply",
    cls=ChoosingCommand,
    epilog="\b\nExamples:\n  weighbridge deploy apply org/name --target vllm --choices deploy.toml --reason 'TICKET-7'\n"
    "  weighbridge deploy apply org/name --target compose --choices deploy.toml",
)
@click.argument("model", metavar="MODEL[@CHANNEL]")
@_TARGET
@_CHOICES
@_REASON
@click.option("--accept-findings", is_flag=True, help="Apply in spite of grave findings; --reason says why.")
@click.option(
    "--wait",
    "wait_seconds",
    type=click.IntRange(1, 86_400),
    default=WAIT_SECONDS,
    metavar="SECONDS",
    help=f"The longest that a fetch or a start is waited for (default: {WAIT_SECONDS}).",
)
@_KEEP_OLD
@CONTEXT
@common
def apply_command(
    home: Home,
    output: Output,
    /,
    *,
    model: str,
    target: str | None,
    choices_file: Path | None,
    reason: str,
    accept_findings: bool,
    wait_seconds: int,
    keep_old: bool,
    context: str,
    **rest: Any,
) -> int:
    """Create or change a deployment: by kubectl, docker compose, or the requests of SageMaker.

    Once it runs, what only older versions of it had is removed. What exists under its name and was not made by weighbridge
    is left alone.
    """
    from weighbridge.cli.yard import OpenYard
    from weighbridge.deploy.deployments import APPLIED, PLANNED, deployments, record, recorded_of

    with OpenYard(home, output) as yard:
        found = planned(yard, Wanted.of(model, target or "", choices_file, rest))
        accepted = _accepted(found, accept=accept_findings, reason=reason)
        _check_can_serve(found)
        done = recorded_of(found.plan, PLANNED, reason=reason, accepted=accepted)
        ledger = yard.ledger(writing=True)
        ledger.verify(yard.trusted)
        before = deployments(ledger).get(done.key)
        record(ledger, done, actor=yard.actor)
        for finding in found.plan.findings:
            output.say(f"{finding.severity.label}: {finding.rule}: {finding.message}")
        output.say(f"applying {done.name} to {done.target.value}: {done.reference}")
        running = before.running if before else None
        with stoppable(_undoing(done, running)):
            platform = platform_for(yard, done, context)
            platform.apply(done, wait_seconds=wait_seconds)
            record(ledger, replace(done, kind=APPLIED), actor=yard.actor)
            older = () if keep_old or before is None else before.traces
            removed = platform.prune(done, older, wait_seconds=wait_seconds) if older else ()
    _told(output, "applied", done, running.reference if running else "", removed)
    return 0


@deploy_command.command(
    "rollback", epilog="\b\nExamples:\n  weighbridge deploy rollback r1 --reason 'answers in Latin'"
)
@click.argument("name")
@click.option("--target", type=click.Choice(TARGETS), default=None, help="Its target, where several fit.")
@PLACE
@_REASON
@click.option("--wait", "wait_seconds", type=click.IntRange(1, 86_400), default=WAIT_SECONDS, metavar="SECONDS")
@_KEEP_OLD
@CONTEXT
@common
def rollback_command(
    home: Home,
    output: Output,
    /,
    *,
    name: str,
    target: str | None,
    place: str,
    reason: str,
    wait_seconds: int,
    keep_old: bool,
    context: str,
) -> int:
    """Apply again what a deployment ran before, as it is in the ledger; a revoked revision is refused.

    Once it runs, what only the version had that is left is removed.
    """
    from weighbridge.cli.yard import OpenYard
    from weighbridge.deploy.deployments import ROLLED_BACK, record

    with OpenYard(home, output) as yard:
        found = found_of(yard, name, target, place)
        running, before = found.running, found.before
        if running is None or before is None:
            raise NothingCollected(
                f"nothing that {name} ran before is on record",
                hint=f"`weighbridge deploy status {name}` shows what is; to run another revision, apply it.",
            )
        standing, why = standing_now(yard, before)
        if not standing.may_run:
            error = Revoked if standing.value == "revoked" else TrustError
            raise error(f"{before.reference}, which {name} ran before, is {standing.value}: {why}")
        back = replace(before, kind=ROLLED_BACK, reason=reason)
        with stoppable("The same command goes on from there."):
            _roll_back(yard, back, wait_seconds=wait_seconds, context=context)
            record(yard.ledger(writing=True), back, actor=yard.actor)
        older = () if keep_old else found.traces
        with stoppable(
            f"It was rolled back. What only {running.reference} had may still be there: the next apply removes it."
        ):
            removed = platform_for(yard, back, context).prune(back, older, wait_seconds=wait_seconds) if older else ()
    _told(output, "rolled-back", back, running.reference, removed)
    return 0


@deploy_command.command("delete", epilog="\b\nExamples:\n  weighbridge deploy delete r1 --reason 'no longer used'")
@click.argument("name")
@click.option("--target", type=click.Choice(TARGETS), default=None, help="Its target, where several fit.")
@PLACE
@_REASON
@CONTEXT
@common
def delete_command(
    home: Home, output: Output, /, *, name: str, target: str | None, place: str, reason: str, context: str
) -> int:
    """Remove a deployment that was made from here. The model stays in the store."""
    from weighbridge.cli.yard import OpenYard
    from weighbridge.deploy.deployments import DELETED, record

    with OpenYard(home, output) as yard:
        found = found_of(yard, name, target, place)
        if found.deleted:
            output.say(f"{name} was deleted at {found.newest.at}")
            return 0
        gone = replace(found.running or found.newest, kind=DELETED, reason=reason, files=found.traces)
        with stoppable("The same command goes on from there."):
            platform_for(yard, gone, context).delete(gone)
            record(yard.ledger(writing=True), replace(gone, files=()), actor=yard.actor)
    _told(output, "deleted", gone, "")
    return 0


def _undoing(done: Recorded, running: Recorded | None) -> str:
    """Which commands go on with an apply that was stopped, or undo it."""
    name = f"{done.name} --target {done.target.value}" + (f" --place {done.place}" if done.place else "")
    undo = (
        f"`weighbridge deploy apply {running.reference}` with the choices of then puts back what ran until now"
        if running is not None
        else f"`weighbridge deploy delete {name}` removes what was made"
    )
    return f"The same command goes on from there; {undo}; `weighbridge deploy status {name}` tells how it stands."


def found_of(yard: OpenYard, name: str, target: str | None, place: str) -> Deployment:
    """A deployment on record, once the ledger was found to hold."""
    from weighbridge.deploy.deployments import find

    if not yard.has_ledger:
        raise NothingCollected("no deployment is on record here")
    ledger = yard.ledger()
    ledger.verify(yard.trusted)
    return find(ledger, name, target=target or "", place=place)


def _roll_back(yard: OpenYard, back: Recorded, *, wait_seconds: float, context: str) -> None:
    """Files are applied again; SageMaker is told to put what they say back at once, without a shift of traffic by steps."""
    from weighbridge.deploy.deployable import check_prefix
    from weighbridge.deploy.plan import Target

    if back.target is not Target.SAGEMAKER:
        platform_for(yard, back, context).apply(back, wait_seconds=wait_seconds)
        return
    approved = approved_of(yard)

    def may_serve(model_name: ModelName, revision: str) -> None:
        check_prefix(approved.store, approved.resolve(model_name, revision))

    _sagemaker(yard).rollback(back, may_serve=may_serve, wait_seconds=wait_seconds)


def platform_for(yard: OpenYard, done: Recorded, context: str) -> Platform:
    """Where a deployment on record runs."""
    from weighbridge.deploy.applying import platform_of
    from weighbridge.deploy.plan import Target

    if done.target is Target.SAGEMAKER:
        return _sagemaker(yard)
    return platform_of(done.target, folder=yard.home.path / "deployments", context=context)


def _sagemaker(yard: OpenYard) -> SageMaker:
    """SageMaker, which tells how far a change came."""
    from weighbridge.deploy.apply_sagemaker import SageMaker, Watch

    said: list[str] = []

    def progress(state: str, waited: float) -> None:
        if said[-1:] != [state]:
            yard.output.say(f"  {state} after {waited:.0f} s")
            said.append(state)

    return SageMaker(watch=Watch(progress=progress))


def _told(output: Output, event: str, done: Recorded, before: str, removed: tuple[str, ...] = ()) -> None:
    if output.as_json:
        output.document(
            {
                "event": event,
                "target": done.target.value,
                "place": done.place,
                "name": done.name,
                "model": str(done.model_name),
                "channel": done.channel,
                "revision": done.revision,
                "before": before,
                "reason": done.reason,
                "removed": list(removed),
            }
        )
        return
    output.line(f"{done.target.value}: {done.name}\t{done.reference}\t{event}")
    if before and before != done.reference:
        output.say(f"it ran {before} until now")
    for one in removed:
        output.say(f"  removed, as only an older version had it: {one}")
