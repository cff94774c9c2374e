"""What is asked for, by whom, and how far that has come: the nouns of requests, and what may become of one.

`admit.requests` has the rules, and the ledger's events that all of this comes from.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from weighbridge.admit.index import check_channel
from weighbridge.core import canonical
from weighbridge.core.canonical import JsonObject
from weighbridge.core.errors import ConfigError, Conflict, Denied
from weighbridge.core.names import ModelName, is_revision

MAIN: Final = "main"
PRODUCTION: Final = "production"
MAX_TEXT: Final = 500
"""Characters of a note or reason: a client prints it in one line."""
MAX_BY: Final = 300
MAX_EVIDENCE_BYTES: Final = 8 * 1024
MAX_ASKERS: Final = 20


def channel_of(ref: str) -> str:
    """The channel that a ref of the Hub names, if it is no revision: `main` is production, any other word a channel of that name."""
    return PRODUCTION if ref == MAIN else ref


class Source(Enum):
    """Which way a request came in."""

    GATEWAY = "gateway"
    """A client asked the gateway for it."""
    PERSON = "person"
    """Somebody filed it by hand."""
    WATCH = "watch"
    """Upstream has a new revision."""


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
        return "" if is_revision(self.ref) else channel_of(self.ref)

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


def is_new(known: Request, source: Source, *, again: bool) -> bool:
    """Whether an asking for what was asked for before is a new request."""
    if known.state is State.SUPERSEDED:
        return source is not Source.WATCH
    return known.state is State.DONE or (again and known.state is State.DECLINED)


def opens_again(known: Request, source: Source, after: int) -> bool:
    """Whether watching asks about what was superseded before it looked."""
    taken = known.superseded if known.state is State.SUPERSEDED else None
    return taken is not None and source is Source.WATCH and taken.sequence <= after


def may_be_superseded(request: Request, after: int) -> bool:
    """Whether watching may close what it asked about a commit: it is open since before that, and nobody else asked for it."""
    own = request.asking.source is Source.WATCH and set(request.askers) <= {request.asking.by}
    commit = not request.wanted.channel
    return own and commit and request.state is State.OPEN and request.opened <= after


def asked_again(known: Request, by: str, times: int, at: str) -> Request:
    """The same, once more asked for."""
    askers = known.askers if by in known.askers or len(known.askers) >= MAX_ASKERS else (*known.askers, by[:MAX_BY])
    return replace(known, times=known.times + times, last_at=max(known.last_at, at), askers=askers)


def check_open_to(request: Request, *, accepts: bool, seen: State | None) -> None:
    """Raises `Conflict` where a reviewer cannot say that of it: it is done, said before, or not as it was shown."""
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
