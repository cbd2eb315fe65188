"""The plan of heavy calls: nobody is planned to be late, nobody is forgotten, and patience is rewarded by sharing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ranker.batching import RESERVE_US, plan_calls
from ranker.cost import Cost

COST = Cost(fixed_us=75, per_row_us=0.4)
waits = st.lists(st.tuples(st.floats(-1e3, 1e5), st.integers(1, 5_000)), max_size=12)


@settings(deadline=None)
@given(waits)
def test_every_request_is_planned_once_and_in_time(requests: list[tuple[float, int]]) -> None:
    remaining, rows = [r for r, _ in requests], [n for _, n in requests]
    plan = plan_calls(remaining, rows, COST)
    assert sorted([*plan.late, *(i for call in plan.calls for i in call)]) == list(range(len(requests)))
    elapsed = 0.0
    for call in plan.calls:
        elapsed += COST.of(sum(rows[i] for i in call))
        assert all(elapsed <= remaining[i] - RESERVE_US + 1e-6 for i in call)


@settings(deadline=None)
@given(waits)
def test_nobody_is_called_late_who_would_have_been_first(requests: list[tuple[float, int]]) -> None:
    remaining, rows = [r for r, _ in requests], [n for _, n in requests]
    late = plan_calls(remaining, rows, COST).late
    first = min(range(len(rows)), key=lambda i: remaining[i], default=None)
    if first is not None:
        assert (first in late) == (COST.of(rows[first]) > remaining[first] - RESERVE_US)


def test_with_time_to_spare_everybody_shares_one_call() -> None:
    plan = plan_calls([1e6] * 16, [100] * 16, COST)
    assert plan.calls == (tuple(range(16)),) and plan.late == ()


def test_a_hurried_request_does_not_wait_for_patient_rows() -> None:
    hurried = RESERVE_US + COST.of(150)
    plan = plan_calls([1e6, 1e6, hurried], [5_000, 10, 100], COST)
    assert plan.calls == ((2,), (0, 1)) or plan.calls == ((2, 1), (0,))
    assert plan.late == ()


def test_too_late_is_late() -> None:
    plan = plan_calls([RESERVE_US, 0.0, 1e6], [1, 1, 1], COST)
    assert plan.calls == ((2,),) and sorted(plan.late) == [0, 1]


def test_nothing_waiting_is_nothing_to_do() -> None:
    assert plan_calls([], [], COST).calls == ()
