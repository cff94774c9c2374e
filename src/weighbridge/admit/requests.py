"""Requests: who asked for a model or revision that is not approved here, and what a reviewer said to that.

Rules:

- the ledger is the truth; a `RequestBook` is what its events come to. A request's number is that of the event which filed it;
- one model and ref has one request at a time, however many ask: a further asking only counts. Two processes that file it in
  the same instant make two events and one request;
- a request is done when the channel it asked for points to a revision of the model after it was filed (or, of a commit, when
  that commit was promoted). Nobody says so: it follows from the ledger;
- accepting lets nothing pass. What then comes in is judged and approved like anything else; so a word on a request is not a
  signed statement, but whoever says it must hold a reviewer's key, or come through a gateway that proved the login;
- what watching asked about a commit is closed as superseded once upstream has another in its place, unless somebody else asked
  for it too. Of two that looked upstream, the later look is right: what was asked, or closed, since a look began stands
  against it, so that a slow one neither closes nor opens again what a newer one left;
- open requests are bounded, for each asker and for each way they come in, so that nobody's made-up names keep out others;
- an event that cannot be read is no request, and never changes another one.

Kinds of event, and their payload:

- `request.filed`, subject `org/name@ref`: `model`, `ref`, `source` (`gateway`, `person`, `watch`), `by`, `address` (`loopback`,
  `private`, `public` or ""), `note`, `evidence` (an object), `again`, and of watching `after` (the ledger's end when the look began);
- `request.repeated`, subject `requests`: `lines`, each with `request`, `by`, `times`, `last_at`;
- `request.accepted`, `request.declined`, subject `org/name@ref`: `request`, `person`, `reason`, `through`, `login`;
- `request.superseded`, subject `org/name@ref`: `request`, `by` (the commit in its place), `by_request` (what is asked about
  that, 0 for nothing), `after`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from itertools import islice
from typing import Final

from weighbridge.admit.approvals import Speaker, speaks_for
from weighbridge.admit.channels import CHANNEL_SET
from weighbridge.admit.index import check_channel
from weighbridge.admit.people import Roster
from weighbridge.core import canonical
from weighbridge.core.canonical import Fields, JsonObject, JsonValue
from weighbridge.core.errors import (
    ConfigError,
    Conflict,
    Denied,
    FormatError,
    Malformed,
    NothingCollected,
)
from weighbridge.core.names import ModelName, is_revision
from weighbridge.store.ledger import Event, Ledger
from weighbridge.vault.events import PROMOTED

FILED: Final = "request.filed"
REPEATED: Final = "request.repeated"
ACCEPTED: Final = "request.accepted"
DECLINED: Final = "request.declined"
SUPERSEDED: Final = "request.superseded"
_KINDS: Final = (FILED, REPEATED, ACCEPTED, DECLINED, SUPERSEDED, CHANNEL_SET, PROMOTED)
MAIN: Final = "main"
PRODUCTION: Final = "production"
MAX_TEXT: Final = 500
"""Characters of a note or reason: a client prints it in one line."""
MAX_BY: Final = 300
MAX_EVIDENCE_BYTES: Final = 8 * 1024
MAX_LINES: Final = 1_000
MAX_ASKERS: Final = 20
MAX_KEPT: Final = 20_000
"""Requests kept in memory; of more, the oldest that are settled are forgotten."""
MAX_CHANNELS: Final = 1_000


class Source(Enum):
    """Which way a request came in."""

    GATEWAY = "gateway"
    """A client asked the gateway for it."""
    PERSON = "person"
    """Somebody filed it by hand."""
    WATCH = "watch"
    """Upstream has a new revision."""


OPEN_IN_ALL: Final[Mapping[Source, int]] = {Source.GATEWAY: 500, Source.PERSON: 1_000, Source.WATCH: 1_000}
OPEN_EACH: Final[Mapping[Source, int]] = {Source.GATEWAY: 20, Source.PERSON: 200, Source.WATCH: 1_000}
"""Open requests of one asker."""


class State(Enum):
    """How far a request has come."""

    OPEN = "open"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    DONE = "done"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True, order=True)
class Wanted:
    """What is asked for: a model under `main`, another channel's name, or a commit.

    Raises:
        ConfigError: the gateway could never serve that ref.
    """

    model_name: ModelName
    ref: str = MAIN

    def __post_init__(self) -> None:
        if not is_revision(self.ref) and self.ref != MAIN:
            try:
                check_channel(self.ref)
            except ConfigError as error:
                raise ConfigError(
                    f"{self.ref!r:.100} cannot be asked for",
                    hint="Ask for main, for the name of a channel, or for a commit of 40 hexadecimal digits.",
                ) from error

    @classmethod
    def of(cls, model_name: ModelName, ref: str = "") -> Wanted:
        """The same with `production`, and no ref at all, taken for `main`. Raises as the class."""
        return cls(model_name, MAIN if ref in ("", PRODUCTION) else ref)

    @property
    def channel(self) -> str:
        """The channel that would have to point to a revision; "" where a commit is asked for."""
        return "" if is_revision(self.ref) else PRODUCTION if self.ref == MAIN else self.ref

    def __str__(self) -> str:
        return f"{self.model_name}@{self.ref}"


@dataclass(frozen=True, slots=True)
class Asking:
    """One asking. `by` is fit for the ledger; `address` is the class of the asker's address, "" where there is none.

    `note` is a line of a person's; `evidence` is for what is not a person: what it saw, as an object of at most 8 KiB.

    Raises:
        ConfigError, Denied: something of it is too long or no plain text.
    """

    wanted: Wanted
    source: Source
    by: str
    address: str = ""
    note: str = ""
    evidence: JsonObject = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.by or len(self.by) > MAX_BY or not self.by.isprintable():
            raise ConfigError("whoever asks is called by a short line of plain text")
        check_line(self.note, what="a note", needed=False)
        try:
            size = len(canonical.encode(self.evidence))
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigError("the evidence of a request is no plain record") from error
        if size > MAX_EVIDENCE_BYTES:
            raise ConfigError(f"the evidence of a request has at most {MAX_EVIDENCE_BYTES} bytes")


@dataclass(frozen=True, slots=True)
class Word:
    """What a reviewer said; `through` is the gateway that passed it on, "" where the person's own key was there."""

    accepts: bool
    person: str
    reason: str
    at: str
    through: str = ""


@dataclass(frozen=True, slots=True)
class Superseded:
    """What took the place of a request's commit; `request` is what is asked about that, 0 for nothing."""

    by: str
    request: int
    at: str
    sequence: int
    """The event that says so."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the ledger tells it. Times are RFC 3339 in UTC; `askers` are the first of those who asked, in order.

    `opened` is the event that opened it last.
    """

    number: int
    asking: Asking
    first_at: str
    last_at: str
    times: int = 1
    askers: tuple[str, ...] = ()
    word: Word | None = None
    done_revision: str = ""
    done_at: str = ""
    superseded: Superseded | None = None
    opened: int = 0

    @property
    def wanted(self) -> Wanted:
        """What is asked for."""
        return self.asking.wanted

    @property
    def state(self) -> State:
        """How far it has come."""
        if self.done_revision:
            return State.DONE
        if self.word is None:
            return State.OPEN if self.superseded is None else State.SUPERSEDED
        return State.ACCEPTED if self.word.accepts else State.DECLINED

    def mentions(self, text: str) -> bool:
        """Whether every word of a search is in the model's name, the ref, or an asker's name."""
        where = " ".join((str(self.wanted), *self.askers)).lower()
        return all(word in where for word in text.lower().split())


@dataclass(frozen=True, slots=True)
class Repeat:
    """Further askings of one asker, counted since they were last recorded."""

    number: int
    by: str
    times: int
    last_at: str


class RequestBook:
    """All requests of a ledger. Thread-safe.

    `newest` tells what the last `refresh` came to and never waits; the others wait for the ledger while somebody writes, and
    those that ask or tell it raise `LedgerError` and `StoreError`.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._after = 0
        self._requests: dict[int, Request] = {}
        self._merged: dict[int, int] = {}
        self._newest: dict[Wanted, int] = {}
        self._of_model: dict[ModelName, set[int]] = {}
        self._channels: set[str] = {PRODUCTION}

    # --- what there is

    def refresh(self) -> RequestBook:
        """Takes in what the ledger was told since; returns itself."""
        with self._lock:
            self._follow()
        return self

    def newest(self, wanted: Wanted) -> Request | None:
        """The newest request for that."""
        return self._requests.get(self._newest.get(wanted, 0))

    def get(self, number: int) -> Request:
        """The request of that number.

        Raises:
            NothingCollected: there is none.
        """
        found = self._requests.get(self._merged.get(number, number))
        if found is None:
            raise NothingCollected(
                f"there is no request {number}", hint="`weighbridge requests list --all` names all requests."
            )
        return found

    def all(self) -> list[Request]:
        """Every request, the newest first."""
        with self._lock:
            return [self._requests[number] for number in sorted(self._requests, reverse=True)]

    def is_channel(self, name: str) -> bool:
        """Whether a channel of that name was ever set for any model."""
        return name in self._channels

    # --- acts

    def file(self, asking: Asking, *, again: bool = False, after: int = 0) -> tuple[Request, bool]:
        """Files a request, and whether it is new: what is asked for already, or was declined, is not filed twice.

        `again` asks once more for what was declined; `after` is the ledger's end when watching began to look: what was
        superseded before that is open again.

        Raises:
            Denied: there are too many open requests.
        """
        with self._lock:
            self._follow()
            known = self.newest(asking.wanted)
            opens = known is not None and _opens_again(known, asking.source, after)
            if known is not None and not opens and not _is_new(known, asking.source, again=again):
                return known, False
            self._check_room(asking)
            payload: dict[str, JsonValue] = {
                "model": str(asking.wanted.model_name),
                "ref": asking.wanted.ref,
                "source": asking.source.value,
                "by": asking.by,
                "address": asking.address,
                "note": asking.note,
                "evidence": asking.evidence,
                "again": again,
                **({"after": after} if asking.source is Source.WATCH else {}),
            }
            event = self._ledger.append(FILED, str(asking.wanted), payload, actor=asking.by)
            self._follow()
            found = self.get(event.sequence)
            return found, found.number == event.sequence

    def supersede(self, model_name: ModelName, commit: str, *, after: int, actor: str) -> list[Request]:
        """Closes what watching asked about other commits of a model than the one that upstream has; those that it closed.

        `after` is the ledger's end before upstream was asked: what was opened since, a newer look may have opened. What somebody
        else asked for as well stays open.
        """
        closed = []
        with self._lock:
            self._follow()
            new = self.newest(Wanted.of(model_name, commit))
            for number in sorted(self._of_model.get(model_name, ())):
                request = self._requests[number]
                if request.wanted.ref == commit or not _may_be_superseded(request, after):
                    continue
                payload: dict[str, JsonValue] = {
                    "request": number,
                    "by": commit,
                    "by_request": new.number if new is not None else 0,
                    "after": after,
                }
                self._ledger.append(SUPERSEDED, str(request.wanted), payload, actor=actor)
                closed.append(number)
            self._follow()
            return [self._requests[number] for number in closed]

    def record_repeats(self, repeats: Iterable[Repeat], *, actor: str) -> None:
        """Records further askings as one event, at most `MAX_LINES` of them."""
        lines: list[JsonValue] = [_line(one) for one in islice(repeats, MAX_LINES)]
        if lines:
            self._ledger.append(REPEATED, "requests", {"lines": lines}, actor=actor)

    def decide(
        self, number: int, speaker: Speaker, roster: Roster, *, accepts: bool, reason: str, seen: State | None = None
    ) -> Request:
        """Records what a reviewer says to a request. `seen` is the state that the reviewer was shown, None for any.

        Raises:
            Denied: the speaker is no reviewer, or gives no reason to decline.
            Conflict: it is done, somebody said the same before, or it is not as it was shown.
            NothingCollected: there is no such request.
        """
        person = roster.person(speaker.name)
        if not speaks_for(person, speaker.signer.key_id, roster, through=speaker.through, login=speaker.login):
            raise Denied(f"this is not the key of '{person.name}'", rules=("not-the-persons-key",))
        if not person.may_approve:
            raise Denied(
                f"'{person.name}' may not accept or decline requests",
                rules=("not-a-reviewer",),
                hint="An admin admits reviewers: weighbridge people add NAME --role reviewer --key FILE.pub",
            )
        check_line(reason, what="a reason", needed=not accepts)
        with self._lock:
            self._follow()
            request = self.get(number)
            _check_open_to(request, accepts=accepts, seen=seen)
            payload: dict[str, JsonValue] = {
                "request": request.number,
                "person": person.name,
                "reason": reason,
                "through": speaker.through,
                "login": speaker.login,
            }
            kind = ACCEPTED if accepts else DECLINED
            self._ledger.append(kind, str(request.wanted), payload, actor=person.name)
            self._follow()
            return self.get(number)

    def _check_room(self, asking: Asking) -> None:
        source = asking.source
        opened = [one.asking for one in self._requests.values() if one.state is State.OPEN]
        by_source = Counter(one.source for one in opened)
        own = sum(one.source is source and one.by == asking.by for one in opened)
        for count, most, whose in (
            (own, OPEN_EACH[source], f"of {asking.by}"),
            (by_source[source], OPEN_IN_ALL[source], "in all"),
        ):
            if count >= most:
                raise Denied(
                    f"{count} open requests {whose} wait for a reviewer already",
                    rules=("too-many-requests",),
                    hint="A reviewer settles them: weighbridge requests list",
                )

    # --- the ledger's events

    def _follow(self) -> None:
        last = self._ledger.last_sequence()
        if last <= self._after:
            return
        for event in self._ledger.events(after=self._after, kinds=_KINDS):
            self._after = event.sequence
            try:
                self._apply(event)
            except (FormatError, ConfigError, Denied, ValueError):
                continue
        # Most events are about something else; they are not looked through again.
        self._after = max(self._after, last)
        self._forget()

    def _apply(self, event: Event) -> None:
        fields = Fields(event.payload, what="the event")
        if event.kind == FILED:
            self._filed(event, fields)
        elif event.kind == REPEATED:
            for line in fields.items("lines")[:MAX_LINES]:
                self._repeated(Fields(line, what="a line"))
        elif event.kind in (CHANNEL_SET, PROMOTED):
            self._moved(event, fields)
        elif event.kind == SUPERSEDED:
            self._superseded(event, fields)
        else:
            number = fields.integer("request")
            request = self._requests.get(self._merged.get(number, number))
            if request is not None and str(request.wanted) == event.subject:
                word = Word(
                    event.kind == ACCEPTED,
                    fields.text("person"),
                    fields.text("reason"),
                    event.time,
                    through=fields.text("through"),
                )
                self._requests[request.number] = replace(request, word=word)

    def _filed(self, event: Event, fields: Fields) -> None:
        evidence = fields.value("evidence")
        if not isinstance(evidence, dict):
            raise Malformed("the evidence is no object")
        asking = Asking(
            Wanted(ModelName.parse(fields.text("model")), fields.text("ref")),
            Source(fields.text("source")),
            fields.text("by"),
            address=fields.text("address"),
            note=fields.text("note"),
            evidence=evidence,
        )
        known = self.newest(asking.wanted)
        again = fields.boolean("again")
        if known is not None and not _is_new(known, asking.source, again=again):
            # Another process filed the same before it knew of this one, or upstream has it again.
            if _opens_again(known, asking.source, fields.integer("after", 0)):
                known = replace(known, superseded=None, opened=event.sequence)
            self._merged[event.sequence] = known.number
            self._requests[known.number] = _asked_again(known, asking.by, 1, event.time)
            return
        request = Request(event.sequence, asking, event.time, event.time, askers=(asking.by,), opened=event.sequence)
        self._requests[event.sequence] = request
        self._of_model.setdefault(asking.wanted.model_name, set()).add(event.sequence)
        self._newest[asking.wanted] = event.sequence

    def _repeated(self, fields: Fields) -> None:
        number = fields.integer("request")
        known = self._requests.get(self._merged.get(number, number))
        if known is not None:
            at = fields.text("last_at")
            datetime.fromisoformat(at)
            self._requests[known.number] = _asked_again(known, fields.text("by"), fields.integer("times"), at)

    def _superseded(self, event: Event, fields: Fields) -> None:
        number = fields.integer("request")
        request = self._requests.get(self._merged.get(number, number))
        fits = request is not None and str(request.wanted) == event.subject
        if request is not None and fits and _may_be_superseded(request, fields.integer("after")):
            by, new = fields.text("by"), fields.integer("by_request")
            if is_revision(by):
                taken = Superseded(by, new, event.time, event.sequence)
                self._requests[request.number] = replace(request, superseded=taken)

    def _moved(self, event: Event, fields: Fields) -> None:
        channel = fields.text("channel") if event.kind == CHANNEL_SET else ""
        if channel and len(self._channels) < MAX_CHANNELS:
            self._channels.add(channel)
        revision = fields.text("revision")
        for number in self._of_model.get(ModelName.parse(fields.text("model")), ()):
            request = self._requests[number]
            fits = request.wanted.ref == revision or bool(channel and request.wanted.channel == channel)
            if fits and not request.done_revision:
                self._requests[number] = replace(request, done_revision=revision, done_at=event.time)

    def _forget(self) -> None:
        excess = len(self._requests) - MAX_KEPT
        if excess <= 0:
            return
        settled = [one for one in self._requests.values() if one.state is not State.OPEN]
        for request in sorted(settled, key=lambda one: one.number)[:excess]:
            del self._requests[request.number]
            self._of_model[request.wanted.model_name].discard(request.number)
            if self._newest.get(request.wanted) == request.number:
                del self._newest[request.wanted]
        self._merged = {one: into for one, into in self._merged.items() if into in self._requests}


def check_line(text: str, *, what: str, needed: bool) -> str:
    """The text, when it is one plain line of bounded length.

    Raises:
        Denied: it is not, or is missing though it is `needed`.
    """
    if (needed and not text.strip()) or len(text) > MAX_TEXT or not text.isprintable():
        raise Denied(
            f"{what} is one line of plain text, of at most {MAX_TEXT} characters",
            rules=("no-reason",),
            hint='Say why in a few words: --reason "…"',
        )
    return text


def next_steps(request: Request, *, is_channel: bool) -> tuple[tuple[str, ...], ...]:
    """The commands that bring in what was asked for and let it pass, each as its words.

    `is_channel` says whether its ref is known as a channel's name: then upstream has no such branch, and `main` is meant.
    """
    wanted = request.wanted
    upstream = "" if wanted.ref == MAIN or (is_channel and wanted.channel) else f"@{wanted.ref}"
    name = f"{wanted.model_name}@{wanted.ref}" if is_revision(wanted.ref) else str(wanted.model_name)
    return (
        ("weighbridge", "ingest", f"hf://{wanted.model_name}{upstream}"),
        ("weighbridge", "approve", name, "--reason", "…"),
        ("weighbridge", "promote", name, "--channel", wanted.channel or PRODUCTION),
    )


def _is_new(known: Request, source: Source, *, again: bool) -> bool:
    """Whether an asking for what was asked for before is a new request."""
    if known.state is State.SUPERSEDED:
        return source is not Source.WATCH
    return known.state is State.DONE or (again and known.state is State.DECLINED)


def _opens_again(known: Request, source: Source, after: int) -> bool:
    """Whether watching asks about what was superseded before it looked."""
    taken = known.superseded if known.state is State.SUPERSEDED else None
    return taken is not None and source is Source.WATCH and taken.sequence <= after


def _may_be_superseded(request: Request, after: int) -> bool:
    own = request.asking.source is Source.WATCH and set(request.askers) <= {request.asking.by}
    commit = not request.wanted.channel
    return own and commit and request.state is State.OPEN and request.opened <= after


def _line(one: Repeat) -> dict[str, JsonValue]:
    return {"request": one.number, "by": one.by, "times": one.times, "last_at": one.last_at}


def _asked_again(known: Request, by: str, times: int, at: str) -> Request:
    askers = known.askers if by in known.askers or len(known.askers) >= MAX_ASKERS else (*known.askers, by[:MAX_BY])
    return replace(known, times=known.times + times, last_at=max(known.last_at, at), askers=askers)


def _check_open_to(request: Request, *, accepts: bool, seen: State | None) -> None:
    said = request.word
    if seen is not None and request.state is not seen:
        by = f" by '{said.person}'" if said is not None and request.state is not State.DONE else ""
        raise Conflict(
            f"request {request.number} is {request.state.value}{by} since you looked at it",
            hint="Look at it again, then decide.",
        )
    if request.superseded is not None and request.state is State.SUPERSEDED:
        raise Conflict(
            f"request {request.number} is superseded: upstream has {request.superseded.by[:12]} in its place",
            hint=f"For this commit all the same, ask anew: weighbridge request {request.wanted}",
        )
    if request.state is State.DONE:
        raise Conflict(f"request {request.number} is done: {request.wanted} is {request.done_revision[:12]} now")
    if said is not None and said.accepts is accepts:
        raise Conflict(f"request {request.number} was {request.state.value} by '{said.person}' already")
