"""What text in a weight file's metadata has no business to be: addresses, scripts, programs in disguise.

Metadata is shown to people, copied into web pages and handed to tools, so it is a carrier. Each value is judged by its
key: a container's `Profile` says under which keys addresses and long texts are usual. What honest tools write yields
nothing: the training records of LoRA tools (long JSON under `ss_*`), modelspec (addresses, a thumbnail as a data URL),
workflows of ComfyUI, licences, web addresses of well-known hosts anywhere.

Limits: `MAX_JUDGED` characters of one value are looked into, and `MAX_TOTAL` of one file; beyond them `limit` is said.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.formats.kinds import kind_of

MAX_JUDGED: Final = 4 * 1024 * 1024
MAX_TOTAL: Final = 8 * 1024 * 1024
MAX_RUNS: Final = 20_000

_SCRIPTS: Final[tuple[tuple[str, tuple[str, ...], re.Pattern[str]], ...]] = tuple(
    (what, tuple(hints.split()), re.compile(pattern, re.IGNORECASE))
    for what, hints, pattern in (
        ("HTML that runs", "script iframe <object <embed", r"<\s*(?:script|iframe|object|embed)\b"),
        (
            "HTML that runs",
            "onerror onload onclick onmouseover onfocus ontoggle",
            r"<[a-z][^<>]{0,200}[\s/]on(?:error|load|click|mouseover|focus|toggle)\s*=",
        ),
        ("a script address", "script", r"(?<![\w-])(?:javascript|vbscript)\s*:\s*[\w(;/%]{2}"),
        (
            "a download that is run",
            "curl wget fetch",
            r"\b(?:curl|wget|fetch)\s[^\n|]{1,300}+\|\s*(?:sudo\s+)?(?:ba|z|da|k)?sh\b",
        ),
        (
            "a download that is run",
            "curl wget",
            r"\b(?:ba|z|da|)sh\s+(?:<\(|-c\s+[\"'$`(]?\s*(?:\$\(|`)?\s*)(?:curl|wget)\b",
        ),
        (
            "a shell command",
            "/dev/ mkfifo nc ncat rm",
            r"/dev/(?:tcp|udp)/[\w.]+/\d+|\bmkfifo\s+/|\bnc(?:at)?\s+-\w*e\b|\brm\s+-rf\s+[/~$]",
        ),
        (
            "a shell command",
            "curl wget bash sh nc python perl ruby powershell",
            r"(?:\$\(|`|;\s{0,9}|&&\s{0,9})(?:(?:curl|wget)\s+(?:-\w|\w+://|[\w-]+\.\w)|(?:bash|sh|nc|python3?|perl|ruby|powershell)\s+-[a-z])",
        ),
        ("a shell command", "sh chmod", r"\b(?:ba|z|da)?sh\s+-i\s*(?:>&|<|>)|\bchmod\s+\+x\s+\S+\s*(?:;|&&)"),
        (
            "a PowerShell command",
            "powershell iex invoke-",
            r"\bpowershell(?:\.exe)?\s+-|\bIEX\s*\(|\bInvoke-(?:Expression|WebRequest)\b",
        ),
        (
            "a Windows command",
            "cmd certutil mshta regsvr32 rundll32",
            r"\bcmd(?:\.exe)?\s+/c\b|\bcertutil\b.{0,40}-urlcache|\b(?:mshta|regsvr32|rundll32)(?:\.exe)?\s",
        ),
        (
            "Python that runs",
            "__import__ os",
            r"\b__import__\s*\(|\bos\s{0,9}\.\s{0,9}(?:system|popen|exec[lv]p?e?|spawn\w+)\s*\(",
        ),
        (
            "Python that runs",
            "subprocess",
            r"\bsubprocess\s{0,9}\.\s{0,9}(?:Popen|run|call|check_\w+|getoutput)\s*\(",
        ),
        (
            "Python that runs",
            "eval exec",
            r"\b(?:eval|exec)\s*\(\s*(?:compile|base64|exec|eval|open|requests|urllib|bytes|__|zlib|b?[\"'])",
        ),
        (
            "Python that runs",
            "pickle dill marshal",
            r"\b(?:pickle|cPickle|dill|marshal|cloudpickle)\s{0,9}\.\s{0,9}loads?\s*\(",
        ),
        (
            "Python internals",
            "__",
            r"__(?:globals|subclasses|builtins|mro|class|base|bases|reduce|reduce_ex|init_subclass)__\s*[.\[(]",
        ),
        ("a lookup that runs", "${", r"\$\{\s*(?:jndi|env|sys|lower|upper)\s*:"),
        ("PHP", "<?", r"<\?(?:php|=)"),
    )
)
"""What runs somewhere; the words without which the expression, which is slow, is not tried; the expression."""

_ADDRESS = re.compile(
    r"(?<![A-Za-z0-9+.-])([A-Za-z][A-Za-z0-9+.-]{1,15})://((?:[\w.-]{1,100}@)?(?:\[[0-9A-Fa-f:.]{2,45}\])?[^\s\"'<>\\\])}]{0,2000})"
)
_SHARE = re.compile(r"(?:^|[\s\"'=])\\\\\\?\\?([\w.-]+)\\\\?[\w$.-]+")
_IP = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}|\[[0-9a-fA-F:.]+\]|0x[0-9a-fA-F]+|\d{8,10}")
_RUNNABLE = re.compile(
    r"\.(?:exe|dll|scr|msi|bat|cmd|ps1|vbs|hta|sh|bash|elf|dylib|jar|apk|deb|rpm|lnk|iso)(?:[?#].*)?$",
    re.IGNORECASE,
)
_LOCAL_HOSTS: Final = frozenset(("localhost", "127.0.0.1", "0.0.0.0", "[::1]"))  # noqa: S104 - a name in a text
_CALLBACK_HOSTS: Final = re.compile(
    r"(?:.*\.)?(?:webhook\.site|requestbin\.(?:com|net)|pipedream\.net|oast\.\w+|oastify\.com|interact\.sh|interactsh\.com"
    r"|burpcollaborator\.net|ngrok\.io|ngrok-free\.app|ngrok\.app|trycloudflare\.com|serveo\.net|loca\.lt|localtunnel\.me"
    r"|pastebin\.com|paste\.ee|transfer\.sh|file\.io|0x0\.st|termbin\.com|dnslog\.cn|ceye\.io|canarytokens\.com|grabify\.link"
    r"|iplogger\.(?:org|com)|[\w-]+\.onion)"
)
_CALLBACK_PLACES: Final = re.compile(
    r"(?:discord(?:app)?\.com/api/webhooks/|hooks\.slack\.com/|api\.telegram\.org/bot)", re.IGNORECASE
)
_KNOWN_HOSTS: Final = re.compile(
    r"(?:.*\.)?(?:huggingface\.co|hf\.co|github\.com|github\.io|githubusercontent\.com|gitlab\.com|bitbucket\.org"
    r"|arxiv\.org|doi\.org|civitai\.com|modelscope\.cn|modelscope\.ai|kaggle\.com|wikipedia\.org|opensource\.org"
    r"|creativecommons\.org|apache\.org|gnu\.org|spdx\.org|mit-license\.org|pytorch\.org|tensorflow\.org|w3\.org"
    r"|json-schema\.org|schema\.org|openai\.com|google\.com|meta\.com|facebook\.com|microsoft\.com|nvidia\.com|mistral\.ai"
    r"|stability\.ai|ollama\.com|ollama\.ai|llama\.com|qwen\.ai|alibabacloud\.com|deepseek\.com|unsloth\.ai"
    r"|comfy\.org|tensor\.art|seaart\.ai|youtube\.com|ko-fi\.com|patreon\.com|discord\.gg|x\.com|twitter\.com)"
)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{64,}={0,2}")
_DATA_URL = re.compile(r"data:([\w.+-]{1,40}/[\w.+-]{1,60})?(?:;[\w=-]{1,40}){0,3},", re.IGNORECASE)
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){48,}")
_ESCAPED = re.compile(r"(?:\\x[0-9a-fA-F]{2}){24,}|(?:\\u00[0-9a-fA-F]{2}){24,}|(?:\\[0-3]?[0-7]{2}){32,}")
_BACKSLASHES = re.compile(r"\\{2,}")
_PICTURES: Final = frozenset(("png", "jpeg", "gif", "webp", "svg"))
_PROGRAMS: Final = frozenset(
    [
        "elf",
        "pe",
        "mach-o",
        "wasm",
        "lua-bytecode",
        "python-bytecode",
        "script",
        "pickle",
        "zip",
        "gzip",
        "xz",
        "zstd",
        "7z",
        "rar",
        "tar",
        "hdf5",
        "sqlite",
    ]
)
_DECODED_BYTES = 8_192
_ESCAPE = re.compile(r"\\u00([2-7][0-9a-fA-F])")


@dataclass(frozen=True, slots=True)
class Profile:
    """Under which keys a container's honest writers keep addresses and long texts.

    `addresses` and `long_texts` match whole keys; `long_from` is the length in characters that counts as long elsewhere.
    """

    addresses: re.Pattern[str]
    long_texts: re.Pattern[str]
    long_from: int


@dataclass(frozen=True, slots=True)
class TextProblem:
    """What is wrong with one value.

    `rule` is one of `url`, `url-suspicious`, `long`, `script`, `payload`, `limit`; ids put the container's name before.
    """

    rule: str
    message: str


class TextJudge:
    """Judges the texts of one file, with what may still be looked into. Not thread-safe."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._left = MAX_TOTAL

    def judge(self, key: str, text: str) -> Iterator[TextProblem]:
        """What is wrong with the text under a key, one problem of each rule at most."""
        looked = min(len(text), MAX_JUDGED, self._left)
        self._left -= looked
        if looked < len(text):
            yield TextProblem("limit", f"only {looked} of the {len(text)} characters were looked into")
        if len(text) >= self._profile.long_from and not self._profile.long_texts.fullmatch(key) and not _is_json(text):
            yield TextProblem("long", f"the text has {len(text)} characters")
        text = text[:looked]
        # Each layer of JSON around a text doubles its backslashes.
        escaped = _BACKSLASHES.sub(r"\\", text) if "\\" in text else text
        plain = _unescaped(escaped)
        if len(plain) < 4:
            return
        usual = self._profile.addresses.fullmatch(key) is not None
        for found in (_address(plain, usual) or _share(text), _script(plain), _payload(plain, escaped)):
            if found is not None:
                yield found


def payload_of(data: bytes) -> str:
    """The name of the kind of program or archive that the bytes begin as; "" when they are none."""
    kind = kind_of("", data[:_DECODED_BYTES], len(data))
    return kind.name if kind.name in _PROGRAMS else ""


def shown(text: str) -> str:
    """A stranger's text made printable and short, so that it can go into a report."""
    written = ascii(text[:90])
    return written if len(written) <= 100 else f"{written[:97]}..."


def _is_json(text: str) -> bool:
    first = text[:64].lstrip()[:1]
    return bool(first) and first in '{["' and text[-64:].rstrip()[-1:] in ("}", "]", '"')


def _unescaped(text: str) -> str:
    """JSON's escapes of plain characters undone, so that they hide nothing."""
    if "\\" not in text:
        return text
    text = text.replace("\\/", "/").replace('\\"', '"')
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text) if "\\u00" in text else text


def _address(text: str, usual: bool) -> TextProblem | None:
    """The worst address: one that looks like a trap anywhere, any of an unknown host where none is usual."""
    unusual: TextProblem | None = None
    for number, (scheme, rest) in enumerate(_addresses(text)):
        if number >= MAX_RUNS:
            return TextProblem("limit", f"only {MAX_RUNS} of the addresses were looked at")
        why = _suspicion(scheme.lower(), rest)
        if why:
            return TextProblem("url-suspicious", f"{why}: {shown(f'{scheme}://{_without_secret(rest)}')}")
        if not usual and unusual is None and not _KNOWN_HOSTS.fullmatch(_host(rest)):
            unusual = TextProblem("url", f"an address where none belongs: {shown(f'{scheme}://{rest}')}")
    return unusual


def _share(text: str) -> TextProblem | None:
    share = _SHARE.search(text) if "\\\\" in text else None
    if share is None or "." not in share[1]:
        return None
    return TextProblem("url-suspicious", f"a path on another machine: {shown(share[0].strip())}")


def _addresses(text: str) -> Iterator[tuple[str, str]]:
    if "://" in text:
        for match in _ADDRESS.finditer(text):
            yield match[1], match[2]


def _suspicion(scheme: str, rest: str) -> str:
    host = _host(rest)
    if scheme in ("http", "https"):
        if "@" in rest.partition("/")[0]:
            return "an address with credentials"
        if host in _LOCAL_HOSTS:
            return ""
        if _IP.fullmatch(host):
            return "an address of a bare number"
        if _CALLBACK_HOSTS.fullmatch(host) or _CALLBACK_PLACES.match(rest):
            return "an address that collects what is sent to it"
        path = rest.partition("/")[2]
        return "the address of a program" if _RUNNABLE.search(path) else ""
    if scheme in ("file", "smb", "ldap", "ldaps", "gopher", "dict", "tftp", "jar", "phar", "php", "rmi", "data"):
        return "an address that is no web page"
    return ""


def _host(rest: str) -> str:
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2].lower()
    return authority if authority.endswith("]") else re.sub(r":\d*$", "", authority).rstrip(".,;")


def _without_secret(rest: str) -> str:
    authority, slash, path = rest.partition("/")
    return f"***@{authority.rpartition('@')[2]}{slash}{path}" if "@" in authority else f"{authority}{slash}{path[:40]}"


def _script(text: str) -> TextProblem | None:
    small = text.lower()
    for what, hints, pattern in _SCRIPTS:
        match = pattern.search(text) if any(hint in small for hint in hints) else None
        if match is not None:
            return TextProblem("script", f"{what}: {shown(match[0])}")
    return None


def _payload(text: str, escaped: str) -> TextProblem | None:
    """A program, a pickle or an archive written as letters."""
    for number, (what, data) in enumerate(_decoded(text, escaped)):
        if number >= MAX_RUNS:
            return TextProblem("limit", f"only {MAX_RUNS} of the coded parts were decoded")
        name = payload_of(data)
        if name:
            return TextProblem("payload", f"{what} of a {name}, {len(data)} bytes of which were decoded")
        inner = data.decode("latin-1")
        script = _script(inner) if len(data) >= 24 and inner.isprintable() else None
        if script is not None:
            return TextProblem("payload", f"{what} of {script.message}")
    return None


def _decoded(text: str, escaped: str) -> Iterator[tuple[str, bytes]]:
    pictures = {match.end() for match in _DATA_URL.finditer(text) if (match[1] or "").lower().startswith("image/")}
    for match in _BASE64.finditer(text):
        data = _from_base64(match[0])
        if match.start() in pictures and kind_of("", data[:_DECODED_BYTES], len(data)).name in _PICTURES:
            continue
        yield "base64", data
    for match in _HEX.finditer(text):
        yield "hexadecimal", bytes.fromhex(match[0][: 2 * _DECODED_BYTES])
    for match in _ESCAPED.finditer(escaped) if "\\" in escaped else ():
        codes = re.findall(r"x([0-9a-fA-F]{2})|u00([0-9a-fA-F]{2})|\\([0-3]?[0-7]{2})", match[0][: 8 * _DECODED_BYTES])
        yield "escapes", bytes(int(a or b, 16) if a or b else int(c, 8) & 255 for a, b, c in codes)


def _from_base64(letters: str) -> bytes:
    letters = letters.rstrip("=")[: _DECODED_BYTES // 3 * 4].translate(str.maketrans("-_", "+/"))
    whole = letters[: len(letters) // 4 * 4]
    try:
        return base64.b64decode(whole, validate=True)
    except binascii.Error:  # Not reached for whole groups of the alphabet; nothing is decoded then.
        return b""
