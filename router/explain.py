"""The explanation of one answer, for people: what each source and each shard contributed. Computed only on request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from cluster.clients.protocols import Fleet
from cluster.types import SlateItem, SourceHits
from router.fill import Filled
from router.planning.plan import Plan
from router.request import ExploredPlace, ShardTrace, SlateTrace, SourceTrace
from router.search import Searched
from router.slate.explore import propensity
from router.slate.rules import Rules


def source_traces(planned: Plan, found: Searched, items: Sequence[SlateItem], *, ratio: float) -> tuple[SourceTrace, ...]:
    """The asked sources, in the order of the query. planned: for the whole catalogue.  ratio: the share that was searched."""
    candidates = found.merged.candidates
    proposed = ~np.isnan(candidates.source_scores)
    alone = proposed & (proposed.sum(axis=1, keepdims=True) == 1)
    kept = dict(zip(candidates.sources, proposed.sum(axis=0).tolist(), strict=True))
    exclusive = dict(zip(candidates.sources, alone.sum(axis=0).tolist(), strict=True))
    placed = Counter(source for item in items for source in item.sources)
    hits_of: dict[str, list[SourceHits]] = {ask.source: [] for ask in planned.query.asks}
    for reply in found.replies.values():
        for hits in reply.sources:
            hits_of[hits.source].append(hits)
    return tuple(
        SourceTrace(
            source=source,
            asked=asked,
            found=min(budget, sum(len(one.members) for one in hits)),
            kept=kept[source],
            exclusive=exclusive[source],
            placed=placed[source],
            took_ms=round(max((one.took_us for one in hits), default=0.0) / 1000, 3),
            strategies=dict(Counter(one.strategy for one in hits)),
        )
        for (source, hits), asked, budget in zip(hits_of.items(), planned.budgets, planned.covering(ratio).budgets, strict=True)
    )


def shard_traces(found: Searched, fleet: Fleet) -> tuple[ShardTrace, ...]:
    """The shards whose replies were merged, in their order."""
    return tuple(
        ShardTrace(
            shard=shard,
            replica=fleet.shards[shard].name,
            took_ms=round(reply.took_us / 1000, 3),
            queue_ms=round(reply.queue_us / 1000, 3),
            n_rows=len(reply.keys),
            n_eligible=reply.n_eligible,
            strategies={hits.source: hits.strategy for hits in reply.sources},
            asked_again=shard in found.asked_again,
        )
        for shard, reply in sorted(found.replies.items())
    )


def slate_trace(filled: Filled, rules: Rules, *, seed: int) -> SlateTrace:
    """What rules did to the items that are shown."""
    slate, items = filled.slate, filled.items
    rank_of = {at: rank for rank, at in enumerate(filled.positions, 1)}
    share = rules.explore.share if rules.explore is not None else 0.0
    return SlateTrace(
        seed=seed,
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
