"""The vocabularies of a tokenizer, in whichever file they are kept: token by number, which are control tokens.

- `tokenizer.json` (tokenizers library: BPE, WordPiece and WordLevel maps, Unigram lists), with its added tokens;
- `vocab.json`, `added_tokens.json`, `vocab.txt`, tiktoken ranks;
- `tokenizer.model` and its like (SentencePiece `ModelProto`: pieces with their type);
- GGUF metadata (`tokenizer.ggml.tokens` and `token_type`), from the file's head.

Limits: `MAX_TOKENS` tokens, and those of the readers (64 MiB of JSON).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeGuard

from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.drift.documents import read_document
from weighbridge.drift.side import Side
from weighbridge.formats.gguf import GgufFile
from weighbridge.formats.gguf_values import GgufArray
from weighbridge.formats.held import Held
from weighbridge.formats.json_text import Json
from weighbridge.formats.protobuf import Field, Message

MAX_TOKENS: Final = 2_000_000
MAX_BYTES: Final = 64 * 1024 * 1024
_RANK = re.compile(rb"([A-Za-z0-9+/=]{1,4000})[ \t](\d{1,9})")
SCORES: Final = "scores"
FLAGS: Final = "flags of added tokens"
"""Parts of `Vocabulary.rest` that say something of each token."""
_CONTROL_TYPES: Final = frozenset((2, 3, 4))
"""SentencePiece and GGUF: unknown, control, user-defined."""
_SENTENCEPIECE: Final = (".model", ".spm", ".bpe.model", ".spiece")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Numbers by token. `control` are the tokens that stand outside of ordinary text; `rest` is all else there is."""

    numbers: Mapping[str, int]
    control: Mapping[str, int] = field(default_factory=dict)
    rest: Mapping[str, Json] = field(default_factory=dict)


def is_vocabulary(path: str) -> bool:
    """Whether a file holds a vocabulary, by its name."""
    base = path.rpartition("/")[2].lower()
    return base in ("tokenizer.json", "vocab.json", "added_tokens.json", "vocab.txt") or base.endswith(
        (*_SENTENCEPIECE, ".tiktoken")
    )


def read_vocabulary(side: Side, path: str) -> Vocabulary:
    """The vocabulary in a file.

    Raises:
        FormatError: it is none that is read here, or breaks its format.
        DigestMismatch, SourceError, StoreError: it could not be read.
    """
    base = path.rpartition("/")[2].lower()
    if base == "tokenizer.json":
        return _tokenizer_json(read_document(side, path))
    if base.endswith(".json"):
        return Vocabulary(_numbers(read_document(side, path)))
    data = side.whole(path, MAX_BYTES)
    if base.endswith(".txt"):
        return Vocabulary(_counted(data.decode("utf-8", "backslashreplace").split("\n")))
    if _RANK.match(data):
        return Vocabulary(dict(_ranks(data)))
    return _sentencepiece(path, data)


def _numbers(value: Json) -> dict[str, int]:
    if not isinstance(value, dict):
        raise Malformed("the vocabulary is no map from tokens to numbers")
    if len(value) > MAX_TOKENS:
        raise LimitExceeded(f"the vocabulary has more than {MAX_TOKENS} tokens")
    found: dict[str, int] = {}
    for token, number in value.items():
        if isinstance(number, bool) or not isinstance(number, int):
            raise Malformed(f"the token {ascii(token)[:80]} has no number")
        found[token] = number
    return found


def _counted(tokens: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for number, token in enumerate(tokens):
        if number > MAX_TOKENS:
            raise LimitExceeded(f"the vocabulary has more than {MAX_TOKENS} tokens")
        found.setdefault(token, number)
    return found


# --- tokenizer.json -----------------------------------------------------------------------------


def _tokenizer_json(value: Json) -> Vocabulary:
    model = value.get("model") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(model, dict):
        raise Malformed("the tokenizer has no model")
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, list):
        numbers = _counted(_unigram(vocabulary))
    else:
        numbers = _numbers(vocabulary if vocabulary is not None else {})
    control: dict[str, int] = {}
    flags: dict[str, Json] = {}
    added = value.get("added_tokens")
    for one in added if isinstance(added, list) else []:
        text, number = (one.get("content"), one.get("id")) if isinstance(one, dict) else (None, None)
        if not isinstance(text, str) or isinstance(number, bool) or not isinstance(number, int):
            raise Malformed("an added token has no text, or no number")
        control[text] = number
        flags[text] = (
            {key: flag for key, flag in one.items() if key not in ("content", "id")} if isinstance(one, dict) else {}
        )
    rest: dict[str, Json] = {key: one for key, one in value.items() if key not in ("model", "added_tokens")}
    rest |= {f"model.{key}": one for key, one in model.items() if key != "vocab"}
    if isinstance(vocabulary, list):
        rest[SCORES] = {
            token: one[1] for token, one in zip(_unigram(vocabulary), vocabulary, strict=True) if _scored(one)
        }
    return Vocabulary(numbers, control, rest | {FLAGS: flags})


def _scored(one: Json) -> TypeGuard[list[Json]]:
    return isinstance(one, list) and len(one) > 1


def _unigram(vocabulary: list[Json]) -> Iterator[str]:
    for one in vocabulary:
        text = one[0] if isinstance(one, list) and one else None
        if not isinstance(text, str):
            raise Malformed("a piece of the vocabulary has no text")
        yield text


# --- ranks and pieces ----------------------------------------------------------------------------


def _ranks(data: bytes) -> Iterator[tuple[str, int]]:
    for number, line in enumerate(data.splitlines(), start=1):
        match = _RANK.fullmatch(line)
        if line.strip() and match is None:
            raise Malformed(f"line {number} is no token and rank")
        if number > MAX_TOKENS:
            raise LimitExceeded(f"the vocabulary has more than {MAX_TOKENS} tokens")
        if match:
            yield match[1].decode("ascii"), int(match[2])


def _sentencepiece(path: str, data: bytes) -> Vocabulary:
    numbers: dict[str, int] = {}
    control: dict[str, int] = {}
    rest: dict[str, Json] = {}
    scores: dict[str, Json] = {}
    message = Message.of(Held(path, data))
    for one in message.fields():
        if one.number != 1 or not one.is_bytes:
            # Trainer and normaliser: what they say is compared as bytes.
            name = {2: "trainer", 3: "normalizer", 4: "self-test", 5: "denormalizer"}.get(
                one.number, f"field {one.number}"
            )
            rest[name] = data[one.start : one.end].hex()
            continue
        text, kind, score = _piece(message.within(one))
        if len(scores) >= MAX_TOKENS:
            raise LimitExceeded(f"the vocabulary has more than {MAX_TOKENS} tokens")
        if text in numbers or not text:
            text = f"{text} (piece {len(scores)})"
        numbers[text] = len(scores)
        if kind in _CONTROL_TYPES:
            control[text] = numbers[text]
        scores[text] = score
    if not numbers:
        raise Malformed("the model has no pieces")
    return Vocabulary(numbers, control, rest | {SCORES: scores})


def _piece(message: Message) -> tuple[str, int, int]:
    text, kind, score = "", 1, 0
    for one in message.fields():
        if one.number == 1:
            text = message.text(one)
        elif one.number == 2:
            score = one.value
        elif one.number == 3:
            kind = _small(one)
    return text, kind, score


def _small(one: Field) -> int:
    return one.value if one.value < 100 else 0


# --- GGUF ----------------------------------------------------------------------------------------


def gguf_vocabulary(file: GgufFile) -> Vocabulary | None:
    """The vocabulary in GGUF metadata; None where there is none."""
    tokens = file.pairs.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, GgufArray) or tokens.element_type != 8:
        return None
    if tokens.count > MAX_TOKENS:
        raise LimitExceeded(f"the vocabulary has more than {MAX_TOKENS} tokens")
    texts = [raw.decode("utf-8", "backslashreplace") for raw in file.head.strings(tokens)]
    numbers = _counted(texts)
    types = file.pairs.get("tokenizer.ggml.token_type")
    control: dict[str, int] = {}
    if isinstance(types, GgufArray) and types.element_type in (4, 5) and types.count == tokens.count:
        kinds = file.head.integers(types, 0, types.count)
        control = {text: numbers[text] for text, kind in zip(texts, kinds, strict=True) if kind in _CONTROL_TYPES}
    rest: dict[str, Json] = {}
    for key, value in file.pairs.items():
        if key.startswith("tokenizer.ggml.") and key not in ("tokenizer.ggml.tokens", "tokenizer.ggml.token_type"):
            rest[key] = file.head.raw(value.start, value.end).hex() if isinstance(value, GgufArray) else value
    return Vocabulary(numbers, control, rest)
