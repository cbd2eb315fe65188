"""Rates that are robust to small counts: an item's own rate, drawn towards the rate of its kind.

Empirical Bayes: the prior is fitted to the very items it is used for, by the method of moments, so nobody has to choose it.

Success rates (click-through). c_i of n_i trials succeed, p_i ~ Beta(a, b):

    p̂ = Σ c / Σ n,   a + b = 1/γ − 1,   a = p̂ (a + b),   and an item scores its posterior mean (c_i + a) / (n_i + a + b)

    γ = [ S − p̂ q̂ (I − 1) ] / { p̂ q̂ [ N − Σ n_i² / N − (I − 1) ] },   S = Σ n_i (c_i / n_i − p̂)²,  q̂ = 1 − p̂,  N = Σ n

over the I items with trials: the share of the variance between items in all variance, each item weighing its trials (Kleinman,
Proportions with Extraneous Variance, JASA 1973). Items that differ by no more than chance (S within one standard deviation,
p̂ q̂ √(2 (I − 1)), of its mean) are held to be equal, and all score about p̂.

Growth of counts. An item has y_i events in a window and x_i in the one before, each a Poisson number with a gamma prior worth a
and b events, and scores the ratio of the two posterior means over what that ratio is for the whole:

    growth_i = (y_i + a) / (x_i + b) · b / a

Given y + x, y is binomial whatever the item's popularity (Przyborowski & Wilenski, Biometrika 1940), so a and b are fitted as
above, to y successes in y + x trials: nothing need be assumed of how popularity is distributed. 1 is to grow as all do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

_STRENGTH_MIN, _STRENGTH_MAX = 1.0, 1e6
_ITEMS_MIN = 10


@dataclass(frozen=True, slots=True)
class BetaPrior:
    """mean: of the rates.  strength: how many trials the prior is worth, a + b."""

    mean: float
    strength: float

    def smoothed(self, successes: Doubles, trials: Doubles) -> Doubles:
        """The posterior mean of each item's rate, aligned; the prior's mean for an item without trials."""
        return (successes + self.mean * self.strength) / (trials + self.strength)


def beta_prior(successes: Doubles, trials: Doubles, fallback: BetaPrior | None = None) -> BetaPrior:
    """The prior of these items, (n,) each with 0 <= successes <= trials, trials 0 or at least 1.

    With fewer than 10 items that have trials, there is nothing to fit a prior to and the `fallback` is it, if there is one.
    """
    tried = trials > 0
    c, n = successes[tried], trials[tried]
    if fallback is not None and len(n) < _ITEMS_MIN:
        return fallback
    if len(n) == 0:
        return BetaPrior(0.0, _STRENGTH_MIN)
    total = float(n.sum())
    mean = float(c.sum()) / total
    spread = mean * (1 - mean)
    chance = len(n) - 1
    room = spread * (total - float((n**2).sum()) / total - chance)
    excess = float((n * (c / n - mean) ** 2).sum()) - spread * chance
    differ = excess > spread * math.sqrt(2 * chance)
    return BetaPrior(mean, _strength(room - excess, excess) if differ else _STRENGTH_MAX)


def rate(successes: Doubles, trials: Doubles) -> Doubles:
    """Successes over trials, 0 without trials."""
    rates: Doubles = np.divide(successes, trials, out=np.zeros_like(trials), where=trials > 0)
    return rates


def growth(now: Doubles, before: Doubles, fallback: BetaPrior | None = None) -> Doubles:
    """How much more an item is in demand than before, relative to `growth_prior` of all of them: (n,) > 0, finite.

    now, before: (n,) counts.  fallback: as for `beta_prior`.
    """
    prior = growth_prior(now, before, fallback)
    a, b = prior.mean * prior.strength, (1 - prior.mean) * prior.strength
    return (now + a) / (before + b) * (b / a)


def growth_prior(now: Doubles, before: Doubles, fallback: BetaPrior | None = None) -> BetaPrior:
    """The prior of the share of an item's events that fall into the later window.

    With no event in one of the windows there is no ratio of the whole to compare with; then it is even, and worth one event.
    """
    prior = beta_prior(now, now + before, fallback)
    return prior if 0 < prior.mean < 1 else BetaPrior(0.5, 1.0)


def _strength(room: float, excess: float) -> float:
    """room / excess within bounds, the upper one if there is no excess."""
    if excess <= 0 or room >= excess * _STRENGTH_MAX:
        return _STRENGTH_MAX
    return max(room / excess, _STRENGTH_MIN)
