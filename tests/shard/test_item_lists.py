"""Item lists sum alike in shards of any size."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.types import Ask, Query, Seeds
from shard.filter.eligible import Eligible, Mask
from shard.sources.item_lists import ItemTableSource
from shard.tables.item_table import ItemTable


def sparse_lists(rng: np.random.Generator, n: int, n_entries: int) -> ItemTable:
    """Few entries for n items, all into the first 12; of such sizes that a sum depends on the order of its parts."""
    seeds, targets = np.divmod(np.sort(rng.choice(20 * 12, n_entries, replace=False)), 12)
    starts = np.searchsorted(seeds, np.arange(n + 1))
    weights = rng.choice([1, 2, 2.0**60, -(2.0**60)], n_entries)
    return ItemTable.of(np.arange(n), starts, targets.astype(np.int32), weights.astype(np.float32))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(2, 8), st.integers(1, 300))
def test_item_lists_sum_alike_in_shards_large_and_small(seed: int, n_entries: int, n_shards: int, k: int) -> None:
    """A large shard sorts its entries, a small one has a sum for every row: the scores agree to the last bit."""
    rng = np.random.default_rng(seed)
    n = 9_000
    table = sparse_lists(rng, n, n_entries)
    seeds = Seeds(rng.permutation(25), np.ones(25, np.float32), np.zeros(25, np.float32))
    query = Query("g", (), seeds={"history": seeds})

    def found(rows: np.ndarray) -> list[tuple[float, int]]:
        everything = Eligible(Mask(np.ones(len(rows), np.bool_)))
        hits = ItemTableSource(table.take(rows, n), rows.astype(np.int64), "history").retrieve(
            query, Ask("similar", 0), everything, k
        )
        return [(-score, int(rows[row])) for score, row in zip(hits.scores.tolist(), hits.rows.tolist(), strict=True)]

    near = rng.integers(0, n_shards, 12)
    parts = [np.flatnonzero(near == shard).astype(np.int32) for shard in range(n_shards)]
    merged = sorted(hit for rows in parts for hit in found(rows))
    assert merged[:k] == found(np.arange(n, dtype=np.int32))
