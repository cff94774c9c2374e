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
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Final

from weighbridge.admit.approvals import Speaker, speaks_for
from weighbridge.admit.asking import (
    PRODUCTION,
    Asking,
    Repeat,
    Request,
    Source,
    State,
    Superseded,
    Wanted,
    Word,
    asked_again,
    check_line,
    check_open_to,
    is_new,
    may_be_superseded,
    opens_again,
)
from weighbridge.admit.channels import CHANNEL_SET
from weighbridge.admit.people import Roster
from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.errors import (
    ConfigError,
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
MAX_LINES: Final = 1_000
MAX_KEPT: Final = 20_000
"""Requests kept in memory; of more, the oldest that are settled are forgotten."""
MAX_CHANNELS: Final = 1_000


OPEN_IN_ALL: Final[Mapping[Source, int]] = {Source.GATEWAY: 500, Source.PERSON: 1_000, Source.WATCH: 1_000}
OPEN_EACH: Final[Mapping[Source, int]] = {Source.GATEWAY: 20, Source.PERSON: 200, Source.WATCH: 1_000}
"""Open requests of one asker."""


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
            opens = known is not None and opens_again(known, asking.source, after)
            if known is not None and not opens and not is_new(known, asking.source, again=again):
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
                if request.wanted.ref == commit or not may_be_superseded(request, after):
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
            check_open_to(request, accepts=accepts, seen=seen)
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
        if known is not None and not is_new(known, asking.source, again=again):
            # Another process filed the same before it knew of this one, or upstream has it again.
            if opens_again(known, asking.source, fields.integer("after", 0)):
                known = replace(known, superseded=None, opened=event.sequence)
            self._merged[event.sequence] = known.number
            self._requests[known.number] = asked_again(known, asking.by, 1, event.time)
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
            self._requests[known.number] = asked_again(known, fields.text("by"), fields.integer("times"), at)

    def _superseded(self, event: Event, fields: Fields) -> None:
        number = fields.integer("request")
        request = self._requests.get(self._merged.get(number, number))
        fits = request is not None and str(request.wanted) == event.subject
        if request is not None and fits and may_be_superseded(request, fields.integer("after")):
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


def _line(one: Repeat) -> dict[str, JsonValue]:
    return {"request": one.number, "by": one.by, "times": one.times, "last_at": one.last_at}
