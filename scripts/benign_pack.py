"""Makes `tests/data/benign-pickles.tar.xz`: what the real libraries write, so that the suite needs none of them.

Run it with a Python that has numpy, scipy, pandas, scikit-learn, joblib, lz4, xgboost, lightgbm, torch and transformers
(and accelerate): `OMP_NUM_THREADS=1 python scripts/benign_pack.py`. Each member is one control; its name carries
`part/number/subject/control name/file name`. Versions of the libraries are in `versions.txt`.
"""

from __future__ import annotations

import importlib.metadata
import io
import lzma
import sys
import tarfile
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.benign import PARTS, controls  # noqa: E402

TARGET = ROOT / "tests" / "data" / "benign-pickles.tar.xz"
LIBRARIES = ("numpy", "scipy", "pandas", "scikit-learn", "joblib", "xgboost", "lightgbm", "torch", "transformers")
MAX_CONTROL_BYTES = 400_000


def main() -> int:
    """Writes the pack and says how much is in it."""
    out, count = io.BytesIO(), 0
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as pack:
        versions = "".join(f"{name} {importlib.metadata.version(name)}\n" for name in LIBRARIES)
        add(pack, "versions.txt", versions.encode())
        for part in PARTS:
            for number, control in enumerate(controls(part)):
                if len(control.data) > MAX_CONTROL_BYTES:
                    print("left out, too large:", control.name, len(control.data))
                    continue
                fields = (part, f"{number:04}", control.subject, control.name, control.path)
                add(pack, "/".join(quote(field, safe="") for field in fields), control.data)
                count += 1
    TARGET.write_bytes(lzma.compress(out.getvalue(), preset=9 | lzma.PRESET_EXTREME))
    print(count, "controls,", len(out.getvalue()), "bytes,", TARGET.stat().st_size, "packed")
    return 0


def add(pack: tarfile.TarFile, name: str, data: bytes) -> None:
    """One member without times or owners, so that the same controls give the same pack."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    pack.addfile(member, io.BytesIO(data))


if __name__ == "__main__":
    sys.exit(main())
