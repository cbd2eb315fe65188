from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.config import SlateSection
from cluster.types import NO_KEYS, Candidates
from router.rank import Ranked
from router.slate import Slate, compose


def candidates_of(keys: list[int], groups: list[int]) -> Candidates:
    m = len(keys)
    return Candidates(
        sources=("tops",),
        shard=np.zeros(m, np.int32),
        rows=np.arange(m, dtype=np.int32),
        keys=np.array(keys, np.int64),
        scores=np.linspace(1, 0, m, dtype=np.float32),
        source_scores=np.zeros((m, 1), np.float32),
        source_ranks=np.zeros((m, 1), np.float32),
        match=np.zeros((m, 0), np.float32),
        facts=np.array(groups, np.int64).reshape(-1, 1),
    )


def ranked(order: list[int]) -> Ranked:
    return Ranked(np.array(order, np.int32), np.linspace(1, 0, len(order), dtype=np.float32))


def slow_way(order: list[int], keys: list[int], groups: list[int], excluded: set[int], cap: int, shown: list[int]) -> list[int]:
    """One item after the other, with a dictionary."""
    within, over, counts = [], [], Counter(shown)
    for position in order:
        if keys[position] in excluded:
            continue
        group = groups[position]
        (over if group and counts[group] >= cap else within).append(position)
        counts[group] += 1
    return within + over


def shown_keys(slate: Slate, k: int) -> list[int]:
    return slate.candidates.keys[slate.sequence[:k]].tolist()


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_it_is_what_one_item_after_the_other_would_give(data: st.DataObject) -> None:
    keys = data.draw(st.lists(st.integers(-50, 50), unique=True, max_size=30))
    groups = data.draw(st.lists(st.integers(0, 4), min_size=len(keys), max_size=len(keys)))
    order = data.draw(st.permutations(range(len(keys))))
    excluded = data.draw(st.sets(st.integers(-50, 50)))
    shown = data.draw(st.lists(st.integers(0, 4), max_size=6))
    cap, k = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 40))

    slate = compose(
        candidates_of(keys, groups),
        ranked(list(order)),
        k,
        exclude=np.array(sorted(excluded), np.int64),
        section=SlateSection(cap_by="brand", cap=cap),
        shown=np.array(shown, np.int64),
    )
    expected = slow_way(list(order), keys, groups, excluded, cap, shown)
    assert slate.sequence.tolist() == expected
    n_left = len(set(keys) - excluded)
    assert len(slate) == n_left  # a cap moves items, it does not remove any
    assert len(keys) - sum(slate.removed.values()) == min(k, n_left)
    assert min(slate.removed.values()) >= 0
    scores = dict(zip(list(order), ranked(list(order)).scores.tolist(), strict=True))
    assert slate.scores.tolist() == [scores[position] for position in expected]


def test_the_cap_relaxes_last_and_only_when_nothing_else_is_left() -> None:
    candidates = candidates_of([1, 2, 3, 4, 5], [7, 7, 7, 8, 8])
    section = SlateSection(cap_by="brand", cap=1)
    slate = compose(candidates, ranked([0, 1, 2, 3, 4]), 3, exclude=NO_KEYS, section=section)
    assert shown_keys(slate, 5) == [1, 4, 2, 3, 5]
    assert slate.n_within_cap == 2
    assert slate.removed == {"excluded": 0, "over_cap": 2, "below_cutoff": 0}


def test_items_without_a_group_are_not_capped() -> None:
    section = SlateSection(cap_by="brand", cap=1)
    slate = compose(candidates_of([1, 2, 3], [0, 0, 0]), ranked([2, 1, 0]), 3, exclude=NO_KEYS, section=section)
    assert shown_keys(slate, 3) == [3, 2, 1]
    assert slate.n_within_cap == 3


def test_without_a_cap_groups_do_not_matter() -> None:
    slate = compose(candidates_of([1, 2], [7, 7]), ranked([0, 1]), 2, exclude=NO_KEYS, section=SlateSection(cap=1))
    assert shown_keys(slate, 2) == [1, 2]


def test_nothing_in_nothing_out() -> None:
    section = SlateSection(cap_by="brand")
    slate = compose(candidates_of([], []), ranked([]), 5, exclude=np.array([3], np.int64), section=section)
    assert len(slate) == 0
