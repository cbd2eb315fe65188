"""The match features: numbers about this query and this item that need the item's own columns, computed where those are.

One matrix for all of a shard's candidates, a row never depending on the others beside it. The columns are named in
`cluster/features.py`; what the query says is taken as it is, what the item lacks is 0 (an age: -1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cluster.errors import SchemaMismatch
from cluster.features import BASKET_MEMBER, HISTORY_AGE, HISTORY_WEIGHT
from cluster.types import Affinity, Floats, Keys, Query, Rows, Seeds
from shard.attributes import CategoriesColumn, CategoryColumn, Column, slices
from shard.space import Space


class MatchFeatures:
    """Computes the columns of one feature schema over one shard's rows."""

    def __init__(
        self,
        columns: Sequence[str],
        *,
        keys: Keys,
        stats: Mapping[str, Floats],
        spaces: Mapping[str, Space],
        attributes: Mapping[str, Column],
    ) -> None:
        """Raises SchemaMismatch for a column that this shard cannot compute."""
        self._keys = keys
        self._n_columns = len(columns)
        self._dots: list[tuple[int, str, Space]] = []
        self._affinities: list[tuple[int, str, _Affinities]] = []
        self._seeds: dict[str, int] = {}
        fixed: list[tuple[int, Floats]] = []
        for at, column in enumerate(columns):
            kind, _, name = column.partition(".")
            if kind == "dot" and name in spaces:
                self._dots.append((at, name, spaces[name]))
            elif kind == "norm" and name in spaces:
                fixed.append((at, spaces[name].norms))
            elif kind == "stat" and name in stats:
                fixed.append((at, stats[name]))
            elif kind == "affinity" and isinstance(attributes.get(name), CategoryColumn | CategoriesColumn):
                self._affinities.append((at, name, _Affinities(attributes[name])))
            elif column in (HISTORY_WEIGHT, HISTORY_AGE, BASKET_MEMBER):
                self._seeds[column] = at
            else:
                raise SchemaMismatch(f"the feature schema wants {column}, which this shard cannot compute")
        self._fixed_at = np.array([at for at, _ in fixed], np.intp)
        self._fixed = np.ascontiguousarray(np.stack([values for _, values in fixed], axis=1)) if fixed else None

    def matrix(self, query: Query, rows: Rows) -> NDArray[np.float32]:
        """(m, F) float32 for (m,) rows, ascending. Raises InvalidQuery for a vector that does not fit its space."""
        out = np.zeros((len(rows), self._n_columns), np.float32)
        if self._fixed is not None:
            out[:, self._fixed_at] = self._fixed[rows]
        for at, name, space in self._dots:
            vector = query.vectors.get(name)
            if vector is not None:
                out[:, at] = space.scores(vector, rows)
        for at, name, weights in self._affinities:
            affinity = query.profile.get(name)
            if affinity is not None:
                out[:, at] = weights.of(affinity, rows)
        self._fill_seeds(query, rows, out)
        return out

    def _fill_seeds(self, query: Query, rows: Rows, out: NDArray[np.float32]) -> None:
        keys = self._keys[rows]
        if HISTORY_AGE in self._seeds:
            out[:, self._seeds[HISTORY_AGE]] = -1
        history, basket = query.seeds.get("history"), query.seeds.get("basket")
        if history is not None and (HISTORY_WEIGHT in self._seeds or HISTORY_AGE in self._seeds):
            at, seed = _members(keys, history)
            if HISTORY_WEIGHT in self._seeds:
                out[at, self._seeds[HISTORY_WEIGHT]] = history.weights[seed]
            if HISTORY_AGE in self._seeds:
                out[at, self._seeds[HISTORY_AGE]] = history.ages_days[seed]
        if basket is not None and BASKET_MEMBER in self._seeds:
            at, _ = _members(keys, basket)
            out[at, self._seeds[BASKET_MEMBER]] = 1


class _Affinities:
    """One attribute's weights: a table by value code, whose last place (code -1) belongs to items without a value."""

    def __init__(self, column: Column) -> None:
        assert isinstance(column, CategoryColumn | CategoriesColumn), "affinities are to values of categories"
        self._column = column
        self._code = {value: at for at, value in enumerate(column.values)}

    def of(self, affinity: Affinity, rows: Rows) -> Floats:
        table = np.zeros(len(self._code) + 1, np.float32)
        for value, weight in zip(affinity.values, affinity.weights.tolist(), strict=True):
            code = self._code.get(value)
            if code is not None:
                table[code] = weight
        if isinstance(self._column, CategoryColumn):
            return table[self._column.codes[rows]]
        at, indptr = slices(self._column.indptr, rows)
        best = np.zeros(len(rows), np.float32)
        some = np.flatnonzero(np.diff(indptr))
        if len(some):
            best[some] = np.maximum.reduceat(table[self._column.codes[at]], indptr[some])
        return best


def _members(keys: Keys, seeds: Seeds) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which of some ascending keys are seeds: their positions, and each one's position among the seeds."""
    if len(keys) == 0:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    at = np.searchsorted(keys, seeds.keys)
    at[at == len(keys)] = 0
    seed = np.flatnonzero(keys[at] == seeds.keys)
    return at[seed], seed
