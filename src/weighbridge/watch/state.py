"""What is watched, what was seen of it last and what was told, as the ledger's events have it; nothing is kept elsewhere.

Kinds of event, and their payload:

- `watch.added`, subject `org/name`: `model`, `ref`, `channel` ("" for none); a second one takes the place of the first;
- `watch.removed`, subject `org/name`: `model`;
- `upstream.checked`, subject `org/name`: `model`, `ref`, `seen` (`Seen.to_json`), `conditions` (keys of the news that are so
  now), `failing_since` ("" unless upstream gives no answer). One is written when something of it changed, and else at most
  every `QUIET_HOURS`, so that a round in which nothing happened costs the ledger nothing;
- `upstream.news`, subject `org/name`: `News.to_json`;
- `watch.rejudged`, subject `rules`: `rules_version`: all stored revisions were judged by that rule set.

Rules: the same news is told once, whoever looks and however often: by its content without time, words and request. What is a
condition (gone, renamed, gated …) can be told again once it was seen not to be so. An event that cannot be read changes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from weighbridge.core import canonical
from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.errors import ConfigError, FormatError, NothingCollected
from weighbridge.core.names import ModelName, is_revision
from weighbridge.store.ledger import Event, Ledger
from weighbridge.watch.news import Kind, News

ADDED: Final = "watch.added"
REMOVED: Final = "watch.removed"
CHECKED: Final = "upstream.checked"
NEWS: Final = "upstream.news"
REJUDGED: Final = "watch.rejudged"
_KINDS: Final = (ADDED, REMOVED, CHECKED, NEWS, REJUDGED)
QUIET_HOURS: Final = 12
MAX_REF: Final = 200
MAX_KEPT: Final = 200
"""News of one model that are kept in memory, the newest."""

CONDITIONS: Final = frozenset(
    (
        *(Kind.DELETED, Kind.RENAMED, Kind.REPOSITORY_REPLACED, Kind.OWNER_CHANGED, Kind.CLOSED, Kind.FLAGGED),
        *(Kind.UNREACHABLE, Kind.HISTORY_REWRITTEN),
    )
)
"""News that say how things are rather than what happened."""


@dataclass(frozen=True, slots=True)
class Watch:
    """One watched model. `ref` is the branch or tag that is looked at; `channel` is the one whose revision is compared."""

    model_name: ModelName
    ref: str = "main"
    channel: str = ""
    added_at: str = ""
    added_by: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the last look saw. `tags` is commit by tag; `flagged` is the Hub's word by file; `etags` is by question."""

    commit: str = ""
    within: str = ""
    """The stored commit that was found in the history of the ref."""
    repository_id: str = ""
    owner_id: str = ""
    gated: str = ""
    private: bool = False
    disabled: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    flagged: Mapping[str, str] = field(default_factory=dict)
    issues: str = ""
    """A digest of the files that the repository's own status names."""
    scanned_at: str = ""
    etags: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, JsonValue]:
        """The record."""
        return {
            "commit": self.commit,
            "within": self.within,
            "repository_id": self.repository_id,
            "owner_id": self.owner_id,
            "gated": self.gated,
            "private": self.private,
            "disabled": self.disabled,
            "tags": dict(self.tags),
            "flagged": dict(self.flagged),
            "issues": self.issues,
            "scanned_at": self.scanned_at,
            "etags": dict(self.etags),
        }

    @classmethod
    def from_json(cls, record: JsonValue) -> Seen:
        """Reads a record.

        Raises:
            Malformed: it is none.
        """
        fields = Fields(record, what="what was seen")
        texts = ("commit", "within", "repository_id", "owner_id", "gated", "issues", "scanned_at")
        return cls(
            **{name: fields.text(name) for name in texts},
            private=fields.boolean("private"),
            disabled=fields.boolean("disabled"),
            tags=fields.mapping("tags"),
            flagged=fields.mapping("flagged"),
            etags=fields.mapping("etags"),
        )

    @property
    def lasting(self) -> Seen:
        """Without what changes at every look."""
        return replace(self, etags={}, scanned_at="")


@dataclass(frozen=True, slots=True)
class Checked:
    """One look upstream, as it was recorded. Times are RFC 3339 in UTC."""

    at: str
    ref: str
    seen: Seen
    conditions: frozenset[str] = frozenset()
    failing_since: str = ""


@dataclass(slots=True)
class _Model:
    checked: Checked | None = None
    told: dict[str, int] = field(default_factory=dict)
    news: list[tuple[int, News]] = field(default_factory=list)


def key_of(news: News) -> str:
    """What makes two news the same: content without time, words and the request's number. 32 hex digits."""
    record = news.to_json()
    for name in ("seen_at", "summary", "request"):
        del record[name]
    record["reasons"] = sorted(str(one) for one in news.reasons)
    return canonical.digest(record)[:32]


class WatchBook:
    """All watches of a ledger. Thread-safe; every method may raise `LedgerError` and `StoreError`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.RLock()
        self._after = 0
        self._watches: dict[ModelName, Watch] = {}
        self._models: dict[ModelName, _Model] = {}
        self._rules = ""

    def refresh(self) -> WatchBook:
        """Takes in what the ledger was told since; returns itself."""
        with self._lock:
            last = self._ledger.last_sequence()
            if last > self._after:
                for event in self._ledger.events(after=self._after, kinds=_KINDS):
                    self._apply(event)
                self._after = max(self._after, last)
        return self

    # --- what there is

    def watches(self) -> list[Watch]:
        """What is watched, in order of name."""
        with self._lock:
            return [self._watches[name] for name in sorted(self._watches)]

    def get(self, model_name: ModelName) -> Watch:
        """The watch of a model.

        Raises:
            NothingCollected: it is not watched.
        """
        found = self._watches.get(model_name)
        if found is None:
            known = ", ".join(str(name) for name in sorted(self._watches)[:5])
            hint = f"Watched here: {known}." if known else f"Watch it: weighbridge watch add {model_name}"
            raise NothingCollected(f"{model_name} is not watched", hint=hint)
        return found

    def checked(self, model_name: ModelName) -> Checked | None:
        """The last look upstream that was recorded."""
        with self._lock:
            return self._of(model_name).checked

    def news(self, model_name: ModelName, kind: Kind | None = None) -> list[News]:
        """What was told of a model, the newest first."""
        with self._lock:
            return [one for _, one in reversed(self._of(model_name).news) if kind is None or one.kind is kind]

    def sequence_of(self, news: News) -> int:
        """The event that told news; 0 for none."""
        with self._lock:
            return self._of(news.model_name).told.get(key_of(news), 0)

    @property
    def rules_version(self) -> str:
        """The rule set by which all stored revisions were judged last."""
        return self._rules

    # --- acts

    def add(self, watch: Watch, *, actor: str) -> bool:
        """Watches a model; whether anything is new about that.

        Raises:
            ConfigError: the ref or the channel is none.
        """
        _check_ref(watch.ref)
        if watch.channel:
            from weighbridge.admit.index import check_channel

            check_channel(watch.channel)
        with self._lock:
            self.refresh()
            known = self._watches.get(watch.model_name)
            if known is not None and (known.ref, known.channel) == (watch.ref, watch.channel):
                return False
            payload: dict[str, JsonValue] = {
                "model": str(watch.model_name),
                "ref": watch.ref,
                "channel": watch.channel,
            }
            self._ledger.append(ADDED, str(watch.model_name), payload, actor=actor)
            self.refresh()
            return True

    def remove(self, model_name: ModelName, *, actor: str) -> None:
        """Watches a model no longer; what was told of it stays in the ledger.

        Raises:
            NothingCollected: it is not watched.
        """
        with self._lock:
            self.refresh().get(model_name)
            self._ledger.append(REMOVED, str(model_name), {"model": str(model_name)}, actor=actor)
            self.refresh()

    def record_look(self, model_name: ModelName, look: Checked, *, actor: str) -> bool:
        """Records a look, unless it says nothing that the last one did not and that one is recent; whether it did."""
        with self._lock:
            model = self.refresh()._of(model_name)
            last = model.checked
            if last is not None and _same(last, look) and not _older(last.at, look.at, QUIET_HOURS):
                # The next look of this process asks with the newest validators; they are worth no event.
                model.checked = replace(last, seen=look.seen)
                return False
            payload: dict[str, JsonValue] = {
                "model": str(model_name),
                "ref": look.ref,
                "seen": look.seen.to_json(),
                "conditions": sorted(look.conditions),
                "failing_since": look.failing_since,
            }
            self._ledger.append(CHECKED, str(model_name), payload, actor=actor)
            self.refresh()
            return True

    def tell(self, news: News, *, actor: str) -> bool:
        """Records news; whether they are new. Of two processes that tell the same, the first in the ledger is right."""
        key = key_of(news)
        with self._lock:
            if key in self.refresh()._of(news.model_name).told:
                return False
            event = self._ledger.append(NEWS, str(news.model_name), news.to_json(), actor=actor)
            self.refresh()
            return self._of(news.model_name).told.get(key) == event.sequence

    def record_rules(self, rules_version: str, *, actor: str) -> None:
        """Records that all stored revisions were judged by a rule set."""
        self._ledger.append(REJUDGED, "rules", {"rules_version": rules_version}, actor=actor)
        self.refresh()

    # --- the ledger's events

    def _of(self, model_name: ModelName) -> _Model:
        return self._models.setdefault(model_name, _Model())

    def _apply(self, event: Event) -> None:
        self._after = event.sequence
        try:
            fields = Fields(event.payload, what="the event")
            if event.kind == REJUDGED:
                self._rules = fields.text("rules_version")
            elif event.kind == NEWS:
                self._told(event, News.from_json(event.payload))
            else:
                self._changed(event, fields, ModelName.parse(fields.text("model")))
        except (FormatError, ConfigError, ValueError):
            return

    def _changed(self, event: Event, fields: Fields, model_name: ModelName) -> None:
        if event.kind == ADDED:
            ref, channel = _check_ref(fields.text("ref")), fields.text("channel")
            self._watches[model_name] = Watch(model_name, ref, channel, event.time, event.actor)
        elif event.kind == REMOVED:
            self._watches.pop(model_name, None)
        else:
            conditions = frozenset(fields.texts("conditions"))
            model = self._of(model_name)
            seen = Seen.from_json(fields.value("seen"))
            model.checked = Checked(event.time, fields.text("ref"), seen, conditions, fields.text("failing_since"))
            over = {key_of(one) for _, one in model.news if one.kind in CONDITIONS} - conditions
            for key in over:
                model.told.pop(key, None)

    def _told(self, event: Event, news: News) -> None:
        model = self._of(news.model_name)
        key = key_of(news)
        if key not in model.told:
            model.told[key] = event.sequence
            model.news.append((event.sequence, news))
            del model.news[:-MAX_KEPT]


def _check_ref(ref: str) -> str:
    if not ref or len(ref) > MAX_REF or not ref.isprintable() or any(one in " ~^:?*[\\" for one in ref) or ".." in ref:
        raise ConfigError(f"{ref!r:.100} is no branch or tag", hint="Watch a branch or a tag, for example --ref main.")
    if ref.lower().lstrip("/").startswith(("refs/pr/", "pr/")) or is_revision(ref):
        why = "is a commit, which stays what it is" if is_revision(ref) else "is a pull request, which anyone may open"
        raise ConfigError(f"{ref!r:.100} {why}", hint="Watch a branch or a tag, for example --ref main.")
    return ref


def _same(last: Checked, look: Checked) -> bool:
    return (last.ref, last.seen.lasting, last.conditions, last.failing_since) == (
        look.ref,
        look.seen.lasting,
        look.conditions,
        look.failing_since,
    )


def _older(earlier: str, later: str, hours: int) -> bool:
    return hours_between(earlier, later) >= hours


def hours_between(earlier: str, later: str) -> float:
    """The hours from one RFC 3339 time to another; 0 where one is none."""
    try:
        return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)) / timedelta(hours=1)
    except (ValueError, TypeError):
        return 0.0


def conditions_of(news: Iterable[News]) -> frozenset[str]:
    """The keys of those news that are conditions."""
    return frozenset(key_of(one) for one in news if one.kind in CONDITIONS)
