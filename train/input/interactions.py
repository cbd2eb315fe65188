"""User × item pairs of a log as of a moment: how often, how recently, over how long.

The compressed form that ALS, item statistics and user records are computed from; one row per user, items ascending.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from train.input.event_log import DAY_S, Chunk, EventLog, half_life_decay

_WEIGHT_MIN = np.finfo(np.float32).tiny  # a small weight of long ago is still more than none

Floats = NDArray[np.float32]
_Columns = tuple[NDArray[np.int32], NDArray[np.int32], Floats, Floats, Floats, Floats]


@dataclass(frozen=True, slots=True, eq=False)
class Interactions:
    """CSR: the pairs of user u are positions starts[u] to starts[u + 1]. As of the moment `as_of`, Unix seconds.

    items: (p,) int32.  events: (p,) float32, how many.  weights: (p,) float32, > 0, the sum of the events' weights, each halved
    every half-life.  first_days, last_days: (p,) float32, days from the first and the last event to the moment.
    """

    as_of: int
    n_items: int
    starts: NDArray[np.int64]
    items: NDArray[np.int32]
    events: Floats
    weights: Floats
    first_days: Floats
    last_days: Floats

    @property
    def n_users(self) -> int:
        return len(self.starts) - 1

    @property
    def users(self) -> NDArray[np.int32]:
        """The user of each pair, (p,) int32."""
        return np.repeat(np.arange(self.n_users, dtype=np.int32), np.diff(self.starts))

    def matrix(self, values: Floats) -> sparse.csr_array:
        """The (n_users, n_items) matrix with `values` (p,) at the pairs."""
        return sparse.csr_array((values, self.items, self.starts), shape=(self.n_users, self.n_items))


def interactions(log: EventLog, *, as_of: int, half_life_days: float) -> Interactions:
    """The pairs of everything the log's view holds up to and including `as_of`. Memory: 24 bytes a pair."""
    parts = [_pairs(chunk, as_of, half_life_days) for chunk in log.as_of(as_of).chunks()]
    users, items, events, weights, first_days, last_days = (np.concatenate(column) for column in zip(*parts, strict=True))
    starts = np.concatenate(([0], np.cumsum(np.bincount(users, minlength=log.n_users))))
    return Interactions(as_of, log.n_items, starts, items, events, weights, first_days, last_days)


def _pairs(chunk: Chunk, as_of: int, half_life_days: float) -> _Columns:
    """users, items, events, weights, first_days, last_days of a chunk's pairs, by user and item."""
    order = np.lexsort((chunk.items, chunk.users))  # stable: within a pair, events stay in order of time
    users, items = chunk.users[order], chunk.items[order]
    days = ((as_of - chunk.times[order]) / DAY_S).astype(np.float32)
    begins = np.flatnonzero(np.concatenate(([True], (users[1:] != users[:-1]) | (items[1:] != items[:-1])))[: len(users)])
    ends = np.append(begins[1:], len(users))
    events = (ends - begins).astype(np.float32)
    if len(begins) == 0:
        return users, items, events, events, events, events
    decayed = np.maximum(chunk.weights[order] * half_life_decay(days, half_life_days), _WEIGHT_MIN)
    weights = np.add.reduceat(decayed, begins, dtype=np.float64).astype(np.float32)
    return users[begins], items[begins], events, weights, days[begins], days[ends - 1]
