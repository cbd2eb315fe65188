"""Places that try items out: which item is drawn, and with what probability.

Reproducible: the same seed, place and candidates give the same draw. Every candidate gets a draw, whether or not it may be
chosen, so an item that is out of stock does not change the draws of the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.types import Candidates
from router.slate.rules import ExploreRule

Values = NDArray[np.float64]

_GRID = 1024
_TINY = 1e-300  # instead of log 0


@dataclass(frozen=True, slots=True, eq=False)
class Posteriors:
    """Beta(a, b) of each candidate's rate of success, (m,) float64."""

    a: Values
    b: Values


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """What a place of exploration could have shown, as positions in the candidates.

    pool: who might be tried out.  otherwise: who would stand there without exploring.  explored: whether the coin said so.
    """

    place: int
    chosen: int
    otherwise: int
    pool: NDArray[np.intp]
    explored: bool


def posteriors(candidates: Candidates, rule: ExploreRule) -> Posteriors | None:
    """None if every candidate is as likely as any other. Successes beyond the trials count as no failures."""
    if rule.successes is None or rule.trials is None:
        return None
    section = rule.section
    successes = _counts(candidates, rule.successes, section.successes)
    failures = np.maximum(_counts(candidates, rule.trials, section.trials) - successes, 0)
    return Posteriors(section.prior_successes + successes, section.prior_failures + failures)


def coin_and_draws(posterior: Posteriors | None, n: int, *, seed: int, place: int) -> tuple[float, Values]:
    """A number in [0, 1) that decides whether the place explores, and a draw for each of n candidates: the largest wins."""
    rng = np.random.default_rng((seed, place))
    coin = rng.random()
    return coin, rng.random(n) if posterior is None else rng.beta(posterior.a, posterior.b)


def propensity(draw: Draw, posterior: Posteriors | None, *, share: float) -> float:
    """The probability that what was chosen would be chosen for its place, given the places before it."""
    by_chance = 0.0
    if len(draw.pool):
        at = np.flatnonzero(draw.pool == draw.chosen)
        wins = win_probabilities(posterior, draw.pool)
        by_chance = share * float(wins[at].sum())
    else:
        share = 0.0
    return by_chance + (1 - share if draw.chosen == draw.otherwise else 0.0)


def win_probabilities(posterior: Posteriors | None, pool: NDArray[np.intp]) -> Values:
    """(len(pool),): how likely each has the largest draw. They sum to 1.

    P(i wins) = integral of i's density times the others' distribution functions. The grid is even in the angle t with
    rate = sin(t)^2, in which the width of a Beta depends on its a + b and hardly on its mean: 1,024 points are enough up to
    some ten thousand trials.
    """
    if posterior is None:
        return np.full(len(pool), 1 / len(pool))
    a, b = posterior.a[pool, None], posterior.b[pool, None]
    angle = (np.arange(_GRID) + 0.5) * (np.pi / 2 / _GRID)
    log_density = (2 * a - 1) * np.log(np.sin(angle)) + (2 * b - 1) * np.log(np.cos(angle))
    density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
    density /= density.sum(axis=1, keepdims=True)
    below = np.log(np.maximum(density.cumsum(axis=1) - density / 2, _TINY))
    wins: Values = (density * np.exp(below.sum(axis=0) - below)).sum(axis=1)
    return np.asarray(wins / wins.sum())


def _counts(candidates: Candidates, column: int, stat: str) -> Values:
    """What the statistic counts; one by the name of log_ holds ln(1 + count)."""
    values = candidates.match[:, column].astype(np.float64)
    return np.maximum(np.expm1(values) if stat.startswith("log_") else values, 0)
