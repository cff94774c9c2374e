"""All inspectors, and how they are run over one artifact.

An inspector's module is imported when an artifact may concern it: a scan of safetensors needs few of them. What is of an
ordinary kind under an ordinary name (`ORDINARY`) is shown to those inspectors alone that such artifacts can concern;
everything else to all. The rules of all inspectors are in `all_rules`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from weighbridge.core.errors import FormatError, IntegrityError
from weighbridge.core.finding import Coverage, Report, Severity, Verdict
from weighbridge.core.ports import RangeReader
from weighbridge.inspectors import census
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Inspected, Inspector, Subject

RULES_VERSION: Final = "2026.11.6"
"""Changes whenever a rule is added or removed, or judges otherwise; recorded in every inspection and every seal."""


class Deferred:
    """The inspector `attribute` of the module `place`, imported when it is first asked."""

    def __init__(self, name: str, place: str, attribute: str) -> None:
        self.name = name
        self._place = place
        self._attribute = attribute
        self._loaded: Inspector | None = None

    def load(self) -> Inspector:
        """The inspector itself."""
        if self._loaded is None:
            module = importlib.import_module(f"weighbridge.inspectors.{self._place}")
            inspector: Inspector = getattr(module, self._attribute)()
            self._loaded = inspector
        return self._loaded

    def inspect(self, subject: Subject) -> Report | None:
        """As `subject.Inspector.inspect`."""
        return self.load().inspect(subject)


INSPECTORS: Final[tuple[Inspector, ...]] = (
    census.FileKinds(),
    Deferred("safetensors-structure", "weights.safetensors", "SafetensorsStructure"),
    Deferred("gguf-structure", "weights.gguf", "GgufStructure"),
    Deferred("flax-structure", "weights.flax", "FlaxCheckpoints"),
    Deferred("npy-structure", "weights.arrays", "PlainArrays"),
    Deferred("pickles", "pickles.inspector", "Pickles"),
    Deferred("archives", "archives.inspector", "Archives"),
    Deferred("media", "media", "Media"),
    Deferred("onnx", "graphs.onnx", "Onnx"),
    Deferred("hdf5", "graphs.hdf5", "Hdf5"),
    Deferred("keras", "graphs.keras", "Keras"),
    Deferred("tensorflow", "graphs.tensorflow", "TensorFlow"),
    Deferred("tflite", "graphs.tflite", "Tflite"),
    Deferred("configurations", "texts.configs", "Configurations"),
    Deferred("tokenizers", "texts.tokenizers", "Tokenizers"),
    Deferred("chat-templates", "code.templates", "ChatTemplates"),
    Deferred("python-code", "code.python_code", "PythonCode"),
    Deferred("notebooks", "code.notebooks", "Notebooks"),
    Deferred("scripts", "code.scripts", "Scripts"),
    Deferred("tokenizer-files", "texts.tokenizer_files", "TokenizerFiles"),
    Deferred("yaml", "texts.yaml_files", "YamlFiles"),
    Deferred("executables", "families.executables", "Executables"),
    Deferred("boosters", "families.boosters", "Boosters"),
    Deferred("skops", "families.skops", "SkopsSchemas"),
    Deferred("xml-models", "families.xml_models", "XmlModels"),
    Deferred("coreml", "families.coreml", "CoreMl"),
    Deferred("r-data", "families.r_data", "RData"),
    Deferred("older-frameworks", "families.older_frameworks", "OlderFrameworks"),
    Deferred("device-engines", "families.device_engines", "DeviceEngines"),
    Deferred("java", "families.java_files", "JavaFiles"),
    Deferred("columnar", "families.columnar", "ColumnarTables"),
    Deferred("data-stores", "families.data_stores", "DataStores"),
    Deferred("library-parts", "families.library_parts", "LibraryParts"),
    Deferred("databases", "families.databases", "Databases"),
    Deferred("model-cards", "texts.cards", "ModelCards"),
    Deferred("plain-texts", "texts.plain_texts", "PlainTexts"),
    Deferred("wide-texts", "texts.wide_texts", "WideTexts"),
)

_PICKLES: Final = frozenset(("file-kinds", "pickles", "archives"))
_PICKLE_NAMES: Final = ("", ".pkl", ".pickle", ".p", ".joblib", ".pt", ".pth", ".bin", ".ckpt")
_UNPACKED: Final = frozenset((".pt", ".pth", ".ckpt", ".bin", ".zip", ".npz"))
ORDINARY: Final[Mapping[tuple[str, str], frozenset[str]]] = {
    ("safetensors", ".safetensors"): frozenset(("file-kinds", "safetensors-structure")),
    ("gguf", ".gguf"): frozenset(("file-kinds", "gguf-structure", "archives")),
    ("npy", ".npy"): frozenset(("file-kinds", "npy-structure", "pickles")),
    **{("pickle", suffix): _PICKLES for suffix in _PICKLE_NAMES},
    **{("zip", suffix): _PICKLES for suffix in (*_PICKLE_NAMES, ".zip", ".npz")},
}
"""By kind and ending: the inspectors that such an artifact can concern. The others are held to that by a test."""


def preload(suffixes: Iterable[str]) -> None:
    """Imports what ordinary artifacts of these endings are shown to; best before a process is forked that inspects some."""
    wanted = set(suffixes)
    names = frozenset[str]().union(*(names for (_, suffix), names in ORDINARY.items() if suffix in wanted))
    for inspector in INSPECTORS:
        if isinstance(inspector, Deferred) and inspector.name in names:
            inspector.load()
    if wanted & _UNPACKED:
        importlib.import_module("weighbridge.inspectors.archives.containers")


COULD_NOT_ANSWER: Final = Rule(
    "inspector-could-not-answer",
    "An inspector could not answer",
    Severity.MEDIUM,
    "registry",
    "The bytes could not be read to the end or broke a bound on the way, so nothing is known about the artifact.",
    "Verify the revision, then inspect it again. An answer that stays away is itself a reason not to use the file.",
)
CRASHED: Final = Rule(
    "inspector-crashed",
    "The inspection of a file crashed",
    Severity.MEDIUM,
    "registry",
    "The process that inspected it ended, or ate more memory than it may. Honest files do not do that to a parser.",
    "Do not load the file. Inspect it on a machine of its own, and report the file's digest to the project.",
)
TIMED_OUT: Final = Rule(
    "inspector-timed-out",
    "The inspection of a file did not end in time",
    Severity.MEDIUM,
    "registry",
    "The file makes its inspection run on and on; a loader may do the same.",
    "Do not load the file. Raise `inspection.seconds` if the machine is slow, and inspect it again.",
)


def inspect_artifact(reader: RangeReader, content: Inspector | None = None) -> Inspected:
    """What every inspector that the artifact concerns says of it and its members; at least the census always answers.

    `content` comes last, on the artifact and on each member, when the formats have said which bytes are inert. An
    inspector that fails on the bytes has not answered: its report is `unknown` with no coverage. That the bytes cannot
    be reached at all is not an answer about them and is raised.

    Raises:
        SourceError, StoreError: the bytes could not be reached.
    """

    def inspect(subject: Subject) -> Inspected:
        return inspect_subject(subject, content)

    return inspect(Subject(reader, inspect))


def inspect_subject(subject: Subject, content: Inspector | None = None) -> Inspected:
    """As `inspect_artifact`, for a subject that is there already."""
    names = ORDINARY.get((subject.kind.name, subject.suffix)) if _readable(subject) else None
    concerned = _named(names) if names else INSPECTORS
    answers = (_inspect(inspector, subject) for inspector in concerned)
    reports = [report for report in answers if report is not None]
    own = [_settled(report, reports) for report in reports]
    last = _inspect(content, subject) if content is not None else None
    if last is not None:
        own.append(last)
    return Inspected((*own, *subject.members.values()), tuple(subject.facts))


@functools.cache
def _named(names: frozenset[str]) -> tuple[Inspector, ...]:
    return tuple(one for one in INSPECTORS if one.name in names)


def _readable(subject: Subject) -> bool:
    """Whether the first bytes can be had: if not, every inspector shall say that it could not answer."""
    try:
        return bool(subject.head) or not subject.size_bytes
    except (FormatError, IntegrityError):
        return False


def _settled(report: Report, reports: Sequence[Report]) -> Report:
    """The census's word on the content, taken back where another inspector gives the account of it.

    The census cannot know whether anybody looks inside: inspectors do not know each other. What it says of the name
    stays.
    """
    if report.inspector != census.NAME or not report.kind:
        return report
    if not any(other is not report and other.kind == report.kind for other in reports):
        return report
    findings = tuple(finding for finding in report.findings if finding.rule not in census.ABOUT_CONTENT)
    verdict = Verdict.BAD if any(finding.severity.is_grave for finding in findings) else Verdict.CLEAN
    return replace(report, verdict=verdict, coverage=Coverage(0, 0), findings=findings)


def _inspect(inspector: Inspector, subject: Subject) -> Report | None:
    try:
        return inspector.inspect(subject)
    except (FormatError, IntegrityError) as error:
        finding = COULD_NOT_ANSWER.finding(subject.path, f"{inspector.name}: {error.message}")
        return Report(inspector.name, subject.path, Verdict.UNKNOWN, Coverage(0, subject.size_bytes), (finding,))
