"""What a generation contains, in terms on which all processes agree: its attributes, spaces, sources and feature schema.

Written into the manifest by the build, read by shards and rankers from disk, published to routers with the topology.
It knows nothing of files (`cluster/generation.py`) nor of how anything is computed.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Literal

import msgspec

AttributeKind = Literal["category", "categories", "number", "boolean"]
SourceKind = Literal["tops", "ann", "seeds", "score_all", "item_lists", "quorum"]
Metric = Literal["ip", "cosine", "l2"]
HeavyKind = Literal["catboost", "onnx"]
RankStage = Literal["merged", "light", "heavy"]


class AttributeSpec(msgspec.Struct, frozen=True):
    """A filterable item attribute. `category` is one string, `categories` a set of strings."""

    name: str
    kind: AttributeKind


class FoldIn(msgspec.Struct, frozen=True):
    """What it takes to place a user in a space of implicit ALS by a few items, whose vectors are fixed: see
    `router/planning/session.py`.

    axes: (dim,), the pull of all unobserved pairs towards 0 along each axis, in a basis in which it is diagonal.
    confidence: of one event.  observed: what a pair's confidence is raised by in its pull towards 1.
    regularization * (items + unobserved) ** exponent is the ridge of a user with so many items.
    """

    axes: tuple[float, ...]
    confidence: float
    observed: float
    regularization: float
    unobserved: float
    exponent: float


class SpaceSpec(msgspec.Struct, frozen=True):
    """An embedding space shared by users and items. `recall_target`: what the build calibrated ef_search for.

    fold_in: None where sessions are not placed by least squares; cosine spaces take the mean of directions.
    """

    name: str
    dim: int
    metric: Metric
    recall_target: float
    fold_in: FoldIn | None = None


class SourceSpec(msgspec.Struct, frozen=True):
    """A candidate source. exact: its hits are the true best under its score.  promises_k: it returns min(k, eligible).

    space: for ann and score_all, the embedding space.  seeds: for seeds and item_lists, which of the query's seeds it reads.
    lists: for tops, the kind of its lists, which is what their names begin with; for score_all, the kind that stands in for
    a vector.  table: for item_lists, the item table.
    """

    name: str
    kind: SourceKind
    exact: bool
    promises_k: bool
    space: str = ""
    seeds: str = ""
    lists: str = ""
    table: str = ""


class RankingSpec(msgspec.Struct, frozen=True):
    """The stage that the build's judge chose to order the candidates, if `heavy` is the heavy model.

    stage: "heavy" is light and then heavy, "merged" no model at all.  why: in a line, for people.
    """

    heavy: HeavyKind
    stage: RankStage
    why: str

    @property
    def line(self) -> str:
        serves = "no model serves, candidates stay in their merged order" if self.stage == "merged" else f"{self.stage} serves"
        return f"{serves}; {self.why}"


class FeatureSchema(msgspec.Struct, frozen=True, dict=True):
    """The ranking models' columns, in their order: match features, then score and rank of each source, user, context, crosses.

    Names of match, context and cross features are those of `cluster/features.py`.
    """

    match: tuple[str, ...]
    sources: tuple[str, ...]
    user: tuple[str, ...]
    context: tuple[str, ...]
    crosses: tuple[str, ...] = ()

    def columns(self) -> tuple[str, ...]:
        """Every column's name, in the order in which the ranker assembles them."""
        return (
            *self.match,
            *(f"{s}.score" for s in self.sources),
            *(f"{s}.rank" for s in self.sources),
            *self.user,
            *self.context,
            *self.crosses,
        )

    @cached_property
    def hash(self) -> str:
        """16 hex digits that differ when any name or any position differs. Sent with every ranking call, so made once."""
        return columns_hash(self.columns())


def columns_hash(columns: tuple[str, ...]) -> str:
    """The hash of a schema with these columns: what a model file carries, which knows columns but no groups of them."""
    return hashlib.sha256(json.dumps(columns).encode()).hexdigest()[:16]


class GenerationSpec(msgspec.Struct, frozen=True, dict=True):
    """One generation, described.

    lists: names of the static top lists.  profile: attributes users have affinities for.  tables: names of the item tables.
    quorum: the category attribute of the quorum table, "" without one.  seeds: the seed sets in user records beyond history.
    rankings: an entry for each heavy model that was judged.
    """

    id: str
    created: str
    id_type: Literal["string", "int64"]
    shard_items: tuple[int, ...]
    attributes: tuple[AttributeSpec, ...]
    spaces: tuple[SpaceSpec, ...]
    sources: tuple[SourceSpec, ...]
    lists: tuple[str, ...]
    profile: tuple[str, ...]
    features: FeatureSchema
    tables: tuple[str, ...] = ()
    quorum: str = ""
    seeds: tuple[str, ...] = ()
    rankings: tuple[RankingSpec, ...] = ()

    @property
    def n_shards(self) -> int:
        return len(self.shard_items)

    @cached_property
    def n_items(self) -> int:
        return sum(self.shard_items)

    @cached_property
    def list_names(self) -> frozenset[str]:
        """`lists`, for looking up: there may be thousands."""
        return frozenset(self.lists)

    def attribute(self, name: str) -> AttributeSpec | None:
        return next((a for a in self.attributes if a.name == name), None)

    def space(self, name: str) -> SpaceSpec | None:
        return next((s for s in self.spaces if s.name == name), None)

    def source(self, name: str) -> SourceSpec | None:
        return next((s for s in self.sources if s.name == name), None)

    def ranking(self, heavy: HeavyKind) -> RankingSpec:
        """What was judged with this heavy model. Where nothing was, every model that is there serves."""
        unjudged = RankingSpec(heavy, "heavy", "nothing was judged")
        return next((ranking for ranking in self.rankings if ranking.heavy == heavy), unjudged)
