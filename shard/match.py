"""The match features: numbers about a query and an item that need the item's own columns, computed in the shard that has them.

The result is one matrix for all of a shard's candidates; no row depends on the others. `cluster/features.py` names the columns.
Values of the query are used as they are; a value that the item lacks is 0 (an age: -1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cluster.errors import SchemaMismatch
from cluster.features import BASKET_MEMBER, HISTORY_AGE, HISTORY_WEIGHT
from cluster.types import Affinity, Floats, Keys, Query, Rows
from shard._kernel import located
from shard.csr import slices
from shard.filter.attributes import CategoriesColumn, CategoryColumn, Column
from shard.spaces.space import Space


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
        self._dots: list[tuple[int, str, Space]] = []
        self._affinities: list[tuple[int, str, _Affinities]] = []
        self._seeds: dict[str, int] = {}
        # The part that does not depend on the query, by whole rows: one look-up costs less than filling columns one by one.
        self._unasked = np.zeros((len(keys), len(columns)), np.float32)
        for at, column in enumerate(columns):
            kind, _, name = column.partition(".")
            if kind == "dot" and name in spaces:
                self._dots.append((at, name, spaces[name]))
            elif kind == "norm" and name in spaces:
                self._unasked[:, at] = spaces[name].norms
            elif kind == "stat" and name in stats:
                self._unasked[:, at] = stats[name]
            elif kind == "affinity" and isinstance(attributes.get(name), CategoryColumn | CategoriesColumn):
                self._affinities.append((at, name, _Affinities(attributes[name])))
            elif column in (HISTORY_WEIGHT, HISTORY_AGE, BASKET_MEMBER):
                self._seeds[column] = at
                self._unasked[:, at] = -1 if column == HISTORY_AGE else 0
            else:
                raise SchemaMismatch(f"the feature schema has {column}, which this shard cannot compute")

    def matrix(self, query: Query, rows: Rows, keys: Keys) -> NDArray[np.float32]:
        """(m, F) float32 for (m,) rows, ascending, with these keys. InvalidQuery for a vector that does not fit its space."""
        out = self._unasked.take(rows, axis=0)
        for at, name, space in self._dots:
            vector = query.vectors.get(name)
            if vector is not None:
                out[:, at] = space.scores(vector, rows)
        for at, name, weights in self._affinities:
            affinity = query.profile.get(name)
            if affinity is not None:
                out[:, at] = weights.of(affinity, rows)
        self._fill_seeds(query, keys, out)
        return out

    def _fill_seeds(self, query: Query, keys: Keys, out: NDArray[np.float32]) -> None:
        history, basket = query.seeds.get("history"), query.seeds.get("basket")
        if history is not None and (HISTORY_WEIGHT in self._seeds or HISTORY_AGE in self._seeds):
            at, seed = located(keys, history.keys)
            if HISTORY_WEIGHT in self._seeds:
                out[at, self._seeds[HISTORY_WEIGHT]] = history.weights[seed]
            if HISTORY_AGE in self._seeds:
                out[at, self._seeds[HISTORY_AGE]] = history.ages_days[seed]
        if basket is not None and BASKET_MEMBER in self._seeds:
            at, _ = located(keys, basket.keys)
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
            return table.take(self._column.codes.take(rows))
        at, indptr = slices(self._column.indptr, rows)
        best = np.zeros(len(rows), np.float32)
        some = np.flatnonzero(np.diff(indptr))
        if len(some):
            best[some] = np.maximum.reduceat(table[self._column.codes[at]], indptr[some])
        return best
