"""Item keys and their shards: stable for ever, complete, even."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.errors import InvalidQuery
from cluster.partition import item_key, item_keys, shard_of

ids = st.one_of(st.integers(-(2**63), 2**63 - 1), st.text(st.characters(exclude_categories=("Cs",)), max_size=20))


def test_keys_and_shards_never_change() -> None:
    """Every generation on disk depends on these numbers."""
    assert [item_key(i) for i in ("", "apple", "яблоко", "42")] == [
        3244421341483603138,
        5871078790819449344,
        -6296432174572171840,
        1303733993043075473,
    ]
    assert item_key(42) == 42
    keys = np.array([0, 1, 2, 3, 42, -1, 2**63 - 1, -(2**63)])
    assert shard_of(keys, 7).tolist() == [0, 6, 1, 4, 3, 0, 3, 0]


@given(st.lists(ids, max_size=20), st.integers(1, 64))
def test_every_id_has_one_shard_whoever_else_is_asked(item_ids: list[int | str], n_shards: int) -> None:
    keys = item_keys(item_ids)
    shards = shard_of(keys, n_shards)
    assert (keys.dtype, shards.dtype) == (np.int64, np.int32)
    assert all(0 <= shard < n_shards for shard in shards)
    assert [int(shard_of(item_keys([i]), n_shards)[0]) for i in item_ids] == shards.tolist()


@given(st.integers(-(2**63), 2**63 - 1), st.integers(1, 64))
def test_the_mix_is_splitmix64s_finaliser(key: int, n_shards: int) -> None:
    mask = 2**64 - 1
    mixed = key & mask
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & mask
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & mask
    mixed ^= mixed >> 31
    assert shard_of(np.array([key]), n_shards).tolist() == [mixed % n_shards]


@pytest.mark.parametrize("stride", [1, 10, 16, 1000, 4096])
@pytest.mark.parametrize("n_shards", [2, 7, 16])
def test_ids_with_a_pattern_spread_evenly(stride: int, n_shards: int) -> None:
    n_items = 20_000
    counts = np.bincount(shard_of(np.arange(n_items) * stride, n_shards), minlength=n_shards)
    expected = n_items / n_shards
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < n_shards + 6 * (2 * n_shards) ** 0.5, counts


@pytest.mark.parametrize("bad", [2**63, -(2**63) - 1, 1 << 20_000], ids=["2^63", "-2^63-1", "2^20000"])
def test_integers_beyond_64_bits_are_refused(bad: int) -> None:
    with pytest.raises(InvalidQuery):
        item_key(bad)


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(InvalidQuery, match="unicode"):
        item_key("\ud800")
