"""The slate stage of a request: item vectors for diversity if it is on, from the shards that own them; then the rules.

Only this part of the slate stage waits for other processes. If vectors are late, the slate is less diverse, not late.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from cluster.clients.protocols import Fleet
from cluster.deadline import Deadline
from cluster.types import Candidates, FetchQuery, FetchReply
from router.fanout import fan_out
from router.funnel import Flow
from router.planning.plan import Plan
from router.planning.setup import Setup
from router.rank import Ranked
from router.request import Degradation, Request
from router.slate.compose import ItemVectors, Slate, compose
from router.slate.lineup import Positions, line_up
from router.slate.pins import refuses_pins

_VECTORS_SHARE = 0.4  # of the time left: the slate must still be filled


@dataclass(frozen=True, slots=True, eq=False)
class Shaped:
    """k: places that the caller sees.  seed: of what was drawn, also where nothing was.  vectors: of diversity."""

    slate: Slate
    k: int
    seed: int = 0
    degraded: tuple[Degradation, ...] = ()
    vectors: ItemVectors | None = None

    @property
    def flow(self) -> Flow:
        return Flow(len(self.slate.candidates), min(self.k, len(self.slate)), self.slate.removed, self.degraded)


async def shape(
    candidates: Candidates,
    ranked: Ranked,
    request: Request,
    *,
    plan: Plan,
    setup: Setup,
    fleet: Fleet,
    deadline: Deadline,
) -> Shaped:
    """The slate of the ranked candidates; where it explores without a seed from the caller, one is drawn."""
    k, rules, exclude, pins = request.k, setup.rules, plan.query.exclude, plan.pins
    if rules.plain and not pins:
        return Shaped(compose(candidates, ranked, k, exclude=exclude, rules=rules), k, degraded=rules.degraded)
    seed = request.seed
    if seed is None:
        seed = random.getrandbits(53) if rules.explore is not None else 0  # as many bits as a JSON number is sure to keep
    degraded = list(rules.degraded)
    if refuses_pins(request, candidates):
        degraded.append("pin_refused")
    vectors = None
    if rules.diversity is not None:
        lineup = line_up(candidates, ranked, exclude=exclude, boosts=rules.boosts)
        head = lineup.positions[: rules.diversity.depth]
        vectors = await item_vectors(candidates, head, rules.diversity.space, fleet=fleet, deadline=deadline)
        if np.count_nonzero(vectors.at >= 0) < len(head):
            degraded.append("diversity_skipped")
    slate = compose(candidates, ranked, k, exclude=exclude, rules=rules, pins=pins, vectors=vectors, seed=seed)
    return Shaped(slate, k, seed, tuple(degraded), vectors)


async def item_vectors(
    candidates: Candidates, positions: Positions, space: str, *, fleet: Fleet, deadline: Deadline
) -> ItemVectors:
    """Vectors of the candidates at these positions, of length 1 (0 stays 0), in the order of the positions.

    What an owner does not deliver in its time has none.
    """
    owners = candidates.shard[positions]
    chosen = {int(shard): positions[owners == shard] for shard in np.unique(owners)}
    queries = {shard: FetchQuery(fleet.spec.id, candidates.rows[at], vectors=space) for shard, at in chosen.items()}
    waiting = deadline.part(_VECTORS_SHARE)
    answers = await fan_out(queries, lambda shard: fleet.shards[shard].fetch(queries[shard], waiting), waiting)
    told = fleet.spec.space(space)
    dim = told.dim if told is not None else 0
    matrix = np.zeros((len(candidates), dim), np.float32)
    known = np.zeros(len(candidates), np.bool_)
    for shard, reply in answers.got.items():
        if _fits(reply, len(chosen[shard]), dim):
            matrix[chosen[shard]] = reply.vectors
            known[chosen[shard]] = True
    there = positions[known[positions]]
    unit = matrix[there]
    lengths = np.linalg.norm(unit, axis=1, keepdims=True)
    at = np.full(len(candidates), -1)
    at[there] = np.arange(len(there))
    return ItemVectors(at, np.divide(unit, lengths, out=np.zeros_like(unit), where=lengths > 0))


def _fits(reply: FetchReply, n_rows: int, dim: int) -> bool:
    return reply.vectors is not None and reply.vectors.shape == (n_rows, dim)
