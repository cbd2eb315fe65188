"""Metrics of each source and of their union: recall, coverage, cost, and what only this source proposes. Pure.

Recall is hits / purchases, averaged over the users with a purchase that counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from train.rank.held_out import HeldOut
from train.rank.metrics import mean, ratio
from train.worth.hits import UNION, Hits

KS = (100, 500)
CURVE_KS = (10, 20, 50, 100, 200, 350, 500)

Table = dict[str, dict[str, float]]


def table(hits: Hits, held_out: HeldOut, *, n_eligible: int, ks: Sequence[int] = KS) -> Table:
    """System -> metric -> value, for the systems that any request asked, the union last.

    recall@k: of all purchases; recall_new@k: of items new to the user.  coverage: the share of the eligible items that are
    among the best `depth` of any request.  exclusive, exclusive_new: of the purchases that all sources propose together, the
    share that only this source proposes; the union has none.  asked: the share of requests that ask the system.
    ms_per_request: the milliseconds that such a request costs a shard.
    """
    return {
        system: {
            **{f"recall@{k}": recall for k, recall in zip(ks, curve(hits, held_out, system, ks), strict=True)},
            **{f"recall_new@{k}": recall for k, recall in zip(ks, curve(hits, held_out, system, ks, new=True), strict=True)},
            "coverage": float(hits.proposed[column] / max(n_eligible, 1)),
            **({} if system == UNION else _exclusive(hits, held_out, column)),
            "asked": float(hits.asked[column] / max(hits.n_requests, 1)),
            "ms_per_request": float(hits.shard_ms[column]),
        }
        for column, system in enumerate(hits.systems)
        if hits.asked[column]
    }


def curve(hits: Hits, held_out: HeldOut, system: str, ks: Sequence[int], *, new: bool = False) -> list[float]:
    """The system's recall at each k, of all purchases or of items new to the user."""
    return [mean(per_user_recall(hits, held_out, system, k, new=new)) for k in ks]


def per_user_recall(hits: Hits, held_out: HeldOut, system: str, k: int, *, new: bool = False) -> NDArray[np.float64]:
    """(u,) float64, NaN for users without a purchase that counts. k: at most the depth of the hits."""
    assert k <= hits.depth, f"recall at {k} of lists that end at {hits.depth}"
    counts = held_out.new if new else np.ones(len(held_out.items), bool)
    found: NDArray[np.bool_] = counts & (hits.ranks[:, hits.systems.index(system)] <= k)
    n_users, groups = len(held_out.users), held_out.groups
    n_wanted = np.bincount(groups[counts], minlength=n_users)
    n_found = np.bincount(groups[found], minlength=n_users)
    return ratio(n_found, n_wanted)


def ahead_of_union(hits: Hits, held_out: HeldOut, k: int) -> dict[str, float]:
    """Recall at k of the sources that beat the union by two standard errors, user by user; the best first.

    The union is a single list, so a source that is much better than the others loses places to their candidates.
    """
    union = per_user_recall(hits, held_out, UNION, k)
    recalls: dict[str, float] = {}
    for column, system in enumerate(hits.systems):
        if system != UNION and hits.asked[column]:
            own = per_user_recall(hits, held_out, system, k)
            ahead = (own - union)[~np.isnan(own)]
            if len(ahead) > 1 and ahead.mean() > 2 * ahead.std(ddof=1) / np.sqrt(len(ahead)):
                recalls[system] = mean(own)
    return dict(sorted(recalls.items(), key=lambda source: -source[1]))


def by_activity(
    hits: Hits, held_out: HeldOut, system: str, activity: NDArray[np.integer], *, k: int
) -> list[tuple[str, float]]:
    """Recall of groups of users: those without a history, and four equal parts of the others by its length.

    activity: (u,), the number of different items that each user bought before.  Returns (name, recall) of each group that has
    users.
    """
    recalls = per_user_recall(hits, held_out, system, k)
    known = np.sort(activity[activity > 0])
    quarters = [part for part in np.array_split(known, 4) if len(part)]
    bounds = [(0, 0), *((int(part[0]), int(part[-1])) for part in quarters)]
    groups = []
    for low, high in dict.fromkeys(bounds):
        mine = (activity >= low) & (activity <= high)
        if not np.isnan(recalls[mine]).all():
            groups.append((f"{low}" if low == high else f"{low}–{high}", mean(recalls[mine])))
    return groups


def _exclusive(hits: Hits, held_out: HeldOut, column: int) -> dict[str, float]:
    found = np.isfinite(hits.ranks[:, :-1])
    anyone, new = np.any(found, axis=1), held_out.new
    alone = found[:, column] & (np.sum(found, axis=1) == 1)
    return {"exclusive": _share(alone, anyone), "exclusive_new": _share(alone & new, anyone & new)}


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(part)) / max(int(np.count_nonzero(whole)), 1)
