"""Policy: read strictly, judged purely, and never more lenient for knowing more."""

from __future__ import annotations

import ast
import contextlib
import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.policies import (
    FILES,
    FOLDER,
    HUB,
    NOW,
    REVISION,
    callable_finding,
    decide,
    exception,
    facts,
    finding,
    inspection,
    on_hub,
    policy,
    policy_file,
    remote_code,
    report,
)
from weighbridge.admit.facts import Facts
from weighbridge.admit.judge import judge, reasons_and_keys
from weighbridge.admit.licences import LicenceFile, is_licence_file, licence_of, text_digest
from weighbridge.admit.policy import KINDS_BY_FAMILY, POLICY_RULES, REMOTE_CODE_RULES
from weighbridge.admit.policy_file import MAX_BYTES, load_policy, preset_bytes, read_policy, read_preset
from weighbridge.admit.policy_spec import POLICY, PRESETS, json_schema, keys_table, schema_text
from weighbridge.admit.policy_tests import run_tests
from weighbridge.admit.policy_words import meaning, warnings
from weighbridge.core.decision import Decision, Outcome
from weighbridge.core.errors import ConfigError
from weighbridge.core.finding import Finding, Inspection, Severity
from weighbridge.formats import kinds
from weighbridge.inspectors.all_rules import RULES

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "docs/reference/policy.schema.json"


def said(decision: Decision) -> tuple[str, set[str], int]:
    return decision.outcome.value, set(decision.rules), decision.approvals


# --- the file -----------------------------------------------------------------------------------


def test_the_published_schema_is_the_one_that_the_reader_follows() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema_text()
    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA.read_text()))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_fits_the_schema_and_leaves_nothing_out(name: str) -> None:
    document = tomllib.loads(preset_bytes(name).decode())
    jsonschema.validate(document, json.loads(SCHEMA.read_text()), jsonschema.Draft202012Validator)
    expected = json_schema()["properties"]
    assert isinstance(expected, dict)
    for section, shape in expected.items():
        assert isinstance(shape, dict)
        if shape["type"] == "object":
            assert set(document[section]) == set(shape["properties"]), section
    POLICY.check({**document, "extends": name}, "")
    assert read_preset(name).policy.name == name


@pytest.mark.parametrize("name", PRESETS)
def test_a_policy_that_only_extends_a_preset_judges_as_the_preset_does(name: str) -> None:
    ours, preset = policy_file(extends=name).policy, read_preset(name).policy
    assert replace(ours, name=name, description=preset.description, extends="") == preset


def test_the_reader_and_the_schema_take_the_same_file() -> None:
    text = (
        '[findings]\nhold = "low"\n[[findings.rule]]\nid = "config-*"\noutcome = "admit"\nreason = "ours"\n'
        '[[publishers.allow]]\nname = "acme"\nid = "0001"\n[sizes]\ntotal_bytes = 1_000\n'
        + exception("licence-missing")
    )
    found = policy_file(text).policy
    document = tomllib.loads(f'name = "ours"\nextends = "strict"\n{text}')
    jsonschema.validate(document, json_schema(), jsonschema.Draft202012Validator)
    assert (found.findings.hold, found.sizes.total_bytes) == (Severity.LOW, 1000)
    assert found.exceptions[0].rules == ("licence-missing",)
    assert found.findings.deny is Severity.HIGH, "what is not given is the preset's"


BROKEN = {
    "no TOML": ("name = ", "not valid TOML"),
    "a number without end": (f"name = {'9' * 5000}", "not valid TOML"),
    "no preset": ('name = "x"\n', "'extends' is missing"),
    "an unknown preset": ('name = "x"\nextends = "lax"\n', "one of strict, balanced, research"),
    "an unknown section": ('name="x"\nextends="strict"\n[finding]\nhold = "low"\n', "line 3.*did you mean 'findings'"),
    "an unknown key": ('name="x"\nextends="strict"\n\n[findings]\nholds = "low"\n', "line 5.*did you mean 'hold'"),
    "a wrong type": ('name="x"\nextends="strict"\n[sizes]\ntotal_bytes = "7"\n', "line 4.*whole number, not text"),
    "a truth for a number": ('name="x"\nextends="strict"\n[cooldown]\ndays = true\n', "whole number"),
    "a negative number": ('name="x"\nextends="strict"\n[cooldown]\ndays = -1\n', "between 0 and"),
    "unknown admitted": ('name="x"\nextends="strict"\n[coverage]\nunknown = "admit"\n', "one of hold, deny"),
    "an outcome that is none": ('name="x"\nextends="strict"\n[licences]\nmissing = "allow"\n', "one of admit"),
    "a text for a table": ('name="x"\nextends="strict"\nfindings = "low"\n', "must be a table"),
    "a rule that is none": (
        'name="x"\nextends="strict"\n[[findings.rule]]\nid="config-remot"\noutcome="admit"\nreason="r"\n',
        "line 4.*no rule 'config-remot'; did you mean",
    ),
    "a glob that fits nothing": (
        'name="x"\nextends="strict"\n[[findings.rule]]\nid="zzz-*"\noutcome="admit"\nreason="r"\n',
        "no rule 'zzz-\\*'",
    ),
    "remote code by the back door": (
        'name="x"\nextends="strict"\n[[findings.rule]]\nid="config-remote-code"\noutcome="admit"\nreason="r"\n',
        r"judged by \[remote_code\]",
    ),
    "an override twice": (
        'name="x"\nextends="strict"\n'
        + 2 * '[[findings.rule]]\nid="config-dtype"\noutcome="admit"\nreason="r"\n',
        "there twice",
    ),
    "an override without a reason": (
        'name="x"\nextends="strict"\n[[findings.rule]]\nid="config-dtype"\noutcome="admit"\n',
        "'reason' is missing",
    ),
    "a kind that is none": ('name="x"\nextends="strict"\n[formats]\nallow = ["safetensor"]\n', "did you mean 'safetensors'"),
    "a weapon allowed": ('name="x"\nextends="strict"\n[callables]\nallow = ["posix.system"]\n', "no policy may allow it"),
    "a weapon below a class": ('name="x"\nextends="strict"\n[callables]\nallow = ["builtins.eval"]\n', "no policy may"),
    "fewer eyes for more risk": ('name="x"\nextends="strict"\n[approvals]\nhigh = 1\nmedium = 3\n', "greater risk"),
    "hold above deny": ('name="x"\nextends="strict"\n[findings]\nhold="critical"\ndeny="low"\n', "above"),
    "a publisher of nothing": ('name="x"\nextends="strict"\n[[publishers.deny]]\nreason="r"\n', "a name, an id"),
    "a digest that is none": (
        'name="x"\nextends="strict"\n[[licences.text]]\nsha256="abc"\nname="MIT"\n',
        "not of the form",
    ),
    "a revision that is a branch": (
        'name="x"\nextends="strict"\n[[remote_code.revision]]\nmodel="a/b"\nrevision="main"\nreason="r"\n',
        "not of the form",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_no_policy_is_an_error_that_says_where(what: str) -> None:
    text, message = BROKEN[what]
    with pytest.raises(ConfigError) as raised:
        read_policy(text.encode(), name="our policy.toml")
    assert re.search(message, raised.value.message), raised.value.message
    assert "our policy.toml" in raised.value.message


EXCEPTIONS = {
    "without an end": (exception("cooldown").replace('expires = "2027-06-30"\n', ""), "'expires' is missing"),
    "with no date": (exception("cooldown", expires="tomorrow"), "a date like"),
    "with a day that is none": (exception("cooldown", expires="2027-02-30"), "a date like"),
    "without a person": (exception("cooldown", person=""), "must not be empty"),
    "without a reason": (exception("cooldown", reason=" "), "must not be empty"),
    "for nothing": (exception(), "must not be empty"),
    "for a rule that is none": (exception("cool-down"), "no rule 'cool-down'; did you mean 'cooldown'"),
    "for all findings": (exception("finding"), "no rule 'finding'"),
    "for globs": (exception("pickle-*"), "not of the form"),
    "for unknown anywhere": (exception("verdict-unknown"), "give `paths`"),
    "for bad anywhere": (exception("verdict-bad"), "give `paths`"),
    "for unknown by a star": (exception("verdict-unknown", paths=["*"]), "give `paths`"),
    "twice": (2 * exception("cooldown"), "there twice"),
}


@pytest.mark.parametrize("what", EXCEPTIONS)
def test_an_exception_that_nobody_could_review_is_an_error(what: str) -> None:
    text, message = EXCEPTIONS[what]
    with pytest.raises(ConfigError, match=message):
        policy_file(text)


def test_a_policy_is_bounded(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_bytes(b'name = "x"\nextends = "strict"\n#' + b"x" * MAX_BYTES)
    with pytest.raises(ConfigError, match="larger than"):
        load_policy(str(file), "balanced")
    deep = b"name = " + b"[" * 100_000
    with pytest.raises(ConfigError, match="not valid TOML"):
        read_policy(deep, name="deep.toml")


def test_a_policy_that_is_gone_is_an_error_and_no_preset(tmp_path: Path) -> None:
    for odd in (str(tmp_path), "~nobody-of-that-name/p.toml", "a\0b"):
        with pytest.raises(ConfigError, match=r"cannot be read"):
            load_policy(odd, "balanced")
    with pytest.raises(ConfigError, match=r"cannot be read"):
        load_policy(str(tmp_path / "gone.toml"), "balanced")
    with pytest.raises(ConfigError, match="no preset"):
        load_policy("", "lenient")


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
@settings(max_examples=150, deadline=None)
def test_whatever_is_in_the_file_it_is_a_policy_or_an_error(data: bytes) -> None:
    with pytest.raises(ConfigError):
        read_policy(data + b"\nthis = is\n", name="p")
    with contextlib.suppress(ConfigError):
        read_policy(b'name = "x"\nextends = "balanced"\n' + data, name="p")


def test_every_kind_that_content_can_be_is_known_to_policies() -> None:
    source = Path(kinds.__file__).read_text(encoding="utf-8")
    named = set(re.findall(r'Kind\("([a-z0-9-]+)", "([a-z]+)"\)', source))
    assert len(named) > 80
    for kind, family in named:
        assert kind in KINDS_BY_FAMILY[family]
    assert set(RULES) >= REMOTE_CODE_RULES
    assert not set(POLICY_RULES) & set(RULES), "an exception could not tell which is meant"


def test_comments_and_order_do_not_change_a_policys_digest_and_every_term_does() -> None:
    one = policy_file("[cooldown]\ndays = 3\n[sizes]\ntotal_bytes = 5\n").policy
    other = policy_file("# reviewed\n[sizes]\ntotal_bytes = 5\n\n[cooldown]\ndays = 3\n").policy
    assert one.digest == other.digest
    changed = {
        policy_file(text).policy.digest
        for text in (
            "[cooldown]\ndays = 4\n",
            "[approvals]\nself_approval = false\n",
            '[[remote_code.revision]]\nmodel = "a/b"\nrevision = "' + REVISION + '"\nreason = "r"\n',
            exception("cooldown"),
            exception("cooldown", expires="2027-07-01"),
            "",
        )
    }
    assert len(changed | {one.digest}) == 7


# --- presets and situations ---------------------------------------------------------------------

PICKLE = facts(
    report("data.pkl", callable_finding("ours.Net"), inspector="pickles", verdict="unknown"),
    files={"data.pkl": "pickle"},
)
SITUATIONS: dict[str, tuple[Facts, dict[str, tuple[str, set[str], int]]]] = {
    "a clean model of a known kind": (
        facts(),
        {"strict": ("hold", {"publisher-unlisted"}, 2), "balanced": ("admit", set(), 1), "research": ("admit", set(), 1)},
    ),
    "code of its own, as DeepSeek-R1": (
        remote_code(),
        {
            "strict": ("deny", {"remote-code", "format", "publisher-unlisted"}, 2),
            "balanced": ("hold", {"remote-code"}, 1),
            "research": ("admit", set(), 1),
        },
    ),
    "a known weapon": (
        facts(report("data.pkl", finding("pickle-dangerous-callable", "data.pkl", "critical"))),
        {
            "strict": ("deny", {"finding", "publisher-unlisted"}, 2),
            "balanced": ("deny", {"finding"}, 2),
            "research": ("deny", {"finding"}, 2),
        },
    ),
    "a high finding in code": (
        facts(report("modeling.py", finding("python-runs-at-import", "modeling.py", "high")), files={"modeling.py": "python"}),
        {"balanced": ("deny", {"finding", "remote-code"}, 2), "research": ("deny", {"finding"}, 2)},
    ),
    "a medium finding": (
        facts(report("config.json", finding("config-callable"))),
        {"strict": ("hold", {"finding", "publisher-unlisted"}, 2), "balanced": ("hold", {"finding"}, 1), "research": ("admit", set(), 1)},
    ),
    "a low finding": (
        facts(report("config.json", finding("config-dtype", severity="low"))),
        {"strict": ("hold", {"finding", "publisher-unlisted"}, 2), "balanced": ("admit", set(), 1)},
    ),
    "a callable that nobody has judged": (
        PICKLE,
        {
            "strict": ("deny", {"finding", "format", "verdict-unknown", "publisher-unlisted"}, 2),
            "balanced": ("hold", {"finding", "verdict-unknown"}, 1),
            "research": ("hold", {"verdict-unknown"}, 1),
        },
    ),
    "a hole in the coverage": (
        facts(report("model.safetensors", coverage=(5, 10))),
        {
            "strict": ("deny", {"verdict-unknown", "publisher-unlisted"}, 2),
            "balanced": ("hold", {"verdict-unknown"}, 1),
            "research": ("hold", {"verdict-unknown"}, 1),
        },
    ),
    "an artifact that nobody looked at": (
        facts(sizes={**dict.fromkeys(FILES, 1), "hidden.bin": 7}),
        {"balanced": ("hold", {"not-inspected"}, 1), "research": ("hold", {"not-inspected"}, 1)},
    ),
    "bad without a finding": (
        facts(report("config.json", verdict="bad")),
        {"balanced": ("deny", {"verdict-bad"}, 1), "research": ("deny", {"verdict-bad"}, 1)},
    ),
    "malware not looked for": (
        facts(rules_version="2026.1-malware"),
        {"strict": ("deny", {"inspection-incomplete", "publisher-unlisted"}, 2), "balanced": ("admit", set(), 1)},
    ),
    "no licence": (
        facts(licence=""),
        {"strict": ("deny", {"licence-missing", "publisher-unlisted"}, 2), "balanced": ("hold", {"licence-missing"}, 1), "research": ("admit", set(), 1)},
    ),
    "no licence, in a folder": (
        facts(licence="", origin=FOLDER),
        {"strict": ("hold", {"licence-missing", "cooldown", "source"}, 2), "balanced": ("admit", set(), 1)},
    ),
    "a licence that is not free": (
        facts(licence=("mit", "cc-by-nc-4.0")),
        {"balanced": ("hold", {"licence-unlisted"}, 1), "research": ("admit", set(), 1)},
    ),
    "a pointer in place of a file": (
        facts(files={"big.bin": "lfs-pointer"}),
        {"strict": ("deny", {"format", "publisher-unlisted"}, 2), "balanced": ("deny", {"format"}, 1), "research": ("deny", {"format"}, 1)},
    ),
    "published yesterday": (
        on_hub(published_at="2026-12-31T12:00:00Z"),
        {"strict": ("hold", {"cooldown", "publisher-unlisted"}, 2), "balanced": ("admit", set(), 1)},
    ),
    "from another Hub": (
        on_hub(endpoint="https://hub.example"),
        {"strict": ("hold", {"source", "publisher-unlisted"}, 2), "balanced": ("admit", set(), 1)},
    ),
    "an owner with another id than before": (
        facts(earlier_owner_ids=("0666",)),
        {name: ("deny", {"publisher-taken-over"} | ({"publisher-unlisted"} if name == "strict" else set()), 2 if name == "strict" else 1) for name in PRESETS},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("situation", "preset"), [(s, p) for s, (_, expected) in SITUATIONS.items() for p in expected])
def test_what_a_preset_makes_of_a_situation(situation: str, preset: str) -> None:
    given_facts, expected = SITUATIONS[situation]
    decision = decide(given_facts, extends=preset)
    assert said(decision) == expected[preset]
    for reason in decision.reasons:
        assert reason.message
        assert reason.change or reason.outcome is Outcome.ADMIT, f"{reason.rule} says no way out"
    assert decision.self_approval is (preset != "strict")


# --- terms --------------------------------------------------------------------------------------

TEXT = LicenceFile("LICENSE", text_digest(b"Do as you like.\n"))
LISTED = f'[[licences.text]]\nsha256 = "{TEXT.digest}"\nname = "Ours"\n'
ACME = '[[publishers.allow]]\nname = "acme"\nid = "0001"\n'
TERMS: dict[str, tuple[Facts, str, tuple[str, set[str]]]] = {
    "a rule judged by name": (
        facts(report("config.json", finding("config-callable"))),
        '[[findings.rule]]\nid = "config-callable"\noutcome = "admit"\nreason = "known"\n',
        ("admit", set()),
    ),
    "the name comes before the glob": (
        facts(report("config.json", finding("config-dtype", severity="low"))),
        '[[findings.rule]]\nid = "config-*"\noutcome = "admit"\nreason = "r"\n'
        '[[findings.rule]]\nid = "config-dtype"\noutcome = "deny"\nreason = "r"\n',
        ("deny", {"finding"}),
    ),
    "a glob does not reach remote code": (
        remote_code(),
        '[[findings.rule]]\nid = "*-remote-code"\noutcome = "admit"\nreason = "r"\n'
        '[[findings.rule]]\nid = "config-*"\noutcome = "admit"\nreason = "r"\n',
        ("hold", {"remote-code"}),
    ),
    "a callable by its dotted name": (PICKLE, '[callables]\nallow = ["ours.Net"]\n', ("admit", set())),
    "not by the beginning of it": (PICKLE, '[callables]\nallow = ["ours.Ne", "ours.Net.x"]\n', ("hold", {"finding", "verdict-unknown"})),
    "one callable does not lift another": (
        facts(
            report("data.pkl", callable_finding("ours.Net"), callable_finding("theirs.Net"), inspector="pickles", verdict="unknown"),
        ),
        '[callables]\nallow = ["ours.Net"]\n',
        ("hold", {"finding", "verdict-unknown"}),
    ),
    "a callable whose name lies": (
        facts(report("data.pkl", callable_finding("ours.Net, which nobody has judged (2 times)\nnames posix.system"))),
        '[callables]\nallow = ["ours.Net"]\n',
        ("hold", {"finding"}),
    ),
    "too little understood": (
        facts(report("model.safetensors", coverage=(4, 10))),
        "[coverage]\nminimum_percent = 50\n",
        ("deny", {"verdict-unknown"}),
    ),
    "more than inspectors list": (
        facts(report("config.json", *(finding("config-dtype", severity="low", message=str(n)) for n in range(1000)))),
        "",
        ("hold", {"findings-cut"}),
    ),
    "kinds, by family": (facts(files={"a.py": "python"}), '[remote_code]\nmode = "allow"\n[formats]\nallow = ["@weights", "@text", "@config"]\n', ("hold", {"format"})),
    "kinds, denied": (facts(files={"w.pt": "zip"}), '[formats]\ndeny = ["@archive", "pickle"]\n', ("deny", {"format"})),
    "a listed publisher": (facts(), f'{ACME}[publishers]\nunlisted = "deny"\n'.replace(ACME, "") + ACME, ("admit", set())),
    "a listed publisher's name, another id": (on_hub(owner_id="0666"), ACME, ("deny", {"publisher-taken-over"})),
    "in other letters": (on_hub(owner="ACME", owner_id="0666"), ACME, ("deny", {"publisher-taken-over"})),
    "an id that the Hub does not tell": (on_hub(owner_id=""), ACME, ("hold", {"publisher-unlisted"})),
    "the new owner, listed": (facts(earlier_owner_ids=("0666",)), ACME, ("admit", set())),
    "a refused id under a new name": (on_hub(owner="innocent"), '[[publishers.deny]]\nid = "0001"\n', ("deny", {"publisher-denied"})),
    "a refused name": (facts(), '[[publishers.deny]]\nname = "Acme"\n', ("deny", {"publisher-denied"})),
    "a person, where organizations are wanted": (on_hub(owner_kind="user"), '[publishers]\nkinds = ["organization"]\n', ("hold", {"publisher-kind"})),
    "publishers are not asked of folders": (facts(origin=FOLDER), '[publishers]\nunlisted = "deny"\n', ("admit", set())),
    "a folder below a named one": (facts(origin=FOLDER), '[sources]\nfolders = ["/srv/models"]\n', ("admit", set())),
    "a folder beside a named one": (facts(origin=replace(FOLDER, address="/srv/models-evil/x")), '[sources]\nfolders = ["/srv/models"]\n', ("hold", {"source"})),
    "a folder that climbs out": (facts(origin=replace(FOLDER, address="/srv/models/../x")), '[sources]\nfolders = ["/srv/models"]\nunlisted = "deny"\n', ("deny", {"source"})),
    "a bucket by its prefix": (facts(origin=replace(FOLDER, kind="bucket", address="s3://ours/a/b")), '[sources]\nbuckets = ["s3://ours/a/"]\n', ("admit", set())),
    "another bucket": (facts(origin=replace(FOLDER, kind="bucket", address="s3://ours2/a")), '[sources]\nbuckets = ["s3://ours"]\n', ("hold", {"source"})),
    "a source of no known kind": (facts(origin=replace(FOLDER, kind="derived")), "", ("hold", {"source"})),
    "a refused licence": (facts(licence="mit"), '[licences]\ndeny = ["mit"]\n', ("deny", {"licence-denied"})),
    "another licence, by its name": (facts(licence="other", licence_name="deepseek"), '[licences]\nnames = ["deepseek"]\n', ("admit", set())),
    "another licence, by another name": (facts(licence="other", licence_name="evil"), '[licences]\nnames = ["deepseek"]\n', ("hold", {"licence-unlisted"})),
    "a listed text": (facts(texts=[TEXT]), LISTED, ("admit", set())),
    "a licence text that was edited": (facts(texts=[LicenceFile("LICENSE", text_digest(b"Do as we like.\n"))]), LISTED, ("hold", {"licence-text"})),
    "a licence text too large to read": (facts(texts=[LicenceFile("LICENSE", "")]), LISTED, ("hold", {"licence-text"})),
    "too large": (facts(sizes=dict.fromkeys(FILES, 10)), "[sizes]\ntotal_bytes = 29\n", ("deny", {"size"})),
    "just not too large": (facts(sizes=dict.fromkeys(FILES, 10)), "[sizes]\ntotal_bytes = 30\nartifact_bytes = 10\n", ("admit", set())),
    "one too large": (facts(sizes=dict.fromkeys(FILES, 10)), "[sizes]\nartifact_bytes = 9\n", ("deny", {"size"})),
    "code of a named revision": (
        remote_code(),
        f'[[remote_code.revision]]\nmodel = "acme/tiny"\nrevision = "{REVISION}"\nreason = "read"\n',
        ("admit", set()),
    ),
    "code of another revision": (
        remote_code(),
        f'[[remote_code.revision]]\nmodel = "acme/tiny"\nrevision = "{"cd" * 20}"\nreason = "read"\n',
        ("hold", {"remote-code"}),
    ),
    "code of that revision of another model": (
        remote_code(),
        f'[[remote_code.revision]]\nmodel = "acme/other"\nrevision = "{REVISION}"\nreason = "read"\n',
        ("hold", {"remote-code"}),
    ),
    "code refused": (remote_code(), '[remote_code]\nmode = "deny"\n', ("deny", {"remote-code"})),
    "code that no finding speaks of": (facts(files={"helper.py": "python"}), "", ("hold", {"remote-code"})),
    "a cooldown from when it came in": (
        facts(sealed_at="2026-12-31T00:00:00Z"),
        '[cooldown]\ndays = 7\nsince = "ingest"\n',
        ("hold", {"cooldown"}),
    ),
    "a date of publication that is none": (on_hub(published_at="yesterday"), "[cooldown]\ndays = 1\n", ("hold", {"cooldown"})),
    "a date of publication without an offset": (on_hub(published_at="2020-01-01T00:00:00"), "[cooldown]\ndays = 1\n", ("hold", {"cooldown"})),
    "a date of publication that was edited into the future": (on_hub(published_at="2999-01-01T00:00:00Z"), "[cooldown]\ndays = 1\n", ("hold", {"cooldown"})),
    "a date at the end of time": (on_hub(published_at="9999-12-31T23:59:59Z"), "[cooldown]\ndays = 30\n", ("hold", {"cooldown"})),
}  # fmt: skip


@pytest.mark.parametrize("what", TERMS)
def test_each_term_of_a_policy(what: str) -> None:
    given_facts, text, expected = TERMS[what]
    decision = decide(given_facts, text)
    assert (decision.outcome.value, set(decision.rules)) == expected


def test_the_way_out_that_a_reason_names_leads_out() -> None:
    held = decide(facts(licence="other", licence_name="deepseek"))
    assert "name 'deepseek' in licences.names" in held.reasons[0].change
    held = decide(facts(texts=[LicenceFile("LICENSE", "ab" * 32)]), LISTED)
    assert "ab" * 32 in held.reasons[0].message
    held = decide(remote_code())
    assert f"weighbridge remediate acme/tiny@{REVISION[:12]} --strip-remote-code" in held.reasons[0].change
    held = decide(on_hub(published_at="2026-12-31T12:00:00Z"), "[cooldown]\ndays = 7\n")
    assert held.reasons[0].change == "wait until 2027-01-07T12:00Z"
    assert decide(facts(), "[cooldown]\ndays = 7\n").outcome is Outcome.ADMIT


def test_many_findings_are_one_reason_and_the_paths_are_listed() -> None:
    held = decide(facts(*(report(f"f{n}", finding("config-callable", f"f{n}")) for n in range(9))))
    (reason,) = held.reasons
    assert reason.findings == ("config-callable",)
    assert "f0, f1, f2, f3 and 5 more" in reason.message
    holes = decide(facts(*(report(f"f{n}", coverage=(n, 20), inspector="yaml") for n in range(9))))
    (reason,) = holes.reasons
    assert "in f0, f1, f2, f3 and 5 more: yaml, 0 % of its bytes were understood; yaml, 5 %" in reason.message
    names = decide(facts(report("d.pkl", callable_finding("a.B", "d.pkl"), callable_finding("a.C", "d.pkl"))))
    assert "(2 times) in d.pkl: names a.B, which nobody has judged; names a.C, which" in names.reasons[0].message


# --- exceptions and time ------------------------------------------------------------------------


def test_an_exception_lifts_what_it_names_and_says_who_why_and_until_when() -> None:
    given_facts = facts(report("config.json", finding("config-callable")))
    lifted = decide(given_facts, exception("config-callable", paths=["config.json"]))
    assert lifted.outcome is Outcome.ADMIT
    (reason,) = lifted.reasons
    assert reason.exception == "told"
    assert "accepted by ann until 2027-06-30: read by us" in reason.message
    for narrow in ({"paths": ["other.json"]}, {"models": ["other/*"]}, {"revisions": ["cd" * 20]}):
        assert decide(given_facts, exception("config-callable", **narrow)).outcome is Outcome.HOLD
    assert decide(given_facts, exception("config-dtype")).outcome is Outcome.HOLD


def test_an_exception_holds_through_its_last_day_and_not_one_second_longer() -> None:
    given_facts = facts(report("config.json", finding("config-callable")))
    text = exception("config-callable", expires="2027-01-31")
    assert decide(given_facts, text, now="2027-01-31T23:59:59.999999Z").outcome is Outcome.ADMIT
    assert decide(given_facts, text, now="2027-02-01T00:30:00+01:00").outcome is Outcome.ADMIT, (
        "it is still the 31st in UTC"
    )
    ended = decide(given_facts, text, now="2027-02-01T00:00:00Z")
    assert ended.outcome is Outcome.HOLD
    told = [reason for reason in ended.reasons if reason.rule == "exception-expired"]
    assert "'told' for finding, config-callable ended on 2027-01-31" in told[0].message


def test_an_exception_for_unknown_is_by_name() -> None:
    hole = facts(report("model.safetensors", coverage=(5, 10)), report("config.json", coverage=(5, 10)))
    one = decide(hole, exception("verdict-unknown", paths=["config.json"]))
    assert [reason.path for reason in one.reasons if reason.outcome is Outcome.HOLD] == ["model.safetensors"]
    both = decide(hole, exception("verdict-unknown", paths=["config.json", "*.safetensors"]))
    assert both.outcome is Outcome.ADMIT


def test_what_an_exception_lets_through_is_approved_as_medium_at_least() -> None:
    text = "[approvals]\nmedium = 2\nhigh = 3\ncritical = 3\n"
    assert decide(facts(licence=""), text).approvals == 1
    assert decide(facts(licence=""), text + exception("licence-missing")).approvals == 2
    bad = facts(report("data.pkl", finding("pickle-dangerous-callable", "data.pkl", "critical")))
    lifted = decide(bad, text + exception("pickle-dangerous-callable"))
    assert (lifted.outcome, lifted.approvals) == (Outcome.ADMIT, 3)


def test_a_rule_may_ask_for_more_eyes() -> None:
    text = '[[findings.rule]]\nid = "config-dtype"\noutcome = "admit"\napprovals = 4\nreason = "odd"\n'
    assert decide(facts(report("config.json", finding("config-dtype", severity="low"))), text).approvals == 4


def test_time_alone_lifts_a_cooldown_and_approvals_outlive_it() -> None:
    young = on_hub(published_at="2026-12-31T12:00:00Z")
    text = "[cooldown]\ndays = 7\n"
    waiting, later = decide(young, text), decide(young, text, now="2027-01-08T00:00:00Z")
    assert (waiting.outcome, later.outcome) == (Outcome.HOLD, Outcome.ADMIT)
    assert waiting.digest == later.digest


def test_an_expired_exception_makes_another_decision_that_nobody_has_approved() -> None:
    given_facts = facts(report("config.json", finding("config-callable")))
    text = exception("config-callable", expires="2027-01-31")
    assert decide(given_facts, text).digest != decide(given_facts, text, now="2027-02-01T00:00:00Z").digest


def test_a_time_that_is_none_is_an_error() -> None:
    for now in ("", "today", "2027-01-01", "2027-01-01T00:00:00"):
        with pytest.raises(ConfigError, match="is no time"):
            decide(facts(), now=now)


# --- purity -------------------------------------------------------------------------------------

PATHS = st.sampled_from([*FILES, "data.pkl", "modeling.py", ""])
FINDINGS = st.builds(
    finding,
    st.sampled_from(sorted(RULES)),
    PATHS,
    st.sampled_from(["low", "medium", "high", "critical"]),
    st.sampled_from(["one", "two", "names ours.Net, which nobody has judged"]),
)
TEXTS = st.sampled_from(
    [
        "",
        '[callables]\nallow = ["ours.Net"]\n',
        '[findings]\nhold = "never"\ndeny = "never"\n[remote_code]\nmode = "allow"\n',
        '[[findings.rule]]\nid = "*-*"\noutcome = "admit"\nreason = "r"\n'
        '[[findings.rule]]\nid = "config-dtype"\noutcome = "deny"\napprovals = 3\nreason = "r"\n',
        exception(
            "pickle-dangerous-callable", "config-callable", "remote-code", "verdict-bad", paths=["*.pkl", "*.json"]
        ),
        exception("config-callable", expires="2020-01-01"),
    ]
)
MANY = {**FILES, "data.pkl": "pickle", "modeling.py": "python"}


def with_findings(findings: list[Finding]) -> Facts:
    return facts(*(report(one.path, one) for one in findings), files=MANY)


@given(st.lists(FINDINGS, max_size=12), TEXTS, st.randoms())
@settings(max_examples=80, deadline=None)
def test_the_order_of_what_was_found_changes_nothing(findings: list[Finding], text: str, draw: object) -> None:
    given_facts = with_findings(findings)
    reports = list(given_facts.inspection.reports)
    draw.shuffle(reports)  # type: ignore[attr-defined]
    shuffled = replace(given_facts, inspection=Inspection(tuple(reports), given_facts.inspection.rules_version))
    one, other = decide(given_facts, text), decide(shuffled, text)
    assert (one, one.digest, one.to_bytes()) == (other, other.digest, other.to_bytes())
    assert Decision.from_json(json.loads(one.to_bytes())) == one


@given(st.lists(FINDINGS, max_size=8), FINDINGS, TEXTS)
@settings(max_examples=120, deadline=None)
def test_finding_more_never_makes_it_milder(findings: list[Finding], more: Finding, text: str) -> None:
    order = (Outcome.ADMIT, Outcome.HOLD, Outcome.DENY)
    before, after = decide(with_findings(findings), text), decide(with_findings([*findings, more]), text)
    assert order.index(after.outcome) >= order.index(before.outcome)
    assert after.approvals >= before.approvals
    assert after.digest != before.digest, "another inspection is another decision"


def test_everything_that_was_judged_is_in_the_facts_digest() -> None:
    base = facts()
    others = [
        facts(report("config.json", finding("config-dtype", severity="low"))),
        facts(report("model.safetensors", coverage=(5, 10))),
        facts(licence="mit"),
        facts(texts=[TEXT]),
        on_hub(owner_id="0002"),
        on_hub(published_at="2026-01-02T00:00:00Z"),
        facts(rules_version="2026.2"),
        facts(earlier_owner_ids=("0001",)),
        facts(sealed_at="2026-06-02T00:00:00Z"),
        replace(base, manifest_digest="1" * 64),
        replace(base, revision="cd" * 20),
    ]
    assert len({one.digest for one in (base, *others)}) == len(others) + 1
    assert len({judge(policy(), one, NOW).digest for one in (base, *others)}) == len(others) + 1


PURE = ("policy", "policy_spec", "policy_words", "judge", "judge_findings", "judge_provenance", "judge_terms")


@pytest.mark.parametrize("name", PURE)
def test_judging_has_no_way_to_look_outside(name: str) -> None:
    tree = ast.parse((ROOT / f"src/weighbridge/admit/{name}.py").read_text(encoding="utf-8"))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [one.name for one in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", "")]
        )
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    inert = {
        "__future__",
        "collections",
        "dataclasses",
        "datetime",
        "difflib",
        "enum",
        "fnmatch",
        "json",
        "posixpath",
        "re",
    }
    assert imported <= inert | {"typing", "weighbridge"}
    called = {ast.unparse(node.func).rpartition(".")[2] for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert called.isdisjoint({"open", "now", "today", "utcnow", "time", "read_bytes", "read_text", "getenv"})


# --- licences -----------------------------------------------------------------------------------


def test_a_licences_words_count_and_its_wrapping_does_not() -> None:
    text = b"The software is\nprovided  as is.\n"
    for same in (b"\xef\xbb\xbfThe software is provided as is.", b"  The software is\r\nprovided as\tis.\r\n\r\n"):
        assert text_digest(same) == text_digest(text)
    for other in (b"The software is not provided as is.", b"the software is provided as is.", b"\xff\xfe", b""):
        assert text_digest(other) != text_digest(text)


@pytest.mark.parametrize(
    "name", ["LICENSE", "LICENSE.txt", "license-MODEL", "LICENCE.md", "COPYING", "UNLICENSE", "LICENSES/MIT.txt"]
)
def test_a_licence_file_is_known_by_its_name(name: str) -> None:
    assert is_licence_file(name)


@pytest.mark.parametrize("name", ["src/LICENSE", "licenses.py/x/y", "README.md", "relicense.txt", "LICENSES/a/b"])
def test_what_is_no_licence_file(name: str) -> None:
    assert not is_licence_file(name)


def test_a_card_that_cannot_be_read_is_no_way_around_a_list() -> None:
    many = b"---\nlicense: [" + ", ".join(f"l{n}" for n in range(40)).encode() + b"]\n---\n"
    assert "more than 32 licences" in licence_of(many, ()).problem
    unreadable = replace(facts(licence=""), licence=licence_of(many, ()))
    assert decide(unreadable, extends="research").outcome is Outcome.ADMIT
    assert decide(unreadable, '[licences]\ndeny = ["l3"]\n', extends="research").outcome is Outcome.HOLD


def test_a_card_that_cannot_be_read_names_no_licence() -> None:
    assert licence_of(b"---\nlicense: Apache-2.0\n---\n", ()).ids == ("apache-2.0",)
    assert licence_of(b"---\nlicense: [mit, unknown]\n---\n", ()).ids == ("mit",)
    broken = licence_of(b"---\nlicense: &a mit\nx: {\n---\n", ())
    assert (broken.ids, bool(broken.problem)) == ((), True)
    held = decide(facts(licence=""), "")
    assert "licence is not known" in held.reasons[0].message


# --- words --------------------------------------------------------------------------------------


def test_every_line_that_decides_can_be_shown() -> None:
    text = f'[findings]\n[[findings.rule]]\nid = "config-callable"\noutcome = "hold"\nreason = "r"\n{ACME}{exception("cooldown")}'
    file = policy_file(text)
    given_facts = facts(
        report("config.json", finding("config-callable")), report("x", finding("zip-bomb", "x", "high")), licence="evil"
    )
    places = {
        reason.rule + reason.outcome.value: file.place(key)
        for reason, key in reasons_and_keys(file.policy, given_facts, NOW)
    }
    assert places["findinghold"] == "policy.toml:4 (findings.rule[0])"
    assert places["findingdeny"].endswith("(findings.deny)")
    assert places["licence-unlistedhold"].startswith("preset balanced:")
    assert file.place("exception[0]") == "policy.toml:11 (exception[0])"
    assert file.place("publishers.allow[0]") == "policy.toml:8 (publishers.allow[0])"


def test_a_policy_says_what_it_means_and_what_to_look_at_twice() -> None:
    text = (
        '[[publishers.allow]]\nname = "acme"\n[approvals]\nlow = 0\n[findings]\ndeny = "critical"\n'
        + exception("cooldown", expires="2020-01-01")
        + exception("licence-missing", id="broad")
    )
    found = policy_file(text).policy
    words = "\n".join(meaning(found))
    assert "critical and worse deny" in words
    assert "Exception 'broad': licence-missing, by ann until 2027-06-30" in words
    doubts = "\n".join(warnings(found, tomllib.loads("d = 2027-01-01")["d"]))
    for doubt in (
        "'told' ended",
        "'broad' is for every model",
        "'acme' is listed without an id",
        "not all denied",
        "no approval",
    ):
        assert doubt in doubts
    for name in PRESETS:
        assert not list(warnings(read_preset(name).policy, tomllib.loads("d = 2027-01-01")["d"]))


# --- tests of a policy --------------------------------------------------------------------------

GOOD_TESTS = b"""
[[test]]
name = "a clean model needs one approval"
outcome = "admit"
approvals = 1

[[test]]
name = "remote code waits"
remote_code = true
outcome = "hold"
rules = ["remote-code"]

[[test]]
name = "weapons are denied"
findings = ["pickle-dangerous-callable", { rule = "config-dtype", severity = "high", path = "config.json" }]
outcome = "deny"
rules = ["finding"]
approvals = 2

[[test]]
name = "what nobody understood waits, and a folder needs no card"
unknown = ["odd.bin"]
source = "/srv/models"
licence = ""
outcome = "hold"
rules = ["verdict-unknown"]
"""


def test_a_policy_is_tested_by_situations() -> None:
    ran = run_tests(policy(), GOOD_TESTS, name="t.toml")
    assert [one.problems for one in ran] == [(), (), (), ()]
    worse = GOOD_TESTS.replace(b'rules = ["remote-code"]', b'rules = ["cooldown"]').replace(
        b"approvals = 1", b"approvals = 2"
    )
    ran = run_tests(policy(), worse, name="t.toml")
    assert [bool(one.problems) for one in ran] == [True, True, False, False]
    assert ran[1].problems == ("objected: remote-code, not cooldown",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'test' is missing"),
        ("test = []", "must not be empty"),
        ('[[test]]\nname = "x"\n', "'outcome' is missing"),
        ('[[test]]\nname = "x"\noutcome = "admit"\nfinding = []\n', "line 4.*did you mean 'findings'"),
        (
            '[[test]]\nname = "x"\noutcome = "admit"\nfindings = ["config-dtpe"]\n',
            "line 4.*no rule 'config-dtpe'; did you mean",
        ),
        ('[[test]]\nname = "x"\noutcome = "admit"\nmodel = "a--b/c"\n', "not a model name"),
    ],
)
def test_a_test_that_says_nothing_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        run_tests(policy(), text.encode(), name="t.toml")
    assert re.search(message, raised.value.message), raised.value.message


def test_a_situation_can_be_any_that_facts_can_be() -> None:
    text = f"""
    [[test]]
    name = "all at once"
    model = "evil/model"
    revision = "{REVISION}"
    today = 2027-03-01
    kinds = ["pickle"]
    without = ["malware"]
    owner = "evil"
    owner_id = ""
    owner_kind = "user"
    earlier_owner_ids = ["1"]
    licence = "other"
    licence_name = "Evil"
    licence_texts = ["{"ab" * 32}"]
    age_days = 1
    here_days = 1
    total_bytes = 5_000
    outcome = "deny"
    """
    (ran,) = run_tests(
        policy("[sizes]\ntotal_bytes = 4_999\n" + LISTED, extends="strict"), text.encode(), name="t.toml"
    )
    assert ran.problems == ()
    expected = "format publisher-taken-over publisher-unlisted licence-unlisted licence-text cooldown size inspection-incomplete"
    assert set(ran.decision.rules) == set(expected.split())


def test_the_kind_of_an_artifact_is_the_censuss_word() -> None:
    given_facts = facts()
    other = replace(report("config.json", inspector="zzz"), kind="python")
    shadowed = replace(given_facts, inspection=Inspection((other, *inspection(FILES).reports), "2026.1"))
    assert shadowed.kinds["config.json"] == "json"
    assert HUB.kind == "hub"


def test_the_reference_lists_every_key_and_every_rule() -> None:
    page = (ROOT / "docs/reference/policy.md").read_text(encoding="utf-8")
    assert keys_table() in page
    for rule, (key, title) in POLICY_RULES.items():
        assert f"| `{rule}` | {title}. | `{key}` |" in page
