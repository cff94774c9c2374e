"""What program is this, for which machine, and what does it load?

A model needs no programs of its own, so none passes; what this adds to that is a name: the format, the kind of file
(program, library, driver), the machine, how many libraries it loads and which. Programs that are several things at once
(αcτµαlly pδrταblε executables, llamafiles) are named as such. Shell scripts need a person to run them: they are for
policy, unless they fetch and run, open a shell to elsewhere or undo what protects the machine; those whose every command is
known to show, move, fetch or launch what lies beside them pass.

Nothing here says that a program is benign. Limits: `MAX_COMMANDS` headers, one read of `LOOK_BYTES` at each place.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from typing import Final

from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.core.finding import Report, Severity
from weighbridge.formats.kinds import is_text
from weighbridge.formats.shell import without_comments
from weighbridge.inspectors.families.shell_words import unjudged
from weighbridge.inspectors.notes import Notes, shown
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject

NAME: Final = "executables"
LOOK_BYTES: Final = 64 * 1024
MAX_COMMANDS: Final = 512
MAX_SCRIPT_BYTES: Final = 1024 * 1024

_REMEDY = "Leave the file out with --exclude; take such tools from where software comes from."


def _rule(name: str, title: str, severity: Severity, explanation: str) -> Rule:
    return Rule(f"executable-{name}", title, severity, NAME, explanation, _REMEDY)


RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "native", "Native program or library", Severity.HIGH, "It runs with the rights of whoever starts or loads it."
    ),
    _rule(
        "bytecode", "Compiled code of a virtual machine", Severity.HIGH, "It runs when a runtime loads or imports it."
    ),
    _rule(
        "polyglot",
        "Program for several systems at once",
        Severity.HIGH,
        "A shell script, a program and an archive in one file (llamafile and others): whoever runs the weights runs it.",
    ),
    _rule(
        "shortcut",
        "Shortcut or launcher",
        Severity.HIGH,
        "Opening it starts a command or leads elsewhere; a model needs none.",
    ),
    _rule(
        "script", "Script to be run", Severity.MEDIUM, "A person or tool runs it; nothing here has judged all it does."
    ),
    _rule(
        "script-weapon",
        "Script that fetches and runs, or opens the machine",
        Severity.HIGH,
        "It pipes what it fetches or decodes into an interpreter, opens a shell to elsewhere, or destroys.",
    ),
)
_BY_ID: Final = {rule.id: rule for rule in RULES}

_SHORTCUTS: Final[Mapping[str, str]] = {
    ".lnk": "a Windows shortcut",
    ".url": "an internet shortcut",
    ".website": "an internet shortcut",
    ".webloc": "an internet location",
    ".desktop": "a desktop entry",
    ".hta": "an HTML application",
    ".scf": "an Explorer command",
    ".pif": "a program information file",
    ".reg": "a registry script",
    ".inf": "a setup script",
    ".vbs": "a Visual Basic script",
    ".vbe": "an encoded Visual Basic script",
    ".jse": "an encoded JScript file",
    ".wsf": "a Windows script file",
    ".wsh": "a Windows script setting",
    ".scpt": "an AppleScript",
    ".applescript": "an AppleScript",
    ".command": "a macOS command file",
    ".library-ms": "a Windows library description",
    ".search-ms": "a Windows search description",
    ".settingcontent-ms": "a Windows settings shortcut",
    ".appref-ms": "a Windows application reference",
    ".xll": "an Excel add-in",
    ".service": "a system service",
}
_BYTECODE: Final[Mapping[str, str]] = {
    "wasm": "a WebAssembly module",
    "python-bytecode": "compiled Python",
    "lua-bytecode": "compiled Lua",
    "dex": "compiled Android code",
    "llvm-bitcode": "LLVM bitcode",
}
_WEAPON: Final = re.compile(
    rb"""(?:curl|wget|fetch|iwr|Invoke-WebRequest|DownloadString|DownloadFile|base64\s+(?:-d|-D|--decode)|xxd\s+-r)
         [^\n|;&]{0,300}\|\s*(?:sudo\s+)?(?:ba|z|da|k)?(?:sh|iex|python[\d.]*|perl|ruby|node)\b
       | (?:ba)?sh\s+-c\s+["']?\$\((?:curl|wget) | (?:ba)?sh\s+<\((?:curl|wget)
       | /dev/(?:tcp|udp)/ | \bn(?:c|cat)\b[^\n]{0,80}\s-[a-z]*[ec]\b | mkfifo\s[^\n]{0,100}\bnc\b
       | \bIEX\s*\( | \bIEX\b[^\n]{0,80}New-Object | FromBase64String | -[eE]nc(?:odedCommand)?\s+[A-Za-z0-9+/=]{20,}
       | powershell[^\n]{0,80}(?:-w(?:indowstyle)?\s+hidden|-ep?\s+bypass|DownloadString)
       | certutil[^\n]{0,60}-(?:urlcache|decode) | bitsadmin[^\n]{0,60}/transfer | mshta\s+(?:http|vbscript|javascript)
       | rm\s+-[a-z]*r[a-z]*f?[a-z]*\s+(?:--no-preserve-root\s+)?(?:/|~|\$HOME)(?:\s|\*|$) | :\(\)\s*\{\s*:\|:&\s*\};: | \bmkfs\.\w+\s+/dev/
       | >>\s*(?:~|\$HOME)/\.(?:bashrc|profile|zshrc|ssh/authorized_keys) | crontab\s+-(?:\s|$)
       | vssadmin\s+delete | Set-MpPreference[^\n]{0,40}Disable""",
    re.VERBOSE | re.MULTILINE | re.IGNORECASE,
)


_SHELL: Final = re.compile(rb"#! ?(?:/usr)?/bin/(?:env )?(?:ba|da|z)?sh(?: -[eux]{1,3})?")


class Executables:
    """The inspector `executables`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Bad for every program; unknown for scripts; None for what is neither.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        notes = Notes(subject, _BY_ID)
        kind = subject.kind.name
        if kind in _NATIVE:
            notes.say("executable-native", f"the file is {_described(subject, _NATIVE[kind])}")
        elif kind in _BYTECODE:
            more = _wasm(subject) if kind == "wasm" else ""
            notes.say("executable-bytecode", f"the file is {_BYTECODE[kind]}{more}")
        elif kind == "ape":
            notes.say("executable-polyglot", f"the file is {_ape(subject)}")
        elif kind == "windows-shortcut" or (
            subject.suffix in _SHORTCUTS and subject.kind.family not in ("empty", "weights", "media")
        ):
            what = _SHORTCUTS.get(subject.suffix, "a Windows shortcut")
            notes.say("executable-shortcut", f"the file is {what}")
        elif kind == "script":
            return _script(subject, notes)
        else:
            return None
        return notes.report(NAME, len(subject.head))


def _described(subject: Subject, describe: Callable[[Subject], str]) -> str:
    try:
        return describe(subject)
    except (struct.error, IndexError):
        return f"a {subject.kind.name} program whose headers break off"


def _script(subject: Subject, notes: Notes) -> Report:
    data = subject.read_exactly(0, min(subject.size_bytes, MAX_SCRIPT_BYTES))
    first = data.split(b"\n", 1)[0].strip()
    said = f"begins with {shown(first)}" if first.startswith(b"#!") else "is a script by its name"
    # What a comment says nobody runs; where the script cannot be read, nothing counts as a comment.
    for found in _WEAPON.finditer(_spoken(subject, data, first)):
        notes.say(
            "executable-script-weapon", f"the script says {shown(found.group())}", location=f"offset {found.start()}"
        )
    if notes:
        return notes.report(NAME, 0)
    why = _unjudged(subject, data, first)
    if not why:
        return notes.report(NAME, subject.size_bytes)
    notes.say("executable-script", f"the file {said}; {why}")
    return notes.report(NAME, 0)


def _is_read(subject: Subject, data: bytes, first: bytes) -> bool:
    """Whether it is a whole shell script, by its first line or, without one, by its name."""
    shell = bool(_SHELL.fullmatch(first)) if first.startswith(b"#!") else subject.suffix in (".sh", ".bash")
    return shell and len(data) == subject.size_bytes and is_text(data, whole=True)


def _spoken(subject: Subject, data: bytes, first: bytes) -> bytes:
    return without_comments(data.decode("utf-8")).encode() if _is_read(subject, data, first) else data


def _unjudged(subject: Subject, data: bytes, first: bytes) -> str:
    """Why nobody knows what a script does; "" for a shell script of commands that only show, move and launch."""
    if not _is_read(subject, data, first):
        return "it is no shell script that is read"
    try:
        return unjudged(data.decode("utf-8"))
    except (Malformed, LimitExceeded) as problem:
        return f"it has {problem.message}"[:120]


def _ape(subject: Subject) -> str:
    size = min(LOOK_BYTES, subject.size_bytes)
    tail = subject.read_exactly(subject.size_bytes - size, size)
    name = "an αcτµαlly pδrταblε executable"
    if b"PK\x05\x06" not in tail:
        return name
    weights = b".gguf" in tail or b"llamafile" in tail or subject.suffix == ".llamafile"
    return f"{name} with an archive behind it{', a llamafile' if weights else ''}"


# --- ELF -----------------------------------------------------------------------------------------

_ELF_MACHINES: Final = {3: "x86", 8: "MIPS", 20: "PowerPC", 21: "PowerPC 64", 22: "S390", 40: "ARM", 62: "x86-64",
                        183: "AArch64", 190: "CUDA", 224: "AMD GPU", 243: "RISC-V", 247: "BPF", 258: "LoongArch"}  # fmt: skip
_ELF_TYPES: Final = {
    1: "an object file",
    2: "a program",
    3: "a library or position-independent program",
    4: "a core dump",
}


def _elf(subject: Subject) -> str:
    head = subject.head
    wide, order = head[4] == 2, ">" if head[5] == 2 else "<"
    kind, machine = struct.unpack_from(f"{order}HH", head, 16)
    what = f"an ELF file for {_ELF_MACHINES.get(machine, f'machine {machine}')}, {_ELF_TYPES.get(kind, 'of an unknown type')}"
    place, size, count = (
        struct.unpack_from(f"{order}Q", head, 32)[0] if wide else struct.unpack_from(f"{order}I", head, 28)[0],
        *struct.unpack_from(f"{order}HH", head, 54 if wide else 42),
    )
    table = subject.read(place, min(size * min(count, MAX_COMMANDS), LOOK_BYTES))
    loaded = 0
    for at in range(0, len(table) - size + 1, max(size, 32)):
        if struct.unpack_from(f"{order}I", table, at)[0] == 2:
            offset, length = _elf_segment(table, at, order, wide=wide)
            loaded = _elf_needed(subject.read(offset, min(length, LOOK_BYTES)), order, wide=wide)
    return f"{what}, that loads {loaded} libraries" if loaded else what


def _elf_segment(table: bytes, at: int, order: str, *, wide: bool) -> tuple[int, int]:
    if wide:
        return struct.unpack_from(f"{order}Q", table, at + 8)[0], struct.unpack_from(f"{order}Q", table, at + 32)[0]
    return struct.unpack_from(f"{order}I", table, at + 4)[0], struct.unpack_from(f"{order}I", table, at + 16)[0]


def _elf_needed(dynamic: bytes, order: str, *, wide: bool) -> int:
    entry = struct.Struct(f"{order}{'QQ' if wide else 'II'}")
    whole = dynamic[: len(dynamic) // entry.size * entry.size]
    return sum(1 for tag, _ in entry.iter_unpack(whole) if tag == 1)


# --- PE ------------------------------------------------------------------------------------------

_PE_MACHINES: Final = {0x14C: "x86", 0x8664: "x86-64", 0x1C0: "ARM", 0x1C4: "ARM", 0xAA64: "ARM64", 0xEBC: "EFI"}
_PE_SUBSYSTEMS: Final = {1: "driver", 2: "program with windows", 3: "console program", 10: "EFI program"}


def _pe(subject: Subject) -> str:
    place = int.from_bytes(subject.head[60:64], "little")
    header = subject.read(place, 264)
    if header[:4] != b"PE\x00\x00":
        return "a DOS program"
    machine, sections = struct.unpack_from("<HH", header, 4)
    flags, magic = struct.unpack_from("<HH", header, 22)
    subsystem = struct.unpack_from("<H", header, 24 + 68)[0]
    what = "library" if flags & 0x2000 else _PE_SUBSYSTEMS.get(subsystem, "program")
    managed = struct.unpack_from("<I", header, 24 + (224 if magic == 0x20B else 208))[0] if len(header) > 250 else 0
    more = ", .NET" if managed else ""
    return f"a Windows {what} for {_PE_MACHINES.get(machine, f'machine {machine:#x}')} with {sections} sections{more}"


# --- Mach-O, WebAssembly -------------------------------------------------------------------------

_MACH_TYPES: Final = {1: "an object file", 2: "a program", 6: "a library", 8: "a bundle", 11: "a kernel extension"}
_MACH_CPUS: Final = {7: "x86", 0x01000007: "x86-64", 12: "ARM", 0x0100000C: "ARM64"}


def _mach(subject: Subject) -> str:
    head = subject.head
    if head[:4] in (b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf"):
        return f"a universal macOS binary for {int.from_bytes(head[4:8], 'big')} architectures"
    order = "<" if head[3] == 0xFE else ">"
    magic, cpu, _, kind, count, length = struct.unpack_from(f"{order}6I", head)
    start = 32 if magic == 0xFEEDFACF else 28
    commands = subject.read(start, min(length, LOOK_BYTES))
    loaded = at = 0
    for _ in range(min(count, MAX_COMMANDS)):
        if at + 8 > len(commands):
            break
        command, size = struct.unpack_from(f"{order}2I", commands, at)
        loaded += command & 0x7FFFFFFF in (0xC, 0x18, 0x1F)
        at += max(size, 8)
    what = f"a Mach-O file for {_MACH_CPUS.get(cpu, f'CPU {cpu:#x}')}, {_MACH_TYPES.get(kind, 'of an unknown type')}"
    return f"{what}, that loads {loaded} libraries"


def _wasm(subject: Subject) -> str:
    """How many functions and memories it takes from its host: its import section's count."""
    data, at = subject.head, 8
    for _ in range(64):
        if at + 2 > len(data):
            break
        section = data[at]
        length, at = _leb(data, at + 1)
        if section == 2:
            return f" with {_leb(data, at)[0]} imports"
        at += length
    return ""


def _leb(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for byte in data[at : at + 5]:
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            break
    return value, at


_NATIVE: Final[Mapping[str, Callable[[Subject], str]]] = {"elf": _elf, "pe": _pe, "mach-o": _mach}
