"""Repeats the faults of the original answer: an answer is reproduced with its faults, or not at all."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cluster.clients.local import failed
from cluster.clients.protocols import Fleet, ShardClient
from cluster.deadline import Deadline
from cluster.errors import ShardUnavailable
from cluster.lookup import LookupQuery, LookupReply
from cluster.partition import item_keys
from cluster.probe import ProbeQuery, ProbeReply
from cluster.types import FetchQuery, FetchReply, Query, ShardReply
from router.replay.logged import Logged
from router.request import Degradation

NOT_RANKED: tuple[Degradation, ...] = ("ranker_timeout", "ranker_failed", "ranker_schema")
_FAULTS: tuple[Degradation, ...] = (
    *("shard_timeout", "shard_failed", "shard_loading"),
    *NOT_RANKED,
    *("heavy_skipped", "heavy_narrowed", "diversity_skipped", "fill_failed"),
)


@dataclass(frozen=True, slots=True)
class ShardAsThen:
    """A shard that delivers no more than it did then. Whether to ask it for candidates is its caller's matter."""

    client: ShardClient
    shard: int
    logged: Logged

    @property
    def name(self) -> str:
        return self.client.name

    def retrieve(self, query: Query, deadline: Deadline) -> Awaitable[ShardReply]:
        return self.client.retrieve(query, deadline)

    def fetch(self, query: FetchQuery, deadline: Deadline) -> Awaitable[FetchReply]:
        if self.shard in (self.logged.vectorless if query.vectors else self.logged.undelivered):
            return failed(ShardUnavailable(f"{self.name} did not deliver in the original request"))
        if query.vectors or len(self.logged.gone) == 0:
            return self.client.fetch(query, deadline)
        return self._without_gone(query, deadline)

    async def _without_gone(self, query: FetchQuery, deadline: Deadline) -> FetchReply:
        reply = await self.client.fetch(query, deadline)
        return replace(reply, eligible=reply.eligible & ~np.isin(item_keys(reply.item_ids), self.logged.gone))

    def lookup(self, query: LookupQuery, deadline: Deadline) -> Awaitable[LookupReply]:
        return self.client.lookup(query, deadline)

    def probe(self, query: ProbeQuery, deadline: Deadline) -> Awaitable[ProbeReply]:
        return self.client.probe(query, deadline)


def as_then(fleet: Fleet, logged: Logged) -> Fleet:
    """The fleet of the same generation, with the faults that the request met."""
    shards = tuple(ShardAsThen(client, shard, logged) for shard, client in enumerate(fleet.shards))
    return replace(fleet, shards=shards)


def notes_of(logged: Logged, *, at_home: bool, same_ranking: bool) -> tuple[str, ...]:
    """What had failed then, each in a line that says whether it fails again. at_home: on the generation that answered."""
    faults = [one for one in logged.degraded if one in _FAULTS]
    if not at_home:
        return (f"faults of the original answer do not apply here: {', '.join(faults)}",) if faults else ()
    notes = []
    if logged.missed:
        why = [one for one in faults if one.startswith("shard_")]
        notes.append(f"without {_shards(logged.missed)}, as in the original: {', '.join(why)}")
    for reason in logged.ranked_degraded:
        again = "as in the original" if same_ranking else "unlike the original"
        how = _ORDER_THEN[reason] if same_ranking else "ranked by the models"
        notes.append(f"{how}, {again}: {reason}")
    if logged.vectorless:
        notes.append(f"without the vectors of {_shards(logged.vectorless)}, as in the original: diversity_skipped")
    if logged.undelivered:
        notes.append(f"without the items that {_shards(logged.undelivered)} did not deliver, as in the original: fill_failed")
    if len(logged.gone):
        notes.append(f"without {len(logged.gone)} items that were gone, as in the original: stock_leak")
    return tuple(notes)


def excuse_of(logged: Logged) -> str:
    """Why the slate may come out differently, "" if it must come out the same."""
    if logged.undelivered or len(logged.gone):
        return "items could not be shown, and timing decided how many others were fetched in their place"
    return ""


_ORDER_THEN: dict[Degradation, str] = {
    **dict.fromkeys(NOT_RANKED, "in merged order"),
    "heavy_skipped": "in the light model's order",
    "heavy_narrowed": "with as few for the heavy model",
}


def _shards(shards: Sequence[int]) -> str:
    return f"shard{'s' if len(shards) > 1 else ''} {', '.join(map(str, shards))}"
