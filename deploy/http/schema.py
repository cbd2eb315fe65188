"""The HTTP bodies, in JSON and msgpack. Unknown fields and loose types are refused.

`deploy/http/decoding.py` decodes them from bytes; `deploy/http/convert.py` checks them against limits and turns them into the
router's types. Most of an answer needs no conversion: msgspec encodes the router's own dataclasses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from cluster.cluster_state import ClusterView
from cluster.coverage import Coverage
from cluster.spec import RankingSpec
from cluster.types import SlateItem
from deploy.http.readiness import ClusterState
from deploy.problems import Problem
from router.request import Degradation, Eligibility, Explain, RankTrace, ShardTrace, SlateTrace, SourceTrace
from router.why.verdict import Why

Format = Literal["json", "msgpack"]
Scalar = str | bool | int | float
Id = Annotated[str | int, Meta(description='text or a 64-bit integer; 42 and "42" are the same id')]
"""`router/planning/ids.py` puts items' ids in the catalogue's type; users' are text."""


class ConditionBody(Struct, frozen=True, forbid_unknown_fields=True, rename={"in_": "in"}):
    """A test of one attribute: the field and one operator, or a lower and an upper bound. Or a group: any_of, all_of or none_of
    some conditions. An item that lacks the attribute fails every test of it, ne too.
    """

    field: str | UnsetType = UNSET
    eq: Scalar | UnsetType = UNSET
    ne: Scalar | UnsetType = UNSET
    in_: list[Scalar] | UnsetType = UNSET
    gt: int | float | UnsetType = UNSET
    gte: int | float | UnsetType = UNSET
    lt: int | float | UnsetType = UNSET
    lte: int | float | UnsetType = UNSET
    any_of: list[ConditionBody] | UnsetType = UNSET
    all_of: list[ConditionBody] | UnsetType = UNSET
    none_of: list[ConditionBody] | UnsetType = UNSET


class FilterBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Items are returned if every `must` holds and no `must_not` does."""

    must: list[ConditionBody] | None = None
    must_not: list[ConditionBody] | None = None


class ContextBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The user's session. Basket and viewed items show the user's taste; items in the basket are not recommended."""

    basket: list[Id] | None = None
    viewed: Annotated[list[Id] | None, Meta(description="items viewed in this session, newest first")] = None
    playlists: Annotated[list[str] | None, Meta(description="names of playlists to propose from")] = None


class PinBody(Struct, frozen=True, forbid_unknown_fields=True):
    """An item at a position of the slate, counted from 1, if it may be shown."""

    item_id: Id
    position: int


class WishBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A user's request, and how long the answer may take. null in an optional field counts as leaving it out."""

    user_id: Id
    k: Annotated[int | None, Meta(description="number of items; slate.k_default if left out")] = None
    filter: FilterBody | None = None
    exclude_item_ids: list[Id] | None = None
    context: ContextBody | None = None
    pins: list[PinBody] | None = None
    seed: Annotated[int | None, Meta(description="seed of random draws; drawn at random if left out")] = None
    timeout_ms: Annotated[int | None, Meta(description="the time budget; deadline.default_ms if left out")] = None


class RecommendBody(WishBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """POST /v1/recommend. An unknown user gets bestsellers or the session's items, and `degraded: ["unknown_user"]`."""

    min_coverage: Annotated[float | None, Meta(description="share of the items that must be searched")] = None
    explain: Annotated[
        Explain | None,
        Meta(description="funnel: also say what every stage did; full: also keep the request for replay"),
    ] = None


class WhyBody(WishBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """POST /v1/why: a request, and the item in question. The time budget is deadline.max_ms if left out."""

    item_id: Id


class BatchBody(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/recommend/batch. The time budget is for the whole batch; each request succeeds or fails alone.

    requests: an array of RecommendBody, each decoded on its own.
    """

    requests: msgspec.Raw
    timeout_ms: Annotated[int | None, Meta(description="the time budget; deadline.max_ms if left out")] = None


class GenerationBody(Struct, frozen=True):
    """The generation of items and models, and the version of the topology, from which the answer came."""

    id: str
    topology: int


class FunnelRow(Struct, frozen=True, rename={"n_in": "in", "n_out": "out"}):
    """One stage: candidates in and out, and what it removed, by reason."""

    stage: str
    n_in: int
    n_out: int
    took_ms: float
    removed: Mapping[str, int]


class ExplainBody(Struct, frozen=True):
    """How the answer came about, on request. unknown_items: those that the request names and the catalogue does not have."""

    funnel: tuple[FunnelRow, ...]
    sources: tuple[SourceTrace, ...]
    shards: tuple[ShardTrace, ...]
    rank: RankTrace | None
    slate: SlateTrace | None
    kept: Annotated[bool, Meta(description="whether the request is kept for replay, see observability.replay_asked_per_s")] = (
        False
    )
    unknown_items: tuple[Id, ...] = ()


class RecommendationBody(Struct, frozen=True):
    """The answer to POST /v1/recommend."""

    request_id: str
    items: tuple[SlateItem, ...]
    coverage: Coverage
    degraded: tuple[Degradation, ...]
    generation: GenerationBody
    timings_ms: Mapping[str, float]
    exact_merge: bool
    eligible: Eligibility
    explain: ExplainBody | None = None


class AnsweredBy(Struct, frozen=True):
    """The router that answered."""

    node_id: str
    pid: int


class ClusterBody(Struct, frozen=True):
    """The answer to GET /v1/cluster. checks: the lines of /readyz?verbose.  cluster, ranking: null before the first view.

    published: the generation that was published last, which serves from the next start on; "" if that cannot be told.
    """

    state: ClusterState
    checks: tuple[str, ...]
    answered_by: AnsweredBy
    cluster: ClusterView | None
    ranking: RankingSpec | None
    published: str = ""


class WhyAnswer(Struct, frozen=True):
    """The answer to POST /v1/why."""

    request_id: str
    why: Why


class BatchResult(Struct, frozen=True, omit_defaults=True):
    """The result of one request: either a recommendation, or the problem that a single request would have got."""

    status: int
    recommendation: RecommendationBody | None = None
    problem: Problem | None = None


class BatchAnswer(Struct, frozen=True):
    """The answer to POST /v1/recommend/batch, aligned with its requests."""

    request_id: str
    results: tuple[BatchResult, ...]


to_json = msgspec.json.Encoder().encode
to_msgpack = msgspec.msgpack.Encoder().encode
