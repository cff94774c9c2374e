"""Puts the layers of access in their order around a gateway, outermost first.

Counting sees everything; sizes and time are bounded before anybody is known; then who asks, what that one may take, and the
record of what is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Scope

from weighbridge.serve.access import Access, ChannelsOf, Exposure
from weighbridge.serve.downloads import Audited, Downloads
from weighbridge.serve.limits import Bounds, Fair, Rates, Sizes
from weighbridge.serve.metrics import Measured, Metrics
from weighbridge.serve.telemetry import Tracing
from weighbridge.serve.token_store import Tokens

Layer = Callable[[ASGIApp], ASGIApp]


@dataclass(frozen=True, slots=True)
class Layering:
    """What the layers are made of. `elsewhere` says which requests another layer authenticates; see `Access`."""

    tokens: Tokens
    exposure: Exposure
    channels_of: ChannelsOf
    downloads: Downloads
    metrics: Metrics
    elsewhere: Callable[[Scope], bool] = lambda _scope: False
    sizes: Sizes = field(default_factory=Sizes)
    rates: Rates = field(default_factory=Rates)
    log_requests: bool = False
    tracing: Tracing | None = None
    """What sends traces; None sends none."""


def layers_of(made: Layering) -> list[Layer]:
    """The layers, outermost first."""
    hit = made.metrics.limit_hit
    return [
        lambda app: Measured(app, made.metrics, log=made.log_requests, tracing=made.tracing),
        lambda app: Bounds(app, made.sizes, hit=hit),
        lambda app: Access(app, made.tokens, made.exposure, channels_of=made.channels_of, elsewhere=made.elsewhere),
        lambda app: Fair(app, made.rates, hit=hit),
        lambda app: Audited(app, made.downloads),
    ]
