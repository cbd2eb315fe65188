"""From the shards' replies to one list of candidates, and the proof that no shard held back an item that belongs in it.

Pure, and free of per-item Python. Every source's hits are first cut to the global top-k in canonical order, so the result does
not depend on how the catalogue is split into shards. It knows nothing of time or health.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from cluster.capping import within_cap
from cluster.order import best_first, best_first_within, precedes, top_k
from cluster.spec import GenerationSpec
from cluster.types import NO_FLOATS, NO_ROWS, Candidates, Floats, Keys, ShardReply, SourceHits
from router.planning.plan import Plan
from router.removal import Removed


@dataclass(frozen=True, slots=True, eq=False)
class Merged:
    """Candidates, best first, and what became of everything the shards sent.

    uncertified: shards whose next hit might belong in some source's top-k; ask them again, in full.
    exact: every source that claims exactness ran in all these shards, and none of them is uncertified for it.
    removed: what is no candidate, by reason; n_received minus their sum is the number of candidates.
    """

    candidates: Candidates
    uncertified: tuple[int, ...]
    exact: bool
    n_received: int
    removed: Removed


def merge(replies: Sequence[ShardReply], plan: Plan, spec: GenerationSpec) -> Merged:
    """Fuse the replies of one query, each shard's at most once, in any order; at least one.

    Per source: the top `budget` of all hits, ranked from 1. Fused score: sum over sources, in the generation's order, of
    weight / (rank_constant + rank) (reciprocal rank fusion, Cormack et al. 2009; both are the plan's), summed in
    float64 and rounded to float32. The best `plan.n_candidates` by (fused score, key) remain.
    """
    names = tuple(source.name for source in spec.sources)
    sizes = [len(reply.keys) for reply in replies]
    keys = np.concatenate([reply.keys for reply in replies])
    lists = _lists(replies, plan, spec)
    groups = _facts(replies)[:, 0] if plan.query.cap else None
    tops = _tops(lists, list(accumulate(sizes, initial=0)), keys, groups=groups, cap=plan.query.cap)
    uncertified = _uncertified(lists, tops, replies)

    cells = tops.members * len(names) + tops.columns
    weights = tuple(lst.weight for lst in lists)
    fused = np.bincount(tops.members, _reciprocal_ranks(tops.sizes, weights, plan.rank_constant), len(keys)).astype(np.float32)
    n_unique = int(np.count_nonzero(fused))
    chosen = top_k(fused, keys, min(plan.n_candidates, n_unique))  # what no source kept has 0 and comes last
    n_cut = n_unique - len(chosen)
    if len(plan.query.include):
        chosen = _with_included(chosen, fused, keys, plan.query.include)
        n_cut = n_unique - int(np.count_nonzero(fused[chosen]))
    candidates = Candidates(
        sources=names,
        shard=np.repeat(np.array([reply.shard for reply in replies], np.int32), sizes).take(chosen),
        rows=np.concatenate([reply.rows for reply in replies]).take(chosen),
        keys=keys.take(chosen),
        scores=fused.take(chosen),
        source_scores=_table(len(keys), len(names), cells, tops.scores).take(chosen, axis=0),
        source_ranks=_table(len(keys), len(names), cells, _ranks(tops.sizes)).take(chosen, axis=0),
        match=np.concatenate([reply.match for reply in replies]).take(chosen, axis=0),
        facts=_facts(replies).take(chosen, axis=0) if plan.query.group_by or plan.query.marks else None,
    )
    return Merged(
        candidates,
        uncertified=tuple(sorted(set().union(*uncertified))),
        exact=not any(lst.exact and (short or None in lst.hits) for lst, short in zip(lists, uncertified, strict=True)),
        n_received=len(keys),
        removed={"beyond_k": len(keys) - len(chosen) - n_cut, "below_cutoff": n_cut},
    )


@dataclass(frozen=True, slots=True)
class _List:
    """One source over all shards. column: its place in the generation's order.  hits: by reply, None where it did not run."""

    column: int
    budget: int
    weight: float
    exact: bool
    hits: list[SourceHits | None]


@dataclass(frozen=True, slots=True, eq=False)
class _Tops:
    """The global top of each list, one after the other, best first: positions in the concatenated replies, and scores.

    sizes: how many entries are whose.  columns: whose each entry is.  lasts: each list's last entry as (score, key), None
    while it has fewer than its budget.
    """

    members: NDArray[np.int64]
    scores: Floats
    columns: NDArray[np.int64]
    sizes: tuple[int, ...]
    lasts: list[tuple[float, int] | None]


def _lists(replies: Sequence[ShardReply], plan: Plan, spec: GenerationSpec) -> list[_List]:
    """The asked sources, in the generation's order."""
    budgets = {ask.source: budget for ask, budget in zip(plan.query.asks, plan.budgets, strict=True)}
    weights = {ask.source: weight for ask, weight in zip(plan.query.asks, plan.weights, strict=bool(plan.weights))}
    found = [{hits.source: hits for hits in reply.sources} for reply in replies]
    return [
        _List(
            column, budgets[source.name], weights.get(source.name, 1.0), source.exact, [hits.get(source.name) for hits in found]
        )
        for column, source in enumerate(spec.sources)
        if source.name in budgets
    ]


def _tops(lists: Sequence[_List], starts: Sequence[int], keys: Keys, *, groups: Keys | None, cap: int) -> _Tops:
    """All lists are sorted in one call: for a few hundred hits numpy's price is the number of calls.

    groups: of every key if the query has a cap, which leaves it one list: each shard kept the cap alone, here all together do.
    """
    runs = [(hits, start) for lst in lists for hits, start in zip(lst.hits, starts[:-1], strict=True) if hits]
    lengths = [len(hits.members) for hits, _ in runs]
    counts = [sum(len(hits.members) for hits in lst.hits if hits) for lst in lists]
    columns = [lst.column for lst in lists]
    sizes = tuple(min(lst.budget, count) for lst, count in zip(lists, counts, strict=True))

    offsets = np.repeat(np.array([start for _, start in runs], np.int64), lengths)
    members = np.concatenate([NO_ROWS, *(hits.members for hits, _ in runs)]) + offsets
    scores = np.concatenate([NO_FLOATS, *(hits.scores for hits, _ in runs)])
    order = best_first_within(np.repeat(np.array(columns, np.int16), counts), scores, keys.take(members))
    if groups is not None:
        order = order[within_cap(groups.take(members.take(order)), cap)]
        sizes = tuple(min(lst.budget, len(order)) for lst in lists)
    begins = accumulate(counts, initial=0)
    kept = np.concatenate([order[:0], *(order[begin : begin + size] for begin, size in zip(begins, sizes, strict=False))])
    members, scores = members.take(kept), scores.take(kept)
    lasts = [
        (float(scores[end - 1]), int(keys[members[end - 1]])) if size and size == lst.budget else None
        for lst, size, end in zip(lists, sizes, accumulate(sizes), strict=True)
    ]
    return _Tops(members, scores, np.repeat(np.array(columns, np.int64), sizes), sizes, lasts)


def _uncertified(lists: Sequence[_List], tops: _Tops, replies: Sequence[ShardReply]) -> list[set[int]]:
    """By list, the shards whose best unsent hit would enter its top, or whose unsent hits could fill it up."""
    return [
        {
            reply.shard
            for reply, hits in zip(replies, lst.hits, strict=True)
            if hits and hits.more and (last is None or precedes(hits.next_score, hits.next_key, *last))
        }
        for lst, last in zip(lists, tops.lasts, strict=True)
    ]


def _with_included(chosen: NDArray[np.intp], fused: Floats, keys: Keys, include: Keys) -> NDArray[np.intp]:
    """The chosen positions, then those of the keys to include that were not chosen, in canonical order too."""
    missing = np.setdiff1d(np.flatnonzero(np.isin(keys, include)), chosen)
    return np.concatenate((chosen, missing[best_first(fused[missing], keys[missing])]))


def _facts(replies: Sequence[ShardReply]) -> NDArray[np.int64]:
    return np.concatenate([reply.facts for reply in replies if reply.facts is not None])


def _table(n_rows: int, n_columns: int, cells: NDArray[np.int64], values: Floats) -> NDArray[np.float32]:
    """(n_rows, n_columns) float32 with these values in these cells, counted row by row, and NaN elsewhere."""
    table = np.full(n_rows * n_columns, np.nan, np.float32)
    table[cells] = values
    return table.reshape(n_rows, n_columns)


@lru_cache(maxsize=256)
def _ranks(sizes: tuple[int, ...]) -> Floats:
    """1, 2, ... for each list."""
    ranks = np.concatenate([NO_FLOATS, *(np.arange(1, size + 1, dtype=np.float32) for size in sizes)])
    ranks.flags.writeable = False
    return ranks


@lru_cache(maxsize=256)
def _reciprocal_ranks(sizes: tuple[int, ...], weights: tuple[float, ...], rank_constant: float) -> NDArray[np.float64]:
    """weight / (rank_constant + rank) for each entry of each list."""
    return np.repeat(np.array(weights, np.float64), sizes) / (rank_constant + _ranks(sizes).astype(np.float64))
