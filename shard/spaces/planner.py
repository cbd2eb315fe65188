"""How to answer a vector query: score rows exactly, or walk the graph and drop rows that are not eligible?

A pure function of counts, of what work costs on this machine, and of what the build measured about the graph. It never
estimates selectivity: a mask's count is exact. It cannot know that a filter's items lie far from a query; `Space` sees
that when a walk comes back short, and asks `after_shortfall`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec


class Depth(msgspec.Struct, frozen=True):
    """At `depth` rows the smallest ef that reached the target, and the mean recall it had."""

    depth: int
    ef: int
    recall: float


class Calibration(msgspec.Struct, frozen=True):
    """depths ascend, ef too; a depth that is missing in the grid could not be reached, nor can any deeper one."""

    recall_target: float
    n_queries: int
    depths: tuple[Depth, ...]

    def ef_for(self, depth: int) -> int | None:
        """The ef to fetch `depth` rows with, between the measured depths by interpolation; None beyond them."""
        if not self.depths or depth > self.depths[-1].depth:
            return None
        at = next(i for i, entry in enumerate(self.depths) if entry.depth >= depth)
        upper = self.depths[at]
        if at == 0:
            return upper.ef
        lower = self.depths[at - 1]
        share = (depth - lower.depth) / (upper.depth - lower.depth)
        return max(depth, round(lower.ef + share * (upper.ef - lower.ef)))


class Costs(msgspec.Struct, frozen=True):
    """Microseconds of work on one space on one machine, as `shard/spaces/costs.py` measures them.

    fixed: any scan.  row: one of all rows, read in order.  listed: one of some rows, read by their list, where these are a
    tenth of all; crowded: the same where they are half, which no longer fits the cache of a large space.
    walk: a graph search, its fixed part and per unit of ef.
    """

    fixed_us: float
    row_us: float
    listed_us: float
    crowded_us: float
    walk_us: float
    walk_ef_us: float


class Situation(NamedTuple):
    """What is known before any work. n_passing: rows of the mask, n_excluded of which are not eligible after all."""

    n_rows: int
    n_passing: int
    n_excluded: int
    k: int


@dataclass(frozen=True, slots=True)
class Scan:
    """Score rows exactly. rows: all in order, or those that pass, by their list."""

    rows: Literal["all", "listed"]
    cost_us: float


@dataclass(frozen=True, slots=True)
class Walk:
    """Fetch the `depth` nearest rows from the graph with this ef, keep the eligible ones."""

    depth: int
    ef: int
    cost_us: float


SearchPlan = Scan | Walk


def plan(situation: Situation, costs: Costs, calibration: Calibration | None) -> SearchPlan:
    """The cheapest way that keeps the recall target. 1 <= k <= passing - excluded; calibration is None without a graph."""
    scan = cheapest_scan(situation, costs)
    walk = None if calibration is None else _walk(situation, situation.n_passing / situation.n_rows, costs, calibration)
    return walk if walk is not None and walk.cost_us < scan.cost_us else scan


def cheapest_scan(situation: Situation, costs: Costs) -> Scan:
    """The cheaper exact way. Always possible."""
    everything = Scan("all", costs.fixed_us + costs.row_us * situation.n_rows)
    if situation.n_passing == situation.n_rows:
        return everything
    crowd = min(max((situation.n_passing / situation.n_rows - 0.1) / 0.4, 0), 1)
    per_row = costs.listed_us + crowd * (costs.crowded_us - costs.listed_us)
    listed = Scan("listed", costs.fixed_us + per_row * situation.n_passing)
    return min(listed, everything, key=lambda scan: scan.cost_us)


def after_shortfall(walk: Walk, found: int, situation: Situation, costs: Costs, calibration: Calibration) -> SearchPlan:
    """After a walk that found only `found` < k eligible rows: a longer one at the density it saw, or a scan."""
    scan = cheapest_scan(situation, costs)
    longer = _walk(situation, found / walk.depth, costs, calibration) if found else None
    if longer is None or longer.depth <= walk.depth or longer.cost_us >= scan.cost_us:
        return scan
    return longer


def depth_for(k: int, density: float) -> int:
    """How many nearest rows hold k eligible ones, short once in about a thousand times.

    Of rows that are eligible independently of how near they are, the number to look at until the k-th is negative
    binomial: its mean, k / density, plus three deviations.
    """
    return math.ceil((k + 3 * math.sqrt(k * (1 - density))) / density)


def _walk(situation: Situation, density: float, costs: Costs, calibration: Calibration) -> Walk | None:
    # What a user has seen lies near the user: as many exclusions as hits are reckoned with, more show as a shortfall.
    wanted = situation.k + min(situation.n_excluded, situation.k)
    depth = min(depth_for(wanted, density), situation.n_rows)
    ef = calibration.ef_for(depth)
    return None if ef is None else Walk(depth, ef, costs.walk_us + costs.walk_ef_us * ef)
