"""Merges until the merge is certified: with at most one more call, to the shards that may have held candidates back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cluster.clients.protocols import Fleet
from cluster.deadline import Deadline
from cluster.types import ShardReply
from router.merge import Merged, merge
from router.planning.plan import Plan
from router.retrieve import retrieve


@dataclass(frozen=True, slots=True, eq=False)
class Searched:
    """The candidates, the replies they were merged from, and the shards that were asked a second time."""

    merged: Merged
    replies: Mapping[int, ShardReply]
    asked_again: tuple[int, ...] = ()


async def certified_merge(
    replies: Mapping[int, ShardReply], plan: Plan, fleet: Fleet, *, rank_constant: float, deadline: Deadline
) -> Searched:
    """The merge of these replies, with those of the uncertified shards replaced by their full lists.

    A shard that does not answer a second time keeps its first reply, and the merge stays `exact=False`.
    """
    merged = merge(list(replies.values()), plan, fleet.spec, rank_constant=rank_constant)
    if not merged.uncertified or deadline.expired:
        return Searched(merged, replies)
    again = await retrieve(plan.in_full(), merged.uncertified, fleet, deadline)
    if not again.got:
        return Searched(merged, replies, merged.uncertified)
    completed = {**replies, **again.got}
    return Searched(
        merge(list(completed.values()), plan, fleet.spec, rank_constant=rank_constant), completed, merged.uncertified
    )
