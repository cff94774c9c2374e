"""Is this safetensors file exactly its header and its tensors, and nothing else?

The format makes the data section inert: numbers that a reader copies and never interprets. So a header that is proven
to account for every byte accounts for the whole file, and a clean answer has full coverage without reading the tensors.
The metadata's texts are judged by `metadata_text`. What the numbers make a network do is not assessed. Covers files that are safetensors by content or by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from weighbridge.core.finding import Coverage, Finding, Report, Severity, Verdict
from weighbridge.core.ports import RangeReader
from weighbridge.formats.safetensors import LENGTH_BYTES, METADATA_KEY, HeaderProblem
from weighbridge.formats.safetensors_survey import Survey, survey
from weighbridge.formats.zip_tail import zip_at_the_end
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject
from weighbridge.inspectors.weights.metadata_text import Profile, TextJudge, shown

NAME: Final = "safetensors-structure"
KIND: Final = "safetensors"

_REFETCH = "Do not load the file. Fetch it again from its publisher; if it is the same there, ask for a sound one."
_REWRITE = "Do not load the file. Ask its publisher to write it again with the safetensors library."
_LOOK = "Read the value. If nothing needs it, have the file written again without it."
_USUAL = re.compile(
    r"ss_.*|sshs_.*|modelspec\..*|sd_merge_.*|ot_.*|software|version|training_info|training_config|config|workflow|prompt"
    r"|extra_pnginfo|lora_adapter_metadata|.*recipe|.*license.*|.*url.*|.*source.*|.*homepage|.*website|.*repo.*"
    r"|.*description|.*author|.*comment|.*notes?|.*thumbnail|.*preview.*|civitai.*|sd\.artifact.*|base_model|merged_from"
    r"|tokenizer.*|_quantization_metadata|.*params?|.*info|.*metadata|quantization.*",
    re.IGNORECASE | re.DOTALL,
)
_PROFILE: Final = Profile(addresses=_USUAL, long_texts=_USUAL, long_from=65_536)


def _rule(name: str, title: str, explanation: str, remedy: str = _REWRITE) -> Rule:
    return Rule(f"safetensors-{name}", title, Severity.HIGH, NAME, explanation, remedy)


def _about_metadata(name: str, title: str, explanation: str, severity: Severity = Severity.HIGH) -> Rule:
    return Rule(f"safetensors-metadata-{name}", title, severity, NAME, explanation, _LOOK)


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "safetensors-not-safetensors",
        "Named safetensors, but another format",
        Severity.CRITICAL,
        NAME,
        "The name promises a format that cannot run code and the content is of another, which perhaps can.",
        "Do not load the file, with any library. Find out who renamed it.",
    ),
    Rule(
        "safetensors-header-values",
        "More values in the header than are read",
        Severity.MEDIUM,
        NAME,
        "The header is within the format's limit but so dense that reading it could exhaust memory.",
        "Ask for the weights in several files.",
    ),
    _rule("zip-polyglot", "Also a zip archive", "A reader of zip (or torch) archives finds another content in it."),
    _rule("truncated", "Cut short", "Tensors lie beyond the end of the file.", _REFETCH),
    _rule("header-overflow", "Header longer than the file", "The file is damaged, cut, or made to break readers."),
    _rule("header-limit", "Header over 100 MB", "The reference implementation refuses it; reading it costs memory."),
    _rule("header-start", "Header is not a JSON object", "The format demands '{' as the header's first byte."),
    _rule("header-encoding", "Header is not UTF-8", "Readers would disagree on the tensors' names, or fail."),
    _rule("header-json", "Header is not valid JSON", "No reader can tell which tensors the file holds."),
    _rule("header-nesting", "Header nested too deeply", "A tensor's description has two levels; more break readers."),
    _rule(
        "header-padding", "Something after the header's JSON", "Only spaces may pad the header; a payload hides there."
    ),
    _rule("duplicate-key", "Repeated key", "Readers keep the first or the last, so they see different tensors."),
    _rule("name", "Name is not valid Unicode", "Readers reject or silently change such names."),
    _rule("metadata", "Metadata is not text", "The format allows text under text keys only."),
    _rule("entry", "Tensor not described by an object", "The header breaks the format."),
    _rule("missing-field", "Tensor without type, shape or offsets", "The header breaks the format."),
    _rule("unknown-field", "Unknown field in a tensor's description", "Nobody checks what nobody reads."),
    _rule("unknown-dtype", "Unknown tensor type", "The size of the tensor cannot be proven."),
    _rule("shape", "Shape is not a list", "The header breaks the format."),
    _rule("offsets", "Offsets are not a begin and an end", "The header breaks the format."),
    _rule("not-an-integer", "Not an integer where one belongs", "Readers round or reject such numbers differently."),
    _rule("negative", "Negative number", "Sizes and offsets below zero reach outside the file in careless readers."),
    _rule("number-overflow", "Number beyond 64 bits", "It wraps around in careless readers."),
    _rule("shape-overflow", "More elements than 64 bits can count", "The product wraps around in careless readers."),
    _rule("subbyte", "Tensor does not end at a byte", "Types below 8 bits must fill whole bytes."),
    _rule("size-mismatch", "Bytes do not fit shape and type", "A reader would take too few or too many bytes."),
    _rule("overlap", "Tensors overlap", "Two tensors share bytes: changing one changes the other."),
    _rule("hole", "Bytes between tensors that belong to none", "A payload can hide there."),
    _rule("trailing-data", "Bytes after the last tensor", "A payload can hide there; zip archives begin at the end."),
    _about_metadata("url", "Address where none belongs", "Tools may fetch it.", Severity.LOW),
    _about_metadata(
        "url-suspicious",
        "Address that looks like a trap",
        "It carries credentials, names a bare number or a collector, or leads to a program.",
        Severity.MEDIUM,
    ),
    _about_metadata("long", "Long text where little belongs", "Metadata can carry anything past a look.", Severity.LOW),
    _about_metadata("script", "Script in the metadata", "Viewers and web pages run what they should only show."),
    _about_metadata("payload", "Program in the metadata", "A program, a pickle or an archive is written as letters."),
    _about_metadata(
        "limit", "More metadata than is judged", "What was not looked into may be anything.", Severity.MEDIUM
    ),
)
_BY_ID: Final[Mapping[str, Rule]] = {rule.id: rule for rule in RULES}


class SafetensorsStructure:
    """The inspector `safetensors-structure`; see the module."""

    name = NAME

    def inspect(self, reader: Subject) -> Report | None:
        """Clean with full coverage when the header accounts for every byte; None for files of other formats.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        head, kind = reader.head, reader.kind
        named = reader.suffix == ".safetensors"
        if kind.name != KIND and not named:
            return None
        if kind.name == "apple-double" and reader.path.rpartition("/")[2].startswith("._"):
            # What a Mac keeps of the file beside it: no reader of weights gets past its first bytes.
            return None
        if kind.name not in (KIND, "unrecognised", "empty"):
            finding = _BY_ID["safetensors-not-safetensors"].finding(
                reader.path, f"the file is named safetensors and its content is {kind.name}"
            )
            return self._report(reader, Verdict.BAD, len(head), finding)
        try:
            header = survey(reader)
        except HeaderProblem as problem:
            finding = _BY_ID[problem.rule].finding(reader.path, problem.message, location=problem.location)
            # Too dense to be read within our bounds is no defect, and no answer either.
            verdict = Verdict.UNKNOWN if problem.rule == "safetensors-header-values" else Verdict.BAD
            return self._report(reader, verdict, len(head), finding)
        findings = [*_polyglot(reader, header), *_metadata(reader.path, header)]
        if any(finding.severity.is_grave for finding in findings):
            return self._report(reader, Verdict.BAD, len(head), *findings)
        if any(finding.rule == "safetensors-metadata-limit" for finding in findings):
            return self._report(reader, Verdict.UNKNOWN, len(head), *findings)
        reader.inert(LENGTH_BYTES + header.header_bytes, reader.size_bytes)
        return self._report(reader, Verdict.CLEAN, reader.size_bytes, *findings)

    def _report(self, reader: RangeReader, verdict: Verdict, inspected_bytes: int, *findings: Finding) -> Report:
        coverage = Coverage(inspected_bytes, reader.size_bytes)
        return Report(NAME, reader.path, verdict, coverage, findings, KIND if verdict is Verdict.CLEAN else "")


def _polyglot(reader: RangeReader, header: Survey) -> Iterator[Finding]:
    place = zip_at_the_end(reader)
    if place is not None:
        message = f"{header.tensors} tensors fill the file, and a zip archive's directory lies at its end"
        yield _BY_ID["safetensors-zip-polyglot"].finding(reader.path, message, location=f"offset {place}")


def _metadata(path: str, header: Survey) -> Iterator[Finding]:
    judge = TextJudge(_PROFILE)
    for key, text in header.metadata.items():
        for about in (key, text):
            for found in judge.judge(key, about):
                rule, message = _BY_ID[f"safetensors-metadata-{found.rule}"], f"{shown(key)}: {found.message}"
                yield rule.finding(path, message, location=f"{METADATA_KEY} {shown(key)}")
