"""One shard as a whole: what a reply accounts for, what it refuses, what it shows, and what its integrity check catches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import GenerationCorrupt, GenerationMismatch, InvalidQuery, SchemaMismatch, UnknownFilterField
from cluster.filtering import Condition, Filter
from cluster.partition import item_key
from cluster.spec import SourceSpec
from cluster.types import Ask, FetchQuery, Query
from shard.columns import ShardColumns
from shard.filter.attributes import CategoryColumn, NumberColumn
from shard.shard import Shard
from shard.tables.lists import RankedLists
from shard.tables.quorum_table import QuorumTable
from tests.shard.integrity import check_integrity
from tests.shard.worlds import LISTS, World, asked, filters, worlds

WORLD = World.drawn(11, 50)
ASKS = (
    Ask("tops", 6, (("purchases/28d", 1.0),)),
    Ask("score_all", 4),
    Ask("history", 9),
    Ask("ann", 0),
    Ask("similar", 5),
    Ask("quorum", 5),
)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_reply_adds_up(data: st.DataObject) -> None:
    world = data.draw(worlds())
    question = data.draw(asked(world))
    reply = world.whole.retrieve(replace(question.query, asks=ASKS, group_by=("brand",)))
    eligible = question.eligible_rows(world)
    assert (reply.n_items, reply.n_eligible) == (len(world), len(eligible))
    assert reply.rows.tolist() == sorted(set(reply.rows.tolist())) and set(reply.rows.tolist()) <= set(eligible)
    assert reply.keys.tolist() == world.keys[reply.rows].tolist()
    members = [hits.members.tolist() for hits in reply.sources]
    assert {at for some in members for at in some} == set(range(len(reply.rows)))
    assert [hits.source for hits in reply.sources] == [ask.source for ask in ASKS]
    assert all(len(some) <= ask.k for some, ask in zip(members, ASKS, strict=True))
    assert reply.match.shape == (len(reply.rows), len(world.whole.spec.features.match))
    brands = [world.attributes["brand"][row] for row in reply.rows.tolist()]
    assert reply.facts is not None
    assert reply.facts[:, 0].tolist() == [0 if brand is None else item_key(brand) for brand in brands]


def test_groups_only_when_asked_for() -> None:
    assert WORLD.whole.retrieve(Query("tiny-1", ASKS)).facts is None


@pytest.mark.parametrize(
    ("query", "error", "message"),
    [
        (Query("other", ASKS), GenerationMismatch, "serves generation tiny-1, the query names other"),
        (Query("tiny-1", (Ask("clicks", 3),)), InvalidQuery, "no source 'clicks'"),
        (Query("tiny-1", ASKS, group_by=("price",)), InvalidQuery, "cannot group by 'price'"),
        (Query("tiny-1", ASKS, filter=Filter(must=(Condition("x", "eq", (1,)),))), UnknownFilterField, "no attribute 'x'"),
        (Query("tiny-1", ASKS, vectors={"taste": np.ones(4, np.float32)}), InvalidQuery, "5 dimensions"),
        (Query("tiny-1", ASKS, vectors={"taste": np.full(5, np.nan, np.float32)}), InvalidQuery, "not finite"),
    ],
)
def test_what_makes_no_sense_is_refused(query: Query, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        WORLD.whole.retrieve(query)


class TestFetch:
    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.integers(0, 49), max_size=10), filters())
    def test_it_shows_items_and_checks_them_again(self, rows: list[int], filter: Filter) -> None:
        reply = WORLD.whole.fetch(FetchQuery("tiny-1", np.array(rows, np.int32), filter))
        assert reply.item_ids == tuple(WORLD.item_ids[row] for row in rows)
        assert reply.payloads == tuple({name: WORLD.attributes[name][row] for name in ("brand", "price")} for row in rows)
        assert reply.eligible.tolist() == [WORLD.passes(row, filter) for row in rows]

    def test_without_payload_columns_payloads_are_empty(self) -> None:
        bare = shard_of(replace(WORLD.columns, payload=None))
        assert bare.fetch(FetchQuery("tiny-1", np.array([1, 2], np.int32))).payloads == ({}, {})

    @pytest.mark.parametrize("row", [-1, 50])
    def test_rows_that_do_not_exist_are_refused(self, row: int) -> None:
        with pytest.raises(InvalidQuery, match="rows 0 to 49"):
            WORLD.whole.fetch(FetchQuery("tiny-1", np.array([0, row], np.int32)))

    def test_another_generation_is_refused(self) -> None:
        with pytest.raises(GenerationMismatch):
            WORLD.whole.fetch(FetchQuery("other", np.array([0], np.int32)))


def shard_of(columns: ShardColumns, **spec_changes: object) -> Shard:
    spec = msgspec.structs.replace(WORLD.spec([len(columns)]), **spec_changes)
    return Shard.from_columns(columns, spec=spec, shard=0)


@pytest.mark.parametrize(
    "changes",
    [
        {"sources": (SourceSpec("ann", "ann", True, True, space="other"),)},
        {"sources": (SourceSpec("ann", "ann", True, True),)},
        {"sources": (SourceSpec("similar", "item_lists", True, False, seeds="history", table="other"),)},
        {"features": msgspec.structs.replace(WORLD.whole.spec.features, match=("stat.other",))},
    ],
)
def test_a_spec_that_promises_what_is_not_there_is_refused(changes: dict) -> None:
    with pytest.raises(SchemaMismatch):
        shard_of(WORLD.columns, **changes)


def test_a_quorum_source_needs_a_table() -> None:
    with pytest.raises(SchemaMismatch, match="source quorum needs the quorum table"):
        shard_of(replace(WORLD.columns, quorum=None))


def lists_with(change: Callable[[RankedLists], None]) -> ShardColumns:
    return replace(WORLD.columns, lists=changed(WORLD.columns.lists, change))


def quorum_with(change: Callable[[RankedLists], None]) -> ShardColumns:
    assert WORLD.columns.quorum is not None
    return replace(WORLD.columns, quorum=QuorumTable(changed(WORLD.columns.quorum.by_value, change)))


def changed(lists: RankedLists, change: Callable[[RankedLists], None]) -> RankedLists:
    copy = RankedLists(lists.names, lists.indptr.copy(), lists.rows.copy(), lists.scores.copy())
    change(copy)
    return copy


def table_with(part: str, change: Callable[[np.ndarray], None]) -> ShardColumns:
    table = WORLD.columns.tables["content"]
    copy = getattr(table, part).copy()
    change(copy)
    return replace(WORLD.columns, tables={"content": replace(table, **{part: copy})})


def second_like_first(array: np.ndarray) -> None:
    array[1] = array[0]


def first_beyond(array: np.ndarray) -> None:
    array[0] = 99


def first_unknown(array: np.ndarray) -> None:
    array[0] = np.nan


def sort_scores(lists: RankedLists) -> None:
    lists.scores.sort()


def zero_all(lists: RankedLists) -> None:
    lists.scores[:] = 0
    for at in range(len(lists)):
        lists.at(at)[0].sort()


def swap_first_two(lists: RankedLists) -> None:
    lists.rows[:2] = lists.rows[1::-1]


def repeat_first(lists: RankedLists) -> None:
    lists.rows[1] = lists.rows[0]


def lose_a_row(lists: RankedLists) -> None:
    lists.rows[0] = len(WORLD)


def brand_with(codes: Callable[[np.ndarray], np.ndarray]) -> ShardColumns:
    brand = WORLD.columns.attributes["brand"]
    other = CategoryColumn(brand.values, codes(brand.codes).astype(np.int32))
    return replace(WORLD.columns, attributes={**WORLD.columns.attributes, "brand": other})


class TestIntegrity:
    @settings(max_examples=30, deadline=None)
    @given(worlds())
    def test_sound_columns_pass(self, world: World) -> None:
        check_integrity(world.whole)

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            (replace(WORLD.columns, keys=WORLD.keys + 1), "an item's key is not its id's"),
            (replace(WORLD.columns, item_ids=None), "item ids are not of type string"),
            (replace(WORLD.columns, stats={"trend": np.full(50, np.nan, np.float32)}), "stat trend is not finite"),
            (brand_with(lambda codes: codes + 9), "brand has the code"),
            (brand_with(lambda codes: codes - 1), "brand has the code -2"),
            (lists_with(swap_first_two), "not best first"),
            (lists_with(repeat_first), "holds a row twice"),
            (lists_with(lose_a_row), "rows that do not exist"),
            (quorum_with(repeat_first), "category s. holds a row twice"),
            (quorum_with(sort_scores), "category s. is not best first"),
            (quorum_with(zero_all), "weight that is not above 0"),
            (table_with("seed_keys", second_like_first), "item table content: seed keys do not ascend"),
            (table_with("starts", first_beyond), "item table content: starts do not ascend"),
            (table_with("rows", first_beyond), "item table content holds rows that do not exist"),
            (table_with("rows", second_like_first), "item table content: a list holds a row twice"),
            (table_with("weights", first_unknown), "item table content is not finite"),
        ],
    )
    def test_planted_damage_is_found(self, columns: ShardColumns, message: str) -> None:
        spec = WORLD.spec([50])
        with pytest.raises(GenerationCorrupt, match=message):
            check_integrity(Shard(columns, spec=spec, shard=0, spaces=WORLD.whole.spaces))

    def test_a_wrong_number_of_items_is_found(self) -> None:
        few = WORLD.columns.take(np.arange(9, dtype=np.int32))
        with pytest.raises(GenerationCorrupt, match="9 items, the spec says 50"):
            check_integrity(Shard.from_columns(few, spec=WORLD.spec([50]), shard=0))

    def test_an_infinite_number_is_found(self) -> None:
        price = NumberColumn(np.full(50, np.inf))
        columns = replace(WORLD.columns, attributes={**WORLD.columns.attributes, "price": price})
        with pytest.raises(GenerationCorrupt, match="price is infinite"):
            check_integrity(shard_of(columns))

    def test_an_item_in_the_wrong_shard_is_found(self) -> None:
        wrong = WORLD.shards([0] * 50, 2)[0]
        with pytest.raises(GenerationCorrupt, match="belongs to another shard"):
            check_integrity(wrong)

    def test_lists_are_those_of_the_spec(self) -> None:
        with pytest.raises(GenerationCorrupt, match="lists are not those"):
            check_integrity(shard_of(WORLD.columns, lists=LISTS[1:]))

    def test_tables_are_those_of_the_spec(self) -> None:
        with pytest.raises(GenerationCorrupt, match="item tables are not those"):
            check_integrity(shard_of(WORLD.columns, tables=("content", "npmi")))

    def test_a_quorum_is_there_if_the_spec_says_so(self) -> None:
        with pytest.raises(GenerationCorrupt, match="quorum is not as the spec says"):
            check_integrity(shard_of(WORLD.columns, quorum=""))
