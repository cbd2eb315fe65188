"""The answer to a request, from all that led to it; if it asks for an explanation, what each source and shard contributed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from cluster.types import SourceHits
from router.funnel import Funnel
from router.request import ExploredPlace, Recommendation, ShardTrace, SlateTrace, SourceTrace
from router.slate.explore import propensity
from router.trail import Trail


def answer_of(trail: Trail, funnel: Funnel) -> Recommendation:
    """The answer, with the traces if the request wants them."""
    answer = Recommendation(
        items=trail.filled.items,
        coverage=trail.coverage,
        degraded=funnel.degraded,
        generation=trail.setup.spec.id,
        topology_version=trail.fleet.version,
        timings_ms=funnel.timings_ms(),
        exact_merge=trail.searched.merged.exact,
        funnel=tuple(funnel.stages),
        eligible=trail.retrieved.eligible(),
    )
    if trail.request.explain == "none":
        return answer
    return replace(
        answer,
        shards=shard_traces(trail),
        sources=source_traces(trail),
        rank=trail.ranked.trace,
        slate=slate_trace(trail),
        unknown_items=trail.unknown_items,
    )


def source_traces(trail: Trail) -> tuple[SourceTrace, ...]:
    """The asked sources, in the order of the query."""
    candidates = trail.searched.candidates
    proposed = ~np.isnan(candidates.source_scores)
    alone = proposed & (proposed.sum(axis=1, keepdims=True) == 1)
    kept = dict(zip(candidates.sources, proposed.sum(axis=0).tolist(), strict=True))
    exclusive = dict(zip(candidates.sources, alone.sum(axis=0).tolist(), strict=True))
    placed = Counter(source for item in trail.filled.items for source in item.sources)
    hits_of: dict[str, list[SourceHits]] = {ask.source: [] for ask in trail.planned.query.asks}
    for reply in trail.searched.replies.values():
        for hits in reply.sources:
            hits_of[hits.source].append(hits)
    return tuple(
        SourceTrace(
            source=source,
            asked=asked,
            found=min(budget, sum(len(run.members) for run in hits)),
            kept=kept[source],
            exclusive=exclusive[source],
            placed=placed[source],
            took_ms=round(max((run.took_us for run in hits), default=0.0) / 1000, 3),
            strategies=dict(Counter(run.strategy for run in hits)),
        )
        for (source, hits), asked, budget in zip(hits_of.items(), trail.planned.budgets, trail.covering.budgets, strict=True)
    )


def shard_traces(trail: Trail) -> tuple[ShardTrace, ...]:
    """The shards whose replies were merged, in their order."""
    return tuple(
        ShardTrace(
            shard=shard,
            replica=trail.fleet.shards[shard].name,
            took_ms=round(reply.took_us / 1000, 3),
            queue_ms=round(reply.queue_us / 1000, 3),
            n_rows=len(reply.keys),
            n_eligible=reply.n_eligible,
            strategies={hits.source: hits.strategy for hits in reply.sources},
            asked_again=shard in trail.searched.asked_again,
        )
        for shard, reply in sorted(trail.searched.replies.items())
    )


def slate_trace(trail: Trail) -> SlateTrace:
    """What rules did to the items that are shown."""
    filled, rules = trail.filled, trail.setup.rules
    slate, items = filled.slate, filled.items
    rank_of = {at: rank for rank, at in enumerate(filled.positions, 1)}
    share = rules.explore.section.share if rules.explore is not None else 0.0
    return SlateTrace(
        seed=trail.shaped.seed,
        pinned=tuple(rank_of[at] for at in slate.pinned if at in rank_of),
        relaxed={rank_of[at]: tuple(names) for at, names in slate.relaxed.items() if at in rank_of},
        missed=tuple(slate.missed),
        explored=tuple(
            ExploredPlace(
                rank := rank_of[draw.chosen],
                items[rank - 1].item_id,
                draw.explored,
                round(propensity(draw, slate.posteriors, share=share), 6),
            )
            for draw in slate.draws
            if draw.chosen in rank_of
        ),
    )
