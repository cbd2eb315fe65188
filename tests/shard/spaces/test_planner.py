"""Decisions of the planner as arithmetic: no vectors, no clock."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shard.spaces.planner import (
    Calibration,
    Costs,
    Depth,
    Scan,
    Situation,
    Walk,
    after_shortfall,
    cheapest_scan,
    depth_for,
    plan,
)

# A million rows on a slow memory: a walk is a bargain, a scan of everything is not.
COSTS = Costs(fixed_us=10, row_us=0.002, listed_us=0.006, crowded_us=0.006, walk_us=50, walk_ef_us=1)
TABLE = Calibration(0.99, 200, (Depth(10, 20, 0.995), Depth(100, 150, 0.993), Depth(1000, 1200, 0.991)))
EVERYTHING = Situation(n_rows=1_000_000, n_passing=1_000_000, n_excluded=0, k=100)


def test_without_a_filter_the_graph_is_walked() -> None:
    assert plan(EVERYTHING, COSTS, TABLE) == Walk(depth=100, ef=150, cost_us=200)


def test_without_a_graph_or_a_reachable_target_everything_is_scanned() -> None:
    scan = Scan("all", cost_us=2010)
    assert plan(EVERYTHING, COSTS, None) == scan
    assert plan(EVERYTHING, COSTS, Calibration(0.99, 200, ())) == scan
    assert plan(EVERYTHING._replace(k=1001), COSTS, TABLE) == scan, "deeper than was measured is not promised"


def test_a_filter_is_walked_through_until_scanning_is_cheaper() -> None:
    kinds = [type(plan(EVERYTHING._replace(n_passing=n), COSTS, TABLE)) for n in (900_000, 500_000, 200_000, 100_000, 1000)]
    assert kinds == [Walk, Walk, Walk, Scan, Scan]


def test_a_scan_reads_a_list_while_that_is_cheaper_than_everything() -> None:
    def rows(n: int) -> str:
        return cheapest_scan(EVERYTHING._replace(n_passing=n), COSTS).rows

    assert [rows(n) for n in (1, 300_000, 400_000, 1_000_000)] == ["listed", "listed", "all", "all"]


def test_a_crowded_list_costs_more_a_row() -> None:
    crowded = replace_costs(crowded_us=0.02)
    at_half = cheapest_scan(EVERYTHING._replace(n_passing=400_000), crowded)
    sparse = cheapest_scan(EVERYTHING._replace(n_passing=100_000), crowded)
    assert (at_half.rows, sparse.rows) == ("all", "listed")
    assert sparse.cost_us == pytest.approx(10 + 100_000 * 0.006)


def replace_costs(**changes: float) -> Costs:
    return msgspec.structs.replace(COSTS, **changes)


def test_what_a_user_has_seen_makes_the_walk_deeper_but_not_without_bound() -> None:
    depths = []
    for n_excluded in (0, 50, 100, 10_000):
        walk = plan(EVERYTHING._replace(n_excluded=n_excluded), COSTS, TABLE)
        assert isinstance(walk, Walk)
        depths.append(walk.depth)
    assert depths == [100, 150, 200, 200]


def test_a_short_walk_is_repeated_deeper_or_given_up() -> None:
    situation = EVERYTHING._replace(n_passing=500_000)
    first = plan(situation, COSTS, TABLE)
    assert isinstance(first, Walk)
    deeper = after_shortfall(first, 80, situation, COSTS, TABLE)
    assert isinstance(deeper, Walk) and deeper.depth > first.depth
    assert isinstance(after_shortfall(first, 0, situation, COSTS, TABLE), Scan), "nothing of the filter is near"
    assert isinstance(after_shortfall(first, 1, situation, COSTS, TABLE), Scan), "too sparse for any measured depth"
    dear = after_shortfall(first, 80, situation, Costs(10, 0.0001, 0.0001, 0.0001, 50, 1), TABLE)
    assert isinstance(dear, Scan), "a scan is cheaper by now"


@settings(deadline=None)
@given(st.integers(1, 1000), st.floats(1e-4, 1))
def test_depth_holds_k_eligible_rows_nearly_always(k: int, density: float) -> None:
    depth = depth_for(k, density)
    assert depth >= k
    if k * (1 - density) / density < 1e6 and k >= 10:
        looked_at = k + np.random.default_rng(0).negative_binomial(k, density, 2000)
        assert (looked_at > depth).mean() < 0.01


@settings(deadline=None)
@given(
    n=st.integers(1, 10**7),
    passing=st.floats(0, 1),
    excluded=st.floats(0, 1),
    k=st.integers(1, 1000),
    costs=st.builds(Costs, *[st.floats(0, 100)] * 6),
    calibrated=st.booleans(),
)
def test_any_situation_has_a_plan_no_dearer_than_a_scan(
    n: int, passing: float, excluded: float, k: int, costs: Costs, calibrated: bool
) -> None:
    n_passing = max(round(n * passing), 1)
    n_excluded = min(round(n_passing * excluded), n_passing - 1)
    situation = Situation(n, n_passing, n_excluded, min(k, n_passing - n_excluded))
    made = plan(situation, costs, TABLE if calibrated else None)
    assert made.cost_us <= cheapest_scan(situation, costs).cost_us
    if isinstance(made, Walk):
        assert calibrated and situation.k <= made.depth <= made.ef and made.depth <= n
        assert isinstance(after_shortfall(made, 0, situation, costs, TABLE), Scan)
        later = after_shortfall(made, situation.k - 1, situation, costs, TABLE) if situation.k > 1 else None
        assert not isinstance(later, Walk) or later.depth > made.depth, "it ends: every next walk is deeper"


@pytest.mark.parametrize(("depth", "ef"), [(1, 20), (10, 20), (55, 85), (100, 150), (550, 675), (1000, 1200), (1001, None)])
def test_ef_between_measured_depths(depth: int, ef: int | None) -> None:
    assert TABLE.ef_for(depth) == ef


def test_plans_are_values() -> None:
    assert replace(Walk(1, 2, 3.0), ef=4) == Walk(1, 4, 3.0)
