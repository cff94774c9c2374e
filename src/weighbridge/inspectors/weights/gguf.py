"""Is this GGUF file exactly its metadata and its tensors, and is the metadata what models need?

The format makes the data section inert: numbers that a reader copies and never interprets. So a head that is proven to
account for every byte accounts for the whole file, and a clean answer has full coverage without reading the tensors.
Metadata is judged by its key: unknown keys of numbers and short texts are fine, addresses, scripts and programs are
not (`metadata_text`). Chat templates and embedded tokenizer files are inspected as artifacts of their own.

What the numbers, the vocabulary or the template make a model do is not assessed here. Covers files that are GGUF by
content or by name, and the older ggml containers, which are recognised and not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from weighbridge.core.errors import LimitExceeded
from weighbridge.core.finding import Coverage, Finding, Report, Verdict
from weighbridge.formats.gguf import GgufFile, read_gguf
from weighbridge.formats.gguf_values import STRING, GgufArray, GgufProblem
from weighbridge.formats.held import Held
from weighbridge.formats.zip_tail import zip_at_the_end
from weighbridge.inspectors.subject import Subject, report_of
from weighbridge.inspectors.template_copies import TEMPLATE_FACT, template_digest
from weighbridge.inspectors.weights.gguf_rules import BY_ID, NAME, RULES
from weighbridge.inspectors.weights.metadata_text import Profile, TextJudge, payload_of, shown

__all__ = ["KIND", "NAME", "RULES", "GgufStructure"]

KIND: Final = "gguf"
OLDER: Final = "ggml"

TEMPLATE_KEY: Final = "tokenizer.chat_template"
_TOKENIZER_FILE: Final = "tokenizer.huggingface.json"
MAX_BLOCKS: Final = 512
"""Layers that llama.cpp has room for; more are written beyond its arrays (its change 26051)."""

MAX_TOKEN_BYTES: Final = 65_536
MAX_ARRAY_TEXT: Final = 4 * 1024 * 1024
MAX_UNKNOWN_ARRAY_BYTES: Final = 1024 * 1024
MAX_UNKNOWN_BYTES: Final = 64 * 1024

_TOKENS = "tokenizer.ggml.tokens"
_PARALLEL: Final = {"tokenizer.ggml.scores": (6,), "tokenizer.ggml.token_type": (4, 5)}
_VOCABULARIES: Final = frozenset((_TOKENS, "tokenizer.ggml.merges", "tokenizer.ggml.added_tokens"))
_BYTE_TYPE = 6
_BYTE_TOKEN = re.compile(rb"<0x(?![0-9A-Fa-f]{2}>)[^>]{0,8}>")
_INERT_ARRAYS = re.compile(r"tokenizer\.ggml\..*|imatrix\..*|comfy\.gguf\.orig_shape\..*")
_BYTE_ARRAYS = re.compile(r"tokenizer\.ggml\.precompiled_charsmap")
_UNSAFE = re.compile(r"[^\w.+-]")
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.gguf", re.IGNORECASE)
_PROFILE: Final = Profile(
    addresses=re.compile(
        r"general\.(?:.*\.)?(?:url|repo_url|doi|link|website|homepage|huggingface\.repository)"
        r"|general\.(?:.*\.)?(?:source|description|license|author|organization|finetune|version|name|quantized_by)"
        r"|general\.license\.(?:name|link)|[\w.-]*quantized_by|mradermacher\..*|modelspec\..*"
    ),
    long_texts=re.compile(
        r"general\.(?:.*\.)?(?:description|license|license\.name)|tokenizer\.(?:huggingface|rwkv)\..*|modelspec\..*"
    ),
    long_from=16_384,
)


class GgufStructure:
    """The inspector `gguf-structure`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Clean with full coverage when the head accounts for every byte; None for files of other formats.

        Raises:
            LimitExceeded: the end of the file holds too many zip end records.
            Truncated: the reader returned less than the artifact's size promises.
        """
        kind, named = subject.kind.name, subject.suffix == ".gguf"
        if kind == OLDER:
            finding = BY_ID["ggml-not-understood"].finding(subject.path, _older(subject.head))
            return _refused(subject, [finding])
        if kind != KIND and not named:
            return None
        if kind not in (KIND, "unrecognised", "empty"):
            message = f"the file is named gguf and its content is {kind}"
            return _refused(subject, [BY_ID["gguf-not-gguf"].finding(subject.path, message)])
        try:
            file = read_gguf(subject)
        except GgufProblem as problem:
            finding = BY_ID[problem.rule].finding(subject.path, problem.message, location=problem.location)
            return _refused(subject, [finding])
        findings = [*_judged(subject, file), *_descend(subject, file)]
        if any(finding.rule in _UNANSWERED or finding.severity.is_grave for finding in findings):
            return _refused(subject, findings)
        subject.inert(file.data_start, file.data_end)
        return report_of(NAME, subject, findings, subject.size_bytes, kind=KIND)


_UNANSWERED: Final = frozenset(("gguf-version-retired", "gguf-metadata-limit"))


def _refused(subject: Subject, findings: list[Finding]) -> Report:
    """Bad for what is grave; unknown for what is merely beyond us. Either way nothing was accounted for."""
    grave = any(finding.severity.is_grave for finding in findings)
    coverage = Coverage(min(len(subject.head), subject.size_bytes), subject.size_bytes)
    return Report(NAME, subject.path, Verdict.BAD if grave else Verdict.UNKNOWN, coverage, tuple(findings))


def _older(head: bytes) -> str:
    name = {b"lmgg": "ggml", b"fmgg": "ggmf", b"tjgg": "ggjt", b"algg": "ggla"}.get(head[:4], "ggml")
    version = int.from_bytes(head[4:8], "little")
    numbered = name != "ggml" and len(head) >= 8
    return f"the file is of the older format {name}{f', version {version}' if numbered else ''}, which is not read"


def _judged(subject: Subject, file: GgufFile) -> Iterator[Finding]:
    path = subject.path
    if file.version == 1:
        yield BY_ID["gguf-version-retired"].finding(path, "the file is of version 1, which no current reader opens")
    place = zip_at_the_end(subject)
    if place is not None:
        message = f"{len(file.tensors)} tensors fill the file, and a zip archive's directory lies at its end"
        yield BY_ID["gguf-zip-polyglot"].finding(path, message, location=f"offset {place}")
    yield from _split(subject, file)
    yield from _vocabulary(path, file)
    yield from _layers(path, file)
    yield from _metadata(path, file)


def _split(subject: Subject, file: GgufFile) -> Iterator[Finding]:
    rule = BY_ID["gguf-split"]
    values = [file.pairs.get(f"split.{key}") for key in ("no", "count", "tensors.count")]
    if values == [None, None, None]:
        return
    number, count, tensors = (value if type(value) is int else -1 for value in values)
    subject.fact("gguf-split", f"{number} {count} {tensors} {len(file.tensors)}", location="split")
    if min(number, count, tensors) < 0 or number >= count or len(file.tensors) > tensors:
        message = (
            f"the file says it is part {number} of {count} with {tensors} tensors, and it holds {len(file.tensors)}"
        )
        yield rule.finding(subject.path, message, location="split")
        return
    named = _SHARD.search(subject.path)
    if named is not None and (int(named[1]), int(named[2])) != (number + 1, count):
        message = f"the name says part {int(named[1])} of {int(named[2])}, the file part {number + 1} of {count}"
        yield rule.finding(subject.path, message, location="split")


def _vocabulary(path: str, file: GgufFile) -> Iterator[Finding]:
    """Arrays that readers walk side by side are of one length and of the type that is read."""
    rule, tokens = BY_ID["gguf-tokenizer-array"], file.pairs.get(_TOKENS)
    for key in sorted(_VOCABULARIES & file.pairs.keys()):
        value = file.pairs[key]
        if not isinstance(value, GgufArray) or value.element_type != STRING:
            yield rule.finding(path, f"{key} is not an array of texts", location=key)
        elif value.longest > MAX_TOKEN_BYTES:
            message = f"a text of {key} has {value.longest} bytes, more than any word"
            yield BY_ID["gguf-token-length"].finding(path, message, location=key)
    for key, allowed in _PARALLEL.items():
        beside = file.pairs.get(key)
        if beside is None:
            continue
        if not isinstance(beside, GgufArray) or beside.element_type not in allowed:
            yield rule.finding(path, f"{key} is not an array of the numbers that readers take it for", location=key)
        elif not isinstance(tokens, GgufArray) or beside.count != tokens.count:
            count = tokens.count if isinstance(tokens, GgufArray) else 0
            yield rule.finding(path, f"{key} has {beside.count} elements for {count} tokens", location=key)
    yield from _byte_tokens(path, file)


def _byte_tokens(path: str, file: GgufFile) -> Iterator[Finding]:
    """Tokens that stand for a byte say which one; a sign in its place was written before the array's begin."""
    tokens, types = file.pairs.get(_TOKENS), file.pairs.get("tokenizer.ggml.token_type")
    if not isinstance(tokens, GgufArray) or tokens.element_type != STRING:
        return
    if not isinstance(types, GgufArray) or types.element_type not in (4, 5) or types.count != tokens.count:
        return
    # Almost no file has such a text, so the vocabulary is walked only when one is somewhere in its bytes.
    if not _BYTE_TOKEN.search(file.head.raw(tokens.start, tokens.end)):
        return
    for number, text in enumerate(file.head.strings(tokens)):
        if _BYTE_TOKEN.fullmatch(text) and file.head.integers(types, number, 1)[0] == _BYTE_TYPE:
            message = f"token {number} stands for a byte and says {shown(text.decode('latin-1'))}"
            yield BY_ID["gguf-byte-token"].finding(path, message, location=_TOKENS)
            return


def _layers(path: str, file: GgufFile) -> Iterator[Finding]:
    for key, value in file.pairs.items():
        if key.endswith(".block_count") and (type(value) is not int or not 0 <= value <= MAX_BLOCKS):
            message = (
                f"{key} is {value if type(value) is int else 'no number'}; readers have room for {MAX_BLOCKS} layers"
            )
            yield BY_ID["gguf-hyperparameter"].finding(path, message, location=shown(key))


def _metadata(path: str, file: GgufFile) -> Iterator[Finding]:
    judge = TextJudge(_PROFILE)
    for key, value in file.pairs.items():
        if isinstance(value, GgufArray):
            problems = _array(judge, file, key, value)
        elif isinstance(value, str) and not _is_member(key):
            problems = ((found.rule, found.message) for found in judge.judge(key, value))
        else:
            continue
        for rule, message in problems:
            yield BY_ID[f"gguf-metadata-{rule}"].finding(path, f"{shown(key)}: {message}", location=shown(key))


def _array(judge: TextJudge, file: GgufFile, key: str, array: GgufArray) -> Iterator[tuple[str, str]]:
    size = array.end - array.start
    if array.element_type == STRING:
        if key in _VOCABULARIES:
            return
        if size > MAX_ARRAY_TEXT:
            yield "limit", f"the texts of the array have {size} bytes, more than are judged"
            return
        text = "\n".join(raw.decode("utf-8", "replace") for raw in file.head.strings(array))
        yield from ((found.rule, found.message) for found in judge.judge(key, text))
        return
    if array.element_type in (0, 1) and not _BYTE_ARRAYS.fullmatch(key):
        name = payload_of(file.head.raw(array.start, array.end)) if size >= 4 else ""
        if name:
            yield "payload", f"an array of bytes that begins as a {name}"
        elif size > MAX_UNKNOWN_BYTES:
            yield "long", f"an array of {size} bytes"
    elif size > MAX_UNKNOWN_ARRAY_BYTES and not _INERT_ARRAYS.fullmatch(key):
        yield "long", f"an array of numbers of {size} bytes"


def _is_member(key: str) -> bool:
    return key in (TEMPLATE_KEY, _TOKENIZER_FILE) or key.startswith(f"{TEMPLATE_KEY}.")


def _descend(subject: Subject, file: GgufFile) -> Iterator[Finding]:
    """Hands templates and tokenizer files to those who judge such files."""
    for key, value in file.pairs.items():
        if not isinstance(value, str) or not _is_member(key) or not value:
            continue
        data = value.encode("utf-8")
        name = "tokenizer.json"
        if key != _TOKENIZER_FILE:
            subject.fact(TEMPLATE_FACT, template_digest(data), location=key)
            name = f"{_UNSAFE.sub('_', key[:200])}.jinja"
        try:
            subject.descend(Held(name, data), unpacked_bytes=len(data))
        except LimitExceeded as error:
            yield BY_ID["gguf-metadata-limit"].finding(
                subject.path, f"{shown(key)}: {error.message}", location=shown(key)
            )
