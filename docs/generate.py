"""Writes the reference pages that the code already knows: commands, settings, exit codes, errors, rules.

`python docs/generate.py` writes them; `python docs/generate.py --check` changes nothing and fails when one has drifted.
What the pages say about a setting, an error or a rule is the docstring or the text beside it in the code.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path

import click

from weighbridge.cli.app import cli
from weighbridge.cli.commands import ingest
from weighbridge.core import config, errors
from weighbridge.core.finding import Severity
from weighbridge.deploy import rules as deploy_rules
from weighbridge.deploy.lint import rules as lint_rules
from weighbridge.inspectors import registry
from weighbridge.inspectors.all_rules import RULES
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Inspector
from weighbridge.reports.document import schema

REFERENCE = Path(__file__).parent / "reference"
SOURCE = Path(inspect.getfile(errors)).parent.parent
WIDTH = 100
MARK = "<!-- Written by docs/generate.py from the code; change it there. -->\n"

UNITS = {"_bytes": "bytes", "_seconds": "seconds", "_bytes_per_second": "bytes per second", "_days": "days"}


def cli_page() -> str:
    """Every command's help as the command prints it."""
    parts = [
        "# Command line\n",
        MARK,
        "Every command takes `--json`: data go to stdout as JSON, words to stderr. In a pipe, tables are lines with tabs\n"
        "between the columns. Exit codes are [the same everywhere](exit-codes.md); the lines of `ingest --json` are\n"
        "[events](events.md).\n",
        "```text",
        _help(cli, None, "weighbridge"),
        "```\n",
    ]
    parent = click.Context(cli, info_name="weighbridge")
    for name in cli.list_commands(parent):
        command = cli.get_command(parent, name)
        assert command is not None
        parts += [f"## weighbridge {name}\n", "```text", _help(command, parent, name), "```\n"]
        if isinstance(command, click.Group):
            inner = click.Context(command, parent=parent, info_name=name)
            for part in command.list_commands(inner):
                below = command.get_command(inner, part)
                assert below is not None
                parts += [f"### weighbridge {name} {part}\n", "```text", _help(below, inner, part), "```\n"]
    return "\n".join(parts)


def _help(command: click.Command, parent: click.Context | None, name: str) -> str:
    settings = {"terminal_width": WIDTH, "max_content_width": WIDTH}
    context = click.Context(
        command,
        parent=parent,
        info_name=name,
        help_option_names=["-h", "--help"],
        **settings,  # type: ignore[arg-type]
    )
    return command.get_help(context).rstrip()


SETTINGS_HEAD = """\
Settings come from four places; each overrides the ones before it: the default, `config.toml` in the home, the environment,
a flag. `weighbridge config` shows every value and where it came from. An unknown name, a value of the wrong type or one out
of bounds ends any command with exit code 2, and the message says where it came from.

In the file, a setting is a line in its section:

```toml
[transfer]
streams = 16
```

True and false are written `true` and `false` in the file, and as `1`, `true`, `yes`, `on` or `0`, `false`, `no`, `off` in
the environment.
"""

MEANINGS_OF_SETTINGS = {
    "store.s3_region": "Region of the bucket; empty: what the AWS configuration says, then `us-east-1`.",
    "store.s3_kms_key": "Id or ARN of the KMS key that encrypts; empty: the bucket's default.",
    "store.object_lock_days": "How long each object is locked from its writing on; at least 1 where a mode is set.",
    "store.legal_hold": "Whether each object gets a legal hold.",
    "transfer.connect_timeout_seconds": "How long a connection may take to be made.",
    "transfer.read_timeout_seconds": "How long a peer may send nothing.",
}
"""Settings whose name says it all in the code."""

SETTINGS_TAIL = """\
## Other variables

These are read as they stand, by weighbridge or by the libraries it uses.

| Variable | Meaning |
|---|---|
| `WEIGHBRIDGE_HOME` | The home, where `--home` is not given; else the platform's data directory. |
| `WEIGHBRIDGE_DEBUG` | Set, an error of weighbridge itself is shown with its traceback. |
| `NO_COLOR` | Set, no colour is used. |
| `HF_ENDPOINT` | The Hub's base URL, where `hub.endpoint` is empty. |
| `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_HOME` | Where the Hub's token is, as for the Hub's own tools. |
| `HF_HUB_OFFLINE` | Set, the Hub is not asked, and an ingest from it fails. |
| `AWS_…` | Credentials, profile and region of S3, as for every AWS tool. |
| `SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE` | Certificate authorities to trust. |
| `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY` | Proxies. |
"""


def settings_page() -> str:
    """Every setting with its default, unit, name in the environment and flag."""
    parts = ["# Settings\n", MARK, SETTINGS_HEAD]
    docs, flags = _attribute_docs(Path(inspect.getfile(config))), _flags()
    for section in fields(config.Config):
        kind = type(getattr(config.Config(), section.name))
        summary = (kind.__doc__ or "").strip()
        parts.append(f"## {section.name}\n\n{summary}\n")
        parts.append("| Setting | Type | Default | Environment | Flag of `ingest` |\n|---|---|---|---|---|")
        explained = []
        for setting in fields(kind):
            name = f"{section.name}.{setting.name}"
            variable = f"WEIGHBRIDGE_{section.name}_{setting.name}".upper()
            flag = f"`{flags[name]}`" if name in flags else ""
            parts.append(
                f"| `{setting.name}` | {_type(setting.name, str(setting.type))} | {_default(setting.default)} "
                f"| `{variable}` | {flag} |"
            )
            meaning = docs.get((kind.__name__, setting.name)) or MEANINGS_OF_SETTINGS[name]
            explained.append(f"- `{setting.name}`: {meaning}")
        parts += ["", "\n".join(explained), ""]
    return "\n".join([*parts, SETTINGS_TAIL])


def _type(name: str, kind: str) -> str:
    unit = next((unit for ending, unit in sorted(UNITS.items(), key=lambda p: -len(p[0])) if name.endswith(ending)), "")
    word = {"str": "text", "bool": "true or false", "int": "whole number", "float": "number"}[kind]
    return f"{word}, {unit}" if unit else word


def _default(value: object) -> str:
    if value == "":
        return "empty"
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`"


def _flags() -> Mapping[str, str]:
    """The setting that each flag of `ingest` overrides."""
    options = {str(option.name): option.opts[0] for option in ingest.ingest_command.params}
    given = ingest._settings("to", {name: name for name in options}) | {"inspection.deep": "deep"}
    return {setting: options[str(name)] for setting, name in given.items()}


def _attribute_docs(path: Path) -> dict[tuple[str, str], str]:
    """The text below each attribute of each class, which Python itself does not keep."""
    found: dict[tuple[str, str], str] = {}
    for kind in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(kind, ast.ClassDef):
            continue
        for attribute, below in zip(kind.body, kind.body[1:], strict=False):
            if (
                isinstance(attribute, ast.AnnAssign)
                and isinstance(attribute.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            ):
                found[kind.name, attribute.target.id] = _joined(str(below.value.value))
    return found


def _joined(text: str) -> str:
    return " ".join(text.split())


def exit_codes_page() -> str:
    """Every exit code and what ends with it."""
    parts = [
        "# Exit codes\n",
        MARK,
        "The same for every command. With `--json`, the error that led to the code is also the last line on stdout.\n",
        "| Code | Meaning | Ends with it |\n|---|---|---|",
    ]
    by_code: dict[int, list[str]] = {}
    for error in _tree(errors.WeighbridgeError):
        by_code.setdefault(error.exit_code, []).append(error.__name__)
    for code, meaning in sorted(MEANINGS.items()):
        names = ", ".join(f"[`{name}`](errors.md#{name.lower()})" for name in by_code.pop(code, []))
        parts.append(f"| {code} | {meaning} | {names} |")
    if by_code:
        raise SystemExit(f"docs/generate.py does not know the exit codes {sorted(by_code)}")
    parts += [
        "| 128+N | Ended by signal N, cleanly: what was done so far is kept for the next run. | |",
        "",
        EXIT_CODES_TAIL,
    ]
    return "\n".join(parts)


MEANINGS = {
    0: "Done. For `ingest`: nothing was found at or above `inspection.fail_on`.",
    1: "Failed, and nothing more precise fits. `doctor`: a check failed.",
    2: "The command line, a setting or an address is wrong.",
    3: "Nothing was collected: no file selected, no such revision.",
    4: "An inspector could not answer.",
    5: "Policy said no.",
    6: "Integrity: bytes, or history, are not what they were said to be. `verify` and `check`: there are problems.",
    7: "Trust: a signature or statement does not hold. `rebuild`: a revision was refused.",
    **{
        int(severity): f"The worst finding is {severity.label}. What `ingest` brought in is sealed all the same."
        for severity in Severity
    },
    130: "Stopped by a person (128 + SIGINT).",
    141: "Whoever read the output closed it (128 + SIGPIPE).",
}

EXIT_CODES_TAIL = """\
Codes 11 to 14 come from `scan` (`--fail-on`, default: `low`), `ingest` and `rescan` (`inspection.fail_on`, default: `high`), and
only where the severity is at least that. What was ingested is stored and sealed with its verdict all the same: the exit
code is for whoever decides what happens next.

An artifact whose inspector could not answer is a [finding](rules.md#inspector-could-not-answer) and makes the verdict
`unknown`: `scan` ends with 4, where nothing worse was found; `ingest` does not.

What cannot be written (a full disk, a stdout that was closed) ends with 1 and one line on stderr, whatever was found; a
reader that went away (`| head`) ends with 141.
"""


def errors_page() -> str:
    """The tree of errors: exit code, meaning, whether another try may help."""
    parts = [
        "# Errors\n",
        MARK,
        "Every failure is one of these. The text on stderr says what happened to which artifact of which model, and below\n"
        "it what to do. With `--json`, stdout ends with an [`error` event](events.md#error) that names the class.\n",
        "Transient errors are tried again, with growing waits, up to `transfer.attempts` times without progress; you see\n"
        "one only when that did not help.\n",
        "```text",
        *_drawn(errors.WeighbridgeError, ""),
        "```\n",
    ]
    raised = _names_used()
    for error in _tree(errors.WeighbridgeError):
        parent = error.__mro__[1].__name__
        facts = [f"Exit code [{error.exit_code}](exit-codes.md)"]
        if error is not errors.WeighbridgeError:
            facts.append(f"a kind of [`{parent}`](#{parent.lower()})")
        if error.transient:
            facts.append("transient")
        parts.append(f"## {error.__name__}\n\n{_joined(error.__doc__ or '')}\n\n{', '.join(facts)}.\n")
        if error.__name__ not in raised and not _children(error):
            parts.append("Kept for later versions; no command of this one ends with it.\n")
    return "\n".join(parts)


def _tree(root: type[errors.WeighbridgeError]) -> Iterator[type[errors.WeighbridgeError]]:
    yield root
    for child in _children(root):
        yield from _tree(child)


def _children(error: type[errors.WeighbridgeError]) -> list[type[errors.WeighbridgeError]]:
    """The kinds of an error that the tree itself names; a room may have kinds of its own for its own use."""
    return [child for child in error.__subclasses__() if child.__module__ == errors.__name__]


def _drawn(error: type[errors.WeighbridgeError], indent: str) -> Iterator[str]:
    yield f"{indent + error.__name__:<34} {error.exit_code}{' (transient)' if error.transient else ''}"
    for child in _children(error):
        yield from _drawn(child, indent + "  ")


def _names_used() -> set[str]:
    """All names that the code mentions outside of the module that defines the errors."""
    used: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        if path != Path(inspect.getfile(errors)):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            used |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return used


RULES_HEAD = """\
An inspector answers one question about each artifact, from its bytes, without loading or running anything. It says three
things: findings, a verdict, and coverage.

- **Verdict**: `clean`, `bad` or `unknown`. A revision is `clean` only if every inspector that an artifact concerns said so;
  it is `bad` if any said so; otherwise it is `unknown`. Unknown never counts as clean.
- **Coverage**: the bytes an inspector accounted for, of the bytes present. Bytes that the format itself makes inert count
  once that was proven (the tensors of a safetensors file); bytes that nobody understands do not count.
- **Severity**: {severities}. An `ingest` ends with the worst one's number, from `inspection.fail_on` on.

A rule's name is stable and never gets another meaning. The rules as a whole have a version, which every inspection and
every seal records: `{version}` here.
"""


def rules_page() -> str:
    """Every inspector with its docstring, and every rule with what it means and what to do."""
    severities = ", ".join(f"{severity.label} ({int(severity)})" for severity in Severity)
    parts = ["# Inspectors and rules\n", MARK, RULES_HEAD.format(severities=severities, version=registry.RULES_VERSION)]
    by_inspector: dict[str, list[str]] = {}
    for rule in RULES.values():
        by_inspector.setdefault(rule.inspector, []).append(rule.id)
    for inspector in registry.INSPECTORS:
        module = inspect.getdoc(sys.modules[type(_loaded(inspector)).__module__]) or ""
        question, _, rest = module.partition("\n\n")
        ids = by_inspector.pop(inspector.name, [])
        parts += [f"## {inspector.name}\n", f"**{_joined(question)}**\n", f"{rest}\n", *_rules(ids)]
    for name, leftover in by_inspector.items():
        parts += [f"## {'any inspector' if name == 'registry' else name}\n", *_rules(leftover)]
    return "\n".join(parts)


def _loaded(inspector: Inspector) -> Inspector:
    return inspector.load() if isinstance(inspector, registry.Deferred) else inspector


DEPLOY_RULES_HEAD = """\
What [`weighbridge deploy lint`](../how-to/lint-a-deployment.md) looks for. A file is `bad` with a finding of severity high or
critical, `unknown` when something in it could not be read, else `clean`. The rules as a whole have the version `{version}`.

| Read | As |
|---|---|
| Kubernetes, KServe and operators' objects, in YAML or JSON | pods wherever they stand, with ConfigMaps, Secrets, claims and policies of the files linted together |
| CloudFormation in JSON or YAML | SageMaker models and endpoints, buckets, roles, ECS tasks; parameters by their defaults |
| Terraform (HCL, JSON, `terraform show -json`) | the same resources; variables and locals by their defaults |
| compose, `.env`, `serving.properties`, Dockerfiles, systemd units, Quadlets | what they start, with which variables and mounts |
| shell scripts | `docker run`, engines' commands, downloads |
| requests of SageMaker, IAM policies, ECS task definitions | in JSON |

Charts' templates and values, kustomizations, programs, and files of no known kind are findings of `deploy-not-read`. So are scripts that are not followed to
their end, and what only the deployment knows where a rule needs it: a model's name, an image, network isolation, an ACL, a whole action or principal of a
policy. A parameter or variable stands for its default, a condition of CloudFormation for what the defaults make of it.

Policies of roles, buckets and trust are evaluated by AWS's logic, with wildcards, `NotAction`, `NotResource`, `NotPrincipal`, conditions, and denials of the
role's other policies among the files. A role is too wide when it may do to a bucket, role or secret that no policy names what a reader of models never
does; a bucket or a role is open when a stranger may use it and no certain denial stops that.

## Limits

- What an image does by itself is not seen: the network has to keep an engine at home, not its variables.
- Values of parameters, variables and ConfigMaps that are not among the files are not known: that is said where it matters, and nothing worse.
- Organisations' own policies, permissions boundaries and grants on keys are not seen.
- Arguments are known of the releases that `scripts/vllm_arguments.py` and `scripts/engine_arguments.py` asked: vLLM 0.32.0 and 0.33.0, SGLang 0.5.19 and 0.5.23,
  llama.cpp b11434, TGI 3.0.0, DJL's properties. Where a version is not known, or is later than TGI's, only what looks misspelt is told.
- An image that is named by digest alone tells no version; one in a registry of your own tells no engine's version.
- A file has at most 4 MB, YAML and HCL 1 MB, 100,000 values and 100 levels; aliases count as often as they are used.
- Whether a NetworkPolicy is enforced is for the cluster to say.
"""


RENDERING_HEAD = """\
What `weighbridge deploy plan`, `render` and `apply` find of a deployment beside what lint says of its files. A finding of
`deploy-sagemaker-…` or `deploy-model-configures-engine` says that it could never serve, or not what was approved: `apply` refuses it.
"""


def deploy_rules_page() -> str:
    """Every rule of `deploy lint`, and those of rendering."""
    known = deploy_rules.RULES
    parts = [
        "# Rules for deployments\n",
        MARK,
        DEPLOY_RULES_HEAD.format(version=lint_rules.VERSION),
        "## Rules of lint\n",
    ]
    parts += _rules([name for name in known if name not in deploy_rules.OF_RENDERING], known)
    parts += ["## Rules of rendering\n", RENDERING_HEAD]
    return "\n".join([*parts, *_rules([name for name in known if name in deploy_rules.OF_RENDERING], known)])


def _rules(ids: list[str], known: Mapping[str, Rule] = RULES) -> Iterator[str]:
    rules = [known[name] for name in ids]
    yield "| Rule | Severity | |\n|---|---|---|"
    for rule in rules:
        yield f"| [`{rule.id}`](#{rule.id}) | {rule.severity.label} | {rule.title} |"
    yield ""
    for rule in rules:
        yield f"### {rule.id}\n\n{rule.title}: {rule.severity.label}.\n\n{rule.explanation}\n\nRemedy: {rule.remedy}\n"
        if rule.example:
            yield f"```text\n{rule.example}\n```\n"


def scan_schema() -> str:
    """The JSON Schema of `scan --format json`."""
    return json.dumps(schema(), indent=2)


PAGES = {
    "cli.md": cli_page,
    "settings.md": settings_page,
    "exit-codes.md": exit_codes_page,
    "errors.md": errors_page,
    "rules.md": rules_page,
    "deploy-rules.md": deploy_rules_page,
    "scan.schema.json": scan_schema,
}


def main() -> int:
    """Writes or checks the pages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a page has drifted")
    check = parser.parse_args().check
    drifted = False
    for name, render in PAGES.items():
        path, text = REFERENCE / name, render().rstrip() + "\n"
        present = path.read_text(encoding="utf-8") if path.exists() else ""
        if present == text:
            continue
        drifted = True
        if check:
            sys.stdout.writelines(
                difflib.unified_diff(
                    present.splitlines(True), text.splitlines(True), f"docs/reference/{name}", "the code"
                )
            )
        else:
            path.write_text(text, encoding="utf-8")
    return 1 if check and drifted else 0


if __name__ == "__main__":
    sys.exit(main())
