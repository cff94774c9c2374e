"""Names that strangers choose: models, revisions, artifact paths, source addresses.

Rules:

- a model is `org/name`; both parts as the Hugging Face Hub allows them (letters, digits, `-`, `_`, `.`; no `--` or `..`,
  no leading or trailing `-` or `.`, at most 96 characters);
- a revision is 40 lowercase hexadecimal digits and nothing else is ever stored or served under that word;
- an artifact path is relative, of plain components, at most 1,024 bytes of UTF-8 in NFC; anything that two systems could
  read differently is refused (trust: path traversal, device names, bidirectional overrides, case collisions).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import field
from urllib.parse import urlsplit

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import ConfigError, UnsafePath
from weighbridge.core.later import later

_PART = later(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")
_REVISION = later(r"[0-9a-f]{40}")
_REFERENCE = later(r"[A-Za-z0-9_](?:[A-Za-z0-9._/-]{0,198}[A-Za-z0-9_])?")
_DEVICE = later(
    r"(?:con|prn|aux|nul|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3]|conin\$|conout\$)\s*(?:\..*)?",
    re.IGNORECASE,
)
_SHOWS_NOTHING = later("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
"""Default-ignorable characters outside of the general category Cf (Unicode, DerivedCoreProperties)."""
MAX_PATH_BYTES = 1_024
MAX_PATH_COMPONENTS = 64
SOURCE_SCHEMES = ("hf", "s3", "gs", "az")


def is_revision(text: str) -> bool:
    """Whether `text` is an immutable revision: 40 lowercase hexadecimal digits."""
    return _REVISION.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, order=True)
class ModelName:
    """The name of a model, `org/name`.

    Raises:
        ConfigError: a part breaks the rules above.
    """

    organisation: str
    name: str
    _hash: int = field(init=False, repr=False, compare=False)
    """Taken once: a name is the key of most of what is kept in memory."""

    def __post_init__(self) -> None:
        for part in (self.organisation, self.name):
            if not _PART.fullmatch(part) or "--" in part or ".." in part:
                raise ConfigError(
                    f"'{self.organisation}/{self.name}' is not a model name",
                    hint="Write org/name with letters, digits, '-', '_' and '.'.",
                )
        object.__setattr__(self, "_hash", hash((self.organisation, self.name)))

    def __hash__(self) -> int:
        return self._hash

    @classmethod
    def parse(cls, text: str) -> ModelName:
        """Reads `org/name`."""
        organisation, slash, name = text.partition("/")
        if not slash:
            raise ConfigError(f"'{text}' is not a model name", hint="Write org/name, for example acme/tiny.")
        return cls(organisation, name)

    def __str__(self) -> str:
        return f"{self.organisation}/{self.name}"


@dataclass(frozen=True, slots=True)
class Reference:
    """A model and, optionally, which of its revisions: `org/name[@revision|@channel]`."""

    model_name: ModelName
    selector: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Reads `org/name`, `org/name@<hex>` (4 to 40 digits of a revision) or `org/name@<channel>`.

        Raises:
            ConfigError: the text has another form.
        """
        name, at, selector = text.partition("@")
        if at and not _REFERENCE.fullmatch(selector):
            raise ConfigError(
                f"'{text}' names no revision after '@'",
                hint="Write org/name, org/name@<revision> or org/name@<channel>.",
            )
        return cls(ModelName.parse(name), selector)

    def __str__(self) -> str:
        return f"{self.model_name}@{self.selector}" if self.selector else str(self.model_name)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a model comes from or a store lies: a scheme, what it names, and a ref for the Hub.

    `scheme` is `hf`, `s3`, `gs`, `az` or `folder`; `location` is `org/name`, `bucket/prefix` or a path.
    """

    scheme: str
    location: str
    ref: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Reads `hf://org/name[@ref]`, `s3://bucket/prefix`, `gs://…`, `az://…`, or a path.

        Raises:
            ConfigError: an unknown scheme, credentials or a query in the address, or an empty location.
        """
        if any(unicodedata.category(character) == "Cc" for character in text):
            raise ConfigError("an address holds no control characters, line breaks or tabs")
        scheme, separator, rest = text.partition("://")
        if not separator or scheme == "file":
            location = rest if separator else text
            if not location or (separator and not location.startswith("/")):
                raise ConfigError("the address names no folder", hint="Name a folder or hf://org/name.")
            return cls("folder", location)
        if scheme not in SOURCE_SCHEMES:
            raise ConfigError(
                f"'{scheme}://' is not a kind of address",
                hint="Use hf://org/name[@ref], s3://bucket/prefix, gs://, az://, or a folder.",
            )
        if scheme == "hf":
            return cls._parse_hub(text, rest)
        try:
            parts = urlsplit(text)
        except ValueError as error:
            raise ConfigError(f"the '{scheme}://' address cannot be read") from error
        if parts.query or parts.fragment or "@" in parts.netloc or not parts.netloc:
            raise ConfigError(
                f"'{scheme}://' addresses are {scheme}://bucket/prefix and nothing more",
                hint="Give credentials through the environment, not in the address.",
            )
        return cls(scheme, f"{parts.netloc}/{parts.path.strip('/')}".rstrip("/"))

    @classmethod
    def _parse_hub(cls, text: str, rest: str) -> Address:
        name, at, ref = rest.partition("@")
        if ":" in name:
            raise ConfigError(
                "'hf://' addresses are hf://org/name[@ref] and nothing more",
                hint="Give tokens through HF_TOKEN or `hf auth login`, not in the address.",
            )
        ModelName.parse(name.rstrip("/"))
        if at and (not _REFERENCE.fullmatch(ref) or ".." in ref or "//" in ref):
            raise ConfigError(f"'{text}' names no ref after '@'", hint="Give a branch, a tag or a 40-hex commit.")
        return cls("hf", name.rstrip("/"), ref)

    @property
    def bucket(self) -> str:
        """The bucket or container of an object-store address."""
        return self.location.partition("/")[0]

    @property
    def prefix(self) -> str:
        """The key prefix of an object-store address, without slashes at either end."""
        return self.location.partition("/")[2]

    def __str__(self) -> str:
        if self.scheme == "folder":
            return self.location
        suffix = f"@{self.ref}" if self.ref else ""
        return f"{self.scheme}://{self.location}{suffix}"


def check_path(path: str, *, of: str) -> str:
    """Returns `path` when it is a safe artifact path of the model or place named by `of`.

    Raises:
        UnsafePath: it is absolute, has empty, `.` or `..` components, a backslash, a control or bidirectional character,
            a device name, a trailing dot or space, is not NFC, or is too long.
    """
    reason = _unsafe(path)
    if reason:
        raise UnsafePath(
            f"{of} holds a file named {path!r}, which {reason}",
            hint="Nothing was stored. Ask the publisher to rename it, or leave it out with --exclude.",
        )
    return path


def _unsafe(path: str) -> str:
    try:
        encoded = path.encode("utf-8")
    except UnicodeEncodeError:
        return "is not valid Unicode"
    components = path.split("/")
    if not path or len(encoded) > MAX_PATH_BYTES or len(components) > MAX_PATH_COMPONENTS:
        return "is empty or too long"
    if unicodedata.normalize("NFC", path) != path:
        return "is not in Unicode's normal form C"
    if "\\" in path or ":" in path:
        return "has a backslash, a drive letter or the name of a stream"
    plain = path.isascii() and path.isprintable()
    if not plain and (
        _SHOWS_NOTHING.search(path)
        or any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for character in path)
    ):
        return "has an invisible or control character"
    for component in components:
        if component in ("", ".", ".."):
            return "has an empty, '.' or '..' component"
        if component[-1] in ". " or _DEVICE.fullmatch(component):
            return "has a component that some systems read as another name"
    return ""


def check_paths(paths: Iterable[str], *, of: str) -> None:
    """Checks each path, and that no two of them meet on a system that ignores case or nests one in the other.

    Raises:
        UnsafePath: see `check_path`; or two paths collide.
    """
    seen: dict[str, str] = {}
    for path in paths:
        check_path(path, of=of)
        folded = unicodedata.normalize("NFC", path.casefold())
        if folded in seen:
            raise UnsafePath(
                f"{of} holds both {seen[folded]!r} and {path!r}, which are one file where case is ignored",
                hint="Nothing was stored. Leave one of them out with --exclude.",
            )
        seen[folded] = path
    for folded, path in seen.items():
        parent = folded.rpartition("/")[0]
        while parent:
            if parent in seen:
                raise UnsafePath(
                    f"{of} holds {seen[parent]!r} both as a file and as the folder of {path!r}",
                    hint="Nothing was stored. Leave one of them out with --exclude.",
                )
            parent = parent.rpartition("/")[0]
