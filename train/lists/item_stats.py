"""Statistics of each item as of a moment, from the log and the catalogue, as numbers for the ranking models.

Every value is finite. Rates of items with little history are drawn towards the catalogue's mean, so that one lucky repeat
buyer does not make a staple.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cluster.features import LISTED_DAYS
from train.input.catalogue import Catalogue
from train.input.event_log import DAY_S, EventKind, EventLog
from train.input.interactions import Interactions
from train.lists.item_counts import first_seen

_PRIOR = 5.0  # pseudo-observations of the mean
_NEVER = -1.0  # the age of an event that never was

_COUNTED: tuple[tuple[EventKind, str], ...] = (("view", "log_views"), ("click", "log_clicks"))

_Numbers = NDArray[np.floating] | NDArray[np.integer]
Stats = dict[str, NDArray[np.float32]]


def item_stats(catalogue: Catalogue, pairs: Interactions, bought: NDArray[np.float64], *, windows_days: Sequence[int]) -> Stats:
    """Name -> (n_items,) float32. bought: (n_windows, n_items), as `tops.bought_by_window` gives it.

    log_bought_<days>d · log_buyers · trend (log ratio of the shortest window's rate to the longest's) · repeat_share (of buyers
    who came back) · cycle_days (between purchases of one user) · age_days, idle_days (since the first and the last
    purchase, -1 if never) · every numeric attribute, by its name, its median where missing.
    """
    n = len(catalogue)
    buyers = np.bincount(pairs.items, minlength=n)
    again = pairs.events > 1
    repeaters = np.bincount(pairs.items[again], minlength=n)
    gaps = ((pairs.first_days - pairs.last_days) / np.maximum(pairs.events - 1, 1))[again]
    stats: dict[str, NDArray[np.floating]] = {
        f"log_bought_{days}d": np.log1p(counts) for days, counts in zip(windows_days, bought, strict=True)
    }
    stats["log_buyers"] = np.log1p(buyers)
    stats["trend"] = _trend(bought, windows_days)
    stats["repeat_share"] = _towards_mean(repeaters, buyers)
    stats["cycle_days"] = _towards_mean(np.bincount(pairs.items[again], gaps, minlength=n), repeaters)
    stats["age_days"] = _furthest(np.maximum, pairs.first_days, pairs.items, n)
    stats["idle_days"] = _furthest(np.minimum, pairs.last_days, pairs.items, n)
    for spec in catalogue.specs:
        if spec.kind == "number":
            stats[spec.name] = filled(catalogue.numbers(spec.name))
    return {name: values.astype(np.float32) for name, values in stats.items()}


def exposure_stats(log: EventLog, catalogue: Catalogue, *, as_of: int) -> Stats:
    """What the log or the catalogue must be able to tell, name -> (n_items,) float32: none of them, where they cannot.

    log_views, log_clicks: ln(1 + events so far), if the log has any such event, at whatever time.  listed_days: since when
    the item is there, by `first_seen`, -1 if it is not yet; if the catalogue says so of items.
    """
    stats: Stats = {}
    there = log.count_by_kind()
    for kind, name in _COUNTED:
        if kind in there:
            counts = np.zeros(len(catalogue))
            for chunk in log.of(kind).as_of(as_of).chunks():
                counts += np.bincount(chunk.items, minlength=len(catalogue))
            stats[name] = np.log1p(counts).astype(np.float32)
    if catalogue.created is not None:
        days = (as_of - first_seen(log, catalogue, as_of=as_of)) / DAY_S
        stats[LISTED_DAYS] = np.where(np.isnan(days), _NEVER, days).astype(np.float32)
    return stats


def filled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values with the median of the others in place of NaN; zeros if there is no other."""
    missing = np.isnan(values)
    if missing.all():
        return np.zeros_like(values)
    return np.where(missing, np.median(values[~missing]), values)


def _trend(bought: NDArray[np.float64], windows_days: Sequence[int]) -> NDArray[np.float64]:
    short, long = int(np.argmin(windows_days)), int(np.argmax(windows_days))
    ratio = windows_days[short] / windows_days[long]
    return np.asarray(np.log((bought[short] + _PRIOR * ratio) / (bought[long] * ratio + _PRIOR * ratio)))


def _towards_mean(total: _Numbers, n: _Numbers) -> NDArray[np.float64]:
    """total / n per item, drawn towards the mean over all items by a few pseudo-observations of it."""
    mean = total.sum() / max(n.sum(), 1)
    return np.asarray((total + _PRIOR * mean) / (n + _PRIOR))


def _furthest(which: np.ufunc, days: NDArray[np.float32], items: NDArray[np.int32], n: int) -> NDArray[np.floating]:
    """Per item the largest or smallest of its pairs' days, -1 for an item without pairs."""
    order = np.argsort(items, kind="stable")
    present, begins = np.unique(items[order], return_index=True)
    out = np.full(n, _NEVER)
    if len(present):
        out[present] = which.reduceat(days[order], begins)
    return out
