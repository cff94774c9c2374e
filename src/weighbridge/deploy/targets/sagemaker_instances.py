"""Instances that SageMaker hosts models on: devices, and the local disk that takes the place of a volume.

Sizes are EC2's, as published; a type that is not here is taken as it is said, and what does not follow from it is not claimed.
An instance with a local disk keeps the model there: its size is the disk's, and a volume's size is not to be said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

GB: Final = 1_000_000_000
MAX_VOLUME_GB: Final = 512
"""The largest volume of an instance without a local disk (`VolumeSizeInGB` of the service's model)."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One type. `device` is a name that `sizing.device_memory` knows; `disk_gb` is 0 where there is only a volume."""

    name: str
    device: str
    devices: int
    disk_gb: int


def _family(family: str, device: str, sizes: Mapping[str, tuple[int, int]]) -> dict[str, Instance]:
    found = (Instance(f"ml.{family}.{size}", device, devices, disk) for size, (devices, disk) in sizes.items())
    return {one.name: one for one in found}


_G5: Final = {
    "xlarge": (1, 250),
    "2xlarge": (1, 450),
    "4xlarge": (1, 600),
    "8xlarge": (1, 900),
    "16xlarge": (1, 1900),
    "12xlarge": (4, 3800),
    "24xlarge": (4, 3800),
    "48xlarge": (8, 7600),
}
_G6: Final = {
    "xlarge": (1, 250),
    "2xlarge": (1, 450),
    "4xlarge": (1, 600),
    "8xlarge": (1, 900),
    "16xlarge": (1, 1880),
    "12xlarge": (4, 3760),
    "24xlarge": (4, 3760),
    "48xlarge": (8, 7520),
}
_G4DN: Final = {
    "xlarge": (1, 125),
    "2xlarge": (1, 225),
    "4xlarge": (1, 225),
    "8xlarge": (1, 900),
    "16xlarge": (1, 900),
    "12xlarge": (4, 900),
}
INSTANCES: Final[Mapping[str, Instance]] = MappingProxyType(
    {
        **_family("g4dn", "t4", _G4DN),
        **_family("g5", "a10g", _G5),
        **_family("g6", "l4", _G6),
        **_family("g6e", "l40s", _G5),
        **_family("p3", "16", {"2xlarge": (1, 0), "8xlarge": (4, 0), "16xlarge": (8, 0)}),
        **_family("p4d", "a100-40gb", {"24xlarge": (8, 8000)}),
        **_family("p4de", "a100-80gb", {"24xlarge": (8, 8000)}),
        **_family("p5", "h100", {"4xlarge": (1, 3840), "48xlarge": (8, 30720)}),
        **_family("p5e", "h200", {"48xlarge": (8, 30720)}),
        **_family("p5en", "h200", {"48xlarge": (8, 30720)}),
        **_family("p6-b200", "b200", {"48xlarge": (8, 30720)}),
        **_family("p6-b300", "b300", {"48xlarge": (8, 30720)}),
    }
)
"""By name. The order is from small to large within a family."""
