"""What does each stage of ranking add, and what does it cost? Requests of the past through merge, light and heavy model and
slate, one after the other, by the code that serves, judged after each stage by what the users went on to buy.

One process, one thread, one shard: times are of the work, not of waiting for each other. Where the models come from is
`train/worth/rank_evaluation.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
from numpy.typing import NDArray

from cluster.clients.local import LocalShardClient
from cluster.clients.protocols import Fleet
from cluster.config.sections import Config
from cluster.deadline import Deadline
from cluster.order import best_first, head_reordered
from cluster.spec import RankingSpec, RankStage
from cluster.types import Candidates, Keys
from ranker.features import Features, assemble
from ranker.model import Model
from router.rank import Ranked, rank_query
from router.shape import shape
from router.users.user_tower import UserTower
from shard.shard import Shard
from train.rank.judge import K, light_share, metrics_of
from train.rank.metrics import PerGroup, interval, mean, per_group
from train.rank.visits import Visit
from train.worth.hits import Searchers

HEAVY, SLATE = "heavy", "slate"
_AMPLE_MS = 60_000.0


@dataclass(frozen=True, slots=True, eq=False)
class StageModels:
    """light, and heavy ones by system name. chosen: the name of the one that is "heavy".  stage: the one that serves, whose
    order the slate is made of.
    """

    light: Model
    heavy: Mapping[str, Model]
    chosen: str
    stage: RankStage


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Visits of one moment, and the models that shall serve them. shard: the whole catalogue as of that moment."""

    visits: Sequence[Visit]
    shard: Shard
    models: StageModels
    tower: UserTower | None = None


@dataclass(frozen=True, slots=True, eq=False)
class StageWorth:
    """systems: "merged", "light", the heavy ones, "heavy" (of each visit the one chosen for it), "slate" (of the order that
    serves), and "candidates", whose recall bounds all others'.

    ndcg@10, its interval, recall@10, mrr; ms: of the stage alone, the mean over requests, "merged" with retrieval.  adds: to
    the ndcg@10 of the stage before, with its interval, over the same requests; the slate to the stage that serves.
    light_share, of heavy models: of the ten that it would like best among all candidates, how many are in the n_heavy that the
    light one passes on.  chosen: the heavy model of all users.  ranking: which stage serves, and why.
    """

    systems: dict[str, dict[str, float]]
    n_requests: int
    n_users: int
    n_heavy: int
    chosen: str
    ranking: RankingSpec


def measure_stages(
    asked: Sequence[Asked],
    config: Config,
    *,
    chosen: str,
    ranking: RankingSpec,
    on_visit: Callable[[int], None] = lambda n_visits: None,
) -> StageWorth:
    """Every visit through all stages. asked: with heavy models of the same names, and of the same stage.  chosen, ranking: to
    report.  Visits whose candidates or wishes are none do not count. Intervals are over users, however often
    they ask.
    """
    n_heavy = config.ranker.heavy.n_heavy
    systems = ("merged", "light", *asked[0].models.heavy, HEAVY, SLATE)
    stage = asked[0].models.stage
    assert all(part.models.stage == stage for part in asked), "slates of different stages add to no common one"
    first = next((replace(part, visits=part.visits[:1]) for part in asked if part.visits), asked[0])
    _ask(first, config, _Tally(systems), n_heavy=n_heavy, on_visit=lambda: None)  # what is imported takes its time here
    tally, done = _Tally(systems), count(1)
    for part in asked:
        _ask(part, config, tally, n_heavy=n_heavy, on_visit=lambda: on_visit(next(done)))
    return StageWorth(tally.table(stage), tally.n_requests, tally.n_users, n_heavy, chosen, ranking)


def _ask(asked: Asked, config: Config, tally: _Tally, *, n_heavy: int, on_visit: Callable[[], None]) -> None:
    shard, models, spec = asked.shard, asked.models, asked.shard.spec
    searchers = Searchers((shard,), spec, config, asked.tower)
    fleet = Fleet(1, spec, (LocalShardClient(shard),), None)
    # Not a Runner, whose run() sets the handler of SIGINT anew each time and so spells out the arrays of a request: 10 ms.
    with closing(asyncio.new_event_loop()) as loop:
        for visit in asked.visits:
            on_visit()
            watch = _Watch()
            planned = searchers.plan(visit.request, visit.record)
            merged, _ = searchers.merged(planned)
            candidates = merged.candidates
            retrieved_ms = watch.lap()
            wanted = np.setdiff1d(visit.wanted, planned.query.exclude, assume_unique=True)
            if not len(candidates) or not len(wanted):
                continue
            labels = np.isin(candidates.keys, wanted)
            tally.begin(labels, n_wanted=len(wanted), user=visit.request.user_id)
            tally.add("merged", np.arange(len(candidates)), retrieved_ms)

            watch.lap()
            features = assemble(spec.features, rank_query(candidates, visit.request, visit.record, spec, config.ranker))
            scores = models.light.score(features)
            by_light = best_first(scores, candidates.keys)
            tally.add("light", by_light, watch.lap())

            orders: dict[RankStage, NDArray[np.intp]] = {"merged": np.arange(len(candidates)), "light": by_light}
            for name, model in models.heavy.items():
                order, took_ms = _heavy(model, features, candidates.keys, by_light, n_heavy)
                share = light_share(model.score(features), candidates.keys, by_light[:n_heavy])
                for system in (name, HEAVY) if name == models.chosen else (name,):
                    tally.add(system, order, took_ms)
                    tally.share(system, share)
                if name == models.chosen:
                    orders["heavy"] = order
            ranked = _ranked(orders[models.stage], candidates)

            watch.lap()
            shaped = loop.run_until_complete(
                shape(
                    candidates,
                    ranked,
                    visit.request,
                    plan=planned,
                    setup=searchers.setup,
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
    """Relevance by place of every system, user after user, and what they took."""

    def __init__(self, systems: tuple[str, ...]) -> None:
        self._labels: list[NDArray[np.bool_]] = []
        self._by_place: dict[str, list[NDArray[np.bool_]]] = {name: [] for name in systems}
        self._ms: dict[str, list[float]] = {name: [] for name in systems}
        self._shares: dict[str, list[float]] = {}
        self._n_wanted: list[int] = []
        self._users: dict[str, int] = {}
        self._owners: list[int] = []

    @property
    def n_requests(self) -> int:
        return len(self._labels)

    @property
    def n_users(self) -> int:
        return len(self._users)

    def begin(self, labels: NDArray[np.bool_], *, n_wanted: int, user: str) -> None:
        self._labels.append(labels)
        self._n_wanted.append(n_wanted)
        self._owners.append(self._users.setdefault(user, len(self._users)))

    def add(self, system: str, order: NDArray[np.integer], took_ms: float) -> None:
        """order: candidates by place; those that are not in it come last, as they stood."""
        rest = np.setdiff1d(np.arange(len(self._labels[-1])), order)
        self._by_place[system].append(self._labels[-1][np.concatenate((order, rest))])
        self._ms[system].append(took_ms)

    def share(self, system: str, share: float) -> None:
        self._shares.setdefault(system, []).append(share)

    def table(self, stage: RankStage) -> dict[str, dict[str, float]]:
        """stage: the one that the slate is made of."""
        starts = np.concatenate(([0], np.cumsum([len(labels) for labels in self._labels]))).astype(np.int64)
        places = np.concatenate([np.empty(0), *(-np.arange(len(labels)) for labels in self._labels)])
        n_wanted = np.array(self._n_wanted, np.int64)
        found: dict[str, PerGroup] = {}
        for name, parts in self._by_place.items():
            labels = np.concatenate([np.empty(0, np.float32), *parts])
            found[name] = per_group(places, labels, starts, K, n_wanted=n_wanted)
        before = {"light": "merged", **dict.fromkeys(self._shares, "light"), SLATE: stage}
        owners = np.array(self._owners, np.int64)
        table: dict[str, dict[str, float]] = {}
        for name, groups in found.items():
            row = metrics_of(groups, owners) | {"ms": float(np.mean(self._ms[name])) if self._ms[name] else 0.0}
            if name in before:
                added = groups.ndcg - found[before[name]].ndcg
                low, high = interval(added, owners=owners)
                row |= {"adds": mean(added), "adds_lo": low, "adds_hi": high}
            if name in self._shares:
                row["light_share"] = float(np.mean(self._shares[name]))
            table[name] = row
        recall = [labels.sum() / n for labels, n in zip(self._labels, self._n_wanted, strict=True)]
        return table | {"candidates": {"recall": float(np.mean(recall)) if recall else 0.0}}


def _heavy(
    model: Model, features: Features, keys: Keys, by_light: NDArray[np.intp], n_heavy: int
) -> tuple[NDArray[np.intp], float]:
    """The order, and the milliseconds that scoring the head and sorting it took."""
    watch = _Watch()
    scores = model.score(features.T.take(by_light[:n_heavy], axis=1).T)
    order, _ = head_reordered(by_light, scores, keys)
    return order, watch.lap()


def _ranked(order: NDArray[np.intp], candidates: Candidates) -> Ranked:
    """As the ranker would answer; the slate reads the order of the scores only where it explores or diversifies."""
    return Ranked(order.astype(np.int32), np.linspace(1, 0, len(candidates), dtype=np.float32))
