"""Is this vocabulary (SentencePiece, tiktoken, merges, plain lists) well-formed, and nothing else?

Such files are data: pieces with scores, ranks, pairs, words. They are read whole and every byte must have a place.

- SentencePiece `ModelProto` by content: pieces, trainer, normaliser, self-test, denormaliser. The normaliser's compiled
  map is a double-array trie that old readers follow without a check, so its links must stay inside it.
- tiktoken ranks (`.tiktoken`, or `tokenizer.model` as text): base64, a space, a rank, on every line.
- `merges.txt`, `vocab.txt`, `.bpe`, `.vocab`, `.codes`: text of one, two or three columns.

Not assessed: what a vocabulary makes of a text. Limit: `MAX_BYTES` of vocabulary.
"""

from __future__ import annotations

import re
import struct
from array import array
from collections.abc import Callable
from typing import Final

from weighbridge.core.finding import Report, Severity
from weighbridge.formats.bounded import lines, read_whole
from weighbridge.formats.kinds import is_text
from weighbridge.formats.protobuf import BYTES, FIXED32, VARINT, Message, ProtobufProblem
from weighbridge.inspectors.notes import Notes, shown
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject

NAME: Final = "tokenizer-files"
MAX_BYTES: Final = 64 * 1024 * 1024
MAX_LINE_BYTES: Final = 64 * 1024


def _rule(name: str, title: str, severity: Severity, explanation: str, remedy: str) -> Rule:
    return Rule(name, title, severity, NAME, explanation, remedy)


_AGAIN = "Fetch the file again from its publisher; if it is the same there, do not load it."
RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "sentencepiece-broken",
        "SentencePiece model that breaks its format",
        Severity.MEDIUM,
        "The message cannot be followed to its end, or holds fields that the library does not write.",
        _AGAIN,
    ),
    _rule(
        "sentencepiece-charsmap",
        "Normaliser map that leads out of itself",
        Severity.HIGH,
        "The compiled map is a trie that libraries before 0.2.1 follow without a check: links beyond its end read, and "
        "write, other memory.",
        "Do not load the file. Ask its publisher to train or convert it again.",
    ),
    _rule(
        "sentencepiece-duplicate",
        "The same piece twice",
        Severity.LOW,
        "Readers keep the first, keep the last, or refuse: they see different tokens.",
        "Ask the publisher which is meant.",
    ),
    _rule(
        "tiktoken-broken",
        "Ranks that break off or repeat",
        Severity.MEDIUM,
        "A file of tiktoken ranks has lines that are none, or the same token or rank twice.",
        _AGAIN,
    ),
    _rule(
        "vocabulary-not-text",
        "Vocabulary that is no text",
        Severity.MEDIUM,
        "The file is named like a list of words or merges and is something else.",
        "Find out what it is, or leave it out with --exclude.",
    ),
    _rule(
        "vocabulary-merges",
        "Merges of another shape",
        Severity.LOW,
        "A line is no pair of symbols, so it is not known what a tokenizer makes of it.",
        _AGAIN,
    ),
)
_BY_ID: Final = {rule.id: rule for rule in RULES}

# Whisper's list gives the empty token as a single padding sign.
_RANK = re.compile(rb"(?:=|(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?) \d{1,9}\r?\Z")
_MERGE = re.compile(rb"[^\s]+ [^\s]+(?: \d+)?\r?\Z")
_SPM_FIELDS = frozenset((1, 2, 3, 4, 5))
_SPM_SUFFIXES = frozenset((".model", ".spm", ".spiece"))
_PLAIN_SUFFIXES = frozenset((".bpe", ".vocab", ".codes"))


class TokenizerFiles:
    """The inspector `tokenizer-files`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Clean with full coverage when every byte has its place; None for what is no vocabulary.

        Raises:
            LimitExceeded: it is larger than is read.
            Truncated: the reader returned less than the artifact's size promises.
        """
        reading = _reading_of(subject)
        if reading is None:
            return None
        notes = Notes(subject, _BY_ID)
        covered = reading(subject, notes)
        return notes.report(NAME, covered)


def _reading_of(subject: Subject) -> Callable[[Subject, Notes], int] | None:
    kind, suffix = subject.kind.name, subject.suffix
    base = subject.path.rpartition("/")[2].lower()
    if kind == "sentencepiece" or (kind == "unrecognised" and suffix in _SPM_SUFFIXES and subject.head[:1] == b"\n"):
        return _sentencepiece
    if kind == "other-text" and suffix in (".tiktoken", ".model") and _looks_like_ranks(subject.head):
        return _ranks
    if kind == "vocabulary":
        return _merges if "merges" in base else _words
    if kind in ("structured-text", "other-text") and suffix in _PLAIN_SUFFIXES:
        return _words if suffix == ".vocab" else _merges
    if base in ("vocab.txt", "merges.txt", "vocab.bpe") and kind in ("unrecognised", "other-text"):
        return _words
    return None


# --- SentencePiece -------------------------------------------------------------------------------


def _sentencepiece(subject: Subject, notes: Notes) -> int:
    data = read_whole(subject, MAX_BYTES)
    seen: set[bytes] = set()
    position = _plain_pieces(data, seen, notes)
    whole = Message.of(subject)
    rest = Message(whole.through, position, len(data), budget=whole.budget)
    try:
        for field in rest.fields():
            if field.number not in _SPM_FIELDS or not field.is_bytes:
                raise ProtobufProblem(f"field {field.number} is none of a SentencePiece model", field.at)
            message = rest.within(field)
            if field.number == 1:
                _note_piece(_piece(message), seen, notes)
            elif field.number in (3, 5):
                _normaliser(message, notes)
            else:
                for inner in message.fields():
                    _known(inner.number, 1, 60, inner.at)
    except ProtobufProblem as problem:
        notes.say("sentencepiece-broken", problem.message)
        return 0
    if not seen:
        notes.say("sentencepiece-broken", "the model has no pieces")
        return 0
    return len(data)


def _plain_pieces(data: bytes, seen: set[bytes], notes: Notes) -> int:
    """Passes the pieces as the library writes them (text, score, perhaps a type); where something else begins."""
    at, size = 0, len(data)
    while at + 9 < size and data[at] == 0x0A and data[at + 1] < 0x80 and data[at + 2] == 0x0A:
        end = at + 2 + data[at + 1]
        stop = at + 4 + data[at + 3]
        if end > size or data[at + 3] >= 0x80 or stop + 5 > end or data[stop] != 0x15:
            break
        tail = data[stop + 5 : end]
        if tail and (len(tail) != 2 or tail[0] != 0x18 or not 1 <= tail[1] <= 6):
            break
        _note_piece(data[at + 4 : stop], seen, notes)
        at = end
    return at


def _note_piece(piece: bytes, seen: set[bytes], notes: Notes) -> None:
    if piece in seen:
        notes.say("sentencepiece-duplicate", f"the piece {shown(piece)} is there more than once")
    seen.add(piece)


def _piece(message: Message) -> bytes:
    text = b""
    for field in message.fields():
        expected = {1: BYTES, 2: FIXED32, 3: VARINT}.get(field.number)
        if expected != field.wire_type:
            raise ProtobufProblem(f"field {field.number} is none of a piece", field.at)
        if field.number == 1:
            text = message.payload(field)
    return text


def _known(number: int, first: int, last: int, at: int) -> None:
    if not first <= number <= last:
        raise ProtobufProblem(f"field {number} is none that the library writes", at)


def _normaliser(message: Message, notes: Notes) -> None:
    for field in message.fields():
        _known(field.number, 1, 6, field.at)
        if field.number == 2:
            problem = _charsmap_problem(message.payload(field, at_most=MAX_BYTES))
            if problem:
                notes.say("sentencepiece-charsmap", problem, location=f"offset {field.start}")


def _charsmap_problem(blob: bytes) -> str:
    """Why a compiled map cannot be followed safely; "" when it can.

    A little-endian length, a darts-clone double array of so many bytes, then the texts it points to, each ended by
    zero. A unit with its top bit set holds a value (an offset in the texts); another leads to `index ^ offset ^ byte`.
    """
    if not blob:
        return ""
    length = int.from_bytes(blob[:4], "little")
    texts = blob[4 + length :]
    if len(blob) <= 4 or length % 4 or not 0 < length < len(blob) - 4:
        return f"the map says its trie has {length} of its {len(blob)} bytes"
    if texts[-1:] != b"\x00":
        return "the map's last text does not end"
    units = array("I")
    units.frombytes(blob[4 : 4 + length])
    if struct.pack("=I", 1) != struct.pack("<I", 1):
        units.byteswap()
    count, room = len(units), len(texts)
    for index, unit in enumerate(units):
        if unit & 0x80000000:
            if (unit & 0x7FFFFFFF) >= room:
                return f"unit {index} of the map points to text {unit & 0x7FFFFFFF} of {room}"
            continue
        offset = (unit >> 10) << ((unit & 0x200) >> 6)
        if unit and (index ^ offset) >= count:
            return f"unit {index} of the map leads to unit {index ^ offset} of {count}"
    return ""


# --- texts ---------------------------------------------------------------------------------------


def _looks_like_ranks(head: bytes) -> bool:
    first = head.split(b"\n", 1)[0]
    return bool(_RANK.match(first))


def _ranks(subject: Subject, notes: Notes) -> int:
    ranks: set[bytes] = set()
    tokens: set[bytes] = set()
    if subject.size_bytes > MAX_BYTES:
        return 0
    number = 0
    for number, line in enumerate(lines(subject, MAX_LINE_BYTES), start=1):
        if not _RANK.match(line):
            notes.say("tiktoken-broken", f"{shown(line)} is no token and rank", location=f"line {number}")
            return 0
        token, _, rank = line.rstrip(b"\r").partition(b" ")
        if token in tokens or rank in ranks:
            notes.say("tiktoken-broken", f"{shown(line)} repeats a token or rank", location=f"line {number}")
        tokens.add(token)
        ranks.add(rank)
    return subject.size_bytes if number else 0


def _text_lines(subject: Subject, notes: Notes, check: Callable[[int, bytes], bool]) -> int:
    if subject.size_bytes > MAX_BYTES:
        return 0
    understood = True
    for number, line in enumerate(lines(subject, MAX_LINE_BYTES), start=1):
        if not is_text(line, whole=True):
            notes.say("vocabulary-not-text", f"{shown(line)} is no text", location=f"line {number}")
            return 0
        understood = check(number, line) and understood
    return subject.size_bytes if understood else 0


def _words(subject: Subject, notes: Notes) -> int:
    """One entry a line, whatever it says: nothing interprets it."""
    return _text_lines(subject, notes, lambda _number, _line: True)


def _merges(subject: Subject, notes: Notes) -> int:
    def check(number: int, line: bytes) -> bool:
        header = number == 1 and line.startswith(b"#")
        if header or not line.strip() or _MERGE.match(line):
            return True
        notes.say("vocabulary-merges", f"{shown(line)} is no pair", location=f"line {number}")
        return False

    return _text_lines(subject, notes, check)
