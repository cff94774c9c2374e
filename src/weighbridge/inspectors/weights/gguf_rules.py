"""The rules of GGUF files: what each finding's id stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from weighbridge.core.finding import Severity
from weighbridge.inspectors.rule import Rule

NAME: Final = "gguf-structure"

_REFETCH = "Do not load the file. Fetch it again from its publisher; if it is the same there, ask for a sound one."
_REWRITE = "Do not load the file. Ask its publisher to write it again with the gguf package or llama.cpp."
_CONVERT = "Convert the original weights again with a current llama.cpp, or have the file reviewed."
_LOOK = "Read the value. If nothing needs it, ask the publisher for a file without it."


def _rule(
    name: str, title: str, explanation: str, remedy: str = _REWRITE, *, severity: Severity = Severity.HIGH
) -> Rule:
    return Rule(f"gguf-{name}", title, severity, NAME, explanation, remedy)


RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "not-gguf",
        "Named GGUF, but another format",
        "The name promises a format that cannot run code and the content is of another, which perhaps can.",
        "Do not load the file, with any library. Find out who renamed it.",
        severity=Severity.CRITICAL,
    ),
    _rule("truncated", "Cut short", "The file ends within its own description.", _REFETCH),
    _rule("version", "Unknown version", "No such version exists; readers would guess at the layout."),
    _rule(
        "version-retired",
        "Version 1",
        "Current readers refuse it; those that do not are old and known to overflow.",
        _CONVERT,
        severity=Severity.MEDIUM,
    ),
    _rule(
        "count",
        "More keys or tensors than fit",
        "Readers allocate for the count before they read: CVE-2024-23605, CVE-2024-21836, CVE-2024-25664, CVE-2024-25666.",
    ),
    _rule(
        "limit",
        "More than is read",
        "The head or the padding is within the format and larger than any honest file needs.",
        "Ask for the weights in several files.",
        severity=Severity.MEDIUM,
    ),
    _rule(
        "key", "Key is not printable ASCII of 1 to 65,535 bytes", "The format demands it; readers in C stop or differ."
    ),
    _rule("duplicate-key", "Repeated key", "Readers keep the first or the last, so they see different models."),
    _rule(
        "value-type", "Unknown type of a value", "Nobody can tell where the value ends; readers index tables with it."
    ),
    _rule("bool", "Truth value that is neither 0 nor 1", "Readers differ on what it means."),
    _rule("nested-array", "Array of arrays", "llama.cpp refuses it; older readers overflowed on it (CVE-2024-21825)."),
    _rule(
        "array-length",
        "Array longer than the file",
        "Readers allocate for it before they read: CVE-2024-25667, CVE-2024-25668.",
    ),
    _rule(
        "string-length",
        "Text longer than the file, or than any text",
        "One is added to it and it wraps: CVE-2024-23496, CVE-2024-25665.",
    ),
    _rule("text", "Text that readers see differently", "The format demands UTF-8, and readers in C stop at a NUL."),
    _rule(
        "alignment",
        "Alignment is not a power of two up to 1 MiB",
        "Zero divides, large ones wrap around: GHSA-96jg-mvhq-q7q7.",
    ),
    _rule(
        "tensor-name",
        "Name of a tensor is empty, too long, or not plain text",
        "It is copied into a buffer of fixed size.",
    ),
    _rule("duplicate-tensor", "Repeated tensor", "Readers keep the first or the last, so they compute differently."),
    _rule("dimensions", "More than four dimensions", "Readers have room for four: CVE-2024-21802."),
    _rule("dimension-overflow", "More elements than 63 bits can count", "The product wraps around: CVE-2025-53630."),
    _rule(
        "size-overflow",
        "More bytes than 63 bits can count",
        "The sum wraps around and too little is allocated: CVE-2025-53630, CVE-2026-27940.",
    ),
    _rule("tensor-type", "Unknown tensor type", "Readers index tables with it; negative ones reach before them."),
    _rule(
        "type-not-understood",
        "Tensor type without a proven size",
        "The type was withdrawn, is internal to readers or belongs to a fork, so the layout cannot be proven.",
        _CONVERT,
        severity=Severity.MEDIUM,
    ),
    _rule(
        "block-size",
        "Rows that are not whole blocks",
        "Quantised types come in blocks; readers round and reach beyond.",
    ),
    _rule("offset-alignment", "Tensor is not aligned", "The format demands it; readers fault or take other bytes."),
    _rule("overlap", "Tensors overlap", "Two tensors share bytes: changing one changes the other."),
    _rule("hole", "Bytes between tensors that belong to none", "A payload can hide there."),
    _rule(
        "tensor-order",
        "Tensors out of order",
        "llama.cpp refuses it; writers put the data in the order of the descriptions.",
    ),
    _rule(
        "data-truncated",
        "Tensors beyond the end of the file",
        "Readers read past their memory: CVE-2026-7482.",
        _REFETCH,
    ),
    _rule("padding", "Padding that is not zero", "A payload can hide there."),
    _rule("trailing-data", "Bytes after the last tensor", "A payload can hide there; zip archives begin at the end."),
    _rule("zip-polyglot", "Also a zip archive", "A reader of zip (or torch) archives finds another content in it."),
    _rule(
        "split",
        "Part of a split file that contradicts itself",
        "Numbers, name or count of tensors do not fit together.",
        _REFETCH,
    ),
    _rule(
        "tokenizer-array",
        "Vocabulary arrays that do not fit",
        "Readers walk them side by side by the first one's length, without a look at their types.",
    ),
    _rule(
        "token-length",
        "Token longer than any word",
        "Its length was kept in too few bits: CVE-2025-49847.",
        severity=Severity.MEDIUM,
    ),
    _rule(
        "byte-token",
        "Byte token that names no byte",
        "The value is used as an index, also below zero (llama.cpp's change 26511).",
    ),
    _rule(
        "hyperparameter",
        "Number of layers that readers have no room for",
        "They write beyond their arrays (llama.cpp's change 26051).",
    ),
    _rule(
        "metadata-url",
        "Address where none belongs",
        "Addresses are for people to follow and for tools to fetch.",
        _LOOK,
        severity=Severity.LOW,
    ),
    _rule(
        "metadata-url-suspicious",
        "Address that looks like a trap",
        "It carries credentials, names a bare number or a collector, or leads to a program.",
        _LOOK,
        severity=Severity.MEDIUM,
    ),
    _rule(
        "metadata-long",
        "Much data where little belongs",
        "Metadata can carry anything past whoever looks at the tensors.",
        _LOOK,
        severity=Severity.LOW,
    ),
    _rule(
        "metadata-script",
        "Script in the metadata",
        "Viewers, web pages and shells run what they should only show.",
        _LOOK,
    ),
    _rule(
        "metadata-payload",
        "Program in the metadata",
        "A program, a pickle or an archive is written as letters or numbers.",
        _LOOK,
    ),
    _rule(
        "metadata-limit",
        "More metadata than is judged",
        "What was not looked into may be anything.",
        _LOOK,
        severity=Severity.MEDIUM,
    ),
    Rule(
        "ggml-not-understood",
        "Older ggml container",
        Severity.MEDIUM,
        NAME,
        "The format has no description of its own tensors' sizes, and only old readers open it.",
        _CONVERT,
    ),
)
BY_ID: Final[Mapping[str, Rule]] = {rule.id: rule for rule in RULES}
