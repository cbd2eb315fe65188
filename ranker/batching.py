"""Which waiting requests share a call of the heavy model, and which can no longer afford one. Pure; it knows no clock.

One call for everybody is the cheapest, since a call costs as much as 200 rows before the first row. But nobody's reply can
leave before the call it shares has ended, so a request in a hurry must not be made to wait for the rows of a patient one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ranker.cost import Cost

RESERVE_US = 500.0


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """calls: positions of the requests of each call, in the order to make them.  late: those that get no heavy order."""

    calls: tuple[tuple[int, ...], ...]
    late: tuple[int, ...]


def plan_calls(remaining_us: Sequence[float], n_rows: Sequence[int], cost: Cost) -> BatchPlan:
    """Divide requests, aligned by position, into calls by earliest deadline first.

    Each call takes in requests for as long as the most hurried one in it, the first, is still answered in time, with
    RESERVE_US left for the way back. Its time then lies before every later call. A request that would be late even in the
    next call alone is late.
    """
    calls: list[tuple[int, ...]] = []
    late: list[int] = []
    members: list[int] = []
    rows = 0
    elapsed_us = 0.0
    for at in sorted(range(len(n_rows)), key=lambda i: remaining_us[i]):
        if members and elapsed_us + cost.of(rows + n_rows[at]) <= remaining_us[members[0]] - RESERVE_US:
            members.append(at)
            rows += n_rows[at]
            continue
        waited_us = elapsed_us + (cost.of(rows) if members else 0.0)
        if waited_us + cost.of(n_rows[at]) > remaining_us[at] - RESERVE_US:
            late.append(at)
            continue
        if members:
            calls.append(tuple(members))
        elapsed_us = waited_us
        members, rows = [at], n_rows[at]
    if members:
        calls.append(tuple(members))
    return BatchPlan(tuple(calls), tuple(late))
