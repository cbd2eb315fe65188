"""From the shards' replies to one list of candidates, and the proof that no shard held back what belongs in it.

Pure, and free of per-item Python. Every source's hits are cut to the global top-k in canonical order before anything
else looks at them, so how the catalogue was cut into shards cannot show in the result. It knows nothing of time or health.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from cluster.order import precedes, top_k
from cluster.spec import GenerationSpec
from cluster.types import NO_KEYS, Candidates, Floats, Keys, ShardReply, SourceHits
from router.plan import Plan


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
    removed: Mapping[str, int]


def merge(replies: Sequence[ShardReply], plan: Plan, spec: GenerationSpec, *, rank_constant: float) -> Merged:
    """Fuse the replies of one query, each shard's at most once, in any order; at least one.

    Per source: the top `budget` of all hits, ranked from 1. Fused score: sum over sources, in the generation's order and
    in float32, of 1 / (rank_constant + rank) (reciprocal rank fusion, Cormack et al. 2009). The best `plan.n_candidates`
    by (fused score, key) remain.
    """
    names = tuple(source.name for source in spec.sources)
    sizes = [len(reply.keys) for reply in replies]
    starts = np.cumsum([0, *sizes[:-1]])
    keys = np.concatenate([reply.keys for reply in replies])
    scores = np.full((len(keys), len(names)), np.nan, np.float32)
    ranks = np.full((len(keys), len(names)), np.nan, np.float32)
    fused = np.zeros(len(keys), np.float32)

    uncertified: set[int] = set()
    exact = True
    budgets = {ask.source: budget for ask, budget in zip(plan.query.asks, plan.budgets, strict=True)}
    for column, source in enumerate(spec.sources):
        budget = budgets.get(source.name)
        if budget is None:
            continue
        found = [_hits(reply, source.name) for reply in replies]
        best, best_scores = _global_top(found, starts, keys, budget)
        scores[best, column] = best_scores
        ranks[best, column] = _ranks(len(best))
        fused[best] += _reciprocal_ranks(len(best), rank_constant)

        last = (float(best_scores[-1]), int(keys[best[-1]])) if len(best) == budget else None
        short = [reply.shard for reply, hits in zip(replies, found, strict=True) if hits and _may_belong(hits, last)]
        uncertified.update(short)
        exact = exact and not (source.exact and (short or None in found))

    n_unique = int(np.count_nonzero(fused))
    chosen = top_k(fused, keys, min(plan.n_candidates, n_unique))  # what no source kept has 0 and comes last
    candidates = Candidates(
        sources=names,
        shard=np.repeat(np.array([reply.shard for reply in replies], np.int32), sizes)[chosen],
        rows=np.concatenate([reply.rows for reply in replies])[chosen],
        keys=keys[chosen],
        scores=fused[chosen],
        source_scores=scores[chosen],
        source_ranks=ranks[chosen],
        match=np.concatenate([reply.match for reply in replies])[chosen],
        groups=_groups(replies, plan, chosen),
    )
    return Merged(
        candidates,
        uncertified=tuple(sorted(uncertified)),
        exact=exact,
        n_received=len(keys),
        removed={"beyond_k": len(keys) - n_unique, "below_cutoff": n_unique - len(chosen)},
    )


def _hits(reply: ShardReply, source: str) -> SourceHits | None:
    return next((hits for hits in reply.sources if hits.source == source), None)


def _global_top(found: Sequence[SourceHits | None], starts: np.ndarray, keys: Keys, k: int) -> tuple[np.ndarray, Floats]:
    """The k best hits of one source over all shards: positions in the concatenated replies, and scores."""
    members = np.concatenate([hits.members + start for hits, start in zip(found, starts, strict=True) if hits] or [NO_KEYS])
    scores = np.concatenate([hits.scores for hits in found if hits] or [np.empty(0, np.float32)])
    best = top_k(scores, keys[members], k)
    return members[best], scores[best]


def _may_belong(hits: SourceHits, last: tuple[float, int] | None) -> bool:
    """Whether a shard's best unsent hit would enter the top-k that ends with `last`, None while it is not full."""
    return hits.more and (last is None or precedes(hits.next_score, hits.next_key, *last))


def _groups(replies: Sequence[ShardReply], plan: Plan, chosen: np.ndarray) -> Keys:
    if not plan.query.group_by:
        return NO_KEYS
    groups: Keys = np.concatenate([reply.groups for reply in replies])[chosen]
    return groups


@lru_cache(maxsize=256)
def _ranks(n: int) -> Floats:
    return np.arange(1, n + 1, dtype=np.float32)


@lru_cache(maxsize=256)
def _reciprocal_ranks(n: int, rank_constant: float) -> Floats:
    return (1 / (np.float32(rank_constant) + _ranks(n))).astype(np.float32)
