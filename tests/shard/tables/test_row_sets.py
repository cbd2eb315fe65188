"""The row sets against plain Python, natively and in numpy."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shard.tables import numpy_row_sets, row_sets

BOTH = pytest.mark.parametrize("made", [row_sets, numpy_row_sets])
KEYS = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)


@BOTH
@given(st.lists(st.lists(st.integers(0, 2**31 - 1) | st.integers(0, 5))))
def test_a_union_and_everyones_place_in_it(made: ModuleType, parts: list[list[int]]) -> None:
    rows, members = made.united([np.array(part, np.int32) for part in parts])
    joined = [row for part in parts for row in part]
    assert (rows.dtype, members.dtype) == (np.int32, np.int32)
    assert rows.tolist() == sorted(set(joined))
    assert rows[members].tolist() == joined


@BOTH
@given(st.sets(KEYS), st.lists(KEYS))
def test_which_keys_are_there_and_where(made: ModuleType, keys: set[int], others: list[int]) -> None:
    ascending = sorted(keys)
    wanted = others + ascending[::2]
    places, which = made.located(np.array(ascending, np.int64), np.array(wanted, np.int64))
    assert which.tolist() == [i for i, key in enumerate(wanted) if key in keys]
    assert [ascending[place] for place in places.tolist()] == [wanted[i] for i in which.tolist()]
