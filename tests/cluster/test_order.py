"""The one order: total, independent of partition and of the order of arrival."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import InternalError
from cluster.order import best_first, best_first_seldom_tied, best_first_within, precedes, require_finite, top_k

# Few distinct scores, so that ties at the cut are the rule; both zeros, which compare equal.
scored = st.dictionaries(st.integers(-(2**63), 2**63 - 1), st.sampled_from([-1.5, -0.0, 0.0, 0.5, 2.0, 3e38]), max_size=40)


def arrays(items: dict[int, float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(list(items.values()), np.float32), np.array(list(items), np.int64)


def reference(items: dict[int, float]) -> list[int]:
    return sorted(items, key=lambda key: (-np.float32(items[key]), key))


@given(scored, st.integers(-1, 45))
def test_top_k_is_the_head_of_the_total_order(items: dict[int, float], k: int) -> None:
    scores, keys = arrays(items)
    assert keys[top_k(scores, keys, k)].tolist() == reference(items)[: max(k, 0)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(500, 9_000), st.sampled_from([1, 3, 100, 10**9]), st.data())
def test_top_k_of_many_selects_what_sorting_would(seed: int, n: int, n_scores: int, data: st.DataObject) -> None:
    """Beyond the sizes up to which it sorts everything and from which it guesses; ties at the cut by the hundred, or none."""
    rng = np.random.default_rng(seed)
    scores = (rng.integers(0, n_scores, n) / 7).astype(np.float32)
    keys = rng.permutation(n).astype(np.int64) - n // 2
    k = data.draw(st.one_of(st.integers(1, n + 1), st.integers(1, n // 16)))
    assert top_k(scores, keys, k).tolist() == np.lexsort((keys, -scores))[:k].tolist()


@given(scored)
def test_best_first_is_the_total_order(items: dict[int, float]) -> None:
    scores, keys = arrays(items)
    assert keys[best_first(scores, keys)].tolist() == reference(items)
    assert keys[best_first_seldom_tied(scores, keys)].tolist() == reference(items)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(250, 900), st.sampled_from([1, 3, 100, 10**9]))
def test_many_are_sorted_by_digits_as_few_are_by_value(seed: int, n: int, n_scores: int) -> None:
    """Both zeros tie; denormals, the largest floats and every sign stand where they belong."""
    rng = np.random.default_rng(seed)
    scores = (rng.integers(-n_scores, n_scores + 1, n) / 7 * 10.0 ** rng.choice([-42, -20, 0, 20])).astype(np.float32)
    scores[rng.random(n) < 0.2] = rng.choice(np.array([0.0, -0.0, 1e-45, -1e-45, 3.4e38, -3.4e38], np.float32))
    scores[:2] = 0.0, -0.0
    keys = rng.permutation(n).astype(np.int64) - n // 2
    assert best_first(scores, keys).tolist() == np.lexsort((keys, -scores)).tolist()
    assert best_first_seldom_tied(scores, keys).tolist() == np.lexsort((keys, -scores)).tolist()


@given(scored, st.data())
def test_best_first_within_orders_each_group_by_itself(items: dict[int, float], data: st.DataObject) -> None:
    scores, keys = arrays(items)
    drawn = data.draw(st.lists(st.integers(0, 3), min_size=len(items), max_size=len(items)))
    groups = np.array(drawn, np.int32)
    group_of = dict(zip(items, drawn, strict=True))
    expected = sorted(reference(items), key=lambda key: group_of[key])
    assert keys[best_first_within(groups, scores, keys)].tolist() == expected


@given(scored, st.integers(1, 12), st.integers(1, 5), st.randoms(use_true_random=False))
def test_any_partition_merges_to_the_same_top_k(items: dict[int, float], k: int, n_parts: int, random) -> None:
    parts: list[dict[int, float]] = [{} for _ in range(n_parts)]
    for key, score in items.items():
        parts[random.randrange(n_parts)][key] = score
    survivors = {}
    for part in parts:
        scores, keys = arrays(part)
        survivors.update((int(key), part[int(key)]) for key in keys[top_k(scores, keys, k)])
    scores, keys = arrays(survivors)
    assert keys[top_k(scores, keys, k)].tolist() == reference(items)[:k]


@given(scored)
def test_precedes_agrees_with_the_sort(items: dict[int, float]) -> None:
    for before, after in itertools.pairwise(reference(items)):
        assert precedes(items[before], before, items[after], after)
        assert not precedes(items[after], after, items[before], before)


def test_precedes_is_strict() -> None:
    assert not precedes(1.0, 7, 1.0, 7)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused_by_name(bad: float) -> None:
    with pytest.raises(InternalError, match="tops: 1 of 3 scores"):
        require_finite(np.array([1, bad, 2], np.float32), "tops")
    fine = np.array([1, 2], np.float32)
    assert require_finite(fine, "tops") is fine


def test_top_k_survives_a_sample_that_tells_nothing() -> None:
    """Every sampled score is the worst there is, or the best: the guessed cut lets all pass, or none."""
    keys = np.arange(8_000, dtype=np.int64)
    for sampled in (-9.0, 9.0):
        scores = np.random.default_rng(0).random(8_000, np.float32)
        scores[::16] = sampled
        assert top_k(scores, keys, 300).tolist() == np.lexsort((keys, -scores))[:300].tolist()
