"""What is asked of a platform where deployments run, and what it says of their parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from weighbridge.core.errors import Interrupted, WeighbridgeError
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


@contextmanager
def accounted(word: str, done: Sequence[str], goes_on: Callable[[], str]) -> Iterator[None]:
    """What ends a change half-way also says what was done by then; and what goes on, where somebody stopped it.

    `done` grows while the change is made, and `word` says what was done with each: `made`, `removed`. `goes_on` asks the platform.

    Raises:
        Interrupted: in the place of KeyboardInterrupt. WeighbridgeError: whatever else ended it.
    """
    try:
        yield
    except KeyboardInterrupt:
        so_far = ", ".join(done) or "nothing"
        try:
            now = goes_on()
        except WeighbridgeError as error:
            now = f"what goes on there could not be asked ({error.message})"
        raise Interrupted(f"stopped; {word} so far: {so_far}; {now}") from None
    except WeighbridgeError as error:
        if done:
            error.hint = " ".join(filter(None, (error.hint, f"Before that, {word}: {', '.join(done)}.")))
        raise
