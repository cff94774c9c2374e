"""Situations for policy: facts made by hand, policies made of a few lines of TOML, and what comes of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from weighbridge.admit.facts import Facts
from weighbridge.admit.judge import judge
from weighbridge.admit.licences import Licence, LicenceFile
from weighbridge.admit.policy import Policy
from weighbridge.admit.policy_file import PolicyFile, read_policy, read_preset
from weighbridge.core.decision import Decision
from weighbridge.core.finding import Confidence, Coverage, Finding, Inspection, Report, Severity, Verdict
from weighbridge.core.names import ModelName
from weighbridge.core.snapshot import Origin

NOW = "2027-01-01T12:00:00Z"
REVISION = "ab" * 20
HUB = Origin(
    kind="hub",
    address="hf://acme/tiny",
    endpoint="https://huggingface.co",
    repository="acme/tiny",
    owner="acme",
    owner_id="0001",
    owner_kind="organization",
    commit=REVISION,
    published_at="2026-01-01T00:00:00Z",
)
FOLDER = Origin(kind="folder", address="/srv/models/tiny", published_at="2026-12-31T00:00:00Z")
FILES = {"README.md": "markdown", "config.json": "json", "model.safetensors": "safetensors"}


def finding(rule: str, path: str = "config.json", severity: str = "medium", message: str = "something") -> Finding:
    """A finding."""
    return Finding(path, rule, Severity[severity.upper()], Confidence.HIGH, message, remedy="Leave it out.")


def callable_finding(name: str, path: str = "data.pkl") -> Finding:
    """What the inspector of pickles says of a callable that nobody has judged."""
    return finding("pickle-unknown-callable", path, message=f"names {name}, which nobody has judged")


def report(
    path: str, *findings: Finding, inspector: str = "tests", verdict: str = "", coverage: tuple[int, int] = (1, 1)
) -> Report:
    """One inspector's answer; bad where a finding is grave."""
    said = Verdict.BAD if any(one.severity.is_grave for one in findings) else Verdict.CLEAN
    return Report(inspector, path, Verdict(verdict) if verdict else said, Coverage(*coverage), findings)


def inspection(files: dict[str, str], *reports: Report, rules_version: str = "2026.1") -> Inspection:
    """The kinds of all files, and some answers."""
    kinds = [Report("file-kinds", path, Verdict.CLEAN, Coverage(0, 0), (), kind) for path, kind in files.items()]
    return Inspection((*kinds, *reports), rules_version)


def facts(
    *reports: Report,
    files: dict[str, str] | None = None,
    licence: str | tuple[str, ...] = "apache-2.0",
    licence_name: str = "",
    texts: Sequence[LicenceFile] = (),
    origin: Origin = HUB,
    rules_version: str = "2026.1",
    **more: Any,
) -> Facts:
    """A clean model from the Hub, with what is given put upon it."""
    files = {**FILES, **(files or {})}
    ids = (licence,) if isinstance(licence, str) else licence
    return Facts(
        ModelName("acme", "tiny"),
        REVISION,
        "0" * 64,
        origin,
        sizes=more.pop("sizes", dict.fromkeys(files, 10)),
        inspection=inspection(files, *reports, rules_version=rules_version),
        licence=Licence(tuple(one for one in ids if one), licence_name, files=tuple(texts)),
        **{"sealed_at": "2026-06-01T00:00:00Z", **more},
    )


def remote_code() -> Facts:
    """A model that brings code, as DeepSeek-R1 does."""
    return facts(
        report("config.json", finding("config-remote-code")),
        report("modeling.py", finding("python-remote-code", "modeling.py")),
        files={"modeling.py": "python"},
    )


def on_hub(**changed: str) -> Facts:
    """A clean model whose origin differs in something."""
    return facts(origin=replace(HUB, **changed))


@lru_cache(maxsize=256)
def policy_file(text: str = "", *, extends: str = "balanced") -> PolicyFile:
    """A policy of a few lines over a preset."""
    head = f'name = "ours"\nextends = "{extends}"\n'
    return read_policy(f"{head}{text}".encode(), name="policy.toml")


def policy(text: str = "", *, extends: str = "balanced") -> Policy:
    """The policy itself."""
    return policy_file(text, extends=extends).policy if text else read_preset(extends).policy


def decide(given: Facts, text: str = "", *, extends: str = "balanced", now: str = NOW) -> Decision:
    """What a policy of a few lines makes of facts."""
    return judge(policy(text, extends=extends), given, now)


def exception(*rules: str, expires: str = "2027-06-30", **more: Any) -> str:
    """An exception, as TOML."""
    lines = {"id": "told", "rules": list(rules), "reason": "read by us", "person": "ann", "expires": expires, **more}
    return "[[exception]]\n" + "\n".join(f"{key} = {value!r}".replace("'", '"') for key, value in lines.items()) + "\n"
