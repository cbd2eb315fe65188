"""Diverse positives: a few items of a history that stand for all of its tastes, by maximal marginal relevance.

    next = argmax_i (1 − d) w_i / max w − d · max_{j chosen} cos(i, j)            (Carbonell & Goldstein, SIGIR 1998)

with w the decayed count and d the diversity: 0 takes the strongest items, 1 those most unlike each other. The lists of a
shopper's twenty strongest items are twenty lists of milk; the lists of the positives are of milk, bread and cat food. In any
space, an item at the origin resembles nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cluster.config.train import PositivesSection
from train.input.interactions import Interactions
from train.lists.seed_sets import UserSeeds
from train.threads import on_threads

_POOL = 200  # the strongest of a history, from which is chosen
_BATCH_FLOATS = 1 << 18  # of vectors, 1 MiB

Floats = NDArray[np.float32]


def positives(pairs: Interactions, vectors: Floats, section: PositivesSection) -> UserSeeds:
    """Of each user at most `section.n_items` of the pool of strongest pairs. vectors: (n_items, dim) float32."""
    users = pairs.users
    order = np.lexsort((pairs.items, -pairs.weights, users))
    counts = np.diff(pairs.starts)
    place = np.arange(len(order)) - np.repeat(pairs.starts[:-1], counts)
    pool = order[place < _POOL]
    sizes = np.minimum(counts, _POOL)
    begins = np.cumsum(sizes) - sizes
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, lengths, out=np.zeros(vectors.shape, np.float32), where=lengths > 0)

    def choose(batch: NDArray[np.intp]) -> NDArray[np.int64]:
        """Pairs of users whose pools are larger than what is chosen, those of a user one after the other."""
        widest = int(sizes[batch].max())
        inside = np.arange(widest) < sizes[batch, None]
        at = pool[np.where(inside, begins[batch, None] + np.arange(widest), 0)]
        chosen = marginal(np.where(inside, pairs.weights[at], 0), unit[pairs.items[at]], section)
        return np.take_along_axis(at, chosen, axis=1).ravel()

    alike = np.argsort(sizes, kind="stable")  # users with pools of like sizes make a batch, so that little of it is padding
    larger = alike[np.searchsorted(sizes[alike], section.n_items, side="right") :]
    whole = pool[np.repeat(sizes <= section.n_items, sizes)]
    at = np.concatenate([whole, *on_threads(choose, _batches(larger, sizes, unit.shape[1]))])
    at = at[np.argsort(users[at], kind="stable")]
    return UserSeeds.gathered(
        users[at], pairs.items[at], pairs.weights[at], pairs.last_days[at], n_users=pairs.n_users, n_max=section.n_items
    )


def marginal(weights: Floats, unit: Floats, section: PositivesSection) -> NDArray[np.int64]:
    """Positions of the chosen, in the order of choice; of equal ones the first: (b, section.n_items) for b users.

    weights: (b, m), 0 where a user has fewer than m items, and at least section.n_items above 0.  unit: (b, m, dim), of length
    1 or 0.
    """
    diversity = np.float32(section.diversity)
    relevance = (1 - diversity) * weights / weights.max(axis=1, keepdims=True)
    relevance[weights == 0] = -np.inf
    closest = np.full(weights.shape, -1, np.float32)
    every = np.arange(len(weights))
    chosen = np.empty((len(weights), section.n_items), np.int64)
    gain = relevance.copy()
    for place in range(section.n_items):
        best = chosen[:, place] = np.argmax(gain, axis=1)
        np.maximum(closest, np.matmul(unit, unit[every, best, :, None])[:, :, 0], out=closest)
        gain = relevance - diversity * closest
        np.put_along_axis(gain, chosen[:, : place + 1], -np.inf, axis=1)
    return chosen


def _batches(users: NDArray[np.intp], sizes: NDArray[np.int64], dim: int) -> Iterator[NDArray[np.intp]]:
    """Consecutive parts of `users`, whose pools grow, so small that a part's vectors stay in cache."""
    begin = 0
    while begin < len(users):
        end = begin + max(1, _BATCH_FLOATS // (dim * int(sizes[users[begin]])))
        yield users[begin:end]
        begin = end
