"""What is done between two full fits: rows that appeared are solved against rows that stay, and vectors of content take part.

A step costs the pairs of the rows it solves and one Gram matrix, not a fit. Only warmed rows speak: a row's norm grows with
what is known of it, so a row below `warm_share` of its side's median norm has hardly a direction yet and would pass its noise
on. Rows that a step does not name keep their bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cluster.config import AlsSection
from train.als import Factors, solve_rows
from train.row_systems import Matrix

Rows = NDArray[np.integer]


def place_items(
    factors: Factors, confidence: sparse.csr_array, rows: Rows, section: AlsSection, *, warm_share: float
) -> Factors:
    """The factors with the items `rows` solved from the pairs they have with warmed users, users frozen.

    confidence: (n_users, n_items) as of now, float32 > 0. An item without such pairs gets zeros.
    """
    items = factors.items.copy()
    items[rows] = _solved(sparse.csr_array(sparse.csc_array(confidence)[:, rows].T), factors.users, section, warm_share)
    return Factors(factors.users, items)


def place_users(
    factors: Factors, confidence: sparse.csr_array, rows: Rows, section: AlsSection, *, warm_share: float
) -> Factors:
    """The factors with the users `rows` solved from the pairs they have with warmed items, items frozen."""
    users = factors.users.copy()
    users[rows] = _solved(confidence[rows], factors.items, section, warm_share)
    return Factors(users, factors.items)


def step(
    factors: Factors,
    confidence: sparse.csr_array,
    section: AlsSection,
    *,
    new_users: Rows,
    new_items: Rows,
    n_back_max: int,
    warm_share: float,
) -> Factors:
    """New items from the users as they are, then back: new users, and the users whom the new items tell most about.

    factors: rows aligned with `confidence`, zeros for what is new. The back step takes at most n_back_max known users, those
    with the largest share of their confidence on new items, of equal ones the smaller row; it is what bounds the cost.
    """
    placed = place_items(factors, confidence, new_items, section, warm_share=warm_share)
    known = placed.users.any(axis=1)
    total = np.asarray(confidence.sum(axis=1))
    on_new = np.asarray(sparse.csc_array(confidence)[:, new_items].sum(axis=1))
    share = np.where(known, on_new / np.maximum(total, np.finfo(np.float32).tiny), 0)
    touched = np.lexsort((np.arange(len(share)), -share))[: min(n_back_max, int(np.count_nonzero(share)))]
    back = np.union1d(touched, new_users)
    return place_users(placed, confidence, back, section, warm_share=warm_share)


def users_of_content(confidence: sparse.csr_array, content: Matrix, section: AlsSection) -> Factors:
    """Content step: item vectors stay what content says, scaled to length 1, and users are solved for: a user becomes the
    combination of contents that tells the bought from the rest, which a plain average does not.

    content: (n_items, dim) float32, zeros where there is none. Settings of `section` that were found for its dim need not suit.
    """
    norms = np.linalg.norm(content, axis=1, keepdims=True)
    items = np.divide(content, norms, out=np.zeros_like(content), where=norms > 0)
    return Factors(solve_rows(confidence, items, section), items)


def warmed(vectors: Matrix, share: float) -> NDArray[np.bool_]:
    """Which rows are at least `share` of the median norm of the non-zero rows, (n,)."""
    norms = np.linalg.norm(vectors, axis=1)
    present = norms > 0
    return present & (norms >= share * np.median(norms[present])) if present.any() else present


def _solved(pairs: sparse.csr_array, fixed: Matrix, section: AlsSection, warm_share: float) -> Matrix:
    """Exactly, from warmed columns only: neither pairs with the others nor their part of the Gram matrix count."""
    warm = warmed(fixed, warm_share)
    inside = warm[pairs.indices]
    starts = np.concatenate(([0], np.cumsum(inside)))[pairs.indptr]
    kept = sparse.csr_array((pairs.data[inside], pairs.indices[inside], starts), shape=pairs.shape)
    return solve_rows(kept, np.where(warm[:, None], fixed, np.float32(0)), section)
