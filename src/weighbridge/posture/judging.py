"""How a cell follows from evidence: checks that need facts, the worst one that fails decides, a missing fact proves nothing.

Rules:

- a cell cites all facts that its checks need, and any of them missing, or not of the form it should have, makes the cell
  unproved, whatever the others say; what they do say is told with it;
- a check reads only the facts that it names;
- nothing here asks anything of anybody: the same dossier gives the same cell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.core.shown import plain
from weighbridge.posture.evidence import Dossier
from weighbridge.posture.report import Cell, Shown, Standing, Words

MAX_NAMED: Final = 3
"""Things of a list that a sentence names."""
_MODEL: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_BUCKET: Final = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,62}(?:/[A-Za-z0-9_./=-]{0,512})?")
_WORSE: Final = {Standing.MET: 0, Standing.PARTLY: 1, Standing.NOT_MET: 2}


class Unfit(Exception):
    """A fact is missing, or has not the form that it should have."""

    def __init__(self, id_: str) -> None:
        super().__init__(id_)
        self.id = id_


class Silent(Exception):
    """A record that does not hold says nothing of this."""


class View:
    """Typed access to the facts that a check names.

    Raises:
        Unfit: from every method, where the fact is missing or of another form. Silent: a record that does not hold was asked
            for more than that.
    """

    def __init__(self, dossier: Dossier, names: tuple[str, ...]) -> None:
        self._facts = {name: dossier.facts[name] for name in names if name in dossier.facts}

    def _value(self, id_: str, key: str) -> JsonValue:
        if id_ not in self._facts:
            raise Unfit(id_)
        value = self._facts[id_].value
        if not key:
            return value
        if not isinstance(value, Mapping):
            raise Unfit(id_)
        if key not in value:
            if value.get("holds") is False:
                raise Silent
            raise Unfit(id_)
        return value[key]

    def flag(self, id_: str, key: str = "") -> bool:
        """True or false."""
        value = self._value(id_, key)
        if not isinstance(value, bool):
            raise Unfit(id_)
        return value

    def text(self, id_: str, key: str = "") -> str:
        """Text, as it may be shown."""
        value = self._value(id_, key)
        if not isinstance(value, str):
            raise Unfit(id_)
        return plain(value)

    def number(self, id_: str, key: str = "") -> int:
        """A whole number that is not negative."""
        value = self._value(id_, key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise Unfit(id_)
        return value

    def flag_or_none(self, id_: str) -> bool | None:
        """As `flag`, or null: there was nothing to compare."""
        return None if self._value(id_, "") is None else self.flag(id_)

    def number_or_none(self, id_: str) -> int | None:
        """As `number`, or null."""
        return None if self._value(id_, "") is None else self.number(id_)

    def word(self, id_: str) -> str:
        """Text, or "" for false: what stands where a setting is off."""
        return "" if self._value(id_, "") is False else self.text(id_)

    def items(self, id_: str, key: str = "") -> list[JsonValue]:
        """A list."""
        value = self._value(id_, key)
        if not isinstance(value, list):
            raise Unfit(id_)
        return value

    def names(self, id_: str, key: str = "") -> list[str]:
        """A list of text, or of objects that name a path, rule, kind or host."""
        found = []
        for item in self.items(id_, key):
            if isinstance(item, Mapping):
                item = next((item[name] for name in ("path", "rule", "kind", "host") if name in item), None)
            if not isinstance(item, str):
                raise Unfit(id_)
            found.append(plain(item))
        return found

    def holds(self, id_: str) -> bool:
        """Whether a record of ours holds."""
        return self.flag(id_, "holds")

    def why(self, id_: str) -> str:
        """Why it does not."""
        try:
            return self.text(id_, "why")
        except (Unfit, Silent):
            return "?"

    def days_old(self, id_: str) -> int:
        """Days between a time that is a fact and its observation."""
        text = self.text(id_)
        try:
            then, now = datetime.fromisoformat(text), datetime.fromisoformat(self._facts[id_].observed_at)
            return max(0, (now - then).days)
        except (ValueError, TypeError, OverflowError) as error:
            raise Unfit(id_) from error

    def serious(self, id_: str) -> list[str]:
        """Rules of findings that are high or critical."""
        found = []
        for item in self.items(id_):
            if not isinstance(item, Mapping) or not isinstance(item.get("rule"), str):
                raise Unfit(id_)
            if item.get("severity") in ("high", "critical"):
                found.append(plain(str(item["rule"])))
        return sorted(set(found))


Values = Mapping[str, Shown]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that may fail: then the cell is at best as `brings` says, because of `why`, and `step` is what to do.

    `needs` are the facts that it reads; a check without any says what is always so of the route. `shows` gives the values of `why`.
    """

    brings: Standing
    needs: tuple[str, ...]
    fails: Callable[[View], bool]
    why: Words
    step: Words
    shows: Callable[[View], Values] = lambda _view: {}


@dataclass(frozen=True, slots=True)
class Judge:
    """The pure function of one question and route. `met` is said when no check fails; `shows` gives its values."""

    met: Words
    checks: tuple[Check, ...]
    shows: Callable[[View], Values] = lambda _view: {}

    @property
    def needs(self) -> tuple[str, ...]:
        """All facts that the cell rests on."""
        return tuple(dict.fromkeys(id_ for check in self.checks for id_ in check.needs))

    def __call__(self, dossier: Dossier) -> Cell:
        """The cell that a dossier gives."""
        view, named = View(dossier, self.needs), _named(dossier)
        missing = {id_ for id_ in self.needs if id_ not in dossier.facts}
        failed: list[tuple[Check, Words]] = []
        for check in self.checks:
            try:
                own = View(dossier, check.needs)
                if check.fails(own):
                    failed.append((check, _with(check.why, {**named, **check.shows(own)})))
            except Unfit as unfit:
                missing.add(unfit.id)
            except Silent:
                continue
        # What is always so is worth a word only where nothing else stands against the route.
        failed = [one for one in failed if one[0].needs] or failed
        failed.sort(key=lambda one: -_WORSE[one[0].brings])
        cited = tuple(id_ for id_ in self.needs if id_ in dossier.facts and id_ not in missing)
        if missing:
            return _unproved(dossier, missing, cited, tuple(why for check, why in failed if check.needs))
        if failed:
            check, why = failed[0]
            step = _with(check.step, named)
            return Cell(check.brings, why, cited, step, tuple(other for _, other in failed[1:]))
        try:
            return Cell(Standing.MET, _with(self.met, {**named, **self.shows(view)}), cited)
        except Unfit as unfit:
            return _unproved(dossier, {unfit.id}, tuple(id_ for id_ in cited if id_ != unfit.id), ())


def _with(words: Words, values: Values) -> Words:
    """The sentence with those of the values that it shows."""
    return Words(words.template, {key: value for key, value in values.items() if f"%({key})s" in words.template})


def _named(dossier: Dossier) -> dict[str, Shown]:
    """What commands in next steps are about. They are made to be copied into a shell, so what has another form is not shown."""

    def said(id_: str, form: re.Pattern[str], default: str) -> str:
        fact = dossier.facts.get(id_)
        return (
            fact.value if fact is not None and isinstance(fact.value, str) and form.fullmatch(fact.value) else default
        )

    bucket = said("report.bucket", _BUCKET, "s3://BUCKET/PREFIX")
    commit = said("hub.revision.commit", _COMMIT, "COMMIT")
    manifest = dossier.facts.get("crossing.manifest")
    brought = manifest.value.get("commit") if manifest is not None and isinstance(manifest.value, Mapping) else ""
    return {
        "model": said("report.model", _MODEL, "ORG/NAME"),
        "commit": commit,
        # What somebody looked at is what to hold on to; what upstream has today may be a stranger's.
        "pin": brought if isinstance(brought, str) and _COMMIT.fullmatch(brought) else commit,
        "bucket": bucket,
        "bucket_name": bucket.removeprefix("s3://").partition("/")[0],
    }


STEPS_TO_EVIDENCE: Final[tuple[tuple[str, Words], ...]] = (
    (
        "hub.egress.",
        Words("Record what a client contacts while it loads, and give the recording: weighbridge posture %(model)s --egress FILE"),
    ),
    (
        "hub.revision.moved_since",
        Words("Bring a revision in, so that there is something to compare with: weighbridge ingest hf://%(model)s"),
    ),
    (
        "hub.",
        Words("Ask again where the Hub can be reached, with a token that may read the model: weighbridge posture %(model)s"),
    ),
    (
        "bucket.",
        Words("Ask again with credentials that may read the bucket's settings: weighbridge posture %(model)s --bucket %(bucket)s"),
    ),
    ("crossing.decision", Words("See what policy says and what would change it: weighbridge decide %(model)s")),
    ("crossing.approvals", Words("See what policy says and what would change it: weighbridge decide %(model)s")),
    ("crossing.channel", Words("Let it pass: weighbridge promote %(model)s --channel production")),
    ("crossing.attestations", Words("Attest what was done: weighbridge attest %(model)s")),
    ("crossing.", Words("Bring the model in, inspected and sealed: weighbridge ingest hf://%(model)s")),
    (
        "deployment.",
        Words("Give the files that deploy it: weighbridge posture %(model)s --deployment FILE"),
    ),
    ("evaluation.", Words("Evaluate the deployed model's answers; until then nobody has assessed how it behaves.")),
)  # fmt: skip


NAME_A_BUCKET: Final = Words(
    "Name the bucket that engines would load from: weighbridge posture %(model)s --bucket s3://BUCKET/PREFIX"
)


def _unproved(dossier: Dossier, missing: Iterable[str], cited: tuple[str, ...], known: tuple[Words, ...]) -> Cell:
    lacking = sorted(missing)
    reasons: dict[str, list[str]] = {}
    for id_ in lacking:
        reasons.setdefault(plain(dossier.unobtained.get(id_, "")), []).append(id_)
    told = [some(ids) + (f" ({reason.rstrip('.')})" if reason else "") for reason, ids in reasons.items()]
    why = Words("Not proven; what it would rest on is missing: %(missing)s.", {"missing": some(told, "; ")})
    if lacking == ["evaluation.result"]:
        why = Words("Not assessed: nobody has evaluated how this model answers.")
    named = _named(dossier)
    step = next(step for prefix, step in STEPS_TO_EVIDENCE if lacking[0].startswith(prefix))
    if lacking[0].startswith("bucket.") and "report.bucket" not in dossier.facts:
        step = NAME_A_BUCKET
    return Cell(Standing.UNPROVED, why, cited, _with(step, named), known)


def some(things: Iterable[str], separator: str = ", ") -> str:
    """The first few of a list, and how many there are."""
    listed = list(things)
    shown = separator.join(listed[:MAX_NAMED])
    return shown if len(listed) <= MAX_NAMED else f"{shown}, … ({len(listed)})"
