"""What the latency model promises: more never takes longer, nothing is faster than its narrowest part, and the known case."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.core.errors import ConfigError
from weighbridge.deploy.latency import GATEWAY, HUB, STORE, Link, Machine, predict, predict_cached, routes

SIZES = st.lists(st.integers(0, 10**12), min_size=1, max_size=20)
RATES = st.integers(10**5, 10**11)
TRIPS = st.floats(0, 2, allow_nan=False)
MANNERS = st.sampled_from((HUB, GATEWAY, STORE))


@settings(max_examples=60, deadline=None)
@given(SIZES, RATES, TRIPS, MANNERS, st.integers(1, 64))
def test_nothing_is_faster_than_its_narrowest_part(
    sizes: list[int], rate: int, trip: float, manner: object, processors: int
) -> None:
    link, machine = Link(rate, trip), Machine(processors)
    said = predict("x", sizes, manner, link=link, machine=machine)  # type: ignore[arg-type]
    slack = 1 + 1e-9
    assert said.seconds * slack >= sum(sizes) / rate
    assert said.seconds * slack >= said.transfer_seconds
    assert said.seconds * slack >= trip
    if manner is not HUB:
        assert said.seconds * slack >= sum(sizes) / (processors * machine.verify_bytes_per_second)


@settings(max_examples=60, deadline=None)
@given(SIZES, RATES, TRIPS, MANNERS)
def test_more_bytes_a_slower_link_or_a_longer_way_never_take_less_time(
    sizes: list[int], rate: int, trip: float, manner: object
) -> None:
    def seconds(some: list[int], link: Link) -> float:
        return predict("x", some, manner, link=link, machine=Machine()).seconds * (1 + 1e-9)  # type: ignore[arg-type]

    base = predict("x", sizes, manner, link=Link(rate, trip), machine=Machine()).seconds  # type: ignore[arg-type]
    assert seconds([size * 2 for size in sizes], Link(rate, trip)) >= base
    assert seconds(sizes, Link(rate / 2, trip)) >= base
    assert predict_cached(sizes, machine=Machine(1)).seconds >= predict_cached(sizes, machine=Machine(8)).seconds


def test_690_gigabytes_by_each_route() -> None:
    """At 192 MB/s the load just ends within SageMaker's hour; a disk's copy is proven in minutes; a Hub far away is no faster."""
    sizes = [690_000_000_000 // 163] * 163
    by = {one.route: one for one in routes(sizes, hub=Link(100e6, 0.05), store=Link(192e6, 0.005), machine=Machine(8))}
    assert by["store"].seconds == pytest.approx(3594, rel=0.01)
    assert by["hub"].seconds == pytest.approx(6900, rel=0.01)
    assert by["cached"].seconds == pytest.approx(123, rel=0.01)
    assert (by["store"].bound, by["hub"].bound, by["cached"].bound) == ("link", "link", "verification")


def test_what_holds_a_load_up_is_named() -> None:
    sizes = [10**10] * 8
    far = Link(10**9, 0.2)
    assert predict("x", sizes, replace(STORE, streams=1), link=far, machine=Machine()).bound == "round trips"
    assert predict("x", sizes, HUB, link=replace(far, stream_bytes_per_second=10**6), machine=Machine()).bound in (
        "stream",
        "round trips",
    )
    assert predict("x", sizes, STORE, link=Link(10**11), machine=Machine(1)).bound == "verification"
    assert predict("x", sizes, STORE, link=far, machine=Machine(8, disk_bytes_per_second=10**6)).bound == "disk"


def test_what_cannot_be_is_refused() -> None:
    for rate, trip in ((0, 0), (-1, 0), (float("inf"), 0), (1, -1), (1, float("nan"))):
        with pytest.raises(ConfigError):
            Link(rate, trip)
    for wrong in ({"streams": 0}, {"range_bytes": -1}):
        with pytest.raises(ConfigError):
            replace(STORE, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        predict("x", [-1], STORE, link=Link(1), machine=Machine())
