"""The slate stage of a request: item vectors for diversity if it is on, from the shards that own them; then the rules.

Only this part of the slate stage waits for other processes. If vectors are late, the slate is less diverse, not late.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cluster.clients.protocols import Fleet
from cluster.deadline import Deadline
from cluster.types import Candidates, FetchQuery, FetchReply, Keys
from router.fanout import fan_out
from router.rank import Ranked
from router.request import Degradation, Request
from router.slate.compose import ItemVectors, Slate, compose
from router.slate.lineup import Positions, line_up
from router.slate.rules import Rules

_VECTORS_SHARE = 0.4  # of the time left: the slate must still be filled


@dataclass(frozen=True, slots=True, eq=False)
class Shaped:
    """seed: of what was drawn, also where nothing was.  vectors: that diversity was reckoned with."""

    slate: Slate
    seed: int
    degraded: tuple[Degradation, ...] = ()
    vectors: ItemVectors | None = None


async def shape(
    candidates: Candidates,
    ranked: Ranked,
    request: Request,
    *,
    exclude: Keys,
    pins: Mapping[int, int],
    rules: Rules,
    fleet: Fleet,
    deadline: Deadline,
) -> Shaped:
    """The slate of the ranked candidates; where it explores without a seed from the caller, one is drawn.

    exclude: keys that must not be shown.  pins: place from 0 -> item key.
    """
    k = request.k
    if rules.plain and not pins:
        return Shaped(compose(candidates, ranked, k, exclude=exclude, rules=rules), 0)
    seed = request.seed
    if seed is None:
        seed = random.getrandbits(53) if rules.explore is not None else 0  # as many bits as a JSON number is sure to keep
    vectors, degraded = None, False
    if rules.diversity is not None:
        lineup = line_up(candidates, ranked, exclude=exclude, boosts=rules.boosts)
        head = lineup.positions[: rules.diversity.depth]
        vectors = await item_vectors(candidates, head, rules.diversity.space, fleet=fleet, deadline=deadline)
        degraded = int(np.count_nonzero(vectors.at >= 0)) < len(head)
    slate = compose(candidates, ranked, k, exclude=exclude, rules=rules, pins=pins, vectors=vectors, seed=seed)
    return Shaped(slate, seed, ("diversity_skipped",) if degraded else (), vectors)


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
