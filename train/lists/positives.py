"""Diverse positives: a few items of a history that stand for all of its tastes, by maximal marginal relevance.

    next = argmax_i (1 − d) w_i / max w − d · max_{j chosen} cos(i, j)            (Carbonell & Goldstein, SIGIR 1998)

with w the decayed count and d the diversity: 0 takes the strongest items, 1 those most unlike each other. The lists of a
shopper's twenty strongest items are twenty lists of milk; the lists of the positives are of milk, bread and cat food. In any
space, an item at the origin resembles nothing.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cluster.config.train import PositivesSection
from train.input.interactions import Interactions
from train.lists.seed_sets import UserSeeds

_POOL = 200  # the strongest of a history, from which is chosen

Floats = NDArray[np.float32]


def positives(pairs: Interactions, vectors: Floats, section: PositivesSection) -> UserSeeds:
    """Of each user at most `section.n_items` of the pool of strongest pairs. vectors: (n_items, dim) float32."""
    users = pairs.users
    order = np.lexsort((pairs.items, -pairs.weights, users))
    counts = np.diff(pairs.starts)
    place = np.arange(len(order)) - np.repeat(pairs.starts[:-1], counts)
    pool = order[place < _POOL]
    bounds = np.concatenate(([0], np.cumsum(np.minimum(counts, _POOL))))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, lengths, out=np.zeros(vectors.shape, np.float32), where=lengths > 0)
    chosen = [np.empty(0, np.int64)]
    for begin, end in pairwise(bounds):
        mine = pool[begin:end]
        chosen.append(mine[marginal(pairs.weights[mine], unit[pairs.items[mine]], section)])
    at = np.concatenate(chosen)
    return UserSeeds.gathered(
        users[at], pairs.items[at], pairs.weights[at], pairs.last_days[at], n_users=pairs.n_users, n_max=section.n_items
    )


def marginal(weights: Floats, unit: Floats, section: PositivesSection) -> NDArray[np.int64]:
    """Positions of the chosen, in the order of choice; of equal ones the first. weights: (m,).  unit: (m, dim), of length 1."""
    if len(weights) <= section.n_items:
        return np.arange(len(weights))
    relevance = (1 - section.diversity) * weights / weights.max()
    closest = np.full(len(weights), -1, np.float32)
    chosen = []
    gain = relevance.copy()
    for _ in range(section.n_items):
        best = int(np.argmax(gain))
        chosen.append(best)
        np.maximum(closest, unit @ unit[best], out=closest)
        gain = relevance - section.diversity * closest
        gain[chosen] = -np.inf
    return np.array(chosen, np.int64)
