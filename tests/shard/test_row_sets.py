"""The native row sets against plain Python."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shard._kernel import located, united

KEYS = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)


@given(st.lists(st.lists(st.integers(0, 2**31 - 1) | st.integers(0, 5))))
def test_a_union_and_everyones_place_in_it(parts: list[list[int]]) -> None:
    rows, members = united([np.array(part, np.int32) for part in parts])
    joined = [row for part in parts for row in part]
    assert (rows.dtype, members.dtype) == (np.int32, np.int32)
    assert rows.tolist() == sorted(set(joined))
    assert rows[members].tolist() == joined


@given(st.sets(KEYS), st.lists(KEYS))
def test_which_keys_are_there_and_where(keys: set[int], others: list[int]) -> None:
    ascending = sorted(keys)
    wanted = others + ascending[::2]
    places, which = located(np.array(ascending, np.int64), np.array(wanted, np.int64))
    assert which.tolist() == [i for i, key in enumerate(wanted) if key in keys]
    assert [ascending[place] for place in places.tolist()] == [wanted[i] for i in which.tolist()]
