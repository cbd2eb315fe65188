"""Why, and why not: the answer agrees with the slate that is returned, for every item of the catalogue, whatever is asked."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.clients.local import LocalRankerClient
from cluster.clients.protocols import Fleet, RankerClient, ShardClient
from cluster.codec import probes as probe_codec
from cluster.deadline import Deadline
from cluster.errors import OskolokError, Overloaded, ShardUnavailable, UnknownItem
from cluster.filtering import EVERYTHING, Condition, Filter
from cluster.partition import shard_of
from cluster.probe import ProbeQuery, ProbeReply
from cluster.spec import GenerationSpec
from cluster.types import FetchQuery, FetchReply, Query, ShardReply
from ranker.ranker import Ranker
from router.request import Pin, Recommendation, Request
from router.router import Router
from router.why.inquiry import Inquiry
from router.why.verdict import VERDICTS, Why
from shard.shard import Shard
from tests.router.asking import sections
from tests.router.fakes import DictStore, failing
from tests.router.test_real_shards import WireShard, a_user
from tests.shard.worlds import World, filters


class ProbedShard(WireShard):
    async def probe(self, query: ProbeQuery, deadline: Deadline) -> ProbeReply:
        reply = self.shard.probe(probe_codec.decode_probe_query(probe_codec.encode_probe_query(query)))
        return probe_codec.decode_probe_reply(probe_codec.encode_probe_reply(reply))


class DeadShard(ProbedShard):
    """dies: at the first thing it is asked of these."""

    def __init__(self, shard: Shard, *dies: str) -> None:
        super().__init__(shard)
        self.dies = dies

    async def retrieve(self, query: Query, deadline: Deadline) -> ShardReply:
        return await (failing(ShardUnavailable("gone")) if "retrieve" in self.dies else super().retrieve(query, deadline))

    async def fetch(self, query: FetchQuery, deadline: Deadline) -> FetchReply:
        return await (failing(ShardUnavailable("gone")) if "fetch" in self.dies else super().fetch(query, deadline))

    async def probe(self, query: ProbeQuery, deadline: Deadline) -> ProbeReply:
        return await (failing(ShardUnavailable("gone")) if "probe" in self.dies else super().probe(query, deadline))


class Column:
    """A model that scores a candidate by one column, NaN as nothing, and then backwards or not."""

    def __init__(self, spec: GenerationSpec, column: str, sign: int) -> None:
        self.columns = spec.features.columns()
        self._at, self._sign = self.columns.index(column), np.float32(sign)

    def score(self, features: np.ndarray) -> np.ndarray:
        return self._sign * np.nan_to_num(features[:, self._at])


class Asked:
    """A world behind a router, and both questions put to it."""

    def __init__(self, world: World, n_shards: int = 3, *, known: bool = True, models: bool = True, **changes: object) -> None:
        self.world = world
        owner = shard_of(world.keys, n_shards)
        self.shards: list[ShardClient] = [ProbedShard(s) for s in world.shards(owner.tolist(), n_shards)]
        spec = world.spec(np.bincount(owner, minlength=n_shards).tolist())
        light, heavy = Column(spec, "dot.taste", 1), Column(spec, "stat.trend", -1)
        ranker: RankerClient | None = LocalRankerClient(Ranker(spec, light=light, heavy=heavy)) if models else None
        self.fleet = Fleet(1, spec, tuple(self.shards), ranker)
        store = DictStore(a_user(world, 1)) if known else DictStore()
        chosen: dict = {
            "sources": {"tops": {"group_by": "brand", "k": 7}, "ann": {"k": 5}},
            "merge": {"n_light": 8},
            "ranker": {"light": {"enabled": models}, "heavy": {"enabled": models, "n_heavy": 6}},
            **changes,
        }
        self.sections = sections(**chosen)
        self.router = Router(lambda: self.fleet, store, self.sections)
        self.inquiry = Inquiry(self.router)

    def kill(self, shard: int, *dies: str) -> None:
        parts = list(self.fleet.shards)
        inner = parts[shard]
        assert isinstance(inner, WireShard)
        parts[shard] = DeadShard(inner.shard, *dies)
        self.fleet = replace(self.fleet, shards=tuple(parts))

    def recommend(self, k: int = 5, **more: object) -> Recommendation:
        request = Request(user_id="u", k=k, **more)  # type: ignore[arg-type]
        return asyncio.run(self.router.recommend(request, Deadline.after_ms(5_000)))

    def why(self, item: str | int, k: int = 5, budget_ms: float = 5_000, **more: object) -> Why:
        request = Request(user_id="u", k=k, **more)  # type: ignore[arg-type]
        return asyncio.run(self.inquiry.why(request, item, Deadline.after_ms(budget_ms)))


@settings(deadline=None, max_examples=12)
@given(
    seed=st.integers(0, 10**6),
    n_items=st.integers(1, 25),
    n_shards=st.integers(1, 4),
    k=st.integers(1, 12),
    known=st.booleans(),
    models=st.booleans(),
    chosen=st.one_of(st.just(EVERYTHING), filters()),
    slate=st.sampled_from(
        [
            {},
            {"caps": ({"attribute": "brand", "max": 2},)},
            {"boosts": ({"attribute": "brand", "values": ("acme",), "multiply": 3},)},
        ]
    ),
)
def test_every_item_is_told_what_became_of_it(
    seed: int, n_items: int, n_shards: int, k: int, known: bool, models: bool, chosen: Filter, slate: dict
) -> None:
    asked = Asked(World.drawn(seed, n_items), n_shards, known=known, models=models, slate=slate)
    excluded = tuple(asked.world.item_ids[:2])
    shown = {item.item_id: item.rank for item in asked.recommend(k, filter=chosen, exclude_item_ids=excluded).items}
    for row, item in enumerate(asked.world.item_ids):
        why = asked.why(item, k, filter=chosen, exclude_item_ids=excluded)
        assert why.item_id == item and why.rank == shown.get(item, 0)
        assert (why.verdict == "recommended") == (item in shown)
        assert (why.verdict == "excluded") == (item in excluded)
        assert bool(why.failed) == (not asked.world.passes(row, chosen))
        assert (why.verdict == "filtered") == (bool(why.failed) and item not in excluded)
        assert why.exact and why.verdict not in ("undelivered", "shard_missing")
        if why.verdict == "not_proposed":
            assert not any(s.proposed for s in why.sources)
            assert all(s.rank is None or s.rank > s.budget for s in why.sources)
        if why.verdict == "merged_too_low":
            assert why.merge is not None and why.merge.rank > why.merge.limit
        for s in why.sources:
            if s.proposed and s.rank is not None and not why.pushed_cap:
                assert s.rank <= s.budget
        if not why.hypothetical and models:
            assert why.order is not None and why.light is not None and why.light.rank <= why.light.among
        assert why.verdict in VERDICTS


def test_what_kept_an_item_out_is_said_by_name() -> None:
    asked = Asked(World.drawn(5, 60, ties=False), slate={"caps": ({"attribute": "brand", "max": 1},)})
    whys = [asked.why(item) for item in asked.world.item_ids]
    verdicts = Counter(why.verdict for why in whys)
    assert verdicts["recommended"] == 5
    assert {"not_proposed", "merged_too_low", "rule"} <= set(verdicts)
    assert {why.rule for why in whys if why.verdict == "rule"} == {"cap.brand"}
    for why in whys:
        assert why.hypothetical == (why.verdict in ("not_proposed", "merged_too_low"))
        assert why.light is not None and why.heavy is not None and why.order is not None
        if why.hypothetical:
            assert bool(why.would_be) != bool(why.would_rule)


def test_a_hypothetical_place_is_the_one_it_has_once_it_is_a_candidate() -> None:
    """A pin makes a candidate of what nobody proposed: the models then see the very same row."""
    asked = Asked(World.drawn(8, 80, ties=False))
    absent = next(why for item in asked.world.item_ids if (why := asked.why(item)).verdict == "not_proposed")
    pinned = asked.why(str(absent.item_id), pins=(Pin(absent.item_id, 5),))
    assert (pinned.verdict, pinned.rank, pinned.hypothetical) == ("recommended", 5, False)
    assert (pinned.light, pinned.heavy, pinned.order) == (absent.light, absent.heavy, absent.order)


def test_why_an_item_is_excluded() -> None:
    asked = Asked(World.drawn(3, 40), slate={"exclude_seen": True})
    ids = asked.world.item_ids
    history = set(a_user(asked.world, 1).history.keys.tolist())
    bought = next(item for item, key in zip(ids, asked.world.keys.tolist(), strict=True) if key in history)
    fresh = [item for item, key in zip(ids, asked.world.keys.tolist(), strict=True) if key not in history]
    assert asked.why(bought).excluded_by == ("slate.exclude_seen",)
    assert asked.why(fresh[0], exclude_item_ids=tuple(fresh[:1])).excluded_by == ("/exclude_item_ids/0",)
    assert asked.why(fresh[1], basket=tuple(fresh[:2])).excluded_by == ("/context/basket/1",)


def test_a_condition_is_shown_with_what_the_item_has() -> None:
    asked = Asked(World.drawn(1, 30))
    row = asked.world.attributes["brand"].index("acme")
    why = asked.why(asked.world.item_ids[row], filter=Filter((Condition("brand", "eq", ("bolt",)),)))
    ((pointer, field, op, values, has),) = [(c.pointer, c.field, c.op, c.values, c.has) for c in why.failed]
    assert (pointer, field, op, values, has) == ("/filter/must/0", "brand", "eq", ("bolt",), "acme")


@pytest.mark.parametrize(
    ("dies", "verdict"), [(("retrieve",), "shard_missing"), (("fetch",), "undelivered")], ids=["retrieving", "delivering"]
)
def test_what_a_dying_owner_does_to_its_items(dies: tuple[str, ...], verdict: str) -> None:
    asked = Asked(World.drawn(2, 40, ties=False))
    best = str(asked.recommend().items[0].item_id)
    asked.kill(asked.why(best).shard, *dies)
    assert asked.why(best).verdict == verdict


def test_an_owner_that_cannot_be_asked_is_an_error_and_another_makes_ranks_inexact() -> None:
    asked = Asked(World.drawn(2, 40))
    item = asked.world.item_ids[0]
    owner = asked.why(item).shard
    asked.kill((owner + 1) % 3, "probe")
    assert not asked.why(item).exact
    asked.kill(owner, "probe")
    with pytest.raises(ShardUnavailable):
        asked.why(item)


@pytest.mark.parametrize(("item", "error"), [("nobody-has-this", UnknownItem), (7, UnknownItem)])
def test_an_item_that_is_none(item: str | int, error: type[OskolokError]) -> None:
    with pytest.raises(error) as caught:
        Asked(World.drawn(2, 20)).why(item)
    assert caught.value.details["field"] == "/item_id"


def test_asking_does_not_need_a_ranker_and_has_a_deadline() -> None:
    asked = Asked(World.drawn(2, 30), models=False)
    why = asked.why(asked.world.item_ids[0])
    assert why.light is None and why.heavy is None
    with pytest.raises(OskolokError):
        asked.why(asked.world.item_ids[0], budget_ms=0)


def test_only_so_many_may_ask_at_once() -> None:
    asked = Asked(World.drawn(2, 30), admission={"max_in_flight": 1})

    async def both() -> list[object]:
        asking = [asked.inquiry.why(Request("u", 3), asked.world.item_ids[0], Deadline.after_ms(5_000)) for _ in range(2)]
        return await asyncio.gather(*asking, return_exceptions=True)

    first, second = asyncio.run(both())
    assert isinstance(first, Why) and isinstance(second, Overloaded)
