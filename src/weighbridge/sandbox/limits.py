"""Takes from this process what an inspector does not need: memory without end, new programs, the network.

On Linux a seccomp filter refuses sockets, program starts, changes to the file system, signals to and looks into other
processes (x86-64 and arm64); everywhere
resource limits bound memory (`RLIMIT_DATA`, since address space is reserved freely by compiled rules), written files,
open files and core dumps. What the system does not offer is left out, and `Confinement` says what held.
"""

from __future__ import annotations

import ctypes
import platform
import resource
import struct
import sys
from typing import Final

from weighbridge.core.dataclass import dataclass

_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 4, 22, 38
_SECCOMP_MODE_FILTER = 2
_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050001  # errno 1 is EPERM
_X32 = 0x40000000
_FLAGS_OFFSET = 32  # where `struct seccomp_data` keeps the third argument, openat's flags
_WRITING = 0x1 | 0x2 | 0x40  # O_WRONLY, O_RDWR, O_CREAT


@dataclass(frozen=True, slots=True)
class _Machine:
    """How one processor numbers its system calls: its audit name, `openat`, and those that are refused."""

    audit: int
    openat: int
    refused: tuple[int, ...]


# In this order where they exist: socket, connect, accept, bind, listen, socketpair; execve, execveat, fork, vfork; ptrace,
# bpf, io_uring_setup, process_vm_readv and writev, userfaultfd; kill; open, creat, openat2, truncate; rename, renameat,
# renameat2; link, linkat, symlink, symlinkat, unlink, unlinkat, mkdir, mkdirat, rmdir, chmod, fchmodat.
_X86_64 = (
    "41 42 43 49 50 53 59 322 57 58 101 321 425 310 311 323 62 2 85 437 76 "
    "82 264 316 86 265 88 266 87 263 83 258 84 90 268"
)
_AARCH64 = "198 203 202 200 201 199 221 281 117 280 425 270 271 282 129 437 45 38 276 37 36 35 34 53"
_MACHINES: Final = {
    "x86_64": _Machine(0xC000003E, 257, tuple(map(int, _X86_64.split()))),
    "aarch64": _Machine(0xC00000B7, 56, tuple(map(int, _AARCH64.split()))),
}


@dataclass(frozen=True, slots=True)
class Confinement:
    """What held: `memory` and `files` by resource limits, `calls` by the filter."""

    memory: bool
    files: bool
    calls: bool


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def confine(memory_bytes: int, *, open_files: int = 32, written_bytes: int = 0) -> Confinement:
    """Confines this process for good. `memory_bytes` is of private writable memory."""
    memory = _limit(resource.RLIMIT_DATA, memory_bytes)
    files = _limit(resource.RLIMIT_NOFILE, open_files) and _limit(resource.RLIMIT_FSIZE, written_bytes)
    _limit(resource.RLIMIT_CORE, 0)
    return Confinement(memory, files, _filter_calls())


def _limit(which: int, value: int) -> bool:
    try:
        _soft, hard = resource.getrlimit(which)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (bound, bound))
    except (ValueError, OSError):
        return False
    return True


def _filter_calls() -> bool:
    machine = _MACHINES.get(platform.machine())
    if sys.platform != "linux" or machine is None:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    code = _program(machine)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def _program(machine: _Machine) -> bytes:
    """Classic BPF over `struct seccomp_data { int nr; u32 arch; … }`: refuse some calls, and `openat` for writing."""
    end = [
        (_JUMP_EQUAL, 0, 2, machine.openat),
        (_LOAD, 0, 0, _FLAGS_OFFSET),
        (_JUMP_ANY_BIT, 1, 0, _WRITING),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    count = len(machine.refused)
    to_refuse = len(end) - 1
    steps = [
        (_LOAD, 0, 0, 4),
        (_JUMP_EQUAL, 1, 0, machine.audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        (_JUMP_GREATER_EQUAL, count + to_refuse, 0, _X32),
        *((_JUMP_EQUAL, count - 1 - place + to_refuse, 0, number) for place, number in enumerate(machine.refused)),
        *end,
    ]
    return b"".join(struct.pack("<HBBI", *step) for step in steps)
