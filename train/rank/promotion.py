"""Which stages of ranking serve: only models that order better than what would serve without them.

A model is better if the interval of its ndcg@10 less the other's, user by user, is above 0. The light model is compared with
the merged order; a heavy model with the light model or, if that does not serve, with the merged order. `train/rank/choice.py`
ensures that users judge a heavy model that they did not choose.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cluster.spec import HeavyKind, RankingSpec, RankStage
from train.rank.metrics import interval, mean

N_USERS_MIN = 50
"""With fewer users the bootstrap's interval is too narrow, and one user's luck moves it: the merged order serves."""


def promote(heavy: HeavyKind, ndcgs: Mapping[RankStage, NDArray[np.float64]]) -> RankingSpec:
    """The stage that serves and why. ndcgs: (g,) by stage, of the same users, NaN for one who does not count."""
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
