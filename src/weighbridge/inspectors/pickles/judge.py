"""Judges the events of pickle streams one by one, and keeps what is worth saying."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.finding import Finding, Severity
from weighbridge.core.later import later
from weighbridge.formats.pickle import Blob, LongText
from weighbridge.formats.pickle_values import EMPTY, Event, EventKind, Global, Instance, Items, Sort, Value, shown
from weighbridge.inspectors.dangers import danger_of
from weighbridge.inspectors.pickles.callables import STORAGES, allowed
from weighbridge.inspectors.pickles.checks import Allowed, Danger
from weighbridge.inspectors.pickles.names import RENAMING_PROTOCOLS, canonical_name
from weighbridge.inspectors.pickles.rules import BY_ID

MAX_NOTES = 300
MAX_STORAGES = 200_000
MAX_CONSTANTS = 2_000
MAX_DATA = 50_000
_HONEST_NAME = later(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*", re.ASCII)


@dataclass(slots=True)
class _Note:
    """One thing to say, however often it was seen."""

    rule: str
    message: str
    offset: int
    severity: Severity
    evidence: str = ""
    count: int = 1


class Judge:
    """What was seen in one artifact (or one stream of it, to be merged). `prefix` locates its offsets."""

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self._notes: dict[tuple[str, str], _Note] = {}
        self._others: list[Finding] = []
        self._unused: dict[Global, list[int]] = {}
        self.constants: list[tuple[int, Value]] = []
        """Constants that begin as pickles do, with their offsets."""
        self.named: set[tuple[str, str]] = set()
        self.stacked: set[tuple[str, str]] = set()
        """The names that GLOBAL and INST, and STACK_GLOBAL, take in the stream at hand; for a second reader."""
        self.data: list[tuple[int, int]] = []
        """Where bytes lie that a loader takes for an array, as offsets from and to."""
        self.storages: dict[str, int] = {}
        """Bytes of each torch storage that a persistent id names, by key."""
        self.elements: dict[str, int] = {}
        """Their elements, by key."""
        self.grave = False
        """Whether a weapon is named: what no accident of other bytes amounts to."""
        self.acted = False
        """Whether anything was named by an honest name, called, or asked of the loader."""

    def note(self, rule: str, key: str, message: str, offset: int, *, severity: Severity | None = None) -> None:
        """Says something once; repetitions are counted."""
        known = self._notes.get((rule, key))
        if known is not None:
            known.count += 1
        elif len(self._notes) < MAX_NOTES:
            self._notes[rule, key] = _Note(rule, message, offset, severity or BY_ID[rule].severity)
            self.grave |= rule == "dangerous-callable"
        else:
            rest = _Note("limit-exceeded", "more is wrong than is listed", offset, BY_ID["limit-exceeded"].severity)
            rest = self._notes.setdefault(("limit-exceeded", "notes"), rest)
            rest.severity = max(rest.severity, severity or BY_ID[rule].severity)
            self.grave |= rule == "dangerous-callable"

    def absorb(self, other: Judge) -> None:
        """Takes over what was seen in a further stream of the same bytes."""
        for key, note in other._notes.items():
            if key in self._notes:
                self._notes[key].count += note.count
            elif len(self._notes) <= MAX_NOTES:
                self._notes[key] = note
        self.constants += other.constants[: MAX_CONSTANTS - len(self.constants)]
        self.storages |= other.storages
        self.elements |= other.elements
        self.data += other.data[: MAX_DATA - len(self.data)]
        self.acted |= other.acted
        self.grave |= other.grave

    def merge(self, other: Judge, path: str) -> None:
        """Takes over what another judge found."""
        self.grave |= other.grave
        self._others += other.findings(path)[: max(0, MAX_NOTES - len(self._others))]

    def findings(self, path: str) -> list[Finding]:
        """Everything to be said about the artifact at `path`."""
        self.settle()
        return [*(self._finding(note, path) for note in self._notes.values()), *self._others]

    def _finding(self, note: _Note, path: str) -> Finding:
        message = f"{note.message} ({note.count} times)" if note.count > 1 else note.message
        found = BY_ID[note.rule].finding(path, message, location=f"{self.prefix}offset {note.offset}")
        return replace(found, severity=note.severity, evidence=note.evidence)

    def see(self, event: Event) -> None:
        """Judges one event."""
        match event.kind:
            case EventKind.RESOLVED:
                assert isinstance(event.subject, Global)
                self._resolved(event.subject, event)
            case EventKind.CALLED:
                self._called(event)
            case EventKind.BUILT | EventKind.FILLED:
                self._changed(event)
            case EventKind.DYNAMIC:
                self._dynamic(event)
            case EventKind.EXTENSION:
                self.acted = True
                message = f"asks for the extension {shown(event.argument)}"
                self.note("extension-registry", shown(event.argument), message, event.offset)
            case EventKind.PERSISTENT:
                self._persistent(event)
            case EventKind.CONSTANT:
                self._constant(event)
            case _:
                self._remark(event)

    def _remark(self, event: Event) -> None:
        """What neither names nor calls."""
        if event.kind is EventKind.DATA:
            if isinstance(event.argument, int) and len(self.data) < MAX_DATA:
                self.data.append((event.argument, event.offset))
            return
        rule = "broken-stream" if event.kind is EventKind.ODD else "limit-exceeded"
        self.note(rule, event.message, event.message, event.offset)

    def _resolved(self, found: Global, event: Event) -> None:
        if event.opcode == "STACK_GLOBAL":
            self.stacked.add((found.module, found.name))
        elif event.opcode in ("GLOBAL", "INST"):
            self.named.add((found.module, found.name))
        protocol = event.argument if isinstance(event.argument, int) else 0
        honest, rules, danger = _assessed(found, protocol)
        self.acted |= honest
        if honest and rules is not None and danger is None:
            return
        name = shown(found)
        if not honest:
            self.note("module-name-odd", name, f"names {found.module!a}, {found.name!a}"[:200], event.offset)
        if danger is not None and rules is not None and rules.unless_called:
            self._unused.setdefault(found, []).append(event.offset)
        elif danger is not None:
            self._weapon(found, danger, event.offset)
        elif rules is None:
            self.note("unknown-callable", name, f"names {name}, which nobody has judged", event.offset)

    def _weapon(self, found: Global, danger: Danger, offset: int) -> None:
        message = f"names {shown(found)}, which {danger.value}"
        self.note("dangerous-callable", shown(found), message, offset, severity=danger.severity)

    def settle(self) -> None:
        """To be called when the stream has ended: what passes only as a call and was never called."""
        for found, places in self._unused.items():
            rules = allowed(found)
            if places and rules is not None and rules.unless_called is not None:
                self._weapon(found, rules.unless_called, places[0])
        self._unused.clear()

    def _called(self, event: Event) -> None:
        subject = event.subject
        if not isinstance(subject, Global):
            message = f"calls {shown(subject)}, which is no name in the stream"
            self.note("dynamic-name", shown(subject), message, event.offset)
            return
        rules = allowed(subject)
        if rules is None:
            evidence = f"{shown(subject)}{shown(event.argument)}"
            for rule in ("dangerous-callable", "unknown-callable"):
                known = self._notes.get((rule, shown(subject)))
                if known is not None and not known.evidence:
                    known.evidence = evidence
        elif not _accepted(rules, event):
            if rules.unless_called is not None:
                self._weapon(subject, rules.unless_called, event.offset)
            evidence = f"{shown(subject)}{shown(event.argument)}"
            self.note("odd-arguments", shown(subject), f"calls {evidence}", event.offset)
        else:
            if self._unused.get(subject):
                self._unused[subject].pop()
            if rules.undecided is not None and rules.undecided(event.argument):
                evidence = f"{shown(subject)}{shown(event.argument)}"
                self.note(
                    "unknown-callable", evidence, f"keeps {evidence} for a call that nobody has judged", event.offset
                )
            self._array(event)

    def _array(self, event: Event) -> None:
        """Remembers the bytes that an accepted call makes an array of."""
        if isinstance(event.subject, Global) and event.subject.name in ("_frombuffer", "scalar"):
            for item in event.argument.items if isinstance(event.argument, Items) else ():
                self._bytes(item)

    def _bytes(self, value: Value) -> None:
        if isinstance(value, Blob) and not value.escaped and len(self.data) < MAX_DATA:
            self.data.append((value.offset, value.offset + value.length))

    def _changed(self, event: Event) -> None:
        subject, what = event.subject, "gives a state to" if event.kind is EventKind.BUILT else "puts items into"
        if isinstance(subject, Global):
            self.note("build-on-global", shown(subject), f"{what} {shown(subject)} itself", event.offset)
            return
        if event.message:
            self.note("odd-arguments", event.message, f"{what} {shown(subject)}: {event.message}", event.offset)
            return
        if isinstance(subject, Instance):
            rules = allowed(subject.of)
            if rules is None:
                return
            if event.kind is EventKind.BUILT and rules.state is not None and rules.state(event.argument):
                if subject.of.name == "_reconstruct" and isinstance(event.argument, Items):
                    self._bytes(event.argument.items[-1])
                return
            # `append`, `extend` and `add` are looked up in the object, which a state may have given its own.
            if event.kind is EventKind.FILLED and rules.fillable and (rules.state is None or "SETITEM" in event.opcode):
                return
            if rules.unless_called is not None:
                self._weapon(subject.of, rules.unless_called, event.offset)
        if subject is Sort.DICT and isinstance(event.argument, str) and event.kind is EventKind.FILLED:
            message = f"keeps something to be called under {event.argument}, which decides what a loader does next"
            self.note("odd-arguments", event.argument, message, event.offset)
            return
        message = f"{what} {shown(subject)}, which takes none such"
        self.note("odd-arguments", f"{what} {shown(subject)}", message, event.offset)

    def _dynamic(self, event: Event) -> None:
        assert isinstance(event.argument, Items)
        if all(isinstance(part, str) or part is Sort.TEXT for part in event.argument.items):
            self.note("limit-exceeded", "name", "a name was too far away to be remembered", event.offset)
        else:
            message = f"names the global {shown(event.argument)}, which is not constant"
            self.note("dynamic-name", shown(event.argument), message, event.offset)

    def _constant(self, event: Event) -> None:
        if len(self.constants) < MAX_CONSTANTS:
            self.constants.append((event.offset, event.subject))
        else:
            message = "more constants begin like pickles than are followed"
            self.note("limit-exceeded", "constants", message, event.offset)

    def _persistent(self, event: Event) -> None:
        self.acted = True
        storage = _torch_storage(event.argument)
        if storage is None and _torch_class(event.argument):
            return
        if storage is None:
            message = f"asks the loader for {shown(event.argument)}"
            self.note("persistent-id", "", message, event.offset)
            return
        if len(self.storages) >= MAX_STORAGES:
            self.note("limit-exceeded", "storages", f"names more than {MAX_STORAGES} storages", event.offset)
            return
        self.storages[storage[0]], self.elements[storage[0]] = storage[1:]


@lru_cache(maxsize=4096)
def _assessed(found: Global, protocol: int) -> tuple[bool, Allowed | None, Danger | None]:
    """Whether a global has a name as modules have, what it may be used for, and what is known against it.

    A name that is dangerous in another protocol's reading is dangerous.
    """
    honest = _HONEST_NAME.fullmatch(found.module) is not None and found.name.isprintable() and bool(found.name.strip())
    danger = danger_of(found)
    if danger is None and protocol >= RENAMING_PROTOCOLS:
        danger = danger_of(found, protocol)
    return honest, allowed(found, protocol), danger


def _accepted(rules: Allowed, event: Event) -> bool:
    """Whether a call is one that its callable's rules accept. Keyword arguments are accepted nowhere."""
    if event.opcode == "NEWOBJ_EX":
        return False
    argument = event.argument
    if event.opcode == "NEWOBJ" and rules.new is not None:
        return rules.new(argument)
    if rules.call is None or not rules.call(argument):
        return False
    if isinstance(event.subject, Global) and event.subject.name in ("_reconstructor", "__newobj__"):
        made = argument.items[0] if isinstance(argument, Items) and argument.items else None
        inner = allowed(made) if isinstance(made, Global) else None
        making = None if inner is None else inner.new or inner.call
        return making is not None and making(EMPTY)
    return True


def _torch_class(key: Value) -> bool:
    """Whether an id is torch's `("module", class, file, source)`, of an allowed class."""
    if not isinstance(key, Items) or len(key.items) != 4 or key.items[0] != "module":
        return False
    return isinstance(key.items[1], Global) and allowed(key.items[1]) is not None


def _torch_storage(key: Value) -> tuple[str, int, int] | None:
    """The key, the bytes and the elements of the storage that `("storage", class, key, location, elements)` names."""
    if not isinstance(key, Items) or len(key.items) not in (5, 6) or not key.whole:
        return None
    word, kind, name, location, elements = key.items[:5]
    if word != "storage" or not isinstance(kind, Global) or not isinstance(name, str):
        return None
    if not isinstance(location, str | LongText) or type(elements) is not int or elements < 0:
        return None
    size: Final = STORAGES.get(canonical_name(kind))
    if size is None or (len(key.items) == 6 and not _is_view(key.items[5])):
        return None
    return name, elements * size, elements


def _is_view(value: Value) -> bool:
    """What stands in place of a view of a storage: nothing, or its key, offset and elements."""
    if value is None:
        return True
    return (
        isinstance(value, Items) and len(value.items) == 3 and all(isinstance(item, str | int) for item in value.items)
    )
