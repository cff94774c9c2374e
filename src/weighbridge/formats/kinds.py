"""What a file is, by its first bytes before its name.

Content decides wherever a format has a signature; the name only tells texts apart (a Python file from a licence).
Naming a kind is not understanding it: nothing here says that a file is well-formed, or harmless. What has no signature
and is no text is `unrecognised`. A zip is a zip: whether it is a torch archive, a Keras model or an npz shows only in
its directory. Kinds whose signature is a guess (`pickle` of protocol 0 or 1, `onnx`, `sentencepiece`) say so below.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

from weighbridge.core.dataclass import dataclass
from weighbridge.core.later import later
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import read_exactly
from weighbridge.formats.tar_header import is_tar_header
from weighbridge.formats.text_opcodes import calls_something

HEAD_BYTES = 8 * 1024
"""How much of a file `kind_of` wants to see."""

Family = Literal[
    "weights",
    "code",
    "config",
    "text",
    "media",
    "archive",
    "executable",
    "serialised",
    "pointer",
    "empty",
    "unrecognised",
]


@dataclass(frozen=True, slots=True)
class Kind:
    """A stable kebab-case name, and the family that says who should look at such files."""

    name: str
    family: Family


EMPTY = Kind("empty", "empty")
UNRECOGNISED = Kind("unrecognised", "unrecognised")
PICKLE = Kind("pickle", "serialised")
NAMED_PICKLES: Final = frozenset((".pkl", ".pickle", ".p", ".joblib", ".dill", ".cloudpickle"))
"""Endings under which loaders expect pickles and nothing else."""

OTHER_TEXT = Kind("other-text", "text")

_MAGIC: Final[tuple[tuple[int, bytes, Kind], ...]] = (
    (0, b"GGUF", Kind("gguf", "weights")),
    (0, b"lmgg", Kind("ggml", "weights")),
    (0, b"fmgg", Kind("ggml", "weights")),
    (0, b"tjgg", Kind("ggml", "weights")),
    (0, b"algg", Kind("ggml", "weights")),
    (4, b"TFL3", Kind("tflite", "weights")),
    (4, b"ET12", Kind("executorch", "weights")),
    (0, b"CBM1", Kind("catboost", "weights")),
    (0, b"binf", Kind("xgboost-binary", "weights")),
    (0, b"{L\x00\x00\x00\x00\x00\x00\x00", Kind("ubjson", "weights")),
    (0, b"\x12\x01\x00\x00\x00\x00\x00\x00", Kind("mxnet-params", "weights")),
    (0, b"ptrt", Kind("tensorrt", "weights")),
    (0, b"ftrt", Kind("tensorrt", "weights")),
    (0, b"\xba\x16\x4f\x2f", Kind("fasttext", "weights")),
    (0, b"lCRF", Kind("crfsuite", "weights")),
    (0, b"\xd6\xfd\xb2\x7e", Kind("openfst", "weights")),
    (0, b"\x5c\xf3\xb2\x7e", Kind("openfst", "weights")),
    (0, b"mmap lm http://kheafield.com/code format version", Kind("kenlm", "weights")),
    (0, b"MATLAB 5.0 MAT-file", Kind("matlab", "serialised")),
    (0, b"\xac\xed\x00\x05", Kind("java-serialization", "serialised")),
    (0, b"Obj\x01", Kind("avro", "serialised")),
    (0, b"ORC", Kind("orc", "serialised")),
    (0, b"\x89HDF\r\n\x1a\n", Kind("hdf5", "weights")),
    (512, b"\x89HDF\r\n\x1a\n", Kind("hdf5", "weights")),
    (1024, b"\x89HDF\r\n\x1a\n", Kind("hdf5", "weights")),
    (2048, b"\x89HDF\r\n\x1a\n", Kind("hdf5", "weights")),
    (0, b"\x93NUMPY", Kind("npy", "serialised")),
    (0, b"PK\x03\x04", Kind("zip", "archive")),
    (0, b"PK\x05\x06", Kind("zip", "archive")),
    (0, b"PK\x07\x08", Kind("zip", "archive")),
    (257, b"ustar", Kind("tar", "archive")),
    (0, b"\x1f\x8b\x08", Kind("gzip", "archive")),
    (0, b"\xfd7zXZ\x00", Kind("xz", "archive")),
    (0, b"\x28\xb5\x2f\xfd", Kind("zstd", "archive")),
    (0, b"\x04\x22\x4d\x18", Kind("lz4", "archive")),
    (0, b"\x02\x21\x4c\x18", Kind("lz4", "archive")),
    (0, b"!<arch>\n", Kind("ar", "archive")),
    (0, b"070701", Kind("cpio", "archive")),
    (0, b"070702", Kind("cpio", "archive")),
    (0, b"070707", Kind("cpio", "archive")),
    (0, b"\xc7\x71", Kind("cpio", "archive")),
    (0, b"MSCF\x00\x00\x00\x00", Kind("cab", "archive")),
    (0, b"LZIP\x01", Kind("lzip", "archive")),
    (0, b"7z\xbc\xaf\x27\x1c", Kind("7z", "archive")),
    (0, b"Rar!\x1a\x07", Kind("rar", "archive")),
    (0, b"SQLite format 3\x00", Kind("sqlite", "archive")),
    (0, b"\x37\x7f\x06\x82\x00\x2d\xe2\x18", Kind("sqlite-journal", "archive")),
    (0, b"\x37\x7f\x06\x83\x00\x2d\xe2\x18", Kind("sqlite-journal", "archive")),
    (0, b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", Kind("sqlite-journal", "archive")),
    (0, b"PAR1", Kind("parquet", "serialised")),
    (0, b"ARROW1\x00\x00", Kind("arrow", "serialised")),
    *((0, b"CDF" + version, Kind("netcdf", "weights")) for version in (b"\x01", b"\x02", b"\x05")),
    (0, b"\x7fELF", Kind("elf", "executable")),
    (0, b"\x00asm", Kind("wasm", "executable")),
    (0, b"\xfe\xed\xfa\xce", Kind("mach-o", "executable")),
    (0, b"\xfe\xed\xfa\xcf", Kind("mach-o", "executable")),
    (0, b"\xce\xfa\xed\xfe", Kind("mach-o", "executable")),
    (0, b"\xcf\xfa\xed\xfe", Kind("mach-o", "executable")),
    (0, b"\xca\xfe\xba\xbf", Kind("mach-o", "executable")),
    (0, b"\x1bLua", Kind("lua-bytecode", "executable")),
    (0, b"dex\n0", Kind("dex", "executable")),
    (0, b"BC\xc0\xde", Kind("llvm-bitcode", "executable")),
    (0, b"L\x00\x00\x00\x01\x14\x02\x00", Kind("windows-shortcut", "executable")),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind("ole-document", "archive")),
    (0, b"MSCF\x00\x00\x00\x00", Kind("cabinet", "archive")),
    (0, b"\x89PNG\r\n\x1a\n", Kind("png", "media")),
    (0, b"\xff\xd8\xff", Kind("jpeg", "media")),
    (0, b"GIF87a", Kind("gif", "media")),
    (0, b"GIF89a", Kind("gif", "media")),
    (0, b"ID3", Kind("mp3", "media")),
    (0, b"\xff\xfb", Kind("mp3", "media")),
    (0, b"\xff\xf3", Kind("mp3", "media")),
    (4, b"ftyp", Kind("mp4", "media")),
    (0, b"fLaC", Kind("flac", "media")),
    (0, b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00", Kind("wave64", "media")),
    (0, b"OggS", Kind("ogg", "media")),
    (0, b"\x1a\x45\xdf\xa3", Kind("matroska", "media")),
    (0, b"II*\x00", Kind("tiff", "media")),
    (0, b"MM\x00*", Kind("tiff", "media")),
    (0, b"II+\x00\x08\x00\x00\x00", Kind("tiff", "media")),
    (0, b"MM\x00+\x00\x08\x00\x00", Kind("tiff", "media")),
    (344, b"n+1\x00", Kind("nifti", "media")),
    (4, b"n+2\x00\r\n\x1a\n", Kind("nifti", "media")),
    (0, b"\x00\x05\x16\x07\x00\x02\x00\x00", Kind("apple-double", "media")),
    (0, b"wOFF", Kind("font", "media")),
    (0, b"wOF2", Kind("font", "media")),
    (0, b"OTTO\x00", Kind("font", "media")),
    (0, b"ttcf\x00", Kind("font", "media")),
    (0, b"true\x00", Kind("font", "media")),
)
_COREML_WEIGHTS = later(rb".{2}\0\0\x02\0\0\0\0{56}\xef\xbe\xad\xde", re.DOTALL)
_RIFF: Final[Mapping[bytes, Kind]] = {
    b"WEBP": Kind("webp", "media"),
    b"WAVE": Kind("wav", "media"),
    b"AVI ": Kind("avi", "media"),
}
_UNSIGNED: Final[Mapping[str, Kind]] = {
    ".mlmodel": Kind("coreml", "weights"),
    ".pdmodel": Kind("paddle-model", "weights"),
    ".pdiparams": Kind("paddle-params", "weights"),
    ".caffemodel": Kind("caffe-model", "weights"),
}
"""Formats without a signature that could be taken for another's: here the name decides between binaries."""
_LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
_BZIP2 = later(rb"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)")
# Properties as every writer sets them, a dictionary of 2^n or 3 * 2^n bytes, a size or none, the coder's zero byte.
_LZMA = later(rb"\x5d\x00\x00[\x00-\xc0][\x00-\x08](?:\xff{8}|.{5}\x00{3})\x00", re.DOTALL)
# A frame that both zstd and lz4 skip.
_SKIPPABLE = later(rb"[\x50-\x5f]\x2a\x4d\x18")
# The version, the number of tables and what follows from it, the name of the first table.
_TRUETYPE = later(rb"\x00\x01\x00\x00\x00[\x04-\x40].{6}[A-Za-z][A-Za-z0-9/ ]{3}", re.DOTALL)
# Four bytes of size, two reserved numbers, the place of the rows, the length of the second header.
_BMP = later(rb"BM.{4}\x00{4}.{2}\x00\x00[\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00", re.DOTALL)
# The number of pictures, and of the first: sides, colours, a zero, planes, depth.
_ICO = later(rb"\x00\x00\x01\x00[\x01-\x40]\x00.{3}\x00[\x00\x01]\x00[\x00\x01\x04\x08\x10\x18\x20]\x00", re.DOTALL)
_FITS = later(rb"SIMPLE  = {20}T[ /].{49}[A-Z]", re.DOTALL)
_PATTERNS: Final = (
    (_BZIP2, Kind("bzip2", "archive")),
    (_LZMA, Kind("lzma", "archive")),
    (_TRUETYPE, Kind("font", "media")),
    (_SKIPPABLE, Kind("zstd", "archive")),
    (_BMP, Kind("bmp", "media")),
    (_ICO, Kind("ico", "media")),
    (_COREML_WEIGHTS, Kind("coreml-weights", "weights")),
)
_PYC = later(rb".[\x0c-\x0f]\r\n[\x00-\x03]\x00\x00\x00", re.DOTALL)
# PROTO with any protocol, then an opcode that a stream can begin with.
_PICKLE_PROTO = later(rb"\x80[\x00-\x05][\x95\]\}\)\(NKJMILFGUTVXSBCcidlt\x80\x82-\x8e\x96PQ.]")
# Protocols 0 and 1 have no signature; these are how their streams begin in practice. A guess, narrow enough that a list
# of words is not one.
_PICKLE_TEXT = later(
    rb"""\(?(?:
      c[A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n(?:p\d+\n|q[\x00-\x1f]|[(\])}.])   # GLOBAL, then memo or arguments
    | \(?i[A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n(?:p\d+\n|[.0])                # INST
    | [dl]p\d+\n | [\]}]q[\x00-\x1f]                                      # an empty dict or list, memoised
    | (?:I-?\d+ | F-?[\d.e+-]+ | L-?\d+L?)\n(?:p\d+\n|[.0(])
    | S(?:'[^\n]{0,200}'|"[^\n]{0,200}")\n(?:p\d+\n|[.0(ISic])
    | V[^\n]{0,200}\np\d+\n
    )""",
    re.VERBOSE,
)
# Serialised R objects: saved workspaces begin with RDX2 and the like, single objects with the encoding's letter.
_R_DATA = later(rb"(?:RD[AXB][23]\n)?(?:X\n\x00\x00\x00[\x02\x03]|A\n[23]\n\d+\n\d+\n|B\n[\x02\x03]\x00\x00\x00)")
_APE = (b"MZqFpD='", b"jartsr='", b"APEDBG='")
"""How programs begin that run on several systems: a shell script to one, an executable to another."""
_VARINT = rb"[\x80-\xff]{0,4}[\x00-\x7f]"
# TensorFlow: a SavedModel says its schema version and then a graph, which begins with its description; a frozen graph
# begins with a node, which has a name and an operation; a Keras description of a SavedModel with its root.
_SAVED_MODEL = later(rb"\x08[\x01-\x05]\x12" + _VARINT + rb"\x0a" + _VARINT + rb"[\x0a\x12\x22\x2a]", re.DOTALL)
_GRAPH_DEF = later(
    rb"\x0a" + _VARINT + rb"\x0a" + _VARINT + rb"[A-Za-z0-9._/>-]{1,200}\x12.[A-Za-z_]\w*[\x1a\x22\x2a]", re.DOTALL
)
_ONNX_TENSOR = later(rb"(?:\x08[\x80-\xff]{0,8}[\x00-\x7f]){0,16}\x10[\x01-\x1a][\x22\x2a\x32\x3a\x42\x4a\x52\x5a]")
# As the original tool and gensim write them: words and columns as text, then a word, a blank, numbers.
_WORD2VEC = later(rb"[1-9]\d{0,8} [1-9]\d{0,4}\n[^\x00-\x20]{1,4096} ")
_KERAS_METADATA = later(rb"\x0a" + _VARINT + rb"(?:\x10.)?\x1a\x04root\"", re.DOTALL)
# MessagePack has no signature: a map whose first key is a text, by its name or with a Flax array in it.
_MSGPACK_MAP = later(rb"(?:[\x81-\x8f]|\xde..|\xdf....)(?:[\xa0-\xbf]|\xd9.|\xda..)[\x20-\x7e]", re.DOTALL)
_MSGPACK_LIST = later(rb"[\x90-\x9f]|\xdc..|\xdd....", re.DOTALL)
_FLAX_ARRAY = later(rb"(?:\xc7.|\xc8..|\xc9....)[\x01\x03]\x93[\x90-\x9f]", re.DOTALL)
_SHEBANG = later(rb"#! ?/[^\n]{1,200}(?:\n|\Z)")
# How TensorFlow says which of the checkpoints beside is the newest.
_CHECKPOINT = later(
    rb"(?:(?:all_)?model_checkpoint_paths?: \"(?!/)(?:(?!\.\.)[\w./-]){1,200}\"\s+|(?:all_model_checkpoint|last_preserved)_timestamps?: [\d.e+]{1,30}\s+){1,60}"
)
_CONTROL = later(rb"[\x00-\x08\x0b\x0e-\x1f\x7f]")


def _endings(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_TEXT_BY_SUFFIX: Final[Mapping[str, Kind]] = {
    # Prose and lists that no loader acts on, whatever they say.
    **dict.fromkeys(
        _endings(
            ".txt .rst .log .srt .vtt .names .conllu .conll .labels .classes .tex .bib .cff .arpa .lst .list .dict .lexicon"
            " .sha256 .md5 .asc .pub .crt .tok .tags .phones .syms .stop .stopwords .aff .cif .pdb"
            " .bif .ascii .dot .gv .po .fasta .fa .smi .sdf .mol .mol2 .bed .gff .gtf .vcf .ann .iob .bio .mrg .edgelist"
            " .gb .gbk .embl .nex .nwk .newick"
        ),
        Kind("text", "text"),
    ),
    **dict.fromkeys((".md", ".markdown"), Kind("markdown", "text")),
    **dict.fromkeys((".json", ".jsonl", ".ndjson", ".json5", ".geojson"), Kind("json", "config")),
    **dict.fromkeys((".yaml", ".yml"), Kind("yaml", "config")),
    **dict.fromkeys((".toml", ".ini", ".cfg", ".conf", ".env"), Kind("settings", "config")),
    **dict.fromkeys((".jinja", ".jinja2", ".j2"), Kind("jinja", "config")),
    **dict.fromkeys((".csv", ".tsv", ".ecsv", ".arff"), Kind("table", "config")),
    **dict.fromkeys((".xml", ".pbtxt", ".prototxt", ".bpe", ".vocab"), Kind("structured-text", "config")),
    **dict.fromkeys((".py", ".pyi", ".pyw", ".pyx"), Kind("python", "code")),
    ".ipynb": Kind("notebook", "code"),
    **dict.fromkeys(
        (".html", ".htm", ".js", ".mjs", ".ts", ".lua", ".rb", ".pl", ".php", ".r"), Kind("source", "code")
    ),
    **dict.fromkeys((".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".hpp", ".rs", ".go", ".java"), Kind("source", "code")),
    **dict.fromkeys((".sh", ".bash", ".zsh", ".bat", ".cmd", ".ps1"), Kind("script", "executable")),
    ".svg": Kind("svg", "media"),
    ".css": Kind("stylesheet", "text"),
}
_LEGACY: Final = frozenset(("text", "table"))
"""Kinds of text that may be in an encoding of before Unicode: nothing in them is interpreted."""
_TEXTS_OR_BINARY: Final = frozenset((".dat", ".dic", ".tab"))
_TABLES_OR_BINARY: Final = frozenset((".vec", ".emb", ".glove", ".mat", ".data", ".matrix"))
"""Endings of data that may be text, and promise nothing."""
_PROSE = later(
    r"(?:readme|licen[cs]e|notice|copying|copyright|authors|contributors|changelog|citation|use_policy|security|version|thanks"
    r"|credits|sources?|(?:sha(?:256|512|1)|md5)sums?|checksums?)"
    r"(?:[-_][\w-]+)?|\.gitattributes|\.gitignore"
    r"|(?:licen[cs]e|copying|notice)[._-][\w-]{0,40}(?:mit|bsd|apache|gpl|mpl|isc|ofl|psf|cc)(?:[-_][\w.-]{1,20})?",
    re.IGNORECASE,
)
# Texts by their ending that a loader reads as something else.
_NOT_PROSE: Final[Mapping[str, Kind]] = {
    "merges.txt": Kind("vocabulary", "config"),
    "vocab.txt": Kind("vocabulary", "config"),
    "requirements.txt": Kind("requirements", "config"),
    "dockerfile": Kind("source", "code"),
    "makefile": Kind("source", "code"),
    **dict.fromkeys(("mlproject", "mlmodel"), Kind("yaml", "config")),
    "modelfile": Kind("text", "text"),
    ".env": Kind("settings", "config"),
    "pipfile": Kind("settings", "config"),
}

TEXT_KINDS: Final = frozenset(kind.name for kind in (*_TEXT_BY_SUFFIX.values(), *_NOT_PROSE.values())) - {"svg"}
"""Names of the kinds of text."""

_TORCH = frozenset(("pickle", "zip", "tar"))
_ZIP = frozenset(("zip",))
_EXPECTED: Final[Mapping[str, frozenset[str]]] = {
    **{suffix: frozenset((kind.name,)) for suffix, kind in _TEXT_BY_SUFFIX.items()},
    ".safetensors": frozenset(("safetensors",)),
    ".gguf": frozenset(("gguf",)),
    ".ggml": frozenset(("ggml",)),
    **dict.fromkeys((".pt", ".pth", ".ckpt"), _TORCH),
    # joblib compresses by zlib or gzip without a word in the name.
    **dict.fromkeys((".pkl", ".pickle"), frozenset(("pickle", "zlib", "gzip"))),
    **dict.fromkeys((".npz", ".keras", ".zip", ".whl", ".jar", ".mar"), _ZIP),
    ".nemo": frozenset(("tar", "gzip")),
    ".npy": frozenset(("npy",)),
    ".msgpack": frozenset(("msgpack",)),
    **dict.fromkeys((".h5", ".hdf5"), frozenset(("hdf5",))),
    ".onnx": frozenset(("onnx",)),
    ".tflite": frozenset(("tflite",)),
    ".tar": frozenset(("tar",)),
    **dict.fromkeys((".gz", ".tgz"), frozenset(("gzip",))),
    ".bz2": frozenset(("bzip2",)),
    ".xz": frozenset(("xz",)),
    ".zst": frozenset(("zstd",)),
    ".lz4": frozenset(("lz4",)),
    ".7z": frozenset(("7z",)),
    ".rar": frozenset(("rar",)),
    ".parquet": frozenset(("parquet",)),
    **dict.fromkeys((".sqlite", ".sqlite3"), frozenset(("sqlite",))),
    ".png": frozenset(("png",)),
    **dict.fromkeys((".jpg", ".jpeg"), frozenset(("jpeg",))),
    ".gif": frozenset(("gif",)),
    ".webp": frozenset(("webp",)),
    ".pdf": frozenset(("pdf",)),
    ".mp3": frozenset(("mp3",)),
    ".mp4": frozenset(("mp4",)),
    ".wav": frozenset(("wav",)),
    **dict.fromkeys((".aif", ".aiff", ".aifc"), frozenset(("aiff",))),
    ".w64": frozenset(("wave64",)),
    **dict.fromkeys((".tif", ".tiff"), frozenset(("tiff",))),
    ".bmp": frozenset(("bmp",)),
    ".flac": frozenset(("flac",)),
}


def kind_of(name: str, head: bytes, size: int) -> Kind:
    """The kind of a file of `size` bytes, of which `head` are the first (`HEAD_BYTES`, or all there are)."""
    if size == 0:
        return EMPTY
    if is_safetensors(head, size):
        return Kind("safetensors", "weights")
    if head.startswith(_LFS_POINTER) and size <= 1024:
        return Kind("lfs-pointer", "pointer")
    early = _in_text_or_binary(name, head)
    if early:
        return early
    if is_text(head, whole=len(head) >= size):
        # A text may begin with the letters of a binary's signature: "GGUF files of ..." is how model cards begin.
        return _text(name, head)
    for offset, magic, kind in _MAGIC:
        if head.startswith(magic, offset):
            return kind
    found = _binary(name, head) or _legacy_text(name, head)
    if found is None and suffix_of(name) in NAMED_PICKLES:
        # Protocols 0 and 1 have no signature: what a loader takes for a pickle by its name is judged as one.
        return PICKLE
    return found or UNRECOGNISED


def expected_kinds(name: str) -> frozenset[str]:
    """The names of the kinds that a file of that name holds; empty when its ending promises nothing."""
    base = name.rpartition("/")[2].lower()
    special = _special(base)
    if special is not None:
        return frozenset((special.name,))
    if base.endswith((".pth.tar", ".pt.tar", ".ckpt.tar")):
        # How torch checkpoints are called by custom, since long before they were zip archives.
        return _TORCH
    return _EXPECTED.get(suffix_of(name), frozenset())


def suffix_of(name: str) -> str:
    """The last ending of a file name, lowercase, with its dot; "" when it has none."""
    stem, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return f".{suffix.lower()}" if dot and stem else ""


def is_safetensors(head: bytes, size: int) -> bool:
    """Whether a file begins as safetensors do: a length that fits in the file, then JSON's opening brace."""
    return len(head) > 8 and head[8] == 0x7B and 2 <= int.from_bytes(head[:8], "little") <= size - 8


def is_text(data: bytes, *, whole: bool) -> bool:
    """Whether `data` is UTF-8 without control characters other than those of text; `whole` when nothing follows it."""
    if _CONTROL.search(data):
        return False
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        # A character cut by the end of the head is no defect.
        return not whole and error.reason == "unexpected end of data"
    return True


def read_head(reader: RangeReader) -> bytes:
    """The first `HEAD_BYTES` of an artifact, or all of a shorter one.

    Raises:
        Truncated: the reader returned less than the artifact's size promises.
    """
    return read_exactly(reader, 0, min(HEAD_BYTES, reader.size_bytes))


def _in_text_or_binary(name: str, head: bytes) -> Kind | None:
    """Kinds whose first bytes may all be text and that are more than text."""
    if _PICKLE_PROTO.match(head) or _PICKLE_TEXT.match(head) or calls_something(head):
        return PICKLE
    if _R_DATA.match(head):
        return Kind("r-data", "serialised")
    if head.startswith(_APE):
        return Kind("ape", "executable")
    if _SHEBANG.match(head) and not (suffix_of(name) == ".py" and b"python" in head.split(b"\n", 1)[0]):
        return Kind("script", "executable")
    if _FITS.match(head):
        return Kind("fits", "media")
    return Kind("pdf", "media") if head.startswith(b"%PDF-") else None


def is_legacy_text(data: bytes) -> bool:
    """Whether `data` has no control characters other than those of text, in whatever encoding of one byte or more."""
    return _CONTROL.search(data) is None


def _legacy_text(name: str, head: bytes) -> Kind | None:
    if _is_wide_text(head):
        return Kind("utf-16-text", "text")
    suffix = suffix_of(name)
    kind = Kind("text", "text") if suffix == ".dic" else _TEXT_BY_SUFFIX.get(suffix)
    # Readers of PDF look for its mark in all of the first kilobyte.
    plain = is_legacy_text(head) and b"%PDF-" not in head
    return kind if kind is not None and kind.name in _LEGACY and plain else None


def _binary(name: str, head: bytes) -> Kind | None:
    """Kinds that a fixed run of bytes does not tell."""
    if head.startswith(b"RIFF") and head[8:12] in _RIFF:
        return _RIFF[head[8:12]]
    if head.startswith((b"RF64", b"BW64", b"RIFX")) and head[8:12] == b"WAVE":
        return _RIFF[b"WAVE"]
    if head.startswith(b"FORM") and head[8:12] in (b"AIFF", b"AIFC"):
        return Kind("aiff", "media")
    for pattern, kind in _PATTERNS:
        if pattern.match(head):
            return kind
    if is_tar_header(head[:512]):
        return Kind("tar", "archive")
    program = _program(head)
    if program:
        return program
    # The last three need a dictionary.
    if head[:2] in (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda", b"\x78\x7d", b"\x78\xbb", b"\x78\xf9"):
        return Kind("zlib", "archive")
    packed = suffix_of(name) == ".msgpack"
    if (_MSGPACK_MAP.match(head) and (packed or _FLAX_ARRAY.search(head))) or (packed and _MSGPACK_LIST.match(head)):
        return Kind("msgpack", "weights")
    return _UNSIGNED.get(suffix_of(name)) or _word_vectors(head) or _protobuf(name, head)


def _is_wide_text(head: bytes) -> bool:
    """Whether it begins as UTF-16 with a byte order mark, and has no control characters other than those of text."""
    if not head.startswith((b"\xff\xfe", b"\xfe\xff")) or len(head) < 4:
        return False
    order = "utf-16-le" if head.startswith(b"\xff") else "utf-16-be"
    text = head[2:].decode(order, "replace").encode("utf-8")
    # The head may end within a character; further on the whole text is read.
    return text.count(b"\xef\xbf\xbd") <= 1 and not _CONTROL.search(text)


def _word_vectors(head: bytes) -> Kind | None:
    return Kind("word2vec", "weights") if _WORD2VEC.match(head) else None


def _program(head: bytes) -> Kind | None:
    if head.startswith(b"\xca\xfe\xba\xbe"):
        # A universal binary has a few architectures where a class file has its version, which began at 45.
        return Kind("mach-o" if int.from_bytes(head[4:8], "big") < 45 else "java-class", "executable")
    if _PYC.match(head):
        return Kind("python-bytecode", "executable")
    return Kind("pe", "executable") if _is_pe(head) else None


def _is_pe(head: bytes) -> bool:
    """MZ, and a PE signature where the header says; or a DOS program, which says nothing more than MZ and binary."""
    if not head.startswith(b"MZ") or len(head) < 64:
        return False
    place = int.from_bytes(head[60:64], "little")
    return head.startswith(b"PE\x00\x00", place) or b"\x00" in head[:64]


def _protobuf(name: str, head: bytes) -> Kind | None:
    """Protobuf has no signature; these are guesses from the first fields of the known messages."""
    if head.startswith(b"\x0a") and len(head) > 6 and head[2] == 0x0A and head[head[3] + 4 :].startswith(b"\x15"):
        # SentencePiece's ModelProto: pieces = 1 { piece = 1: text, score = 2: float }.
        return Kind("sentencepiece", "config")
    if _SAVED_MODEL.match(head):
        return Kind("saved-model", "weights")
    if _GRAPH_DEF.match(head):
        return Kind("graph-def", "weights")
    if _KERAS_METADATA.match(head):
        return Kind("keras-metadata", "weights")
    # ONNX's ModelProto: ir_version = 1, then texts (2, 3, 4, 6), model_version (5), graph (7), opset_import (8).
    versioned = head.startswith(b"\x08") and len(head) > 4 and 1 <= head[1] <= 20 and suffix_of(name) != ".pb"
    if versioned and head[2] in (0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42):
        return Kind("onnx", "weights")
    # ONNX's TensorProto, as test data beside models: dims = 1, data_type = 2, then data (4 to 11) or a name (8).
    return Kind("onnx-tensor", "weights") if suffix_of(name) == ".pb" and _ONNX_TENSOR.match(head) else None


def _special(base: str) -> Kind | None:
    """The kind of a text that goes by its whole name."""
    if base.startswith(("requirements", "constraints")) and base.endswith(".txt"):
        return _NOT_PROSE["requirements.txt"]
    return _NOT_PROSE.get(base)


def _text(name: str, head: bytes) -> Kind:
    base, suffix = name.rpartition("/")[2].lower(), suffix_of(name)
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    special = _special(base)
    if special is not None:
        return special
    kind = _TEXT_BY_SUFFIX.get(suffix)
    if kind is not None:
        # What a JSON reader cannot begin to read is some other text.
        return OTHER_TEXT if kind.name in ("json", "notebook") and first not in b'{["' else kind
    if suffix in _TABLES_OR_BINARY:
        return Kind("table", "config")
    if suffix in _TEXTS_OR_BINARY or _PROSE.fullmatch(base) or (base == "checkpoint" and _CHECKPOINT.fullmatch(head)):
        return Kind("text", "text")
    return Kind("json", "config") if not suffix and first in (b"{", b"[") else OTHER_TEXT
