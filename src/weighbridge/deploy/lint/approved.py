"""What is known of the approved store when a deployment is linted: which prefixes are approved, what they hold, how large they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from weighbridge.core.finding import Severity
from weighbridge.core.layout import MODELS
from weighbridge.deploy.deployable import Deployable
from weighbridge.deploy.lint import rules
from weighbridge.deploy.lint.parts import Findings, Said, is_open, shown
from weighbridge.deploy.lint.unresolved import say_unknown
from weighbridge.deploy.sizing import DEFAULT_RATE, FASTEST_RATE

_MAX_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Revision:
    """An approved revision: the sizes of its files, and the paths that the store has under its prefix, where it was asked."""

    files: Mapping[str, int]
    present: tuple[str, ...] | None = None

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(self.files.values())


@dataclass(frozen=True, slots=True)
class Approved:
    """Facts for the rules about prefixes and sizes. `revisions` are by their whole prefix (`s3://…/models/org/name/rev/`)."""

    store: str = ""
    """The approved store's address; empty where it is not known."""
    revisions: Mapping[str, Revision] = field(default_factory=dict)
    size_bytes: int = 0
    """Of a model whose prefix tells nothing; 0 where it is not known."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Why a prefix is not approved, where more is known than that."""
    rate: float = DEFAULT_RATE
    """Bytes a second that the store is taken to give."""

    @classmethod
    def of(cls, deployables: Iterable[Deployable], *, present: Mapping[str, tuple[str, ...]] | None = None) -> Approved:
        """From what is to be deployed; `present` are the paths that the store has, by prefix."""
        found = tuple(deployables)
        revisions = {one.prefix: Revision(one.files, (present or {}).get(one.prefix)) for one in found}
        largest = max((one.size_bytes for one in found), default=0)
        return cls(found[0].store if found else "", revisions, largest)

    def size_of(self, address: str) -> int:
        """The bytes of what is deployed from an address; 0 where nothing is known."""
        known = self.revisions.get(_ended(address))
        return known.size_bytes if known is not None else self.size_bytes


def of_a_limit(rate: float) -> Severity:
    """How grave a time limit is that needs so many bytes a second, where a store is taken to give fewer."""
    return Severity.HIGH if rate > FASTEST_RATE else Severity.MEDIUM


def prefix_of(address: str) -> str:
    """The prefix `…/models/org/name/revision/` that an address lies under; empty where it has not that form."""
    found = re.match(rf"(\w+://.+?/|/.*?/|){MODELS}([^/]+/[^/]+/[0-9a-f]{{40}})(?:/|\Z)", address)
    return f"{found.group(1)}{MODELS}{found.group(2)}/" if found else ""


def judge_address(
    said: Said, facts: Approved | None, findings: Findings, *, is_prefix: bool, severity: Severity | None = None
) -> None:
    """The address of a model that a platform mounts; `is_prefix` says that it takes every object that begins so.

    `severity` is that of a missing slash, where it is not the rule's own.
    """
    text = said.text.strip()
    if is_prefix and not text.endswith("/"):
        if is_open(text.rpartition("/")[2]):
            say_unknown(findings, said.place, "how the model's address ends", text)
        else:
            findings.say(rules.PREFIX_SLASH, said.place, f"{shown(text)} does not end with '/'", severity=severity)
    if facts is None or not facts.store:
        return
    if is_open(text):
        say_unknown(findings, said.place, "whether the model's address is approved: it", text)
        return
    if text.lower().startswith(("hf://", "http://", "https://", "pvc://", "oci://")):
        return
    known = facts.revisions.get(_ended(text))
    if known is None:
        why = facts.refused.get(_ended(text)) or f"it is no approved revision in {facts.store}"
        findings.say(rules.NOT_APPROVED, said.place, f"{shown(text)}: {why}")
        return
    if known.present is not None:
        _differences(said, known, findings)


def _differences(said: Said, known: Revision, findings: Findings) -> None:
    there = set(known.present or ())
    for paths, what in (
        (sorted(there - known.files.keys()), "are there and in no manifest"),
        (sorted(known.files.keys() - there), "are in the manifest and not there"),
    ):
        if paths:
            some = ", ".join(shown(path) for path in paths[:_MAX_NAMED])
            more = f" and {len(paths) - _MAX_NAMED} more" if len(paths) > _MAX_NAMED else ""
            findings.say(rules.EXTRA_OBJECTS, said.place, f"{some}{more} {what}")


def _ended(address: str) -> str:
    return address.strip().rstrip("/") + "/"
