"""The exact rank of one item among a shard's items, source by source, under one query's mask, whatever a retrieval would do.

An item that is not eligible is ranked as if it alone were let in. Every eligible item is scored, so this is for single
questions of people, not for traffic: 23,000 items under ten sources take some 10 ms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from cluster.errors import InvalidQuery
from cluster.filtering import Filter, each_test
from cluster.probe import Value
from cluster.spec import GenerationSpec
from cluster.types import NO_FLOATS, NO_ROWS, Ask, Floats, Keys, Query, Rows
from shard.filter.attributes import BooleanColumn, CategoriesColumn, CategoryColumn, Column
from shard.filter.eligible import Eligible, Mask
from shard.sources import CandidateSource
from shard.spaces.space import Space

_ELSEWHERE = -1


class Standing(NamedTuple):
    """By source: the item's score, how many eligible items of this shard stand before it, how many eligible ones it holds.

    A source that does not hold the item is in `held` alone.
    """

    scores: dict[str, float]
    before: dict[str, int]
    held: dict[str, int]


class Probe:
    """One query and one item's key, over one shard."""

    def __init__(
        self,
        query: Query,
        key: int,
        eligible: Eligible,
        *,
        keys: Keys,
        spaces: Mapping[str, Space],
        sources: Mapping[str, CandidateSource],
        spec: GenerationSpec,
    ) -> None:
        self._query = query
        self._key = key
        self._eligible = eligible
        self._keys = keys
        self._spaces = spaces
        self._sources = sources
        self._spec = spec

    def own(self, row: int) -> Standing:
        """How an item of this shard stands here."""
        return self._standing(_with(self._eligible, row), {}, row, is_extra=not self._eligible.keep(np.array([row]))[0])

    def among(self, scores: Mapping[str, float]) -> Standing:
        """How an item of another shard that has these scores stands among the items of this one."""
        return self._standing(self._eligible, scores, _ELSEWHERE, is_extra=False)

    def _standing(self, eligible: Eligible, scores: Mapping[str, float], row: int, *, is_extra: bool) -> Standing:
        """is_extra: whether the row is among the eligible ones only to be looked at."""
        standing = Standing(dict(scores), {}, {})
        for ask in self._query.asks:
            rows, values = self._all(ask, eligible)
            at = np.flatnonzero(rows == row)
            standing.held[ask.source] = len(rows) - (len(at) if is_extra else 0)
            if len(at):
                standing.scores[ask.source] = float(values[at[0]])
            if ask.source in standing.scores:
                standing.before[ask.source] = self._before(rows, values, standing.scores[ask.source])
        return standing

    def _all(self, ask: Ask, eligible: Eligible) -> tuple[Rows, Floats]:
        """Every eligible row that the source holds, and its score; in any order."""
        source, spec = self._sources.get(ask.source), self._spec.source(ask.source)
        if source is None or spec is None:
            raise InvalidQuery(f"no source {ask.source!r}", field="source", allowed=", ".join(self._sources))
        if spec.kind == "ann":
            vector = self._query.vectors.get(spec.space)
            rows = eligible.rows()
            if vector is None or len(rows) == 0:
                return NO_ROWS, NO_FLOATS
            return rows, self._spaces[spec.space].scores(vector, rows)
        best = source.retrieve(self._query, ask, eligible, eligible.count)
        return best.rows, best.scores

    def _before(self, rows: Rows, scores: Floats, score: float) -> int:
        """How many stand before an item of this score in canonical order."""
        tied = rows[scores == np.float32(score)]
        return int(np.count_nonzero(scores > np.float32(score))) + int(np.count_nonzero(self._keys[tied] < self._key))


def values_of(filter: Filter, attributes: Mapping[str, Column], row: int) -> dict[str, Value]:
    """What a row has of the attributes that a checked filter names."""
    return {test.field: _value(attributes[test.field], row) for _, test in each_test(filter)}


def _value(column: Column, row: int) -> Value:
    if isinstance(column, CategoryColumn):
        code = int(column.codes[row])
        return column.values[code] if code >= 0 else None
    if isinstance(column, CategoriesColumn):
        codes = column.codes[column.indptr[row] : column.indptr[row + 1]]
        return [column.values[code] for code in codes.tolist()] or None
    if isinstance(column, BooleanColumn):
        return bool(column.values[row]) if column.present[row] else None
    number = float(column.values[row])
    return None if np.isnan(number) else number


def _with(eligible: Eligible, row: int) -> Eligible:
    """The same rows and this one."""
    if eligible.keep(np.array([row]))[0]:
        return eligible
    bits = eligible.mask.bits.copy()
    bits[row] = True
    return Eligible(Mask(bits), eligible.excluded[eligible.excluded != row])
