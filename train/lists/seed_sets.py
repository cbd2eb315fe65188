"""The seed sets of user records besides the history, as of a moment: items that stand for a user's taste.

    favourites   marked as such in the log, or bought at three times or more; weight w = Σ 2^(−age / half-life) over purchases,
                 times 1 − 1/n for n of them: a habit counts fully, a second try half. A mark counts as a fresh purchase.
    viewed       looked at lately, by views and clicks alike; weight 2^(−place / half), so an order and no amount, and twice
                 that if the item was clicked: a view may be no more than an impression
    positives    diverse ones of the history (`train/lists/positives.py`); weights as in the history

A favourite bought yesterday and one bought daily a year ago may weigh the same; their ages tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.types import Keys, Seeds
from train.input.event_log import DAY_S, EventKind, EventLog, half_life_decay
from train.input.interactions import Interactions

TIMES_MIN = 3
_CLICK = np.float32(2)

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class SeedSet:
    """The seeds of user u are positions starts[u] to starts[u + 1], the best or newest first, items unique in them.

    starts: (n_users + 1,) int64.  items: (s,) int32 rows of the catalogue.  weights: (s,) float32, > 0.  ages_days: (s,)
    float32, since the last such event.
    """

    starts: NDArray[np.int64]
    items: NDArray[np.int32]
    weights: Floats
    ages_days: Floats

    def of(self, user: int, keys: Keys) -> Seeds:
        """One user's, with the catalogue's item keys."""
        mine = slice(self.starts[user], self.starts[user + 1])
        return Seeds(keys[self.items[mine]], self.weights[mine], self.ages_days[mine])

    @classmethod
    def gathered(
        cls,
        users: NDArray[np.integer],
        items: NDArray[np.int32],
        weights: Floats,
        ages_days: Floats,
        *,
        n_users: int,
        n_max: int,
    ) -> SeedSet:
        """From aligned columns in any order: each user's n_max of largest weight, of equal ones the smaller row."""
        order = np.lexsort((items, -weights, users))
        counts = np.bincount(users, minlength=n_users)
        place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        order = order[place < n_max]
        starts = np.concatenate(([0], np.cumsum(np.minimum(counts, n_max)))).astype(np.int64)
        return cls(starts, items[order].astype(np.int32), weights[order], ages_days[order])


def favourites(log: EventLog, pairs: Interactions, *, n_max: int) -> SeedSet:
    """pairs: of the purchases as of the moment; marks are those of the log by then."""
    again = pairs.events >= TIMES_MIN
    habit = pairs.weights * (1 - 1 / np.maximum(pairs.events, 1))
    users, items, days = _newest(log.as_of(pairs.as_of), "favourite", as_of=pairs.as_of)
    cell = np.concatenate([_cells(pairs.users[again], pairs.items[again], log), _cells(users, items, log)])
    weights = np.concatenate([habit[again], np.ones(len(users), np.float32)])
    ages = np.concatenate([pairs.last_days[again], days])
    distinct, which = np.unique(cell, return_inverse=True)
    last = np.full(len(distinct), np.inf, np.float32)
    np.minimum.at(last, which, ages)
    owners, rows = np.divmod(distinct, max(log.n_items, 1))
    total = np.bincount(which, weights, minlength=len(distinct)).astype(np.float32)
    return SeedSet.gathered(owners, rows.astype(np.int32), total, last, n_users=log.n_users, n_max=n_max)


def viewed(log: EventLog, *, as_of: int, n_max: int, half_weight_items: float) -> SeedSet | None:
    """None for a log without views and clicks. half_weight_items: as for views that come with a request."""
    if not {"view", "click"} & log.count_by_kind().keys():
        return None
    past = log.as_of(as_of)
    users, items, days = _newest(past, "view", "click", as_of=as_of)
    clicked = np.isin(_cells(users, items, log), _cells(*_newest(past, "click", as_of=as_of)[:2], log))
    order = np.lexsort((items, days, users))
    counts = np.bincount(users, minlength=log.n_users)
    place = np.empty(len(order), np.float32)
    place[order] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    weights = half_life_decay(place, half_weight_items) * np.where(clicked, _CLICK, np.float32(1))
    return SeedSet.gathered(users, items, weights, days, n_users=log.n_users, n_max=n_max)


def _newest(view: EventLog, *kinds: EventKind, as_of: int) -> tuple[NDArray[np.int32], NDArray[np.int32], Floats]:
    """The distinct (user, item) of the events of some kinds, users ascending, and the days since the last of each."""
    parts = list(_last_of_each(view.of(*kinds), as_of))
    if not parts:
        return np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32)
    users, items, days = (np.concatenate(column) for column in zip(*parts, strict=True))
    return users, items, days


def _last_of_each(view: EventLog, as_of: int) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32], Floats]]:
    for chunk in view.chunks():
        order = np.lexsort((chunk.items, chunk.users))  # stable: within a pair, events stay in order of time
        users, items = chunk.users[order], chunk.items[order]
        last = np.ones(len(order), bool)
        last[:-1] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
        days = ((as_of - chunk.times[order][last]) / DAY_S).astype(np.float32)
        yield users[last], items[last], days


def _cells(users: NDArray[np.int32], items: NDArray[np.int32], log: EventLog) -> NDArray[np.int64]:
    return users.astype(np.int64) * log.n_items + items
