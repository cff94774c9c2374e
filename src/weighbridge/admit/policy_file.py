"""Reads a policy file strictly: what is unknown, of the wrong type or impossible is an error that names file, key and line.

- A file says which preset it `extends`. A key that it has takes the place of the preset's; lists are replaced as a whole;
  `[[findings.rule]]` and other tables in a row come before the preset's.
- A file that is missing or broken is an error and never stands for a preset.
- At most `MAX_BYTES`. Rule ids, kinds and callables that do not exist here, and callables that are known weapons, are errors:
  a policy that speaks of nothing protects nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Final, cast

from weighbridge.admit import policy as p
from weighbridge.admit.policy_spec import POLICY, PRESETS, Problem, near
from weighbridge.core.decision import Outcome
from weighbridge.core.errors import ConfigError
from weighbridge.core.finding import Severity

MAX_BYTES: Final = 256 * 1024
_HEADER = re.compile(r"[ \t]*(\[\[?)[ \t]*([A-Za-z0-9_.\-]+)[ \t]*\]")
_KEY = re.compile(r"[ \t]*([A-Za-z0-9_\-]+)[ \t]*=")
_NOT_LIFTABLE: Final = frozenset(("finding", "exception-expired"))

Document = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """A policy, and where its keys stand. `name` is the file's name, or `preset <name>`."""

    policy: p.Policy
    name: str
    lines: Mapping[str, int]
    own_tables: Mapping[str, int]
    """How many of each row of tables (`exception`, `findings.rule` …) stand in the file itself."""
    base: PolicyFile | None = None

    def place(self, key: str) -> str:
        """`file:line` of the key that decides, in the file or in the preset it extends."""
        inherited = self._of_base(key)
        if inherited is not None and self.base is not None:
            return self.base.place(inherited)
        for known in _outward(key):
            if known in self.lines:
                return f"{self.name}:{self.lines[known]} ({key})"
            if self.base is not None and known in self.base.lines:
                return self.base.place(key)
        return f"{self.name} ({key})"

    def _of_base(self, key: str) -> str | None:
        """The same key within the preset, where it is of a table that stands there."""
        found = re.match(r"([a-z_.]+)\[(\d+)\]", key)
        if found is None or found[1] not in self.own_tables:
            return None
        number = int(found[2]) - self.own_tables[found[1]]
        return f"{found[1]}[{number}]{key[found.end() :]}" if number >= 0 else None


def _outward(key: str) -> Iterable[str]:
    """The key itself, then what it stands in."""
    while key:
        yield key
        key = re.sub(r"(?:\.[a-z_0-9]+|\[\d+\])$", "", key) if re.search(r"[.\[]", key) else ""


def load_policy(file: str, preset: str) -> PolicyFile:
    """The policy of a file, or where `file` is empty a preset.

    Raises:
        ConfigError: the file cannot be read, or is no policy; there is no such preset.
    """
    if not file:
        return read_preset(preset)
    try:
        with Path(file).expanduser().open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"the policy '{file}' cannot be read: {getattr(error, 'strerror', None) or error}",
            hint="Nothing is judged without it. Correct `policy.file`, or restore the file.",
        ) from error
    return read_policy(data, name=file)


def preset_bytes(name: str) -> bytes:
    """A shipped preset as it is written.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in PRESETS:
        raise ConfigError(f"there is no preset '{name[:100]}'{near(name, PRESETS)}", hint=f"Use {', '.join(PRESETS)}.")
    return resources.files("weighbridge.admit").joinpath("presets", f"{name}.toml").read_bytes()


@lru_cache(maxsize=8)
def read_preset(name: str) -> PolicyFile:
    """A shipped preset.

    Raises:
        ConfigError: there is none of that name.
    """
    text = preset_bytes(name).decode("utf-8")
    document = tomllib.loads(text)
    return PolicyFile(_build(document, extends=""), f"preset {name}", lines_of(text), {})


def read_policy(data: bytes, *, name: str) -> PolicyFile:
    """A policy file; `name` is how errors call it.

    Raises:
        ConfigError: it is no policy.
    """
    text, document = parse_toml(data, name=name)
    lines = lines_of(text)
    try:
        POLICY.check(document, "")
        preset = str(document["extends"])
        _check_publishers(document)
        base_document = tomllib.loads(preset_bytes(preset).decode("utf-8"))
        policy = _build(_merged(document, base_document), extends=preset)
        _check_meaning(policy)
    except Problem as problem:
        raise told(problem, name, lines) from problem
    return PolicyFile(policy, name, lines, _own_tables(document), read_preset(preset))


def told(problem: Problem, name: str, lines: Mapping[str, int]) -> ConfigError:
    """A problem as the error that names file, line and key."""
    line = next((lines[known] for known in _outward(problem.key) if known in lines), 0)
    where = f"'{name}', line {line}" if line else f"'{name}'"
    return ConfigError(
        f"{where}: '{problem.key}': {problem.message}",
        hint="`weighbridge policy check` says what a policy means; docs/reference/policy.md lists all keys.",
    )


def parse_toml(data: bytes, *, name: str) -> tuple[str, Document]:
    """The text and the content of a TOML file of bounded size.

    Raises:
        ConfigError: it is too large or no TOML.
    """
    if len(data) > MAX_BYTES:
        raise ConfigError(f"'{name}' is larger than {MAX_BYTES} bytes", hint="No honest policy is.")
    try:
        text = data.decode("utf-8")
        return text, tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"'{name}' is not valid TOML: {error}") from error


def lines_of(text: str) -> dict[str, int]:
    """The line of each key, counted from 1: `findings.hold`, `exception[0]`, `exception[0].reason`.

    A convenience for messages; a text over several lines can mislead it, and nothing but messages rests on it.
    """
    found: dict[str, int] = {}
    counts: dict[str, int] = {}
    prefix = ""
    for number, line in enumerate(text.splitlines(), 1):
        header, key = _HEADER.match(line), _KEY.match(line)
        if header:
            prefix = header[2]
            if header[1] == "[[":
                counts[prefix] = counts.get(prefix, -1) + 1
                prefix = f"{prefix}[{counts[prefix]}]"
            found.setdefault(prefix, number)
        elif key:
            found.setdefault(f"{prefix}.{key[1]}" if prefix else key[1], number)
    return found


# --- from a document to a policy ----------------------------------------------------------------

_ROWS: Final = ("findings.rule", "publishers.allow", "publishers.deny", "licences.text", "remote_code.revision")


def _own_tables(document: Document) -> dict[str, int]:
    own = {}
    for row in (*_ROWS, "exception"):
        section, _, key = row.rpartition(".")
        place = document.get(section, {}) if section else document
        items = place.get(key, []) if isinstance(place, dict | Mapping) else []
        own[row] = len(items) if isinstance(items, list) else 0
    return own


def _merged(document: Document, base: Document) -> Document:
    """The document over its preset's; rows of tables before the preset's."""
    merged: dict[str, object] = {**base, **{key: value for key, value in document.items() if key != "extends"}}
    for section, inherited in base.items():
        given = document.get(section)
        if isinstance(inherited, dict) and isinstance(given, dict):
            merged[section] = {**inherited, **given}
            for row in (key.partition(".")[2] for key in _ROWS if key.startswith(f"{section}.")):
                merged[section] = {**_section(merged, section), row: [*given.get(row, []), *inherited.get(row, [])]}
    merged.setdefault("exception", [])
    if "description" not in document:
        merged["description"] = ""
    return merged


def _section(document: Document, name: str) -> dict[str, object]:
    return cast("dict[str, object]", document[name])


class _Keys:
    """Typed access to one section of a checked, complete document."""

    def __init__(self, table: Document) -> None:
        self._table = table

    def text(self, key: str) -> str:
        return str(self._table.get(key, ""))

    def number(self, key: str) -> int:
        return int(cast("int", self._table.get(key, 0)))

    def flag(self, key: str) -> bool:
        return bool(self._table[key])

    def outcome(self, key: str) -> Outcome:
        return Outcome(self.text(key))

    def severity(self, key: str) -> Severity | None:
        return None if self.text(key) == "never" else Severity[self.text(key).upper()]

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(str(item) for item in cast("Sequence[object]", self._table.get(key, ())))

    def tables(self, key: str) -> tuple[_Keys, ...]:
        return tuple(_Keys(item) for item in cast("Sequence[Document]", self._table.get(key, ())))

    def whole(self, key: str) -> int | None:
        return self.number(key) if key in self._table else None


def _build(document: Document, *, extends: str) -> p.Policy:
    keys = {name: _Keys(_section(document, name)) for name, value in document.items() if isinstance(value, dict)}
    top, sizes, cooldown = _Keys(document), keys["sizes"], keys["cooldown"]
    return p.Policy(
        name=top.text("name"),
        description=top.text("description"),
        extends=extends,
        findings=p.FindingThresholds(
            keys["findings"].severity("hold"),
            keys["findings"].severity("deny"),
            tuple(_finding_rule(one) for one in keys["findings"].tables("rule")),
        ),
        coverage=p.CoverageTerms(
            keys["coverage"].outcome("unknown"),
            keys["coverage"].number("minimum_percent"),
            keys["coverage"].texts("require"),
        ),
        formats=p.FormatTerms(
            keys["formats"].texts("allow"), keys["formats"].texts("deny"), keys["formats"].outcome("unlisted")
        ),
        callables=keys["callables"].texts("allow"),
        publishers=_publishers(keys["publishers"]),
        sources=p.SourceTerms(
            keys["sources"].texts("hubs"),
            keys["sources"].texts("buckets"),
            keys["sources"].texts("folders"),
            keys["sources"].outcome("unlisted"),
        ),
        licences=_licences(keys["licences"]),
        sizes=p.SizeTerms(sizes.number("total_bytes"), sizes.number("artifact_bytes")),
        remote_code=p.RemoteCodeTerms(
            cast("p.RemoteCodeMode", keys["remote_code"].text("mode")),
            tuple(
                p.NamedRevision(one.text("model"), one.text("revision"), one.text("reason"))
                for one in keys["remote_code"].tables("revision")
            ),
        ),
        cooldown=p.CooldownTerms(
            cooldown.number("days"), "ingest" if cooldown.text("since") == "ingest" else "publication"
        ),
        approvals=p.ApprovalTerms(
            keys["approvals"].number("low"),
            keys["approvals"].number("medium"),
            keys["approvals"].number("high"),
            keys["approvals"].number("critical"),
            keys["approvals"].flag("self_approval"),
        ),
        exceptions=tuple(_exception(one) for one in top.tables("exception")),
        serve=p.ServeTerms(keys["serve"].flag("redirects")),
        watch=p.WatchTerms(keys["watch"].texts("pass"), keys["watch"].texts("channels")),
    )


def _finding_rule(keys: _Keys) -> p.FindingRule:
    return p.FindingRule(keys.text("id"), keys.outcome("outcome"), keys.whole("approvals"), keys.text("reason"))


def _publishers(keys: _Keys) -> p.PublisherTerms:
    allow, deny = (
        tuple(p.Publisher(one.text("name"), one.text("id"), one.text("reason")) for one in keys.tables(row))
        for row in ("allow", "deny")
    )
    return p.PublisherTerms(allow, deny, keys.outcome("unlisted"), keys.texts("kinds"))


def _licences(keys: _Keys) -> p.LicenceTerms:
    return p.LicenceTerms(
        allow=keys.texts("allow"),
        deny=keys.texts("deny"),
        names=keys.texts("names"),
        unlisted=keys.outcome("unlisted"),
        missing=keys.outcome("missing"),
        missing_elsewhere=keys.outcome("missing_elsewhere"),
        unlisted_text=keys.outcome("unlisted_text"),
        texts=tuple(p.LicenceText(one.text("sha256"), one.text("name")) for one in keys.tables("text")),
    )


def _exception(keys: _Keys) -> p.PolicyException:
    return p.PolicyException(
        id=keys.text("id"),
        rules=keys.texts("rules"),
        reason=keys.text("reason"),
        person=keys.text("person"),
        expires=keys.text("expires"),
        paths=keys.texts("paths"),
        models=keys.texts("models"),
        revisions=keys.texts("revisions"),
    )


# --- what the shape cannot say ------------------------------------------------------------------


def _check_publishers(document: Document) -> None:
    for row in ("allow", "deny"):
        for number, one in enumerate(_Keys(cast("Document", document.get("publishers", {}))).tables(row)):
            if not one.text("name") and not one.text("id"):
                raise Problem(f"publishers.{row}[{number}]", "needs a name, an id, or both")
            if row == "allow" and not one.text("name"):
                raise Problem(f"publishers.{row}[{number}]", "needs the owner's name beside the id")


def _check_meaning(policy: p.Policy) -> None:
    numbers = [policy.approvals.needed(severity) for severity in Severity]
    if numbers != sorted(numbers):
        raise Problem("approvals", "a greater risk must not need fewer approvals")
    hold, deny = policy.findings.hold, policy.findings.deny
    if hold is not None and deny is not None and hold > deny:
        raise Problem("findings.hold", "findings that deny cannot hold: it is above `deny`")
    for key, kinds in (("formats.allow", policy.formats.allow), ("formats.deny", policy.formats.deny)):
        for kind in kinds:
            known = sorted(KINDS)
            if kind not in known:
                raise Problem(key, f"there is no kind '{kind}'{near(kind, known)}")
    if policy.watch.channels and not policy.watch.passes:
        raise Problem("watch.channels", "nothing passes by itself, so no channel moves by itself: say what in `pass`")
    _check_callables(policy.callables)
    _check_finding_rules(policy.findings.rules)
    _check_exceptions(policy.exceptions)


KINDS: Final = frozenset(
    (*(f"@{family}" for family in p.KINDS_BY_FAMILY), *(kind for kinds in p.KINDS_BY_FAMILY.values() for kind in kinds))
)
"""Everything that `[formats]` may name."""


def _check_callables(names: tuple[str, ...]) -> None:
    if not names:
        return
    from weighbridge.formats.pickle_values import Global
    from weighbridge.inspectors.dangers import danger_of

    for number, name in enumerate(names):
        parts = name.split(".")
        for cut in range(1, len(parts)):
            danger = danger_of(Global(".".join(parts[:cut]), ".".join(parts[cut:])))
            if danger is not None:
                raise Problem(f"callables.allow[{number}]", f"'{name}' {danger.value}; no policy may allow it")


def severity_of_rules() -> Mapping[str, Severity]:
    """Every rule of the inspection and how severe it is."""
    from weighbridge.inspectors.all_rules import RULES

    return {rule.id: rule.severity for rule in RULES.values()}


def _check_finding_rules(rules: tuple[p.FindingRule, ...]) -> None:
    if not rules:
        return
    known = severity_of_rules()
    seen: set[str] = set()
    for number, rule in enumerate(rules):
        key = f"findings.rule[{number}].id"
        if rule.id in p.REMOTE_CODE_RULES:
            raise Problem(key, f"'{rule.id}' is judged by [remote_code]")
        if not any(rule.fits(one) for one in known):
            raise Problem(key, f"the inspection has no rule '{rule.id}'{near(rule.id, tuple(known))}")
        if rule.id in seen:
            raise Problem(key, f"'{rule.id}' is there twice")
        seen.add(rule.id)


def _check_exceptions(exceptions: tuple[p.PolicyException, ...]) -> None:
    if not exceptions:
        return
    known = {*severity_of_rules(), *p.POLICY_RULES} - _NOT_LIFTABLE
    seen: set[str] = set()
    for number, one in enumerate(exceptions):
        for place, rule in enumerate(one.rules):
            if rule not in known:
                raise Problem(
                    f"exception[{number}].rules[{place}]", f"there is no rule '{rule}'{near(rule, tuple(known))}"
                )
        broad = not one.paths or any(not path.strip("*?/") for path in one.paths)
        if broad and not p.NEEDS_A_PATH.isdisjoint(one.rules):
            raise Problem(f"exception[{number}]", "what nobody understood is accepted by name: give `paths`")
        if one.id in seen:
            raise Problem(f"exception[{number}].id", f"'{one.id}' is there twice")
        seen.add(one.id)
