"""The first items of a slate with ids and payloads from their owners, and a last check that each may be shown.

An item that may no longer be shown is removed and counted as `stock_leak`; an item that its owner cannot deliver has no id and
is removed too. The slate is then composed again without them, so the rules hold for what is shown in the end. Only rows that
are about to be shown are fetched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np

from cluster.clients.protocols import Fleet
from cluster.deadline import Deadline
from cluster.errors import InvalidQuery
from cluster.partition import item_key
from cluster.types import FetchQuery, FetchReply, Query, SlateItem
from router.fanout import Answers, Missed, fan_out
from router.removal import Removed
from router.slate.compose import Slate

_ROUND_SHARE = 0.5  # of the time left: an owner that hangs must leave the others time to fill its places


@dataclass(frozen=True, slots=True, eq=False)
class Fetched:
    """What of a slate is shown. slate: as it is in the end.  places: in its sequence, ascending; aligned with it positions in
    the candidates, item_ids and payloads.

    n_fetched == len(places) + sum of removed.  gone: positions of what may no longer be shown.  missed: owners that could not
    deliver.
    """

    slate: Slate
    places: Sequence[int]
    positions: Sequence[int]
    item_ids: tuple[str | int, ...]
    payloads: tuple[Mapping[str, object], ...]
    n_fetched: int
    removed: Removed
    gone: Sequence[int]
    missed: Mapping[int, Missed]

    def items(self, *, first_rank: int = 1) -> list[SlateItem]:
        """The shown items, best first."""
        candidates = self.slate.candidates
        proposed = (~np.isnan(candidates.source_ranks.take(np.array(self.positions, np.intp), axis=0))).tolist()
        scores = self.slate.scores.take(np.array(self.places, np.intp)).tolist()
        return [
            SlateItem(item_id, rank, score, tuple(compress(candidates.sources, by)), payload)
            for rank, (item_id, score, by, payload) in enumerate(
                zip(self.item_ids, scores, proposed, self.payloads, strict=True), first_rank
            )
        ]


async def fetch_items(slate: Slate, k: int, *, query: Query, fleet: Fleet, deadline: Deadline) -> Fetched:
    """The first k items of the slate that are there and may be shown; fewer only when slate, time or owners run out."""
    items: dict[int, tuple[str | int, Mapping[str, object]]] = {}
    missed: dict[int, Missed] = {}
    leaked: list[int] = []
    n_fetched = n_undelivered = 0
    head = wanted = slate.sequence[:k].tolist()
    growth = 1
    while wanted and not deadline.expired:
        n_fetched += len(wanted)
        by_shard = _by_shard(slate, wanted)
        answers = await _fetch(slate, by_shard, query, fleet, deadline)
        missed.update(answers.missed)
        gone: list[int] = []
        for shard, asked in by_shard.items():
            reply = answers.got.get(shard)
            if reply is None:
                n_undelivered += len(asked)
                continue
            delivered = zip(asked, reply.item_ids, reply.payloads, reply.eligible.tolist(), strict=True)
            fresh = {position: (item_id, payload) for position, item_id, payload, eligible in delivered if eligible}
            if len(fresh) < len(asked):
                gone += [position for position in asked if position not in fresh]
            items |= fresh
        leaked += gone
        if not gone and not answers.missed:
            break
        # Where some are gone more may be: each further round takes twice the reserve, so that rounds stay few.
        slate = _without(slate, gone, answers.missed)
        growth *= 2
        head = slate.sequence[:k].tolist()
        wanted = [position for position in head if position not in items]
        reserve = slate.sequence[k : k + (growth - 1) * len(wanted)].tolist()
        wanted += [position for position in reserve if position not in items]
    places = [place for place, position in enumerate(head) if position in items]
    if len(places) < min(k, len(items)):  # time ran out with holes in the head: what else is known stands in for them
        head = slate.sequence.tolist()
        places = [place for place, position in enumerate(head) if position in items][:k]
    positions = [head[place] for place in places]
    shown = [items[position] for position in positions]
    return Fetched(
        slate,
        places,
        positions,
        item_ids=tuple(item_id for item_id, _ in shown),
        payloads=tuple(payload for _, payload in shown),
        n_fetched=n_fetched,
        removed={"stock_leak": len(leaked), "fill_failed": n_undelivered, "surplus": len(items) - len(shown)},
        gone=leaked,
        missed=missed,
    )


def _without(slate: Slate, gone: list[int], missed: Mapping[int, Missed]) -> Slate:
    """The slate without these positions, and without everything that the missed shards own."""
    candidates = slate.candidates
    unreachable = np.flatnonzero(np.isin(candidates.shard, list(missed))) if missed else np.empty(0, np.intp)
    return slate.without(candidates.keys[np.union1d(np.array(gone, np.intp), unreachable)])


def _by_shard(slate: Slate, positions: list[int]) -> dict[int, list[int]]:
    owners = slate.candidates.shard.take(np.array(positions, np.intp)).tolist()
    grouped: dict[int, list[int]] = {}
    for position, shard in zip(positions, owners, strict=True):
        grouped.setdefault(shard, []).append(position)
    return grouped


async def _fetch(
    slate: Slate, by_shard: Mapping[int, list[int]], query: Query, fleet: Fleet, deadline: Deadline
) -> Answers[FetchReply]:
    """Ask the owners. A reply about other items than were asked for is a fault."""
    candidates = slate.candidates
    chosen = {shard: np.array(positions) for shard, positions in by_shard.items()}
    queries = {shard: FetchQuery(query.generation, candidates.rows.take(at), query.filter) for shard, at in chosen.items()}
    round_deadline = deadline.part(_ROUND_SHARE)

    def fault(shard: int, reply: FetchReply) -> str:
        keys = candidates.keys.take(chosen[shard]).tolist()
        return "" if _is_about(reply, query.generation, keys) else "delivered other items than were asked for"

    return await fan_out(
        queries, lambda shard: fleet.shards[shard].fetch(queries[shard], round_deadline), round_deadline, fault=fault
    )


def _is_about(reply: FetchReply, generation: str, keys: list[int]) -> bool:
    try:
        same = [item_key(item_id) for item_id in reply.item_ids] == keys
    except InvalidQuery:
        return False
    return same and reply.generation == generation and len(reply.payloads) == len(reply.eligible) == len(keys)
