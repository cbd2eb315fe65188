"""Which loss serves and with how many trees: those that order the candidates of the judging moment's users best.

Users who select a model must not also score it. The served model is chosen on all users; its quality is estimated by two-fold
cross-validation (Stone 1974): each half of the users judges what the other half chose. The fits are the same for all choices;
only the numbers of trees differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from cluster.config.train import Loss
from train.rank.metrics import mean


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A model's ndcg@10 as trees are added. stops: (s,) int64, numbers of trees, ascending.  learnt: (s, n) float64, by users
    whose rows it learnt from.  later: (s, g) float64, by users of a later moment. NaN for users who count for nothing.
    """

    stops: NDArray[np.int64]
    learnt: NDArray[np.float64]
    later: NDArray[np.float64]

    @classmethod
    def without_points(cls) -> Self:
        return cls(np.empty(0, np.int64), np.empty((0, 0)), np.empty((0, 0)))

    @property
    def points(self) -> tuple[tuple[int, float, float], ...]:
        """(number of trees, mean of learnt, mean of later)."""
        return tuple(zip(self.stops.tolist(), map(mean, self.learnt), map(mean, self.later), strict=True))


class Choice(msgspec.Struct, frozen=True):
    """winner: the loss whose model serves.  n_trees: of each loss."""

    winner: Loss
    n_trees: dict[Loss, int]

    @property
    def system(self) -> str:
        """The winner's name among the systems that are judged."""
        return f"heavy:{self.winner}"


def choose(curves: Mapping[Loss, Curve], users: NDArray[np.bool_]) -> Choice:
    """What is best for `users`, a mask over the later users: a loss takes the place of one before it if it is better by more
    than two standard errors, user by user.
    """
    later = {loss: curve.later[:, users] for loss, curve in curves.items()}
    at = {loss: _longest(ndcgs) for loss, ndcgs in later.items()}
    winner, *others = curves
    for loss in others:
        if _is_better(later[loss][at[loss]], later[winner][at[winner]]):
            winner = loss
    return Choice(winner, {loss: int(curves[loss].stops[point]) for loss, point in at.items()})


def crossed(first: NDArray[np.bool_], of_halves: tuple[Choice, Choice]) -> list[tuple[NDArray[np.bool_], Choice]]:
    """Who judges what: either half of the users what the other half chose. first: (g,), the half of of_halves[0]."""
    return [(first, of_halves[1]), (~first, of_halves[0])]


def _is_better(ndcgs: NDArray[np.float64], than: NDArray[np.float64]) -> bool:
    """By more than noise: whichever of four like models does best for one half tends to do worst of them for the other."""
    ahead = ndcgs - than
    ahead = ahead[~np.isnan(ahead)]
    return bool(len(ahead) and ahead.mean() > 2 * ahead.std() / np.sqrt(len(ahead)))


def _longest(ndcgs: NDArray[np.float64]) -> int:
    """The last point that is no more than a standard error worse than the best: of the difference, user by user.

    The peak of a curve that is flat but for noise is anywhere, and what is cut off behind it mostly does good: of twelve curves
    (three trials, four losses) ten were no worse for the other half with all trees than with those up to the peak. An ensemble
    that overfits is cut all the same. All trees if nobody counts.
    """
    counting = ndcgs[:, ~np.isnan(ndcgs).any(axis=0)]
    if not counting.shape[1]:
        return len(ndcgs) - 1
    behind = counting[int(np.argmax(counting.mean(axis=1)))] - counting
    error = behind.std(axis=1) / np.sqrt(counting.shape[1])
    return int(np.flatnonzero(behind.mean(axis=1) <= error)[-1])
