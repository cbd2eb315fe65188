"""The router's requests and answers, independent of HTTP.

`deploy/http/` defines their JSON form and the limits on their sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from cluster.coverage import Coverage
from cluster.filtering import EVERYTHING, Filter
from cluster.types import SlateItem, UnknownValue
from router.removal import Removed

Explain = Literal["none", "funnel", "full"]
"""full: as funnel, and the request is kept for replay, as long as not too many are."""

Circumstance = Literal[
    "unknown_user",
    "no_user_vector",
    "unknown_playlist",
    "unknown_item",
    "pin_refused",
    "cap_relaxed",
    "quota_missed",
]
"""Why an answer is less than it could be although everything works: the user, the request or the catalogue did not allow more.

unknown_user: the store has no such user.  no_user_vector: the user is known, but not in a space that is searched.
unknown_playlist: a playlist was named that is not there.  unknown_item: the request names items that the catalogue does not
have, and is answered as if it did not.  pin_refused: an item that the request pins may not be shown.  cap_relaxed: a group has
more places than its cap, because nothing else was left.  quota_missed: a quota has too few or too many places, likewise.
"""

Fault = Literal[
    "user_store",
    "user_generation",
    "no_source",
    "shard_timeout",
    "shard_failed",
    "shard_loading",
    "ranker_timeout",
    "ranker_failed",
    "ranker_schema",
    "heavy_skipped",
    "heavy_narrowed",
    "slate_rule_skipped",
    "diversity_skipped",
    "fill_failed",
]
"""What the cluster or its configuration did not do. Alerts look at these: only they make a request count as degraded.

user_store: it could not be asked.  user_generation: it holds the user, but of another generation.  no_source: nothing could
propose items.  shard_*: a shard's candidates are missing.  ranker_*: the order is the merged one.  heavy_skipped: the order is
the light model's.  heavy_narrowed: the load let the heavy model see fewer candidates than it should.  slate_rule_skipped: a
rule is about something that the generation does not have.  diversity_skipped: item vectors did not come in time.
fill_failed: a shard proposed items and then could not deliver them.
"""

Degradation = Circumstance | Fault
"""Every way in which an answer can be less than it should be. A closed list: metrics create all of them at start."""

FAULTS: frozenset[Degradation] = frozenset(get_args(Fault))
DEGRADATIONS: tuple[Degradation, ...] = (*get_args(Circumstance), *get_args(Fault))

Stage = Literal["hydrate", "retrieve", "merge", "rank", "slate", "fill"]
STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclass(frozen=True, slots=True)
class StageStats:
    """What one stage did: candidates in and out, what it removed by reason, and its milliseconds."""

    stage: Stage
    n_in: int
    n_out: int
    took_ms: float
    removed: Removed = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pin:
    """An item at a place of the slate, counted from 1, if it may be shown."""

    item_id: str | int
    position: int


@dataclass(frozen=True, slots=True)
class Request:
    """One user's wish for k items.

    exclude_item_ids, basket and viewed are of the generation's id type; the first two are not recommended, the last two tell
    taste.  viewed: in this session, newest first.  playlists: names of lists made by people, to propose from.
    pins: stand before the configured ones; items and positions unique.  seed: of what is drawn at random, None draws one.
    min_coverage: None takes the configured one.  context: values of the ranking models' context features by name, 0
    where missing; `cluster.features.CONTEXT` are filled in from the request.  asked_at: Unix seconds, now if None.
    """

    user_id: str
    k: int
    filter: Filter = EVERYTHING
    exclude_item_ids: tuple[str | int, ...] = ()
    basket: tuple[str | int, ...] = ()
    viewed: tuple[str | int, ...] = ()
    playlists: tuple[str, ...] = ()
    min_coverage: float | None = None
    context: Mapping[str, float] = field(default_factory=dict)
    asked_at: float | None = None
    pins: tuple[Pin, ...] = ()
    seed: int | None = None
    explain: Explain = "none"

    def __post_init__(self) -> None:
        assert self.k >= 1, f"k is {self.k}"


@dataclass(frozen=True, slots=True)
class ShardTrace:
    """How one shard took part. strategies: source -> how it found its hits.  asked_again: the certificate wanted more."""

    shard: int
    replica: str
    took_ms: float
    queue_ms: float
    n_rows: int
    n_eligible: int
    strategies: Mapping[str, str]
    asked_again: bool


@dataclass(frozen=True, slots=True)
class SourceTrace:
    """What one source contributed. asked: its budget.  found: its hits within it, over all shards.

    kept: how many of them are candidates after the merge.  exclusive: how many of those no other source found.  placed: in the
    answer.  took_ms: in the slowest shard.  strategies: how hits were found -> in how many shards.
    """

    source: str
    asked: int
    found: int
    kept: int
    exclusive: int
    placed: int
    took_ms: float
    strategies: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RankTrace:
    """How candidates got their order. quality: the share of ranker.heavy.n_heavy that load allowed.

    n_heavy: how many the heavy model ordered, of n_heavy_full that it should have.  skipped: why it ordered none, "" if it
    had none to order.  took_ms: the whole call; the ranker's own queue_ms, light_ms and heavy_ms are part of it, 0 without
    an answer.  heavy_ms: of the batch that this request was part of.
    """

    quality: float
    n_heavy: int
    n_heavy_full: int
    skipped: str
    took_ms: float
    queue_ms: float = 0.0
    light_ms: float = 0.0
    heavy_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class ExploredPlace:
    """A place where the slate explores. tried: whether its item was drawn, or is the one that stands there anyway.

    propensity: the probability that this item would be shown here, given the places before it.
    """

    rank: int
    item_id: str | int
    tried: bool
    propensity: float


@dataclass(frozen=True, slots=True)
class SlateTrace:
    """What rules did. pinned: ranks of items at their pins.  relaxed: rank -> limits that gave way, nothing else being left.

    missed: quotas that were not reached.  seed: gives the same draws again.
    """

    seed: int
    pinned: tuple[int, ...]
    relaxed: Mapping[int, tuple[str, ...]]
    missed: tuple[str, ...]
    explored: tuple[ExploredPlace, ...]


@dataclass(frozen=True, slots=True)
class Eligibility:
    """What filter and exclusions leave to choose from: n_items of the n_searched in the shards that answered, exactly.

    unknown_values: if nothing is left, values in the filter that none of the searched items has.
    """

    n_items: int
    n_searched: int
    unknown_values: tuple[UnknownValue, ...] = ()


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The answer. items: best first, k of them whenever k eligible items were within reach.

    degraded: unique, in the order in which they happened.  timings_ms: by stage, and "total".  exact_merge: the exact
    sources' lists are the true best of all answering shards.  funnel: a line a stage.  shards, sources,
    rank, slate, unknown_items: filled if explained; rank only if a ranker was asked.  kept: whether it goes to the replay log.
    eligible: what there was to choose from.
    """

    items: tuple[SlateItem, ...]
    coverage: Coverage
    degraded: tuple[Degradation, ...]
    generation: str
    topology_version: int
    timings_ms: Mapping[str, float]
    exact_merge: bool
    funnel: tuple[StageStats, ...]
    shards: tuple[ShardTrace, ...] = ()
    sources: tuple[SourceTrace, ...] = ()
    rank: RankTrace | None = None
    slate: SlateTrace | None = None
    kept: bool = False
    unknown_items: tuple[str | int, ...] = ()
    eligible: Eligibility = Eligibility(0, 0)
