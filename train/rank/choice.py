"""Which models serve: the heavy model's loss and number of trees, and the stages that order better than those before them.

Users who select a model must not also score it. The served model is chosen on all users of the judging moment; its quality is
estimated by two-fold cross-validation (Stone 1974): each half of the users scores what the other half chooses. The fits are
the same for all; only the number of trees differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from cluster.config.train import Loss
from cluster.spec import HeavyKind, RankingSpec, RankStage
from train.rank.metrics import interval, mean

N_USERS_MIN = 50
"""With fewer users the bootstrap's interval is too narrow, and one user's luck moves it: the merged order serves."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A model's ndcg@10 as trees are added. stops: (s,) int64, numbers of trees, ascending.  learnt: (s, n) float64, of users
    whose rows it learnt from.  later: (s, g) float64, of users of a later moment. NaN for users who do not count.
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
    """The best model for `users`, a mask over the later users. A loss replaces an earlier one if its ndcg@10 is higher by more
    than two standard errors of the difference, user by user.
    """
    later = {loss: curve.later[:, users] for loss, curve in curves.items()}
    at = {loss: _longest(ndcgs) for loss, ndcgs in later.items()}
    winner, *others = curves
    for loss in others:
        if _is_better(later[loss][at[loss]], later[winner][at[winner]]):
            winner = loss
    return Choice(winner, {loss: int(curves[loss].stops[point]) for loss, point in at.items()})


def crossed(first: NDArray[np.bool_], of_halves: tuple[Choice, Choice]) -> list[tuple[NDArray[np.bool_], Choice]]:
    """Each half of the users, as a mask, with what the other half chose. first: (g,), the half of of_halves[0]."""
    return [(first, of_halves[1]), (~first, of_halves[0])]


def promote(heavy: HeavyKind, ndcgs: Mapping[RankStage, NDArray[np.float64]]) -> RankingSpec:
    """The stage that serves and why. ndcgs: (g,) by stage, of the same users, NaN for a user who does not count.

    A stage serves if its ndcg@10 less that of what would serve without it, user by user, has an interval above 0: the light
    model against the merged order, the heavy one against the light one if that serves, else against the merged order.
    """
    n_users = int(np.count_nonzero(~np.isnan(ndcgs["merged"])))
    if n_users < N_USERS_MIN:
        return RankingSpec(
            heavy, "merged", f"{n_users} users judged, and at least {N_USERS_MIN} are needed to tell models apart"
        )
    serving: RankStage = "merged"
    said = []
    stages: tuple[RankStage, ...] = ("light", "heavy")
    for stage in stages:
        added = ndcgs[stage] - ndcgs[serving]
        low, high = interval(added)
        is_better = low > 0
        verdict = "" if is_better else ": worse" if high < 0 else ": no clear gain"
        said.append(f"{stage} adds {mean(added):+.3f} ({low:+.3f} … {high:+.3f}) to {serving}{verdict}")
        serving = stage if is_better else serving
    return RankingSpec(heavy, serving, f"{'; '.join(said)}; ndcg@10 by {n_users:,} users")


def _is_better(ndcgs: NDArray[np.float64], than: NDArray[np.float64]) -> bool:
    """Whether the difference is more than noise. Of four equal models, the best for one half tends to be the worst for the
    other.
    """
    ahead = ndcgs - than
    ahead = ahead[~np.isnan(ahead)]
    return bool(len(ahead) and ahead.mean() > 2 * ahead.std() / np.sqrt(len(ahead)))


def _longest(ndcgs: NDArray[np.float64]) -> int:
    """The last point that is at most one standard error worse than the best: of the difference, user by user.

    The peak of a flat, noisy curve may be anywhere, and the trees after it mostly help: of twelve curves (three trials, four
    losses) ten were no worse for the other half with all trees than with those up to the peak. An ensemble that overfits is
    still cut. All trees if nobody counts.
    """
    counting = ndcgs[:, ~np.isnan(ndcgs).any(axis=0)]
    if not counting.shape[1]:
        return len(ndcgs) - 1
    behind = counting[int(np.argmax(counting.mean(axis=1)))] - counting
    error = behind.std(axis=1) / np.sqrt(counting.shape[1])
    return int(np.flatnonzero(behind.mean(axis=1) <= error)[-1])
