"""A router and a user store that need no cluster: the smallest things that do what `deploy/` asks of the real ones."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from cluster.cluster_state import ClusterView, ReplicaView
from cluster.coverage import Coverage, MissingShard, ShardCounts
from cluster.deadline import Deadline
from cluster.errors import OskolokError, UnknownItem, UserStoreUnavailable
from cluster.filtering import check_filter
from cluster.spec import AttributeSpec, FeatureSchema, GenerationSpec, SourceSpec, SpaceSpec
from cluster.topology import Address, Replica, ReplicaState, Topology
from cluster.types import SlateItem, UserRecord
from router.observer import Observer, Silent
from router.request import (
    Eligibility,
    ExploredPlace,
    RankTrace,
    Recommendation,
    Request,
    ShardTrace,
    SlateTrace,
    SourceTrace,
    StageStats,
)
from router.why.verdict import Place, Standing, Verdict, Why

SPEC = GenerationSpec(
    id="g-1",
    created="2026-11-24T06:00:00Z",
    id_type="string",
    shard_items=(50, 50, 50, 50),
    attributes=(
        AttributeSpec("a", "category"),
        AttributeSpec("stores", "categories"),
        AttributeSpec("price", "number"),
        AttributeSpec("fresh", "boolean"),
    ),
    spaces=(SpaceSpec("als", 8, "ip", 0.99),),
    sources=(
        SourceSpec("tops", "tops", exact=True, promises_k=True),
        SourceSpec("ann", "ann", exact=False, promises_k=True, space="als"),
    ),
    lists=("7d",),
    profile=(),
    features=FeatureSchema(match=(), sources=("tops", "ann"), user=(), context=()),
)


def topology(*states: ReplicaState, rankers: tuple[ReplicaState, ...] = ("ready", "ready"), version: int = 3) -> Topology:
    """One replica a shard, in these states."""

    def replica(name: str, state: ReplicaState) -> Replica:
        return Replica(name, Address("node", "127.0.0.1", 0, f"/run/{name}.sock"), state)

    return Topology(
        version,
        SPEC,
        tuple((replica(f"shard-{i}", state),) for i, state in enumerate(states)),
        tuple(replica(f"ranker-{i}", state) for i, state in enumerate(rankers)),
    )


def view(*states: ReplicaState, rankers: tuple[ReplicaState, ...] = ("ready", "ready"), version: int = 3) -> ClusterView:
    found = topology(*states, rankers=rankers, version=version)
    rows = [(r, shard) for shard, group in enumerate(found.shards) for r in group] + [(r, -1) for r in found.rankers]
    replicas = tuple(ReplicaView(r.name, shard, r.state, "node", 1, 1, 0.1, "") for r, shard in rows)
    return ClusterView("test", version, 0.0, found, replicas)


RANKED = RankTrace(0.8, 80, 100, "", 2.5, 0.1, 0.3, 0.6)


class FakeRouter:
    """Answers k items; says no to a filter as the real one does; fails or waits when told to."""

    def __init__(self, *, observer: Observer | None = None) -> None:
        self.asked: list[Request] = []
        self.remaining_ms: list[float] = []
        self.fails: BaseException | None = None
        self.waits_s = 0.0
        self.missing_shard = False
        self.in_flight_max = 0
        self._in_flight = 0
        self._observer = observer or Silent()

    async def recommend(self, request: Request, deadline: Deadline) -> Recommendation:
        self.asked.append(request)
        self.remaining_ms.append(deadline.remaining_ms())
        self._in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self._in_flight)
        try:
            if self.waits_s:
                await asyncio.sleep(self.waits_s)
            if self.fails is not None:
                raise self.fails
            check_filter(request.filter, SPEC)
            answer = self._answer(request)
        except OskolokError as error:
            self._observer.refused(error)
            raise
        finally:
            self._in_flight -= 1
        self._observer.answered(answer)
        return answer

    def _answer(self, request: Request) -> Recommendation:
        missing = (MissingShard(2, "shard-2", "timeout", "no reply", 20.1),) if self.missing_shard else ()
        n_ok = 4 - len(missing)
        return Recommendation(
            items=tuple(
                SlateItem(f"item-{rank}", rank, 1.0 / rank, ("ann", "tops"), {"a": "x", "price": 1.5, "stores": ["1"]})
                for rank in range(1, request.k + 1)
            ),
            coverage=Coverage(
                n_ok / 4, 0.0, ShardCounts(4, n_ok, len(missing), 0, 0), missing, {"tops": n_ok / 4, "ann": n_ok / 4}
            ),
            degraded=("shard_timeout",) if missing else (),
            generation=SPEC.id,
            topology_version=3,
            timings_ms={"hydrate": 0.5, "retrieve": 2.25, "total": 3.0},
            exact_merge=True,
            funnel=(StageStats("merge", 100, 80, 0.4, {"beyond_k": 20}),),
            shards=(ShardTrace(0, "shard-0", 2.0, 0.1, 40, 50, {"ann": "hnsw"}, False),),
            sources=(SourceTrace("ann", 300, 290, 280, 70, 8, 1.5, {"hnsw": 3, "scan": 1}),),
            rank=RANKED,
            eligible=Eligibility(50, 200),
            slate=SlateTrace(7, (1,), {2: ("cap.brand",)}, ("quota.new",), (ExploredPlace(2, "item-2", True, 0.25),)),
        )


def why(verdict: Verdict = "not_proposed", **changes: object) -> Why:
    """What may be said of an item that nobody proposed, or with changes of another one."""
    told = Why(
        item_id="item-7",
        user_id="42",
        k=8,
        verdict=verdict,
        rank=0,
        rule="",
        generation=SPEC.id,
        shard=1,
        replica="shard-1",
        payload={"a": "butter", "price": 2.5},
        failed=(),
        excluded_by=(),
        sources=(
            Standing("ann", 0.213, 412, 23_000, 300, 0.241, False),
            Standing("tops", None, None, 1_840, 200, None, False),
        ),
        merge=None,
        hypothetical=True,
        light=Place(57, 401, 100, -1.5),
        heavy=Place(23, 101, 8, 0.25),
        order=Place(23, 401, 8, 0.25),
        would_be=0,
        would_rule="below_cutoff",
        features={"dot.als": 0.213},
        degraded=(),
        seed=0,
        exact=True,
        pushed_cap=0,
        timings_ms={"total": 3.0},
    )
    return replace(told, **changes)  # type: ignore[arg-type]


class FakeInquiry:
    """Knows nothing of item "nobody", and of others what `why` says."""

    def __init__(self) -> None:
        self.asked: list[tuple[Request, str | int]] = []
        self.remaining_ms: list[float] = []

    async def why(self, request: Request, item_id: str | int, deadline: Deadline) -> Why:
        self.asked.append((request, item_id))
        self.remaining_ms.append(deadline.remaining_ms())
        check_filter(request.filter, SPEC)
        if item_id == "nobody":
            raise UnknownItem("no item 'nobody' in generation g-1", field="/item_id")
        return why()


class FakeUsers:
    """A store without users, which can be down."""

    def __init__(self) -> None:
        self.down = False

    @property
    def n_rejected(self) -> int:
        return 0

    async def get(self, user_id: str, generation: str, deadline: Deadline) -> UserRecord | None:
        return None

    async def put_many(self, records: Iterable[UserRecord]) -> int:
        return 0

    async def seal(self, generation: str, mark: str) -> None:
        return None

    async def seal_of(self, generation: str, deadline: Deadline) -> str:
        return ""

    async def forget(self, generation: str) -> int:
        return 0

    async def ping(self, deadline: Deadline) -> None:
        if self.down:
            raise UserStoreUnavailable("connection refused")

    async def close(self) -> None:
        return None
