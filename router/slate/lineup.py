"""The line-up: the candidates in ranked order, without the excluded ones, with boosts applied. Pure.

Ranking scores of two phases, or of two models, cannot be compared, and may be negative. So boosts and diversity do not use
scores but the value of a place, 1 / log2(place + 1) for places from 1, the discount of DCG. Doubling it moves an item from
place p to about the square root of p, whatever model made the order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.sorted_keys import is_among
from cluster.types import Candidates, Floats, Keys
from router.rank import Ranked
from router.slate.rules import BoostRule

Positions = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Lineup:
    """n of the candidates, the first in line first, all arrays (n,).

    positions: in the candidates.  scores: the ranking's.  values: what rules weigh, descending.  places: where the ranking
    had them, from 0, not counting the excluded.
    """

    candidates: Candidates
    positions: Positions
    scores: Floats
    values: NDArray[np.float64]
    places: Positions

    def __len__(self) -> int:
        return len(self.positions)


def line_up(candidates: Candidates, ranked: Ranked, *, exclude: Keys, boosts: Sequence[BoostRule] = ()) -> Lineup:
    """exclude: keys ascending and unique."""
    positions, scores = allowed_of(candidates, ranked, exclude)
    places = np.arange(len(positions))
    values = 1 / np.log2(places + 2.0)
    if boosts:
        values = boosted(values, candidates, positions, boosts)
        order = np.argsort(-values, kind="stable")
        positions, scores, values, places = positions[order], scores[order], values[order], places[order]
    return Lineup(candidates, positions, scores, values, places)


def allowed_of(candidates: Candidates, ranked: Ranked, exclude: Keys) -> tuple[Positions, Floats]:
    """The ranked positions and scores, without the excluded keys."""
    positions, scores = ranked.order.astype(np.intp), ranked.scores
    if len(exclude) == 0:
        return positions, scores
    excluded = is_among(candidates.keys[positions], exclude)
    return (positions[~excluded], scores[~excluded]) if excluded.any() else (positions, scores)


def boosted(
    values: NDArray[np.float64], candidates: Candidates, positions: Positions, boosts: Sequence[BoostRule]
) -> NDArray[np.float64]:
    """All factors first, then what is added: the order in which boosts are written does not matter."""
    factors, sums = np.ones(len(values)), np.zeros(len(values))
    for boost in boosts:
        members = boost.selected(candidates)[positions]
        factors[members] *= boost.multiply
        sums[members] += boost.add
    return values * factors + sums
