"""Every fuzz target over its seeds and some damage to them: an answer each time, whatever the bytes."""

from __future__ import annotations

import random

from tests.support.cases import each
from tests.support.fuzzing import TARGETS, check, mutated, seeds
from weighbridge.core.finding import Verdict

ROUNDS = 40


@each("target", TARGETS)
def test_seeds_are_answered(target: str) -> None:
    assert seeds(target)
    for seed in seeds(target):
        assert check(target, seed) in Verdict


@each("target", TARGETS)
def test_damage_is_answered(target: str) -> None:
    source = random.Random(target)
    for number in range(ROUNDS):
        check(target, mutated(seeds(target)[number % len(seeds(target))], source))


@each("target", TARGETS)
def test_a_truncated_seed_is_answered(target: str) -> None:
    seed = seeds(target)[0]
    for length in {0, 1, 4, 8, len(seed) // 2, len(seed) - 1}:
        check(target, seed[:length])
