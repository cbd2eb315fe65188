"""Membership among ascending keys is what a set says, for rows and for keys, also where one side is empty."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.sorted_keys import is_among, positions_in

NUMBERS = st.lists(st.integers(-50, 50), max_size=30)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@given(keys=NUMBERS, wanted=NUMBERS)
def test_positions_are_those_of_a_dict(dtype: type[np.integer], keys: list[int], wanted: list[int]) -> None:
    ascending = np.array(sorted(set(keys)), dtype)
    place = {int(key): at for at, key in enumerate(ascending)}
    at, is_there = positions_in(ascending, np.array(wanted, dtype))
    assert is_there.tolist() == [key in place for key in wanted]
    assert at[is_there].tolist() == [place[key] for key in wanted if key in place]
    assert len(ascending) == 0 or (at < len(ascending)).all(), "positions index what lies beside the keys"
    assert is_among(np.array(wanted, dtype), ascending).tolist() == is_there.tolist()


def test_rows_may_be_looked_up_among_rows_of_another_width() -> None:
    assert is_among(np.array([1, 4], np.int64), np.array([4], np.int32)).tolist() == [False, True]
