"""From what is known about a user now to their vector in a two-tower space: plain numpy, no torch.

The tower of YoutubeDNN (Covington et al., RecSys 2016): the input vectors of the items that stand for the user's taste, pooled,
beside features of the user, through one hidden layer. It runs for each request, so a stranger with a basket has a vector, and
one whom the store knows has a vector that their basket has already moved. Vectors v of items that weigh a are pooled as
Σ a v / √Σ a: the mean of a long history would hardly tell which items are in it. `train/vectors/two_tower.py` fits it,
`router/users/user_tower_file.py` keeps it, and the item tower's vectors lie in the shards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cluster.errors import SchemaMismatch
from cluster.sorted_keys import positions_in
from cluster.types import NO_FLOATS, NO_KEYS, Floats, Keys, Seeds, UserRecord

SPACE = "two_tower"
"""The embedding space of both towers, and the name of its source."""

_DEVIATIONS_MAX = 4.0  # a feature further out than this is as good as this far: one odd user must not have an odd vector


@dataclass(frozen=True, slots=True, eq=False)
class TowerWeights:
    """What was learned. d: input dimension, F: user features, H: hidden units, D: dimension of the space; all float32.

    keys: (n,) int64 ascending, and table: (n, d), the input vector of each item.  features: their names, "user." and all.
    mean, scale: (F,), what a feature is less and over.  w1: (d + F + 2, H), b1: (H,), w2: (d + F + 2 + H, D), b2: (D,).
    weight_exponent: a seed counts by this power of its weight.  n_history_max: how many of the history's seeds count.
    """

    keys: Keys
    table: Floats
    features: tuple[str, ...]
    mean: Floats
    scale: Floats
    w1: Floats
    b1: Floats
    w2: Floats
    b2: Floats
    weight_exponent: float
    n_history_max: int

    def __post_init__(self) -> None:
        n_in, hidden = self.w1.shape
        n_features = len(self.features)
        assert self.table.shape == (len(self.keys), n_in - n_features - 2), f"table {self.table.shape}, w1 {self.w1.shape}"
        assert self.mean.shape == self.scale.shape == (n_features,), f"{self.mean.shape}, {self.scale.shape}"
        assert self.b1.shape == (hidden,) and self.w2.shape == (n_in + hidden, len(self.b2)), f"w2 {self.w2.shape}"

    @property
    def dim(self) -> int:
        return len(self.b2)

    def vectors(self, x: Floats) -> Floats:
        """The network: (..., d + F + 2) inputs to (..., D) vectors; the inputs also go around the hidden layer.

        Inputs: the seeds' vectors, pooled; the features, or zeros; 1 if they are known; log(1 + what the seeds weigh).
        """
        hidden = x @ self.w1
        hidden += self.b1
        np.maximum(hidden, 0, out=hidden)
        vectors: Floats = np.concatenate((x, hidden), axis=-1) @ self.w2
        vectors += self.b2
        return vectors


class UserTower:
    """The tower of one generation. `user_features`: names of what its user records' `features` hold, in their order."""

    def __init__(self, weights: TowerWeights, user_features: Sequence[str]) -> None:
        """Raises SchemaMismatch if the records lack a feature that the tower reads."""
        lacking = sorted(set(weights.features) - set(user_features))
        if lacking:
            raise SchemaMismatch(f"the user tower reads {', '.join(lacking)}, which user records do not have")
        self._weights = weights
        self._n_user_features = len(user_features)
        self._columns = np.array([list(user_features).index(name) for name in weights.features], np.intp)
        self._dim_in = weights.table.shape[1]

    @property
    def dim(self) -> int:
        return self._weights.dim

    def vector(self, seeds: Mapping[str, Seeds], features: Floats | None) -> Floats | None:
        """(dim,) float32 for these seed sets, by name, and a known user's features, None for a stranger.

        None if there is nothing to go by: a stranger none of whose seeds the tower has met. About 50 microseconds.
        """
        x = np.zeros(len(self._weights.w1), np.float32)
        total = self._pool(seeds, x[: self._dim_in])
        if features is not None and len(features) == self._n_user_features:
            x[self._dim_in : -2] = standardised(features[self._columns], self._weights.mean, self._weights.scale)
            x[-2] = 1
        elif total == 0:
            return None
        x[-1] = np.log1p(total)
        vector = self._weights.vectors(x)
        return vector if np.isfinite(vector).all() else None

    def _pool(self, seeds: Mapping[str, Seeds], out: Floats) -> np.float32:
        """The seeds' input vectors, pooled, into `out`; how much they weigh in all."""
        keys, amounts = _counted(seeds, self._weights.n_history_max)
        known_keys = self._weights.keys
        if not len(keys) or not len(known_keys):
            return np.float32(0)
        rows, is_known = positions_in(known_keys, keys)
        amounts = np.where(is_known & (amounts > 0), amounts, np.float32(0)) ** np.float32(self._weights.weight_exponent)
        total: np.float32 = amounts.sum()
        if total > 0:
            np.matmul(amounts / np.sqrt(total), self._weights.table[rows], out=out)
        return total


def with_tower(
    vectors: dict[str, Floats], tower: UserTower | None, seeds: Mapping[str, Seeds], record: UserRecord | None
) -> dict[str, Floats]:
    """The user's vectors by space, with the tower's added where a basket has changed it since the store's was computed, or the
    store has none. Without a basket the store's is the tower's.
    """
    if tower is None or (SPACE in vectors and "basket" not in seeds):
        return vectors
    vector = tower.vector(seeds, None if record is None else record.features)
    return vectors if vector is None else {**vectors, SPACE: vector}


def standardised(features: Floats, mean: Floats, scale: Floats) -> Floats:
    """Features (F,) or (m, F) as the network reads them."""
    z: Floats = np.clip((features - mean) / scale, -_DEVIATIONS_MAX, _DEVIATIONS_MAX)
    return z


def _counted(seeds: Mapping[str, Seeds], n_history_max: int) -> tuple[Keys, Floats]:
    """The keys and weights of the seeds that count: the basket, and of the history the newest, as many as in training.

    What was only looked at counts for those who have no history: beside one it would drown it, and nobody learned to weigh it.
    """
    history = seeds.get("history") or seeds.get("viewed")
    parts = [] if history is None else [(history.keys[:n_history_max], history.weights[:n_history_max])]
    if "basket" in seeds:
        parts.append((seeds["basket"].keys, seeds["basket"].weights))
    if not parts:
        return NO_KEYS, NO_FLOATS
    keys, weights = zip(*parts, strict=True)
    return np.concatenate(keys), np.concatenate(weights)
