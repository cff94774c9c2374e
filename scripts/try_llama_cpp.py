"""Serves a GGUF with the real llama.cpp, from the approved store, where nothing but that store is reached.

    python -m scripts.try_llama_cpp [--engine FOLDER] [--seconds N]

Run from the repository's root, with the development environment's Python, on Linux on x86-64 with Node.js 20 or later. llama.cpp's
server is published as a package by nobody: the engine is its library as `node-llama-cpp` ships it (about 90 MB in FOLDER, kept and
used again), behind the few lines of `SERVER`. Then, in network namespaces whose one way out leads to the store:

1. `folder`: `weighbridge run … -- node server.mjs {}/model.gguf` answers a chat;
2. `altered`: the same for a model of which one byte was changed in the store: the engine may not become ready.

The last line of the output is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import gguf
import numpy

from scripts.try_vllm import ALTERED, NAME, Bench, promoted
from tests.test_real_inference import BIN, PORT

PACKAGE = "node-llama-cpp@3.22.1"
BUILD = "linux-x64"
"""The one of its builds that is for CPUs of this kind."""
SERVER = """
import {createServer} from "node:http";
import {getLlama} from "node-llama-cpp";
const llama = await getLlama({gpu: false, build: "never", skipDownload: true, logLevel: "error"});
const model = await llama.loadModel({modelPath: process.argv[2]});
const context = await model.createContext({contextSize: 128, threads: 1});
async function answer(asked) {
    const sequence = context.getSequence(), given = model.tokenize(asked.messages.map((one) => one.content).join(" ")), found = [];
    for await (const token of sequence.evaluate(given, {temperature: 0})) {
        found.push(token);
        if (found.length >= asked.max_tokens) break;
    }
    return {
        choices: [{message: {role: "assistant", content: JSON.stringify(found)}}],
        offline: process.env.LLAMA_ARG_OFFLINE, release: llama.llamaCppRelease.release,
        secrets: Object.keys(process.env).filter((name) => /^(AWS_.*KEY|WEIGHBRIDGE_|HF_TOKEN$)/.test(name)),
    };
}
createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = request.url === "/health" ? {status: "ok"} : await answer(JSON.parse(Buffer.concat(parts)));
    response.setHeader("content-type", "application/json").end(JSON.stringify(body));
}).listen(Number(process.argv[3]), "127.0.0.1");
"""
WIDTH, LAYERS, INNER, HEADS = 64, 2, 128, 4


def engine(folder: Path) -> Path:
    """The folder with the engine and its server; the builds for other machines and devices are thrown away."""
    folder.mkdir(parents=True, exist_ok=True)
    builds = folder / "node_modules/@node-llama-cpp"
    if not (builds / BUILD).is_dir():
        words = ("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev", PACKAGE)
        subprocess.run(words, cwd=folder, check=True, stdout=sys.stderr)
    for build in builds.iterdir():
        if build.name != BUILD:
            shutil.rmtree(build)
    (folder / "server.mjs").write_text(SERVER)
    return folder


def write_model(folder: Path) -> Path:
    """A model with random weights and a vocabulary of bytes, as GGUF by its own library; returns the folder."""
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A model with random weights\n")
    random = numpy.random.default_rng(1)
    tokens = [b"<unk>", b"<s>", b"</s>", *(f"<0x{byte:02X}>".encode() for byte in range(256))]
    made = gguf.GGUFWriter(folder / "model.gguf", "llama")
    made.add_context_length(256)
    made.add_embedding_length(WIDTH)
    made.add_block_count(LAYERS)
    made.add_feed_forward_length(INNER)
    made.add_head_count(HEADS)
    made.add_head_count_kv(HEADS)
    made.add_layer_norm_rms_eps(1e-5)
    made.add_rope_dimension_count(WIDTH // HEADS)
    made.add_vocab_size(len(tokens))
    made.add_tokenizer_model("llama")
    made.add_token_list(tokens)
    made.add_token_scores([0.0] * len(tokens))
    made.add_token_types([2, 3, 3, *[6] * 256])
    made.add_bos_token_id(1)
    made.add_eos_token_id(2)
    made.add_unk_token_id(0)
    shapes = {"token_embd": (len(tokens), WIDTH), "output": (len(tokens), WIDTH), "output_norm": (WIDTH,)}
    for layer in range(LAYERS):
        shapes |= {f"blk.{layer}.attn_{part}": (WIDTH, WIDTH) for part in ("q", "k", "v", "output")}
        shapes |= {f"blk.{layer}.ffn_{part}": (INNER, WIDTH) for part in ("gate", "up")}
        shapes |= {f"blk.{layer}.ffn_down": (WIDTH, INNER)}
        shapes |= {f"blk.{layer}.{part}_norm": (WIDTH,) for part in ("attn", "ffn")}
    for name, shape in shapes.items():
        values = numpy.ones(shape) if name.endswith("norm") else random.normal(0, 0.05, shape)
        made.add_tensor(f"{name}.weight", values.astype("float32"))
    made.write_header_to_file()
    made.write_kv_data_to_file()
    made.write_tensors_to_file()
    made.close()
    return folder


def tried(folder: Path, programs: Path, seconds: float) -> dict[str, Any]:
    """Both models, promoted into a store in S3 and run on nodes that reach that store alone."""
    sources = {name: write_model(folder / "sources" / name) for name in (NAME, ALTERED)}
    with promoted(folder, sources, ".gguf") as (command, s3):
        bench = Bench(command, s3, BIN, folder / "trust.json", folder, seconds)
        found = {}
        for way, name in (("folder", NAME), ("altered", ALTERED)):
            words = [str(BIN / "weighbridge"), "run", name, "--dir", "DISK/model", "--"]
            words += ["node", str(programs / "server.mjs"), "{}/model.gguf", str(PORT)]
            with bench.node(way) as (node, own):
                found[way] = node.start(words, name, {**own, "HF_TOKEN": "hf_never"}, seconds=seconds)
        return found


def main() -> int:
    """Returns 0 when everything held."""
    asking = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asking.add_argument("--engine", type=Path, default=Path(tempfile.gettempdir()) / "weighbridge-llama-cpp-engine")
    asking.add_argument("--seconds", type=float, default=120, help="how long the engine may take to become ready")
    asked = asking.parse_args()
    programs = engine(asked.engine.resolve())
    with tempfile.TemporaryDirectory() as place:
        found = tried(Path(place), programs, asked.seconds)
    answer, altered = found["folder"]["answer"], found["altered"]
    held = bool(answer) and answer["offline"] == "1" and not answer["secrets"]
    held = held and altered["answer"] is None and altered["code"] not in (None, 0)
    print(json.dumps({"package": PACKAGE, **found, "held": held}))
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
