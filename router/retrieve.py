"""Sends one query to the shards, and accepts only replies from the right shard, of this generation and in its schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cluster.clients.protocols import Fleet
from cluster.coverage import MissingReason
from cluster.deadline import Deadline
from cluster.spec import GenerationSpec
from cluster.types import Query, ShardReply, UnknownValue
from router.fanout import Missed, fan_out
from router.funnel import Flow
from router.removal import Removed
from router.request import Degradation, Eligibility

_DEGRADED: dict[MissingReason, Degradation] = {
    "timeout": "shard_timeout",
    "failed": "shard_failed",
    "loading": "shard_loading",
}


@dataclass(frozen=True, slots=True, eq=False)
class Retrieved:
    """The replies of the shards that were asked, and why the others sent none."""

    spec: GenerationSpec
    got: Mapping[int, ShardReply]
    missed: Mapping[int, Missed]

    @property
    def flow(self) -> Flow:
        """In is the catalogue."""
        n_items, n_asked = self.spec.n_items, sum(self.spec.shard_items[shard] for shard in self.got)
        n_eligible = sum(reply.n_eligible for reply in self.got.values())
        n_sent = sum(len(reply.keys) for reply in self.got.values())
        removed: Removed = {
            "missing_shard": n_items - n_asked,
            "ineligible": n_asked - n_eligible,
            "not_proposed": n_eligible - n_sent,
        }
        return Flow(n_items, n_sent, removed, tuple(_DEGRADED[missed.reason] for missed in self.missed.values()))

    def eligible(self) -> Eligibility:
        """What there is to choose from. A value is unknown if no shard knows it."""
        replies = self.got.values()
        n_items = sum(reply.n_eligible for reply in replies)
        n_searched = sum(reply.n_items for reply in replies)
        if n_items or not replies:
            return Eligibility(n_items, n_searched)
        suggested: dict[tuple[str, str], list[str]] = {}
        for reply in replies:
            for unknown in reply.unknown_values:
                suggested.setdefault((unknown.field, unknown.value), []).append(unknown.did_you_mean)
        everywhere = {named: alike for named, alike in suggested.items() if len(alike) == len(replies)}
        return Eligibility(n_items, n_searched, tuple(UnknownValue(*named, max(alike)) for named, alike in everywhere.items()))


async def retrieve(query: Query, shards: Iterable[int], fleet: Fleet, deadline: Deadline) -> Retrieved:
    """The replies of these shards of the fleet. Raises InvalidQuery if a shard refuses the query for what it says."""

    def fault(shard: int, reply: ShardReply) -> str:
        return _fault(reply, shard, query, fleet)

    answers = await fan_out(shards, lambda shard: fleet.shards[shard].retrieve(query, deadline), deadline, fault=fault)
    return Retrieved(fleet.spec, answers.got, answers.missed)


def _fault(reply: ShardReply, shard: int, query: Query, fleet: Fleet) -> str:
    """What is wrong with a reply, "" for nothing."""
    if reply.generation != query.generation:
        return f"answered from generation {reply.generation} instead of {query.generation}"
    if reply.shard != shard:
        return f"shard {reply.shard} answered for shard {shard}"
    n_features = len(fleet.spec.features.match)
    if reply.match.shape[1] != n_features:
        return f"sent {reply.match.shape[1]} match features instead of {n_features}"
    n_asked = len(query.group_by) + len(query.marks)
    n_facts = 0 if reply.facts is None else reply.facts.shape[1]
    if n_facts != n_asked:
        return f"sent {n_facts} facts of each candidate instead of {n_asked}"
    return ""
