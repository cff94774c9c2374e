"""Judges the tokens and the parts of a tokenizer: can they change what is written or shown, or be forged in a prompt?

Known and ordinary, from the tokenizers of public models: control tokens between brackets or bars, language codes, tokens
that tools mark as not special (`<think>`), masks that swallow the space before them, replacements of spaces, quotes,
punctuation or single letters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.formats.json_text import Json
from weighbridge.formats.regex_shapes import danger
from weighbridge.inspectors.texts.config_keys import shown

_WORD = re.compile(r"[^\W\d_]{3,}")
_WORDS = re.compile(r"[^\W\d_]{2,}(?:\s+[^\W\d_]{2,})+[.!?:]?")
_CONVENTIONAL = re.compile(
    r"[A-Z]{1,12}|(?i:unk|pad|bos|eos|cls|sep|mask|blank|start|end|sos|eot|sil|spn|null|none|empty|space|pause|unknown"
    r"|padding|newline|endoftext)|[a-z]{2,3}"
)
_REPLACED_WORD = re.compile(r"(?<![\\\w<\[])[^\W\d_]{2,}")
_CLASS = re.compile(r"\\[pP]\{[^}]*\}|\[:\w+:\]|\\[a-zA-Z]|\(\?[a-zA-Z]*[:=!<]|\[[^\]]*\]")
_ADDRESS = re.compile(r"(?i)\bhttps?://[\w-]+\.[\w.-]{2,}|\bwww\.[\w-]+\.\w{2,}")
_HIDDEN = re.compile("[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]")
_LATIN = re.compile("[A-Za-z]")
_LOOK_ALIKE = re.compile("[\u0370-\u03ff\u0400-\u052f\u13a0-\u13ff]")
_MARKS = "ĠĊ▁\u2581 "
MAX_TOKEN_ID: Final = 2**31 - 1

_NORMALIZERS = (
    "BertNormalizer Strip StripAccents NFC NFD NFKC NFKD Sequence Lowercase Nmt Precompiled Replace Prepend ByteLevel"
)
_PRE_TOKENIZERS = (
    "BertPreTokenizer ByteLevel CharDelimiterSplit Metaspace Whitespace WhitespaceSplit Sequence Split Punctuation Digits"
    " UnicodeScripts FixedLength"
)
_DECODERS = "BPEDecoder ByteLevel WordPiece Metaspace CTC Sequence Replace Fuse Strip ByteFallback"
_COMPONENTS: Final[Mapping[str, frozenset[str]]] = {
    "normalizer": frozenset(_NORMALIZERS.split()),
    "pre_tokenizer": frozenset(_PRE_TOKENIZERS.split()),
    "post_processor": frozenset(("RobertaProcessing", "BertProcessing", "ByteLevel", "TemplateProcessing", "Sequence")),
    "decoder": frozenset(_DECODERS.split()),
    "model": frozenset(("BPE", "WordPiece", "WordLevel", "Unigram")),
}
_INNER: Final = ("normalizers", "pretokenizers", "processors", "decoders")


@dataclass(frozen=True, slots=True)
class Noticed:
    """What is to be said: a rule's id without its prefix, a message, where."""

    rule: str
    message: str
    location: str


@dataclass(frozen=True, slots=True)
class Token:
    """An added token; `number` is None where the file gives none."""

    text: str
    number: int | None
    special: bool
    location: str


# --- tokens -------------------------------------------------------------------------------------


def judge_token(token: Token) -> Iterator[Noticed]:
    """What there is to say of one added token by itself."""
    text, where = token.text, token.location
    if token.number is not None and not 0 <= token.number <= MAX_TOKEN_ID:
        yield Noticed("malformed", f"the token {shown(text)} has the number {shown(token.number)}", where)
    if _ADDRESS.search(text):
        yield Noticed("address", f"the token {shown(text)} is an address", where)
    if not token.special:
        return
    if is_ordinary(text):
        yield Noticed("ordinary-special", f"the control token {shown(text)} is an ordinary word", where)
    if text.isascii():
        return
    if _HIDDEN.search(text):
        yield Noticed("hidden-characters", f"the control token {shown(text)} has characters that show nothing", where)
    if _LATIN.search(text) and _LOOK_ALIKE.search(text):
        yield Noticed("mixed-scripts", f"the control token {shown(text)} mixes scripts", where)


def is_ordinary(text: str) -> bool:
    """Whether a control token is a word, or words, that people write."""
    bare = text.strip(_MARKS)
    if _WORDS.fullmatch(bare):
        return True
    return _WORD.fullmatch(bare) is not None and not _CONVENTIONAL.fullmatch(bare)


def judge_tokens(tokens: list[Token], vocabulary: Json) -> Iterator[Noticed]:
    """What there is to say of added tokens, each and together, beside a vocabulary (text to number, or a list)."""
    numbers: dict[int, str] = {}
    texts: dict[str, int | None] = {}
    for token in tokens:
        yield from judge_token(token)
        text, number = token.text, token.number
        if number is not None and numbers.setdefault(number, text) != text:
            yield Noticed(
                "duplicate", f"{shown(numbers[number])} and {shown(text)} are both number {number}", token.location
            )
        if text in texts and texts[text] != number and None not in (number, texts[text]):
            yield Noticed("duplicate", f"{shown(text)} is number {texts[text]} and {number}", token.location)
        texts.setdefault(text, number)
    if isinstance(vocabulary, dict):
        yield from _against_vocabulary(numbers, texts, vocabulary)


def _against_vocabulary(
    numbers: dict[int, str], texts: dict[str, int | None], vocabulary: dict[str, Json]
) -> Iterator[Noticed]:
    where = "model.vocab"
    for text, number in texts.items():
        known = vocabulary.get(text)
        if known is not None and number is not None and known != number:
            yield Noticed("duplicate", f"{shown(text)} is number {number}, and {shown(known)} in the vocabulary", where)
    seen: dict[Json, str] = {}
    if any(type(number) is not int for number in vocabulary.values()):
        yield Noticed("malformed", "the vocabulary has a token whose number is none", where)
        return
    if len(set(vocabulary.values())) < len(vocabulary):
        for text, known in vocabulary.items():
            if known in seen:
                yield Noticed("duplicate", f"{shown(seen[known])} and {shown(text)} are both number {known}", where)
                break
            seen[known] = text
    taken = {number: text for text, number in vocabulary.items() if number in numbers}
    for number, text in numbers.items():
        other = taken.get(number, text)
        if other != text:
            yield Noticed("duplicate", f"{shown(text)} takes the number {number} of {shown(other)}", where)


# --- parts --------------------------------------------------------------------------------------


def judge_part(part: str, value: Json) -> Iterator[Noticed]:
    """What there is to say of a normaliser, pre-tokeniser, post-processor, decoder or model."""
    waiting: list[tuple[Json, str]] = [(value, part)]
    while waiting:
        one, where = waiting.pop()
        if one is None:
            continue
        if not isinstance(one, dict):
            yield Noticed("malformed", f"the {part} is {shown(one)}", where)
            continue
        kind = one.get("type")
        # Files of tokenizers before 0.9 do not name the model's type.
        if not isinstance(kind, str) and not (part == "model" and kind is None):
            yield Noticed("malformed", f"the {part} is of the type {shown(kind)}", where)
        elif kind is not None and kind not in _COMPONENTS[part]:
            yield Noticed("component-not-understood", f"the {part} {shown(kind)} is not known", where)
        yield from _component(part, one, where)
        for key in _INNER:
            inner = one.get(key)
            if isinstance(inner, list):
                waiting += [(item, f"{where}.{key}[{number}]") for number, item in enumerate(inner[:1000])]


def _component(part: str, value: dict[str, Json], where: str) -> Iterator[Noticed]:
    pattern = value.get("pattern")
    expression = pattern.get("Regex") if isinstance(pattern, dict) else None
    if isinstance(expression, str):
        reason = danger(expression)
        if reason:
            yield Noticed("regex", f"the expression {shown(expression)} {reason}", where)
    if value.get("type") == "Replace":
        literal = pattern.get("String") if isinstance(pattern, dict) else pattern
        yield from _replacement(part, expression, literal, value.get("content"), where)
    if value.get("type") == "TemplateProcessing":
        yield from _template(value, where)
    for key in ("prepend", "prefix", "suffix", "replacement", "content"):
        text = value.get(key)
        if isinstance(text, str) and _ADDRESS.search(text):
            yield Noticed("address", f"the {part} writes the address {shown(text)}", where)
        elif key != "content" and isinstance(text, str) and is_ordinary(text):
            yield Noticed("injected-text", f"the {part} writes {shown(text)}", where)


def _replacement(part: str, expression: Json, literal: Json, content: Json, where: str) -> Iterator[Noticed]:
    found = literal if isinstance(literal, str) else ""
    if isinstance(expression, str):
        found = _CLASS.sub(" ", expression)
    written = content if isinstance(content, str) else ""
    if _REPLACED_WORD.search(found) or _REPLACED_WORD.search(written):
        rule = "output-rewriting" if part == "decoder" else "input-rewriting"
        what = expression if isinstance(expression, str) else literal
        yield Noticed(rule, f"the {part} replaces {shown(what)} by {shown(content)}", where)


def _template(value: dict[str, Json], where: str) -> Iterator[Noticed]:
    specials = value.get("special_tokens")
    for name, one in specials.items() if isinstance(specials, dict) else ():
        tokens = one.get("tokens") if isinstance(one, dict) else None
        for text in tokens if isinstance(tokens, list) else [name]:
            if isinstance(text, str) and is_ordinary(text):
                yield Noticed("injected-text", f"every text is given the word {shown(text)}", where)
