"""Quorums: personal tops in the spirit of TF-IDF, with item categories as terms, so that they carry over to new items.

    score(user, item) = Σ_c TF(item, c) · UF(user, c) · IDF(c)
    UF(u, c)    the share of the user's decayed activity that falls on c; an item of several categories counts for each in part
    TF(i, c)    the mean of UF(u, c) over the distinct users u who consumed item i
    IDF(c)      min(−ln mean_u UF(u, c), γ), over the users with any activity

TF thus holds what an item's consumers like, not what the item is: bread bought by people who also buy baby food ranks for
those who do. All of it is global, computed before items are divided among shards.

An item that nobody consumed has no mean; it gets the mean TF of the consumed items of its own categories, as if it had their
typical consumers. An item whose categories have no consumed item has no TF. `consumers_prior` draws items with few consumers
towards the same typical TF: with m of it and n consumers, TF = (Σ_u UF(u, c) + m · typical(c)) / (n + m); 0 is the plain
formula.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from train.input.item_values import ItemValues
from train.lists.item_lists import cut_rows, strongest
from train.threads import on_threads

_BLOCK_FLOATS = 4 << 20  # of TF at once in each thread


@dataclass(frozen=True, slots=True)
class QuorumSettings:
    """gamma: the bound of IDF.  consumers_prior: m >= 0.

    categories_max: how many categories an item keeps, those with the largest TF · IDF; scores are exact if no item has more.
    """

    gamma: float = 8.0
    consumers_prior: float = 0.0
    categories_max: int = 64


@dataclass(frozen=True, slots=True, eq=False)
class Quorum:
    """tf: (n_items, n_categories) float32 CSR, indices ascending, > 0.  idf: (n_categories,) float32, >= 0.

    values: the names of the categories, as in users' profiles.
    """

    tf: sparse.csr_array
    idf: NDArray[np.float32]
    values: tuple[str, ...]

    def weights(self) -> sparse.csr_array:
        """TF · IDF (n_items, n_categories): times a user's UF it is the score, and a column is in the order of its TF."""
        return sparse.csr_array(
            (self.tf.data * self.idf[self.tf.indices], self.tf.indices, self.tf.indptr), shape=self.tf.shape
        )

    def tops(self, n_max: int) -> list[tuple[str, NDArray[np.int32], NDArray[np.float32]]]:
        """Per category its name and the n_max items with the largest TF · IDF: rows (h,) int32 and weights (h,), best first."""
        by_category = strongest(sparse.csr_array(self.weights().T), n_max)
        bounds = zip(by_category.indptr[:-1], by_category.indptr[1:], strict=True)
        spans = [slice(begin, end) for begin, end in bounds]
        return [(name, by_category.indices[s], by_category.data[s]) for name, s in zip(self.values, spans, strict=True)]


def quorum(pairs: sparse.csr_array, categories: ItemValues, settings: QuorumSettings) -> Quorum:
    """From the (n_users, n_items) decayed weights of the log's pairs, > 0. Memory beyond the output: UF, 200 MiB a thread."""
    uf = user_frequencies(pairs, categories)
    active = np.diff(pairs.indptr) > 0
    mean = uf.sum(axis=0) / max(np.count_nonzero(active), 1)
    idf = np.minimum(-np.log(np.maximum(mean, np.exp(-settings.gamma))), settings.gamma).clip(min=0).astype(np.float32)

    consumed_by = sparse.csr_array(pairs.T)
    n_consumers = np.diff(consumed_by.indptr).astype(np.float32)
    consumed_by = sparse.csr_array(
        (np.ones(consumed_by.nnz, np.float32), consumed_by.indices, consumed_by.indptr), consumed_by.shape
    )
    own = categories.shares()
    typical = _typical(consumed_by, n_consumers, uf, own)

    m = np.float32(settings.consumers_prior)

    def block(span: slice) -> sparse.csr_array:
        n = n_consumers[span]
        prior = np.where(n > 0, m, np.float32(1))  # an item without consumers is all prior
        totals = sparse.csr_array(consumed_by[span] @ uf + sparse.diags_array(prior) @ (own[span] @ typical))
        tf = sparse.csr_array(sparse.diags_array(1 / (n + prior)) @ totals)
        return _strongest_weighted(tf, idf, settings.categories_max)

    size = max(1, _BLOCK_FLOATS // max(len(idf), 1))
    spans = (slice(begin, begin + size) for begin in range(0, len(n_consumers), size))
    return Quorum(sparse.csr_array(sparse.vstack(list(on_threads(block, spans)))), idf, categories.values)


def save_quorum(quorum: Quorum, folder: Path) -> None:
    sparse.save_npz(folder / "tf.npz", quorum.tf, compressed=False)
    np.save(folder / "idf.npy", quorum.idf)
    (folder / "values.json").write_bytes(msgspec.json.encode(quorum.values))


def load_quorum(folder: Path) -> Quorum:
    values = msgspec.json.decode((folder / "values.json").read_bytes(), type=tuple[str, ...])
    return Quorum(sparse.csr_array(sparse.load_npz(folder / "tf.npz")), np.load(folder / "idf.npy"), values)


def user_frequencies(pairs: sparse.csr_array, categories: ItemValues) -> sparse.csr_array:
    """UF (n_users, n_categories) float32 CSR. Shares are of all the user's activity, so activity without a category is missing
    from them.
    """
    totals = np.asarray(pairs.sum(axis=1))
    scale = np.divide(1, totals, out=np.zeros(len(totals), np.float32), where=totals > 0).astype(np.float32)
    return sparse.csr_array(sparse.diags_array(scale) @ (pairs @ categories.shares()))


def _typical(
    consumed_by: sparse.csr_array, n_consumers: NDArray[np.float32], uf: sparse.csr_array, own: sparse.csr_array
) -> sparse.csr_array:
    """(n_categories, n_categories): the mean TF of the consumed items of each category, zeros where there is none."""
    each = np.divide(1, n_consumers, out=np.zeros_like(n_consumers), where=n_consumers > 0)
    members = sparse.csr_array(own.T) @ sparse.diags_array((n_consumers > 0).astype(np.float32))
    n_members = np.asarray(members.sum(axis=1))
    scale = np.divide(1, n_members, out=np.zeros_like(n_members), where=n_members > 0)
    consumers = members @ (sparse.diags_array(each) @ consumed_by)  # (n_categories, n_users): small before it meets UF
    return sparse.csr_array(sparse.diags_array(scale) @ (consumers @ uf))


def _strongest_weighted(tf: sparse.csr_array, idf: NDArray[np.float32], n_max: int) -> sparse.csr_array:
    """Each row's entries with the n_max largest TF · IDF, as TF, indices ascending."""
    weighted = sparse.csr_array((tf.data * idf[tf.indices], tf.indices, tf.indptr), shape=tf.shape)
    kept = cut_rows(weighted, n_max)
    return sparse.csr_array((kept.data / idf[kept.indices], kept.indices, kept.indptr), shape=tf.shape)
