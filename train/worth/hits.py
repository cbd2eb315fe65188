"""The ranks at which each source, and their union, propose the items that users later buy, by the serving code.

Every request is planned, answered by the shards and merged twice: as when serving, which gives the union and the times; and
with each source asked for the same number of items, which makes the sources comparable. Each answer is also checked: no source
proposes an ineligible item, and a source that promises k items returns them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cluster.sorted_keys import is_among
from cluster.spec import GenerationSpec
from cluster.types import Candidates, Query, ShardReply
from router.planning.plan import Plan, demand
from train.offline_router import OfflineRouter
from train.rank.visits import Visit

UNION = "union"


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """For S systems, the generation's sources and then the union, and the t items of a `HeldOut`.

    ranks: (t, S) float32 from 1, infinite if not among the system's best `depth`.  proposed: (S,) int64, distinct items of
    all requests.  asked: (S,) int64, the number of requests that asked the system.  shard_ms: (S,) float64, the mean
    milliseconds that such a request costs a shard; for the union, all of the shard's work.
    """

    systems: tuple[str, ...]
    depth: int
    n_requests: int
    ranks: NDArray[np.float32]
    proposed: NDArray[np.int64]
    asked: NDArray[np.int64]
    shard_ms: NDArray[np.float64]


def find(
    visits: Sequence[Visit],
    router: OfflineRouter,
    *,
    depth: int,
    eligible: NDArray[np.int64],
    on_visit: Callable[[int], None] = lambda n_visits: None,
) -> Hits:
    """Run every visit. eligible: keys of the items that the requests' filters let through, ascending."""
    spec = router.spec
    tally = _Tally(spec, eligible)
    ranks = [np.empty((0, len(tally.systems)), np.float32)]
    for n_done, visit in enumerate(visits):
        planned = router.plan(visit.request, visit.record)
        served, replies = router.merged(replace(planned, n_candidates=depth))
        alone, _ = router.merged(router.to_depth(planned, depth))
        allowed = np.setdiff1d(eligible, planned.query.exclude, assume_unique=True)
        _check(planned, served.candidates, alone.candidates, spec, allowed, depth=depth, k=visit.request.k)
        ranks.append(_ranks_of(visit.wanted, alone.candidates, served.candidates))
        tally.add(planned.query, replies, alone.candidates, served.candidates)
        on_visit(n_done + 1)
    return Hits(
        systems=tally.systems,
        depth=depth,
        n_requests=len(visits),
        ranks=np.concatenate(ranks),
        proposed=np.count_nonzero(tally.proposed, axis=1),
        asked=tally.asked,
        shard_ms=tally.us / 1e3 / np.maximum(tally.asked * spec.n_shards, 1),
    )


class _Tally:
    """Sums over requests. proposed: (S, n_eligible) bool, whether any request's list holds the item."""

    def __init__(self, spec: GenerationSpec, eligible: NDArray[np.int64]) -> None:
        self.systems = (*(source.name for source in spec.sources), UNION)
        self.asked = np.zeros(len(self.systems), np.int64)
        self.us = np.zeros(len(self.systems))
        self.proposed = np.zeros((len(self.systems), len(eligible)), bool)
        self._eligible = eligible
        self._column = {name: at for at, name in enumerate(self.systems)}

    def add(self, query: Query, replies: Sequence[ShardReply], alone: Candidates, served: Candidates) -> None:
        self.asked[[*(self._column[ask.source] for ask in query.asks), -1]] += 1
        for reply in replies:
            self.us[-1] += reply.took_us
            for hits in reply.sources:
                self.us[self._column[hits.source]] += hits.took_us
        at, columns = np.nonzero(~np.isnan(alone.source_ranks))
        self.proposed[columns, np.searchsorted(self._eligible, alone.keys)[at]] = True
        self.proposed[-1, np.searchsorted(self._eligible, served.keys)] = True


def _ranks_of(wanted: NDArray[np.int64], alone: Candidates, served: Candidates) -> NDArray[np.float32]:
    """(w, S) float32: the wanted keys' ranks in each source's own list, and in the union's."""
    ranks = np.full((len(wanted), len(alone.sources) + 1), np.inf, np.float32)
    _, at, found = np.intersect1d(wanted, alone.keys, assume_unique=True, return_indices=True)
    of_sources = alone.source_ranks[found]
    ranks[at, :-1] = np.where(np.isnan(of_sources), np.inf, of_sources)
    _, at, found = np.intersect1d(wanted, served.keys, assume_unique=True, return_indices=True)
    ranks[at, -1] = found + 1
    return ranks


def _check(
    planned: Plan,
    served: Candidates,
    alone: Candidates,
    spec: GenerationSpec,
    allowed: NDArray[np.int64],
    *,
    depth: int,
    k: int,
) -> None:
    """What holds under any filter, or the shards are wrong. allowed: keys neither filtered out nor excluded."""
    for candidates in (served, alone):
        n_wrong = int(np.count_nonzero(~is_among(candidates.keys, allowed)))
        assert n_wrong == 0, f"{n_wrong} of {len(candidates)} candidates are ineligible or excluded"
    for ask in planned.query.asks:
        source = spec.source(ask.source)
        assert source is not None
        column = alone.sources.index(ask.source)
        n_found = int(np.count_nonzero(~np.isnan(alone.source_ranks[:, column])))
        n_promised = min(depth, len(allowed)) if source.promises_k else 0
        assert n_found >= n_promised, f"{ask.source} came short: {n_found} of {n_promised}"
    n_needed = min(demand(k), len(allowed), depth)
    assert len(served) >= n_needed, f"the union came short: {len(served)} of {n_needed}"
