"""The quality factor rests where it says: with p of 100 calls within the target, between its bounds, after any history."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.config.sections import HeavySection
from router.quality import Quality

TARGET_MS = 30.0


def quality(**values: object) -> Quality:
    return Quality.of(HeavySection.model_validate({"target_ms": 30, **values}))


@settings(deadline=None, max_examples=50)
@given(
    took_ms=st.lists(st.one_of(st.floats(0, 1e6), st.just(inf)), max_size=300),
    n_heavy=st.integers(1, 1_000),
    n_heavy_min=st.integers(1, 1_000),
    percentile=st.floats(50, 99.9),
    step=st.floats(1e-4, 0.1),
)
def test_it_keeps_its_bounds(took_ms: list[float], n_heavy: int, n_heavy_min: int, percentile: float, step: float) -> None:
    now = quality(n_heavy=n_heavy, n_heavy_min=n_heavy_min, percentile=percentile, step=step)
    for took in took_ms:
        now = now.after(took)
        assert now.floor <= now.factor <= 1
        assert min(n_heavy_min, n_heavy) <= now.of_rows(n_heavy) <= n_heavy


def test_one_late_call_takes_what_p_calls_in_time_give_back() -> None:
    low = quality(percentile=95, step=0.01).after(inf)
    assert low.factor == pytest.approx(1 - 0.01 * 95 / 5)
    for _ in range(19):
        low = low.after(1.0)
    assert low.factor == pytest.approx(1)
    assert low.after(1.0).factor == 1


def served(
    now: Quality, *, n_calls: int, cost: Callable[[float], float], n_heavy: int = 100, seed: int = 0
) -> tuple[Quality, list[float]]:
    """A ranker whose latency is exponential around what `cost` says the rows it is given need, in ms."""
    rng = np.random.default_rng(seed)
    taken = []
    for noise in rng.exponential(size=n_calls):
        took_ms = cost(now.of_rows(n_heavy)) * noise
        taken.append(took_ms)
        now = now.after(took_ms)
    return now, taken


@pytest.mark.parametrize("percentile", [50.0, 90.0, 95.0, 99.0])
@pytest.mark.parametrize("share", [0.4, 0.7])
def test_the_percentile_of_latency_comes_to_rest_on_the_target(percentile: float, share: float) -> None:
    """The rows cost so much that the percentile is on the target when `share` of them is done."""
    ms_per_row = TARGET_MS / -np.log(1 - percentile / 100) / (share * 1_000)
    start = quality(n_heavy=1_000, n_heavy_min=1, percentile=percentile, step=0.0005)
    settled, _ = served(start, n_calls=5_000, cost=lambda rows: ms_per_row * rows, n_heavy=1_000)
    last, taken = served(settled, n_calls=40_000, cost=lambda rows: ms_per_row * rows, n_heavy=1_000, seed=1)
    within = 100 * np.mean(np.array(taken) <= TARGET_MS)
    assert within == pytest.approx(percentile, abs=0.5 if percentile < 99 else 0.2)
    assert abs(last.factor - share) < 0.2


def test_where_the_work_is_light_all_of_it_is_done() -> None:
    settled, _ = served(quality(), n_calls=2_000, cost=lambda rows: 0.02 * rows)
    assert settled.factor > 0.9 and settled.of_rows(100) > 90


def test_after_a_storm_it_is_back_within_as_many_calls_as_the_step_says() -> None:
    calm = quality(n_heavy=100, n_heavy_min=10, step=0.002)
    stormy, _ = served(calm, n_calls=200, cost=lambda rows: 1e4)
    assert stormy.of_rows(100) == 10
    back, _ = served(stormy, n_calls=450, cost=lambda rows: 0.0)
    assert back.factor == pytest.approx(1) and back.of_rows(100) == 100


def test_what_does_not_adapt_stays_whole() -> None:
    fixed, _ = served(quality(adaptive=False), n_calls=100, cost=lambda rows: 1e4)
    assert fixed.factor == 1 and fixed.of_rows(100) == 100


def test_a_minimum_above_the_number_itself_is_the_number() -> None:
    assert quality(n_heavy=5, n_heavy_min=10).after(inf).of_rows(5) == 5
