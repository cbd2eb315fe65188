"""Pairs against a dictionary that counts them one by one."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.logs import NOW, NOW_DAY, log_of
from train.input import event_log
from train.input.event_log import DAY_S, half_life_decay
from train.input.interactions import interactions

HALF_LIFE = 30.0

rows = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4), st.integers(0, NOW_DAY + 10)), min_size=1, max_size=50)


@settings(deadline=None, max_examples=40)
@given(rows=rows, chunk=st.integers(1, 60))
def test_pairs_are_what_counting_gives(rows: list[tuple[str, int, int]], chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_log, "_CHUNK_EVENTS", chunk)
        log = log_of(rows, n_items=5)
        pairs = interactions(log, as_of=NOW, half_life_days=HALF_LIFE)
    days = defaultdict(list)
    for user, item, day in rows:
        if day <= NOW_DAY:
            days[user, item].append(float(NOW_DAY - day))
    ids = log.user_ids.to_pylist()
    assert [(ids[u], int(i)) for u, i in zip(pairs.users, pairs.items, strict=True)] == sorted(days)
    expected = [days[pair] for pair in sorted(days)]
    assert pairs.events.tolist() == [len(ages) for ages in expected]
    assert pairs.first_days.tolist() == [max(ages) for ages in expected]
    assert pairs.last_days.tolist() == [min(ages) for ages in expected]
    np.testing.assert_allclose(pairs.weights, [sum(2 ** (-age / HALF_LIFE) for age in ages) for ages in expected], rtol=1e-5)
    assert pairs.n_users == len(ids) and pairs.starts[-1] == len(days)


def test_weights_of_events_count() -> None:
    log = log_of([("a", 0, NOW_DAY), ("a", 0, NOW_DAY - HALF_LIFE)], n_items=1, weights=[3.0, 4.0])
    assert interactions(log, as_of=NOW, half_life_days=HALF_LIFE).weights.tolist() == [5.0]


def test_as_a_matrix() -> None:
    log = log_of([("a", 1, 1), ("b", 0, 1), ("b", 2, 1)], n_items=4)
    pairs = interactions(log, as_of=DAY_S, half_life_days=HALF_LIFE)
    assert pairs.matrix(pairs.events).toarray().tolist() == [[0, 1, 0, 0], [1, 0, 1, 0]]


def test_decay_halves_and_never_reaches_zero() -> None:
    np.testing.assert_allclose(half_life_decay(np.array([0.0, 30, 60]), 30), [1, 0.5, 0.25])
    assert half_life_decay(np.array([1e9]), 1e-3)[0] > 0
