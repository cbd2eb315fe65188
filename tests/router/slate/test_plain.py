"""The slate without rules or with one cap, against one item after the other with a dictionary."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.types import NO_KEYS
from router.slate.assemble import Constraints, assemble
from router.slate.compose import Slate, compose
from router.slate.limits import Limit
from router.slate.plain import first_under_cap
from tests.router.slate.making import candidates_of, drawn_candidates, ranked, rules_of


def slow_way(order: list[int], groups: list[int], cap: int, k: int) -> list[int]:
    """The first k, then all others as they were ranked."""
    within, over, counts = [], [], Counter[int]()
    for position in order:
        group = groups[position]
        (over if group and counts[group] >= cap else within).append(position)
        counts[group] += 1
    first = (within + over)[:k]
    return first + [position for position in order if position not in first]


def shown_keys(slate: Slate, k: int) -> list[int]:
    return slate.candidates.keys[slate.sequence[:k]].tolist()


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_it_is_what_one_item_after_the_other_would_give(data: st.DataObject) -> None:
    candidates = data.draw(drawn_candidates(n_facts=1))
    keys = candidates.keys.tolist()
    order = list(data.draw(st.permutations(range(len(keys)))))
    excluded = data.draw(st.sets(st.integers(-50, 50)))
    cap, k = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 40))

    rules = rules_of(cap_by="brand", cap=cap)
    assert rules.plain
    slate = compose(candidates, ranked(order), k, exclude=np.array(sorted(excluded), np.int64), rules=rules)
    assert candidates.facts is not None
    allowed = [position for position in order if keys[position] not in excluded]
    expected = slow_way(allowed, candidates.facts[:, 0].tolist(), cap, k)
    assert slate.sequence.tolist() == expected
    n_left = len(set(keys) - excluded)
    assert len(slate) == n_left  # a cap moves items, it does not remove any
    assert len(keys) - sum(slate.removed.values()) == min(k, n_left)
    assert min(slate.removed.values()) >= 0
    scores = dict(zip(order, ranked(order).scores.tolist(), strict=True))
    assert slate.scores.tolist() == [scores[position] for position in expected]


@settings(deadline=None, max_examples=150)
@given(drawn_candidates(n_facts=1), st.data())
def test_place_by_place_gives_the_same(candidates: object, data: st.DataObject) -> None:
    order = np.array(data.draw(st.permutations(range(len(candidates)))), np.int32)  # type: ignore[arg-type]
    cap, k = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 40))
    codes = candidates.facts[order, 0]  # type: ignore[attr-defined]
    made = assemble(len(order), k, Constraints({"caps": [Limit("cap", codes, max=cap, first=0, taken=NO_KEYS)]}))
    first, n_within = first_under_cap(codes, k, cap=cap)
    assert made.picks == first
    assert set(made.relaxed) == set(first[n_within:])


def test_the_cap_relaxes_last_and_only_when_nothing_else_is_left() -> None:
    candidates = candidates_of([1, 2, 3, 4, 5], [[7], [7], [7], [8], [8]])
    rules = rules_of(cap_by="brand", cap=1)
    slate = compose(candidates, ranked([0, 1, 2, 3, 4]), 3, exclude=NO_KEYS, rules=rules)
    assert shown_keys(slate, 5) == [1, 4, 2, 3, 5]
    assert slate.relaxed == {1: ("cap.brand",)}
    assert slate.removed == {"excluded": 0, "cap.brand": 2, "below_cutoff": 0}


def test_items_without_a_group_are_not_capped() -> None:
    rules = rules_of(cap_by="brand", cap=1)
    slate = compose(candidates_of([1, 2, 3], [[0], [0], [0]]), ranked([2, 1, 0]), 3, exclude=NO_KEYS, rules=rules)
    assert shown_keys(slate, 3) == [3, 2, 1]
    assert slate.relaxed == {}


def test_what_is_gone_makes_room_in_its_group() -> None:
    candidates = candidates_of([1, 2, 3, 4], [[7], [7], [8], [9]])
    slate = compose(candidates, ranked([0, 1, 2, 3]), 3, exclude=NO_KEYS, rules=rules_of(cap_by="brand", cap=1))
    assert shown_keys(slate, 3) == [1, 3, 4]
    assert shown_keys(slate.without(np.array([1])), 3) == [2, 3, 4]
    assert shown_keys(slate.without(np.array([1])).without(np.array([3])), 3) == [2, 4]


def test_nothing_in_nothing_out() -> None:
    slate = compose(candidates_of([], []), ranked([]), 5, exclude=np.array([3], np.int64), rules=rules_of(cap_by="brand"))
    assert len(slate) == 0
