"""Merges until the merge is certified: with at most one more call, to the shards that may have held candidates back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cluster.clients.protocols import Fleet
from cluster.deadline import Deadline
from cluster.types import Candidates, ShardReply
from router.funnel import Flow
from router.merge import Merged, merge
from router.planning.plan import Plan
from router.retrieve import retrieve


@dataclass(frozen=True, slots=True, eq=False)
class Searched:
    """The candidates, the replies they were merged from, and the shards that were asked a second time."""

    merged: Merged
    replies: Mapping[int, ShardReply]
    asked_again: tuple[int, ...] = ()

    @property
    def candidates(self) -> Candidates:
        return self.merged.candidates

    @property
    def flow(self) -> Flow:
        return Flow(self.merged.n_received, len(self.candidates), self.merged.removed)


async def certified_merge(replies: Mapping[int, ShardReply], plan: Plan, fleet: Fleet, deadline: Deadline) -> Searched:
    """The merge of these replies, with those of the uncertified shards replaced by their full lists.

    A shard that does not answer a second time keeps its first reply, and the merge stays `exact=False`.
    """
    merged = merge(list(replies.values()), plan, fleet.spec)
    if not merged.uncertified or deadline.expired:
        return Searched(merged, replies)
    again = await retrieve(plan.in_full(), merged.uncertified, fleet, deadline)
    if not again.got:
        return Searched(merged, replies, merged.uncertified)
    completed = {**replies, **again.got}
    return Searched(merge(list(completed.values()), plan, fleet.spec), completed, merged.uncertified)
