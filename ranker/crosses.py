"""The cross features: columns a ranker makes of other columns, because no place before it knows both sides.

What an item costs is known to its shard and what a user usually pays to the user's record; here they meet. A curve cannot
divide, and trees need many splits to. Named in `cluster/features.py`; computed by one pass over all candidates of a request.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cluster.errors import SchemaMismatch
from cluster.features import CYCLE_DAYS, FOUND_BY, FOUND_RANK, HISTORY_AGE, HISTORY_DUE
from cluster.spec import FeatureSchema
from cluster.types import Floats

Cross = Callable[[Floats], Floats]
"""From the (n_columns, m) float32 columns before the crosses to one more, (m,)."""

_SHORTEST_CYCLE_DAYS = 1.0


def crosses_of(schema: FeatureSchema) -> tuple[Cross, ...]:
    """In the order of `schema.crosses`. Raises SchemaMismatch for one that cannot be computed from the other columns."""
    at = {name: position for position, name in enumerate(schema.columns())}
    first_rank = len(schema.match) + len(schema.sources)
    ranks = slice(first_rank, first_rank + len(schema.sources))
    return tuple(_cross(name, at, ranks) for name in schema.crosses)


def _cross(name: str, at: dict[str, int], ranks: slice) -> Cross:
    kind, _, of = name.partition(".")
    if name == HISTORY_DUE and {HISTORY_AGE, CYCLE_DAYS} <= at.keys():
        return _due(at[HISTORY_AGE], at[CYCLE_DAYS])
    if kind == "level" and {f"stat.{of}", f"user.mean_{of}"} <= at.keys():
        return _level(at[f"stat.{of}"], at[f"user.mean_{of}"])
    if name == FOUND_BY:
        return lambda columns: np.count_nonzero(~np.isnan(columns[ranks]), axis=0).astype(np.float32)
    if name == FOUND_RANK and ranks.stop > ranks.start:
        return lambda columns: np.fmin.reduce(columns[ranks], axis=0)
    raise SchemaMismatch(f"the feature schema has {name}, which this ranker cannot compute from the other columns")


def _due(age: int, cycle: int) -> Cross:
    def of(columns: Floats) -> Floats:
        days = columns[age]
        due: Floats = np.where(days < 0, np.float32(-1), days / np.maximum(columns[cycle], np.float32(_SHORTEST_CYCLE_DAYS)))
        return due

    return of


def _level(item: int, user: int) -> Cross:
    return lambda columns: np.arcsinh(columns[item]) - np.arcsinh(columns[user])
