"""What real libraries wrote, read back from the pack that `scripts/benign_pack.py` makes (see `tests.support.benign`)."""

from __future__ import annotations

import io
import lzma
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

PACK = Path(__file__).parent.parent / "data" / "benign-pickles.tar.xz"
NEIGHBOURS = PACK.with_name("neighbour-pickles.tar.xz")
"""What libraries of other fields wrote (`benchmarks/unseen_fields.py`), of those that a profile has learnt since."""


@dataclass(frozen=True, slots=True)
class Control:
    """One honest artifact. `subject` is the class it is about, by which a hold-out is chosen."""

    name: str
    path: str
    data: bytes
    subject: str


def held_out(subject: str) -> bool:
    """Whether a class belongs to the three in ten that nobody looked at while the profiles were written."""
    return zlib.crc32(subject.encode()) % 10 < 3


def packed(path: Path = PACK) -> dict[str, list[Control]]:
    """All controls by part."""
    found: dict[str, list[Control]] = {}
    with tarfile.open(fileobj=io.BytesIO(lzma.decompress(path.read_bytes()))) as pack:
        for member in pack:
            if "/" not in member.name:
                continue
            part, _, subject, name, path = (unquote(field) for field in member.name.split("/"))
            file = pack.extractfile(member)
            assert file is not None
            found.setdefault(part, []).append(Control(name, path, file.read(), subject))
    return found
