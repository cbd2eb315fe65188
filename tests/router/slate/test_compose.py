"""What is promised of a slate whatever the rules and the candidates are, and what each rule does on its own."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.config.slate import SlateSection
from cluster.types import NO_KEYS, Candidates
from router.slate.compose import ItemVectors, Slate, SlateHead, compose
from router.slate.rules import Rules
from tests.router.slate.making import candidates_of, drawn_candidates, ranked, rules_of

ATTRIBUTES = ("brand", "color")
SELECTIONS = (
    {"source": "tops"},
    {"source": "new"},
    {"stat": "age_days", "at_most": 3.0},
    {"attribute": "color", "values": ("red",)},
)

caps = st.lists(
    st.fixed_dictionaries({"attribute": st.sampled_from(ATTRIBUTES), "max": st.integers(1, 3), "first": st.integers(0, 6)}),
    max_size=3,
    unique_by=lambda cap: (cap["attribute"], cap["first"]),
)
quotas = st.lists(
    st.builds(
        lambda selection, least, share, most: selection | {"min": least, "min_share": share, "max": most},
        st.sampled_from(SELECTIONS),
        st.integers(0, 3),
        st.sampled_from([0.0, 0.25]),
        st.integers(0, 8),
    ),
    max_size=3,
    unique_by=lambda quota: quota.get("source", "") + quota.get("stat", "") + quota.get("attribute", ""),
)
boosts = st.lists(
    st.builds(
        lambda selection, factor, sum: selection | {"multiply": factor, "add": sum},
        st.sampled_from(SELECTIONS),
        st.sampled_from([0.5, 2.0]),
        st.sampled_from([-0.1, 0.0, 0.3]),
    ),
    max_size=2,
)
diversities = st.fixed_dictionaries(
    {"method": st.sampled_from(["off", "mmr", "dpp"]), "relevance": st.sampled_from([0.0, 0.5, 0.9])}
)
explores = st.builds(
    lambda selection, method, positions, share: selection | {"method": method, "positions": positions, "share": share},
    st.sampled_from(SELECTIONS),
    st.sampled_from(["off", "uniform", "thompson"]),
    st.sets(st.integers(1, 12), min_size=1, max_size=4).map(tuple),
    st.sampled_from([0.5, 1.0]),
)
anything = st.fixed_dictionaries(
    {
        "caps": caps.map(tuple),
        "quotas": quotas.map(tuple),
        "boosts": boosts.map(tuple),
        "diversity": diversities,
        "explore": explores,
        "precedence": st.sampled_from(list(permutations(("pins", "caps", "quotas", "explore")))),
    }
)


def facts_for(section: dict[str, object], drawn: Candidates) -> Candidates:
    """The candidates with the facts that these rules ask for: drawn groups, and a mark where the second group is 1."""
    made = SlateSection.model_validate(section)
    rules_facts = [*made.group_by, *map(str, made.marks)]
    if len(drawn) == 0:
        return candidates_of([], [])
    assert drawn.facts is not None
    columns = [drawn.facts[:, ATTRIBUTES.index(name)] if name in ATTRIBUTES else drawn.facts[:, 1] == 1 for name in rules_facts]
    facts = np.array(columns, np.int64).reshape(len(columns), len(drawn)).T.copy() if columns else None
    return Candidates(
        drawn.sources,
        drawn.shard,
        drawn.rows,
        drawn.keys,
        drawn.scores,
        drawn.source_scores,
        drawn.source_ranks,
        drawn.match,
        facts,
    )


def unit_vectors(data: st.DataObject, n: int) -> ItemVectors:
    """Of some of n candidates, a few of them alike."""
    has = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), bool)
    at = np.where(has, np.cumsum(has) - 1, -1)
    axes = data.draw(st.lists(st.integers(0, 3), min_size=int(has.sum()), max_size=int(has.sum())))
    table = np.array([[1, 0, 0], [0, 1, 0], [0.6, 0.8, 0], [0, 0, 0]], np.float32)
    return ItemVectors(at, table[np.array(axes, int)])


@settings(deadline=None, max_examples=250)
@given(anything, drawn_candidates(n_facts=2), st.data())
def test_any_rules_any_candidates(section: dict[str, object], drawn: Candidates, data: st.DataObject) -> None:
    candidates = facts_for(section, drawn)
    keys = candidates.keys.tolist()
    order = data.draw(st.permutations(range(len(keys))))
    excluded = np.array(sorted(data.draw(st.sets(st.integers(-50, 50), max_size=20))), np.int64)
    pinned_keys = data.draw(st.lists(st.integers(-50, 50), unique=True, max_size=4))
    places = data.draw(st.lists(st.integers(0, 14), unique=True, min_size=len(pinned_keys), max_size=len(pinned_keys)))
    pins = dict(zip(places, pinned_keys, strict=True))
    k, seed = data.draw(st.integers(1, 25)), data.draw(st.integers(0, 2**53))
    vectors = unit_vectors(data, len(keys))
    rules = rules_of(**section)

    def made(exclude: np.ndarray) -> Slate:
        return compose(candidates, ranked(order), k, exclude=exclude, rules=rules, pins=pins, vectors=vectors, seed=seed)

    slate = made(excluded)
    allowed = set(keys) - set(excluded.tolist())
    head = candidates.keys[slate.sequence[:k]].tolist()
    assert sorted(candidates.keys[slate.sequence].tolist()) == sorted(allowed)
    assert len(head) == min(k, len(allowed))
    assert len(keys) - sum(slate.removed.values()) == len(head)
    assert min(slate.removed.values()) >= 0
    reasons = Counter(slate.reason(position, k) for position in range(len(keys)))
    assert reasons[""] == len(head)
    assert {name: reasons[name] for name in slate.removed} == slate.removed
    assert made(excluded).sequence.tolist() == slate.sequence.tolist()

    at_pin = {key: place for place, key in pins.items()}
    for position in slate.pinned:
        assert head.index(keys[position]) == at_pin[keys[position]]
    for draw in slate.draws:
        assert keys[draw.chosen] == head[draw.place]
        assert draw.chosen in draw.pool.tolist() if draw.explored else draw.chosen == draw.otherwise

    gone = np.array(head[::2], np.int64)
    later = slate.without(gone)
    assert later.sequence.tolist() == made(np.union1d(excluded, gone)).sequence.tolist()
    assert not set(candidates.keys[later.sequence].tolist()) & set(gone.tolist())


@settings(deadline=None, max_examples=250)
@given(caps, quotas, drawn_candidates(n_facts=2), st.data())
def test_limits_hold_unless_everyone_left_would_break_one_of_them(
    caps: list[dict[str, object]], quotas: list[dict[str, object]], drawn: Candidates, data: st.DataObject
) -> None:
    section = {"caps": tuple(caps), "quotas": tuple(quotas)}
    candidates = facts_for(section, drawn)
    n, k = len(candidates), data.draw(st.integers(1, 20))
    pins = data.draw(st.dictionaries(st.integers(0, k - 1), st.sampled_from(candidates.keys.tolist()), max_size=3)) if n else {}
    pins = {place: key for place, key in pins.items() if list(pins.values()).count(key) == 1}
    order = data.draw(st.permutations(range(n)))
    rules = rules_of(**section)
    slate = compose(candidates, ranked(order), k, exclude=NO_KEYS, rules=rules, pins=pins)
    head = slate.sequence[:k].tolist()
    keys = candidates.keys.tolist()
    ahead = {place: keys.index(key) for place, key in pins.items() if place < len(head)}
    assert all(head[place] == at for place, at in ahead.items())

    limits = limits_of(rules, candidates)
    for place, chosen in enumerate(head):
        if place in ahead:
            continue
        before = dict(enumerate(head[:place])) | {p: at for p, at in ahead.items() if p > place}
        names = slate.relaxed.get(chosen, ())
        broken = [name for name, codes, most, first in limits if breaks(chosen, place, before, codes, most, first)]
        assert sorted(set(names)) == sorted(set(broken))
        if broken:
            upto = [name for name, *_ in limits].index(names[0])
            open_ones = set(range(n)) - set(head[:place]) - set(before.values())
            assert all(
                any(breaks(other, place, before, codes, most, first) for _, codes, most, first in limits[: upto + 1])
                for other in open_ones
            )


def limits_of(rules: Rules, candidates: Candidates) -> list[tuple[str, list[int], int, int]]:
    """(name, code of each candidate, how many, in how many first places), the most important one first."""
    assert candidates.facts is not None or not rules.caps
    found = [(cap.name, candidates.facts[:, cap.column].tolist(), cap.max, cap.first or 1000) for cap in rules.caps]  # type: ignore[index]
    found += [(q.name, q.selected(candidates).astype(int).tolist(), q.max, 1000) for q in rules.quotas]
    return found


def breaks(at: int, place: int, before: dict[int, int], codes: list[int], most: int, first: int) -> bool:
    if place >= first or not codes[at]:
        return False
    return Counter(codes[other] for p, other in before.items() if p < first)[codes[at]] >= most


@settings(deadline=None, max_examples=100)
@given(drawn_candidates(n_facts=1), st.integers(1, 20), st.integers(0, 6), st.data())
def test_a_quota_is_reached_whenever_there_are_enough(candidates: Candidates, k: int, least: int, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(candidates))))
    rules = rules_of(quotas=({"stat": "age_days", "at_most": 3.0, "min": least},))
    slate = compose(candidates, ranked(order), k, exclude=NO_KEYS, rules=rules)
    fresh = candidates.match[:, 0] <= 3
    n_shown = int(fresh[slate.sequence[:k]].sum())
    possible = min(least, int(fresh.sum())) if least <= k else 0
    assert n_shown >= possible
    assert slate.missed == (("quota.age_days",) if n_shown < least else ())
    plain = compose(candidates, ranked(order), k, exclude=NO_KEYS, rules=rules_of())
    if int(fresh[plain.sequence[:k]].sum()) >= least or least > k:
        assert slate.sequence[:k].tolist() == plain.sequence[:k].tolist()  # one that holds anyway, or cannot, moves nobody


def head_of(slate: Slate, k: int) -> list[int]:
    return slate.candidates.keys[slate.sequence[:k]].tolist()


def test_a_window_caps_only_the_first_places() -> None:
    candidates = candidates_of(range(6), [[1], [1], [1], [1], [2], [2]])
    rules = rules_of(caps=({"attribute": "brand", "max": 1, "first": 2},))
    slate = compose(candidates, ranked(range(6)), 5, exclude=NO_KEYS, rules=rules)
    assert head_of(slate, 5) == [0, 4, 1, 2, 3]
    assert slate.relaxed == {}


def test_a_pin_counts_for_caps_before_its_place_comes() -> None:
    candidates = candidates_of(range(4), [[1], [2], [1], [3]])
    rules = rules_of(caps=({"attribute": "brand", "max": 1},))
    slate = compose(candidates, ranked(range(4)), 3, exclude=NO_KEYS, rules=rules, pins={2: 2})
    assert head_of(slate, 3) == [1, 3, 2]
    assert slate.pinned == (2,)


@pytest.mark.parametrize(("k", "shown"), [(1, [0]), (2, [2, 3])])
def test_a_quota_above_the_number_of_places_claims_none(k: int, shown: list[int]) -> None:
    candidates = candidates_of(range(4), sources=[(True, False)] * 2 + [(False, True)] * 2)
    slate = compose(candidates, ranked(range(4)), k, exclude=NO_KEYS, rules=rules_of(quotas=({"source": "new", "min": 2},)))
    assert head_of(slate, k) == shown
    assert slate.missed == (("quota.new",) if k < 2 else ())


def test_precedence_says_who_gives_way() -> None:
    candidates = candidates_of(range(4), [[1], [2], [1], [3]])
    rules = rules_of(caps=({"attribute": "brand", "max": 1, "first": 3},), precedence=("caps", "pins", "quotas", "explore"))
    slate = compose(candidates, ranked(range(4)), 3, exclude=NO_KEYS, rules=rules, pins={1: 2})
    assert head_of(slate, 3) == [0, 1, 3]  # 0 has the brand's one place by the time 2's would come
    assert slate.pinned == ()


def test_a_pinned_item_that_is_not_among_the_candidates_leaves_no_gap() -> None:
    slate = compose(candidates_of([1, 2]), ranked([0, 1]), 5, exclude=NO_KEYS, rules=rules_of(), pins={0: 9, 1: 1})
    assert head_of(slate, 5) == [2, 1]


def test_boosts_move_by_the_value_of_places() -> None:
    candidates = candidates_of(range(5), sources=[(True, False)] * 4 + [(False, True)])
    twice = rules_of(boosts=({"source": "new", "multiply": 2.0},))
    assert head_of(compose(candidates, ranked(range(5)), 5, exclude=NO_KEYS, rules=twice), 5) == [0, 4, 1, 2, 3]
    first = rules_of(boosts=({"source": "new", "add": 1.0},))
    assert head_of(compose(candidates, ranked(range(5)), 5, exclude=NO_KEYS, rules=first), 5) == [4, 0, 1, 2, 3]
    last = rules_of(boosts=({"source": "tops", "multiply": 0.1},))
    assert head_of(compose(candidates, ranked(range(5)), 5, exclude=NO_KEYS, rules=last), 5) == [4, 0, 1, 2, 3]


def test_a_slate_that_completes_another_counts_what_is_shown() -> None:
    first, more = candidates_of([1, 2], [[7], [7]]), candidates_of([3, 4, 5], [[7], [8], [0]])
    rules = rules_of(caps=({"attribute": "brand", "max": 2},), quotas=({"source": "tops", "max": 3},))
    slate = compose(more, ranked(range(3)), 2, exclude=NO_KEYS, rules=rules, head=SlateHead(first, np.array([0, 1])))
    assert head_of(slate, 3) == [4, 5, 3]
    assert slate.relaxed == {2: ("quota.tops",)}  # 5 is the fourth of tops, as everybody left would be
