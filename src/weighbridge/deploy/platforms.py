"""What is asked of a platform where deployments run, and what it says of their parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from weighbridge.deploy.deployments import Recorded
from weighbridge.deploy.plan import RenderedFile


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a deployment as its platform has it now."""

    kind: str
    name: str
    state: str
    ready: bool | None
    """None where the part has nothing to be ready for."""


class Platform(Protocol):
    """Where deployments of a target run."""

    def apply(self, deployment: Recorded, *, wait_seconds: float) -> None:
        """Makes what runs be what was rendered.

        Raises:
            ConfigError: the platform's program is missing. Denied: something of that name is somebody else's.
            StoreError: the platform refused, failed or did not answer.
        """
        ...

    def status(self, deployment: Recorded) -> tuple[Part, ...]:
        """What there is of it; raises as `apply`."""
        ...

    def delete(self, deployment: Recorded) -> None:
        """Removes it; parts that are gone are no error. Its files may be more than those that run. Raises as `apply`."""
        ...

    def prune(self, deployment: Recorded, older: Sequence[RenderedFile], *, wait_seconds: float) -> tuple[str, ...]:
        """Removes what `older` files have and the deployment's do not, once what they make is ready; what was removed.

        Only what carries the deployment's name as its own is removed. Raises as `apply`.
        """
        ...
