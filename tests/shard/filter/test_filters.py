"""Masks against plain Python, what filters are refused, and the cache."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import InvalidQuery, SchemaMismatch, UnknownFilterField
from cluster.filtering import EVERYTHING, Condition, Filter
from shard.filter.attributes import NumberColumn
from shard.filter.filters import UNKNOWN_VALUES_MAX, Filters
from tests.shard.worlds import ATTRIBUTES, World, filters, single_tests, worlds

WORLD = World.drawn(7, 60)


def filters_of(world: World, *, bytes_max: int = 1 << 20) -> Filters:
    return Filters(world.columns.attributes, world.spec([len(world)]), n_rows=len(world), bytes_max=bytes_max)


def must(*parts: Condition) -> Filter:
    return Filter(must=parts)


@settings(max_examples=200, deadline=None)
@given(worlds(), filters(size_max=3))
def test_a_mask_is_what_plain_python_says(world: World, filter: Filter) -> None:
    mask = filters_of(world).mask(filter)
    true = [row for row in range(len(world)) if world.passes(row, filter)]
    assert np.flatnonzero(mask.bits).tolist() == mask.rows.tolist() == true
    assert mask.count == len(true)


@settings(max_examples=100, deadline=None)
@given(single_tests())
def test_a_missing_value_fails_must_and_passes_must_not(condition: Condition) -> None:
    missing = [row for row, value in enumerate(WORLD.attributes[condition.field]) if value is None]
    masks = filters_of(WORLD)
    assert missing
    assert not masks.mask(must(condition)).bits[missing].any()
    assert masks.mask(Filter(must_not=(condition,))).bits[missing].all()


def unknown(*conditions: Condition, must_not: tuple[Condition, ...] = ()) -> list[tuple[str, str, str]]:
    mask = filters_of(WORLD).mask(Filter(conditions, must_not))
    assert mask.count == 0
    return [(found.field, found.value, found.did_you_mean) for found in mask.unknown_values]


def test_a_filter_that_nothing_passes_says_which_of_its_values_nobody_has() -> None:
    stores, brand = Condition("stores", "in", ("s 1", "elsewhere", "s2")), Condition("brand", "eq", ("ACME",))
    assert unknown(brand) == [("brand", "ACME", "acme")]
    assert unknown(stores, brand) == [("stores", "s 1", "s1"), ("stores", "elsewhere", ""), ("brand", "ACME", "acme")]
    assert unknown(Condition("", "all_of", (), (Condition("", "any_of", (), (brand,)),))) == [("brand", "ACME", "acme")]
    dear = Condition("price", "gt", (10**9,))
    assert unknown(dear, Condition("", "none_of", (), (brand,)), must_not=(brand,)) == []
    assert len(unknown(Condition("brand", "in", tuple(f"nobody-{n}" for n in range(9))))) == UNKNOWN_VALUES_MAX
    assert filters_of(WORLD).mask(Filter(must_not=(brand,))).unknown_values == ()


def test_a_value_nobody_has_is_a_valid_question() -> None:
    assert filters_of(WORLD).mask(must(Condition("brand", "eq", ("nobody's",)))).count == 0
    assert filters_of(WORLD).mask(Filter(must_not=(Condition("stores", "in", ("s99",)),))).everything


def test_an_unknown_field_is_named_with_those_there_are() -> None:
    filter = Filter(must_not=(Condition("brand", "eq", ("acme",)), Condition("colour", "eq", ("red",))))
    with pytest.raises(UnknownFilterField, match="'colour'") as raised:
        filters_of(WORLD).mask(filter)
    assert raised.value.details == {"field": "/filter/must_not/1/field", "allowed": ", ".join(a.name for a in ATTRIBUTES)}


@pytest.mark.parametrize(
    ("condition", "pointer", "allowed"),
    [
        (Condition("brand", "eq", (1,)), "/filter/must/0/eq", "a string"),
        (Condition("brand", "in", ("acme", "bolt", True)), "/filter/must/0/in/2", "a string"),
        (Condition("brand", "gte", ("a",)), "/filter/must/0/gte", "eq, ne, in"),
        (Condition("stores", "eq", (1.5,)), "/filter/must/0/eq", "a string"),
        (Condition("stores", "lt", ("s1",)), "/filter/must/0/lt", "eq, ne, in"),
        (Condition("price", "eq", ("1",)), "/filter/must/0/eq", "a finite number"),
        (Condition("price", "eq", (True,)), "/filter/must/0/eq", "a finite number"),
        (Condition("price", "lte", (float("nan"),)), "/filter/must/0/lte", "a finite number"),
        (Condition("price", "gt", (float("inf"),)), "/filter/must/0/gt", "a finite number"),
        (Condition("price", "in", (1, 10**400)), "/filter/must/0/in/1", "a finite number"),
        (Condition("organic", "eq", (1,)), "/filter/must/0/eq", "true or false"),
        (Condition("organic", "in", (True, "no")), "/filter/must/0/in/1", "true or false"),
        (Condition("organic", "gt", (True,)), "/filter/must/0/gt", "eq, ne, in"),
    ],
)
def test_a_condition_that_makes_no_sense_is_refused(condition: Condition, pointer: str, allowed: str) -> None:
    with pytest.raises(InvalidQuery) as raised:
        filters_of(WORLD).mask(must(condition))
    assert raised.value.details == {"field": pointer, "allowed": allowed}


def test_true_is_not_one_even_once_its_mask_is_cached() -> None:
    """In Python True == 1, so the two filters are equal and would share a cache entry."""
    masks = filters_of(WORLD)
    masks.mask(must(Condition("organic", "eq", (True,))))
    with pytest.raises(InvalidQuery):
        masks.mask(must(Condition("organic", "eq", (1,))))


def test_columns_that_do_not_fit_the_spec_are_refused() -> None:
    attributes = {**WORLD.columns.attributes, "brand": NumberColumn(np.zeros(len(WORLD)))}
    with pytest.raises(SchemaMismatch, match="brand is not stored as category"):
        Filters(attributes, WORLD.spec([len(WORLD)]), n_rows=len(WORLD))


class TestCache:
    def test_the_same_filter_gives_the_same_mask(self) -> None:
        masks = filters_of(WORLD)
        filter = must(Condition("price", "gt", (1,)))
        first = masks.mask(filter)
        assert masks.mask(must(Condition("price", "gt", (1,)))) is first

    def test_no_filter_costs_nothing(self) -> None:
        masks = filters_of(WORLD)
        assert masks.mask(EVERYTHING) is masks.mask(Filter()) and masks.mask(EVERYTHING).everything
        assert masks.cached_bytes == 0

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.integers(-20, 20), min_size=1, max_size=60), st.integers(1, 2_000))
    def test_it_never_holds_more_than_its_bytes_but_for_the_newest(self, bounds: list[int], bytes_max: int) -> None:
        masks = filters_of(WORLD, bytes_max=bytes_max)
        for bound in bounds:
            made = masks.mask(must(Condition("price", "gt", (bound,))))
            assert masks.cached_bytes <= max(bytes_max, len(WORLD) + 4 * made.count)

    def test_the_least_recently_used_goes_first(self) -> None:
        masks = filters_of(WORLD, bytes_max=2 * len(WORLD))
        a, b, c = (must(Condition("brand", "eq", (f"nobody-{name}",))) for name in "abc")  # empty masks: n bytes each
        kept, dropped = masks.mask(a), masks.mask(b)
        masks.mask(a)
        masks.mask(c)
        assert masks.mask(a) is kept
        assert masks.mask(b) is not dropped
