"""The rows that ranking models learn from: the candidates that the serving code would have proposed at a moment in the past,
and which of them the user bought in the window after it.

Retrieval, merge and feature assembly are the functions that serve, over one shard with the whole catalogue as of that moment.
So a feature has the same meaning in training and in production, and nothing later than the moment can leak into it: shard,
records and vectors are made without it. The rows of a user are in merged order. The requests are `train/rank/visits.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from cluster.order import top_k
from cluster.types import Keys
from ranker.features import Features
from ranker.model import Model
from train.copies import Step, in_copies
from train.input.catalogue import Catalogue
from train.input.event_log import DAY_S, EventLog
from train.offline_router import OfflineRouter
from train.rank.metrics import mean
from train.rank.visits import Visit

_USERS_OF_A_COPY_MIN = 50  # a copy of this process has to be worth its start

_ARRAYS = ("features", "labels", "keys", "starts", "n_bought", "users")


@dataclass(frozen=True, slots=True, eq=False)
class RankingRows:
    """Candidates of g users, one group each: rows starts[g] to starts[g + 1], best merged score first.

    features: (m, n_columns) float32 in schema order.  labels: (m,) float32, 1 if bought in the window, else 0.
    keys: (m,) int64, the items.  starts: (g + 1,) int64.  n_bought: (g,) int64, distinct items bought in the window, whether
    they are candidates or not.  users: (g,) int64, positions in the log.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.float32]
    keys: NDArray[np.int64]
    starts: NDArray[np.int64]
    n_bought: NDArray[np.int64]
    users: NDArray[np.int64]

    @classmethod
    def of_request(cls, features: Features, keys: Keys, *, wanted: Keys, user: int) -> RankingRows:
        """A single group. features, keys: of the candidates, in merged order.  wanted: keys of the items the user bought."""
        labels = np.isin(keys, wanted).astype(np.float32)
        return cls(features, labels, keys, np.array([0, len(keys)]), np.array([len(wanted)]), np.array([user]))

    @classmethod
    def none(cls, n_columns: int) -> RankingRows:
        """No groups, with this number of columns."""
        no_keys = np.empty(0, np.int64)
        return cls(
            np.empty((0, n_columns), np.float32), np.empty(0, np.float32), no_keys, np.zeros(1, np.int64), no_keys, no_keys
        )

    @property
    def n_found(self) -> NDArray[np.int64]:
        """The number of items that each user bought among the candidates, (g,)."""
        return np.bincount(self.groups[self.labels > 0], minlength=len(self.users))

    @property
    def recall(self) -> float:
        """The mean share of a user's purchases that are candidates: an upper bound for any ranking."""
        return mean(self.n_found / self.n_bought)

    @property
    def groups(self) -> NDArray[np.int64]:
        """The group of each row, (m,)."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def best(self, model: Model, n: int) -> RankingRows:
        """The n rows of each group with the highest scores, in their previous order: what the model passes on when serving."""
        kept = [
            begin + np.sort(top_k(model.score(self.features[begin:end]), self.keys[begin:end], n))
            for begin, end in zip(self.starts[:-1], self.starts[1:], strict=True)
        ]
        at = np.concatenate([*kept, np.empty(0, np.int64)]).astype(np.int64)
        starts = np.concatenate(([0], np.cumsum([len(rows) for rows in kept]))).astype(np.int64)
        return RankingRows(self.features[at], self.labels[at], self.keys[at], starts, self.n_bought, self.users)

    def of_users(self, chosen: NDArray[np.bool_]) -> RankingRows:
        """The groups that `chosen`, (g,), marks."""
        at = np.flatnonzero(chosen[self.groups])
        starts = np.concatenate(([0], np.cumsum(np.diff(self.starts)[chosen]))).astype(np.int64)
        return RankingRows(self.features[at], self.labels[at], self.keys[at], starts, self.n_bought[chosen], self.users[chosen])

    def save(self, folder: Path) -> None:
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name))

    @classmethod
    def together(cls, parts: Sequence[RankingRows]) -> RankingRows:
        """The groups of all parts, in order."""
        sizes = np.concatenate([np.diff(part.starts) for part in parts])
        whole = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
        return cls(**{**whole, "starts": np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)})

    @classmethod
    def load(cls, folder: Path) -> RankingRows:
        return cls(*(np.load(folder / f"{name}.npy") for name in _ARRAYS))


def in_first_half(users: NDArray[np.int64]) -> NDArray[np.bool_]:
    """By position in the log: two in, two out, and so on, so that each half has users with baskets and without."""
    return np.asarray(users // 2 % 2 == 0)


def sample_users(log: EventLog, *, after: int, days: int, n_max: int, seed: int) -> NDArray[np.int64]:
    """At most n_max of the users with an event in the `days` after the moment, ascending positions in the log."""
    active = np.zeros(log.n_users, bool)
    for chunk in log.since(after).as_of(after + days * DAY_S).chunks():
        active[chunk.users] = True
    users = np.flatnonzero(active)
    if len(users) <= n_max:
        return users
    return np.sort(np.random.default_rng(seed).choice(users, n_max, replace=False))


def ranking_rows(
    router: OfflineRouter,
    catalogue: Catalogue,
    *,
    users: NDArray[np.int64],
    visits: Iterable[Visit],
    sampled_negatives: float = 0.0,
    on_user: Callable[[int], None] = lambda n_users: None,
) -> RankingRows:
    """Rows for `users`, positions in the log, and a visit of each; labels are what it says is wanted.

    router: over the whole catalogue as of the moment.  sampled_negatives: so many random items for each wanted one are
    candidates too, whether a source proposes them or not; they show what the rest of the catalogue looks like.  on_user: called
    with the number of users that are done. Users without candidates, and users who want nothing that the request does not
    exclude, such as their basket or under `slate.exclude_seen` what they saw before, are left out.
    """

    def rows_of(user: int, visit: Visit) -> RankingRows | None:
        planned = router.plan(visit.request, visit.record)
        n_sampled = round(sampled_negatives * len(visit.wanted))
        if n_sampled:
            rng = np.random.default_rng((router.config.train.seed, user))
            sampled = np.setdiff1d(rng.choice(catalogue.keys, n_sampled), planned.query.exclude)
            planned = replace(planned, query=replace(planned.query, include=sampled))
        merged, _ = router.merged(planned)
        candidates = merged.candidates
        wanted = np.setdiff1d(visit.wanted, planned.query.exclude, assume_unique=True)
        if not len(candidates) or not len(wanted):
            return None
        features = router.features(candidates, visit.request, visit.record)
        return RankingRows.of_request(features, candidates.keys, wanted=wanted, user=user)

    asked = list(zip(users.tolist(), visits, strict=True))

    def rows_of_some(begin: int, end: int, done: Step) -> RankingRows:
        rows = [RankingRows.none(len(router.spec.features.columns()))]
        for user, visit in asked[begin:end]:
            if (of_user := rows_of(user, visit)) is not None:
                rows.append(of_user)
            done()
        return RankingRows.together(rows)

    n_parts = min(os.cpu_count() or 1, len(asked) // _USERS_OF_A_COPY_MIN)
    if n_parts > 1:
        ends = [len(asked) * part // n_parts for part in range(n_parts + 1)]
        with TemporaryDirectory(prefix="ranking-rows-") as place:
            folders = [Path(place) / str(part) for part in range(n_parts)]

            def keep(part: int, done: Step) -> None:
                folders[part].mkdir()
                rows_of_some(ends[part], ends[part + 1], done).save(folders[part])

            if in_copies([partial(keep, part) for part in range(n_parts)], on_user):
                return RankingRows.together([RankingRows.load(folder) for folder in folders])
    n_done = count(1)
    return rows_of_some(0, len(asked), lambda: on_user(next(n_done)))
