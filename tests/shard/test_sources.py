"""The source contract, for every source; and what is particular to one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cluster.errors import InvalidQuery
from cluster.filtering import EVERYTHING, Condition, Filter
from cluster.partition import item_keys
from cluster.types import Ask, Query, Seeds
from shard.sources.score_all import popularity
from shard.tables.lists import RankedLists
from tests.shard.source_contract import SourceContract, hit_rows, only
from tests.shard.worlds import LIKED, LISTS, Asked, World


class TestTops(SourceContract):
    source = "tops"

    def asks(self, k: int, rng: np.random.Generator) -> Ask:
        """A global list, so that k is promised, and some others, with weights that make and break ties."""
        names = [LISTS[1], *rng.choice([name for name in LISTS if name != LISTS[1]], rng.integers(0, 5), replace=False)]
        return Ask("tops", k, tuple((name, float(rng.choice([0.0, 0.1, 0.5, 1.0, 3.0]))) for name in names))

    def truth(self, world: World, question: Asked, ask: Ask) -> dict[int, np.float32]:
        best: dict[int, np.float32] = {}
        for name, weight in ask.lists:
            for row in world.members(name).tolist():
                score = np.float32(weight) * world.scores_in(name)[row]
                best[row] = max(best.get(row, score), score)
        return best


class TestHistory(SourceContract):
    source = "history"

    def truth(self, world: World, question: Asked, ask: Ask) -> dict[int, np.float32]:
        return dict(seed_rows(world, question.query.seeds[self.source]))


class TestFavourites(TestHistory):
    source = "favourites"


class TestSimilar(SourceContract):
    source = "similar"
    seeds = "history"

    def truth(self, world: World, question: Asked, ask: Ask) -> dict[int, np.float32]:
        sums = np.zeros(len(world))
        for row, weight in seed_rows(world, question.query.seeds[self.seeds]):
            sums += np.float64(weight) * world.similar[row].astype(np.float64)
        return {row: np.float32(score) for row, score in enumerate(sums.tolist()) if score > 0}


class TestNearBasket(TestSimilar):
    source = "near_basket"
    seeds = "basket"


class TestQuorum(SourceContract):
    source = "quorum"

    def truth(self, world: World, question: Asked, ask: Ask) -> dict[int, np.float32]:
        profile = question.query.profile["stores"]
        share_of = dict(zip(profile.values, profile.weights, strict=True))
        sums = np.zeros(len(world), np.float32)
        for at, value in enumerate(LIKED):
            sums = sums + world.liked[:, at] * share_of.get(value, np.float32(0))
        return {row: score for row, score in enumerate(sums) if score > 0}


class TestAnn(SourceContract):
    source = "ann"

    def truth(self, world: World, question: Asked, ask: Ask) -> dict[int, np.float32]:
        vector = question.query.vectors.get("taste")
        return {} if vector is None else dots(world, vector)


class TestScoreAll(SourceContract):
    source = "score_all"

    def truth(self, world: World, question: Asked, ask: Ask) -> dict[int, np.float32]:
        vector = question.query.vectors.get("taste")
        return dict(enumerate(world.scores_in(LISTS[1]))) if vector is None else dots(world, vector)


class TestScoreAllWithoutVector(TestScoreAll):
    def adapted(self, question: Asked) -> Asked:
        return replace(question, query=replace(question.query, vectors={}))


def seed_rows(world: World, seeds: Seeds) -> list[tuple[int, np.float32]]:
    """The seeds that are items of the world, in their order: rows and weights."""
    row_of = {int(key): row for row, key in enumerate(world.keys)}
    return [(row_of[key], w) for key, w in zip(seeds.keys.tolist(), seeds.weights, strict=True) if key in row_of]


def dots(world: World, vector: np.ndarray) -> dict[int, np.float32]:
    """Row by row, in the one summation order that scores are defined by."""
    return {row: np.float32(world.vectors[row].astype(np.float64) @ vector) for row in range(len(world))}


def test_ann_without_a_vector_finds_nothing_and_says_why() -> None:
    hits = only(World.drawn(0, 20).whole.retrieve(Query("tiny-1", (Ask("ann", 5),))))
    assert len(hits.members) == 0 and hits.strategy == "no_vector"


def test_ann_refuses_a_vector_of_another_dimension() -> None:
    query = Query("tiny-1", (Ask("ann", 5),), vectors={"taste": np.ones(3, np.float32)})
    with pytest.raises(InvalidQuery, match="dimensions"):
        World.drawn(0, 20).whole.retrieve(query)


@pytest.mark.parametrize(
    ("source", "strategy"), [("favourites", "no_seeds"), ("similar", "no_seeds"), ("quorum", "no_profile")]
)
def test_a_query_that_lacks_what_a_source_reads_is_told_so(source: str, strategy: str) -> None:
    hits = only(World.drawn(0, 20).whole.retrieve(Query("tiny-1", (Ask(source, 5),))))
    assert len(hits.members) == 0 and hits.strategy == strategy and not hits.more


def test_seeds_that_nothing_follows_from_find_nothing() -> None:
    strangers = Seeds(item_keys(["foreign"]), np.ones(1, np.float32), np.zeros(1, np.float32))
    query = Query("tiny-1", (Ask("similar", 5), Ask("history", 5)), seeds={"history": strangers})
    assert len(World.drawn(0, 20).whole.retrieve(query).rows) == 0


def test_popularity_is_the_longest_global_window() -> None:
    keys, rows = np.arange(3, dtype=np.int64), np.arange(3, dtype=np.int32)
    names = ["clicks/7d", "clicks/90d", "clicks/28d", "clicks/900d/brand=1000d", "purchases/900d"]
    scores = {name: np.full(3, i, np.float32) for i, name in enumerate(names)}
    lists = RankedLists.of(keys, {name: (rows, values) for name, values in scores.items()})
    assert popularity(lists, 3, "clicks").tolist() == [1, 1, 1]
    assert popularity(RankedLists.of(keys, {}), 3, "clicks").tolist() == [0, 0, 0]


def test_sources_share_one_mask_and_one_reply() -> None:
    world = World.drawn(5, 40)
    query = Query(
        "tiny-1",
        (Ask("tops", 7, (("purchases/28d", 1.0),)), Ask("score_all", 7)),
        filter=Filter(must=(Condition("price", "gte", (0,)),)),
        vectors={"taste": np.ones(5, np.float32)},
    )
    reply = world.whole.retrieve(query)
    alone = [world.whole.retrieve(replace(query, asks=(ask,))) for ask in query.asks]
    assert reply.rows.tolist() == sorted({int(row) for one in alone for row in hit_rows(one)})
    for hits, one in zip(reply.sources, alone, strict=True):
        assert reply.rows[hits.members].tolist() == hit_rows(one).tolist()
    assert query.filter != EVERYTHING and reply.n_eligible < len(world)
