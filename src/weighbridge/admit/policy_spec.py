"""The shape of a policy file, said once: what the reader accepts is what the published JSON Schema describes.

A node says what one value may be. `check` holds a value of a TOML document against a node and names the key that breaks it;
`schema` gives the node as JSON Schema (2020-12). Nothing is converted and nothing is defaulted: an unknown key is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from difflib import get_close_matches
from typing import Final

from weighbridge.core.canonical import JsonValue

MAX_TEXT: Final = 2_000
MAX_ITEMS: Final = 2_000
DATE_PATTERN: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"


class Problem(Exception):
    """A value that a policy file must not hold; `key` says where, as `findings.rule[2].outcome`."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key
        self.message = message


@dataclass(frozen=True, slots=True)
class Text:
    """A text; one of `choices` where there are any, or one that fits `pattern` as a whole."""

    doc: str
    choices: tuple[str, ...] = ()
    pattern: str = ""
    empty: bool = False

    def check(self, value: object, key: str) -> None:
        """Raises Problem."""
        if not isinstance(value, str):
            raise Problem(key, f"must be text, not {_kind(value)}")
        if len(value) > MAX_TEXT or (not self.empty and not value.strip()):
            raise Problem(key, f"must not be {'longer than 2000 characters' if value.strip() else 'empty'}")
        if self.choices and value not in self.choices:
            raise Problem(key, f"must be one of {', '.join(self.choices)}, not {value!a}{near(value, self.choices)}")
        if self.pattern and not re.fullmatch(self.pattern.strip("^$"), value):
            raise Problem(key, f"{value[:100]!a} is not of the form that is wanted: {self.doc}")

    def schema(self) -> dict[str, JsonValue]:
        """As JSON Schema."""
        found: dict[str, JsonValue] = {"type": "string", "description": self.doc}
        if self.choices:
            return {**found, "enum": list(self.choices)}
        if self.pattern:
            return {**found, "pattern": self.pattern}
        return {**found, "maxLength": MAX_TEXT} | ({} if self.empty else {"minLength": 1})


@dataclass(frozen=True, slots=True)
class Day:
    """A date, as TOML has them or as text."""

    doc: str

    def check(self, value: object, key: str) -> None:
        """Raises Problem."""
        if isinstance(value, date) and not isinstance(value, datetime):
            return
        try:
            if isinstance(value, str) and re.fullmatch(DATE_PATTERN, value):
                date.fromisoformat(value)
                return
        except ValueError:
            pass
        raise Problem(key, "must be a date like 2027-01-31")

    def schema(self) -> dict[str, JsonValue]:
        """As JSON Schema; TOML's own dates are texts there."""
        return {"type": "string", "format": "date", "pattern": DATE_PATTERN, "description": self.doc}


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number within bounds, both included."""

    doc: str
    least: int
    most: int

    def check(self, value: object, key: str) -> None:
        """Raises Problem."""
        if not isinstance(value, int) or isinstance(value, bool):
            raise Problem(key, f"must be a whole number, not {_kind(value)}")
        if not self.least <= value <= self.most:
            raise Problem(key, f"must lie between {self.least} and {self.most}")

    def schema(self) -> dict[str, JsonValue]:
        """As JSON Schema."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most, "description": self.doc}


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    doc: str

    def check(self, value: object, key: str) -> None:
        """Raises Problem."""
        if not isinstance(value, bool):
            raise Problem(key, f"must be true or false, not {_kind(value)}")

    def schema(self) -> dict[str, JsonValue]:
        """As JSON Schema."""
        return {"type": "boolean", "description": self.doc}


@dataclass(frozen=True, slots=True)
class Several:
    """A list of like values; `least` of them at least."""

    doc: str
    item: Node
    least: int = 0

    def check(self, value: object, key: str) -> None:
        """Raises Problem."""
        if not isinstance(value, list):
            raise Problem(key, f"must be a list, not {_kind(value)}")
        if not self.least <= len(value) <= MAX_ITEMS:
            raise Problem(key, "must not be empty" if len(value) < self.least else f"has more than {MAX_ITEMS} entries")
        for number, item in enumerate(value):
            self.item.check(item, f"{key}[{number}]")

    def schema(self) -> dict[str, JsonValue]:
        """As JSON Schema."""
        found: dict[str, JsonValue] = {"type": "array", "items": self.item.schema(), "description": self.doc}
        return {**found, "minItems": self.least, "maxItems": MAX_ITEMS}


@dataclass(frozen=True, slots=True)
class Either:
    """A value of one of two shapes; `second` is tried for tables."""

    first: Node
    second: Table

    def check(self, value: object, key: str) -> None:
        """Raises Problem."""
        (self.second if isinstance(value, dict) else self.first).check(value, key)

    def schema(self) -> dict[str, JsonValue]:
        """As JSON Schema."""
        return {"anyOf": [self.first.schema(), self.second.schema()]}


@dataclass(frozen=True, slots=True)
class Table:
    """A table with these keys and no others."""

    doc: str
    keys: Mapping[str, Node]
    required: tuple[str, ...] = ()

    def check(self, value: object, key: str) -> None:
        """Raises Problem."""
        if not isinstance(value, dict):
            raise Problem(key, f"must be a table, not {_kind(value)}")
        dot = f"{key}." if key else ""
        for name, item in value.items():
            if name not in self.keys:
                raise Problem(f"{dot}{name}"[:200], f"there is no such key{near(name, tuple(self.keys))}")
            self.keys[name].check(item, f"{dot}{name}")
        for name in self.required:
            if name not in value:
                raise Problem(key or name, f"'{name}' is missing")

    def schema(self) -> dict[str, JsonValue]:
        """As JSON Schema."""
        found: dict[str, JsonValue] = {
            "type": "object",
            "description": self.doc,
            "properties": {name: node.schema() for name, node in self.keys.items()},
            "additionalProperties": False,
        }
        return {**found, "required": list(self.required)} if self.required else found


Node = Text | Day | Whole | Flag | Several | Either | Table


def near(word: str, words: Sequence[str]) -> str:
    """`; did you mean 'x'?` where something like it is known, else nothing."""
    close = get_close_matches(word[:100], words, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _kind(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "a table"}
    return names.get(type(value), "a date or time")


# --- the policy file ----------------------------------------------------------------------------

PRESETS: Final = ("strict", "balanced", "research")
_OUTCOMES: Final = ("admit", "hold", "deny")
_NOT_ADMITTED: Final = ("hold", "deny")
_SEVERITIES: Final = ("low", "medium", "high", "critical")
_REASON: Final = Text("Why; shown in decisions.")
_REVISION: Final = Text("40 lowercase hexadecimal digits.", pattern=r"^[0-9a-f]{40}$")
_MODEL: Final = Text("org/name.", pattern=r"^[A-Za-z0-9_.-]{1,96}/[A-Za-z0-9_.-]{1,96}$")
_KIND: Final = Text("A kind by content, or @family.", pattern=r"^@?[a-z0-9-]{1,40}$")
_LICENCE: Final = Text("A licence id as model cards write them, lowercase.", pattern=r"^[a-z0-9][a-z0-9.+-]{0,99}$")
_DOTTED: Final = Text("module.name.", pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*){1,30}$")
_SLUG: Final = Text("A name of lowercase letters, digits and dashes.", pattern=r"^[a-z0-9][a-z0-9-]{0,99}$")
_RULE_PATTERN: Final = Text("A rule id, or one with * in it.", pattern=r"^[a-z0-9*][a-z0-9*-]{0,99}$")
_MOST_BYTES: Final = 1 << 53
_PUBLISHER: Final = Table(
    "An owner at the Hub: by name, by the Hub's own id, or best by both.",
    {
        "name": Text("The owner's name.", pattern=r"^[A-Za-z0-9_.-]{1,96}$"),
        "id": Text("The Hub's own id of the owner, which `weighbridge show` prints.", pattern=r"^[A-Za-z0-9_-]{1,64}$"),
        "reason": _REASON,
    },
)


def _publishers(doc: str) -> Several:
    return Several(doc, _PUBLISHER)


def _approvals(risk: str) -> Whole:
    return Whole(f"People who must approve when the worst finding is {risk}.", 0, 20)


def _section(doc: str, **keys: Node) -> Table:
    return Table(doc, keys)


POLICY: Final = Table(
    "A policy of weighbridge: what is admitted, held and denied, and by how many people it must be approved.",
    {
        "name": _SLUG,
        "description": Text("What it is for.", empty=True),
        "extends": Text("The preset that gives every key that is not here.", choices=PRESETS),
        "findings": _section(
            "What is made of findings.",
            hold=Text("Findings from this severity on hold.", choices=(*_SEVERITIES, "never")),
            deny=Text("Findings from this severity on deny.", choices=(*_SEVERITIES, "never")),
            rule=Several(
                "Rules of the inspection that are judged otherwise. One that names a rule comes before one that fits it.",
                Table(
                    "One override.",
                    {
                        "id": _RULE_PATTERN,
                        "outcome": Text("What becomes of such findings.", choices=_OUTCOMES),
                        "approvals": Whole("People who must approve because of it; else as its severity asks.", 0, 20),
                        "reason": _REASON,
                    },
                    ("id", "outcome", "reason"),
                ),
            ),
        ),
        "coverage": _section(
            "What is made of what could not be inspected. It is never admitted.",
            unknown=Text("What becomes of a verdict of unknown.", choices=_NOT_ADMITTED),
            minimum_percent=Whole("Deny an artifact of which less than this was understood.", 0, 100),
            require=Several(
                "Inspections that must not have been switched off.",
                Text("An inspection.", choices=("malware", "secrets")),
            ),
        ),
        "formats": _section(
            "Kinds of artifacts, by content.",
            allow=Several("Kinds that are taken; empty: all.", _KIND),
            deny=Several("Kinds that are refused.", _KIND),
            unlisted=Text("What becomes of kinds that `allow` does not name.", choices=_NOT_ADMITTED),
        ),
        "callables": _section(
            "Callables of pickles.",
            allow=Several("Callables that nobody has judged and that are taken here, by dotted name.", _DOTTED),
        ),
        "publishers": _section(
            "Whose models are taken from a Hub.",
            allow=_publishers("Owners that are known. A known name under another id is denied."),
            deny=_publishers("Owners that are refused."),
            unlisted=Text("What becomes of owners that `allow` does not name.", choices=_OUTCOMES),
            kinds=Several(
                "Kinds of owners that are taken; empty: all.",
                Text("A kind.", choices=("organization", "user")),
            ),
        ),
        "sources": _section(
            "Where models may come from; * alone stands for anywhere.",
            hubs=Several("Base URLs of Hubs.", Text("A URL, or *.")),
            buckets=Several("s3://bucket/prefix, gs://…, az://….", Text("An address, or *.")),
            folders=Several("Folders; what lies below counts.", Text("An absolute path, or *.")),
            unlisted=Text("What becomes of models from every other place.", choices=_OUTCOMES),
        ),
        "licences": _section(
            "Licences, by the model card and by text.",
            allow=Several("Licences that are taken; empty: all.", _LICENCE),
            deny=Several("Licences that are refused.", _LICENCE),
            names=Several("`licence_name`s that are taken where the card says `other`.", _LICENCE),
            unlisted=Text("What becomes of licences that `allow` does not name.", choices=_OUTCOMES),
            missing=Text("What becomes of models from a Hub that name no licence.", choices=_OUTCOMES),
            missing_elsewhere=Text("What becomes of models from a folder or bucket that name none.", choices=_OUTCOMES),
            unlisted_text=Text(
                "What becomes of a licence file whose text is not listed, when any is.", choices=_OUTCOMES
            ),
            text=Several(
                "Texts of licences that were read and are taken. When there are any, every licence file is held to them.",
                Table(
                    "One text.",
                    {
                        "sha256": Text("Digest of its words, from `decide --json`.", pattern=r"^[0-9a-f]{64}$"),
                        "name": Text("What people call it."),
                    },
                    ("sha256", "name"),
                ),
            ),
        ),
        "sizes": _section(
            "How large a model may be; 0: any.",
            total_bytes=Whole("All artifacts.", 0, _MOST_BYTES),
            artifact_bytes=Whole("One artifact.", 0, _MOST_BYTES),
        ),
        "remote_code": _section(
            "Code that comes with the model.",
            mode=Text(
                "`strip` and `hold` both hold: until it is stripped, or until somebody has read it.",
                choices=("deny", "strip", "hold", "allow"),
            ),
            revision=Several(
                "Revisions whose code was read and is taken, in every mode.",
                Table(
                    "One revision.",
                    {"model": _MODEL, "revision": _REVISION, "reason": _REASON},
                    ("model", "revision", "reason"),
                ),
            ),
        ),
        "cooldown": _section(
            "How old a revision must be.",
            days=Whole("Days; 0: any age.", 0, 3_650),
            since=Text("What the days are counted from.", choices=("publication", "ingest")),
        ),
        "approvals": _section(
            "How many people must approve, by the worst finding.",
            low=_approvals("low, or when there is none"),
            medium=_approvals("medium"),
            high=_approvals("high"),
            critical=_approvals("critical"),
            self_approval=Flag("Whether whoever asks for a revision may approve it."),
        ),
        "serve": _section(
            "How what is approved may reach clients.",
            redirects=Flag(
                "Whether a gateway with `gateway.redirects` may send clients to the store for large files; nobody but "
                "they then prove the bytes."
            ),
        ),
        "watch": _section(
            "What of upstream's changes comes in by itself. Nothing does that any other term holds or denies.",
            **{
                "pass": Several(
                    "Changes that pass: `card` for new words of the model card, and of nothing else.",
                    Text("A kind of change.", choices=("card",)),
                ),
                "channels": Several(
                    "Channels that move to a revision that passed, where they point to the one it follows.",
                    Text("A channel's name.", pattern=r"^[a-z][a-z0-9._-]{0,63}$"),
                ),
            },
        ),
        "exception": Several(
            "What is taken although a rule objects, until a day.",
            Table(
                "One exception.",
                {
                    "id": _SLUG,
                    "rules": Several("Rules of the inspection or of the policy.", _SLUG, least=1),
                    "paths": Several("Artifacts, as shell patterns.", Text("A pattern.")),
                    "models": Several("Models, as shell patterns.", Text("A pattern.")),
                    "revisions": Several("Revisions.", _REVISION),
                    "reason": _REASON,
                    "person": Text("Who answers for it."),
                    "expires": Day("Its last day, in UTC."),
                },
                ("id", "rules", "reason", "person", "expires"),
            ),
        ),
    },
    ("name", "extends"),
)
"""A policy file. A preset has the same keys, all of them but `extends`."""


def json_schema() -> dict[str, JsonValue]:
    """The policy file as JSON Schema: what `docs/reference/policy.schema.json` holds."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "weighbridge policy",
        **POLICY.schema(),
        "required": ["name"],
    }


def schema_text() -> str:
    """The bytes of `docs/reference/policy.schema.json`, as text."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def keys_table() -> str:
    """Every key of a policy file as a table in Markdown: what `docs/reference/policy.md` holds."""
    rows = ["| Key | Value | What it is |", "|---|---|---|"]
    rows += [f"| `{key}` | {_value(node)} | {_told(node)} |" for key, node in _flat("", POLICY)]
    return "\n".join(rows) + "\n"


def _flat(prefix: str, table: Table) -> Iterator[tuple[str, Node]]:
    for name, node in table.keys.items():
        key = f"{prefix}{name}"
        if isinstance(node, Table):
            yield from _flat(f"{key}.", node)
            continue
        rows = node.item if isinstance(node, Several) and isinstance(node.item, Table) else None
        yield key, node
        if rows is not None:
            yield from _flat(f"{key}[].", rows)


def _told(node: Node) -> str:
    doc = node.second.doc if isinstance(node, Either) else node.doc
    return doc.replace("|", "\\|")


def _value(node: Node) -> str:
    match node:
        case Text():
            return ", ".join(f"`{choice}`" for choice in node.choices) if node.choices else "text"
        case Day():
            return "date"
        case Whole():
            return f"{node.least} to {node.most if node.most < _MOST_BYTES else '2^53'}"
        case Flag():
            return "`true`, `false`"
        case Several():
            return "tables" if isinstance(node.item, Table) else f"list of {_value(node.item)}"
        case _:
            return "table"
