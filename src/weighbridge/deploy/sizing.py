"""What a model needs, from its files and its configuration: devices, memory, volume and time. Estimates, and said to be.

Weights are taken as they lie in the files (a loader that widens them needs more). What a configuration does not say is not
guessed: the answer then has no figure, and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from types import MappingProxyType
from typing import Final

from weighbridge.core.errors import ConfigError
from weighbridge.deploy.deployable import WEIGHT_SUFFIXES, Deployable

GIB: Final = 1 << 30
USABLE_SHARE: Final = 0.9
"""Of a device's memory: what vLLM takes by default."""
RUNTIME_BYTES: Final = 2 * GIB
"""For each device: the CUDA context, activations and graphs. A rule of thumb."""
CACHE_SHARE: Final = 0.2
"""Of the weights, kept free for the KV cache. A rule of thumb: a longer context or more users need more."""
MAX_DEVICES: Final = 64
DEFAULT_RATE: Final = 200_000_000
"""Bytes a second that a store or a disk is taken to give where nobody measured: a cautious figure."""
FASTEST_RATE: Final = 12_500_000_000
"""Bytes a second of a link of 100 Gbit/s: a time limit that needs more is never met."""
ENGINE_SECONDS: Final = 300.0
"""For an engine to start and compile, apart from reading the weights."""

DEVICE_BYTES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "t4": 16 * GIB,
        "a10g": 24 * GIB,
        "l4": 24 * GIB,
        "l40s": 48 * GIB,
        "a100-40gb": 40 * GIB,
        "a100-80gb": 80 * GIB,
        "h100": 80 * GIB,
        "h200": 141 * GIB,
        "b200": 180 * GIB,
        "b300": 268 * GIB,
        "mi300x": 192 * GIB,
        "mi325x": 256 * GIB,
    }
)
"""Memory of devices by their common names."""


@dataclass(frozen=True, slots=True)
class Parallelism:
    """How a model is laid over devices."""

    tensor: int
    pipeline: int
    fits: bool | None
    """Whether the weights and a little cache fit; None where the devices' memory was not said."""
    device_bytes: int
    """What each device is estimated to hold."""
    why: str

    @property
    def devices(self) -> int:
        """All devices together."""
        return self.tensor * self.pipeline


def parallelism(deployable: Deployable, gpus: int, gpu_memory_bytes: int = 0) -> Parallelism:
    """The fewest of `gpus` devices over which the model fits, heads divided evenly; pipeline stages only where they must be.

    Where nothing fits, as much as can be used, with `fits` False; where `gpu_memory_bytes` is 0, all devices that divide the
    heads, with `fits` None.

    Raises:
        ConfigError: `gpus` is none, or more than `MAX_DEVICES`.
    """
    if not 1 <= gpus <= MAX_DEVICES:
        raise ConfigError(f"{gpus} devices are not to be laid out over", hint=f"Say 1 to {MAX_DEVICES}.")
    layouts = _layouts(deployable, gpus)
    if gpu_memory_bytes <= 0:
        tensor, pipeline = max(layouts, key=lambda layout: (layout[0] * layout[1], layout[0]))
        return _laid_out(deployable, tensor, pipeline, fits=None)
    for tensor, pipeline in layouts:
        if _each_device(deployable, tensor * pipeline) <= gpu_memory_bytes * USABLE_SHARE:
            return _laid_out(deployable, tensor, pipeline, fits=True)
    tensor, pipeline = max(layouts, key=lambda layout: (layout[0] * layout[1], layout[0]))
    return _laid_out(deployable, tensor, pipeline, fits=False)


def devices_needed(deployable: Deployable, gpu_memory_bytes: int) -> int:
    """The fewest devices of a memory that hold the model; 0 if `MAX_DEVICES` do not."""
    laid = parallelism(deployable, MAX_DEVICES, gpu_memory_bytes)
    return laid.devices if laid.fits else 0


def exceeds(deployable: Deployable, memory_bytes: int, arguments: Iterable[str] = ()) -> bool:
    """Whether the weights alone are more than all devices' memory, so that no engine is ever ready: unless it is told to offload."""
    return deployable.weight_bytes > memory_bytes and not any("offload" in one.lower() for one in arguments)


def divides_heads(deployable: Deployable, tensor: int) -> bool:
    """Whether attention heads and key-value heads can be shared among so many devices; True where they are not known."""
    shape = deployable.architecture
    if shape is None:
        return True
    if shape.attention_heads is not None and shape.attention_heads % tensor:
        return False
    shared = shape.key_value_heads
    return shared is None or shared % tensor == 0 or tensor % shared == 0


def device_memory(text: str) -> int:
    """Bytes of a device: a common name (`h100`) or a number of GiB.

    Raises:
        ConfigError: it is neither.
    """
    word = text.strip().lower()
    if word in DEVICE_BYTES:
        return DEVICE_BYTES[word]
    number = word.removesuffix("gib").removesuffix("gi").removesuffix("gb").strip()
    if number.isdecimal() and len(number) <= 5 and int(number) > 0:
        return int(number) * GIB
    raise ConfigError(
        f"{text!r:.60} is no device that is known", hint=f"Write its GiB, or one of {', '.join(DEVICE_BYTES)}."
    )


def host_memory_bytes(deployable: Deployable, parallel: int = 1) -> int:
    """What a container needs beside its devices: each worker holds a shard while it loads, and the engine 8 GiB."""
    shard = largest_weight_bytes(deployable)
    return _whole_gib(8 * GIB + min(shard * parallel, deployable.weight_bytes))


def cpu_memory_bytes(deployable: Deployable) -> int:
    """What a container without devices needs: the weights, a little cache, and the engine."""
    return _whole_gib(int(deployable.weight_bytes * (1 + CACHE_SHARE)) + 4 * GIB)


def largest_weight_bytes(deployable: Deployable) -> int:
    """The largest file of weights."""
    return max((size for path, size in deployable.files.items() if path.endswith(WEIGHT_SUFFIXES)), default=0)


def volume_bytes(size_bytes: int) -> int:
    """A volume that holds a model: its bytes, a tenth, and 1 GiB, in whole GiB."""
    return _whole_gib(size_bytes + size_bytes // 10 + GIB)


def decimal_size(size_bytes: int) -> str:
    """Bytes as they are paid for: GB, and of less than a tenth of one MB."""
    if size_bytes >= 100_000_000:
        return f"{size_bytes / 1e9:.1f} GB"
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 100_000 else "less than 0.1 MB"


def load_seconds(size_bytes: int, rate: float) -> float:
    """How long bytes take at so many of them a second.

    Raises:
        ConfigError: the rate is not above zero.
    """
    if not rate > 0:
        raise ConfigError("a rate of transfer is more than nothing")
    return size_bytes / rate


def required_rate(size_bytes: int, seconds: float) -> float:
    """Bytes a second that a load needs to end in time.

    Raises:
        ConfigError: there is no time.
    """
    if not seconds > 0:
        raise ConfigError("a time limit is more than nothing")
    return size_bytes / seconds


def startup_seconds(deployable: Deployable, rate: float = DEFAULT_RATE) -> int:
    """A budget for an engine to be ready: it reads the weights at half the rate, and starts."""
    return ceil(load_seconds(deployable.weight_bytes, rate / 2) + ENGINE_SECONDS)


def fetch_seconds(deployable: Deployable, rate: float = DEFAULT_RATE) -> int:
    """A budget for a fetch: every byte at half the rate, and a minute."""
    return ceil(load_seconds(deployable.size_bytes, rate / 2) + 60)


def _layouts(deployable: Deployable, gpus: int) -> list[tuple[int, int]]:
    """(tensor, pipeline) that can be used: the fewest stages first, and then the fewest devices."""
    layers = deployable.architecture.layers if deployable.architecture else None
    found = [
        (tensor, pipeline)
        for tensor in range(1, gpus + 1)
        if divides_heads(deployable, tensor)
        for pipeline in range(1, gpus // tensor + 1)
        if pipeline == 1 or (layers is not None and pipeline <= layers)
    ]
    return sorted(found, key=lambda layout: (layout[1], layout[0]))


def _each_device(deployable: Deployable, devices: int) -> int:
    return ceil(deployable.weight_bytes * (1 + CACHE_SHARE) / devices) + RUNTIME_BYTES


def _laid_out(deployable: Deployable, tensor: int, pipeline: int, *, fits: bool | None) -> Parallelism:
    shape = deployable.architecture
    heads = shape.attention_heads if shape else None
    reasons = [f"{heads} attention heads over {tensor}" if heads else "the number of heads is not known"]
    if pipeline > 1 and shape is not None:
        reasons.append(f"{shape.layers} layers in {pipeline} stages")
    each = _each_device(deployable, tensor * pipeline)
    reasons.append(f"about {ceil(each / GIB)} GiB on each device")
    return Parallelism(tensor, pipeline, fits, each, "; ".join(reasons))


def _whole_gib(size_bytes: int) -> int:
    return ceil(size_bytes / GIB) * GIB
