"""systemd units for an engine on one host: one that fetches and proves the model, one that serves it and reaches nothing.

Both are hardened; `systemd-analyze security` tells how far. The engine's may use devices where it has GPUs, and memory that
is both written and executed, which compilers of kernels need.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from weighbridge.deploy.sizing import GIB, cpu_memory_bytes, fetch_seconds, host_memory_bytes, startup_seconds
from weighbridge.deploy.targets.choices import Chosen
from weighbridge.deploy.targets.serving import CACHE, Serving
from weighbridge.deploy.targets.text import heading

HARDENING: Final = (
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "AmbientCapabilities=",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectControlGroups=yes",
    "ProtectClock=yes",
    "ProtectHostname=yes",
    "ProtectProc=invisible",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "RemoveIPC=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallErrorNumber=EPERM",
)


def fetch_unit(made: Chosen, *, folder: str, trust: str, command: str) -> str:
    """The unit that brings the model: it may reach the network, and write to its own folders alone."""
    model = made.deployable
    environment = {"WEIGHBRIDGE_TRUST": trust, "WEIGHBRIDGE_STATE": f"/var/lib/{made.name}/state"}
    if made.trust_digest:
        environment["WEIGHBRIDGE_TRUST_SHA256"] = made.trust_digest
    return heading(model) + _sections(
        {
            "Unit": (
                f"Description=Fetch and prove {_escaped(model.reference)}",
                "After=network-online.target",
                "Wants=network-online.target",
            ),
            "Service": (
                "Type=oneshot",
                "RemainAfterExit=yes",
                f"User={made.name}",
                f"Group={made.name}",
                f"StateDirectory={made.name} {made.name}/state {made.name}/models",
                "StateDirectoryMode=0750",
                *(f"Environment={_pair(name, value)}" for name, value in environment.items()),
                f"ExecStart={command} fetch {_escaped(model.reference)} {folder} --replace",
                f"TimeoutStartSec={4 * fetch_seconds(model, made.options.transfer_rate)}",
                *HARDENING,
                "UMask=0027",
                "MemoryDenyWriteExecute=yes",
                "PrivateDevices=yes",
                "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
                "MemoryMax=2G",
            ),
        }
    )


def engine_unit(made: Chosen, serving: Serving, *, folder: str, clients: Sequence[str]) -> str:
    """The unit that serves: only `clients` may talk to it, it reads one folder, and it has nobody's secrets."""
    model = made.deployable
    needed = (
        host_memory_bytes(model, made.layout.devices) + 8 * GIB if made.on_gpus else cpu_memory_bytes(model)
    ) // GIB
    devices = ("DevicePolicy=closed", "DeviceAllow=char-nvidia* rw") if made.on_gpus else ("PrivateDevices=yes",)
    home = f"/var/cache/{made.name}"
    environment = {name: _moved(value, home) for name, value in serving.environment.items()}
    command = " ".join(_argument(word) for word in (*serving.command, *serving.arguments))
    return heading(model) + _sections(
        {
            "Unit": (
                f"Description={made.engine.title} serves {_escaped(model.reference)}",
                f"Requires={made.name}-fetch.service",
                f"After={made.name}-fetch.service",
            ),
            "Service": (
                "Type=exec",
                f"User={made.name}-engine",
                f"Group={made.name}-engine",
                f"SupplementaryGroups={made.name}",
                f"CacheDirectory={made.name}",
                *(f"Environment={_pair(name, value)}" for name, value in sorted(environment.items())),
                f"UnsetEnvironment={' '.join(_SECRETS)}",
                f"ExecStart={command}",
                f"TimeoutStartSec={startup_seconds(model, made.options.transfer_rate)}",
                "Restart=on-failure",
                "RestartSec=10",
                f"ReadOnlyPaths={folder}",
                f"InaccessiblePaths=-/var/lib/{made.name}/state",
                *HARDENING,
                "UMask=0077",
                *devices,
                "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK",
                "IPAddressDeny=any",
                f"IPAddressAllow=localhost {' '.join(clients)}".rstrip(),
                f"MemoryMax={needed}G",
                "LimitMEMLOCK=infinity",
            ),
            "Install": ("WantedBy=multi-user.target",),
        }
    )


_SECRETS: Final = (
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "http_proxy",
    "https_proxy",
    "ALL_PROXY",
)


def _sections(sections: Mapping[str, Sequence[str]]) -> str:
    return "\n".join(f"[{name}]\n" + "".join(f"{line}\n" for line in lines) for name, lines in sections.items())


def _moved(value: str, home: str) -> str:
    """A variable's value with a container's folder of caches exchanged for the unit's."""
    return f"{home}{value.removeprefix(CACHE)}" if value == CACHE or value.startswith(f"{CACHE}/") else value


def _pair(name: str, value: str) -> str:
    return _argument(f"{name}={value}")


def _escaped(text: str) -> str:
    """A value of a unit: `%` starts a specifier, and is written twice."""
    return text.replace("%", "%%")


def _argument(word: str) -> str:
    """One word of a command line, quoted where systemd would split or expand it."""
    plain = word.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$").replace('"', '\\"')
    safe = all(character.isalnum() or character in "-_./=:@,+%$" for character in plain)
    return plain if safe and plain else f'"{plain}"'
