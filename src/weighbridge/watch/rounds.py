"""One round of watching: every watched model is looked at once, one after another, and what is new is told.

Rules: one round of a home at a time, by a lock that ends with the process; what a model's upstream answers never ends the
round; news are in the ledger before they are told, and told once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from weighbridge.admit.adoption import ADOPTED
from weighbridge.admit.approvals import APPROVED, REJECTED
from weighbridge.admit.asking import Asking, State, Wanted
from weighbridge.admit.asking import Source as Way
from weighbridge.admit.channels import REINSTATED, check_not_revoked, was_rolled_back
from weighbridge.admit.judge_revision import Surroundings as Beside
from weighbridge.admit.people import ADDED, REMOVED
from weighbridge.admit.policy import Policy
from weighbridge.admit.requests import RequestBook
from weighbridge.admit.succession import predecessor_of
from weighbridge.core.canonical import JsonValue
from weighbridge.core.config import Config
from weighbridge.core.errors import (
    ConfigError,
    Conflict,
    Denied,
    FormatError,
    Interrupted,
    LedgerError,
    WeighbridgeError,
)
from weighbridge.core.finding import Severity
from weighbridge.core.names import Address, ModelName, Reference
from weighbridge.core.ports import ObjectStore, SignatureVerifier
from weighbridge.core.shown import plain
from weighbridge.drift.compare import Options
from weighbridge.drift.rendering import Rendering
from weighbridge.drift.sampling import Budget
from weighbridge.inspectors.registry import RULES_VERSION
from weighbridge.source.hub_questions import HubAsking
from weighbridge.source.opening import open_source
from weighbridge.store.catalog import CataloguedRevision
from weighbridge.store.ledger import Ledger
from weighbridge.transfer.comparing import Inspect, Opened, open_stored
from weighbridge.transfer.rescan import Rescanned
from weighbridge.vault.events import requester_of
from weighbridge.vault.inspections import latest_inspection
from weighbridge.vault.patience import Patience
from weighbridge.vault.records import SealedRevision
from weighbridge.vault.remediated import with_parents
from weighbridge.vault.verify import open_catalogued
from weighbridge.watch.judging import Bench, Judged, fitted, judge_upstream, summary_of
from weighbridge.watch.news import Judgement, Kind, News
from weighbridge.watch.rejudging import of_engines, rejudged
from weighbridge.watch.state import Checked, Seen, Watch, WatchBook, conditions_of, hours_between, key_of
from weighbridge.watch.upstream import Baseline, Look, Looker, Owners
from weighbridge.wire.files import locked_file
from weighbridge.wire.http import Http

ACTOR: Final = "watch"
"""Who asks, in requests, and who brings in what passes by itself: so nobody's own approval stands in the way."""
ATTEMPTS: Final = 3
MAX_WAIT_SECONDS: Final = 20.0
_WORDS: Final = (APPROVED, REJECTED, ADDED, REMOVED, REINSTATED, ADOPTED)
"""Events of people after which an approved revision may stand that did not."""


@dataclass(frozen=True, slots=True)
class Passing:
    """How a revision comes in by itself; each step raises what its command would.

    `check` whether an approved revision (`org/name@revision`) stands now; `ingest` a model's commit by a selection; `promote` a
    model's revision that follows an approved one, and point channels to it.
    """

    check: Callable[[str], None]
    ingest: Callable[[ModelName, str, tuple[str, ...], tuple[str, ...]], None]
    promote: Callable[[ModelName, str, str, tuple[str, ...]], None]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a round works with; `cli.watching.surroundings(yard, cancelled)` makes it from a home.

    `ledger` is for writing, `actor` who runs it; `policy` reads today's policy; `rescan` inspects a stored revision again;
    `say` is told what was tried and did not go, `begins` which model is looked at, of how many; `lock` is the home's, and `clock`
    gives RFC 3339 in UTC.
    """

    config: Config
    ledger: Ledger
    http: Http
    endpoint: str
    token: str
    verifier: SignatureVerifier
    store_of: Callable[[str], ObjectStore]
    approved: str
    policy: Callable[[], Policy]
    inspect: Inspect
    rescan: Callable[[ObjectStore, SealedRevision], Rescanned]
    passing: Passing
    rendering: Rendering
    lock: Path
    actor: str
    say: Callable[[str], None]
    clock: Callable[[], str]
    book: WatchBook
    begins: Callable[[ModelName, int, int], None] = lambda _name, _number, _count: None
    fresh: Callable[[], None] = lambda: None
    """Called before each round: what a home may have changed since, as the keys it trusts, is read again when it is needed."""

    @property
    def beside(self) -> Beside:
        """What a revision is judged beside."""
        return Beside(self.ledger, self.verifier, self.store_of)


def run_round(
    surroundings: Surroundings, models: Sequence[ModelName] = (), *, cancelled: threading.Event
) -> Iterator[News]:
    """Looks upstream for the named watched models, or all, and tells what is new, as it is found.

    News that were told before, by this process or another, are not told again. What cannot be done for one model is told as
    news or said through `surroundings`, and the next one follows. It is a generator: closing it ends the round cleanly.

    Raises:
        Conflict: another process is in the middle of a round of this home.
        NothingCollected: a named model is not watched.
        LedgerError, StoreError, ConfigError, TrustError: the home itself cannot be read or written; nothing else ends a round.
        Interrupted: `cancelled` was set; what was told before stands.
    """
    surroundings.fresh()
    book = surroundings.book.refresh()
    watches = [book.get(name) for name in models] if models else book.watches()
    with _alone(surroundings.lock):
        turn = _Round(surroundings, cancelled)
        for number, watch in enumerate(watches):
            if number and cancelled.wait(surroundings.config.watch.pause_seconds):
                break
            _check(cancelled)
            surroundings.begins(watch.model_name, number + 1, len(watches))
            yield from turn.look(watch)
        _check(cancelled)
        if surroundings.config.watch.rejudge:
            yield from turn.rejudge(models)


def _check(cancelled: threading.Event) -> None:
    if cancelled.is_set():
        raise Interrupted("the round was stopped", hint="What was told before stands; the next round goes on.")


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    try:
        with locked_file(lock, wait_seconds=0.0):
            yield
    except TimeoutError as error:
        raise Conflict(
            "another process is in the middle of a round of this home",
            hint="A daemon may be running: `weighbridge updates` shows what it found.",
        ) from error
    except OSError as error:
        raise ConfigError(f"'{lock}' cannot be locked: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class _Stored:
    """The stored revision that the next one is compared with."""

    row: CataloguedRevision
    store: ObjectStore
    revision: SealedRevision

    @property
    def commit(self) -> str:
        return self.revision.manifest.origin.commit or self.row.revision


@dataclass
class _Round:
    """One round; `owners` are asked for once."""

    around: Surroundings
    cancelled: threading.Event
    owners: Owners = field(default_factory=dict)
    began: int = 0
    """The ledger's end before upstream was asked about the present model."""

    def __post_init__(self) -> None:
        self.requests = RequestBook(self.around.ledger)

    # --- looking

    def look(self, watch: Watch) -> Iterator[News]:
        around = self.around
        now = around.clock()
        last = around.book.checked(watch.model_name)
        self.began = around.ledger.last_sequence()
        try:
            stored = self._stored(watch)
        except WeighbridgeError as error:
            _raise_own(error)
            around.say(f"{watch.model_name}: what is stored cannot be opened: {plain(error.message, 300)}")
            return
        try:
            look = self._asked(watch, stored, last, now)
        except WeighbridgeError as error:
            _raise_own(error)
            yield from self._unanswered(watch, last, now, error)
            return
        conditions = conditions_of(look.news)
        if look.seen is None and last is not None:
            # Of what is not shown nothing else is known: what was so before is not told anew once it is back.
            conditions |= last.conditions
        seen = look.seen or (last.seen if last is not None and last.ref == watch.ref else Seen())
        yield from self._tell(look.news)
        commit = look.new_commit or (self._unfinished(watch.model_name, seen.commit) if look.seen is not None else "")
        if commit and stored is not None and commit != stored.commit:
            yield from self._tell(self._new_revision(watch, stored, commit, now))
        if look.seen is not None and seen.commit:
            self._settle_requests(watch.model_name, seen.commit)
        around.book.record_look(watch.model_name, Checked(now, watch.ref, seen, conditions), actor=around.actor)

    def _unfinished(self, name: ModelName, commit: str) -> str:
        """The commit, where a round brought it in and ended before it said what became of it; else ""."""
        told = (one for one in self.around.book.news(name, Kind.NEW_REVISION) if one.upstream == commit)
        newest = next(told, None)
        if newest is not None and newest.judgement is Judgement.PASSED:
            return ""
        return commit if requester_of(self.around.ledger, f"{name}@{commit}") == ACTOR else ""

    def _asked(self, watch: Watch, stored: _Stored | None, last: Checked | None, now: str) -> Look:
        around = self.around
        baseline = None
        if stored is not None:
            rows = around.ledger.catalog().revisions(watch.model_name)
            baseline = Baseline(stored.revision.manifest.origin, frozenset(row.revision for row in rows))
        told = around.book.news(watch.model_name)
        standing = tuple(one for one in told if last is not None and key_of(one) in last.conditions)
        hub = HubAsking(around.http, around.endpoint, watch.model_name, token=around.token)
        looker = Looker(hub, watch, baseline, last, now, self.owners, standing)
        settings = replace(
            around.config.transfer,
            attempts=min(ATTEMPTS, around.config.transfer.attempts),
            retry_wait_limit_seconds=min(MAX_WAIT_SECONDS, around.config.transfer.retry_wait_limit_seconds),
        )
        return Patience(settings, self.cancelled, lambda _why, _wait: None).call(looker.look)

    def _stored(self, watch: Watch) -> _Stored | None:
        """The revision to compare with, of those that came from the Hub: the channel's where one is named, else the newest that was
        promoted, else the newest. What nobody let pass is no measure while there is something else.
        """
        around = self.around
        known = around.ledger.catalog().revisions(watch.model_name)
        # Of what was promoted in a mended form the original came from upstream, and is what upstream is held against.
        promoted = with_parents(
            around.ledger, watch.model_name, {row.revision for row in known if row.store == around.approved}
        )
        rows = [row for row in known if row.store != around.approved and row.source.startswith("hf://")]
        channel = around.ledger.catalog().channels(watch.model_name).get(watch.channel, "")
        pointed = with_parents(around.ledger, watch.model_name, {channel} if channel else ())
        rows.sort(key=lambda row: (row.revision in pointed, row.revision in promoted, row.sequence), reverse=True)
        for row in rows[:1]:
            store = around.store_of(row.store)
            return _Stored(row, store, open_catalogued(store, row, around.verifier))
        return None

    def _unanswered(self, watch: Watch, last: Checked | None, now: str, error: WeighbridgeError) -> Iterator[News]:
        """What gives no answer is said, and is news once it lasts."""
        around = self.around
        what = "what upstream answered cannot be understood: " if isinstance(error, FormatError) else ""
        around.say(f"{watch.model_name}: {what}{plain(error.message, 300)}")
        since = last.failing_since if last is not None and last.failing_since else now
        hours = hours_between(since, now)
        news: tuple[News, ...] = ()
        if hours >= around.config.watch.unreachable_hours:
            details: dict[str, JsonValue] = {"since": since}
            words = f"upstream gives no answer since {since[:16]}: {plain(error.message, 160)}"
            news = (News(Kind.UNREACHABLE, watch.model_name, now, words, risk=Severity.LOW, details=details),)
        yield from self._tell(news)
        conditions = (last.conditions if last is not None else frozenset()) | conditions_of(news)
        seen = last.seen if last is not None and last.ref == watch.ref else Seen()
        look = Checked(now, watch.ref, seen, conditions, failing_since=since)
        around.book.record_look(watch.model_name, look, actor=around.actor)

    def _tell(self, news: Sequence[News] | Iterator[News]) -> Iterator[News]:
        for one in news:
            if self.around.book.tell(one, actor=self.around.actor):
                yield one

    # --- a new revision

    def _new_revision(self, watch: Watch, stored: _Stored, commit: str, now: str) -> Iterator[News]:
        around = self.around
        policy = around.policy()
        if self._is_settled(watch.model_name, stored.commit, commit, policy, now):
            return
        try:
            judged = self._judged(watch, stored, commit, policy, now)
        except WeighbridgeError as error:
            _raise_own(error)
            if error.transient:
                # The next round asks again; a bad connection is no reason to hold anything.
                around.say(f"{watch.model_name}@{commit[:12]} is not compared yet: {plain(error.message, 300)}")
                return
            yield self._unjudged(watch, stored, commit, now, error)
            return
        passed: dict[str, JsonValue] | None = None
        waits_for = ""
        why_not = ""
        if judged.card_only:
            try:
                passed = self._pass(watch.model_name, stored, commit, policy)
            except WeighbridgeError as error:
                _raise_own(error)
                if error.transient:
                    # The next round goes on where this one stopped, also after the ingest.
                    around.say(f"{watch.model_name}@{commit[:12]} is not in yet: {plain(error.message, 300)}")
                    return
                why_not = plain(f"it could not pass by itself: {error.message}", 300)
                waits_for = self._approved(stored)
        judgement = Judgement.PASSED if passed is not None else Judgement.HELD if why_not else judged.judgement
        reasons = (*((why_not,) if why_not else ()), *judged.reasons)
        evidence = {
            **judged.evidence(),
            "judgement": judgement.value,
            "reasons": list(reasons),
            "compared_with": stored.commit,
        }
        request = 0 if passed is not None else self._request(watch.model_name, commit, evidence)
        details: dict[str, JsonValue] = {
            **{
                name: evidence[name]
                for name in ("outcome", "rules", "policy", "rules_version", "changes", "change_count")
            },
            "ref": watch.ref,
            "again_at": judged.again_at,
            **({"waits_for": waits_for} if waits_for else {}),
            **(passed or {}),
        }
        summary = summary_of(watch.model_name, commit, judged, passed)
        yield News(
            Kind.NEW_REVISION,
            watch.model_name,
            now,
            plain(summary, 400),
            judgement,
            stored.commit,
            commit,
            judged.risk,
            reasons,
            request,
            details,
        )

    def _is_settled(self, name: ModelName, stored: str, commit: str, policy: Policy, now: str) -> bool:
        """Whether the same was judged before, by the same policy and rules, and neither time nor people would change that yet."""
        for told in self.around.book.news(name, Kind.NEW_REVISION):
            if (told.stored, told.upstream) == (stored, commit):
                said = told.details.get("policy")
                digest = said.get("digest") if isinstance(said, dict) else ""
                version = str(told.details.get("rules_version", ""))
                again = str(told.details.get("again_at", ""))
                same = digest == policy.digest and version.startswith(RULES_VERSION)
                return same and not (again and now >= again) and not self._stands_again(told)
        return False

    def _stands_again(self, told: News) -> bool:
        """Whether the approved revision stands now, of which it was told that it does not; asked only once people said something."""
        approved, after = str(told.details.get("waits_for", "")), self.around.book.sequence_of(told)
        if not approved or not any(True for _ in self.around.ledger.events(after=after, kinds=_WORDS)):
            return False
        try:
            wanted = Reference.parse(approved)
            check_not_revoked(self.around.ledger, wanted.model_name, wanted.selector)
            self.around.passing.check(approved)
        except WeighbridgeError as error:
            _raise_own(error)
            return False
        return True

    def _judged(self, watch: Watch, stored: _Stored, commit: str, policy: Policy, now: str) -> Judged:
        around = self.around
        inspection = latest_inspection(stored.store, stored.revision, around.ledger)
        before: Opened = open_stored(stored.store, stored.revision, inspection)
        bench = Bench(
            policy,
            around.beside,
            around.config.transfer,
            around.inspect,
            Options(Budget(around.config.watch.sample_bytes), around.rendering),
            self.cancelled,
            around.say,
            now,
            Reference.parse(self._approved(stored)).selector,
        )
        source = open_source(Address("hf", str(watch.model_name), commit), around.config, around.http)
        return judge_upstream(bench, before, source)

    def _unjudged(self, watch: Watch, stored: _Stored, commit: str, now: str, error: WeighbridgeError) -> News:
        """A revision that could not be compared: held, and asked about as it is."""
        why = plain(f"it could not be compared: {error.message}", 300)
        evidence: dict[str, JsonValue] = {
            "judgement": Judgement.HELD.value,
            "reasons": [why],
            "compared_with": stored.commit,
        }
        return News(
            Kind.NEW_REVISION,
            watch.model_name,
            now,
            plain(f"{watch.model_name} has a new revision {commit[:12]}, which could not be compared", 400),
            Judgement.HELD,
            stored.commit,
            commit,
            Severity.HIGH,
            (why,),
            self._request(watch.model_name, commit, evidence),
            {"ref": watch.ref},
        )

    def _request(self, name: ModelName, commit: str, evidence: dict[str, JsonValue]) -> int:
        """Asks people; what they were asked already keeps its number."""
        asking = Asking(Wanted.of(name, commit), Way.WATCH, ACTOR, evidence=fitted(evidence))
        try:
            return self.requests.file(asking, after=self.began)[0].number
        except Denied as error:
            self.around.say(f"{name}: no request is filed: {error.message}")
            return 0

    def _settle_requests(self, name: ModelName, commit: str) -> None:
        """Asks people about nothing but what upstream has now: what it has no longer is superseded, what it has again is open."""
        known = self.requests.refresh().newest(Wanted.of(name, commit))
        if known is not None and known.state is State.SUPERSEDED:
            try:
                self.requests.file(known.asking, after=self.began)
            except Denied as error:
                self.around.say(f"{name}: no request is filed: {error.message}")
        for one in self.requests.supersede(name, commit, after=self.began, actor=ACTOR):
            self.around.say(f"request {one.number} for {one.wanted} is superseded by {commit[:12]}")

    def _approved(self, stored: _Stored) -> str:
        """The revision that people approved, as `org/name@revision`: words are not inherited twice, so that what followed an approved
        one is followed by that one.
        """
        reference = stored.revision.manifest.reference
        return predecessor_of(self.around.ledger, reference, self.around.beside) or reference

    def _pass(self, name: ModelName, stored: _Stored, commit: str, policy: Policy) -> dict[str, JsonValue]:
        """Brings it in, has the approvals of the one it follows stand for it, and moves the channels that policy names.

        Raises:
            WeighbridgeError: something of it does not hold; what came in until then is quarantined as anything else.
        """
        around = self.around
        manifest = stored.revision.manifest
        approved = self._approved(stored)
        pointing = around.ledger.catalog().channels(name)
        known = {manifest.revision, Reference.parse(approved).selector}
        channels = tuple(
            sorted(
                one
                for one in policy.watch.channels
                # Who stepped back from words moves the channel on again, and nobody else does.
                if pointing.get(one) in known and not was_rolled_back(around.ledger, name, one)
            )
        )
        check_not_revoked(around.ledger, name, manifest.revision)
        around.passing.check(approved)
        around.passing.ingest(name, commit, manifest.include, manifest.exclude)
        around.passing.promote(name, commit, approved, channels)
        return {"follows": approved, "channels": list(channels)}

    # --- today's rules

    def rejudge(self, models: Sequence[ModelName]) -> Iterator[News]:
        """Inspects again what older rules inspected; all that is stored, or the named models."""
        around = self.around
        told = of_engines(around.ledger, around.clock())
        yield from self._tell(one for one in told if not models or one.model_name in models)
        if not models and around.book.rules_version == RULES_VERSION:
            return
        wanted = set(models)
        whole = True
        for row in around.ledger.catalog().revisions():
            if row.store == around.approved or (wanted and row.model_name not in wanted):
                continue
            _check(self.cancelled)
            try:
                store = around.store_of(row.store)
                revision = open_catalogued(store, row, around.verifier)
                before = latest_inspection(store, revision, around.ledger)
                if before.rules_version.startswith(RULES_VERSION):
                    continue
                found = around.rescan(store, revision)
            except WeighbridgeError as error:
                if isinstance(error, Interrupted | LedgerError):
                    raise
                around.say(f"{row.model_name}@{row.revision[:12]} cannot be inspected again: {error.message}")
                whole = False
                continue
            yield from self._tell(rejudged(row, found, around.clock()))
        if whole and not models:
            around.book.record_rules(RULES_VERSION, actor=around.actor)


def _raise_own(error: WeighbridgeError) -> None:
    """What concerns the home itself, or whoever stops it, ends the round."""
    if isinstance(error, Interrupted | LedgerError):
        raise error
