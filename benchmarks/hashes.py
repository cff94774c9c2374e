"""`hashes`: what each hash of the one pass costs, measured in a process of its own."""

from __future__ import annotations

import hashlib
import json
import random
import statistics
import sys
import time
from collections.abc import Callable

from benchmarks.measure import GB, Cell, Outcome, clean_environment, read_json_line, run
from benchmarks.setting import Setting

BLOCK_BYTES = 8 * 1024 * 1024
"""One chunk of the manifest."""

BLOCKS = 32
"""So many different ones in turn that they come from memory and not from the processor's cache."""

TURNS = 4


def measure(setting: Setting) -> Outcome:
    """Runs the hashes interleaved, as many rounds as are set."""
    command = [sys.executable, "-m", "benchmarks.hashes", str(setting.rounds)]
    found = read_json_line(run(command, environment=clean_environment()).output)
    rows: list[dict[str, Cell]] = []
    for name, seconds in found.items():
        assert isinstance(seconds, float)
        rows.append({"what": name, "CPU-s/GB": round(seconds, 3), "GB/s on one core": round(1 / seconds, 2)})
    return Outcome(
        "hashes",
        f"Hashes over chunks of {BLOCK_BYTES >> 20} MiB, one thread, medians of {setting.rounds}",
        rows,
        notes=[
            "SHA-256 is what upstream announces, CRC64NVME what S3 checks; BLAKE3 is the choice that this table is for:"
            " the chunk digests cost less than half of what a second SHA-256 would.",
        ],
    )


def main() -> int:
    """Prints one JSON object: hash to CPU-seconds per GB."""
    from awscrt.checksums import crc64nvme
    from blake3 import blake3

    hashes: dict[str, Callable[[bytes], object]] = {
        "SHA-256 (hashlib)": lambda block: hashlib.sha256(block).digest(),
        "BLAKE3 (blake3)": lambda block: blake3(block).digest(),
        "CRC64NVME (awscrt)": crc64nvme,
    }
    blocks = [random.Random(number).randbytes(BLOCK_BYTES) for number in range(BLOCKS)]
    size = TURNS * BLOCKS * BLOCK_BYTES
    spent: dict[str, list[float]] = {name: [] for name in hashes}
    for _ in range(int(sys.argv[1])):
        for name, function in hashes.items():
            started = time.process_time()
            for _ in range(TURNS):
                for block in blocks:
                    function(block)
            spent[name].append((time.process_time() - started) / (size / GB))
    print(json.dumps({name: statistics.median(values) for name, values in spent.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
