"""Unit tests of a policy: situations given as facts, and what the policy must make of them.

A test file is TOML with `[[test]]` tables. What a test does not give is a clean model of one safetensors file with a
configuration and a card, licence `apache-2.0`, published a year before by `acme` (id `0001`, an organization) on the public Hub.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, cast

from weighbridge.admit.facts import CENSUS, Facts
from weighbridge.admit.judge import judge
from weighbridge.admit.judge_terms import UNKNOWN_CALLABLE
from weighbridge.admit.licences import Licence, LicenceFile
from weighbridge.admit.policy import Policy
from weighbridge.admit.policy_file import lines_of, parse_toml, severity_of_rules, told
from weighbridge.admit.policy_spec import Day, Either, Flag, Problem, Several, Table, Text, Whole, near
from weighbridge.core.decision import Decision
from weighbridge.core.errors import ConfigError
from weighbridge.core.finding import Confidence, Coverage, Finding, Inspection, Report, Severity, Verdict
from weighbridge.core.names import ModelName
from weighbridge.core.snapshot import Origin

_PATH = Text("A path in the model.")
_RULE = Text("A rule of the inspection.", pattern=r"^[a-z0-9][a-z0-9-]{0,99}$")
_FINDING: Final = Table(
    "A finding.",
    {
        "rule": _RULE,
        "path": _PATH,
        "severity": Text("How bad; else the rule's own.", choices=("low", "medium", "high", "critical")),
        "callable": Text("The callable that pickle-unknown-callable names."),
    },
    ("rule",),
)
TESTS: Final = Table(
    "Tests of a policy.",
    {
        "test": Several(
            "Situations.",
            Table(
                "One situation, and what must come of it.",
                {
                    "name": Text("What is promised."),
                    "model": Text("org/name.", pattern=r"^[A-Za-z0-9_.-]{1,96}/[A-Za-z0-9_.-]{1,96}$"),
                    "revision": Text("40 hexadecimal digits.", pattern=r"^[0-9a-f]{40}$"),
                    "today": Day("The day of the decision."),
                    "findings": Several("What was found.", Either(_RULE, _FINDING)),
                    "kinds": Several("Kinds of artifacts, one of each.", Text("A kind.")),
                    "unknown": Several("Artifacts for which an inspector could not answer.", _PATH),
                    "without": Several("Inspections switched off.", Text("One.", choices=("malware", "secrets"))),
                    "remote_code": Flag("Whether the model brings code."),
                    "source": Text("A Hub's base URL, a bucket's address, or a folder."),
                    "owner": Text("The owner's name at the Hub.", empty=True),
                    "owner_id": Text("The Hub's id of the owner.", empty=True),
                    "owner_kind": Text("Organization or user.", choices=("organization", "user", "")),
                    "earlier_owner_ids": Several("Ids under which earlier revisions came.", Text("An id.")),
                    "licence": Text("The card's licence.", empty=True),
                    "licence_name": Text("The card's licence_name.", empty=True),
                    "licence_texts": Several("Digests of licence files.", Text("SHA-256.", pattern=r"^[0-9a-f]{64}$")),
                    "age_days": Whole("Days since publication.", 0, 36_500),
                    "here_days": Whole("Days since it came in.", 0, 36_500),
                    "total_bytes": Whole("Bytes of all artifacts.", 0, 1 << 53),
                    "outcome": Text("What must come of it.", choices=("admit", "hold", "deny")),
                    "rules": Several("Exactly the rules that object.", Text("A rule of the policy.")),
                    "approvals": Whole("How many people must approve.", 0, 20),
                },
                ("name", "outcome"),
            ),
            least=1,
        )
    },
    ("test",),
)

Given = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Tested:
    """What came of one test; `problems` is empty where it came as promised."""

    name: str
    expected: str
    decision: Decision
    problems: tuple[str, ...]


def run_tests(policy: Policy, data: bytes, *, name: str) -> tuple[Tested, ...]:
    """Runs the tests of a file; `name` is how errors call it.

    Raises:
        ConfigError: it is no file of tests, or a test speaks of a rule or kind that does not exist.
    """
    text, document = parse_toml(data, name=name)
    try:
        TESTS.check(document, "")
        tests = cast("Sequence[Given]", document["test"])
        return tuple(_tested(policy, given, f"test[{number}]") for number, given in enumerate(tests))
    except Problem as problem:
        raise told(problem, name, lines_of(text)) from problem


def _tested(policy: Policy, given: Given, key: str) -> Tested:
    now = _now(given)
    decision = judge(policy, _facts(given, now, key), now.isoformat().replace("+00:00", "Z"))
    problems = []
    if decision.outcome.value != given["outcome"]:
        problems.append(f"is {decision.outcome.value}, not {given['outcome']}")
    if "rules" in given and set(decision.rules) != set(_texts(given, "rules")):
        problems.append(
            f"objected: {', '.join(decision.rules) or 'none'}, not {', '.join(_texts(given, 'rules')) or 'none'}"
        )
    if "approvals" in given and decision.approvals != given["approvals"]:
        problems.append(f"{decision.approvals} approvals, not {given['approvals']}")
    return Tested(str(given["name"]), str(given["outcome"]), decision, tuple(problems))


def _texts(given: Given, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    return tuple(str(item) for item in cast("Sequence[object]", given.get(key, default)))


def _now(given: Given) -> datetime:
    day = given.get("today", date(2027, 1, 1))
    day = date.fromisoformat(day) if isinstance(day, str) else cast("date", day)
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def _facts(given: Given, now: datetime, key: str) -> Facts:
    try:
        model = ModelName.parse(str(given.get("model", "acme/tiny")))
    except ConfigError as error:
        raise Problem(f"{key}.model", error.message) from error
    kinds = _texts(given, "kinds", ("safetensors", "json", "markdown"))
    files = {f"file-{number}.{kind}": kind for number, kind in enumerate(kinds, 1)}
    findings = list(_findings(given, key))
    if given.get("remote_code"):
        files |= {"config.json": "json", "modeling.py": "python"}
        findings += [_made("config-remote-code", "config.json"), _made("python-remote-code", "modeling.py")]
    files |= {finding.path: "other-text" for finding in findings if finding.path and finding.path not in files}
    files |= {path: "unrecognised" for path in _texts(given, "unknown") if path not in files}
    switched_off = "".join(f"-{name}" for name in _texts(given, "without"))
    inspection = Inspection(tuple(_reports(files, findings, _texts(given, "unknown"))), f"tests{switched_off}")
    total = int(cast("int", given.get("total_bytes", len(files))))
    sizes = dict.fromkeys(files, 1)
    sizes[next(iter(sizes))] += max(0, total - len(sizes))
    ids = tuple(word for word in (str(given.get("licence", "apache-2.0")).lower(),) if word)
    texts = tuple(LicenceFile(f"LICENSE-{n}", digest) for n, digest in enumerate(_texts(given, "licence_texts")))
    return Facts(
        model,
        str(given.get("revision", "0" * 40)),
        "0" * 64,
        _origin(given, now),
        sizes=sizes,
        inspection=inspection,
        licence=Licence(ids, str(given.get("licence_name", "")).lower(), files=texts),
        earlier_owner_ids=_texts(given, "earlier_owner_ids"),
        sealed_at=_before(now, given, "here_days", 0),
    )


def _before(now: datetime, given: Given, key: str, default: int) -> str:
    days = int(cast("int", given.get(key, default)))
    return (now - timedelta(days=days)).isoformat().replace("+00:00", "Z")


def _origin(given: Given, now: datetime) -> Origin:
    source = str(given.get("source", "https://huggingface.co"))
    published = _before(now, given, "age_days", 365)
    if not source.startswith(("https://", "http://")):
        return Origin("bucket" if "://" in source else "folder", source, published_at=published)
    model = str(given.get("model", "acme/tiny"))
    return Origin(
        "hub",
        f"hf://{model}",
        source,
        model,
        owner=str(given.get("owner", "acme")),
        owner_id=str(given.get("owner_id", "0001")),
        owner_kind=str(given.get("owner_kind", "organization")),
        published_at=published,
    )


def _findings(given: Given, key: str) -> Iterator[Finding]:
    known: Mapping[str, Severity] = severity_of_rules() if given.get("findings") else {}
    for number, one in enumerate(cast("Sequence[object]", given.get("findings", ()))):
        told_of: Given = one if isinstance(one, Mapping) else {"rule": one}
        rule = str(told_of["rule"])
        if rule not in known:
            problem = f"the inspection has no rule '{rule}'{near(rule, tuple(known))}"
            raise Problem(f"{key}.findings[{number}]", problem)
        severity = Severity[str(told_of.get("severity", known[rule].label)).upper()]
        name = str(told_of.get("callable", "module.name"))
        message = f"names {name}, which nobody has judged" if rule == UNKNOWN_CALLABLE else "as the test gives it"
        yield _made(rule, str(told_of.get("path", "file-1.safetensors")), severity, message)


def _made(rule: str, path: str, severity: Severity = Severity.MEDIUM, message: str = "as the test gives it") -> Finding:
    return Finding(path, rule, severity, Confidence.HIGH, message)


def _reports(files: Mapping[str, str], findings: Sequence[Finding], unknown: Sequence[str]) -> Iterator[Report]:
    for path, kind in files.items():
        yield Report(CENSUS, path, Verdict.CLEAN, Coverage(0, 0), (), kind)
    for finding in findings:
        bad = Verdict.BAD if finding.severity.is_grave else Verdict.CLEAN
        yield Report("tests", finding.path, bad, Coverage(0, 0), (finding,))
    for path in unknown:
        yield Report("tests", path, Verdict.UNKNOWN, Coverage(0, 1))
