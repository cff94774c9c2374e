"""Works out what each page of the catalog says. Plain functions of the request's words; they block, so they run in threads.

A model that a visitor's token does not cover is not there for that visitor. Pages are bounded: rows, findings, files and
changes beyond a page's share are counted and said to be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Final

from weighbridge.admit.asking import PRODUCTION
from weighbridge.admit.people import Role
from weighbridge.core.errors import ConfigError, NothingCollected, WeighbridgeError
from weighbridge.core.names import ModelName, is_revision
from weighbridge.serve.web_acts import Movements, gateway_of
from weighbridge.serve.web_data import (
    Comparisons,
    Filter,
    Opened,
    Shelf,
    WebSources,
    arrival,
    events_before,
    names_of,
    records_of,
)
from weighbridge.serve.web_ingests import ingests
from weighbridge.serve.web_rows import Line, Page, Past, Waiting, files_of, fits, groups_of, paged, pager, state_of
from weighbridge.serve.web_session import Visitor
from weighbridge.store.catalog import CataloguedRevision

MODELS_A_PAGE: Final = 25
QUEUE_A_PAGE: Final = 20
EVENTS_A_PAGE: Final = 50
MAX_FINDINGS: Final = 300
MAX_FILES: Final = 500
MAX_CHANGES: Final = 200
MAX_WORDS: Final = 200
OPENING_AT_ONCE: Final = 8
Context = Mapping[str, object]
KINDS: Final = (
    "revision.ingested",
    "revision.rescanned",
    "revision.decided",
    "revision.approved",
    "revision.rejected",
    "revision.attested",
    "revision.promoted",
    "revision.revoked",
    "revision.reinstated",
    "revision.removed",
    "channel.set",
    "person.added",
    "person.removed",
    "request.filed",
    "request.accepted",
    "request.declined",
    "request.superseded",
    "upstream.news",
    "watch.added",
    "watch.removed",
    "token.created",
    "token.revoked",
)


class Views:
    """The pages of one gateway. Thread-safe.

    Every method raises `NothingCollected` for what is not there, and `WeighbridgeError` for what cannot be read. `asked_for`
    is what the queue says of requests.
    """

    def __init__(
        self, sources: WebSources, shelf: Shelf, *, movements: Movements | None, asked_for: Callable[[Visitor], Context]
    ) -> None:
        self._sources = sources
        self._asked_for = asked_for
        self._shelf = shelf
        self._movements = movements
        self.comparisons = Comparisons(sources)

    # --- models

    def models(self, words: Mapping[str, str], visitor: Visitor) -> Page:
        """All models, searched and filtered."""
        asked = {name: words.get(name, "")[:MAX_WORDS].strip() for name in ("q", "verdict", "stage", "channel")}
        rows = [row for row in self._sources.ledger.catalog().revisions() if visitor.sees(row.model_name)]
        lines = []
        channels, problem = self._channels()
        known = sorted({channel for pointed in channels.values() for channel in pointed})
        for name, of in names_of(rows).items():
            newest = max(self._arrivals(of).values(), key=lambda row: row.sequence)
            stage = "approved" if any(row.store == self._approved for row in of) else "quarantine"
            found = Line(
                name, newest, Opened(newest, None, None), len(self._arrivals(of)), channels.get(name, {}), stage
            )
            if fits(found, asked):
                lines.append(found)
        lines.sort(key=lambda line: str(line.name).lower())
        number, shown = paged(lines, words, MODELS_A_PAGE)
        opened = self._open_all([line.row for line in shown])
        shown = [
            Line(one.name, one.row, found, one.revisions, one.channels, one.stage)
            for one, found in zip(shown, opened, strict=True)
        ]
        total = len(names_of(rows))
        counts = dict.fromkeys(("approved", "quarantine"), 0)
        for of in names_of(rows).values():
            counts["approved" if any(row.store == self._approved for row in of) else "quarantine"] += 1
        context = {
            "lines": shown,
            "asked": asked,
            "known_channels": known,
            "matching": len(lines),
            "total": total,
            "counts": counts,
            "problem": problem,
            **pager(number, len(lines), MODELS_A_PAGE, asked),
        }
        return Page("web_models", context)

    def model(self, words: Mapping[str, str], visitor: Visitor) -> Page:
        """One model: its revisions and channels."""
        name, rows = self._rows(words, visitor)
        channels, problem = self._channels()
        pointed = channels.get(name, {})
        history = []
        for revision, row in self._arrivals(rows).items():
            of = [one for one in rows if one.revision == revision]
            stages = {"approved" if one.store == self._approved else "quarantine" for one in of}
            pointing = tuple(sorted(channel for channel, target in pointed.items() if target == revision))
            history.append(Past(row, tuple(sorted(stages)), pointing, self._revoked(name, revision)))
        history.sort(key=lambda past: past.row.sequence, reverse=True)
        number, shown = paged(history, words, MODELS_A_PAGE)
        context = {
            "name": name,
            "history": shown,
            "channels": dict(sorted(pointed.items())),
            "problem": problem,
            **self._posture(name),
            **self._upstream(name),
            **self._rights(visitor),
            **pager(number, len(history), MODELS_A_PAGE, {}),
        }
        return Page("web_model", context)

    # --- one revision

    def revision(self, words: Mapping[str, str], visitor: Visitor) -> Page:
        """One revision, with everything that is known of it."""
        name, rows = self._rows(words, visitor)
        row, of = self._row(rows, words)
        opened = self._shelf.open(row)
        standpoint = self._shelf.standpoint(opened, judge=True)
        findings = opened.inspection.findings if opened.inspection else ()
        channels, _ = self._channels()
        pointed = channels.get(name, {})
        context = {
            "name": name,
            "row": row,
            "opened": opened,
            "stages": sorted({"approved" if one.store == self._approved else "quarantine" for one in of}),
            "channels": sorted(channel for channel, target in pointed.items() if target == row.revision),
            "pointed": pointed,
            "revoked": self._revoked(name, row.revision),
            "groups": groups_of(findings[:MAX_FINDINGS]),
            "more_findings": max(0, len(findings) - MAX_FINDINGS),
            "files": files_of(opened)[:MAX_FILES],
            "more_files": max(0, len(files_of(opened)) - MAX_FILES),
            "standpoint": standpoint,
            "state": state_of(standpoint),
            "records": self._records(row),
            "previous": self._previous(rows, row),
            "published": self._events_of(row),
            **self._rights(visitor),
        }
        return Page("web_revision", context)

    def difference(self, words: Mapping[str, str], visitor: Visitor) -> Page:
        """What changed since the revision before, or since the one that is asked for."""
        name, rows = self._rows(words, visitor)
        row, _ = self._row(rows, words)
        against = words.get("against", "")
        before = self._row(rows, {"revision": against})[0] if against else self._previous(rows, row)
        if before is None:
            raise NothingCollected(f"{name} has no revision before {row.revision[:12]}")
        first, second = self._shelf.open(before), self._shelf.open(row)
        found = self.comparisons.get(first, second)
        others = [one for one in self._arrivals(rows).values() if one.revision != row.revision][:MODELS_A_PAGE]
        context = {
            "name": name,
            "row": row,
            "before": before,
            "difference": found,
            "changes": found.changes[:MAX_CHANGES] if found else (),
            "more_changes": max(0, len(found.changes) - MAX_CHANGES) if found else 0,
            "others": others,
        }
        return Page("web_difference", context, 200 if found else 202)

    # --- the queue, the audit, ingests, rules

    def queue(self, words: Mapping[str, str], visitor: Visitor) -> Page:
        """Revisions in quarantine that are not promoted."""
        shown_states = words.get("show", "waiting")
        rows = [row for row in self._sources.ledger.catalog().revisions() if visitor.sees(row.model_name)]
        promoted = {(row.model_name, row.revision) for row in rows if row.store == self._approved}
        found = [row for row in rows if row.store != self._approved and (row.model_name, row.revision) not in promoted]
        waiting = []
        for opened in self._open_all(found[: QUEUE_A_PAGE * 10]):
            standpoint = self._shelf.standpoint(opened, judge=False)
            waiting.append(Waiting(opened.row, opened, standpoint, state_of(standpoint)))
        stopped = ("deny", "rejected")
        chosen = [
            one for one in waiting if shown_states == "all" or (one.state in stopped) == (shown_states == "stopped")
        ]
        number, shown = paged(chosen, words, QUEUE_A_PAGE)
        channels, _ = self._channels()
        context = {
            "waiting": shown,
            "show": shown_states if shown_states in ("all", "stopped") else "waiting",
            "counts": {
                "waiting": sum(one.state not in stopped for one in waiting),
                "stopped": sum(one.state in stopped for one in waiting),
                "all": len(waiting),
            },
            "beyond": max(0, len(found) - QUEUE_A_PAGE * 10),
            "known_channels": sorted({PRODUCTION, *(one for pointed in channels.values() for one in pointed)}),
            **self._asked_for(visitor),
            **self._rights(visitor),
            **pager(number, len(chosen), QUEUE_A_PAGE, {"show": shown_states}),
        }
        return Page("web_queue", context)

    def audit(self, words: Mapping[str, str], visitor: Visitor) -> Page:
        """The ledger's events, newest first. Whoever sees some models only sees the events of those."""
        asked = {name: words.get(name, "")[:MAX_WORDS].strip() for name in ("kind", "actor", "subject")}
        wanted = Filter(asked["kind"], asked["actor"], asked["subject"])
        before = words.get("before", "")
        at = int(before) if before.isascii() and before.isdecimal() and len(before) < 16 else 0
        page = events_before(self._sources.ledger, wanted, before=at, count=EVENTS_A_PAGE)
        events = [one for one in page.events if _may_see(visitor, one.subject)]
        context = {"events": events, "asked": asked, "kinds": KINDS, "last": page.last, "older": page.older, "at": at}
        return Page("web_audit", context)

    def ingests(self, _words: Mapping[str, str], visitor: Visitor) -> Page:
        """Ingests that are running or were interrupted."""
        found = ingests(self._sources.journals, now=datetime.fromisoformat(self._sources.clock()).astimezone(UTC))
        seen = [one for one in found if _may_see(visitor, one.reference)]
        return Page("web_ingests", {"ingests": seen, "has_folder": self._sources.journals is not None})

    def rules(self, words: Mapping[str, str], _visitor: Visitor) -> Page:
        """All rules, or those with a word in them."""
        from weighbridge.inspectors.all_rules import RULES

        asked = words.get("q", "")[:MAX_WORDS].strip()
        chosen = [one for one in RULES.values() if asked.lower() in f"{one.id} {one.title} {one.inspector}".lower()]
        return Page("web_rules", {"rules": chosen, "asked": asked, "total": len(RULES)})

    def rule(self, words: Mapping[str, str], _visitor: Visitor) -> Page:
        """One rule's text."""
        from weighbridge.inspectors.all_rules import RULES

        found = RULES.get(words.get("rule", ""))
        if found is None:
            raise NothingCollected("there is no such rule")
        return Page("web_rule", {"rule": found})

    # --- shared

    @property
    def _approved(self) -> str:
        return self._sources.approved_store.address

    def record(self, words: Mapping[str, str], visitor: Visitor) -> tuple[CataloguedRevision, str, str]:
        """The revision, name and store of a record that may be downloaded."""
        _, rows = self._rows(words, visitor)
        row, _ = self._row(rows, words)
        for name, _size, store in records_of(self._sources, row):
            if name == words.get("record", ""):
                return row, name, store
        raise NothingCollected(f"{row.model_name}@{row.revision[:12]} has no such record")

    def _rows(self, words: Mapping[str, str], visitor: Visitor) -> tuple[ModelName, list[CataloguedRevision]]:
        try:
            name = ModelName(words.get("org", ""), words.get("name", ""))
        except ConfigError as error:
            raise NothingCollected("there is no such model here") from error
        rows = self._sources.ledger.catalog().revisions(name) if visitor.sees(name) else []
        if not rows:
            raise NothingCollected(f"{name} is not known here", hint=f"weighbridge request {name}")
        return name, rows

    def _row(
        self, rows: list[CataloguedRevision], words: Mapping[str, str]
    ) -> tuple[CataloguedRevision, list[CataloguedRevision]]:
        revision = words.get("revision", "")
        of = [row for row in rows if row.revision == revision]
        if not is_revision(revision) or not of:
            raise NothingCollected(f"{rows[0].model_name} has no such revision")
        return arrival(of, self._approved), of

    def _arrivals(self, rows: list[CataloguedRevision]) -> dict[str, CataloguedRevision]:
        by: dict[str, list[CataloguedRevision]] = {}
        for row in rows:
            by.setdefault(row.revision, []).append(row)
        return {revision: arrival(of, self._approved) for revision, of in by.items()}

    def _previous(self, rows: list[CataloguedRevision], row: CataloguedRevision) -> CataloguedRevision | None:
        earlier = [one for one in self._arrivals(rows).values() if one.sequence < row.sequence]
        return max(earlier, key=lambda one: one.sequence, default=None)

    def _open_all(self, rows: list[CataloguedRevision]) -> list[Opened]:
        with ThreadPoolExecutor(OPENING_AT_ONCE, thread_name_prefix="web-open") as threads:
            return list(threads.map(self._shelf.open, rows))

    def _channels(self) -> tuple[dict[ModelName, dict[str, str]], str]:
        """What the signed index says, and why it says nothing."""
        approved = self._sources.approved
        try:
            return {name: approved.channels(name) for name in approved.models()}, ""
        except WeighbridgeError as error:
            return {}, error.message

    def _revoked(self, name: ModelName, revision: str) -> str:
        """Why a revision was revoked, as the ledger's last word says; "" where it was not."""
        reason = ""
        for event in self._sources.ledger.events(
            subject=f"{name}@{revision}", kinds=("revision.revoked", "revision.reinstated")
        ):
            reason = str(event.payload.get("reason", "revoked")) if event.kind == "revision.revoked" else ""
        return reason

    def _records(self, row: CataloguedRevision) -> list[tuple[str, int, str]]:
        try:
            return records_of(self._sources, row)
        except WeighbridgeError:
            return []

    def _events_of(self, row: CataloguedRevision) -> list[object]:
        return list(self._sources.ledger.events(subject=f"{row.model_name}@{row.revision}", limit=EVENTS_A_PAGE))

    def _posture(self, name: ModelName) -> dict[str, object]:
        """The newest posture report, and why it cannot be shown."""
        try:
            return {"posture": self._sources.posture(name), "posture_problem": ""}
        except WeighbridgeError as error:
            return {"posture": None, "posture_problem": error.message}

    def _upstream(self, name: ModelName) -> dict[str, object]:
        """What is known of upstream, and why it cannot be shown."""
        now = self._sources.clock()
        try:
            return {"watched": self._sources.watched().get(name), "watched_problem": "", "now": now}
        except WeighbridgeError as error:
            return {"watched": None, "watched_problem": error.message, "now": now}

    def _rights(self, visitor: Visitor) -> dict[str, object]:
        """Which buttons are shown, and if none, why."""
        if not visitor.may_decide:
            return {"may_decide": False, "may_move": False, "why_not": _why_not(visitor)}
        gateway = gateway_of(self._sources, self._shelf.roster()) is not None
        reason = "" if gateway else "This gateway's key has no role to pass on what people say."
        if self._sources.policy is None:
            gateway, reason = False, "This gateway has no policy to judge by."
        return {"may_decide": gateway, "may_move": self._movements is not None, "why_not": reason}


def _why_not(visitor: Visitor) -> str:
    if not visitor.known:
        return "Log in to approve, reject or promote."
    if visitor.kind == "token":
        return "An access token reads. To approve, reject or promote, log in by single sign-on."
    if not visitor.person:
        return f"Nobody here has the login {visitor.login}. An admin adds it to a person."
    return f"Your roles ({', '.join(visitor.roles)}) do not include {Role.REVIEWER.value} or {Role.ADMIN.value}."


def _may_see(visitor: Visitor, subject: str) -> bool:
    """Whether an event or ingest about `subject` (`org/name@…`) is of a model that the visitor may see."""
    name = subject.partition("@")[0]
    try:
        return visitor.sees(ModelName.parse(name))
    except ConfigError:
        return not visitor.known or visitor.kind != "token"
