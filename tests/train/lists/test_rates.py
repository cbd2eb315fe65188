"""The formulas against plain loops over the same definitions, and what they are for: small numbers do not lead a list."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.lists.rates import BetaPrior, beta_prior, growth, rate

trials = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 40)), min_size=0, max_size=30)


def arrays(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Clicks and views with clicks <= views."""
    return np.array([min(c, n) for c, n in pairs], float), np.array([n for _, n in pairs], float)


def kleinman(successes: list[float], shown: list[float]) -> BetaPrior:
    """The definition, item by item."""
    tried = [(c, n) for c, n in zip(successes, shown, strict=True) if n > 0]
    if not tried:
        return BetaPrior(0.0, 1.0)
    total = sum(n for _, n in tried)
    p = sum(c for c, _ in tried) / total
    s = sum(n * (c / n - p) ** 2 for c, n in tried)
    by_chance = p * (1 - p) * (len(tried) - 1)
    if s - by_chance <= p * (1 - p) * math.sqrt(2 * (len(tried) - 1)):
        return BetaPrior(p, 1e6)
    gamma = (s - by_chance) / (p * (1 - p) * (total - sum(n * n for _, n in tried) / total - (len(tried) - 1)))
    return BetaPrior(p, min(max(1 / gamma - 1, 1.0), 1e6))


@settings(deadline=None, max_examples=200)
@given(pairs=trials)
def test_the_prior_is_kleinmans(pairs: list[tuple[int, int]]) -> None:
    successes, shown = arrays(pairs)
    prior, expected = beta_prior(successes, shown), kleinman(successes.tolist(), shown.tolist())
    assert prior.mean == pytest.approx(expected.mean, rel=1e-9)
    assert prior.strength == pytest.approx(expected.strength, rel=1e-6)


@settings(deadline=None, max_examples=100)
@given(pairs=trials)
def test_smoothing_stays_between_what_was_seen_and_what_is_typical(pairs: list[tuple[int, int]]) -> None:
    successes, shown = arrays(pairs)
    prior = beta_prior(successes, shown)
    smoothed, raw = prior.smoothed(successes, shown), rate(successes, shown)
    assert (smoothed >= 0).all() and (smoothed <= 1).all() and np.isfinite(smoothed).all()
    assert np.allclose(smoothed[shown == 0], prior.mean) and (raw[shown == 0] == 0).all()
    seen = shown > 0
    low, high = np.minimum(raw, prior.mean), np.maximum(raw, prior.mean)
    assert ((smoothed >= low - 1e-12) & (smoothed <= high + 1e-12))[seen].all()


def test_a_prior_that_made_the_data_is_found_again() -> None:
    rng = np.random.default_rng(0)
    shown = rng.integers(20, 2000, 4000).astype(float)
    prior = beta_prior(rng.binomial(shown.astype(int), rng.beta(2.0, 38.0, len(shown))).astype(float), shown)
    assert prior.mean == pytest.approx(0.05, rel=0.05) and prior.strength == pytest.approx(40, rel=0.15)


def test_items_that_differ_by_chance_only_are_held_to_be_equal() -> None:
    rng = np.random.default_rng(1)
    shown = np.full(500, 40.0)
    prior = beta_prior(rng.binomial(40, 0.1, 500).astype(float), shown)
    assert prior.strength == 1e6
    once = beta_prior(np.array([1.0, 0, 0, 0, 1, 0]), np.ones(6))  # one view each says nothing of how items differ
    assert once == BetaPrior(1 / 3, 1e6)


def test_a_lucky_click_does_not_lead() -> None:
    rng = np.random.default_rng(2)
    shown = np.concatenate(([1.0, 10_000.0], rng.integers(100, 1000, 200)))
    successes = np.concatenate(([1.0, 2_000.0], rng.binomial(shown[2:].astype(int), rng.beta(5, 95, 200))))
    score = beta_prior(successes, shown).smoothed(successes, shown)
    assert rate(successes, shown)[0] == 1 and score[1] > 2 * score[0]


def test_a_segment_with_few_items_takes_the_other_prior() -> None:
    other = BetaPrior(0.25, 12.0)
    assert beta_prior(np.ones(9), np.full(9, 2.0), fallback=other) == other
    assert beta_prior(np.ones(10), np.full(10, 2.0), fallback=other).mean == 0.5
    assert beta_prior(np.empty(0), np.empty(0)) == BetaPrior(0.0, 1.0)


@settings(deadline=None, max_examples=200)
@given(pairs=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=0, max_size=25))
def test_growth_is_the_ratio_of_the_smoothed_counts_over_that_of_all(pairs: list[tuple[int, int]]) -> None:
    now, before = [float(y) for y, _ in pairs], [float(x) for _, x in pairs]
    grown = growth(np.array(now), np.array(before))
    prior = kleinman(now, [y + x for y, x in zip(now, before, strict=True)])
    if not (sum(now) and sum(before)):
        prior = BetaPrior(0.5, 1.0)
    a, b = prior.mean * prior.strength, prior.strength - prior.mean * prior.strength
    np.testing.assert_allclose(grown, [(y + a) / (x + b) * b / a for y, x in zip(now, before, strict=True)], rtol=1e-6)
    assert (grown > 0).all() and np.isfinite(grown).all()


def test_what_doubled_rises_above_what_was_bought_once_and_what_is_merely_popular() -> None:
    rng = np.random.default_rng(3)
    level = rng.gamma(0.5, 40, 300)
    before, now = rng.poisson(level).astype(float), rng.poisson(level * rng.gamma(20, 1 / 20, 300)).astype(float)
    before[:4], now[:4] = (200, 0, 5_000, 0), (400, 1, 5_000, 60)
    doubled, once, popular, newcomer = growth(now, before)[:4]
    assert newcomer > doubled > 1.5 and doubled > once > popular
    assert popular == pytest.approx(1, abs=0.1) and once < 1.2


def test_growth_at_the_edges() -> None:
    assert growth(np.empty(0), np.empty(0)).size == 0
    assert growth(np.zeros(3), np.array([1.0, 2, 3])).argmax() == 0
    assert growth(np.array([5.0, 0, 1]), np.zeros(3)).tolist() == [11, 1, 3]
    assert growth(np.array([4.0]), np.array([1.0]))[0] == pytest.approx(1, abs=1e-5)
    few = growth(np.array([4.0]), np.array([1.0]), fallback=BetaPrior(0.5, 10.0))
    assert few[0] == (4 + 5) / (1 + 5)
