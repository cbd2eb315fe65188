"""Two towers in one space, after YoutubeDNN (Covington et al., RecSys 2016): users from what they bought, items as they are.

`fit_two_tower` learns from users at moments of the past (`train/vectors/tower_examples.py`) and stops when the recall of users
it does not learn from no longer grows. What comes out needs no torch: item vectors for the shards, and a user tower that
routers run on each request. It pays beside matrix factorisation for strangers with a basket, for new items, which get a vector
from their attributes, and where user features say something that the history does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cluster.config.train import TwoTowerSection
from cluster.errors import ConfigError
from router.users.user_tower import TowerWeights, standardised
from router.users.user_tower_file import read_weights, write_tower
from train.input.catalogue import Catalogue
from train.input.event_log import EventLog
from train.input.interactions import Interactions
from train.input.user_table import UserTable
from train.users import UserFeatures
from train.vectors.tower_examples import Examples, Past, Ragged, joined, newest

Floats = NDArray[np.float32]

ITEMS_ARROW, LAYERS_ARROW = "tower-items.arrow", "tower.arrow"
_ITEM_VECTORS, _RECALL = "item-vectors.npy", "recall.json"

_EXAMPLES_MIN = 20
_HELD_OUT_SHARE, _HELD_OUT_MIN, _HELD_OUT_MAX = 0.1, 50, 500
_RECALL_K = 100
_BLOCK_USERS = 2048


@dataclass(frozen=True, slots=True, eq=False)
class TwoTower:
    """weights: the user tower.  items: (n, dim) float32, in the order of the catalogue; the score is the inner product.

    recalls: recall@100 of users held out, after each epoch; the best one's weights are these.
    """

    weights: TowerWeights
    items: Floats
    recalls: tuple[float, ...]

    @property
    def traits(self) -> Floats:
        """(n, dim - 1) item vectors without the bias, for likeness, in which popularity has no part."""
        return self.items[:, :-1]

    def user_vectors(self, pairs: Interactions, features: UserFeatures) -> Floats:
        """(n_users, dim) float32, what `router.users.user_tower.UserTower` gives for these users' records; 0 without a
        history."""
        kept = [features.names.index(name) for name in self.weights.features]
        vectors = np.zeros((pairs.n_users, self.weights.dim), np.float32)
        known = np.flatnonzero(np.diff(pairs.starts))
        for users in np.split(known, range(_BLOCK_USERS, len(known), _BLOCK_USERS)):
            at, starts = newest(pairs, users, self.weights.n_history_max)
            vectors[users] = self.vectors_of(
                Ragged(starts, pairs.items[at]), pairs.weights[at], features.values[users][:, kept]
            )
        return vectors

    def vectors_of(self, histories: Ragged, weights: Floats, features: Floats) -> Floats:
        """(e, dim) float32 for e users with a history each. weights: of its items.  features: (e, F), those that are read."""
        amounts = weights ** np.float32(self.weights.weight_exponent)
        history = sparse.csr_array((amounts, histories.items, histories.starts), shape=(len(histories), len(self.items)))
        total = np.asarray(history.sum(axis=1), np.float32)[:, None]
        pooled = (history @ self.weights.table) / np.sqrt(np.maximum(total, np.finfo(np.float32).tiny))
        z = standardised(features, self.weights.mean, self.weights.scale)
        x = np.concatenate((pooled, z, np.ones_like(total), np.log1p(total)), axis=1)
        return self.weights.vectors(x)

    def save(self, folder: Path) -> None:
        write_tower(self.weights, items=folder / ITEMS_ARROW, layers=folder / LAYERS_ARROW)
        np.save(folder / _ITEM_VECTORS, self.items)
        (folder / _RECALL).write_bytes(msgspec.json.encode(self.recalls))

    @classmethod
    def load(cls, folder: Path) -> TwoTower:
        """The item vectors are mapped, not read."""
        weights = read_weights((folder / ITEMS_ARROW).read_bytes(), (folder / LAYERS_ARROW).read_bytes())
        recalls = msgspec.json.decode((folder / _RECALL).read_bytes(), type=tuple[float, ...])
        return cls(weights, np.load(folder / _ITEM_VECTORS, mmap_mode="r"), recalls)


def require_torch() -> None:
    """Raises ConfigError if torch cannot be imported: the build says so before it has done anything."""
    try:
        import torch  # noqa: F401
    except ImportError:
        raise ConfigError("sources.two_tower is enabled and needs torch: pip install 'oskolok[neural]'") from None


def fit_two_tower(
    log: EventLog,
    catalogue: Catalogue,
    section: TwoTowerSection,
    *,
    as_of: int,
    half_life_days: float,
    windows_days: Sequence[int],
    attributes: Sequence[str],
    declared: UserTable | None = None,
    seed: int,
    on_epoch: Callable[[int], None] = lambda n_done: None,
) -> TwoTower:
    """Fit to the log as of a moment. attributes: category attributes whose values are tokens of their items.  declared: what is
    known of users beside the log, more features.

    Sees no event after `as_of`, and no label is older than what its example knows. The same seed on the same machine gives the
    same bytes. `on_epoch` is told how many epochs are done. Raises ConfigError without torch, and for a log that is too short.
    """
    require_torch()
    from train.vectors.tower_network import Negatives, Network, Tokens

    rng = np.random.default_rng(seed)
    past = Past(log, catalogue, section, half_life_days, tuple(windows_days), declared)
    learning, validation, names = _examples(past, as_of, rng)
    mean, scale = _scaling(learning.features)
    counts = np.bincount(learning.labels.items, minlength=len(catalogue))
    read = np.bincount(learning.histories.items, minlength=len(catalogue)) > 0
    network = Network(Tokens(_values(catalogue, attributes), read, counts > 0), counts, len(names), section, rng)
    negatives = Negatives.of(counts, section.uniform_share)
    features = standardised(learning.features, mean, scale)

    best: TwoTower | None = None
    recalls: list[float] = []
    while len(recalls) < section.n_epochs_max and len(recalls) - _best_at(recalls) <= section.patience:
        network.epoch(learning, features, negatives, rng)
        weights = TowerWeights(
            catalogue.keys,
            network.input_vectors(),
            names,
            mean,
            scale,
            *network.layers(),
            weight_exponent=section.weight_exponent,
            n_history_max=section.n_history_max,
        )
        tower = TwoTower(weights, network.item_vectors(), ())
        recalls.append(_recall(tower, validation))
        if _best_at(recalls) == len(recalls):
            best = tower
        on_epoch(len(recalls))
    assert best is not None, "there is at least one epoch"
    return replace(best, recalls=tuple(recalls))


def _examples(past: Past, as_of: int, rng: np.random.Generator) -> tuple[Examples, Examples, tuple[str, ...]]:
    """To learn from, and to be judged by: some users at the newest moment. And the names of the features.

    Users are held out, and not the last weeks, so that what serves has learned from the newest purchases there are.
    """
    moments = past.moments(as_of)
    if not moments:
        days = past.section.label_days
        raise ConfigError(
            f"the log is too short for the two-tower model: it needs {2 * days} days, twice train.two_tower.label_days"
        )
    n_max = -(-past.section.examples_max // len(moments))
    parts: list[Examples] = []
    names: tuple[str, ...] = ()
    for moment in moments:
        part, names = past.examples(moment, n_max=n_max, rng=rng)
        parts.append(part)
    everything = joined(parts)
    if len(everything) < _EXAMPLES_MIN:
        raise ConfigError(
            f"the log has {len(everything)} users who bought something before and after a moment, "
            f"the two-tower model needs at least {_EXAMPLES_MIN}"
        )
    at_newest = np.flatnonzero(everything.moments == everything.moments.max())
    wanted = min(max(int(len(at_newest) * _HELD_OUT_SHARE), _HELD_OUT_MIN), _HELD_OUT_MAX)
    held_out = np.sort(rng.choice(at_newest, min(wanted, len(at_newest) // 2 + 1), replace=False))
    return everything.take(np.setdiff1d(np.arange(len(everything)), held_out)), everything.take(held_out), names


def _scaling(features: Floats) -> tuple[Floats, Floats]:
    """The mean and the deviation of each column, 1 for one that is constant."""
    mean, deviation = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    return mean.astype(np.float32), np.where(deviation > 1e-6, deviation, 1).astype(np.float32)


def _values(catalogue: Catalogue, attributes: Sequence[str]) -> sparse.csr_array:
    """(n_items, V) float32, 1 at each item's values of these attributes, one block of columns an attribute."""
    blocks = [sparse.csr_array((len(catalogue), 0), dtype=np.float32)]
    for name in attributes:
        rows, codes, values = catalogue.members(name)
        ones = np.ones(len(rows), np.float32)
        blocks.append(sparse.csr_array((ones, (rows, codes)), shape=(len(catalogue), len(values))))
    return sparse.csr_array(sparse.hstack(blocks, format="csr"), dtype=np.float32)


def _best_at(recalls: Sequence[float]) -> int:
    """The first of the best epochs, from 1; 0 before there is any."""
    return recalls.index(max(recalls)) + 1 if recalls else 0


def _recall(tower: TwoTower, examples: Examples) -> float:
    """recall@100 of the examples' labels among all items, the mean over examples; of a small catalogue, recall at a tenth."""
    vectors = tower.vectors_of(examples.histories, examples.weights, examples.features)
    k = min(_RECALL_K, -(-len(tower.items) // 10))
    found = np.empty(len(examples))
    for at, vector in enumerate(vectors):
        labels = examples.labels.items[examples.labels.starts[at] : examples.labels.starts[at + 1]]
        scores = tower.items @ vector
        worst = np.partition(scores, len(scores) - k)[len(scores) - k]
        found[at] = np.count_nonzero(scores[labels] >= worst) / len(labels)
    return float(found.mean())
