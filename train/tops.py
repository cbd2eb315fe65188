"""Static top lists: every item's share of what was bought in a window of days, over all items and within each group.

A list holds every item of its segment, also those nobody bought, so a global list can always fill k places. Lists are made
over the whole catalogue; the partition later leaves each shard its own items. What lists a user gets is the router's choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.catalogue import Catalogue
from train.event_log import DAY_S, EventLog


@dataclass(frozen=True, slots=True, eq=False)
class TopList:
    """rows: (h,) int32 rows of the catalogue, ascending.  scores: (h,) float32, aligned, summing to 1 or all 0."""

    name: str
    rows: NDArray[np.int32]
    scores: NDArray[np.float32]


def bought_by_window(log: EventLog, *, as_of: int, windows_days: Sequence[int]) -> NDArray[np.float64]:
    """What was bought of each item in the days before `as_of`, as a sum of event weights: (n_windows, n_items) float64."""
    bought = np.zeros((len(windows_days), log.n_items))
    for at, days in enumerate(windows_days):
        for chunk in log.as_of(as_of).since(as_of - days * DAY_S).chunks():
            bought[at] += np.bincount(chunk.items, chunk.weights, minlength=log.n_items)
    return bought


def top_lists(
    catalogue: Catalogue, bought: NDArray[np.float64], *, windows_days: Sequence[int], group_by: str
) -> list[TopList]:
    """One global list a window, `<days>d`, and one per value of the category attribute, `<days>d/<attribute>=<value>`.

    bought: as `bought_by_window` gives it.  group_by: "" for global lists only.
    """
    lists: list[TopList] = []
    everything = np.arange(len(catalogue), dtype=np.int32)
    groups = list(_groups(catalogue, group_by)) if group_by else []
    for days, counts in zip(windows_days, bought, strict=True):
        lists.append(_list(f"{days}d", everything, counts))
        lists.extend(_list(f"{days}d/{group_by}={value}", rows, counts) for value, rows in groups)
    return lists


def _groups(catalogue: Catalogue, attribute: str) -> Iterator[tuple[str, NDArray[np.int32]]]:
    codes, values = catalogue.codes(attribute)
    order = np.argsort(codes, kind="stable").astype(np.int32)
    bounds = np.searchsorted(codes[order], np.arange(len(values) + 1))
    for at, value in enumerate(values):
        yield value, order[bounds[at] : bounds[at + 1]]


def _list(name: str, rows: NDArray[np.int32], counts: NDArray[np.float64]) -> TopList:
    mine = counts[rows]
    total = mine.sum()
    return TopList(name, rows, (mine / total if total > 0 else mine).astype(np.float32))
