"""What travels between the parts: queries, replies, candidates. Frozen structs of arrays, checked where made.

How they look on the wire is `cluster/codec/messages.py`; how they look in JSON is `deploy/http/schema.py`. Arrays are aligned
by position; m counts candidates, h hits of one source, F match features, S sources. An array in a value that was made is never
written to again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.filtering import EVERYTHING, Filter

Keys = NDArray[np.int64]
Rows = NDArray[np.int32]
Floats = NDArray[np.float32]

INT64, INT32, FLOAT32 = np.dtype(np.int64), np.dtype(np.int32), np.dtype(np.float32)
"""To compare with: against a scalar type numpy looks the dtype up each time, which costs five times as much."""

NO_KEYS: Keys = np.empty(0, np.int64)
NO_ROWS: Rows = np.empty(0, np.int32)
NO_FLOATS: Floats = np.empty(0, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Seeds:
    """Items that stand for a user's taste: bought before, in the basket. Aligned arrays (s,), keys unique.

    weights: float32, how strongly (a decayed count).  ages_days: float32, since the last such event, 0 where unknown.
    """

    keys: Keys
    weights: Floats
    ages_days: Floats

    def __post_init__(self) -> None:
        _check(self.keys, INT64, "keys")
        _check(self.weights, FLOAT32, "weights", len(self.keys))
        _check(self.ages_days, FLOAT32, "ages_days", len(self.keys))


@dataclass(frozen=True, slots=True, eq=False)
class Affinity:
    """How much of a user's activity falls on each value of an attribute: aligned, weights (v,) summing to about 1."""

    values: tuple[str, ...]
    weights: Floats

    def __post_init__(self) -> None:
        _check(self.weights, FLOAT32, "weights", len(self.values))


@dataclass(frozen=True, slots=True, eq=False)
class UserRecord:
    """What the user store keeps of one user, of one generation.

    vectors: embedding space -> (dim,) float32.  profile: attribute -> affinity.  features: (U,) float32 in the order of
    the generation's user features.  history: newest purchases, also what "seen" means.  seeds: the generation's further
    seed sets, such as "favourites".
    """

    user_id: str
    generation: str
    vectors: Mapping[str, Floats]
    history: Seeds
    profile: Mapping[str, Affinity]
    features: Floats
    seeds: Mapping[str, Seeds] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ask:
    """How many hits one source of one shard shall send. `lists`: for tops, the named lists and their weights."""

    source: str
    k: int
    lists: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """A hydrated request as every shard sees it. The same object goes to all shards and is encoded once.

    exclude: item keys never to return, ascending and unique.  vectors: space -> (dim,) float32.
    seeds: by name, "history", "basket" and the record's further ones.  profile: as in the user record.
    include: item keys that are candidates if they are eligible, proposed by a source or not; ascending and unique.
    group_by: category attributes, and marks: filters; for both, replies tell in `facts` how each candidate stands to them.
    cap: of a source's hits at most so many have one value of the first attribute of `group_by`, the others are left out
    (`cluster/capping.py`); 0 = no cap.  named: item keys that the request names, of which each shard replies those that it
    has; ascending and unique.
    """

    generation: str
    asks: tuple[Ask, ...]
    filter: Filter = EVERYTHING
    exclude: Keys = field(default_factory=lambda: NO_KEYS)
    vectors: Mapping[str, Floats] = field(default_factory=dict)
    seeds: Mapping[str, Seeds] = field(default_factory=dict)
    profile: Mapping[str, Affinity] = field(default_factory=dict)
    include: Keys = field(default_factory=lambda: NO_KEYS)
    group_by: tuple[str, ...] = ()
    marks: tuple[Filter, ...] = ()
    cap: int = 0
    named: Keys = field(default_factory=lambda: NO_KEYS)

    def __post_init__(self) -> None:
        _check(self.exclude, INT64, "exclude")
        _check(self.include, INT64, "include")
        _check(self.named, INT64, "named")
        assert self.cap == 0 or self.group_by, "a cap needs an attribute whose groups it caps"
        for vector in self.vectors.values():
            _check(vector, FLOAT32, "vector")


@dataclass(frozen=True, slots=True, eq=False)
class SourceHits:
    """One source's answer in one shard.

    members: (h,) int32, positions in the reply's candidates, best first.  scores: (h,) float32, aligned with it.
    more: whether the source has further hits; if so (next_score, next_key) is the best of them, which bounds all of
    them.  strategy: how the hits were found, for people and metrics.
    """

    source: str
    members: Rows
    scores: Floats
    more: bool
    next_score: float
    next_key: int
    strategy: str
    took_us: float

    def __post_init__(self) -> None:
        _check(self.members, INT32, "members")
        _check(self.scores, FLOAT32, "scores", len(self.members))


@dataclass(frozen=True, slots=True)
class UnknownValue:
    """A value of a category that a filter names and no item has. did_you_mean: one that items have and that differs in case,
    spaces and punctuation only; "" if there is none.
    """

    field: str
    value: str
    did_you_mean: str


@dataclass(frozen=True, slots=True, eq=False)
class ShardReply:
    """One shard's candidates for one query: the union of its sources' hits and what must be included, by ascending key.

    rows: (m,) int32 in the shard.  keys: (m,) int64.  match: (m, F) float32.
    n_eligible: items of this shard that pass filter and exclusions, exactly.
    facts: (m, G + M) int64: for each attribute of the query's `group_by` the `cluster.partition.item_key` of the candidate's
    value, so that a value has the same code in every shard, 0 where it has none; then for each of its `marks` 1 or 0.
    named: of the query's named keys those that this shard has, eligible or not, in their order.
    unknown_values: of a filter that no item of this shard passes, the first values that none of them has.
    """

    generation: str
    shard: int
    rows: Rows
    keys: Keys
    match: NDArray[np.float32]
    sources: tuple[SourceHits, ...]
    n_items: int
    n_eligible: int
    took_us: float
    queue_us: float = 0.0
    facts: NDArray[np.int64] | None = None
    named: Keys = field(default_factory=lambda: NO_KEYS)
    unknown_values: tuple[UnknownValue, ...] = ()

    def __post_init__(self) -> None:
        _check(self.named, INT64, "named")
        _check(self.rows, INT32, "rows")
        _check(self.keys, INT64, "keys", len(self.rows))
        _check_facts(self.facts, len(self.rows))
        assert self.match.dtype == FLOAT32 and self.match.ndim == 2, "match must be (m, F) float32"
        assert len(self.match) == len(self.rows), f"match has {len(self.match)} rows for {len(self.rows)} candidates"


@dataclass(frozen=True, slots=True, eq=False)
class FetchQuery:
    """Payloads of a shard's rows, and whether each still passes the filter now. rows: (r,) int32.

    vectors: an embedding space whose item vectors are wanted and not the payloads, which are then left empty.
    """

    generation: str
    rows: Rows
    filter: Filter = EVERYTHING
    vectors: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class FetchReply:
    """Aligned with the query's rows. payloads: attribute -> plain JSON value.  eligible: (r,) bool.

    vectors: (r, dim) float32, None unless asked for.
    """

    generation: str
    item_ids: tuple[str | int, ...]
    payloads: tuple[dict[str, object], ...]
    eligible: NDArray[np.bool_]
    vectors: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Merged hits of all shards, waiting for ranking, best merged score first (score descending, key ascending).

    shard: (m,) int32 and rows: (m,) int32 are an item's address.  scores: (m,) float32, the fused score.
    source_scores: (m, S) float32, NaN where the source did not propose the item.  source_ranks: (m, S) float32, from 1,
    NaN likewise.  match: (m, F) float32.  `sources` names the S columns, in the generation's order.  facts: (m, G + M) int64
    as in the replies, None if the query did not ask for any.
    """

    sources: tuple[str, ...]
    shard: Rows
    rows: Rows
    keys: Keys
    scores: Floats
    source_scores: NDArray[np.float32]
    source_ranks: NDArray[np.float32]
    match: NDArray[np.float32]
    facts: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        _check_facts(self.facts, len(self.keys))

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True, eq=False)
class RankQuery:
    """Candidates on their way to a ranker, plus what they have in common: user features (U,) and context features (C,).

    `schema_hash` names the feature schema; a ranker that holds another refuses. n_heavy: rows for the heavy model.
    """

    generation: str
    schema_hash: str
    keys: Keys
    match: NDArray[np.float32]
    source_scores: NDArray[np.float32]
    source_ranks: NDArray[np.float32]
    user: Floats
    context: Floats
    n_heavy: int


LATE = "deadline"
"""Why the heavy model was skipped: it could not have answered in time."""


@dataclass(frozen=True, slots=True, eq=False)
class RankReply:
    """The order of a RankQuery's rows, best first: what the heavy model scored, then the rest by the light one.

    order: (m,) int32, a permutation.  scores: (m,) float32, aligned with order; scores of the two phases are not
    comparable with each other.  n_heavy: how many leading rows the heavy model scored.  skipped: why it scored
    none (LATE, "failed", "nonfinite"), or "".
    """

    order: Rows
    scores: Floats
    n_heavy: int
    skipped: str
    light_us: float
    heavy_us: float
    queue_us: float


@dataclass(frozen=True, slots=True)
class SlateItem:
    """One recommended item: the only place where items are objects."""

    item_id: str | int
    rank: int
    score: float
    sources: tuple[str, ...]
    payload: Mapping[str, object]


def _check_facts(facts: NDArray[np.int64] | None, n_rows: int) -> None:
    assert facts is None or (facts.dtype == INT64 and facts.ndim == 2 and len(facts) == n_rows), "facts must be (m, n) int64"


def _check(array: np.ndarray, dtype: np.dtype[Any], name: str, length: int | None = None) -> None:
    assert array.dtype == dtype and array.ndim == 1, f"{name} must be 1-d {dtype}, got {array.dtype} {array.shape}"
    assert length is None or len(array) == length, f"{name} has {len(array)} entries, expected {length}"
