"""What is known about the user's taste now: the basket and the session of the request, and the stored record."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cluster.sorted_keys import is_among
from cluster.types import Floats, Keys, Seeds, UserRecord
from router.planning.named import Named

_HALVINGS_MAX = 100.0  # 2^-100 is still a float32 above 0


def seed_sets(record: UserRecord | None, items: Named, *, half_weight_items: float) -> dict[str, Seeds]:
    """The seed sets by name, none of them empty.

    items: what the request names. An item viewed weighs half of one that was viewed `half_weight_items` later, and what the
    store knows of earlier views follows in the same manner.
    """
    sets: dict[str, Seeds] = {}
    if record is not None:
        if len(record.history.keys):
            sets["history"] = record.history
        sets |= {name: seeds for name, seeds in record.seeds.items() if len(seeds.keys)}
    if n_items := len(items.basket):
        sets["basket"] = Seeds(items.basket, np.ones(n_items, np.float32), np.zeros(n_items, np.float32))
    if len(items.viewed):
        sets["viewed"] = _viewed(items.viewed, sets.get("viewed"), half_weight_items)
    return sets


def without_excluded(seeds: Seeds, exclude: Keys) -> int:
    """How many of the seeds may still be proposed. exclude: ascending and unique."""
    return len(seeds.keys) - int(np.count_nonzero(is_among(seeds.keys, exclude)))


def usable_vectors(record: UserRecord | None, dims: Mapping[str, int]) -> dict[str, Floats]:
    """The record's vectors of these spaces. One of another size, zero or not finite is as good as none."""
    usable = {}
    if record is not None:
        for space, dim in dims.items():
            vector = record.vectors.get(space)
            if vector is not None and vector.shape == (dim,) and vector.any() and np.isfinite(vector).all():
                usable[space] = vector
    return usable


def _viewed(now: Keys, before: Seeds | None, half_weight_items: float) -> Seeds:
    """The session's items, then the earlier ones that are not among them, at weights that go on where the session's end."""
    places = np.arange(len(now) + 1, dtype=np.float32)
    decay = np.exp2(-np.minimum(places / np.float32(half_weight_items), np.float32(_HALVINGS_MAX)))
    session = Seeds(now, decay[:-1].copy(), np.zeros(len(now), np.float32))
    if before is None:
        return session
    earlier = np.flatnonzero(~is_among(before.keys, np.sort(now)))
    weights = before.weights[earlier]
    heaviest = before.weights.max()
    scaled = weights * (decay[-1] / heaviest) if heaviest > 0 else weights
    return Seeds(
        np.concatenate((now, before.keys[earlier])),
        np.concatenate((session.weights, scaled)),
        np.concatenate((session.ages_days, before.ages_days[earlier])),
    )
