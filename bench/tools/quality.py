"""Published recommendation splits, and how good a ranking of all items is on them.

A split is two 0/1 matrices of the same users and items. A system is a function that scores all items for a block of users;
what is in train is never ranked; ties go to the smaller item, as everywhere. Averages are over users with a test item.
What the published figures are, and from where, is in docs/als.md. `shared` is the folder with the splits in its `data`: they
are benchmark input and do not come with the code.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cluster.errors import ConfigError
from deploy.demo.wheel import Wheel, cache_folder, fetch_wheel

RECBOLE = Wheel(
    "recbole==1.2.1", "recbole-1.2.1-py3-none-any.whl", "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
)

_BLOCK_SCORES = 16 << 20  # scores held at once by each thread, 64 MiB
_THREADS = 2

Users = NDArray[np.int64]
Score = Callable[[Users], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """train, test: (n_users, n_items) float32 CSR with a 1 at each pair, disjoint."""

    name: str
    train: sparse.csr_array
    test: sparse.csr_array

    @property
    def test_users(self) -> Users:
        """The users with a test item, ascending."""
        return np.flatnonzero(np.diff(self.test.indptr))

    def held_out(self, share: float, *, seed: int) -> Split:
        """A split of the train pairs alone, for choosing settings: each pair goes to test with this probability."""
        return self._without(np.random.default_rng(seed).random(self.train.nnz) < share)

    def last_held_out(self, n: int) -> Split:
        """Another one: each user's n train items of the largest numbers go to test."""
        train = self.train.sorted_indices()
        return self._without(np.arange(train.nnz) >= np.repeat(train.indptr[1:] - n, np.diff(train.indptr)))

    def _without(self, held: NDArray[np.bool_]) -> Split:
        """held: one flag for each train pair, by user and item."""
        train = self.train.sorted_indices()
        users = np.repeat(np.arange(train.shape[0]), np.diff(train.indptr))
        parts = (pairs(users[part], train.indices[part], train.shape) for part in (~held, held))
        return Split(f"{self.name} validation", *parts)


def mcrec(shared: Path) -> Split:
    """MovieLens-100k as MCRec split it: 943 users, 1,682 films, 80,000 ratings to learn from, each a positive."""
    with zipfile.ZipFile(fetch_wheel(RECBOLE, cache_folder())) as archive:
        text = archive.read("recbole/dataset_example/ml-100k/ml-100k.inter").decode()
    ratings = np.array([line.split("\t")[:2] for line in text.splitlines()[1:]], np.int64) - 1
    shape = tuple(ratings.max(axis=0) + 1)
    test = _load(shared, "ml100k_mcrec_test_pairs.npz")["test"].astype(np.int64) - 1
    in_test = np.isin(ratings @ (shape[1], 1), test @ (shape[1], 1))
    return Split("ml-100k mcrec", pairs(*ratings[~in_test].T, shape), pairs(*test.T, shape))


def citeulike_a(shared: Path) -> Split:
    """CiteULike-a with ten train articles a user: 5,551 users, 16,980 articles.

    The train articles are each user's ten with the smallest numbers, so the test's are others than the train's popular ones.
    """
    arrays = _load(shared, "citeulike_a_p10.npz")
    shape = tuple(arrays["shape"])
    train, test = (pairs(arrays[f"{part}_user"], arrays[f"{part}_item"], shape) for part in ("train", "test"))
    return Split("citeulike-a", train, test)


def gowalla(shared: Path) -> Split:
    """Gowalla check-ins as LightGCN split them: 29,858 users, 40,981 places."""
    arrays = _load(shared, "gowalla_lightgcn_split.npz")
    shape = tuple(arrays["shape"])
    indices = arrays["train_indices"]
    train = sparse.csr_array((np.ones(len(indices), np.float32), indices, arrays["train_indptr"]), shape=shape)
    return Split("gowalla", train, pairs(arrays["test_user"], arrays["test_item"], shape))


def pairs(users: NDArray[np.integer], items: NDArray[np.integer], shape: tuple[int, int]) -> sparse.csr_array:
    """The 0/1 matrix of these pairs; a repeated pair counts once."""
    matrix = sparse.csr_array((np.ones(len(users), np.float32), (users, items)), shape=shape)
    matrix.data[:] = 1
    return matrix


def by_factors(users: NDArray[np.float32], items: NDArray[np.float32]) -> Score:
    """The system that scores by inner product of (n_users, dim) and (n_items, dim) vectors."""
    return lambda block: users[block] @ items.T


def by_weights(train: sparse.csr_array, weights: NDArray[np.float32] | sparse.csr_array) -> Score:
    """The system that adds up (n_items, n_items) item-item weights over what a user has in train; rows are sources."""
    if not sparse.issparse(weights):
        return lambda block: train[block] @ weights
    return lambda block: (train[block] @ weights).toarray()


def quality(score: Score, split: Split, metrics: Sequence[str]) -> dict[str, float]:
    """Values of `p@k` (hits / k), `r@k` and `recall@k` (both hits / the user's test items), and `ndcg@k` (binary gains,
    ideal of min(k, test items)), averaged over the test users.
    """
    asked = [(name, *name.split("@")) for name in metrics]
    tops, users = top_unseen(score, split, max(int(k) for _, _, k in asked)), split.test_users
    wanted = np.diff(split.test.indptr)[users]
    hit = hits(tops, users, split.test)
    found: dict[str, float] = {}
    for name, kind, text in asked:
        k = int(text)
        n_hits = hit[:, :k].sum(axis=1)
        if kind == "p":
            values = n_hits / k
        elif kind in ("r", "recall"):
            values = n_hits / wanted
        else:
            assert kind == "ndcg", f"no metric {name!r}"
            gains = 1 / np.log2(np.arange(2, k + 2))
            values = hit[:, :k] @ gains / np.cumsum(gains)[np.minimum(wanted, k) - 1]
        found[name] = float(values.mean())
    return found


def top_unseen(score: Score, split: Split, k: int) -> NDArray[np.int32]:
    """The k best items outside train for each of `split.test_users`, best first: (n, k) int32."""

    def one(block: Users) -> NDArray[np.int32]:
        scores = np.asarray(score(block), np.float32)
        seen = split.train[block]
        scores[np.repeat(np.arange(len(block)), np.diff(seen.indptr)), seen.indices] = -np.inf
        return top_of_rows(scores, k)

    n_items = split.train.shape[1]
    assert k <= n_items, f"top {k} of {n_items} items"
    with ThreadPoolExecutor(_THREADS) as pool:
        return np.concatenate(list(pool.map(one, _blocks(split.test_users, max(1, _BLOCK_SCORES // n_items)))))


def top_of_rows(scores: NDArray[np.float32], k: int) -> NDArray[np.int32]:
    """Positions of each row's k largest scores, largest first, of equal ones the smaller position first: (m, k) int32."""
    n = scores.shape[1]
    cut = np.partition(scores, n - k, axis=1)[:, n - k]
    rows, at = np.nonzero(scores >= cut[:, None])  # with ties at the cut, more than k a row
    order = np.lexsort((at, -scores[rows, at], rows))
    starts = np.searchsorted(rows, np.arange(len(scores)))
    return at[order][starts[:, None] + np.arange(k)].astype(np.int32)


def hits(tops: NDArray[np.int32], users: Users, test: sparse.csr_array) -> NDArray[np.bool_]:
    """Which of the users' (n, k) tops are among their test items."""
    wanted = np.repeat(np.arange(test.shape[0]), np.diff(test.indptr)) * test.shape[1] + test.indices
    return np.isin(users[:, None] * test.shape[1] + tops, wanted)


def _blocks(users: Users, size: int) -> Iterator[Users]:
    return (users[begin : begin + size] for begin in range(0, len(users), size))


def _load(shared: Path, name: str) -> dict[str, NDArray[np.generic]]:
    path = shared / "data" / name
    if not path.exists():
        raise ConfigError(f"{path} is not there: name the folder of the splits with --shared")
    with np.load(path) as archive:
        return dict(archive)
