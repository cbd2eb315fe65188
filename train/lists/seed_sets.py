"""The seed sets of user records besides the history, as of a moment: items that stand for a user's taste.

    favourites   marked as such in the log, or bought at three times or more; weight w = Σ 2^(−age / half-life) over purchases,
                 times 1 − 1/n for n of them: a habit counts fully, a second try half. A mark counts as a fresh purchase.
    viewed       looked at lately, by views and clicks alike; weight 2^(−place / half), so an order and no amount, and twice
                 that if the item was clicked: a view may be no more than an impression
    positives    diverse ones of the history (`train/lists/positives.py`); weights as in the history

A favourite bought yesterday and one bought daily a year ago may weigh the same; their ages tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.types import Keys, Seeds
from train.input.event_log import EventKind, EventLog, half_life_decay
from train.input.interactions import Interactions, interactions

TIMES_MIN = 3
_CLICK = np.float32(2)

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class UserSeeds:
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
    ) -> UserSeeds:
        """From aligned columns in any order: each user's n_max of largest weight, of equal ones the smaller row."""
        order = np.lexsort((items, -weights, users))
        counts = np.bincount(users, minlength=n_users)
        place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        order = order[place < n_max]
        starts = np.concatenate(([0], np.cumsum(np.minimum(counts, n_max)))).astype(np.int64)
        return cls(starts, items[order].astype(np.int32), weights[order], ages_days[order])


def favourites(log: EventLog, pairs: Interactions, *, n_max: int) -> UserSeeds:
    """pairs: of the purchases as of the moment; marks are those of the log by then."""
    again = pairs.events >= TIMES_MIN
    habit = pairs.weights * (1 - 1 / np.maximum(pairs.events, 1))
    marks = _pairs(log, "favourite", as_of=pairs.as_of)
    cell = np.concatenate([_cells(pairs)[again], _cells(marks)])
    weights = np.concatenate([habit[again], np.ones(len(marks.items), np.float32)])
    ages = np.concatenate([pairs.last_days[again], marks.last_days])
    distinct, which = np.unique(cell, return_inverse=True)
    last = np.full(len(distinct), np.inf, np.float32)
    np.minimum.at(last, which, ages)
    owners, rows = np.divmod(distinct, max(log.n_items, 1))
    total = np.bincount(which, weights, minlength=len(distinct)).astype(np.float32)
    return UserSeeds.gathered(owners, rows.astype(np.int32), total, last, n_users=log.n_users, n_max=n_max)


def viewed(log: EventLog, *, as_of: int, n_max: int, half_weight_items: float) -> UserSeeds | None:
    """None for a log without views and clicks. half_weight_items: as for views that come with a request."""
    if not {"view", "click"} & log.count_by_kind().keys():
        return None
    views, clicks = _pairs(log, "view", "click", as_of=as_of), _pairs(log, "click", as_of=as_of)
    users, items, days = views.users, views.items, views.last_days
    order = np.lexsort((items, days, users))
    place = np.empty(len(order), np.float32)
    place[order] = np.arange(len(order)) - np.repeat(views.starts[:-1], np.diff(views.starts))
    clicked = np.isin(_cells(views), _cells(clicks))
    weights = half_life_decay(place, half_weight_items) * np.where(clicked, _CLICK, np.float32(1))
    return UserSeeds.gathered(users, items, weights, days, n_users=log.n_users, n_max=n_max)


def _pairs(log: EventLog, *kinds: EventKind, as_of: int) -> Interactions:
    """Who did this to which items, and when last; nobody asks for the decayed weights."""
    return interactions(log.of(*kinds), as_of=as_of, half_life_days=1.0)


def _cells(pairs: Interactions) -> NDArray[np.int64]:
    """A number for each pair, the same one for the same user and item."""
    return pairs.users.astype(np.int64) * pairs.n_items + pairs.items
