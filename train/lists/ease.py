"""EASE: item-item weights that best reconstruct every user's items from the others, in closed form. Scores without embeddings.

    min_B |√W (X − XB)|² + Σ_ij λ_i B_ij²   with diag(B) = 0            X (n_users, n_items), 1 where a pair is
    B_ij = −P_ij / P_jj,   P = (XᵀWX + diag(λ_i))⁻¹                     (Steck, WWW 2019)
    λ_i = λ + p / (1 − p) (XᵀWX)_ii                                    dropout p of the inputs (Steck, NeurIPS 2020)
    W_uu = (mean degree / degree of u)^α                               users with long histories weigh less

A user's score of item j is Σ B_ij over the items i of the history. With X's columns scaled by 1/√λ_i to Z, the inverse is
taken of I + ZᵀZ, items × items, or of I + ZZᵀ, users × users, whichever is smaller: for a log of 2,000 households and 90,000
products that is the second.

Limits: with d the smaller side, time d³ and memory 4 d² bytes (d = 20,000: some minutes, 1.6 GB), then for each item a product
with all pairs. So only the `n_items_max` most bought items take part; the others have no lists and are in none. SLIM was left
out: with dropout and user weights EASE is at its figures (ML-100k, docs/als.md) and takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import lapack

from train.lists.item_lists import ItemLists, lists_of, strongest_of_dense
from train.threads import on_threads

_BLOCK_FLOATS = 2 << 20  # of B at once in each thread, 8 MiB: what a product gathers stays in cache

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EaseSettings:
    """regularization: λ > 0.  dropout: p, 0 <= p < 1.  user_exponent: α >= 0.  top: entries kept for each source item.

    Of a source's entries the largest in absolute value are kept: negative weights carry much of the ranking (ML-100k, P@10:
    .3769 with all weights, .3753 with the 200 largest of each source, .3498 with all positive ones). n_items_max: how many
    of the most bought items take part.
    """

    regularization: float = 200.0
    dropout: float = 0.4
    user_exponent: float = 0.25
    top: int = 200
    n_items_max: int = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class EaseWeights:
    """B, of which rows are made when asked for. by_item: Zᵀ.  root: √λ_i.  diagonal: of (I + ZᵀZ)⁻¹.

    inverse: of I + ZᵀZ or, if `over_users`, of I + ZZᵀ.
    """

    by_item: sparse.csr_array
    root: Floats
    diagonal: Floats
    inverse: Floats
    over_users: bool

    @property
    def n_items(self) -> int:
        return len(self.root)

    def rows(self, span: slice) -> Floats:
        """B[span], (b, n_items) float32: what the items of the span say for every item."""
        if self.over_users:
            by_target = self.by_item @ np.ascontiguousarray((self.by_item[span] @ self.inverse).T)
            by_target *= (self.root / self.diagonal)[:, None]
            rows = np.ascontiguousarray(by_target.T)
        else:
            rows = self.inverse[span] * -(self.root / self.diagonal)
        rows /= self.root[span, None]
        rows[np.arange(len(rows)), np.arange(self.n_items)[span]] = 0
        return rows

    def spans(self) -> Iterator[slice]:
        """Consecutive parts of the rows, each of a bounded size."""
        size = max(1, _BLOCK_FLOATS // max(self.n_items, len(self.inverse)))
        return (slice(begin, min(begin + size, self.n_items)) for begin in range(0, self.n_items, size))


def ease_lists(pairs: sparse.csr_array, settings: EaseSettings) -> ItemLists:
    """The lists of a (n_users, n_items) matrix; its values are not looked at, a pair counts 1."""
    n_items = pairs.shape[1]
    degrees = np.bincount(pairs.indices, minlength=n_items)
    n_kept = min(int(np.count_nonzero(degrees)), settings.n_items_max)
    chosen = np.sort(np.lexsort((np.arange(n_items), -degrees))[:n_kept])
    if n_kept == 0:
        return ItemLists(np.zeros(n_items + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    weights = ease_weights(pairs[:, chosen], settings)
    part = lists_of(on_threads(lambda span: strongest_of_dense(weights.rows(span), settings.top), weights.spans()))
    lengths = np.zeros(n_items, np.int64)
    lengths[chosen] = np.diff(part.starts)
    starts = np.concatenate(([0], np.cumsum(lengths)))
    return ItemLists(starts, chosen[part.targets].astype(np.int32), part.weights)


def ease_weights(pairs: sparse.csr_array, settings: EaseSettings) -> EaseWeights:
    """All weights of a (n_users, n_items) matrix in which every item has a pair."""
    assert 0 <= settings.dropout < 1 and settings.regularization > 0, "0 <= dropout < 1 and regularization > 0"
    z, penalties = _scaled(pairs, settings)
    by_item, over_users = sparse.csr_array(z.T), z.shape[0] < z.shape[1]
    inverse = _inverse((z @ by_item if over_users else by_item @ z).toarray())
    if over_users:
        diagonal = np.empty(z.shape[1], np.float32)
        size = max(1, _BLOCK_FLOATS // len(inverse))
        for begin in range(0, len(diagonal), size):
            part = by_item[begin : begin + size]
            diagonal[begin : begin + size] = 1 - part.multiply(part @ inverse).sum(axis=1)
    else:
        diagonal = np.diag(inverse).copy()
    return EaseWeights(by_item, np.sqrt(penalties), diagonal, inverse, over_users)


def _scaled(pairs: sparse.csr_array, settings: EaseSettings) -> tuple[sparse.csr_array, Floats]:
    """Z = √W X diag(1/√λ_i) float32, and λ_i (n_items,)."""
    n_users, n_items = pairs.shape
    degrees = np.diff(pairs.indptr)
    mean = degrees[degrees > 0].mean()
    weights = (mean / np.maximum(degrees, 1)) ** settings.user_exponent
    per_pair = np.repeat(weights, degrees)
    support = np.bincount(pairs.indices, per_pair, minlength=n_items)
    penalties = settings.regularization + settings.dropout / (1 - settings.dropout) * support
    values = np.sqrt(per_pair / penalties[pairs.indices]).astype(np.float32)
    return sparse.csr_array((values, pairs.indices, pairs.indptr), shape=(n_users, n_items)), penalties.astype(np.float32)


def _inverse(gram: Floats) -> Floats:
    """(I + gram)⁻¹ of a positive semidefinite matrix, in the memory of one: Cholesky and inverse in place.

    float32: with every eigenvalue at least 1, results differ from float64's by 1e-5 of the largest weight, quality by nothing.
    """
    gram = np.asfortranarray(gram)
    at = np.arange(len(gram))
    gram[at, at] += 1
    factor, failed = lapack.spotrf(gram, lower=1, overwrite_a=1, clean=0)
    assert failed == 0, f"not positive definite at {failed}"
    inverse, failed = lapack.spotri(factor, lower=1, overwrite_c=1)
    assert failed == 0, f"singular at {failed}"
    for begin in range(0, len(inverse), 1024):
        end = begin + 1024
        inverse[begin:end, end:] = inverse[end:, begin:end].T
        square = inverse[begin:end, begin:end]
        square[:] = np.tril(square) + np.tril(square, -1).T
    return np.asarray(inverse.T)  # in C order, which a sparse product would copy it to; it equals its transpose
