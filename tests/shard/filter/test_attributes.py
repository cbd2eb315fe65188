"""Columns survive Arrow and selection, whatever is missing in them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.spec import AttributeKind
from shard.filter.attributes import (
    BooleanColumn,
    CategoriesColumn,
    CategoryColumn,
    Column,
    NumberColumn,
    column_from_arrow,
    column_to_arrow,
)

TYPES = {"category": pa.string(), "categories": pa.list_(pa.string()), "number": pa.float64(), "boolean": pa.bool_()}
TEXT = st.text("ab\u00e9 ", max_size=2)
VALUES: dict[AttributeKind, st.SearchStrategy] = {
    "category": TEXT,
    "categories": st.lists(st.none() | TEXT, max_size=4),
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "boolean": st.booleans(),
}


def plain(column: Column) -> list:
    """The values a column means, in plain Python."""
    match column:
        case CategoryColumn(values, codes):
            return [None if code < 0 else values[code] for code in codes]
        case CategoriesColumn(values, indptr, codes):
            return [{values[c] for c in codes[indptr[i] : indptr[i + 1]]} for i in range(len(column))]
        case NumberColumn(values):
            return [None if np.isnan(value) else float(value) for value in values]
        case BooleanColumn(values, present):
            return [bool(value) if there else None for value, there in zip(values, present, strict=True)]


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from(sorted(TYPES)))
def test_a_column_holds_what_arrow_held(data: st.DataObject, kind: AttributeKind) -> None:
    values = data.draw(st.lists(st.none() | VALUES[kind], max_size=12))
    column = column_from_arrow(kind, pa.array(values, TYPES[kind]))
    expected = [set(v or ()) - {None} for v in values] if kind == "categories" else values
    assert column.kind == kind
    assert plain(column) == expected
    assert plain(column_from_arrow(kind, column_to_arrow(column))) == expected
    rows = np.array(data.draw(st.lists(st.integers(0, len(values) - 1), max_size=8)) if values else [], np.int32)
    taken = column.take(rows)
    assert plain(taken) == [expected[row] for row in rows]
    if isinstance(taken, CategoryColumn | CategoriesColumn):
        assert list(taken.values) == sorted(set(taken.values))
        assert set(taken.codes.tolist()) - {-1} == set(range(len(taken.values)))


@pytest.mark.parametrize("encode", [False, True])
def test_chunked_and_dictionary_encoded_strings(encode: bool) -> None:
    chunks = pa.chunked_array([["b", None], ["a", "b"]])
    column = column_from_arrow("category", chunks.dictionary_encode() if encode else chunks)
    assert plain(column) == ["b", None, "a", "b"]


def test_whole_numbers_and_nothing_at_all() -> None:
    assert plain(column_from_arrow("number", pa.array([1, None, 3], pa.int64()))) == [1.0, None, 3.0]
    assert plain(column_from_arrow("categories", pa.array([None, None], pa.list_(pa.string())))) == [set(), set()]
    assert plain(column_from_arrow("category", pa.array([None], pa.string()))) == [None]
