"""The rules about a repository as a whole: its names, and what its files say of each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from weighbridge.core.finding import Severity
from weighbridge.inspectors.rule import Rule

NAME: Final = "repository"

_RENAME = "Leave the file out with --exclude, or ask the publisher to rename it."
_LEAVE_OUT = "Leave the file out with --exclude; a model does not need it."
_COMPLETE = "Ingest the whole revision, or ask the publisher to complete it."


def _rule(name: str, title: str, severity: Severity, explanation: str, remedy: str = _LEAVE_OUT) -> Rule:
    return Rule(f"repository-{name}", title, severity, NAME, explanation, remedy)


RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "template-differs",
        "Copies of the chat template differ",
        Severity.MEDIUM,
        "Which copy is used depends on the engine and its version; a reviewed template is not the one that runs.",
        "Keep one template, or make the copies equal.",
    ),
    _rule(
        "code-missing",
        "Named code is not there",
        Severity.HIGH,
        "A loader that looks for it finds it elsewhere, or what is put in its place later.",
        _COMPLETE,
    ),
    _rule(
        "shard-missing",
        "Named file is not there",
        Severity.MEDIUM,
        "The model is incomplete; a loader looks for the file elsewhere or fails.",
        _COMPLETE,
    ),
    _rule(
        "index-without-shards",
        "Index of weights that are not there",
        Severity.LOW,
        "None of the files that the index names is part of the revision, as when one of two formats is left out.",
        "Leave the index out too.",
    ),
    _rule(
        "shard-unnamed",
        "Shard that the index does not name",
        Severity.MEDIUM,
        "Loaders that take all files of a kind load it, those that follow the index do not: two different models.",
        "Remove the file, or ask the publisher which of them is the model.",
    ),
    _rule(
        "weights-ambiguous",
        "Whole and in shards",
        Severity.LOW,
        "The weights are there in one file and in indexed shards; loaders differ in which they take.",
        "Keep one of the two.",
    ),
    _rule(
        "weights-empty",
        "Weights without a byte",
        Severity.MEDIUM,
        "The file is empty: an upload failed, or something else is meant to take its place.",
        _COMPLETE,
    ),
    _rule(
        "pickle-beside-safetensors",
        "The same weights as a pickle",
        Severity.LOW,
        "A loader that prefers the pickle, or is told to, runs what it holds; nobody needs it beside safetensors.",
        "Leave the pickle out with --exclude.",
    ),
    _rule(
        "loaded-pickle",
        "Pickle that a loader opens by its name",
        Severity.LOW,
        "Training and tokenizer code unpickles files of this name without asking (CVE-2024-3568, CVE-2026-1839, "
        "CVE-2023-7018).",
    ),
    _rule(
        "adapter-beside-model",
        "Adapter beside the model's own weights",
        Severity.MEDIUM,
        "transformers loads the adapter's base model, named in its configuration, in place of the weights that are here.",
        "Keep adapters in a repository of their own.",
    ),
    _rule(
        "name-escape",
        "Name that leads out of the repository",
        Severity.HIGH,
        "The name is absolute, climbs, or is read as a path on some system.",
        _RENAME,
    ),
    _rule(
        "name-hidden",
        "Name with characters that show nothing",
        Severity.HIGH,
        "Control, bidirectional or invisible characters make the name look like another.",
        _RENAME,
    ),
    _rule(
        "name-collision",
        "Names that are one on some systems",
        Severity.HIGH,
        "Where case or Unicode form is ignored one file takes the place of the other.",
        _RENAME,
    ),
    _rule(
        "name-lookalike",
        "Name of look-alike letters",
        Severity.HIGH,
        "Letters of another script make it look like a file that loaders know.",
        _RENAME,
    ),
    _rule(
        "name-reserved",
        "Name that Windows reads otherwise",
        Severity.MEDIUM,
        "Device names, trailing dots and spaces and reserved characters are other files there.",
        _RENAME,
    ),
    _rule(
        "name-double",
        "Program under a double ending",
        Severity.MEDIUM,
        "The name says weights or data and ends as a program or a pickle.",
        _RENAME,
    ),
    _rule(
        "name-deep",
        "Path of many folders",
        Severity.LOW,
        "Deep paths break tools and hide files.",
        _RENAME,
    ),
    _rule(
        "startup-code",
        "Code that Python runs at every start",
        Severity.HIGH,
        "Started in this folder, Python imports the file before anything else.",
    ),
    _rule(
        "shadowing",
        "Module with the name of a library",
        Severity.HIGH,
        "Run in this folder, `import` takes this file in place of the library.",
    ),
    _rule(
        "runs-by-name",
        "Code that tools run because of its name",
        Severity.MEDIUM,
        "Endpoints, test runners, build tools and torch.hub run files of this name.",
        "Have the code reviewed, or leave it out with --exclude.",
    ),
    _rule(
        "workflow",
        "Automation or build file",
        Severity.LOW,
        "It does nothing in a model; pushed to a forge or opened in an editor, it runs.",
    ),
    _rule(
        "credentials",
        "File that keeps credentials by its name",
        Severity.MEDIUM,
        "Such files hold passwords or keys, and some tools read them where they lie.",
    ),
    _rule(
        "git-folder",
        "Inside of a Git repository",
        Severity.HIGH,
        "Git runs hooks and commands that such files name.",
    ),
    _rule(
        "hidden-file",
        "Hidden file that models do not have",
        Severity.LOW,
        "Its name keeps it out of sight.",
    ),
)
BY_ID: Final[Mapping[str, Rule]] = {rule.id: rule for rule in RULES}
