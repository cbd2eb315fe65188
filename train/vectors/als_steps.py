"""Steps between two full fits: new rows are solved against rows that stay, and content vectors can take part.

    users, items = FixedSide.of(factors.users, ...), FixedSide.of(warmed(factors.items, share), ...)      once, after a fit
    new_items, moved_users = step(users, items, new_items=..., back=...)                                  every few seconds

A step costs the pairs of the rows it solves, not a fit. Only warmed rows should count (`warmed`): a row's norm grows with the
number of its events, so a row far below the others has hardly a direction yet and would pass its noise on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cluster.config.train import AlsSection
from train.vectors.als import Factors, solve_rows
from train.vectors.fixed_side import FixedSide
from train.vectors.row_blocks import Matrix


@dataclass(frozen=True, slots=True, eq=False)
class RowPairs:
    """rows: (m,) of one side, to be solved.  pairs: (m, n) CSR float32, confidences > 0 of their pairs with the other side."""

    rows: NDArray[np.integer]
    pairs: sparse.csr_array


def step(users: FixedSide, items: FixedSide, *, new_items: RowPairs, back: RowPairs) -> tuple[Matrix, Matrix]:
    """Vectors of the new items, users frozen, then of the users of `back` with the new items among what they bought.

    users, items: as of the last full fit, new items zeros.  back: new users, and those whom `most_touched` names; a user of it
    has all its pairs there, new and old. Both solutions are exact. All other rows stay as they are.
    """
    placed = place(users, new_items)
    bought, pairs = _narrowed(back.pairs)
    _, here, there = np.intersect1d(bought, new_items.rows, assume_unique=True, return_indices=True)
    return placed, _solved(items.only(bought).with_rows(here, placed[there]), pairs)


def place(side: FixedSide, new: RowPairs) -> Matrix:
    """The vectors of some rows, from their pairs with rows that speak; zeros for a row without such pairs."""
    partners, pairs = _narrowed(new.pairs)
    return _solved(side.only(partners), pairs)


def _narrowed(pairs: sparse.csr_array) -> tuple[NDArray[np.intp], sparse.csr_array]:
    """The columns that have pairs, ascending, and the matrix of these alone."""
    has_pairs = np.zeros(pairs.shape[1], bool)
    has_pairs[pairs.indices] = True
    columns = np.flatnonzero(has_pairs)
    at = (np.cumsum(has_pairs) - 1)[pairs.indices]
    return columns, sparse.csr_array((pairs.data, at, pairs.indptr), shape=(pairs.shape[0], len(columns)))


def _solved(side: FixedSide, pairs: sparse.csr_array) -> Matrix:
    speaks = np.asarray(side.rotated.any(axis=1))[pairs.indices]
    starts = np.concatenate(([0], np.cumsum(speaks)))[pairs.indptr]
    heard = sparse.csr_array((pairs.data[speaks], pairs.indices[speaks], starts), shape=pairs.shape)
    return side.solve(heard)


def most_touched(new_items: RowPairs, totals: NDArray[np.floating], n_max: int) -> NDArray[np.intp]:
    """The users of whose confidence the largest share is on new items, at most n_max, ascending.

    totals: (n_users,) confidence of all pairs of each user. Of equal shares the smaller row is taken.
    """
    on_new = np.asarray(new_items.pairs.sum(axis=0))
    share = on_new / np.maximum(totals, np.finfo(np.float32).tiny)
    first = np.lexsort((np.arange(len(share)), -share))[: min(n_max, int(np.count_nonzero(share)))]
    return np.sort(first)


def warmed(vectors: Matrix, share: float) -> Matrix:
    """A copy in which rows shorter than `share` of the median norm of all non-zero rows are zero, that is, do not speak."""
    norms = np.linalg.norm(vectors, axis=1)
    present = norms > 0
    if not present.any():
        return vectors.copy()
    return np.where((norms >= share * np.median(norms[present]))[:, None], vectors, np.float32(0))


def users_of_content(confidence: sparse.csr_array, content: Matrix, section: AlsSection) -> Factors:
    """Content step: item vectors stay what content says, scaled to length 1, and users are solved for. A user becomes the
    combination of contents that tells the bought from the rest, which a plain average does not.

    content: (n_items, dim) float32, zeros where there is none. Settings that suit vectors of ALS need not suit these.
    """
    norms = np.linalg.norm(content, axis=1, keepdims=True)
    items = np.divide(content, norms, out=np.zeros_like(content), where=norms > 0)
    return Factors(solve_rows(confidence, items, section), items)
