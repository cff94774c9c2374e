"""`python -m weighbridge.posture.confinement CONTROL COMMAND…`: becomes a command in a network where only one socket answers.

Linux alone. The new network namespace has a loopback and nothing else; a listening socket is made inside and handed out over the
socket pair whose descriptor is CONTROL, followed by its port. Then the command is run in this process's place, when the other
side says so. No privilege is needed where the machine lets users make namespaces. Whatever fails is one line on CONTROL.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Final

CLONE_NEWUSER: Final = 0x1000_0000
CLONE_NEWNET: Final = 0x4000_0000
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1
NOT_FOUND: Final = 127


def confine() -> socket.socket:
    """Leaves the network, and returns a listening socket on the loopback of the new one.

    Raises:
        OSError: the machine does not let this user.
    """
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        name, flags = struct.unpack("16sh", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("16sh", b"lo", 0)))
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh", name, flags | _IFF_UP))
    return socket.create_server(("127.0.0.1", 0), backlog=256)


def main(arguments: list[str]) -> int:
    """See the module."""
    with socket.socket(fileno=int(arguments[0])) as control:
        try:
            with confine() as listening:
                socket.send_fds(control, [str(listening.getsockname()[1]).encode()], [listening.fileno()])
        except OSError as error:
            control.sendall(f"error {error.strerror or error}".encode())
            return 1
        environment = control.recv(1 << 20)
    if not environment:
        return 1
    entries = (entry.partition(b"=") for entry in environment.split(b"\0") if entry)
    try:
        os.execvpe(  # noqa: S606
            arguments[1], arguments[1:], {**os.environb, **{name: value for name, _, value in entries}}
        )
    except OSError as error:
        sys.stderr.write(f"{arguments[1]}: {error.strerror}\n")
        return NOT_FOUND


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
