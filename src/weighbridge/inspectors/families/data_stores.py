"""Arrays and vectors in other programs' formats: zarr, MATLAB, fastText, word2vec, NetCDF, CRFsuite, KenLM; spaCy's settings.

- zarr's JSON (`.zarray`, `.zgroup`, `.zattrs`, `.zmetadata`, `zarr.json`): codecs by allow-list; the pickle codec unpickles
  every chunk.
- MATLAB 5: the type of every array, also in cells and structures; function handles and objects name code.
- fastText: dictionary and matrices, dense or quantised, end to end. KenLM: recognised.
- NetCDF (classic): header and variables. NetCDF-4 is HDF5.
- CRFsuite: its chunks, which fill the file. OpenFst: every state of transducers and archives of them.
- spaCy's `config.cfg`: registered functions by the library's own names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from weighbridge.core.errors import Malformed
from weighbridge.core.finding import Report, Severity
from weighbridge.formats import netcdf, openfst
from weighbridge.formats.bounded import read_whole
from weighbridge.formats.json_text import parse
from weighbridge.formats.matlab import NESTED, NUMERIC, array_classes
from weighbridge.formats.pickle_window import Budget, ByteWindow
from weighbridge.inspectors.notes import Notes, shown
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject

NAME: Final = "data-stores"
MAX_TEXT_BYTES: Final = 16 * 1024 * 1024
MAX_WORDS: Final = 5_000_000
_MAX_PADDING: Final = 64 * 1024


def _rule(name: str, title: str, severity: Severity, explanation: str) -> Rule:
    remedy = "Do not load it with the library that wrote it; ask for plain arrays."
    return Rule(name, title, severity, NAME, explanation, remedy)


RULES: Final[tuple[Rule, ...]] = (
    _rule("zarr-pickle", "Zarr array of pickles", Severity.CRITICAL, "Reading a chunk unpickles it."),
    _rule("zarr-codec", "Zarr codec that is not known", Severity.MEDIUM, "A plug-in decodes the chunks."),
    _rule(
        "zarr-path",
        "Zarr store that leads outside",
        Severity.HIGH,
        "A reference or storage address is of another place.",
    ),
    _rule(
        "matlab-code", "MATLAB function handle or object", Severity.MEDIUM, "Loading an object runs its class's code."
    ),
    _rule("matlab-broken", "MATLAB file that breaks its format", Severity.MEDIUM, "It cannot be followed to its end."),
    _rule(
        "fasttext-broken", "fastText model that breaks its format", Severity.MEDIUM, "It cannot be followed to its end."
    ),
    _rule("crfsuite-broken", "CRFsuite model that breaks its format", Severity.MEDIUM, "Its chunks do not fill it."),
    _rule(
        "openfst-broken",
        "OpenFst file that breaks its format",
        Severity.MEDIUM,
        "It cannot be followed to its end, or is of a kind for which OpenFst loads a library.",
    ),
    _rule(
        "netcdf-broken",
        "NetCDF file that breaks its format",
        Severity.MEDIUM,
        "Its header cannot be followed, or a variable lies outside of the file.",
    ),
    _rule(
        "word2vec-broken",
        "word2vec file that breaks its format",
        Severity.MEDIUM,
        "Not every word is where it must be.",
    ),
    _rule(
        "kenlm-not-understood",
        "KenLM binary",
        Severity.LOW,
        "It is mapped into memory as it is; its parts are not read.",
    ),
    _rule(
        "spacy-function",
        "spaCy function of another package",
        Severity.MEDIUM,
        "Loading the pipeline calls it by its name.",
    ),
)
_BY_ID: Final = {rule.id: rule for rule in RULES}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ZARR: Final = frozenset((".zarray", ".zgroup", ".zattrs", ".zmetadata", "zarr.json"))
_CODECS: Final = _words(
    "adler32 astype base64 bitinfo bitround blosc bytes bz2 categorize crc32 crc32c delta endian fixedscaleoffset"
    " fletcher32 gzip jenkins_lookup3 json2 lz4 lzma msgpack msgpack2 packbits pcodec quantize sharding_indexed"
    " shuffle transpose vlen-array vlen-bytes vlen-utf8 zfpy zlib zstd default cast_value scale_offset regular v2"
)


class DataStores:
    """The inspector `data-stores`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Clean with full coverage for what is data; None for what is none of these formats.

        Raises:
            LimitExceeded: it is larger than is read; JsonProblem: its JSON is none.
            Truncated: the reader returned less than the artifact's size promises.
        """
        reading = _reading_of(subject)
        if reading is None:
            return None
        notes = Notes(subject, _BY_ID)
        try:
            covered = reading(subject, notes)
        except Malformed as problem:
            rule = f"{reading.__name__.strip('_')}-broken"
            if rule not in _BY_ID:
                raise
            notes.say(rule, problem.message)
            covered = 0
        return notes.report(NAME, covered)


def _reading_of(subject: Subject) -> Callable[[Subject, Notes], int] | None:
    kind, base = subject.kind.name, subject.path.rpartition("/")[2]
    readings = {
        "matlab": _matlab,
        "fasttext": _fasttext,
        "word2vec": _word2vec,
        "crfsuite": _crfsuite,
        "openfst": _openfst,
        "netcdf": _netcdf,
    }
    if kind in readings:
        return readings[kind]
    if kind == "kenlm":
        return _kenlm
    if base in _ZARR and kind == "json":
        return _zarr
    spacy = kind == "settings" and base.endswith(".cfg") and b"[nlp]" in subject.head
    return _spacy if spacy else None


def _netcdf(subject: Subject, _notes: Notes) -> int:
    """The header and the variables; what is between and behind them belongs to nothing unless it is zeros."""
    header = netcdf.read_header(subject)
    covered = position = header.end
    for start, end in [*header.spans(subject.size_bytes), (subject.size_bytes, subject.size_bytes)]:
        gap = max(0, start - position)
        if gap <= _MAX_PADDING and not subject.read_exactly(position, gap).strip(b"\0"):
            covered += gap
        subject.inert(max(start, position), end)
        covered += max(0, end - max(start, position))
        position = max(position, end)
    return covered


def _kenlm(_subject: Subject, notes: Notes) -> int:
    notes.say("kenlm-not-understood", "the file is a KenLM binary")
    return 0


# --- zarr, spaCy ---------------------------------------------------------------------------------


def _zarr(subject: Subject, notes: Notes) -> int:
    metadata = not subject.path.endswith(".zattrs")
    todo = [parse(read_whole(subject, MAX_TEXT_BYTES)).value]
    while todo and metadata:
        one = todo.pop()
        if isinstance(one, list):
            todo.extend(one)
        elif isinstance(one, dict):
            # Attributes are the user's own and are not interpreted.
            todo.extend(value for key, value in one.items() if key != "attributes" and not key.endswith(".zattrs"))
            _zarr_codec(one.get("id"), notes)
            if "configuration" in one or set(one) == {"name"}:
                _zarr_codec(one.get("name"), notes)
            for value in one.values():
                if isinstance(value, str) and re.match(r"(?:file|https?|s3|gs|ftp):|/|\.\./", value):
                    notes.say("zarr-path", f"the store refers to {shown(value)}")
    return subject.size_bytes


def _zarr_codec(name: object, notes: Notes) -> None:
    if not isinstance(name, str):
        return
    plain = name.removeprefix("numcodecs.")
    if plain.lower() in ("pickle", "dill", "cloudpickle", "joblib"):
        notes.say("zarr-pickle", f"the codec is {shown(name)}")
    elif plain not in _CODECS:
        notes.say("zarr-codec", f"the codec is {shown(name)}")


_REGISTERED: Final = re.compile(r"^\s*(@\w+)\s*=\s*[\"']?([^\"'\n]*)", re.MULTILINE)
_SPACY: Final = re.compile(r"(?:spacy(?:-\w+)?\.|thinc\.)?[\w-]+(?:\.v\d+)?\Z")


def _spacy(subject: Subject, notes: Notes) -> int:
    text = read_whole(subject, 1024 * 1024).decode("utf-8", "replace")
    for found in _REGISTERED.finditer(text):
        name = found.group(2).strip()
        own = name.startswith(("spacy.", "spacy-", "thinc.")) or re.fullmatch(r"\w+\.v\d+", name)
        if not own or not _SPACY.match(name):
            notes.say("spacy-function", f"{found.group(1)} is {shown(name)}")
    return subject.size_bytes


# --- MATLAB --------------------------------------------------------------------------------------

_CODE: Final = {3: "an object", 16: "a function handle", 17: "an opaque object", 18: "an object"}


def _matlab(subject: Subject, notes: Notes) -> int:
    window = ByteWindow(subject, 128, subject.size_bytes, Budget())
    for kind in array_classes(window, "little" if subject.head[126:128] == b"IM" else "big"):
        if kind in _CODE:
            notes.say("matlab-code", f"the file holds {_CODE[kind]}")
        elif kind not in NUMERIC and kind not in NESTED:
            raise Malformed(f"an array of class {kind} is none")
    return 0 if "matlab-code" in notes else subject.size_bytes


# --- fastText ------------------------------------------------------------------------------------


def _integer(window: ByteWindow, length: int) -> int:
    return int.from_bytes(window.take(length), "little", signed=True)


def _fasttext(subject: Subject, _notes: Notes) -> int:
    window = ByteWindow(subject, 4, subject.size_bytes, Budget())
    if _integer(window, 4) not in (11, 12):
        raise Malformed("the version is none of fastText's")
    window.skip(12 * 4 + 8)
    size, words, labels = (_integer(window, 4) for _ in range(3))
    window.skip(8)
    pruned = _integer(window, 8)
    if not (0 <= size <= MAX_WORDS and words >= 0 and labels >= 0 and words + labels == size and pruned >= -1):
        raise Malformed(f"a dictionary of {size} entries has {words} words and {labels} labels")
    for _ in range(size):
        _word(window)
    window.skip(8 * max(pruned, 0))
    quantised = True
    for _ in range(2):
        start = window.position
        quantised = _quantised(window, quantised)
        subject.inert(start, window.position)
    if window.remaining:
        raise Malformed(f"{window.remaining} bytes follow the last matrix")
    return subject.size_bytes


def _quantised(window: ByteWindow, allowed: bool) -> bool:
    """Passes a matrix, and says whether it is quantised: the second one only if the first is."""
    said = window.byte()
    if said > 1:
        raise Malformed(f"a matrix is of no known sort ({said})")
    if not said or not allowed:
        rows, columns = _integer(window, 8), _integer(window, 8)
        if rows < 0 or columns < 0:
            raise Malformed(f"a matrix is of {rows} by {columns}")
        window.skip(rows * columns * 4)
        return False
    norms = window.byte()
    rows, columns, codes = _integer(window, 8), _integer(window, 8), _integer(window, 4)
    if min(rows, columns, codes) < 0 or norms > 1:
        raise Malformed(f"a matrix is of {rows} by {columns} with {codes} codes")
    window.skip(codes)
    _centroids(window)
    if norms:
        window.skip(rows)
        _centroids(window)
    return True


def _centroids(window: ByteWindow) -> None:
    """A product quantiser: four numbers, then 256 centroids of as many columns as the first says."""
    columns = _integer(window, 4)
    window.skip(3 * 4)
    if columns < 0:
        raise Malformed(f"a quantiser has {columns} columns")
    window.skip(columns * 256 * 4)


def _crfsuite(subject: Subject, _notes: Notes) -> int:
    """A header of twelve numbers, then five chunks one behind the other, each of which begins with its name and size."""
    header = subject.read_exactly(0, 48)
    size, *places = (int.from_bytes(header[at : at + 4], "little") for at in (4, *range(28, 48, 4)))
    if header[8:12] != b"FOMC" or size != subject.size_bytes:
        raise Malformed("the header is none of CRFsuite's")
    at = 48
    for place, name in zip(places, (b"FEAT", b"CQDB", b"CQDB", b"LFRF", b"AFRF"), strict=True):
        chunk = subject.read_exactly(place, 8) if place + 8 <= size else b""
        # Newer writers begin chunks at multiples of four.
        if not at <= place < at + 4 or chunk[:4] != name:
            raise Malformed(f"chunk {name.decode()} is not at {at}")
        at = place + max(8, int.from_bytes(chunk[4:], "little"))
    if not 0 <= size - at < 4:
        raise Malformed(f"the chunks end at {at} of {size}")
    subject.inert(48, size)
    return size


def _openfst(subject: Subject, _notes: Notes) -> int:
    openfst.follow(subject)
    subject.inert(0, subject.size_bytes)
    return subject.size_bytes


def _word2vec(subject: Subject, _notes: Notes) -> int:
    head = re.match(rb"(\d{1,9}) (\d{1,5})\n", subject.head)
    if head is None:
        raise Malformed("the first line is no number of words and of columns")
    words, columns = int(head.group(1)), int(head.group(2))
    # Of every word at least a letter, a blank and its numbers must be there: nobody is made to count beyond the end.
    if head.end() + words * (2 + 4 * columns) > subject.size_bytes:
        raise Malformed(f"{words} words of {columns} columns do not fit")
    window = ByteWindow(subject, head.end(), subject.size_bytes, Budget())
    for _ in range(words):
        _spelled(window)
        window.skip(4 * columns)
    if window.remaining not in (0, 1) or (window.remaining and window.byte() != 0x0A):
        raise Malformed("bytes follow the last word")
    return subject.size_bytes


def _spelled(window: ByteWindow) -> None:
    """A word up to its blank; the original tool ends the one before with a newline, others do not."""
    for length in range(4096):
        letter = window.byte()
        if letter == 0x20:
            return
        if letter < 0x20 and not (letter == 0x0A and length == 0):
            raise Malformed(f"a word has a control character before {window.position}")
    raise Malformed(f"a word does not end before {window.position}")


def _word(window: ByteWindow) -> None:
    for _ in range(4096):
        if not window.byte():
            window.skip(9)
            return
    raise Malformed(f"a word does not end before {window.position}")
