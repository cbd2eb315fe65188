"""Which of some items does a shard hold, and what are their vectors? Gives a user a vector by the items of the session.

A request names items by key, and only their owners know whether they exist and what their vectors are. How queries and replies
look as bytes is `cluster/codec/lookups.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cluster.types import INT64, Keys


@dataclass(frozen=True, slots=True, eq=False)
class LookupQuery:
    """keys: (n,) int64, of the items asked about.  spaces: embedding spaces whose item vectors are wanted."""

    generation: str
    keys: Keys
    spaces: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert self.keys.dtype == INT64 and self.keys.ndim == 1, "keys must be (n,) int64"


@dataclass(frozen=True, slots=True, eq=False)
class LookupReply:
    """known: (n,) bool, aligned with the query's keys.  vectors: space -> (n, dim) float32, zeros for what is not known."""

    generation: str
    known: NDArray[np.bool_]
    vectors: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
