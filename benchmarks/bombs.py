"""Writes files that cost their reader far more than their size: `python -m benchmarks.bombs OUT`.

A process of its own: what it builds in memory would otherwise count as the peak of whatever is started after it.
"""

from __future__ import annotations

import io
import json
import struct
import sys
import zipfile
from pathlib import Path

NAMED = (
    "archive of 20,000 members",
    "200 MB of memo entries",
    "2,000,000 opcodes",
    "lists in lists, 1,000,000 deep",
    "doubled 60 times",
)
"""What the peers are asked about as well."""


def bombs(folder: Path) -> dict[str, Path]:
    """Files that cost their reader far more than their size."""
    folder.mkdir(parents=True)
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(20_000):
            archive.writestr(f"archive/data/{number}", b"x")
    far = b"".join(b"r" + struct.pack("<I", place) for place in range(0, 1 << 31, 1 << 21))
    doubling = b"".join(b"(h" + bytes([place]) + b"h" + bytes([place]) + b"l\x94" for place in range(60))
    made = {
        "archive of 20,000 members": ("model.pt", held.getvalue()),
        "200 MB of memo entries": ("model.pkl", b"\x80\x04N" + far + b"r\0\0\0\0" * 39_900_000 + b"."),
        "2,000,000 opcodes": ("model.pkl", b"N0" * 1_000_000 + b"N."),
        "lists in lists, 1,000,000 deep": ("model.pkl", b"]" * 1_000_000 + b"a" * 999_999 + b"."),
        "doubled 60 times": ("model.pkl", b"\x80\x04]\x94" + doubling + b"."),
        **_many_names(),
    }
    found = {}
    for number, (name, (path, data)) in enumerate(made.items()):
        place = folder / str(number) / path
        place.parent.mkdir()
        place.write_bytes(data)
        found[name] = place
    return found


def _many_names() -> dict[str, tuple[str, bytes]]:
    """Files that hold little but names: each costs a reader that keeps them all many times its size."""
    count = 1_000_000
    keys = b"".join(b"\xa7k%06d\x00" % number for number in range(count))
    names = b"".join(b"cmod%d\nname%d\n0" % (number, number) for number in range(count // 2))
    config = b"{%s}" % b",".join(b'"k%d":%d' % (number, number) for number in range(count))
    form = b'"t%d":{"dtype":"U8","shape":[1],"data_offsets":[%d,%d]}'
    header = b"{%s}" % b",".join(form % (number, number, number + 1) for number in range(count // 2))
    return {
        "msgpack of 1,000,000 keys": ("flax_model.msgpack", b"\xdf" + struct.pack(">I", count) + keys),
        "pickle of 500,000 names": ("model.pkl", b"\x80\x02" + names + b"N."),
        "configuration of 1,000,000 keys": ("config.json", config),
        "safetensors of 500,000 tensors": (
            "model.safetensors",
            struct.pack("<Q", len(header)) + header + bytes(count // 2),
        ),
    }


def main() -> int:
    """Writes them and says where, as JSON."""
    print(json.dumps({name: str(path) for name, path in bombs(Path(sys.argv[1])).items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
