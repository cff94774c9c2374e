"""The R1-shaped model goes from a Hub through every gate to the unmodified transformers, in a network namespace that reaches
the gateway and nothing else, and talks there."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Command
from tests.support import deepseek
from tests.support.gateway import GatewayProcess
from tests.support.hub import HubServer
from tests.support.isolation import Isolated, gateway_for, isolated
from tests.support.remote_code_models import CONFIGURATION, MODELING

NAME = "deepseek-ai/DeepSeek-R1"

ALONE = """
import json, socket, sys
tried = {}
for name, family, address in json.loads(%r):
    with socket.socket(getattr(socket, family)) as sock:
        sock.settimeout(3)
        try:
            sock.connect(tuple(address))
            tried[name] = "connected"
        except OSError as error:
            tried[name] = type(error).__name__
try:
    tried["name"] = str(socket.getaddrinfo("huggingface.co", 443))
except OSError as error:
    tried["name"] = type(error).__name__
interfaces = [line.partition(":")[0].strip() for line in open("/proc/net/dev").read().splitlines()[2:]]
routes = open("/proc/net/route").read().splitlines()[1:]
print(json.dumps({"tried": tried, "interfaces": interfaces, "routes": routes}))
"""

GENERATES = """
import json
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline
name = "deepseek-ai/DeepSeek-R1"
torch.manual_seed(0)
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name, trust_remote_code=False)
asked = tokenizer("the rain in on", return_tensors="pt")
made = model.generate(**asked, max_new_tokens=6, min_new_tokens=6, do_sample=False)
# Its task it learns from the gateway.
talk = pipeline(model=name, trust_remote_code=False)
said = talk("the rain in on", max_new_tokens=6, min_new_tokens=6, do_sample=False)[0]["generated_text"]
print(json.dumps({
    "module": type(model).__module__, "asked": len(asked.input_ids[0]),
    "made": made[0].tolist(), "text": tokenizer.decode(made[0], skip_special_tokens=True), "said": said,
    "finite": bool(torch.isfinite(model(**asked).logits).all()),
    "layers": model.config.num_hidden_layers, "piped": type(talk.model).__module__, "task": talk.task,
}))
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The repository as upstream has it: 163 shards of 8-bit floats, with Python files that work."""
    folder = deepseek.build(tmp_path / "upstream")
    (folder / "configuration_deepseek.py").write_text(CONFIGURATION)
    (folder / "modeling_deepseek.py").write_text(MODELING)
    return folder


def admitted(command: Command) -> str:
    """Brings the model in, has it judged, cleaned, judged again, approved and promoted; the revision that is served."""
    parent = command("ingest", f"hf://{NAME}", "--json").event("ingested")["revision"]
    held = command("decide", f"{NAME}@{parent}", code=5)
    assert "hold" in held.out
    assert "--strip-remote-code" in held.out
    cleaned = str(command("remediate", f"{NAME}@{parent}", "--strip-remote-code", "--json").json["revision"])
    assert cleaned != parent
    reference = f"{NAME}@{cleaned}"
    assert "admit" in command("decide", reference).out
    command("approve", reference, "--reason", "the code is gone; the logits are the same")
    command("promote", reference, "--channel", "production")
    return cleaned


def prove_alone(space: Isolated, gateway: GatewayProcess, environment: dict[str, str]) -> None:
    """From inside nothing is reached but the gateway; what is refused there is there for everybody outside."""
    with socket.create_server(("127.0.0.1", 0)) as outside:
        neighbour = outside.getsockname()
        socket.create_connection(neighbour, timeout=3).close()
        places = [
            ("gateway", "AF_INET", list(gateway.address)),
            ("neighbour", "AF_INET", list(neighbour)),
            ("internet", "AF_INET", ["1.1.1.1", 443]),
            ("internet6", "AF_INET6", ["2606:4700:4700::1111", 443]),
            ("metadata", "AF_INET", ["169.254.169.254", 80]),
        ]
        found = space.json(ALONE % json.dumps(places), environment)
    assert found["tried"].pop("gateway") == "connected"
    assert "connected" not in found["tried"].values(), found
    assert found["tried"]["name"] == "gaierror"
    assert found["interfaces"] == ["lo"]
    assert found["routes"] == []


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_r1_shaped_model_talks_where_only_the_gateway_is_reached(
    on_hub: Command, hub: HubServer, publish: Callable[..., str], source: Path, tmp_path: Path
) -> None:
    with isolated() as space:
        publish(NAME, source)
        revision = admitted(on_hub)
        # Upstream goes away: neither the gateway nor anybody behind it asks for it again.
        hub.forget_requests()
        with gateway_for(space, on_hub) as gateway:
            environment = gateway.client(tmp_path / "client")
            prove_alone(space, gateway, environment)
            got = space.json(GENERATES, environment)
        assert hub.requests == []
    assert got["module"] == got["piped"] == "transformers.models.deepseek_v3.modeling_deepseek_v3"
    assert got["task"] == "text-generation"
    assert len(got["made"]) == got["asked"] + 6
    assert got["finite"]
    assert got["said"].startswith("the rain in on")
    assert got["said"] == got["text"]
    downloaded = [path for path in (tmp_path / "client").rglob("*") if path.is_symlink()]
    assert {path.relative_to(tmp_path / "client").parts[3] for path in downloaded} == {revision}
    assert sum(path.name.endswith(".safetensors") for path in downloaded) == 163
    assert not [path for path in downloaded if path.suffix == ".py"]
