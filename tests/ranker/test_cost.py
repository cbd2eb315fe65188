"""The cost of a call: measured once, stretched by what is seen, quick to grow and slow to shrink."""

from __future__ import annotations

import numpy as np
import pytest

from ranker.cost import STRETCH_MAX, Cost, measure
from tests.ranker.making import FakeClock, SumModel


def test_measuring_finds_what_the_model_takes() -> None:
    clock = FakeClock()
    cost = measure(SumModel(clock=clock, fixed_us=80, per_row_us=0.5), clock)
    assert cost.of(1) == pytest.approx(80.5) and cost.of(1000) == pytest.approx(580)


def test_a_clock_too_coarse_to_see_anything_still_gives_a_cost() -> None:
    assert measure(SumModel(), FakeClock()).of(100) > 0


def test_a_busy_machine_stretches_the_estimate_at_once_and_a_quiet_one_relaxes_it_slowly() -> None:
    calm = Cost(fixed_us=80, per_row_us=0.5)
    busy = calm
    for _ in range(5):
        busy = busy.after(100, 3 * calm.of(100))
    assert busy.of(100) > 2.5 * calm.of(100)
    relaxed = busy.after(100, calm.of(100))
    assert 0.9 * busy.of(100) < relaxed.of(100) < busy.of(100)
    for _ in range(200):
        relaxed = relaxed.after(100, calm.of(100))
    assert relaxed.of(100) == pytest.approx(calm.of(100), rel=0.01)


def test_one_stall_does_not_shut_the_heavy_model_out() -> None:
    assert Cost(80, 0.5).after(100, 1e9).stretch <= STRETCH_MAX
    assert np.isfinite(Cost(80, 0.5).after(0, 0.0).of(10))
