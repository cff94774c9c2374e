"""What an organisation admits: one policy, resolved and typed, as a value that is compared and digested.

A policy is data. It is read by `policy_file`, applied by `judge`, and does no I/O itself. Two policies that say the same have
the same digest, whatever comments or order their files have; a preset that changes with a release changes the digest of what
extends it.

The outcomes mean:

- `admit`: policy has no objection. `approvals` people must still approve before anything is promoted;
- `hold`: something besides approvals must change first: a remedy, time, another scan, or an explicit entry in the policy file
  (an exception, a named revision, a listed licence). Approvals alone never lift it;
- `deny`: as `hold`, and nothing that is expected to change by itself.

Unknown never passes: no setting admits a verdict of unknown; an exception may, by rule and path, with a reason and an end.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from enum import Enum
from typing import Final, Literal

from weighbridge.core import canonical
from weighbridge.core.canonical import JsonValue
from weighbridge.core.decision import Outcome
from weighbridge.core.finding import Severity

FORMAT: Final = "weighbridge.policy/1"

RemoteCodeMode = Literal["deny", "strip", "hold", "allow"]

REMOTE_CODE_RULES: Final = frozenset(("config-remote-code", "python-remote-code", "kind-python-code"))
"""Rules of the inspection that say that code comes with the model; `[remote_code]` judges them, thresholds do not."""

KINDS_BY_FAMILY: Final[Mapping[str, frozenset[str]]] = {
    family: frozenset(kinds.split())
    for family, kinds in {
        "weights": "caffe-model catboost coreml coreml-weights crfsuite executorch fasttext ggml gguf graph-def hdf5 kenlm "
        "keras-metadata msgpack mxnet-params onnx onnx-tensor openfst paddle-model paddle-params safetensors saved-model tensorrt "
        "netcdf tflite ubjson word2vec xgboost-binary",
        "serialised": "arrow avro java-serialization matlab npy orc parquet pickle r-data",
        "archive": "7z ar bzip2 cab cabinet cpio gzip lz4 lzip lzma ole-document rar sqlite sqlite-journal tar xz zip zlib zstd",
        "text": "markdown other-text stylesheet text utf-16-text",
        "config": "jinja json requirements sentencepiece settings structured-text table vocabulary yaml",
        "code": "notebook python source",
        "media": "aiff apple-double avi bmp fits flac font gif ico jpeg matroska mp3 mp4 nifti ogg pdf png svg tiff wav wave64 webp",
        "executable": "ape dex elf java-class llvm-bitcode lua-bytecode mach-o pe python-bytecode script wasm "
        "windows-shortcut",
        "pointer": "lfs-pointer",
        "empty": "empty",
        "unrecognised": "unrecognised",
    }.items()
}
"""What `[formats]` may name: kinds by content (`formats.kinds`), or `@family` for all of one."""

POLICY_RULES: Final[Mapping[str, tuple[str, str]]] = {
    "finding": ("findings", "A finding is at least as severe as the policy takes"),
    "verdict-bad": ("findings.deny", "An inspector says bad and lists no finding for it"),
    "findings-cut": ("coverage.unknown", "More was found than is listed"),
    "verdict-unknown": ("coverage.unknown", "An inspector could not answer, or left bytes out"),
    "not-inspected": ("coverage.unknown", "No inspector looked at an artifact"),
    "inspection-incomplete": ("coverage.require", "A kind of inspection that the policy requires was switched off"),
    "format": ("formats.allow", "An artifact is of a kind that the policy does not take"),
    "remote-code": ("remote_code.mode", "The model brings code of its own"),
    "publisher-denied": ("publishers.deny", "The publisher is refused by name or id"),
    "publisher-taken-over": ("publishers.allow", "A known publisher's name, under another owner id"),
    "publisher-unlisted": ("publishers.unlisted", "The publisher is not listed, or cannot be proven"),
    "publisher-kind": ("publishers.kinds", "The publisher is not of a kind that the policy takes"),
    "source": ("sources.unlisted", "It came from a place that the policy does not name"),
    "licence-denied": ("licences.deny", "The licence is refused"),
    "licence-unlisted": ("licences.allow", "The licence is not one that the policy names"),
    "licence-missing": ("licences.missing", "No licence is given"),
    "licence-text": ("licences.text", "The text of a licence is not one that the policy names"),
    "size": ("sizes", "It is larger than the policy takes"),
    "cooldown": ("cooldown.days", "It is too new"),
    "exception-expired": ("exception", "An exception that would apply is past its date"),
}
"""Every rule that a decision may name: the key of the policy that decides it, and what it means."""

NEEDS_A_PATH: Final = frozenset(("verdict-unknown", "verdict-bad", "not-inspected", "findings-cut"))
"""Rules whose exceptions must name the artifact: what nobody understood is accepted one by one."""


@dataclass(frozen=True, slots=True)
class FindingRule:
    """What is made of findings whose rule id is, or fits, `id` (`*` stands for anything).

    `approvals` is how many people accept such a finding; None: as its severity asks.
    """

    id: str
    outcome: Outcome
    approvals: int | None = None
    reason: str = ""

    def fits(self, rule: str) -> bool:
        """Whether it is about that rule of the inspection."""
        return self.id == rule or ("*" in self.id and fnmatch.fnmatchcase(rule, self.id))


@dataclass(frozen=True, slots=True)
class FindingThresholds:
    """From which severity findings hold or deny; None: never. The most specific of `rules` comes before both."""

    hold: Severity | None
    deny: Severity | None
    rules: tuple[FindingRule, ...] = ()

    def outcome(self, severity: Severity) -> Outcome:
        """What the thresholds make of a severity."""
        if self.deny is not None and severity >= self.deny:
            return Outcome.DENY
        return Outcome.HOLD if self.hold is not None and severity >= self.hold else Outcome.ADMIT

    def rule_for(self, rule: str) -> tuple[int, FindingRule] | None:
        """The override for a rule id and its place: the one that names it, else the first glob that fits."""
        fitting = [(place, one) for place, one in enumerate(self.rules) if one.fits(rule)]
        named = [pair for pair in fitting if pair[1].id == rule]
        return next(iter(named or fitting), None)


@dataclass(frozen=True, slots=True)
class CoverageTerms:
    """What is made of unknown. Below `minimum_percent` of an artifact's bytes it is a deny. `require` names inspections
    that must not have been switched off (`malware`, `secrets`).
    """

    unknown: Outcome
    minimum_percent: int = 0
    require: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FormatTerms:
    """Kinds of artifacts by content; an empty `allow` takes all that `deny` does not name. `@family` names a family."""

    allow: tuple[str, ...]
    deny: tuple[str, ...]
    unlisted: Outcome

    def outcome(self, kind: str) -> Outcome:
        """What is made of an artifact of that kind."""
        if self.refuses(kind):
            return Outcome.DENY
        return Outcome.ADMIT if not self.allow or _names_kind(self.allow, kind) else self.unlisted

    def refuses(self, kind: str) -> bool:
        """Whether `deny` names the kind or its family."""
        return _names_kind(self.deny, kind)


def _names_kind(names: tuple[str, ...], kind: str) -> bool:
    return any(kind == name or (name[:1] == "@" and kind in KINDS_BY_FAMILY.get(name[1:], ())) for name in names)


@dataclass(frozen=True, slots=True)
class Publisher:
    """An owner at the Hub, by name, by the Hub's own stable id, or both. Names are compared without case."""

    name: str = ""
    id: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PublisherTerms:
    """Whose models are taken; judged only for what came from a Hub. An empty `kinds` takes every kind."""

    allow: tuple[Publisher, ...]
    deny: tuple[Publisher, ...]
    unlisted: Outcome
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceTerms:
    """Places that models may come from; `*` as the only entry stands for every place of that kind."""

    hubs: tuple[str, ...]
    buckets: tuple[str, ...]
    folders: tuple[str, ...]
    unlisted: Outcome


@dataclass(frozen=True, slots=True)
class LicenceText:
    """The text of a licence by the SHA-256 of its words (`licences.text_digest`); `name` is for people."""

    sha256: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class LicenceTerms:
    """Licences by the ids of model cards (lowercase, SPDX-like), by `licence_name` where the id is `other`, by text.

    An empty `allow` takes every licence that `deny` does not name. `missing` is for the Hub, `missing_elsewhere` for folders
    and buckets, which often have no card. Texts are judged when any is listed.
    """

    allow: tuple[str, ...]
    deny: tuple[str, ...]
    names: tuple[str, ...]
    unlisted: Outcome
    missing: Outcome
    missing_elsewhere: Outcome
    unlisted_text: Outcome
    texts: tuple[LicenceText, ...] = ()


@dataclass(frozen=True, slots=True)
class SizeTerms:
    """Most bytes of a revision and of one artifact; 0: any."""

    total_bytes: int = 0
    artifact_bytes: int = 0


@dataclass(frozen=True, slots=True)
class NamedRevision:
    """One revision of one model, with the reason for naming it."""

    model: str
    revision: str
    reason: str


@dataclass(frozen=True, slots=True)
class RemoteCodeTerms:
    """What is made of code that comes with the model; `revisions` are taken with theirs in every mode."""

    mode: RemoteCodeMode
    revisions: tuple[NamedRevision, ...] = ()


@dataclass(frozen=True, slots=True)
class CooldownTerms:
    """How many days must have passed since upstream published (`publication`) or since it came in (`ingest`)."""

    days: int
    since: Literal["publication", "ingest"]


@dataclass(frozen=True, slots=True)
class ApprovalTerms:
    """How many people must approve, by the worst finding; nothing found counts as low. Never fewer for a greater risk."""

    low: int
    medium: int
    high: int
    critical: int
    self_approval: bool

    def needed(self, severity: Severity | None) -> int:
        """The number for a worst severity."""
        numbers = {Severity.MEDIUM: self.medium, Severity.HIGH: self.high, Severity.CRITICAL: self.critical}
        return self.low if severity is None else numbers.get(severity, self.low)


@dataclass(frozen=True, slots=True)
class ServeTerms:
    """How what is approved may reach clients; no decision rests on it.

    `redirects`: whether a gateway may send them to the store itself, where nobody but they prove the bytes.
    """

    redirects: bool = False


@dataclass(frozen=True, slots=True)
class WatchTerms:
    """What of upstream's changes comes in by itself, and which channels then move to it.

    `passes`: `card` for a revision that differs from an approved one in the words of its model card alone. It must be admitted
    by every other term, and the approvals of the approved one must count.
    """

    passes: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyException:
    """Something that is taken although a rule objects, by a person, for a reason, up to and including a day (UTC).

    `rules` are ids of rules of the inspection or of `POLICY_RULES`. Empty `paths`, `models` or `revisions` do not narrow;
    `paths` and `models` are shell patterns in which `*` also crosses `/`.
    """

    id: str
    rules: tuple[str, ...]
    reason: str
    person: str
    expires: str
    paths: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    revisions: tuple[str, ...] = ()

    def fits(self, rules: tuple[str, ...], path: str, model: str, revision: str) -> bool:
        """Whether it is about this objection, whatever the day."""
        return (
            any(rule in self.rules for rule in rules)
            and (not self.paths or any(fnmatch.fnmatchcase(path, pattern) for pattern in self.paths))
            and (not self.models or any(fnmatch.fnmatchcase(model, pattern) for pattern in self.models))
            and (not self.revisions or revision in self.revisions)
        )

    def in_force(self, today: date) -> bool:
        """Whether its last day has not passed."""
        return date.fromisoformat(self.expires) >= today


@dataclass(frozen=True, slots=True)
class Policy:
    """All of it, resolved: what a file says over what its preset says."""

    name: str
    description: str
    extends: str
    findings: FindingThresholds
    coverage: CoverageTerms
    formats: FormatTerms
    callables: tuple[str, ...]
    publishers: PublisherTerms
    sources: SourceTerms
    licences: LicenceTerms
    sizes: SizeTerms
    remote_code: RemoteCodeTerms
    cooldown: CooldownTerms
    approvals: ApprovalTerms
    exceptions: tuple[PolicyException, ...] = ()
    serve: ServeTerms = ServeTerms()
    watch: WatchTerms = WatchTerms()

    def to_json(self) -> dict[str, JsonValue]:
        """The record of the policy: everything that can change a decision, its name and description, `serve` and `watch`.

        Terms of those two are there once they say something: so policies from before there were any keep their digests.
        """
        silent = {"serve": self.serve == ServeTerms(), "watch": self.watch == WatchTerms()}
        named = [field.name for field in fields(self) if not silent.get(field.name, False)]
        return {"format": FORMAT, **{name: _plain(getattr(self, name)) for name in named}}

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical record, 64 hex digits."""
        return canonical.digest(self.to_json())


def _plain(value: object) -> JsonValue:
    if isinstance(value, Severity):
        return value.label
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"a policy holds no {type(value).__name__}")
