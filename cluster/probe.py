"""How does one item stand in one shard: may it be returned, which sources propose it, and how many items precede it?

For `why`, which first asks the shard that owns the item, and then the others how many of their items precede it. An answer is
exact where a retrieval may be approximate: a probe looks at every eligible item, so it costs as much as a full scan of each
source. How they look as bytes is `cluster/codec/probes.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cluster.types import FLOAT32, INT64, Floats, Query

Value = str | int | float | bool | None | list[str | int | float | bool | None]
"""What an item may have of an attribute."""


@dataclass(frozen=True, slots=True, eq=False)
class ProbeQuery:
    """query: the request as all shards see it; its `asks` name the sources, how many they ask for does not matter.

    key: of the item.  scores: source -> the item's score there, as its owner said; empty when the owner is asked.
    """

    query: Query
    key: int
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class ProbedItem:
    """An item in the shard that owns it.

    failed: JSON pointers to the filter's operators that keep it out, such as "/filter/must/0/eq".  excluded: whether the query
    excludes it.  values: what it has of the attributes that the filter names, None where it lacks one.
    scores: source -> the score it has there, of the sources that hold it, as if it were eligible.  match: (F,) float32.
    facts: (G + M,) int64 as in a `ShardReply`, None if the query asks for none.
    """

    row: int
    item_id: str | int
    payload: Mapping[str, object]
    failed: tuple[str, ...]
    excluded: bool
    values: Mapping[str, Value]
    scores: Mapping[str, float]
    match: Floats
    facts: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        assert self.match.dtype == FLOAT32 and self.match.ndim == 1, "match must be (F,) float32"
        assert self.facts is None or (self.facts.dtype == INT64 and self.facts.ndim == 1), "facts must be (n,) int64"

    @property
    def eligible(self) -> bool:
        return not self.failed and not self.excluded


@dataclass(frozen=True, slots=True, eq=False)
class ProbeReply:
    """item: None where another shard owns it.  before: source -> eligible items of this shard that stand before it there, of
    the sources in which it has a score.  held: source -> eligible items of this shard that the source holds at all.
    """

    generation: str
    shard: int
    item: ProbedItem | None
    before: Mapping[str, int]
    held: Mapping[str, int]
    took_us: float
