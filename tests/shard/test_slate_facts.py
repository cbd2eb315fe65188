"""What a shard tells the slate: items that must be candidates, groups, marks, item vectors."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import InvalidQuery
from cluster.types import Ask, FetchQuery, Query
from tests.shard.worlds import World, asked, filters, worlds

WORLD = World.drawn(11, 50)
ASKS = (Ask("tops", 6, (("purchases/28d", 1.0),)), Ask("score_all", 4))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_included_items_are_candidates_if_they_are_eligible(data: st.DataObject) -> None:
    world = data.draw(worlds())
    question = data.draw(asked(world))
    keys = np.array([*world.keys.tolist(), -7, 7, 2**62], np.int64)
    include = np.unique(np.array(data.draw(st.lists(st.sampled_from(keys.tolist()), max_size=8)), np.int64))
    plain = world.whole.retrieve(replace(question.query, asks=ASKS))
    reply = world.whole.retrieve(replace(question.query, asks=ASKS, include=include))
    eligible = set(world.keys[question.eligible_rows(world)].tolist())
    assert set(reply.keys.tolist()) == set(plain.keys.tolist()) | (set(include.tolist()) & eligible)
    assert reply.keys.tolist() == sorted(set(reply.keys.tolist()))
    for with_them, without in zip(reply.sources, plain.sources, strict=True):
        assert reply.keys[with_them.members].tolist() == plain.keys[without.members].tolist()


@settings(max_examples=60, deadline=None)
@given(st.lists(filters(), max_size=3))
def test_marks_say_which_candidates_pass_which_filter(marks: list) -> None:
    reply = WORLD.whole.retrieve(Query("tiny-1", ASKS, group_by=("brand",), marks=tuple(marks)))
    assert reply.facts is not None and reply.facts.shape == (len(reply.rows), 1 + len(marks))
    for column, mark in enumerate(marks, 1):
        assert reply.facts[:, column].tolist() == [int(WORLD.passes(row, mark)) for row in reply.rows.tolist()]


def test_vectors_instead_of_payloads() -> None:
    rows = np.array([3, 0, 41], np.int32)
    reply = WORLD.whole.fetch(FetchQuery("tiny-1", rows, vectors="taste"))
    assert reply.vectors is not None
    assert reply.vectors.tolist() == WORLD.whole.columns.vectors["taste"][rows].tolist()
    assert reply.payloads == ({}, {}, {}) and len(reply.item_ids) == 3
    assert WORLD.whole.fetch(FetchQuery("tiny-1", rows)).vectors is None
    with pytest.raises(InvalidQuery, match="no space 'colour'"):
        WORLD.whole.fetch(FetchQuery("tiny-1", rows, vectors="colour"))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_capped_source_sends_the_best_that_the_cap_leaves(data: st.DataObject) -> None:
    world = data.draw(worlds())
    question = data.draw(asked(world))
    k, cap = data.draw(st.integers(0, 6)), data.draw(st.integers(1, 3))
    (everything,) = world.whole.retrieve(replace(question.query, asks=(Ask("score_all", len(world)),))).sources
    all_rows = world.whole.retrieve(replace(question.query, asks=(Ask("score_all", len(world)),))).rows[everything.members]
    reply = world.whole.retrieve(replace(question.query, asks=(Ask("score_all", k),), group_by=("brand",), cap=cap))
    kept, counts = [], Counter[object]()
    for row in all_rows.tolist():
        brand = world.attributes["brand"][row]
        if brand is None or counts[brand] < cap:
            kept.append(row)
        counts[brand] += 1
    (hits,) = reply.sources
    assert reply.rows[hits.members].tolist() == kept[:k]
    assert hits.more == (len(kept) > k)
    if hits.more:
        assert hits.next_key == world.keys[kept[k]]
