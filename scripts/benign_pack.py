"""Makes `tests/data/benign-pickles.tar.xz`: what the real libraries write, so that the suite needs none of them.

Run it with a Python that has numpy, scipy, pandas, scikit-learn, joblib, lz4, xgboost, lightgbm, torch and transformers
(and accelerate): `OMP_NUM_THREADS=1 python scripts/benign_pack.py`. Each member is one control; its name carries
`part/number/subject/control name/file name`. Versions of the libraries are in `versions.txt`.

`python scripts/benign_pack.py CASES` makes `neighbour-pickles.tar.xz` instead, from the pickles that
`python -m benchmarks.unseen_fields CASES first` wrote and that pass.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import lzma
import sys
import tarfile
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.benign import PARTS, controls  # noqa: E402
from tests.support.benign_pack import NEIGHBOURS, Control  # noqa: E402
from tests.test_benign_pickles import stopped  # noqa: E402

TARGET = ROOT / "tests" / "data" / "benign-pickles.tar.xz"
LIBRARIES = ("numpy", "scipy", "pandas", "scikit-learn", "joblib", "xgboost", "lightgbm", "torch", "transformers")
MAX_CONTROL_BYTES = 400_000
MAX_NEIGHBOUR_BYTES = 60_000


def neighbours(cases: Path) -> int:
    """Writes the pack of other fields' pickles and says how much is in it."""
    out, count = io.BytesIO(), 0
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as pack:
        for line in (cases / "cases.jsonl").read_text().splitlines():
            case = json.loads(line)
            data = (cases / case["id"] / case["path"]).read_bytes()
            if not case["path"].endswith((".pkl", ".joblib", ".pth")) or len(data) > MAX_NEIGHBOUR_BYTES:
                continue
            if case["family"] == "shipped data" or stopped(Control(case["name"], case["path"], data, case["family"])):
                continue
            fields = (case["family"], f"{count:04}", case["family"], case["name"], case["path"])
            add(pack, "/".join(quote(field, safe="") for field in fields), data)
            count += 1
    NEIGHBOURS.write_bytes(lzma.compress(out.getvalue(), preset=9 | lzma.PRESET_EXTREME))
    print(count, "controls,", len(out.getvalue()), "bytes,", NEIGHBOURS.stat().st_size, "packed")
    return 0


def main() -> int:
    """Writes the pack and says how much is in it."""
    if len(sys.argv) > 1:
        return neighbours(Path(sys.argv[1]))
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
