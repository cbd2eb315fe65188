"""The embedding spaces of a generation: vectors of items and of users in the same coordinates.

als         inner product: implicit ALS (`train/als.py`)
content     cosine: the catalogue's content vectors; a user stands at the mean of what the history holds
two_tower   inner product: `train/two_tower.py`; users are placed at request time, so that new ones have a place too
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.spec import Metric
from shard.space import normalised
from train.interactions import Interactions

ALS, CONTENT, TWO_TOWER = "als", "content", "two_tower"

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class SpaceVectors:
    """items: (n_items, dim) float32.  users: (n_users, dim) float32, zeros for a user who has no place there."""

    metric: Metric
    items: Floats
    users: Floats

    @property
    def dim(self) -> int:
        return int(self.items.shape[1])


def content_space(vectors: Floats, pairs: Interactions) -> SpaceVectors:
    """vectors: (n_items, dim) float32 as the catalogue has them, zeros where it has none.

    A user stands at Σ w_ui v_i / |v_i| over the pairs, brought to length 1: of the direction alone, as cosine sees it. A
    decayed count is a weight as it is, so that the taste of now speaks louder; an item without a vector says nothing.
    """
    unit = normalised(vectors)
    return SpaceVectors("cosine", unit, normalised(np.asarray(pairs.matrix(pairs.weights) @ unit, np.float32)))
