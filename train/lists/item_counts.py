"""How often each item was seen, clicked and bought in windows of days before a moment. `rates` turns counts into scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from train.input.catalogue import NO_TIME, Catalogue
from train.input.event_log import DAY_S, KINDS, Chunk, EventLog, half_life_decay

Doubles = NDArray[np.float64]

_HALF_LIVES_PER_WINDOW = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Exposure:
    """How often each item was shown, and how often that was answered by a click: (n,) float64 each.

    shown: an item cannot be clicked unseen, so where a log has more clicks than views, the clicks count as its views too.
    """

    clicked: Doubles
    shown: Doubles


@dataclass(frozen=True, slots=True, eq=False)
class WindowCounts:
    """One window of `days` up to and including a moment. All (n_items,) float64.

    bought: the sum of the weights of purchases.  n_bought, n_clicked, n_viewed: numbers of events.  n_bought_before: in the
    window of the same length before.  weighted_clicked, weighted_viewed: sums of an event's weight, halved every half
    window; squared_clicked, squared_viewed: the sums of the squares of the same.
    """

    bought: Doubles
    n_bought: Doubles
    n_bought_before: Doubles
    n_clicked: Doubles
    n_viewed: Doubles
    weighted_clicked: Doubles
    weighted_viewed: Doubles
    squared_clicked: Doubles
    squared_viewed: Doubles

    def exposure(self) -> Exposure:
        """Every event counts alike."""
        return Exposure(self.n_clicked, np.maximum(self.n_viewed, self.n_clicked))

    def weighted_exposure(self) -> Exposure:
        """Every event counts by its weight and its age, scaled to as many trials as the weighted views are worth.

        With weights w that is (Σ w)² / Σ w² trials (Kish, Survey Sampling, 1965): what n equal weights would be n of. The
        unit of the weights does not matter. Where a view's weight is the chance that the user looked at its place, the
        rate is clicks over expected clicks.
        """
        clicks_lead = self.weighted_clicked > self.weighted_viewed
        total = np.where(clicks_lead, self.weighted_clicked, self.weighted_viewed)
        squares = np.where(clicks_lead, self.squared_clicked, self.squared_viewed)
        shown = np.divide(total**2, squares, out=np.zeros_like(total), where=squares > 0)
        rate = np.divide(self.weighted_clicked, total, out=np.zeros_like(total), where=total > 0)
        return Exposure(rate * shown, shown)


def count_windows(log: EventLog, *, as_of: int, windows_days: Sequence[int]) -> list[WindowCounts]:
    """The counts of each window, in one pass over the log's views, clicks and purchases, whichever kinds the view shows."""
    log = log.of("view", "click", "purchase").as_of(as_of).since(as_of - 2 * max(windows_days, default=0) * DAY_S)
    names = [field.name for field in fields(WindowCounts)]
    windows = [{name: np.zeros(log.n_items) for name in names} for _ in windows_days]
    for chunk in log.chunks():
        for days, sums in zip(windows_days, windows, strict=True):
            _count(chunk, as_of, days, sums)
    return [WindowCounts(**sums) for sums in windows]


def first_seen(log: EventLog, catalogue: Catalogue, *, as_of: int) -> Doubles:
    """Unix seconds since when each item is there, by its created_at or, lacking that, its first event of any kind: (n_items,).

    NaN for an item that has neither at or before `as_of`.
    """
    seen = np.full(log.n_items, np.inf)
    for chunk in log.of(*KINDS).as_of(as_of).chunks():
        np.minimum.at(seen, chunk.items, chunk.times)
    if catalogue.created is not None:
        known = catalogue.created != NO_TIME
        seen[known] = catalogue.created[known]
    seen[seen > as_of] = np.nan
    return seen


def _count(chunk: Chunk, as_of: int, days: int, sums: dict[str, Doubles]) -> None:
    """Add a chunk's events to the sums of one window."""
    in_window = chunk.times > as_of - days * DAY_S
    before = ~in_window & (chunk.times > as_of - 2 * days * DAY_S)
    n = len(sums["bought"])

    def add(name: str, among: NDArray[np.bool_], values: NDArray[np.floating] | None = None) -> None:
        sums[name] += np.bincount(chunk.items[among], None if values is None else values[among], minlength=n)

    bought = chunk.kinds == KINDS.index("purchase")
    add("bought", bought & in_window, chunk.weights)
    add("n_bought", bought & in_window)
    add("n_bought_before", bought & before)
    if bought.all():
        return
    ages = (as_of - chunk.times) / DAY_S
    weights = chunk.weights.astype(np.float64) * half_life_decay(ages, days / _HALF_LIVES_PER_WINDOW)
    for kind, name in (("click", "clicked"), ("view", "viewed")):
        among = in_window & (chunk.kinds == KINDS.index(kind))
        add(f"n_{name}", among)
        add(f"weighted_{name}", among, weights)
        add(f"squared_{name}", among, weights**2)
