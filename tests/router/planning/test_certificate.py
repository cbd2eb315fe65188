from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.partition import shard_of
from router.planning.certificate import rows_per_shard


def tail(k: int, n: int, q: int) -> Fraction:
    """P(Binomial(k, 1/n) > q), in rationals."""
    return sum((Fraction(comb(k, i) * (n - 1) ** (k - i), n**k) for i in range(q + 1, k + 1)), Fraction(0))


@settings(deadline=None, max_examples=60)
@given(k=st.integers(1, 120), n=st.integers(2, 64), p=st.sampled_from([0.5, 0.9, 0.99, 0.9999, 0.999999]))
def test_it_is_the_smallest_number_of_rows_that_suffices(k: int, n: int, p: float) -> None:
    q = rows_per_shard(k, n, p)
    allowed = Fraction(1 - p)
    slack = Fraction(1, 10**9)  # floats against rationals, where the two sides meet
    assert q <= k
    assert n * tail(k, n, q) <= allowed * (1 + slack)
    if q > 0 and k > 1:
        assert n * tail(k, n, q - 1) > allowed * (1 - slack)


@pytest.mark.parametrize("k", [0, 1, 10, 10_000])
def test_one_shard_sends_everything(k: int) -> None:
    assert rows_per_shard(k, 1, 0.9999) == k


def test_extremes_are_finite_and_in_range() -> None:
    for k in (2, 10_000):
        for n in (2, 1024):
            assert 1 <= rows_per_shard(k, n, 0.9999) <= k
    assert rows_per_shard(10_000, 16, 0.9999) < 1_000


def test_hash_placement_is_as_random_as_the_bound_assumes() -> None:
    """How often a shard holds more of k items than it was asked for: at p = 0.9, in at most one query of ten."""
    k, n, n_queries = 100, 8, 2_000
    q = rows_per_shard(k, n, 0.9)
    keys = np.arange(k * n_queries, dtype=np.int64)
    owners = shard_of(keys, n).reshape(n_queries, k)
    fullest = np.array([np.bincount(row, minlength=n).max() for row in owners])
    assert 0.02 < (fullest > q).mean() <= 0.1
