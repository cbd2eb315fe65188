"""How much of the catalogue an answer was drawn from, counted so that the parts always add up. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from cluster.clients.protocols import Fleet
from cluster.coverage import Coverage, MissingShard, ShardCounts
from cluster.errors import CoverageTooLow, DeadlineExceeded
from cluster.spec import GenerationSpec
from cluster.types import ShardReply
from router.fanout import Missed


def coverage_of(
    fleet: Fleet,
    replies: Mapping[int, ShardReply],
    missed: Mapping[int, Missed],
    *,
    asked: Collection[str],
    required: float,
) -> Coverage:
    """The coverage of an answer drawn from `replies`; every other shard of the fleet is in `missed`.

    asked: the sources that the query named.
    """
    spec = fleet.spec
    reasons = [m.reason for m in missed.values()]
    answered: dict[str, list[int]] = {source: [] for source in asked}
    for shard, reply in replies.items():
        for hits in reply.sources:
            if hits.source in answered:
                answered[hits.source].append(shard)
    return Coverage(
        ratio=share_of(spec, replies),
        required=required,
        shards=ShardCounts(
            total=spec.n_shards,
            ok=len(replies),
            late=reasons.count("timeout"),
            failed=reasons.count("failed"),
            loading=reasons.count("loading"),
        ),
        missing=tuple(
            MissingShard(shard, fleet.shards[shard].name, m.reason, m.detail, round(m.waited_ms, 3))
            for shard, m in sorted(missed.items())
        ),
        by_source={source: share_of(spec, shards) for source, shards in answered.items()},
    )


def require(coverage: Coverage) -> None:
    """Raise CoverageTooLow if less was searched than the request requires, or nothing; its details hold the coverage as HTTP
    answers it.

    Where nothing is required and every shard was late, what was too little is the time: DeadlineExceeded.
    """
    shards = coverage.shards
    if shards.ok and coverage.ratio >= coverage.required:
        return
    if shards.late == shards.total and not coverage.required:
        raise DeadlineExceeded(f"none of {shards.total} shards answered in time", stage="retrieve")
    message = (
        f"{coverage.ratio:.4g} of the items were searched, {coverage.required:.4g} are required"
        if shards.ok
        else f"none of {shards.total} shards answered"
    )
    raise CoverageTooLow(message, coverage=msgspec.to_builtins(coverage))


def share_of(spec: GenerationSpec, shards: Collection[int]) -> float:
    """Items in these shards / all items; of an empty catalogue, shards / all shards."""
    if spec.n_items == 0:
        return len(shards) / spec.n_shards
    return sum([spec.shard_items[shard] for shard in shards]) / spec.n_items
