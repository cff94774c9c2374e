"""Takes the pictures of the documentation anew: `python -m scripts.pictures [FOLDER]`, by default docs/images.

The catalog is that of a real gateway over a home with models that are approved, waiting, unknown and bad; the report is the one
that the tests hold. Takes a Chromium, as the tests do. What watching finds needs a Hub that is taken over: `catalog-updates` is left.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser

from tests.conftest import Command
from tests.support.browser import chromium
from tests.support.gateway import running
from tests.support.postures import store
from tests.support.safetensors_corpus import described

IMAGES: Final = Path(__file__).resolve().parents[1] / "docs" / "images"
LLAMA: Final = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
MODELS: Final[Mapping[str, Mapping[str, bytes]]] = {
    "acme/tiny-chat": {},
    "acme/speech-base": {},
    "mistral-labs/embed-small": {},
    "research/vision-encoder": {"encoder.engine": b"ftrt" + bytes(5_000)},
    "zoo/poisoned-llm": {"weights.pkl": b"cposix\nsystem\n(S'id'\ntR."},
}


def fill(weighbridge: Command, folder: Path) -> str:
    """Brings the models in, and one of them into two channels; its revision."""
    for name, more in MODELS.items():
        model = folder / name
        model.mkdir(parents=True)
        (model / "README.md").write_text(f"---\nlicense: apache-2.0\n---\n# {name}\n")
        (model / "config.json").write_text(json.dumps(LLAMA))
        (model / "model.safetensors").write_bytes(described())
        for path, data in more.items():
            (model / path).write_bytes(data)
        weighbridge("ingest", str(model), "--as", name, "--fail-on", "never", code=None)
        weighbridge("decide", name, code=None)
    weighbridge("people", "add", "rita", "--role", "admin")
    weighbridge("approve", "acme/tiny-chat", "--reason", "ran the evaluation")
    for channel in ("canary", "production"):
        weighbridge("promote", "acme/tiny-chat", "--channel", channel)
    revision: str = weighbridge("ls", "acme/tiny-chat", "--json").json[0]["revision"]
    return revision


def pages(browser: Browser, folder: Path) -> Iterator[tuple[str, str, bytes]]:
    """Name, colours and picture of each page of the catalog."""
    weighbridge = Command(folder / "home")
    revision = fill(weighbridge, folder / "models")
    with running(weighbridge, "--requests", "on") as gateway:
        gateway.ask("/api/models/zoo/wanted-embedder")
        for name, path, height in (
            ("catalog-models", "/", 700),
            ("catalog-queue", "/queue", 960),
            ("catalog-requests", "/requests", 960),
            ("catalog-revision", f"/models/acme/tiny-chat/{revision}", 1180),
        ):
            yield from shot(browser, name, gateway.endpoint + path, (1180, height))


def shot(browser: Browser, name: str, url: str, size: tuple[int, int]) -> Iterator[tuple[str, str, bytes]]:
    """A page in light and in dark."""
    for colours in ("light", "dark"):
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=colours)
        page = context.new_page()
        page.goto(url)
        yield name, colours, page.screenshot()
        context.close()


def main(folder: Path) -> None:
    """Writes all pictures."""
    with chromium() as browser, tempfile.TemporaryDirectory() as scratch:
        for name, colours, picture in pages(browser, Path(scratch)):
            (folder / f"{name}-{colours}.png").write_bytes(picture)
        store(Path(scratch))
        for _, colours, picture in shot(browser, "posture", (Path(scratch) / "r1.en.html").as_uri(), (1280, 900)):
            (folder / f"posture-{colours}.png").write_bytes(picture)
        (_, _, picture), _ = shot(browser, "posture", (Path(scratch) / "r1.ja.html").as_uri(), (1280, 900))
        (folder / "posture-ja.png").write_bytes(picture)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES)
