"""Vectors for items that nobody has bought yet: the mean vector of their kind, at half its length.

Matrix factorisation gives such items zeros. A zero says nothing to a user, and thousands of equal points ruin an HNSW graph: on
Complete Journey, where a quarter of the catalogue never sold, recall@100 at ef 2,000 was .42 with the zeros and .89 without.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from train.input.catalogue import Catalogue

_SHRINK = 0.5  # an unknown item should not displace a known one of its kind
_SCATTER = 0.01  # of the vector's length, so that no two are equal

Floats = NDArray[np.float32]


def place_cold_items(items: Floats, catalogue: Catalogue, attributes: Sequence[str], *, seed: int) -> Floats:
    """A copy of (n_items, dim) `items` in which no row is zero.

    A zero row becomes half the mean of the other rows with the same value of a category attribute: of the finest attribute in
    which it has company, or of all rows. Plus a little scatter, which depends on the seed alone.
    """
    cold = np.asarray(~items.any(axis=1))
    placed = items.copy()
    if not cold.any() or cold.all():
        return placed
    coded = sorted((catalogue.codes(name) for name in attributes), key=lambda c: len(c[1]), reverse=True)
    everything = (np.zeros(len(items), np.int32), ["everything"])
    waiting = cold.copy()
    for codes, values in (*coded, everything):
        means, have_company = _means(items, codes, len(values), ~cold)
        here = waiting & (codes >= 0) & have_company[codes]
        placed[here] = np.float32(_SHRINK) * means[codes[here]]
        waiting &= ~here
    rows = np.flatnonzero(cold)
    directions = np.random.default_rng(seed).standard_normal((len(rows), items.shape[1]), np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    lengths = np.linalg.norm(placed[rows], axis=1, keepdims=True)
    placed[rows] += np.float32(_SCATTER) * np.maximum(lengths, lengths.mean()) * directions
    return placed


def _means(items: Floats, codes: NDArray[np.int32], n_values: int, warm: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """The mean warm row of each value, (n_values, dim), and which values have one; code -1 belongs to none."""
    rows = np.flatnonzero(warm & (codes >= 0))
    order = rows[np.argsort(codes[rows], kind="stable")]
    present, begins, counts = np.unique(codes[order], return_index=True, return_counts=True)
    means = np.zeros((n_values, items.shape[1]), np.float32)
    if len(present):
        means[present] = np.add.reduceat(items[order], begins, axis=0) / counts[:, None].astype(np.float32)
    have = np.zeros(n_values + 1, bool)  # the last is what code -1 looks up
    have[present] = True
    return means, have
