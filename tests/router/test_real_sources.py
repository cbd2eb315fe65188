"""Every kind of source at once, from the request to the slate: any partition gives the same answer, and says the same of it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from cluster.clients.protocols import Fleet
from cluster.filtering import EVERYTHING, Filter
from cluster.spec import SourceSpec
from cluster.types import Affinity, Seeds, UserRecord
from router.request import Recommendation
from shard.columns import ShardColumns
from shard.shard import Shard
from shard.tables.item_table import ItemTable
from shard.tables.lists import RankedLists
from shard.tables.quorum_table import QuorumTable
from tests.router.asking import ask, router_over
from tests.router.fakes import DictStore
from tests.router.source_specs import item_lists, playlists, quorum, seeds_themselves, tops
from tests.router.test_real_shards import WireShard, a_user
from tests.shard.worlds import BRANDS, World, filters

SOURCES: tuple[SourceSpec, ...] = (
    tops("tops", "purchases"),
    tops("new", "new"),
    playlists(),
    SourceSpec("ann", "ann", exact=True, promises_k=True, space="taste"),
    seeds_themselves("history"),
    seeds_themselves("favourites"),
    seeds_themselves("viewed"),
    item_lists("ease", "ease", "history"),
    item_lists("with_basket", "npmi", "basket"),
    item_lists("after_views", "npmi", "viewed"),
    quorum(),
)


def columns_of(world: World, seed: int) -> ShardColumns:
    """The world with tables of few distinct weights, so that sums often tie, and a quorum over brands."""
    rng = np.random.default_rng(seed)
    n = len(world)
    rows = np.arange(n, dtype=np.int32)
    scores = world.list_scores

    def table() -> ItemTable:
        weights = np.where(rng.random((n, n)) < 0.2, rng.integers(-1, 4, (n, n)) / 4, 0)
        matrix = sparse.csr_array(weights)
        return ItemTable.of(
            world.keys, matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data.astype(np.float32)
        )

    lists = {
        "purchases/7d": (rows, scores["7d"]),
        "purchases/7d/brand=acme": (acme := world.members("7d/brand=acme"), scores["7d"][acme]),
        "new/7d": (rows, scores["28d"]),
        "playlist/breakfast": (rows[::3], scores["28d"][::3]),
    }
    weights = sparse.csr_array(rng.integers(0, 3, (n, len(BRANDS))).astype(np.float32))
    return replace(
        world.columns,
        lists=RankedLists.of(world.keys, lists),
        tables={"ease": table(), "npmi": table()},
        quorum=QuorumTable.of(world.keys, BRANDS, weights),
    )


def answer(
    world: World, columns: ShardColumns, owner: np.ndarray, n_shards: int, record: UserRecord | None, **fields: object
) -> Recommendation:
    rows = [np.flatnonzero(owner == shard).astype(np.int32) for shard in range(n_shards)]
    plain = world.spec([len(mine) for mine in rows])
    spec = msgspec.structs.replace(
        plain,
        sources=SOURCES,
        lists=tuple(columns.lists.names),
        features=msgspec.structs.replace(plain.features, sources=tuple(source.name for source in SOURCES)),
        tables=("ease", "npmi"),
        quorum="brand",
        seeds=("favourites", "viewed"),
    )
    shards = [Shard.from_columns(columns.take(mine), spec=spec, shard=at) for at, mine in enumerate(rows)]
    router = router_over(
        Fleet(1, spec, tuple(WireShard(shard) for shard in shards), None),
        DictStore(record) if record else DictStore(),
        catalog={"category": ("brand",)},
        sources={
            "tops": {"group_by": "brand", "k": 5},
            "ann": {"k": 5},
            "quorum": {"k": 4},
            "item_lists": {"ease": {"k": 6}, "after_views": {"table": "npmi", "seeds": "viewed", "k": 3}},
        },
        merge={"n_light": 8, "exact_probability": 0.5},  # so unsure a bound that shards are often asked twice
        ranker={"light": {"enabled": False}, "heavy": {"enabled": False}},
    )
    return ask(router, explain="funnel", **fields)  # type: ignore[arg-type]


def known(world: World, seed: int) -> UserRecord:
    rng = np.random.default_rng(seed)

    def some() -> Seeds:
        keys = rng.permutation(world.keys)[: rng.integers(0, 6)]
        return Seeds(keys, rng.integers(1, 3, len(keys)).astype(np.float32), np.zeros(len(keys), np.float32))

    brands = Affinity(("acme", "bolt"), np.array([0.75, 0.25], np.float32))
    return replace(a_user(world, seed), seeds={"favourites": some(), "viewed": some()}, profile={"brand": brands})


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    n_items=st.integers(1, 40),
    n_shards=st.integers(2, 5),
    is_known=st.booleans(),
    k=st.integers(1, 50),
    chosen=st.one_of(st.just(EVERYTHING), filters()),
    n_context=st.integers(0, 4),
)
def test_any_partition_of_every_source(
    seed: int, n_items: int, n_shards: int, is_known: bool, k: int, chosen: Filter, n_context: int
) -> None:
    world = World.drawn(seed, n_items)
    columns = columns_of(world, seed)
    record = known(world, seed) if is_known else None
    context = {
        "basket": (*world.item_ids[:n_context], "unheard-of"),
        "viewed": (*world.item_ids[2 : 2 + n_context], *world.item_ids[:1]),
        "playlists": ("breakfast",),
    }

    def answered(owner: np.ndarray, n: int) -> Recommendation:
        return answer(world, columns, owner, n, record, k=k, filter=chosen, **context)

    one = answered(np.zeros(n_items, int), 1)
    many = answered(np.random.default_rng(seed).integers(0, n_shards, n_items), n_shards)
    assert many.items == one.items
    assert many.exact_merge

    def told(of: Recommendation) -> list[tuple[object, ...]]:
        return [(t.source, t.asked, t.found, t.kept, t.exclusive, t.placed) for t in of.sources]

    assert told(many) == told(one)
    eligible = {item for row, item in enumerate(world.item_ids) if world.passes(row, chosen)} - set(context["basket"])
    assert len(many.items) == min(k, len(eligible))
    assert {str(item.item_id) for item in many.items} <= eligible


def test_a_stranger_with_a_basket_gets_what_goes_with_it() -> None:
    world = World.drawn(3, 40)
    found = answer(
        world,
        columns_of(world, 3),
        np.zeros(40, int),
        1,
        None,
        basket=tuple(world.item_ids[:3]),
        viewed=tuple(world.item_ids[5:7]),
    )
    traces = {trace.source: trace for trace in found.sources}
    assert set(traces) == {"tops", "new", "viewed", "with_basket", "after_views"}
    assert all(trace.found for trace in traces.values())
    assert found.degraded == ("unknown_user",)
