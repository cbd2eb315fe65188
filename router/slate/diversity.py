"""Which item is the best next one if it should also be unlike those before it: MMR and DPP over item vectors.

Both are greedy, weigh the value of a place against the cosine of item vectors, and cost O(d) per item and place for d
diversified items. An item without a vector is unlike all others. They know nothing of caps: `allowed` says what may be chosen.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cluster.config.slate import Diversity
from cluster.types import Floats

Matrix = NDArray[np.float32]
Values = NDArray[np.float64]

_SPANNED = 1e-6  # share of an item's own volume below which it adds nothing to those chosen but rounding


class Gains(Protocol):
    """What each of d items would add to those chosen so far."""

    def best(self, allowed: NDArray[np.bool_]) -> int:
        """The position of the allowed item that adds most, the first of equals; -1 if none is allowed or adds anything."""
        ...

    def chosen(self, at: int) -> None:
        """This item was chosen."""
        ...


def gains_of(told: Diversity, unit: Matrix, values: Values, *, n_places: int) -> Gains:
    """unit: (d, dim) vectors of length 1 or 0.  values: (d,), descending.  n_places: how many are chosen at most."""
    if told.method == "mmr":
        return Mmr(unit, values, relevance=told.relevance)
    return Dpp(unit, values, relevance=told.relevance, n_places=n_places)


class Mmr:
    """Maximal marginal relevance (Carbonell, Goldstein 1998).

    Gain: relevance * value - (1 - relevance) * cosine to the nearest of those chosen. A cosine
    below 0 counts as 0: being the opposite of something is no merit.
    """

    def __init__(self, unit: Matrix, values: Values, *, relevance: float) -> None:
        self._unit = unit
        self._worth = relevance * values
        self._weight = 1 - relevance
        self._nearest: Floats = np.zeros(len(unit), np.float32)

    def best(self, allowed: NDArray[np.bool_]) -> int:
        gains = np.where(allowed, self._worth - self._weight * self._nearest, -np.inf)
        return _first_largest(gains)

    def chosen(self, at: int) -> None:
        np.maximum(self._nearest, self._unit @ self._unit[at], out=self._nearest)


class Dpp:
    """Greedy MAP of a determinantal point process, with an incremental Cholesky factor (Chen et al. 2018, algorithm 1).

    Kernel: diag(q) S diag(q) with the cosines S and q = exp(a * value), a = relevance / (2 (1 - relevance)): the log of a
    set's probability is then relevance * sum of values + (1 - relevance) * log det S, up to a factor.
    """

    def __init__(self, unit: Matrix, values: Values, *, relevance: float, n_places: int) -> None:
        self._unit = unit
        self._quality = np.exp(relevance / (2 * (1 - relevance)) * (values - values.max(initial=0)))
        own = self._quality**2
        self._left = own.copy()  # each item's volume beyond the span of those chosen
        self._nothing = _SPANNED * own
        self._factor = np.zeros((n_places, len(unit)))
        self._n_chosen = 0

    def best(self, allowed: NDArray[np.bool_]) -> int:
        return _first_largest(np.where(allowed & (self._left > self._nothing), self._left, -np.inf))

    def chosen(self, at: int) -> None:
        if self._left[at] <= self._nothing[at] or self._n_chosen == len(self._factor):
            return
        cosines = self._unit @ self._unit[at]
        cosines[at] = 1  # of an item with itself, also where it has no vector
        row = self._quality[at] * self._quality * cosines
        known = self._factor[: self._n_chosen]
        row = (row - known[:, at] @ known) / np.sqrt(self._left[at])
        self._factor[self._n_chosen] = row
        self._n_chosen += 1
        self._left -= row * row


def _first_largest(gains: Values) -> int:
    if len(gains) == 0:
        return -1
    at = int(gains.argmax())
    return at if gains[at] > -np.inf else -1
