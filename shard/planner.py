"""How shall this query be answered: score the eligible rows, or walk the graph and drop what is not eligible?

A pure function of counts, of what work costs on this machine, and of what the build measured about the graph. It never
estimates selectivity: a mask's count is exact. It cannot know that a filter's items lie far from a query; `Space` sees
that when a walk comes back short, and asks `regrown`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import msgspec

from shard.calibration import Calibration

Layout = Literal["all", "block", "gather"]


class Costs(msgspec.Struct, frozen=True):
    """Microseconds of work on one space on one machine. `at_rows` of scans is linear beyond the fixed part.

    scan: a row of a contiguous matrix, scored and selected from.  gather: a row copied together first.
    walk: a graph search, fixed part, per ef, and per row it returns.
    """

    fixed_us: float
    scan_us: float
    gather_us: float
    walk_fixed_us: float
    walk_ef_us: float
    walk_row_us: float


@dataclass(frozen=True, slots=True)
class Scan:
    """Score rows exactly. all: every row of the shard; block: the mask's own contiguous copy; gather: a fresh copy."""

    layout: Layout
    cost_us: float


@dataclass(frozen=True, slots=True)
class Walk:
    """Fetch the `depth` nearest rows from the graph with this ef, keep the eligible ones."""

    depth: int
    ef: int
    cost_us: float


Plan = Scan | Walk


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known before any work: n rows, how many of them are eligible, whether their block exists."""

    n_rows: int
    n_eligible: int
    k: int
    has_block: bool


def plan(situation: Situation, costs: Costs, calibration: Calibration | None) -> Plan:
    """The cheapest way that keeps the recall target. 1 <= k <= n_eligible <= n_rows."""
    scan = cheapest_scan(situation, costs)
    depth = depth_for(situation.k, situation.n_eligible / situation.n_rows, situation.n_rows)
    walk = None if calibration is None else walk_to(depth, costs, calibration)
    return walk if walk is not None and walk.cost_us < scan.cost_us else scan


def cheapest_scan(situation: Situation, costs: Costs) -> Scan:
    """The cheapest exact way. Always possible."""
    s = situation
    if s.has_block:
        return Scan("block", costs.fixed_us + costs.scan_us * s.n_eligible)
    everything = Scan("all", costs.fixed_us + costs.scan_us * s.n_rows)
    gather = Scan("gather", costs.fixed_us + costs.gather_us * s.n_eligible)
    return min(everything, gather, key=lambda scan: scan.cost_us)


def depth_for(k: int, selectivity: float, n_rows: int) -> int:
    """How many nearest rows to fetch so that k of them are eligible, short once in about a thousand times.

    The number of eligible ones among the nearest is binomial if the filter does not know the query: mean plus three
    deviations.
    """
    if selectivity >= 1:
        return min(k, n_rows)
    mean = k / selectivity
    return min(math.ceil(mean + 3 * math.sqrt(mean * (1 - selectivity) / selectivity)), n_rows)


def walk_to(depth: int, costs: Costs, calibration: Calibration) -> Walk | None:
    """The walk that finds `depth` rows at the recall target, or None if the build found no ef that does."""
    ef = calibration.ef_for(depth)
    if ef is None:
        return None
    return Walk(depth, ef, costs.walk_fixed_us + costs.walk_ef_us * ef + costs.walk_row_us * depth)


def regrown(walk: Walk, found: int, situation: Situation, costs: Costs, calibration: Calibration) -> Plan:
    """After a walk that found only `found` < k eligible rows: the next try, a longer walk or a scan."""
    scan = cheapest_scan(situation, costs)
    if found == 0:
        return scan
    longer = walk_to(depth_for(situation.k, found / walk.depth, situation.n_rows), costs, calibration)
    return longer if longer is not None and longer.depth > walk.depth and longer.cost_us < scan.cost_us else scan
