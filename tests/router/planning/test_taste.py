from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.types import NO_KEYS, Keys, Seeds
from router.planning.named import Named
from router.planning.taste import seed_sets, usable_vectors, without_excluded
from tests.router.fakes import user

some_keys = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=8, unique=True)


def keys(of: list[int]) -> Keys:
    return np.array(of, np.int64)


def seeds(of: list[int], weights: list[float] | None = None) -> Seeds:
    return Seeds(keys(of), np.array(weights or [1.0] * len(of), np.float32), np.ones(len(of), np.float32))


@settings(deadline=None, max_examples=60)
@given(some_keys, some_keys)
def test_how_many_seeds_are_not_excluded(mine: list[int], excluded: list[int]) -> None:
    assert without_excluded(seeds(mine), np.sort(keys(excluded))) == len(set(mine) - set(excluded))


@settings(deadline=None, max_examples=60)
@given(some_keys, some_keys, st.floats(0.1, 100))
def test_views_of_now_come_before_those_of_before_and_nothing_is_lost(now: list[int], before: list[int], half: float) -> None:
    weights = sorted(np.linspace(1, 9, len(before)).tolist(), reverse=True)
    record = replace(user(), seeds={"viewed": seeds(before, weights)})
    sets = seed_sets(record, Named(NO_KEYS, NO_KEYS, keys(now)), half_weight_items=half)
    if not now and not before:
        assert sets == {}
        return
    viewed = sets["viewed"]
    assert viewed.keys.tolist() == [*now, *(key for key in before if key not in now)]
    assert (viewed.weights > 0).all()
    assert (np.diff(viewed.weights) <= 0).all()


def test_sets_without_items_are_no_sets() -> None:
    record = replace(user(), seeds={"favourites": seeds([]), "positives": seeds([7])})
    sets = seed_sets(record, Named(NO_KEYS, NO_KEYS, NO_KEYS), half_weight_items=10)
    assert sets.keys() == {"positives"}
    assert seed_sets(None, Named(NO_KEYS, keys([3]), NO_KEYS), half_weight_items=10).keys() == {"basket"}


def test_only_vectors_of_the_spaces_are_usable() -> None:
    record = replace(
        user(), vectors={"a": np.ones(2, np.float32), "b": np.full(3, np.nan, np.float32), "z": np.zeros(2, np.float32)}
    )
    assert usable_vectors(record, {"a": 2, "b": 3, "c": 1, "z": 2}).keys() == {"a"}
    assert usable_vectors(record, {"a": 3}) == usable_vectors(None, {"a": 2}) == {}
