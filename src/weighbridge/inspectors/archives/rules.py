"""The rules of the inspector `archives`: what each finding about a container stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from weighbridge.core.finding import Severity
from weighbridge.inspectors.rule import Rule

NAME: Final = "archives"
_REPACK = "Do not load the file. Ask its publisher to write it again, best as safetensors."
_UNPACK = "Unpack it outside, look at what is inside, and bring in what is needed."
_LOW, _MEDIUM, _HIGH = Severity.LOW, Severity.MEDIUM, Severity.HIGH


def _rule(name: str, title: str, severity: Severity, explanation: str, remedy: str = _REPACK) -> Rule:
    return Rule(name, title, severity, NAME, explanation, remedy)


ZIP_RULES: Final[tuple[Rule, ...]] = (
    _rule("zip-broken", "The archive's structure breaks", _MEDIUM, "Not every member is where it should be."),
    _rule(
        "zip-ambiguous",
        "More than one archive in one file",
        _HIGH,
        "Readers differ in which end record counts, or whether the file is an archive at all, and so in what it holds.",
    ),
    _rule(
        "zip-header-mismatch",
        "A file is described in two ways",
        _HIGH,
        "The directory and the local header disagree; readers differ in which they believe.",
    ),
    _rule("zip-duplicate-name", "Two files of one name", _HIGH, "Readers differ in which of them they open."),
    _rule("zip-traversal", "A name that escapes", _HIGH, "Unpacked, the file would be written somewhere else."),
    _rule("zip-encrypted", "Encrypted files", _MEDIUM, "Nobody without the key knows what is inside."),
    _rule("zip-overlap", "Bytes of more than one file", _HIGH, "One run of bytes is read as several files."),
    _rule(
        "zip-extra-data",
        "Bytes that belong to no file",
        _MEDIUM,
        "Something lies before, between or behind the files. Another reader may find it.",
    ),
    _rule("zip-method", "Unknown compression", _MEDIUM, "The file is packed in a way that is not unpacked here."),
    _rule("zip-bomb", "A file that grows beyond measure", _HIGH, "Unpacking it exhausts memory or storage."),
    _rule("zip-limit", "More than is read", _MEDIUM, "The archive has more files, or larger ones, than are read."),
    _rule("zip-checksum", "Wrong checksum", _HIGH, "What is inside is not what was put in, or readers must differ."),
    _rule(
        "zip-storage-size",
        "A tensor's storage of another size",
        _MEDIUM,
        "The pickle names a storage that is not there, or has more or fewer bytes than it needs.",
    ),
    _rule("zip-link", "A symbolic link", _HIGH, "Unpacked, what is written through the link lands somewhere else."),
)
_SECOND_READING = "Readers differ in what they make of it, and so in which files the archive holds."

TAR_RULES: Final[tuple[Rule, ...]] = (
    _rule("tar-broken", "The archive's structure breaks", _MEDIUM, "Not every member is where it should be."),
    _rule("tar-checksum", "Wrong checksum of a header", _HIGH, "Some readers stop there, others look for the next."),
    _rule("tar-number", "A size or mode that is no number", _HIGH, _SECOND_READING),
    _rule(
        "tar-header-mismatch",
        "A member is described in two ways",
        _HIGH,
        "An extended header gives a name or size that the header itself could have said, and says otherwise; readers "
        "differ in which they believe, and in where they look for the next member (CVE-2025-62518).",
    ),
    _rule("tar-ambiguous", "Members behind the end", _HIGH, _SECOND_READING),
    _rule("tar-duplicate-name", "Two members of one name", _HIGH, "Readers differ in which of them they open."),
    _rule(
        "tar-similar-name",
        "Two names that differ in case or spelling only",
        _MEDIUM,
        "Where file names ignore case, or normalise Unicode, one file takes the place of the other.",
    ),
    _rule("tar-traversal", "A name that escapes", _HIGH, "Unpacked, the file would be written somewhere else."),
    _rule(
        "tar-link",
        "A link that leads outside, or is written through",
        _HIGH,
        "Unpacked, what is written or read through the link lies somewhere else (CVE-2007-4559, CVE-2025-4517).",
    ),
    _rule("tar-symbolic-link", "A symbolic link", _LOW, "It stays inside, and a model needs none.", _UNPACK),
    _rule("tar-device", "A device or pipe", _HIGH, "Unpacked with rights, it opens hardware or blocks its readers."),
    _rule("tar-setuid", "A file that runs with its owner's rights", _MEDIUM, "A model needs none.", _UNPACK),
    _rule("tar-type", "A member of unknown kind", _MEDIUM, "Readers differ in whether they write it.", _UNPACK),
    _rule("tar-sparse", "A sparse file", _MEDIUM, "Its content is spread over the archive and not looked at.", _UNPACK),
    _rule("tar-extra-data", "Fields that nobody knows", _MEDIUM, "Another reader may find something in them."),
    _rule("tar-trailing-data", "Bytes behind the end", _MEDIUM, "Another reader may find something in them."),
    _rule("tar-no-end", "The end is missing", _MEDIUM, "The archive was cut, or is to be continued by something else."),
    _rule("tar-limit", "More than is read", _MEDIUM, "The archive has more members, or larger ones, than are read."),
)
STREAM_RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "stream-broken", "The stream breaks", _MEDIUM, "What was unpacked before has been read when that is noticed."
    ),
    _rule("stream-checksum", "Wrong checksum", _HIGH, "What is inside is not what was put in, or readers must differ."),
    _rule("stream-no-checksum", "No checksum", _LOW, "Nothing tells a damaged file from a sound one.", _UNPACK),
    _rule(
        "stream-method",
        "Unknown compression",
        _MEDIUM,
        "The file is packed in a way that is not unpacked here.",
        _UNPACK,
    ),
    _rule(
        "stream-dictionary",
        "A dictionary that is not in the file",
        _MEDIUM,
        "What the file unpacks to depends on another file.",
        _UNPACK,
    ),
    _rule("stream-trailing-data", "Bytes behind the end", _MEDIUM, "Unpackers ignore them; another reader may not."),
    _rule(
        "stream-hidden-field",
        "Something beside the data",
        _MEDIUM,
        "A header's comment or extra field is passed over by unpackers; another file can hide there.",
    ),
    _rule(
        "stream-skippable-frame",
        "A frame that is skipped",
        _MEDIUM,
        "Unpackers pass over such frames; another file can hide there.",
    ),
    _rule("stream-name", "A name that escapes", _HIGH, "Unpacked by that name, it would be written somewhere else."),
    _rule("stream-bomb", "A file that grows beyond measure", _HIGH, "Unpacking it exhausts memory or storage."),
    _rule("stream-limit", "More than is unpacked", _MEDIUM, "The file unpacks to more than is looked at.", _UNPACK),
)
ARCHIVE_RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "archive-ambiguous",
        "An archive that begins as something else",
        _HIGH,
        "The first bytes are those of two formats at once; which one is read depends on who asks first.",
    ),
    _rule(
        "archive-not-understood",
        "A container that is not looked into",
        _MEDIUM,
        "The format is recognised and what is inside is not known.",
        _UNPACK,
    ),
)
SEVEN_ZIP_RULES: Final[tuple[Rule, ...]] = (
    _rule("7z-broken", "The archive's structure breaks", _MEDIUM, "Not every file is where it should be."),
    _rule("7z-checksum", "Wrong checksum", _HIGH, "What is inside is not what was put in, or readers must differ."),
    _rule(
        "7z-header-mismatch", "Names and contents do not match", _HIGH, "Readers differ in which name is which file's."
    ),
    _rule("7z-duplicate-name", "Two files of one name", _HIGH, "Readers differ in which of them they open."),
    _rule("7z-traversal", "A name that escapes", _HIGH, "Unpacked, the file would be written somewhere else."),
    _rule(
        "7z-link", "A symbolic link", _HIGH, "Unpacked, what is written through it lands elsewhere (CVE-2025-11001)."
    ),
    _rule(
        "7z-anti", "An entry that deletes", _HIGH, "Unpacked, it deletes a file of that name instead of writing one."
    ),
    _rule("7z-encrypted", "Encrypted files", _MEDIUM, "Nobody without the key knows what is inside."),
    _rule(
        "7z-method", "Unknown compression", _MEDIUM, "The files are packed in a way that is not unpacked here.", _UNPACK
    ),
    _rule("7z-extra-data", "Bytes that belong to no file", _MEDIUM, "Another reader may find something in them."),
    _rule("7z-limit", "More than is read", _MEDIUM, "The archive has more files, or larger ones, than are read."),
    _rule(
        "7z-not-understood",
        "A header that is not understood",
        _MEDIUM,
        "What it says of the files is not known.",
        _UNPACK,
    ),
)
RULES: Final[tuple[Rule, ...]] = (*ZIP_RULES, *TAR_RULES, *STREAM_RULES, *SEVEN_ZIP_RULES, *ARCHIVE_RULES)
BY_ID: Final[Mapping[str, Rule]] = {rule.id: rule for rule in RULES}
