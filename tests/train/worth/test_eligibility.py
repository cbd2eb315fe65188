"""The plain reading of a filter, and that the shards' masks agree with it on anything."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.config.sections import CatalogSection
from cluster.filtering import Condition, Filter
from cluster.partition import item_keys
from cluster.spec import FeatureSchema, GenerationSpec
from shard.filter.attributes import column_from_arrow
from shard.filter.filters import Filters
from train.input.attribute_columns import attribute_specs
from train.input.catalogue import Catalogue
from train.worth.eligibility import eligible_rows

IDS = pa.array(range(6), pa.int64())
SECTION = CatalogSection(id_type="int64", category=("brand",), categories=("stores",), number=("price",), boolean=("organic",))
CATALOGUE = Catalogue(
    item_keys(IDS.to_pylist()),
    IDS,
    attribute_specs(SECTION),
    {
        "brand": pa.array(["a", "b", None, "a", "c", "b"], pa.string()),
        "stores": pa.array([["1", "2"], [], None, ["2"], ["3"], ["1"]], pa.list_(pa.string())),
        "price": pa.array([1.0, 2.0, 3.0, None, 2.5, 0.0], pa.float64()),
        "organic": pa.array([True, False, None, True, False, True], pa.bool_()),
    },
)


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        (Condition("brand", "eq", ("a",)), [0, 3]),
        (Condition("brand", "in", ("a", "c", "zzz")), [0, 3, 4]),
        (Condition("stores", "eq", ("2",)), [0, 3]),
        (Condition("stores", "in", ("1", "3")), [0, 4, 5]),
        (Condition("price", "lte", (2,)), [0, 1, 5]),
        (Condition("price", "gt", (2,)), [2, 4]),
        (Condition("price", "in", (1, 3.0)), [0, 2]),
        (Condition("organic", "eq", (False,)), [1, 4]),
        (Condition("brand", "eq", ("nobody",)), []),
        (Condition("brand", "ne", ("a",)), [1, 4, 5]),
        (Condition("stores", "ne", ("2",)), [4, 5]),
        (Condition("price", "ne", (2,)), [0, 2, 4, 5]),
        (Condition("organic", "ne", (True,)), [1, 4]),
        (Condition("", "any_of", (), (Condition("brand", "eq", ("c",)), Condition("price", "lt", (1,)))), [4, 5]),
        (Condition("price", "all_of", (), (Condition("price", "gte", (1,)), Condition("price", "lt", (2.5,)))), [0, 1]),
        (Condition("", "none_of", (), (Condition("brand", "eq", ("a",)), Condition("organic", "eq", (False,)))), [2, 5]),
    ],
)
def test_one_condition(condition: Condition, rows: list[int]) -> None:
    assert np.flatnonzero(eligible_rows(CATALOGUE, Filter(must=(condition,)))).tolist() == rows
    rest = [row for row in range(6) if row not in rows]
    assert np.flatnonzero(eligible_rows(CATALOGUE, Filter(must_not=(condition,)))).tolist() == rest


TESTS = st.one_of(
    st.builds(Condition, st.sampled_from(["brand", "stores"]), st.just("ne"), st.tuples(st.sampled_from("abc123"))),
    st.builds(Condition, st.sampled_from(["brand", "stores"]), st.just("eq"), st.tuples(st.sampled_from("abc123"))),
    st.builds(Condition, st.sampled_from(["brand", "stores"]), st.just("in"), st.lists(st.sampled_from("abc123")).map(tuple)),
    st.builds(
        Condition,
        st.just("price"),
        st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"]),
        st.tuples(st.sampled_from([0, 1, 2.5])),
    ),
    st.builds(Condition, st.just("organic"), st.sampled_from(["eq", "ne"]), st.tuples(st.booleans())),
)
CONDITIONS = st.recursive(
    TESTS,
    lambda part: st.builds(
        Condition,
        st.just(""),
        st.sampled_from(["any_of", "all_of", "none_of"]),
        st.just(()),
        st.lists(part, min_size=1, max_size=3).map(tuple),
    ),
    max_leaves=4,
)
CONJUNCTIONS = st.lists(CONDITIONS, max_size=3).map(tuple)


@settings(deadline=None, max_examples=60)
@given(st.builds(Filter, CONJUNCTIONS, CONJUNCTIONS))
def test_the_shards_agree(filter: Filter) -> None:
    columns = {spec.name: column_from_arrow(spec.kind, CATALOGUE.attributes[spec.name]) for spec in CATALOGUE.specs}
    nothing = FeatureSchema(match=(), sources=(), user=(), context=())
    spec = GenerationSpec("g", "", "int64", (6,), CATALOGUE.specs, (), (), (), (), nothing)
    masks = Filters(columns, spec, n_rows=6)
    assert masks.mask(filter).bits.tolist() == eligible_rows(CATALOGUE, filter).tolist()
