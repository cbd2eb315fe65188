"""The embedding spaces of a generation: vectors of items and of users in the same coordinates.

als         inner product: implicit ALS (`train/vectors/als.py`)
content     cosine: the catalogue's content vectors; a user stands at the mean of what the history holds
two_tower   inner product: `train/vectors/two_tower.py`; users are placed at request time, so that new ones have a place too
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.config.train import AlsSection
from cluster.spec import FoldIn, Metric
from shard.spaces.space import normalised
from train.input.interactions import Interactions
from train.vectors.als import Factors
from train.vectors.confidence import event_confidence
from train.vectors.row_blocks import gram

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class SpaceVectors:
    """items: (n_items, dim) float32.  users: (n_users, dim) float32, zeros for a user who has no place there.

    fold_in: what places users in it whom the build did not know, None where least squares do not.
    """

    metric: Metric
    items: Floats
    users: Floats
    fold_in: FoldIn | None = None

    @property
    def dim(self) -> int:
        return int(self.items.shape[1])


def als_space(factors: Factors, pairs: Interactions, section: AlsSection) -> SpaceVectors:
    """factors: in the eigenbasis of the items that were bought. Items that never were have no part in the pull towards 0."""
    bought = np.zeros(len(factors.items), bool)
    bought[pairs.items] = True
    axes = section.unobserved_weight * np.diag(gram(np.asarray(factors.items[bought])))
    fold_in = FoldIn(
        axes=tuple(axes.tolist()),
        confidence=float(event_confidence(section)),
        observed=section.unobserved_weight if section.observed == "replaces" else 0.0,
        regularization=section.regularization,
        unobserved=section.unobserved_weight * int(np.count_nonzero(bought)),
        exponent=section.frequency_exponent,
    )
    return SpaceVectors("ip", factors.items, factors.users, fold_in)


def content_space(vectors: Floats, pairs: Interactions) -> SpaceVectors:
    """vectors: (n_items, dim) float32 as the catalogue has them, zeros where it has none.

    A user stands at Σ w_ui v_i / |v_i| over the pairs, brought to length 1: of the direction alone, as cosine sees it. A
    decayed count is a weight as it is, so that the taste of now speaks louder; an item without a vector says nothing.
    """
    unit = normalised(vectors)
    return SpaceVectors("cosine", unit, normalised(np.asarray(pairs.matrix(pairs.weights) @ unit, np.float32)))
