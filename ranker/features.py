"""From a rank query to what a model reads: one float32 matrix whose columns stand in the generation's schema order.

Serving and training both come through here, so the two cannot disagree about a column's place or about what a missing value
looks like. Cross features (`ranker/crosses.py`) are made of the others here. The rule: **NaN means missing, and
each model decides what missing is worth.** Source scores and ranks are NaN where the source did not propose the item,
user and context features where nothing is known. Match features are made by our own shards and are never missing. Infinities
are refused everywhere.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cluster.errors import InvalidQuery, SchemaMismatch
from cluster.order import all_finite
from cluster.spec import FeatureSchema
from cluster.types import RankQuery
from ranker.crosses import Cross, crosses_of

Features = NDArray[np.float32]


def assemble(schema: FeatureSchema, query: RankQuery) -> Features:
    """The query's candidates as rows: (m, n_columns) float32, column-major, which is how both models read it fastest.

    Raises SchemaMismatch if the query was made for another schema, InvalidQuery if its arrays do not fit the schema or hold
    a value that the rule above does not allow.
    """
    schema_hash, n_columns, crosses = _shape_of(schema)
    if query.schema_hash != schema_hash:
        raise SchemaMismatch(f"the query has feature schema {query.schema_hash}, this ranker has {schema_hash}")
    m, n_match, n_sources = len(query.keys), len(schema.match), len(schema.sources)
    _expect(query.keys, np.int64, (m,), "keys")
    _expect(query.match, np.float32, (m, n_match), "match")
    _expect(query.source_scores, np.float32, (m, n_sources), "source_scores")
    _expect(query.source_ranks, np.float32, (m, n_sources), "source_ranks")
    _expect(query.user, np.float32, (len(schema.user),), "user")
    _expect(query.context, np.float32, (len(schema.context),), "context")

    columns = np.empty((n_columns, m), np.float32)
    ranks_at = n_match + n_sources
    user_at = ranks_at + n_sources
    context_at = user_at + len(schema.user)
    columns[:n_match] = query.match.T
    columns[n_match:ranks_at] = query.source_scores.T
    columns[ranks_at:user_at] = query.source_ranks.T
    columns[user_at:context_at] = query.user[:, None]
    crosses_at = context_at + len(schema.context)
    columns[context_at:crosses_at] = query.context[:, None]

    if not all_finite(columns[:n_match]):
        raise InvalidQuery("match features must be finite", field="/match")
    if np.isinf(columns[n_match:crosses_at]).any():
        raise InvalidQuery("source, user and context features must not be infinite", field="/source_scores")
    for at, cross in enumerate(crosses, crosses_at):
        columns[at] = cross(columns)
    return columns.T


@lru_cache(maxsize=16)
def _shape_of(schema: FeatureSchema) -> tuple[str, int, tuple[Cross, ...]]:
    """Hash, number of columns and cross features. Hashing costs 10 us, which is a tenth of ranking a request."""
    return schema.hash, len(schema.columns()), crosses_of(schema)


def _expect(array: NDArray[np.generic], dtype: type, shape: tuple[int, ...], name: str) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise InvalidQuery(
            f"{name} must be {np.dtype(dtype)} {shape}, got {array.dtype} {array.shape}", field=f"/{name}", allowed=str(shape)
        )
