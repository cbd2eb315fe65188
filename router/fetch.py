"""The head of a slate as items: ids and payloads from their owners, and a last look at whether each may be shown.

What may no longer be shown is dropped and counted as `stock_leak`; what its owner cannot deliver has no id and is dropped
too. The next in the slate take their places. Only rows that are about to be shown are ever fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from cluster.clients import Fleet
from cluster.deadline import Deadline
from cluster.errors import InternalError, InvalidQuery
from cluster.partition import item_key
from cluster.types import FetchQuery, FetchReply, Query, SlateItem
from router.fanout import Answers, Missed, fan_out
from router.slate import Slate

_ROUND_SHARE = 0.5  # of the time left: an owner that hangs must leave the others time to fill its places


@dataclass(frozen=True, slots=True, eq=False)
class Fetched:
    """What of a slate is shown. places: positions in its sequence, ascending; item_ids and payloads are aligned with it.

    n_fetched == len(places) + sum of removed.  missed: owners that could not deliver.
    """

    slate: Slate
    places: tuple[int, ...]
    item_ids: tuple[str | int, ...]
    payloads: tuple[Mapping[str, object], ...]
    n_fetched: int
    removed: Mapping[str, int]
    missed: Mapping[int, Missed]

    @property
    def positions(self) -> NDArray[np.intp]:
        """Where the shown items stand among the slate's candidates."""
        return self.slate.sequence[list(self.places)]

    @property
    def cap_relaxed(self) -> bool:
        """Whether items over the cap are shown, because there was nothing else."""
        return bool(self.places) and self.places[-1] >= self.slate.n_within_cap

    def items(self, *, first_rank: int = 1) -> list[SlateItem]:
        """The shown items, best first."""
        candidates = self.slate.candidates
        proposed = (~np.isnan(candidates.source_ranks[self.positions])).tolist()
        scores = self.slate.scores[list(self.places)].tolist()
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
    n_fetched = n_leaked = n_undelivered = next_place = 0
    growth = 1
    while len(items) < k and not deadline.expired:
        # Where some are gone more may be: each further round takes twice the reserve, so that rounds stay few.
        places, next_place = _take(slate, growth * (k - len(items)), next_place, missed)
        if not places:
            break
        growth *= 2
        n_fetched += len(places)
        by_shard = _by_shard(slate, places)
        answers = await _fetch(slate, by_shard, query, fleet, deadline)
        missed.update(answers.missed)
        for shard, wanted in by_shard.items():
            reply = answers.got.get(shard)
            if reply is None:
                n_undelivered += len(wanted)
                continue
            delivered = zip(wanted, reply.item_ids, reply.payloads, reply.eligible.tolist(), strict=True)
            fresh = {place: (item_id, payload) for place, item_id, payload, eligible in delivered if eligible}
            n_leaked += len(wanted) - len(fresh)
            items |= fresh
    shown = sorted(items)[:k]
    return Fetched(
        slate,
        tuple(shown),
        item_ids=tuple(items[place][0] for place in shown),
        payloads=tuple(items[place][1] for place in shown),
        n_fetched=n_fetched,
        removed={"stock_leak": n_leaked, "fill_failed": n_undelivered, "surplus": len(items) - len(shown)},
        missed=missed,
    )


def _take(slate: Slate, n: int, start: int, missed: Mapping[int, Missed]) -> tuple[list[int], int]:
    """The next n places from `start` on whose owners have not failed, and where to go on from."""
    if not missed:
        end = min(start + n, len(slate.sequence))
        return list(range(start, end)), end
    owners = slate.candidates.shard[slate.sequence[start:]]
    open_places = start + np.flatnonzero(~np.isin(owners, list(missed)))[:n]
    return open_places.tolist(), int(open_places[-1]) + 1 if len(open_places) else len(slate.sequence)


def _by_shard(slate: Slate, places: list[int]) -> dict[int, list[int]]:
    owners = slate.candidates.shard[slate.sequence[places]].tolist()
    grouped: dict[int, list[int]] = {}
    for place, shard in zip(places, owners, strict=True):
        grouped.setdefault(shard, []).append(place)
    return grouped


async def _fetch(
    slate: Slate, by_shard: Mapping[int, list[int]], query: Query, fleet: Fleet, deadline: Deadline
) -> Answers[FetchReply]:
    """Ask the owners. A reply about other items than were asked for counts as missed."""
    chosen = {shard: slate.sequence[places] for shard, places in by_shard.items()}
    queries = {shard: FetchQuery(query.generation, slate.candidates.rows[at], query.filter) for shard, at in chosen.items()}
    round_deadline = deadline.sooner(deadline.remaining_ms() * _ROUND_SHARE)
    answers = await fan_out(queries, lambda shard: fleet.shards[shard].fetch(queries[shard], round_deadline), round_deadline)
    for shard, reply in list(answers.got.items()):
        if not _is_about(reply, query.generation, slate.candidates.keys[chosen[shard]].tolist()):
            del answers.got[shard]
            wrong = "delivered other items than were asked for"
            answers.missed[shard] = Missed("failed", wrong, 0.0, InternalError(wrong))
    return answers


def _is_about(reply: FetchReply, generation: str, keys: list[int]) -> bool:
    try:
        same = [item_key(item_id) for item_id in reply.item_ids] == keys
    except InvalidQuery:
        return False
    return same and reply.generation == generation and len(reply.payloads) == len(reply.eligible) == len(keys)
