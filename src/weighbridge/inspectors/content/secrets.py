"""Does an artifact hold credentials? What the secrets engine found in a scan's spool, judged.

`secrets_engine` runs the engine once, over all that a scan set aside; it says where, and what it found stays in the spool.

A finding says which kind of secret, where, and for tokens and keys the start of the SHA-256 of the text, by which the same
secret is recognised elsewhere. Passwords can be guessed from a digest, so theirs is not given. The text itself is in no
finding, message, argument or file.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import InspectError
from weighbridge.core.finding import Confidence, Coverage, Finding, Report, Severity, Verdict
from weighbridge.core.later import later
from weighbridge.inspectors.content import secrets_silence
from weighbridge.inspectors.content.secrets_engine import Engine, Place, Waiting
from weighbridge.inspectors.content.spool import Label, Spool
from weighbridge.inspectors.rule import Rule

NAME: Final = "secrets"
MAX_LISTED: Final = 200
"""Findings listed of one artifact."""

_REMEDY = "Revoke it where it was issued; a secret that was published stays known. Then publish a revision without it."


def _rule(name: str, title: str, severity: Severity, explanation: str, remedy: str = _REMEDY) -> Rule:
    return Rule(name, title, severity, NAME, explanation, remedy)


PRIVATE_KEY: Final = _rule(
    "secret-private-key",
    "Private key",
    Severity.CRITICAL,
    "Whoever has the model can sign or log in as the key's owner.",
)
PROVIDER_TOKEN: Final = _rule(
    "secret-provider-token",
    "Token with its provider's mark",
    Severity.HIGH,
    "Its form is one provider's own. Whoever has the model can act as its owner there, unless it was revoked.",
)
LIKELY_TOKEN: Final = _rule(
    "secret-likely-token",
    "Token by the name beside it",
    Severity.MEDIUM,
    "The value alone could be any digest; the name beside it is a provider's.",
)
PASSWORD: Final = _rule(
    "secret-password",
    "Password in an address, a header or a login file",
    Severity.MEDIUM,
    "It stands where a program takes its password from.",
)
GENERIC: Final = _rule(
    "secret-generic",
    "Random value under a name for secrets",
    Severity.LOW,
    "It may be a secret: its name says so and its characters are random.",
    "Look at the place. If it is a secret, revoke it and publish a revision without it.",
)
ENGINE_MISSING: Final = _rule(
    "secrets-engine-missing",
    "The secrets engine is not installed",
    Severity.MEDIUM,
    "Nothing was searched for secrets, so nothing is known.",
    "Install weighbridge[secrets], or switch the search for secrets off.",
)
ENGINE_FAILED: Final = _rule(
    "secrets-engine-failed",
    "The secrets engine did not answer",
    Severity.MEDIUM,
    "It failed, took too long or searched less than it was given, so nothing is known.",
    "Scan again. If it stays so, install the version of the engine that weighbridge[secrets] names.",
)
NOT_ALL_SEARCHED: Final = _rule(
    "secrets-not-all-searched",
    "Not everything was searched for secrets",
    Severity.MEDIUM,
    "There is more text than is set aside in one scan, or it could not be read.",
    "Scan this artifact by itself.",
)
RULES: Final[tuple[Rule, ...]] = (
    PRIVATE_KEY,
    PROVIDER_TOKEN,
    LIKELY_TOKEN,
    PASSWORD,
    GENERIC,
    ENGINE_MISSING,
    ENGINE_FAILED,
    NOT_ALL_SEARCHED,
)

MAX_JUDGED_BYTES: Final = 64 * 1024
"""How much of one find is looked at."""

_CONFIDENCE: Final = {
    PRIVATE_KEY.id: Confidence.HIGH,
    PROVIDER_TOKEN.id: Confidence.HIGH,
    LIKELY_TOKEN.id: Confidence.MEDIUM,
    PASSWORD.id: Confidence.MEDIUM,
    GENERIC.id: Confidence.LOW,
}
_BODY = later(rb"[A-Za-z0-9+/]{40}")
_KEYS = later(r"private-key|age-secret-key")
_PASSWORDS = later(r"wb-password|generic-credential-uri|curl-auth|connection-string|-password\b")
# The engine's rules for what only accompanies a secret.
_NO_SECRET = later(
    r"(?:client|account|tenant|application|project|access|auth|app|key|user|api)-(?:user-)?id\b|-(?:name|domain|host|username"
    r"|address|pub-key|public-key|public-api-token|pub-api-key)\b|project-url|rest-url|instance-url|artifactory-jfrog-url"
    r"|pkcs12-file|newrelic-browser|browser-api-token"
)
_VOCABULARY = later(
    r"(?:^|[/\\])(?:tokenizer\.(?:json|model)|vocab\.\w+|merges\.txt|added_tokens\.json|[^/\\]*\.(?:vocab|bpe|tiktoken))\Z",
    re.IGNORECASE,
)
_ADDRESS = later(rb"://[^:/@\s]{0,80}:([^/@\s]{1,200})@([\w.\[\]:-]+)")
_COMMON = frozenset(
    b"password passwd pass pwd secret root admin user test testing example postgres mysql guest changeme letmein username "
    b"token apikey api_key yourpassword mypassword your_password my_password minioadmin rabbitmq redis".split()
)
# Words of small letters with a short number, as `model-v1.0-fr`: nothing random of that length has so few digits.
_NAME_LIKE = later(rb"(?:[a-z]{1,16}(?:\d{1,2}[a-z]{0,10})?|\d{1,2})(?:[-_.:/](?:[a-z]{1,16}\d{0,2}|\d{1,2}))*")
_SEVERAL_WORDS = later(rb"[A-Za-z]{1,10}\d{0,2}(?:[-_.][A-Za-z]{1,10}\d{0,2}){2,6}")
_STAND_IN = later(
    rb"(?i)x{4,}|([a-z0-9])\1{15,}|\*{3,}|\.{3}|<[^>]*>|\$\{|\{\{|your[_-]|example|placeholder|redacted|changeme|dummy"
)


@dataclass(frozen=True, slots=True)
class Hit:
    """One secret in the spool: in which label, where in the subject, and what it is. `line` is 0 where there are none."""

    label: int
    rule: Rule
    kind: str
    offset: int
    line: int
    length: int
    fingerprint: str

    def finding(self, path: str, within: str) -> Finding:
        """What is reported; `within` is the place of the member in its containers."""
        place = f"offset {self.offset}" + (f", line {self.line}" if self.line else "")
        found = self.rule.finding(
            path,
            f"a secret of the kind '{self.kind}'",
            location=f"{within}: {place}" if within else place,
            confidence=_CONFIDENCE[self.rule.id],
        )
        return replace(found, evidence=f"sha256:{self.fingerprint}") if self.fingerprint else found


def search(spool: Spool, engine: Engine, waiting: Waiting | None = None) -> list[Hit]:
    """Runs the engine over the spool and judges what it found, in order of place.

    Raises:
        InspectError: it is not known what is in the spool.
    """
    if _is_silent(spool):
        return []
    hits = (_hit(spool, place) for place in engine.search(spool, waiting))
    return _worst(hit for hit in hits if hit is not None)


def _is_silent(spool: Spool) -> bool:
    """Whether the engine is known to find nothing: starting it costs more than small artifacts cost altogether."""
    if spool.size_bytes > secrets_silence.MAX_BYTES:
        return False
    text = spool.read(0, spool.size_bytes)
    return not spool.broken and len(text) == spool.size_bytes and secrets_silence.is_silent(text)


def _hit(spool: Spool, place: Place) -> Hit | None:
    text = spool.read(place.start, min(place.end, place.start + MAX_JUDGED_BYTES))
    # The engine's expressions take what stands before a secret along, the end of another line as well.
    place = replace(place, start=place.start + len(text) - len(text.lstrip()))
    rule = _rule_of(place, text)
    number = spool.label_at(place.start)
    if rule is PRIVATE_KEY and (last := spool.label_at(place.end - 1)) is not None and last != number:
        # A line that only speaks of keys, and a key in the next artifact: it is the key that counts.
        number = last
    if rule is None or number is None:
        return None
    label = spool.labels[number]
    if rule in (GENERIC, LIKELY_TOKEN) and _VOCABULARY.search(label.path):
        return None
    start = max(place.start, label.start)
    return Hit(
        number,
        rule,
        re.sub(r"^wb-|\.\d+$", "", place.rule).removesuffix("-access-token"),
        label.origin_of(start),
        label.line_of(place.line) if start == place.start else 0,
        place.end - start,
        "" if rule in (PASSWORD, GENERIC) else place.fingerprint[:16],
    )


def _rule_of(place: Place, text: bytes) -> Rule | None:
    """Which of our rules the engine's finding falls under; None when it is no secret."""
    if _NO_SECRET.search(place.rule):
        return None
    if _KEYS.search(place.rule):
        return PRIVATE_KEY if place.rule != "private-key" or _BODY.search(text) else None
    if _PASSWORDS.search(place.rule):
        return PASSWORD if _is_password(place.rule, text) else None
    if _STAND_IN.search(text):
        return None
    found = {"high": PROVIDER_TOKEN, "medium": LIKELY_TOKEN}.get(place.confidence, GENERIC)
    return None if found is GENERIC and _is_name(text) else found


def _is_name(text: bytes) -> bool:
    """Whether the value is made of words of small letters, with at most a short number in each."""
    values = re.findall(rb"[\w./:+=-]+", text[:1000])
    if not values or len(values[-1]) > 48:
        return False
    return any(pattern.fullmatch(values[-1]) for pattern in (_NAME_LIKE, _SEVERAL_WORDS))


def _is_password(rule: str, text: bytes) -> bool:
    """Whether it is not one of those that examples have."""
    if rule == "wb-password-docker" or rule == "wb-password-basic":
        return _is_pair(text)
    address = _ADDRESS.search(text)
    if address is None:
        return not _STAND_IN.search(text)
    password, host = address[1], address[2]
    return not (password.lower() in _COMMON or _STAND_IN.search(password) or re.search(rb"example|your", host))


def _is_pair(text: bytes) -> bool:
    """Whether the last word is base64 of a name, a colon and a password."""
    words = re.findall(rb"[A-Za-z0-9+/]{12,}={0,2}", text)
    try:
        pair = base64.b64decode(words[-1] + b"=" * (-len(words[-1]) % 4)) if words else b""
    except binascii.Error:
        return False
    name, colon, password = pair.partition(b":")
    return bool(colon and len(password) > 3 and name.isascii() and not _STAND_IN.search(pair)) and (
        password.lower() not in _COMMON
    )


def _worst(hits: Iterable[Hit]) -> list[Hit]:
    """One hit for each place: the gravest of those that overlap."""
    kept: list[Hit] = []
    order = sorted(hits, key=lambda hit: (hit.label, -hit.rule.severity, hit.offset, hit.kind))
    for hit in order:
        near = (other for other in kept if other.label == hit.label)
        if not any(o.offset < hit.offset + hit.length and hit.offset < o.offset + o.length for o in near):
            kept.append(hit)
    return sorted(kept, key=lambda hit: (hit.label, hit.offset))


def reports_of(
    spool: Spool, places: Mapping[int, tuple[str, str]], engine: Engine | None = None, *, waiting: Waiting | None = None
) -> list[Report]:
    """One report for each label; `places` says in which artifact, and where in it, each label's subject lies.

    Without an engine, the installed one is used; when there is none, or it does not answer, every report is unknown.
    """
    engine = engine or Engine.installed()
    if engine is None:
        return _nothing_known(spool, places, ENGINE_MISSING, "Betterleaks is not installed")
    try:
        hits = search(spool, engine, waiting)
    except InspectError as error:
        return _nothing_known(spool, places, ENGINE_FAILED, error.message)
    by_label: dict[int, list[Hit]] = {}
    for hit in hits:
        by_label.setdefault(hit.label, []).append(hit)
    return [
        _report(label, places.get(number, (label.path, "")), by_label.get(number, []))
        for number, label in enumerate(spool.labels)
    ]


def _report(label: Label, place: tuple[str, str], hits: list[Hit]) -> Report:
    path, within = place
    found = [hit.finding(path, within) for hit in sorted(hits, key=lambda hit: -hit.rule.severity)[:MAX_LISTED]]
    coverage = Coverage(label.looked_bytes, label.wanted_bytes)
    if not coverage.complete:
        message = f"{coverage.present_bytes - coverage.inspected_bytes} bytes were not searched"
        found.append(NOT_ALL_SEARCHED.finding(path, message, location=within))
    bad = any(finding.severity.is_grave for finding in found)
    verdict = Verdict.BAD if bad else Verdict.CLEAN if coverage.complete else Verdict.UNKNOWN
    return Report(NAME, path, verdict, coverage, tuple(found))


def _nothing_known(spool: Spool, places: Mapping[int, tuple[str, str]], rule: Rule, message: str) -> list[Report]:
    reports = []
    for number, label in enumerate(spool.labels):
        path, within = places.get(number, (label.path, ""))
        finding = rule.finding(path, message, location=within)
        reports.append(Report(NAME, path, Verdict.UNKNOWN, Coverage(0, label.wanted_bytes), (finding,)))
    return reports
