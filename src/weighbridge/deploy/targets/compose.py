"""One host: a compose file, systemd units, and the engine's variables as a plain env file.

In compose the engine is on an internal network: what has no route out needs no list of addresses. Nothing is published on
the host, because a network that can be reached from outside also leads outside; whoever calls joins the network `inside`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import ConfigError
from weighbridge.deploy.deployable import Deployable
from weighbridge.deploy.plan import Plan, RenderedFile, Resource, Target
from weighbridge.deploy.sizing import GIB, cpu_memory_bytes, host_memory_bytes, startup_seconds
from weighbridge.deploy.targets.choices import MODELS, Chosen, ServingOptions, chosen
from weighbridge.deploy.targets.kubernetes import cost_drivers
from weighbridge.deploy.targets.pods import STATE, TRUST_FOLDER, TRUST_KEY, check_blocks
from weighbridge.deploy.targets.serving import CACHE, Serving, serving_of
from weighbridge.deploy.targets.text import heading, yaml_text
from weighbridge.deploy.targets.units import engine_unit, fetch_unit

FILE: Final = "compose.yaml"
_FOLDER = re.compile(r"/[A-Za-z0-9][A-Za-z0-9._/-]{0,200}")


@dataclass(frozen=True, slots=True)
class Options(ServingOptions):
    """What can be chosen of an engine on one host."""

    engine: str = "vllm"
    """`vllm`, `tgi`, `sglang`, `lmi`, `transformers-serve` or `llama.cpp`."""
    host_folder: str = "/srv/weighbridge"
    """A folder of the host, owned by `user_id`, with `models` and `state` below it."""
    store_variables: str = ""
    """An env file with the store's credentials, for the fetch alone."""
    command: str = "/usr/local/bin/weighbridge"
    """Where the units find `weighbridge`."""
    engine_folder: str = "/opt/engine/bin"
    """Where the unit finds the engine's program."""
    client_cidrs: tuple[str, ...] = ()
    """Blocks of addresses that may call the unit's engine, beside this host."""


def render(deployable: Deployable, options: Options) -> Plan:
    """An engine on one host, thought through.

    Raises:
        ConfigError: a choice is missing, malformed, or does not fit the model.
        Denied: the engine's version is not to be run, or an argument not to be had.
    """
    _check(options)
    made = chosen(deployable, options, options.engine, file=FILE)
    serving = serving_of(made)
    env_name = f"{made.name}.env"
    files = [
        RenderedFile(FILE, yaml_text([compose_document(made, options, serving, env_name)], deployable)),
        RenderedFile(env_name, env_text(made, serving)),
    ]
    if made.trust_text:
        files.append(RenderedFile(TRUST_KEY, made.trust_text))
    files += [RenderedFile(path.rsplit("/", 1)[1], text) for path, text in serving.files.items()]
    files += _units(made, options)
    return Plan(
        target=Target.COMPOSE,
        name=made.name,
        deployable=deployable,
        files=tuple(files),
        resources=_resources(files),
        cost_drivers=cost_drivers(made, replicas=1, shared=True),
        findings=made.findings,
        notes=(*made.notes, *_notes(made, options)),
        settings={**made.settings, "host_folder": options.host_folder, "client_cidrs": list(options.client_cidrs)},
    )


def _check(options: Options) -> None:
    for folder in (options.host_folder, options.command, options.engine_folder, options.store_variables):
        if folder and (not _FOLDER.fullmatch(folder) or "/../" in f"{folder}/"):
            raise ConfigError(f"{folder!r:.120} is no plain absolute path")
    check_blocks(options.client_cidrs)


def compose_document(made: Chosen, options: Options, serving: Serving, env_name: str) -> dict[str, JsonValue]:
    """The compose file: a fetch that ends, and an engine that starts after it."""
    document: dict[str, JsonValue] = {
        "name": made.name,
        "services": {
            "fetch": _fetch_service(made, options),
            "engine": _engine_service(made, options, serving, env_name),
        },
        "networks": {"store": {}, "inside": {"internal": True}},
    }
    configs: dict[str, JsonValue] = {"trust": {"file": f"./{TRUST_KEY}"}}
    for path in serving.files:
        name = path.rsplit("/", 1)[1]
        configs[name] = {"file": f"./{name}"}
    document["configs"] = configs
    return document


def _fetch_service(made: Chosen, options: Options) -> dict[str, JsonValue]:
    environment: dict[str, JsonValue] = {
        "WEIGHBRIDGE_TRUST": f"{TRUST_FOLDER}/{TRUST_KEY}",
        "WEIGHBRIDGE_STATE": STATE,
        "HOME": "/tmp",  # noqa: S108 (a tmpfs of the container's own)
    }
    if made.trust_digest:
        environment["WEIGHBRIDGE_TRUST_SHA256"] = made.trust_digest
    service: dict[str, JsonValue] = {
        "image": options.fetch_image,
        "command": ["fetch", made.deployable.reference, made.folder],
        "environment": environment,
        "configs": [{"source": "trust", "target": f"{TRUST_FOLDER}/{TRUST_KEY}"}],
        "volumes": [
            _bind(f"{options.host_folder}/models", MODELS),
            _bind(f"{options.host_folder}/state", STATE),
        ],
        "networks": ["store"],
        "restart": "on-failure",
        **_locked_down(options),
        "mem_limit": str(2 * GIB),
    }
    if options.store_variables:
        service["env_file"] = [options.store_variables]
    return service


def _engine_service(made: Chosen, options: Options, serving: Serving, env_name: str) -> dict[str, JsonValue]:
    budget = startup_seconds(made.deployable, options.transfer_rate)
    service: dict[str, JsonValue] = {"image": options.image}
    if serving.command:
        service["entrypoint"] = [_plain(word) for word in serving.command]
    service |= {
        "command": [_plain(word) for word in serving.arguments],
        "env_file": [f"./{env_name}"],
        "depends_on": {"fetch": {"condition": "service_completed_successfully"}},
        "volumes": [_bind(f"{options.host_folder}/models", MODELS, read_only=True)],
        "networks": ["inside"],
        "expose": [str(serving.port)],
        "restart": "unless-stopped",
        **_locked_down(options, scratch=(CACHE,)),
        "shm_size": str((1 if made.layout.devices == 1 else 8) * GIB),
        "healthcheck": {
            "test": _asking(made, serving),
            "interval": "30s",
            "timeout": "10s",
            "retries": 5,
            "start_period": f"{budget}s",
        },
        "stop_grace_period": "120s",
    }
    memory = host_memory_bytes(made.deployable, made.layout.devices) + 8 * GIB
    if serving.files:
        service["configs"] = [{"source": path.rsplit("/", 1)[1], "target": path} for path in serving.files]
    if made.on_gpus:
        device: dict[str, JsonValue] = {"driver": "nvidia", "count": made.layout.devices, "capabilities": ["gpu"]}
        service["deploy"] = {"resources": {"reservations": {"devices": [device]}}}
    else:
        memory = cpu_memory_bytes(made.deployable)
    service["mem_limit"] = str(memory)
    return service


def _asking(made: Chosen, serving: Serving) -> list[JsonValue]:
    if made.engine.name == "llama.cpp":
        return ["CMD", "curl", "-fsS", "-m", "8", f"http://127.0.0.1:{serving.port}{serving.health_path}"]
    return ["CMD", "python3", "-c", _ASK.format(port=serving.port, path=serving.health_path)]


_ASK: Final = "import urllib.request as u; u.urlopen('http://127.0.0.1:{port}{path}', timeout=8)"


def _locked_down(options: Options, scratch: tuple[str, ...] = ()) -> dict[str, JsonValue]:
    owner = f"uid={options.user_id},gid={options.user_id},mode=0700"
    return {
        "user": f"{options.user_id}:{options.user_id}",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "tmpfs": [f"{folder}:{owner}" for folder in ("/tmp", *scratch)],  # noqa: S108
        "pids_limit": 4096,
    }


def _bind(source: str, target: str, *, read_only: bool = False) -> dict[str, JsonValue]:
    bind: dict[str, JsonValue] = {"type": "bind", "source": source, "target": target}
    if read_only:
        bind["read_only"] = True
    return {**bind, "bind": {"create_host_path": False}}


def _plain(word: str) -> str:
    """A word that compose does not take for a variable."""
    return word.replace("$", "$$")


def env_text(made: Chosen, serving: Serving) -> str:
    """The engine's variables, one a line, for `env_file`, `--env-file` and `EnvironmentFile=`."""
    lines = [f"{name}={value}\n" for name, value in sorted(serving.environment.items())]
    return heading(made.deployable) + "".join(lines)


def _units(made: Chosen, options: Options) -> list[RenderedFile]:
    if made.engine.name == "lmi":
        return []
    folder = f"/var/lib/{made.name}/models/{made.folder.rsplit('/', 1)[1]}"
    serving = serving_of(made, folder=folder)
    program = serving.command[0].rsplit("/", 1)[-1]
    there = Serving(
        (f"{options.engine_folder}/{program}", *serving.command[1:]),
        serving.arguments,
        serving.environment,
        serving.port,
        serving.health_path,
    )
    trust = f"{TRUST_FOLDER}/{made.name}.{TRUST_KEY}"
    return [
        RenderedFile(
            f"{made.name}-fetch.service", fetch_unit(made, folder=folder, trust=trust, command=options.command)
        ),
        RenderedFile(f"{made.name}.service", engine_unit(made, there, folder=folder, clients=options.client_cidrs)),
    ]


def _resources(files: list[RenderedFile]) -> tuple[Resource, ...]:
    found = [
        Resource("service", "fetch", "fetches and proves the model, then ends"),
        Resource("service", "engine", "serves the model, mounted read-only, on a network without a way out"),
        Resource("network", "inside", "internal: no route to anywhere else"),
        Resource("network", "store", "the fetch's way to the store"),
    ]
    found += [Resource("unit", file.name, "for systemd") for file in files if file.name.endswith(".service")]
    return tuple(found)


def _notes(made: Chosen, options: Options) -> list[str]:
    owner = f"{options.user_id}:{options.user_id}"
    notes = [
        f"Make {options.host_folder}/models and {options.host_folder}/state beforehand, owned by {owner}.",
        "The engine publishes no port: callers join the network `inside`.",
    ]
    if made.engine.name != "lmi":
        notes += [
            f"The units need the users {made.name} and {made.name}-engine, the trust file as"
            f" {TRUST_FOLDER}/{made.name}.{TRUST_KEY}, and the engine in {options.engine_folder}.",
        ]
    if not options.store_variables:
        notes.append("The fetch was given no credentials of the store (store_variables).")
    return notes
