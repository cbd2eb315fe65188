"""Which of some items a shard has, wherever the catalogue is cut, and where they stand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import GenerationMismatch, InvalidQuery
from cluster.lookup import LookupQuery
from cluster.types import Query
from tests.shard.test_slate_facts import ASKS, WORLD

KEYS = WORLD.whole.columns.keys


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, len(KEYS) - 1), unique=True, max_size=8), st.sets(st.integers(10**6, 10**7), max_size=4))
def test_the_known_are_told_with_their_vectors_and_the_others_are_not(rows: list[int], strangers: set[int]) -> None:
    keys = np.array([*KEYS[rows].tolist(), *(strangers - set(KEYS.tolist()))], np.int64)
    reply = WORLD.whole.lookup(LookupQuery("tiny-1", keys, ("taste",)))
    assert reply.known.tolist() == np.isin(keys, KEYS).tolist()
    vectors = WORLD.whole.columns.vectors["taste"]
    assert np.array_equal(reply.vectors["taste"][reply.known], vectors[rows])
    assert not reply.vectors["taste"][~reply.known].any()
    ascending = np.sort(keys)
    named = WORLD.whole.retrieve(Query("tiny-1", ASKS, exclude=ascending, named=ascending)).named
    assert named.tolist() == [key for key in ascending.tolist() if key in set(KEYS.tolist())]


def test_another_generation_or_space_is_refused() -> None:
    with pytest.raises(GenerationMismatch):
        WORLD.whole.lookup(LookupQuery("other", KEYS[:1]))
    with pytest.raises(InvalidQuery, match="no space 'colour'"):
        WORLD.whole.lookup(LookupQuery("tiny-1", KEYS[:1], ("colour",)))
