"""The same promises over real shards: a query crosses the codec, a shard answers it, the reply crosses back."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.clients.protocols import Fleet
from cluster.codec import messages as codec
from cluster.deadline import Deadline
from cluster.filtering import EVERYTHING, Condition, Filter
from cluster.types import Affinity, FetchQuery, FetchReply, Query, Seeds, ShardReply, UnknownValue, UserRecord
from router.request import Eligibility, Recommendation
from router.router import Router
from shard.shard import Shard
from tests.router.asking import ask, router_over
from tests.router.fakes import DictStore
from tests.shard.worlds import DIM, World, filters


class WireShard:
    """A shard in this process whose queries and replies travel as bytes."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.name = shard.name

    async def retrieve(self, query: Query, deadline: Deadline) -> ShardReply:
        reply = self.shard.retrieve(codec.decode_query(codec.encode_query(query)))
        return codec.decode_shard_reply(codec.encode_shard_reply(reply, queue_us=0.0))

    async def fetch(self, query: FetchQuery, deadline: Deadline) -> FetchReply:
        reply = self.shard.fetch(codec.decode_fetch_query(codec.encode_fetch_query(query)))
        return codec.decode_fetch_reply(codec.encode_fetch_reply(reply), len(query.rows))


SLATES: tuple[dict[str, object], ...] = (
    {},
    {"cap_by": "brand", "cap": 2},
    {
        "cap_by": "brand",
        "boosts": ({"attribute": "stores", "values": ("s2",), "multiply": 2.0},),
        "quotas": ({"attribute": "organic", "values": (True,), "min": 3},),
        "pins": ({"item_id": "item-7", "position": 2},),
        "diversity": {"method": "mmr", "space": "taste", "depth": 20},
        "explore": {"method": "uniform", "attribute": "brand", "values": ("acme", "crux"), "positions": (3,)},
    },
    {"diversity": {"method": "dpp", "space": "taste", "relevance": 0.2, "depth": 20}},
)


def a_user(world: World, seed: int) -> UserRecord:
    rng = np.random.default_rng(seed)
    bought = np.flatnonzero(rng.random(len(world)) < 0.3)
    return UserRecord(
        user_id="u",
        generation="tiny-1",
        vectors={"taste": rng.integers(-2, 3, DIM).astype(np.float32)},
        history=Seeds(
            world.keys[bought], rng.integers(1, 3, len(bought)).astype(np.float32), np.zeros(len(bought), np.float32)
        ),
        profile={"brand": Affinity(("acme", "bolt"), np.array([0.75, 0.25], np.float32))},
        features=np.empty(0, np.float32),
    )


def routed(world: World, owner: np.ndarray, n_shards: int, record: UserRecord | None, slate: dict[str, object]) -> Router:
    shards = world.shards(owner.tolist(), n_shards)
    fleet = Fleet(1, shards[0].spec, tuple(WireShard(s) for s in shards), None)
    return router_over(
        fleet,
        DictStore(record) if record else DictStore(),
        slate=slate,
        sources={"tops": {"group_by": "brand", "k": 7}, "ann": {"k": 5}},
        merge={"n_light": 5, "exact_probability": 0.5},  # so unsure a bound that shards are often asked twice
        ranker={"light": {"enabled": False}, "heavy": {"enabled": False}},
    )


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    n_items=st.integers(1, 60),
    n_shards=st.integers(2, 5),
    ties=st.booleans(),
    known=st.booleans(),
    slate=st.sampled_from(SLATES),
    k=st.integers(1, 70),
    chosen=st.one_of(st.just(EVERYTHING), filters()),
    n_excluded=st.integers(0, 10),
)
def test_any_partition_any_filter_any_k(
    seed: int,
    n_items: int,
    n_shards: int,
    ties: bool,
    known: bool,
    slate: dict[str, object],
    k: int,
    chosen: Filter,
    n_excluded: int,
) -> None:
    world = World.drawn(seed, n_items, ties=ties)
    record = a_user(world, seed) if known else None
    excluded = tuple(world.item_ids[:n_excluded])

    def answer(owner: np.ndarray, n: int) -> Recommendation:
        return ask(routed(world, owner, n, record, slate), k=k, filter=chosen, exclude_item_ids=excluded, seed=seed)

    one = answer(np.zeros(n_items, int), 1)
    many = answer(np.random.default_rng(seed).integers(0, n_shards, n_items), n_shards)
    assert many.items == one.items
    assert many.exact_merge

    eligible = {world.item_ids[row] for row in range(n_items) if world.passes(row, chosen)} - set(excluded)
    shown = {str(item.item_id) for item in many.items}
    assert len(many.items) == len(shown) == min(k, len(eligible))
    assert shown <= eligible


def test_an_empty_answer_says_that_nothing_is_eligible_and_which_value_nobody_has() -> None:
    world = World.drawn(3, 30)
    router = routed(world, np.arange(30) % 3, 3, None, {})
    empty = ask(router, filter=Filter(must=(Condition("brand", "eq", ("Acme",)), Condition("organic", "eq", (True,)))))
    assert empty.items == () and empty.eligible == Eligibility(0, 30, (UnknownValue("brand", "Acme", "acme"),))
    some = ask(router, filter=Filter(must=(Condition("brand", "eq", ("acme",)),)))
    n_acme = sum(brand == "acme" for brand in world.attributes["brand"])
    assert n_acme > 0 and some.eligible == Eligibility(n_acme, 30)
