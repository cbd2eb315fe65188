"""The last stage: from a slate to k items, with a second, deeper retrieval if even the reserve is not enough.

The second retrieval is needed only if many candidates went out of stock in the meantime, or if an owner could not deliver its
share. Its items follow everything that was ranked, in merged order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cluster.clients.protocols import Fleet
from cluster.deadline import Deadline
from cluster.types import ShardReply, SlateItem
from router.fanout import Missed
from router.fetch import Fetched, fetch_items
from router.funnel import Flow
from router.merge import merge
from router.planning.plan import Plan, deeper
from router.planning.setup import Setup
from router.rank import as_merged
from router.removal import Removal, Removed, RuleName
from router.request import Degradation
from router.retrieve import retrieve
from router.slate.compose import Slate, SlateHead, compose

_SEARCH_SHARE = 0.5  # of the time left, so that some remains to fetch what was found


@dataclass(frozen=True, slots=True, eq=False)
class Filled:
    """items: best first.  n_fetched == len(items) + sum of removed.  missed: owners that could not deliver.

    slate: as it is in the end.  positions: of the items among its candidates, but for those of a deeper look, which come last.
    gone: keys of what may no longer be shown.
    """

    slate: Slate
    positions: Sequence[int]
    items: tuple[SlateItem, ...]
    n_fetched: int
    removed: Removed
    gone: tuple[int, ...]
    missed: Mapping[int, Missed]
    degraded: tuple[Degradation, ...]

    @property
    def flow(self) -> Flow:
        return Flow(self.n_fetched, len(self.items), self.removed, self.degraded)


async def fill(
    slate: Slate,
    k: int,
    *,
    plan: Plan,
    replies: Mapping[int, ShardReply],
    setup: Setup,
    fleet: Fleet,
    deadline: Deadline,
) -> Filled:
    """The first k items of the slate that can be shown. replies: what it was made from, which tells what else there is."""
    query = plan.query
    fetched = await fetch_items(slate, k, query=query, fleet=fleet, deadline=deadline)
    parts = [fetched]
    able = [shard for shard in replies if shard not in fetched.missed]
    if len(fetched.places) < k and not deadline.expired and _more_is_left(slate, able, replies):
        rest = await _deeper_slate(fetched, k, plan=plan, shards=able, setup=setup, fleet=fleet, deadline=deadline)
        if rest is not None:
            missing = k - len(fetched.places)
            parts.append(await fetch_items(rest, missing, query=query, fleet=fleet, deadline=deadline))
    return _joined(parts)


def _more_is_left(slate: Slate, able: list[int], replies: Mapping[int, ShardReply]) -> bool:
    """Whether these shards have eligible items that are not among the candidates."""
    n_known = int(np.count_nonzero(np.isin(slate.candidates.shard, able)))
    return sum(replies[shard].n_eligible for shard in able) > n_known


async def _deeper_slate(
    fetched: Fetched, k: int, *, plan: Plan, shards: list[int], setup: Setup, fleet: Fleet, deadline: Deadline
) -> Slate | None:
    """Candidates beyond those that are known, under the same caps and quotas; None if no shard answers."""
    candidates = fetched.slate.candidates
    plan = deeper(plan, fleet.spec, candidates.keys, shortage=k - len(fetched.places))
    retrieved = await retrieve(plan.query, shards, fleet, deadline.part(_SEARCH_SHARE))
    if not retrieved.got:
        return None
    fresh = merge(list(retrieved.got.values()), plan, fleet.spec).candidates
    missing = k - len(fetched.places)
    head = SlateHead(candidates, np.array(fetched.positions, np.intp))
    return compose(fresh, as_merged(fresh), missing, exclude=plan.query.exclude, rules=setup.rules, head=head)


def _joined(parts: list[Fetched]) -> Filled:
    items: list[SlateItem] = []
    removed: dict[Removal | RuleName, int] = {}
    missed: dict[int, Missed] = {}
    for part in parts:
        items.extend(part.items(first_rank=len(items) + 1))
        missed.update(part.missed)
        for reason, n in part.removed.items():
            removed[reason] = removed.get(reason, 0) + n
    degraded: list[Degradation] = []
    relaxed = [name for part in parts if part.slate.relaxed for at in part.positions for name in part.slate.relaxed.get(at, ())]
    if any(name.startswith("cap.") for name in relaxed):
        degraded.append("cap_relaxed")
    if parts[-1].slate.missed or any(name.startswith("quota.") for name in relaxed):
        degraded.append("quota_missed")
    if missed:
        degraded.append("fill_failed")
    return Filled(
        parts[0].slate,
        parts[0].positions,
        tuple(items),
        sum(part.n_fetched for part in parts),
        removed,
        tuple(int(part.slate.candidates.keys[at]) for part in parts for at in part.gone),
        missed,
        tuple(degraded),
    )
