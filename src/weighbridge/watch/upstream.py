"""One polite, bounded look at one model upstream: what is so there now, and what of it is news.

Rules:

- where nothing changed, a look is three small questions (the model at the ref, its refs, its owner), asked with the validators
  of the last look (`If-None-Match`); the owner of several models is asked for once a round;
- redirects are facts and are not followed; what an answer says is a stranger's text: of known types, bounded, shown by `plain`;
- an answer that cannot be understood is no news and no all-clear: the look fails, and the next one asks again;
- "gone" is believed only of the Hub's own words for it, so that a bad token or a proxy's page deletes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.core.counted import plural
from weighbridge.core.errors import ConfigError, LimitExceeded, Malformed, SourceError
from weighbridge.core.finding import Severity
from weighbridge.core.names import ModelName, is_revision
from weighbridge.core.shown import plain
from weighbridge.core.snapshot import Origin
from weighbridge.formats.json_text import Json
from weighbridge.source.hub_questions import (
    MAX_COMMITS,
    MAX_FILES,
    RANK,
    SCANNED,
    Answer,
    HubAsking,
    account,
    new_name,
    repository_issues,
    scan_word,
    segment,
    text_field,
)
from weighbridge.watch.news import Judgement, Kind, News
from weighbridge.watch.state import Checked, Seen, Watch, hours_between

MAX_TAGS: Final = 200
"""Tags that are kept in mind of one model; those that matter here and those that were known first are among them."""
MAX_TOLD_TAGS: Final = 10
"""Moved tags that are told each by itself; of more there is one word for all."""
MAX_FLAGGED: Final = 200
MAX_ETAG: Final = 200
MAX_ID: Final = 64
SCAN_HOURS: Final = 24
"""How often the Hub's words on each file are asked for where the repository's own status did not change."""
_ELSEWHERE: Final = "elsewhere"
"""The stored commit never was in the history of the watched ref."""
_FLAG_RISK: Final = {"caution": Severity.LOW, "suspicious": Severity.MEDIUM, "unsafe": Severity.HIGH}

Owners = dict[str, str]
"""The id of each owner that was asked for in this round; "" where the Hub tells none."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is here of a model: the revision that the next one is compared with, and which others came in.

    `origin` is where the first came from; `commits` are all commits of the model that are stored.
    """

    origin: Origin
    commits: frozenset[str] = frozenset()

    @property
    def commit(self) -> str:
        """The commit that is compared with."""
        return self.origin.commit


@dataclass(frozen=True, slots=True)
class Look:
    """What one look came to. `seen` is None when upstream showed nothing; `new_commit` is one that is not stored, or ""."""

    news: tuple[News, ...]
    seen: Seen | None = None
    new_commit: str = ""


@dataclass(frozen=True, slots=True)
class Looker:
    """One look. `last` is the last one, None for the first; `owners` is shared by a round.

    `standing` is what was told of conditions that were so at the last look.
    """

    hub: HubAsking
    watch: Watch
    baseline: Baseline | None
    last: Checked | None
    now: str
    owners: Owners = field(default_factory=dict)
    standing: tuple[News, ...] = ()

    def look(self) -> Look:
        """Asks.

        Raises:
            SourceError, FormatError: upstream gave no answer, or none that can be understood.
        """
        before = self.last.seen if self.last is not None and self.last.ref == self.watch.ref else None
        if before is not None and not before.commit:
            before = None
        answer = self._ask("info", f"/revision/{segment(self.watch.ref)}", before, securityStatus="true")
        gone = self._gone(answer)
        if gone is not None:
            return Look((gone,))
        seen = self._info(answer, before)
        seen = self._refs(seen, before)
        seen = self._owner(seen)
        seen = self._scans(seen)
        seen, rewritten = self._history(seen, before)
        news = (*self._compared(seen, before), *rewritten)
        stored = self.baseline.commits if self.baseline else frozenset()
        return Look(news, seen, seen.commit if self.baseline and seen.commit not in stored else "")

    # --- questions

    def _ask(self, name: str, rest: str, before: Seen | None, **query: str) -> Answer:
        etag = before.etags.get(name, "") if before is not None else ""
        path = f"/api/models/{self.watch.model_name}{rest}"
        return self.hub.get_with(path, {"If-None-Match": etag} if etag else {}, **query)

    def _gone(self, answer: Answer) -> News | None:
        """What it means that the Hub does not show the model at the ref, by its own words."""
        name = new_name(self.hub, answer) if answer.location else self._other_name(answer)
        if name == str(self.watch.model_name):
            raise SourceError(f"{answer.asked} redirects to itself")
        if name:
            words = f"the name leads to {name} now"
            return self._news(Kind.RENAMED, words, Severity.MEDIUM, upstream=name, judgement=Judgement.HELD)
        code = answer.headers.get("x-error-code", "")
        if code == "RevisionNotFound" and answer.status == 404:
            words, risk = f"upstream has no '{plain(self.watch.ref)}' any more", Severity.HIGH
            if not self._had_ref:
                words, risk = f"upstream has no branch or tag '{plain(self.watch.ref)}'", Severity.LOW
            return self._news(Kind.HISTORY_REWRITTEN, words, risk)
        if code == "GatedRepo" or (answer.status == 403 and not code):
            return self._news(Kind.CLOSED, "upstream does not let the token in use read it any more", Severity.LOW)
        if answer.status == 410 or (answer.status in (401, 404) and code == "RepoNotFound"):
            words, risk = "upstream does not show it any more: it was deleted, or made private", Severity.MEDIUM
            if self.baseline is None and (self.last is None or not self.last.seen.commit):
                words, risk = "upstream shows no such model to the token in use, and never did", Severity.LOW
            return self._news(Kind.DELETED, words, risk)
        if code == "RepoDisabled":
            return self._news(Kind.DELETED, "upstream disabled it", Severity.HIGH)
        return None

    @property
    def _had_ref(self) -> bool:
        """Whether the ref was there: at an earlier look, or when the stored revision came in."""
        seen = self.last is not None and self.last.ref == self.watch.ref and bool(self.last.seen.commit)
        return seen or (self.baseline is not None and self.baseline.origin.requested_ref == self.watch.ref)

    def _other_name(self, answer: Answer) -> str:
        """Another model's name under which the Hub answers; "" where it is the one that was asked for."""
        if answer.status != 200:
            return ""
        name = text_field(answer.object(), "id")
        if name.lower() == str(self.watch.model_name).lower():
            return ""
        try:
            return str(ModelName.parse(name))
        except ConfigError as error:
            raise Malformed(f"{answer.asked} answers about {plain(name)}") from error

    def _info(self, answer: Answer, before: Seen | None) -> Seen:
        if answer.status == 304 and before is not None:
            return before
        fields = answer.object()
        commit = text_field(fields, "sha")
        if not is_revision(commit):
            raise Malformed(f"{answer.asked} names no commit")
        gated = fields.get("gated")
        issues = repository_issues(fields)
        digest = hashlib.sha256(repr(sorted(issues.items())).encode()).hexdigest()[:32] if issues else ""
        return Seen(
            commit=commit,
            within=before.within if before else "",
            repository_id=_id(fields),
            owner_id=before.owner_id if before else "",
            gated=gated if isinstance(gated, str) and gated in ("auto", "manual") else "",
            private=fields.get("private") is True,
            disabled=fields.get("disabled") is True,
            tags=self._known_tags,
            flagged=before.flagged if before else {},
            issues=digest,
            scanned_at=before.scanned_at if before and before.issues == digest else "",
            etags=_with_etag(before, "info", answer),
        )

    def _refs(self, seen: Seen, before: Seen | None) -> Seen:
        answer = self._ask("refs", "/refs", before)
        if answer.status == 304 and before is not None:
            return seen
        listed = answer.object().get("tags")
        if not isinstance(listed, list):
            raise Malformed(f"{answer.asked} lists no tags")
        found: dict[str, str] = {}
        for row in listed:
            name, commit = (row.get("name"), row.get("targetCommit")) if isinstance(row, dict) else (None, None)
            if isinstance(name, str) and isinstance(commit, str) and is_revision(commit) and 0 < len(name) <= 200:
                found[plain(name)] = commit
        # A tag that is gone is kept in mind: it may come back and name another commit.
        known = self._known_tags
        ours = (self.watch.ref, self.baseline.origin.requested_ref if self.baseline else "")
        ranked = sorted({*known, *found}, key=lambda name: (name not in ours, name not in known, name))
        tags = {name: found.get(name) or known[name] for name in ranked[:MAX_TAGS]}
        return replace(seen, tags=tags, etags=_with_etag(seen, "refs", answer))

    @property
    def _known_tags(self) -> Mapping[str, str]:
        """The tags that were seen before, whichever ref was watched then."""
        return self.last.seen.tags if self.last is not None else {}

    def _owner(self, seen: Seen) -> Seen:
        name = self.watch.model_name.organisation
        if name not in self.owners:
            _, answer = account(self.hub, name)
            self.owners[name] = "" if answer.status == 404 else _id(answer.object())
        return replace(seen, owner_id=self.owners[name])

    def _scans(self, seen: Seen) -> Seen:
        """The Hub's words on the files of the stored revision, when it may have new ones."""
        commit = self.baseline.commit if self.baseline else ""
        due = not seen.scanned_at or hours_between(seen.scanned_at, self.now) >= SCAN_HOURS
        if not is_revision(commit) or not due:
            return seen
        flagged: dict[str, str] = {}
        try:
            for _, rows in self.hub.pages(f"/tree/{commit}", limit=MAX_FILES, recursive="true", expand="true"):
                flagged.update(_flagged(rows))
        except (SourceError, LimitExceeded):
            # The commit itself may be gone; that is found where its history is looked at.
            return replace(seen, scanned_at=self.now)
        worst = sorted(flagged, key=lambda path: (-RANK[flagged[path]], path))[:MAX_FLAGGED]
        return replace(seen, flagged={path: flagged[path] for path in worst}, scanned_at=self.now)

    # --- what is news

    def _compared(self, seen: Seen, before: Seen | None) -> Iterator[News]:
        origin = self.baseline.origin if self.baseline else Origin("", "")
        if seen.disabled:
            yield self._news(Kind.DELETED, "upstream disabled it", Severity.HIGH)
        known = origin.repository_id or (before.repository_id if before else "")
        if known and seen.repository_id and known != seen.repository_id:
            yield self._replaced(known, seen)
        owner = origin.owner_id or (before.owner_id if before else "")
        if owner and seen.owner_id and owner != seen.owner_id:
            yield self._news(
                Kind.OWNER_CHANGED,
                "another owner has the name now: its id is not the one that published what came in",
                Severity.CRITICAL,
                judgement=Judgement.HELD,
                details={"before": plain(owner), "now": plain(seen.owner_id)},
            )
        if before is not None and ((seen.gated and not before.gated) or (seen.private and not before.private)):
            word = "private" if seen.private else f"gated ({seen.gated})"
            yield self._news(Kind.CLOSED, f"access is {word} now", Severity.LOW, details={"gated": seen.gated})
        elif self.last is not None and before is not None and (seen.gated or seen.private):
            yield from self._still(Kind.CLOSED)
        yield from self._moved_tags(seen)
        yield from self._flags(seen)

    def _replaced(self, known: str, seen: Seen) -> News:
        return self._news(
            Kind.REPOSITORY_REPLACED,
            "another repository has the name now: its id is not that of the one that came in",
            Severity.CRITICAL,
            judgement=Judgement.HELD,
            details={"before": plain(known), "now": plain(seen.repository_id)},
        )

    def _still(self, kind: Kind) -> Iterator[News]:
        """The news again of a condition that the last look told and that lasts; they are not told twice."""
        for told in self.standing:
            if told.kind is kind:
                yield told

    def _moved_tags(self, seen: Seen) -> Iterator[News]:
        origin = self.baseline.origin if self.baseline else None
        ours = origin.requested_ref if origin is not None else ""
        known = dict(self._known_tags)
        if origin is not None and ours in seen.tags:
            known.setdefault(ours, origin.commit)
        moved = [name for name in sorted(known.keys() & seen.tags.keys()) if known[name] != seen.tags[name]]
        # What happened after another look happened anew: a tag that moves to and fro is told each time.
        since = self.last.at if self.last is not None else ""
        moved.sort(key=lambda name: name != ours)
        for name in moved[:MAX_TOLD_TAGS]:
            risk = Severity.HIGH if name == ours else Severity.MEDIUM
            words = f"the tag '{name}' names another commit than before"
            tagged: dict[str, JsonValue] = {"tag": name, "before": known[name], "since": since}
            yield self._news(Kind.TAG_MOVED, words, risk, upstream=seen.tags[name], details=tagged)
        if others := moved[MAX_TOLD_TAGS:]:
            words = f"{plural(len(others), 'more tag')} of {len(seen.tags)} name another commit than before"
            many: dict[str, JsonValue] = {"tags": list(others), "since": since}
            yield self._news(Kind.TAG_MOVED, words, Severity.MEDIUM, details=many)

    def _flags(self, seen: Seen) -> Iterator[News]:
        for path, word in sorted(seen.flagged.items(), key=lambda one: (-RANK[one[1]], one[0]))[:20]:
            words = f"the Hub's scan says '{word}' of '{path}' of the stored revision"
            flagged: dict[str, JsonValue] = {"path": path, "word": word}
            yield self._news(Kind.FLAGGED, words, _FLAG_RISK.get(word, Severity.MEDIUM), details=flagged)

    def _history(self, seen: Seen, before: Seen | None) -> tuple[Seen, tuple[News, ...]]:
        """Whether the stored commit still is in the history of the ref; asked for only where the ref moved.

        It is missed only where it was there: seen or found by an earlier look, or brought in from this very ref.
        """
        stored = self.baseline.commit if self.baseline else ""
        if not is_revision(stored) or is_revision(self.watch.ref):
            return seen, ()
        if seen.commit == stored:
            return replace(seen, within=stored), ()
        standing = tuple(one for one in self._still(Kind.HISTORY_REWRITTEN) if one.stored == stored)
        # Where it could not be found out, it is asked again.
        known = any(one.risk is Severity.HIGH for one in standing)
        if before is not None and before.commit == seen.commit and (known or before.within in (stored, _ELSEWHERE)):
            return seen, standing
        try:
            for _, rows in self.hub.pages(f"/commits/{segment(self.watch.ref)}", limit=MAX_COMMITS):
                if any(row.get("id") == stored for row in rows):
                    return replace(seen, within=stored), ()
        except LimitExceeded as error:
            # Whoever rewrites a history may make it as long as it takes.
            words = f"the stored commit was not found in the history of '{plain(self.watch.ref)}': {error.message}"
            return replace(seen, within=""), (self._news(Kind.HISTORY_REWRITTEN, words, Severity.MEDIUM),)
        asked_for = self.baseline.origin.requested_ref if self.baseline else ""
        # What came in by its commit, as all that passes by itself, was at the ref where a look saw it there.
        seen_there = before is not None and stored in (before.within, before.commit)
        if not standing and asked_for != self.watch.ref and not seen_there:
            return replace(seen, within=_ELSEWHERE), ()
        words = f"the stored commit is not in the history of '{plain(self.watch.ref)}' any more"
        return replace(seen, within=""), (self._news(Kind.HISTORY_REWRITTEN, words, Severity.HIGH),)

    def _news(
        self,
        kind: Kind,
        summary: str,
        risk: Severity,
        *,
        upstream: str = "",
        judgement: Judgement = Judgement.NOTED,
        details: Mapping[str, JsonValue] | None = None,
    ) -> News:
        stored = self.baseline.commit if self.baseline else ""
        return News(
            kind,
            self.watch.model_name,
            self.now,
            plain(summary),
            judgement,
            stored,
            upstream,
            risk,
            (plain(summary),) if judgement is Judgement.HELD else (),
            details=dict(details or {}),
        )


def _flagged(rows: list[dict[str, Json]]) -> dict[str, str]:
    found = {}
    for row in rows:
        path = row.get("path")
        if row.get("type") == "file" and isinstance(path, str):
            word = scan_word(row, "")
            if word in SCANNED[1:]:
                found[plain(path)] = word
    return found


def _id(fields: Mapping[str, Json]) -> str:
    return plain(text_field(fields, "_id"), MAX_ID)


def _with_etag(before: Seen | None, name: str, answer: Answer) -> dict[str, str]:
    etag = answer.headers.get("etag", "")
    kept = dict(before.etags) if before else {}
    kept.pop(name, None)
    if etag and len(etag) <= MAX_ETAG and etag.isascii() and etag.isprintable():
        kept[name] = etag
    return kept
