"""What the ledger knows of deployments: what was planned, applied, rolled back and deleted, by whom, of which revision.

A record holds the files that were applied, so that a rollback applies the same bytes again on any machine that reads the
ledger; no file of a plan carries a secret. What a platform did after it was told is not here: ask the platform.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.errors import (
    ConfigError,
    FormatError,
    IntegrityError,
    LedgerError,
    NothingCollected,
    ObjectMissing,
    Revoked,
    TrustError,
)
from weighbridge.core.names import ModelName
from weighbridge.deploy.plan import Plan, RenderedFile, Target
from weighbridge.store.chain import Event
from weighbridge.store.ledger import Ledger

PLANNED: Final = "deployment.planned"
"""Files were rendered and handed out; whether somebody applied them is not known here."""
APPLIED: Final = "deployment.applied"
ROLLED_BACK: Final = "deployment.rolled-back"
DELETED: Final = "deployment.deleted"
KINDS: Final = (PLANNED, APPLIED, ROLLED_BACK, DELETED)
MAX_REASON: Final = 500


@dataclass(frozen=True, slots=True)
class Recorded:
    """One thing that was done with a deployment."""

    kind: str
    target: Target
    name: str
    place: str
    """Within the target: a namespace, a region; empty where there is but one."""
    model_name: ModelName
    channel: str
    revision: str
    manifest_digest: str
    files: tuple[RenderedFile, ...] = ()
    reason: str = ""
    accepted: tuple[str, ...] = ()
    """Rules whose grave findings somebody took responsibility for."""
    actor: str = ""
    at: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells a deployment from every other."""
        return self.target.value, self.place, self.name

    @property
    def reference(self) -> str:
        """`org/name@revision`."""
        return f"{self.model_name}@{self.revision}"

    def to_json(self) -> dict[str, JsonValue]:
        """What the ledger keeps, beside who and when."""
        return {
            "target": self.target.value,
            "name": self.name,
            "place": self.place,
            "model": str(self.model_name),
            "channel": self.channel,
            "revision": self.revision,
            "manifest_digest": self.manifest_digest,
            "reason": self.reason,
            "accepted": list(self.accepted),
            "files": [{"name": file.name, "text": file.text} for file in self.files],
        }


def recorded_of(plan: Plan, kind: str, *, reason: str = "", accepted: tuple[str, ...] = ()) -> Recorded:
    """What is to be recorded of a plan.

    Raises:
        ConfigError: the reason is too long or no plain text.
    """
    if len(reason) > MAX_REASON or not (reason.isprintable() or not reason):
        raise ConfigError(f"a reason is one line of at most {MAX_REASON} characters", hint='Give --reason "…".')
    model = plan.deployable
    return Recorded(
        kind,
        plan.target,
        plan.name,
        place_of(plan),
        model.model_name,
        model.channel,
        model.revision,
        model.manifest_digest,
        plan.files,
        reason,
        accepted,
    )


def place_of(plan: Plan) -> str:
    """Where in the target a plan's deployment is: its namespace or region."""
    for name in ("namespace", "region"):
        value = plan.settings.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def record(ledger: Ledger, done: Recorded, *, actor: str) -> Event:
    """Enters what was done.

    Raises:
        LedgerError, StoreError: it could not be made durable.
    """
    return ledger.append(done.kind, done.reference, done.to_json(), actor=actor)


def history(ledger: Ledger) -> Iterator[Recorded]:
    """All that was done with deployments, in order.

    Raises:
        LedgerError: an event was altered, or cannot be read.
    """
    for event in ledger.events(kinds=KINDS):
        yield _read(event)


@dataclass(slots=True)
class Deployment:
    """What became of one deployment: what runs as far as the ledger knows, and what ran before."""

    newest: Recorded
    applied: list[Recorded] = field(default_factory=list)
    """What was applied and not rolled back, in order; the last is what runs."""
    deleted: bool = False
    made: list[Recorded] = field(default_factory=list)
    """All that was rendered or applied since the deployment began or was deleted last: parts of any of it may be there."""

    @property
    def running(self) -> Recorded | None:
        """What was applied last and not deleted."""
        return self.applied[-1] if self.applied and not self.deleted else None

    @property
    def before(self) -> Recorded | None:
        """What ran before: where a rollback leads to."""
        return self.applied[-2] if len(self.applied) > 1 and not self.deleted else None

    @property
    def traces(self) -> tuple[RenderedFile, ...]:
        """The different files of all that was made, the newest first, under names of their own."""
        texts = {file.text: file.name for done in reversed(self.made) for file in done.files}
        return tuple(RenderedFile(f"{number:03}-{name}", text) for number, (text, name) in enumerate(texts.items()))

    @property
    def state(self) -> str:
        """`applied`, `planned` (files were handed out and nothing was applied from here) or `deleted`."""
        if self.deleted:
            return "deleted"
        return "applied" if self.applied else "planned"

    def take(self, done: Recorded) -> None:
        """Goes on with what was done next."""
        self.newest = done
        self.made.append(done)
        if done.kind == DELETED:
            self.deleted, self.applied, self.made = True, [], []
        elif done.kind == APPLIED:
            self.deleted = False
            if self.applied and (self.applied[-1].revision, self.applied[-1].files) == (done.revision, done.files):
                self.applied.pop()
            self.applied.append(done)
        elif done.kind == ROLLED_BACK and len(self.applied) > 1:
            self.applied.pop()


def deployments(ledger: Ledger) -> dict[tuple[str, str, str], Deployment]:
    """All deployments by target, place and name, as the ledger knows them.

    Raises:
        LedgerError: an event was altered, or cannot be read.
    """
    found: dict[tuple[str, str, str], Deployment] = {}
    for done in history(ledger):
        found.setdefault(done.key, Deployment(done)).take(done)
    return found


def find(ledger: Ledger, name: str, *, target: str = "", place: str = "") -> Deployment:
    """The deployment of a name.

    Raises:
        NothingCollected: there is none. ConfigError: several fit.
        LedgerError: an event was altered, or cannot be read.
    """
    fitting = [
        one
        for key, one in deployments(ledger).items()
        if key[2] == name and target in ("", key[0]) and place in ("", key[1])
    ]
    if not fitting:
        raise NothingCollected(
            f"no deployment {name!r:.80} is on record" + (f" for {target}" if target else ""),
            hint="`weighbridge deploy status` lists those that are.",
        )
    if len(fitting) > 1:
        places = ", ".join("/".join(filter(None, one.newest.key[:2])) for one in fitting)
        raise ConfigError(f"several deployments are named {name}: {places}", hint="Say which: --target, --place.")
    return fitting[0]


class Standing(Enum):
    """Whether what a deployment runs may still run."""

    CURRENT = "current"
    """It is approved, and its channel still points to it."""
    BEHIND = "behind"
    """It is approved, and its channel points elsewhere by now."""
    REVOKED = "revoked"
    UNAPPROVED = "not approved"
    UNPROVEN = "unproven"
    """Its records or the index cannot be believed or read now."""

    @property
    def may_run(self) -> bool:
        """Whether nothing speaks against it."""
        return self in (Standing.CURRENT, Standing.BEHIND)


def standing_of(done: Recorded, resolve: Callable[[ModelName, str], tuple[str, str]]) -> tuple[Standing, str]:
    """How a deployed revision stands now, and why. `resolve` proves a channel or revision: its revision and manifest's digest."""
    try:
        revision, manifest = resolve(done.model_name, done.revision)
    except Revoked as error:
        return Standing.REVOKED, error.message
    except (NothingCollected, ObjectMissing) as error:
        return Standing.UNAPPROVED, error.message
    except (TrustError, IntegrityError, FormatError) as error:
        return Standing.UNPROVEN, error.message
    if (revision, manifest) != (done.revision, done.manifest_digest):
        return Standing.UNPROVEN, "another manifest than was deployed is approved under this revision"
    if not done.channel:
        return Standing.CURRENT, ""
    try:
        pointed, _ = resolve(done.model_name, done.channel)
    except (Revoked, NothingCollected) as error:
        return Standing.BEHIND, error.message
    if pointed != done.revision:
        return Standing.BEHIND, f"{done.channel} points to {pointed}"
    return Standing.CURRENT, ""


def _read(event: Event) -> Recorded:
    what = f"event {event.sequence}"
    try:
        fields = Fields(event.payload, what=what)
        return Recorded(
            kind=event.kind,
            target=Target(fields.text("target")),
            name=fields.text("name"),
            place=fields.text("place"),
            model_name=ModelName.parse(fields.text("model")),
            channel=fields.text("channel"),
            revision=fields.text("revision"),
            manifest_digest=fields.text("manifest_digest"),
            files=tuple(_files(fields.items("files"), what)),
            reason=fields.text("reason"),
            accepted=fields.texts("accepted"),
            actor=event.actor,
            at=event.time,
        )
    except (FormatError, ConfigError, ValueError) as error:
        raise LedgerError(f"{what} is no record of a deployment that this version reads ({error})") from error


def _files(parts: list[JsonValue], what: str) -> Iterator[RenderedFile]:
    for number, part in enumerate(parts):
        fields = Fields(part, what=f"file {number} of {what}")
        yield RenderedFile(fields.text("name"), fields.text("text"))
