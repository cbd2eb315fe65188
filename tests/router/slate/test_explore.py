"""What exploration draws, and that its propensities are the frequencies with which it draws."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from cluster.types import NO_KEYS, Candidates
from router.slate.compose import Slate, compose
from router.slate.explore import Draw, Posteriors, posteriors, propensity, win_probabilities
from router.slate.rules import Rules
from tests.router.slate.making import STATS, candidates_of, ranked, rules_of

COLD = {"stat": "age_days", "at_most": 3.0, "positions": (2, 4)}


def world() -> Candidates:
    """Twelve items, the last six cold; the more views the later."""
    candidates = candidates_of(range(12), ages=[9] * 6 + [1] * 6)
    candidates.match[:, STATS.index("log_views")] = np.log1p(np.arange(12) * 10)
    candidates.match[:, STATS.index("log_clicks")] = np.log1p([0] * 6 + [0, 1, 9, 2, 3, 1])
    return candidates


def composed(rules: Rules, seed: int) -> Slate:
    return compose(world(), ranked(range(12)), 5, exclude=NO_KEYS, rules=rules, seed=seed)


def test_counts_are_read_from_logs() -> None:
    rules = rules_of(explore=COLD | {"method": "thompson", "prior_successes": 1.0, "prior_failures": 4.0})
    assert rules.explore is not None
    found = posteriors(world(), rules.explore)
    assert found is not None
    assert found.a[6:].round(3).tolist() == [1, 2, 10, 3, 4, 2]
    assert found.b[6:].round(3).tolist() == [64, 73, 75, 92, 101, 113]


@pytest.mark.parametrize(
    ("a", "b"), [([1, 2, 10, 3], [64, 73, 75, 92]), ([1, 1, 1, 1], [1, 1, 1, 1]), ([30, 40], [900, 800]), ([0.3, 5], [2, 40])]
)
def test_win_probabilities_are_those_of_many_draws(a: list[float], b: list[float]) -> None:
    posterior = Posteriors(np.array(a, float), np.array(b, float))
    draws = np.random.default_rng(0).beta(posterior.a, posterior.b, size=(200_000, len(a)))
    frequencies = np.bincount(draws.argmax(axis=1), minlength=len(a)) / len(draws)
    wins = win_probabilities(posterior, np.arange(len(a)))
    assert wins.sum() == pytest.approx(1)
    assert wins == pytest.approx(frequencies, abs=0.005)


@pytest.mark.parametrize("method", ["thompson", "uniform"])
@pytest.mark.parametrize("share", [1.0, 0.4])
def test_propensities_are_frequencies(method: str, share: float) -> None:
    rules = rules_of(explore=COLD | {"method": method, "share": share, "positions": (2,), "prior_failures": 4.0})
    seen: Counter[int] = Counter()
    logged: dict[int, float] = {}
    n = 1_500
    for seed in range(n):
        slate = composed(rules, seed)
        (draw,) = slate.draws
        seen[draw.chosen] += 1
        logged[draw.chosen] = propensity(draw, slate.posteriors, share=share)
    assert sum(logged.values()) == pytest.approx(1, abs=0.02)  # of those that were ever chosen, which is nearly all
    for at, count in seen.items():
        assert count / n == pytest.approx(logged[at], abs=4 * (0.25 / n) ** 0.5)


def test_the_same_seed_draws_the_same_and_cold_items_take_exploring_places_only() -> None:
    rules = rules_of(explore=COLD | {"method": "uniform"})
    slates = [composed(rules, seed) for seed in range(20)]
    assert [s.sequence.tolist() for s in slates] == [composed(rules, seed).sequence.tolist() for seed in range(20)]
    assert len({tuple(s.sequence.tolist()) for s in slates}) > 5
    for slate in slates:
        head = slate.sequence[:5].tolist()
        assert [at >= 6 for at in head] == [False, True, False, True, False]
        assert [at for at in head if at < 6] == [0, 1, 2]


def test_a_draw_survives_that_another_item_is_gone() -> None:
    rules = rules_of(explore=COLD | {"method": "uniform", "positions": (2,)})
    slate = composed(rules, 5)
    (draw,) = slate.draws
    others = [key for key in range(6, 12) if key != draw.chosen]
    (again,) = slate.without(np.array(others[:3])).draws
    assert again.chosen == draw.chosen
    assert propensity(draw, None, share=1.0) == pytest.approx(1 / 6)
    assert propensity(again, None, share=1.0) == pytest.approx(1 / 3)


def test_without_cold_items_the_place_is_an_ordinary_one() -> None:
    rules = rules_of(explore=COLD | {"method": "uniform", "stat": "age_days", "at_most": 0.5})
    slate = composed(rules, 1)
    assert slate.sequence[:5].tolist() == [0, 1, 2, 3, 4]
    assert [(draw.explored, propensity(draw, None, share=1.0)) for draw in slate.draws] == [(False, 1.0), (False, 1.0)]


def test_caps_come_before_exploration_unless_it_is_said_otherwise() -> None:
    candidates = candidates_of(range(4), [[1], [2], [1], [1]], ages=[9, 9, 1, 1])
    section = {"caps": ({"attribute": "brand", "max": 1},), "explore": COLD | {"method": "uniform", "positions": (2,)}}
    kept = compose(candidates, ranked(range(4)), 2, exclude=NO_KEYS, rules=rules_of(**section))
    assert kept.sequence[:2].tolist() == [0, 1] and not kept.draws[0].explored
    bold = rules_of(**section, precedence=("explore", "pins", "caps", "quotas"))
    assert compose(candidates, ranked(range(4)), 2, exclude=NO_KEYS, rules=bold).draws[0].explored


def test_what_stands_there_anyway_has_both_chances() -> None:
    pool = np.array([1, 2, 3, 4])
    assert propensity(Draw(0, 1, 1, pool, False), None, share=0.4) == pytest.approx(0.6 + 0.4 / 4)
    assert propensity(Draw(0, 2, 1, pool, True), None, share=0.4) == pytest.approx(0.1)
    assert propensity(Draw(0, 9, 9, pool, False), None, share=0.4) == pytest.approx(0.6)
