"""Which entries survive a cut, against sorting each row in Python."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from train.lists.item_lists import ItemLists, lists_of, strongest, strongest_of_dense


@settings(deadline=None, max_examples=60)
@given(m=st.integers(1, 8), n=st.integers(1, 40), k=st.integers(1, 14), seed=st.integers(0, 2**16))
def test_the_strongest_of_each_row(m: int, n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    dense = rng.integers(-3, 4, (m, n)).astype(np.float32)  # many ties and zeros
    expected = []
    for row in dense:
        kept = sorted((-abs(value), column) for column, value in enumerate(row) if value)[:k]
        expected.append(sorted((-row[column], column) for _, column in kept))
    for found in (strongest(sparse.csr_array(dense), k), strongest_of_dense(dense, k)):
        spans = [slice(a, b) for a, b in zip(found.indptr[:-1], found.indptr[1:], strict=True)]
        assert [list(zip(-found.data[s], found.indices[s], strict=True)) for s in spans] == expected
        assert found.data.dtype == np.float32 and found.indices.dtype == np.int32 and found.shape == dense.shape


def test_lists_add_up_to_scores() -> None:
    rows = sparse.csr_array(np.array([[0, 1, 3], [2, 0, 0], [0, 0, 0]], np.float32))
    lists = lists_of([strongest(rows[:2], 5), strongest(rows[2:], 5)])
    assert lists.n_items == 3
    assert lists.targets.tolist() == [2, 1, 0] and lists.starts.tolist() == [0, 2, 3, 3] and lists.sources.tolist() == [0, 0, 1]
    history = np.array([[1, 1, 0]], np.float32)
    assert (history @ lists.matrix()).tolist() == [[2, 1, 3]]


def test_only_some_sources() -> None:
    lists = ItemLists(np.array([0, 2, 3]), np.array([1, 0, 0], np.int32), np.array([2, 1, 5], np.float32))
    kept = lists.only_sources(np.array([False, True]))
    assert kept.starts.tolist() == [0, 0, 1] and kept.targets.tolist() == [0] and kept.weights.tolist() == [5]
