"""Writes `vllm_arguments.json`: the arguments of `vllm serve`, asked of the real parser of each release.

    python scripts/vllm_arguments.py PYTHON…

Each PYTHON is that of an environment in which one release of vLLM can be imported: the ordinary wheel does, without a device, where
its dependencies are (`--no-deps` beside an environment of `scripts/try_vllm.py`). Releases that are not asked stay as they are.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "src/weighbridge/deploy/targets/vllm_arguments.json"
ASK = """
import importlib, importlib.metadata as metadata, json
version = metadata.version
# Without a device vLLM makes no parser, except in builds that say they are for CPUs.
metadata.version = lambda name: version(name) + ("" if name != "vllm" or "cpu" in version(name) else "+cpu")
for place in ("common", "launchers", "openai"):
    try:
        make = importlib.import_module(f"vllm.entrypoints.{place}.cli_args").make_arg_parser
        break
    except ModuleNotFoundError:
        pass
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = make(FlexibleArgumentParser(prog="vllm serve"))
names, short, deprecated = set(), {}, set()
for action in parser._actions:
    long = [one[2:] for one in action.option_strings if one.startswith("--")]
    names.update(long)
    short.update({one[1:]: long[0] for one in action.option_strings if not one.startswith("--") and long})
    if "is deprecated" in (action.help or "") or action in getattr(parser, "_deprecated", ()):
        deprecated.update(long)
import vllm
plain = {one for one in names if not (one.startswith("no-") and one[3:] in names)}
release = vllm.__version__.partition("+")[0]
source = f"the wheel of vllm {release}: the parser of `vllm serve`"
said = {"source": source, "names": sorted(plain), "short": dict(sorted(short.items()))}
said["deprecated"] = sorted(deprecated & plain)
print(json.dumps({release: said}))
"""


def main() -> None:
    """Asks each release and writes what all of them said."""
    found = json.loads(TARGET.read_text()) if TARGET.exists() else {}
    for python in sys.argv[1:]:
        ran = subprocess.run([python, "-c", ASK], stdout=subprocess.PIPE, text=True, check=True)
        found.update(json.loads(ran.stdout.splitlines()[-1]))
    releases = dict(sorted(found.items(), key=lambda one: [int(number) for number in one[0].split(".")]))
    TARGET.write_text(json.dumps(releases, indent=1) + "\n")


if __name__ == "__main__":
    main()
