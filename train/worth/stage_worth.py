"""What does each stage of ranking add, and what does it cost? Requests of the past pass through merge, light model, heavy model
and slate, by the code that serves, and the order after each stage is scored on the purchases that followed.

One process, one thread, one shard: times measure work, not waiting. The models come from `train/worth/rank_evaluation.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
from numpy.typing import NDArray

from cluster.clients.local import LocalShardClient
from cluster.clients.protocols import Fleet
from cluster.deadline import Deadline
from cluster.order import best_first, head_reordered
from cluster.spec import RankingSpec, RankStage
from cluster.types import Candidates
from ranker.model import Model
from router.rank import Ranked
from router.shape import shape
from train.offline_router import OfflineRouter
from train.rank.judge import OrderTally, Quality, light_share
from train.rank.metrics import interval, mean
from train.rank.visits import Visit

HEAVY, SLATE = "heavy", "slate"
_AMPLE_MS = 60_000.0


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """Visits of one moment, and the models that serve them. router: over the whole catalogue as of that moment.

    heavy: by system name.  chosen: the name of the one that is "heavy".  ranking: the stage that serves, whose order the slate
    is made of, and why.
    """

    visits: Sequence[Visit]
    router: OfflineRouter
    light: Model
    heavy: Mapping[str, Model]
    chosen: str
    ranking: RankingSpec


@dataclass(frozen=True, slots=True, eq=False)
class StageWorth:
    """systems: "merged", "light", the heavy ones, "heavy" (of each visit the one chosen for it), "slate" (of the order that
    serves), and "candidates", whose recall bounds all others'.

    ndcg@10, its interval, recall@10, mrr; ms: of the stage alone, the mean over requests, "merged" with retrieval.  adds: the
    gain in ndcg@10 over the stage before, with its interval, on the same requests; of the slate, over the stage that serves.
    light_share, of heavy models: the share of the ten candidates it scores highest that are in the n_heavy of the light model.
    chosen: the heavy model that all users choose.  ranking: which stage serves, and why.
    """

    systems: dict[str, dict[str, float]]
    n_requests: int
    n_users: int
    n_heavy: int
    chosen: str
    ranking: RankingSpec


def measure_stages(
    sessions: Sequence[Session], *, chosen: str, on_visit: Callable[[int], None] = lambda n_visits: None
) -> StageWorth:
    """Every visit through all stages. sessions: all have heavy models of the same names, and the same stage serves.  chosen:
    for the report. Visits without candidates or without wanted items do not count. Intervals are over users, not requests.
    """
    first = sessions[0]
    ranking = first.ranking
    assert all(session.ranking.stage == ranking.stage for session in sessions), "slates of different stages add to none"
    warm_up = next((replace(session, visits=session.visits[:1]) for session in sessions if session.visits), first)
    _measure(warm_up, _Tally(first.heavy), on_visit=lambda: None)  # what is imported takes its time here
    tally, n_done = _Tally(first.heavy), count(1)
    for session in sessions:
        _measure(session, tally, on_visit=lambda: on_visit(next(n_done)))
    n_heavy = first.router.config.ranker.heavy.n_heavy
    return StageWorth(tally.table(ranking.stage), tally.orders.n_requests, len(tally.users), n_heavy, chosen, ranking)


def _measure(session: Session, tally: _Tally, *, on_visit: Callable[[], None]) -> None:
    router = session.router
    n_heavy = router.config.ranker.heavy.n_heavy
    fleet = Fleet(1, router.spec, tuple(map(LocalShardClient, router.shards)), None)
    # Not a Runner, whose run() sets the handler of SIGINT anew each time and so spells out the arrays of a request: 10 ms.
    with closing(asyncio.new_event_loop()) as loop:
        for visit in session.visits:
            on_visit()
            watch = _Watch()
            planned = router.plan(visit.request, visit.record)
            merged, _ = router.merged(planned)
            candidates = merged.candidates
            retrieved_ms = watch.lap()
            wanted = np.setdiff1d(visit.wanted, planned.query.exclude, assume_unique=True)
            if not len(candidates) or not len(wanted):
                continue
            tally.begin(np.isin(candidates.keys, wanted), n_wanted=len(wanted), user=visit.request.user_id)
            tally.add("merged", np.arange(len(candidates)), retrieved_ms)

            watch.lap()
            features = router.features(candidates, visit.request, visit.record)
            by_light = best_first(session.light.score(features), candidates.keys)
            tally.add("light", by_light, watch.lap())

            orders: dict[RankStage, NDArray[np.intp]] = {"merged": np.arange(len(candidates)), "light": by_light}
            for name, model in session.heavy.items():
                watch.lap()
                scores = model.score(features.T.take(by_light[:n_heavy], axis=1).T)
                order, _ = head_reordered(by_light, scores, candidates.keys)
                took_ms = watch.lap()
                share = light_share(model.score(features), candidates.keys, by_light[:n_heavy])
                for system in (name, HEAVY) if name == session.chosen else (name,):
                    tally.add(system, order, took_ms)
                    tally.orders.add_share(system, share)
                if name == session.chosen:
                    orders["heavy"] = order
            ranked = _ranked(orders[session.ranking.stage], candidates)

            watch.lap()
            shaped = loop.run_until_complete(
                shape(
                    candidates,
                    ranked,
                    visit.request,
                    plan=planned,
                    setup=router.setup,
                    fleet=fleet,
                    deadline=Deadline.after_ms(_AMPLE_MS),
                )
            )
            tally.add(SLATE, shaped.slate.sequence, watch.lap())


class _Watch:
    def __init__(self) -> None:
        self._at = time.perf_counter()

    def lap(self) -> float:
        """Milliseconds since the last lap."""
        before, self._at = self._at, time.perf_counter()
        return (self._at - before) * 1e3


class _Tally:
    """The order after each stage of each request, and how long the stage took. users: user id -> number, by first request."""

    def __init__(self, heavy: Collection[str]) -> None:
        self.orders = OrderTally(("merged", "light"), (*heavy, HEAVY), (SLATE,))
        self.users: dict[str, int] = {}
        self._owners: list[int] = []
        self._ms: dict[str, list[float]] = {}

    def begin(self, wanted: NDArray[np.bool_], *, n_wanted: int, user: str) -> None:
        self.orders.begin(wanted, n_wanted=n_wanted)
        self._owners.append(self.users.setdefault(user, len(self.users)))

    def add(self, system: str, order: NDArray[np.integer], took_ms: float) -> None:
        self.orders.add(system, order)
        self._ms.setdefault(system, []).append(took_ms)

    def table(self, stage: RankStage) -> Quality:
        """stage: the one that the slate is made of."""
        judged, owners = self.orders.judged(), np.array(self._owners, np.int64)
        before = {"light": "merged", **dict.fromkeys(judged.shares, "light"), SLATE: stage}
        table = judged.quality(owners)
        for system, groups in judged.per_system.items():
            table[system]["ms"] = mean(np.array(self._ms.get(system, ())))
            if system in before:
                added = groups.ndcg - judged.per_system[before[system]].ndcg
                low, high = interval(added, owners=owners)
                table[system] |= {"adds": mean(added), "adds_lo": low, "adds_hi": high}
        return table


def _ranked(order: NDArray[np.intp], candidates: Candidates) -> Ranked:
    """As the ranker would answer. The slate reads scores only to explore or diversify, so any that descend will do."""
    return Ranked(order.astype(np.int32), np.linspace(1, 0, len(candidates), dtype=np.float32))
