"""Lists between items, taken apart: each shard holds what points into it, and nothing else is lost or changed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import InternalError
from shard.tables.item_table import ItemTable

KEYS = np.array([-5, 0, 3, 8], np.int64)
STARTS = np.array([0, 2, 2, 3, 3])
TARGETS = np.array([3, 1, 0], np.int32)


def weights(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def plain(table: ItemTable) -> dict[int, list[tuple[int, float]]]:
    """Seed key -> its list."""
    pairs = list(zip(table.rows.tolist(), table.weights.tolist(), strict=True))
    bounds = zip(table.starts[:-1], table.starts[1:], strict=True)
    return {key: pairs[begin:end] for key, (begin, end) in zip(table.seed_keys.tolist(), bounds, strict=True)}


def test_items_without_a_list_are_no_seeds() -> None:
    table = ItemTable.of(KEYS, STARTS, TARGETS, weights(1, -2, 0.5))
    assert plain(table) == {-5: [(3, 1.0), (1, -2.0)], 3: [(0, 0.5)]}


def test_a_catalogue_without_lists_makes_an_empty_table() -> None:
    table = ItemTable.of(KEYS, np.zeros(5, np.int64), np.empty(0, np.int32), weights())
    assert len(table) == 0 and plain(table.take(np.array([1], np.int32), 4)) == {}


def test_a_weight_that_is_not_finite_is_refused() -> None:
    with pytest.raises(InternalError, match="1 of 3 scores are not finite"):
        ItemTable.of(KEYS, STARTS, TARGETS, weights(1, np.inf, 0))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 8))
def test_shards_hold_the_parts_of_each_list_that_point_into_them(seed: int, n: int, n_shards: int) -> None:
    rng = np.random.default_rng(seed)
    lists = [rng.permutation(n)[: rng.integers(0, n + 1)] for _ in range(n)]
    starts = np.cumsum([0, *(len(targets) for targets in lists)])
    targets = np.concatenate(lists).astype(np.int32)
    table = ItemTable.of(np.arange(n) * 7, starts, targets, rng.standard_normal(len(targets)).astype(np.float32))
    owner = rng.integers(0, n_shards, n)
    for shard in range(n_shards):
        rows = np.flatnonzero(owner == shard).astype(np.int32)
        here = {
            key: [(rows.tolist().index(target), weight) for target, weight in pairs if owner[target] == shard]
            for key, pairs in plain(table).items()
        }
        assert plain(table.take(rows, n)) == {key: pairs for key, pairs in here.items() if pairs}
