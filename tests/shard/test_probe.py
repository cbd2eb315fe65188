"""A probe agrees with what retrieval would do, item by item, in any partition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import GenerationMismatch, InvalidQuery
from cluster.filtering import EVERYTHING, Condition, Filter, each_test
from cluster.partition import item_key
from cluster.probe import ProbeQuery
from cluster.types import Ask, Query
from tests.shard.worlds import SOURCES, World, asked, worlds

LISTS = (("purchases/7d", 1.0), ("purchases/7d/brand=acme", 0.5))
ASKS = tuple(Ask(s.name, 1, LISTS if s.kind == "tops" else ()) for s in SOURCES)


@settings(deadline=None, max_examples=60)
@given(worlds(n_max=30), st.integers(1, 4), st.data())
def test_the_rank_over_all_shards_is_the_one_in_the_whole(world: World, n_shards: int, data: st.DataObject) -> None:
    if len(world) == 0:
        return
    told = data.draw(asked(world))
    query = replace(told.query, asks=ASKS)
    owner = data.draw(st.lists(st.integers(0, n_shards - 1), min_size=len(world), max_size=len(world)))
    shards = world.shards(owner, n_shards)
    row = data.draw(st.integers(0, len(world) - 1))
    key = int(world.keys[row])

    own = shards[owner[row]].probe(ProbeQuery(query, key))
    assert own.item is not None
    item = own.item
    others = [s.probe(ProbeQuery(query, key, item.scores)) for s in shards if s.shard != owner[row]]
    assert all(reply.item is None for reply in others)
    assert item.item_id == world.item_ids[row]
    assert item.eligible == (row in told.eligible_rows(world))
    assert item.excluded == (row in told.excluded_rows)
    assert bool(item.failed) == (not world.passes(row, told.filter))
    assert item.values == {c.field: world.attributes[c.field][row] for _, c in each_test(told.filter)}

    whole = world.whole.retrieve(replace(query, asks=tuple(replace(ask, k=len(world)) for ask in ASKS)))
    for hits in whole.sources:
        keys = whole.keys[hits.members].tolist()
        assert sum(reply.held[hits.source] for reply in (own, *others)) == len(keys)
        if key in keys:
            at = keys.index(key)
            assert item.scores[hits.source] == hits.scores[at]
            assert sum(reply.before[hits.source] for reply in (own, *others)) == at
        elif item.eligible:
            assert hits.source not in item.scores
        else:  # as if it alone were let in
            allowed = replace(query, filter=EVERYTHING, exclude=np.empty(0, np.int64))
            every = world.whole.retrieve(
                replace(allowed, asks=(replace(ASKS[0], source=hits.source, k=len(world), lists=LISTS),))
            )
            assert (hits.source in item.scores) == (key in every.keys[every.sources[0].members])
    if item.eligible:
        at = np.flatnonzero(whole.keys == key)
        assert len(at) == 0 or np.array_equal(whole.match[at[0]], item.match)


def test_of_a_group_the_tests_that_would_have_to_come_out_otherwise_are_named() -> None:
    world = World.drawn(1, 20)
    row = next(i for i in range(20) if world.attributes["brand"][i] == "acme" and world.attributes["price"][i] is not None)
    price, at = world.attributes["price"][row], row
    is_acme, is_bolt = Condition("brand", "eq", ("acme",)), Condition("brand", "eq", ("bolt",))
    between = Condition("price", "all_of", (), (Condition("price", "gt", (price,)), Condition("price", "lte", (price,))))
    no_acme = Condition("", "none_of", (), (is_bolt, is_acme))
    chosen = Filter(
        must=(Condition("", "any_of", (), (is_bolt, between, no_acme)), Condition("", "any_of", (), (is_acme, is_bolt))),
        must_not=(Condition("", "all_of", (), (is_acme, Condition("price", "gte", (price,)))),),
    )
    reply = world.whole.probe(ProbeQuery(Query("tiny-1", (), chosen), int(world.keys[at])))
    assert reply.item is not None
    assert reply.item.failed == (
        "/filter/must/0/any_of/0/eq",
        "/filter/must/0/any_of/1/gt",
        "/filter/must/0/any_of/2/none_of/1/eq",
        "/filter/must_not/0/all_of/0/eq",
        "/filter/must_not/0/all_of/1/gte",
    )


def test_every_condition_that_fails_is_named() -> None:
    world = World.drawn(1, 20)
    row = next(i for i in range(20) if world.attributes["brand"][i] == "acme" and world.attributes["price"][i] is not None)
    price = world.attributes["price"][row]
    chosen = Filter(
        must=(Condition("brand", "eq", ("bolt",)), Condition("price", "gte", (price,))),
        must_not=(Condition("brand", "eq", ("crux",)), Condition("brand", "in", ("acme", "x"))),
    )
    reply = world.whole.probe(ProbeQuery(Query("tiny-1", (), chosen), int(world.keys[row])))
    assert reply.item is not None
    assert reply.item.failed == ("/filter/must/0/eq", "/filter/must_not/1/in")
    assert reply.item.values == {"brand": "acme", "price": price}


def test_what_no_shard_can_answer_is_refused() -> None:
    world = World.drawn(1, 5)
    key = int(world.keys[0])
    with pytest.raises(GenerationMismatch):
        world.whole.probe(ProbeQuery(Query("another", ()), key))
    with pytest.raises(InvalidQuery, match="no source 'nobody'"):
        world.whole.probe(ProbeQuery(Query("tiny-1", (Ask("nobody", 1),)), key))
    with pytest.raises(InvalidQuery, match="no attribute 'colour'"):
        world.whole.probe(ProbeQuery(Query("tiny-1", (), Filter((Condition("colour", "eq", ("x",)),))), key))


def test_an_item_that_nobody_has_is_nobodys() -> None:
    assert World.drawn(1, 5).whole.probe(ProbeQuery(Query("tiny-1", ASKS), item_key("foreign"))).item is None
