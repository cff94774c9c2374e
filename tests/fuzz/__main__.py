"""Runs one target under atheris until it is stopped, or as `-max_total_time=SECONDS` and other flags of libFuzzer say.

Needs `pip install atheris`. Without a target it lists them. A crash leaves the input in a file `crash-…` beside it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path


def main(arguments: list[str]) -> int:
    import atheris

    with atheris.instrument_imports(include=["weighbridge.formats", "weighbridge.inspectors"]):
        from tests.support.fuzzing import TARGETS, check, seeds
    if not arguments or arguments[0] not in TARGETS:
        print("targets:", " ".join(TARGETS))
        return 2
    target, *flags = arguments
    corpus = Path(tempfile.mkdtemp(prefix=f"fuzz-{target}-"))
    for number, seed in enumerate(seeds(target)):
        (corpus / f"seed-{number}").write_bytes(seed)

    def one(data: bytes) -> None:
        check(target, data)

    atheris.Setup([sys.argv[0], str(corpus), *flags], one)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
