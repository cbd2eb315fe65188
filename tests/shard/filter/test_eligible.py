"""Masks with exclusions on top: counts and answers against plain sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shard.filter.eligible import Mask
from tests.shard.eligibility import eligible_without


@settings(max_examples=150, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=30), st.data())
def test_what_is_eligible_passes_and_is_not_excluded(bits: list[bool], data: st.DataObject) -> None:
    rows = st.lists(st.integers(0, len(bits) - 1), max_size=20)
    excluded, asked = data.draw(rows), data.draw(rows)
    eligible = eligible_without(Mask(np.array(bits)), np.array(excluded, np.int64))
    true = [row for row, passes in enumerate(bits) if passes and row not in excluded]
    assert eligible.rows().tolist() == true and eligible.rows().dtype == np.int32
    assert (eligible.count, eligible.n_rows) == (len(true), len(bits))
    assert eligible.keep(np.array(asked, np.int32)).tolist() == [row in true for row in asked]


def test_a_mask_is_read_only_and_compared_by_identity() -> None:
    mask, other = Mask(np.ones(3, np.bool_)), Mask(np.ones(3, np.bool_))
    assert mask.everything and mask != other
    with pytest.raises(ValueError, match="read-only"):
        mask.bits[0] = False
