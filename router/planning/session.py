"""Vectors for users without one in the store, computed from the items of their basket and their views.

Item vectors are in the shards that own the items, so they are looked up there, in one small round, before the plan is made.
Requests of users with a vector in every space pay nothing. If a look-up is late or fails, the user stays without a vector, and
the plan does without it.

    cosine spaces     Σ w v / |v|, brought to length 1, as `train/vectors/spaces.py` places the users it knows
    implicit ALS      the least-squares step that a build makes for a user, with these items alone (`cluster/spec.py`, FoldIn)

The two-tower space has a network of its own for this (`router/users/user_tower.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.clients.protocols import Fleet
from cluster.config.sections import UsersSection
from cluster.deadline import Deadline
from cluster.lookup import LookupQuery, LookupReply
from cluster.partition import shard_of
from cluster.spec import FoldIn, GenerationSpec, SpaceSpec
from cluster.types import NO_FLOATS, NO_KEYS, Floats, Keys, Seeds, UserRecord
from router.fanout import fan_out
from router.planning.named import named_by
from router.planning.plan import Plan, plan
from router.planning.setup import Setup
from router.planning.taste import seed_sets
from router.request import Request
from router.users.user_tower import UserTower


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """What speaks for a user in the spaces where the store has no vector. keys: (n,) int64.  weights: (n,) float32, in events.

    queries: by shard, what to ask the owners of the keys; none if nothing speaks, or nobody needs it.
    """

    spaces: tuple[SpaceSpec, ...]
    keys: Keys
    weights: Floats
    queries: Mapping[int, LookupQuery]

    def vectors(self, replies: Mapping[int, LookupReply]) -> dict[str, Floats]:
        """Space -> (dim,) float32, by what the owners said. What one did not say, does not speak."""
        return {space.name: vector for space in self.spaces if (vector := self._placed(space, replies)) is not None}

    def _placed(self, space: SpaceSpec, replies: Mapping[int, LookupReply]) -> Floats | None:
        vectors = np.zeros((len(self.keys), space.dim))  # in the order of the keys, whoever owns them: sums depend on it
        for shard, query in self.queries.items():
            rows = replies[shard].vectors.get(space.name) if shard in replies else None
            if rows is not None and rows.shape == (len(query.keys), space.dim):
                vectors[np.isin(self.keys, query.keys)] = rows
        speaks = vectors.any(axis=1) & (self.weights > 0)
        if not speaks.any():
            return None
        if space.fold_in is not None:
            return folded_in(vectors[speaks], self.weights[speaks].astype(np.float64), space.fold_in)
        return mean_direction(vectors[speaks], self.weights[speaks].astype(np.float64))


def session_of(request: Request, record: UserRecord | None, setup: Setup) -> Session:
    """The request's ids are of the generation's type already."""
    spec, config = setup.spec, setup.config
    spaces = lacking(record, spec)
    if not spaces or not (request.basket or request.viewed or (record is not None and "viewed" in record.seeds)):
        return _NOBODY
    half_weight_items = config.sources.viewed.half_weight_items
    seeds = seed_sets(record, named_by(request, spec), half_weight_items=half_weight_items)
    keys, weights = speaking(seeds, config.users)
    owners, names = shard_of(keys, spec.n_shards), tuple(space.name for space in spaces)
    queries = {shard: LookupQuery(spec.id, keys[owners == shard], names) for shard in np.unique(owners).tolist()}
    return Session(spaces, keys, weights, queries)


async def plan_with_session(
    request: Request,
    record: UserRecord | None,
    fleet: Fleet,
    setup: Setup,
    *,
    tower: UserTower | None,
    deadline: Deadline,
) -> Plan:
    """The request's plan, with what its session says of a user of whom the store has no vector."""
    session = await session_vectors(request, record, fleet, setup, deadline)
    return plan(request, record, setup, tower=tower, session=session)


async def session_vectors(
    request: Request, record: UserRecord | None, fleet: Fleet, setup: Setup, deadline: Deadline
) -> dict[str, Floats]:
    """The session's vectors as far as the owners of its items tell in time."""
    session = session_of(request, record, setup)
    if not session.queries:
        return {}
    answers = await fan_out(session.queries, lambda at: fleet.shards[at].lookup(session.queries[at], deadline), deadline)
    return session.vectors({at: reply for at, reply in answers.got.items() if reply.generation == fleet.spec.id})


def lacking(record: UserRecord | None, spec: GenerationSpec) -> tuple[SpaceSpec, ...]:
    """The spaces in which a session can stand and the user does not."""
    known: Mapping[str, Floats] = {} if record is None else record.vectors
    return tuple([s for s in spec.spaces if s.name not in known and (s.metric == "cosine" or s.fold_in is not None)])


def speaking(seeds: Mapping[str, Seeds], section: UsersSection) -> tuple[Keys, Floats]:
    """The items that place the user, and what each weighs: the basket, then what was viewed, newest first, at most
    `section.session_items`. An item in both counts as in the basket.
    """
    keys, weights = NO_KEYS, NO_FLOATS
    if (basket := seeds.get("basket")) is not None:
        keys, weights = basket.keys, basket.weights
    if (viewed := seeds.get("viewed")) is not None:
        fresh = ~np.isin(viewed.keys, keys)
        keys = np.concatenate((keys, viewed.keys[fresh]))
        weights = np.concatenate((weights, viewed.weights[fresh] * np.float32(section.view_weight)))
    return keys[: section.session_items], weights[: section.session_items]


def mean_direction(vectors: NDArray[np.float64], weights: NDArray[np.float64]) -> Floats | None:
    """(dim,) float32 of length 1, None where directions cancel out. vectors: (n, dim), none zero.  weights: (n,) > 0."""
    total = (weights / np.linalg.norm(vectors, axis=1)) @ vectors
    length = np.linalg.norm(total)
    return (total / length).astype(np.float32) if length > 0 else None


def folded_in(vectors: NDArray[np.float64], weights: NDArray[np.float64], fold_in: FoldIn) -> Floats:
    """(dim,) float32, the best vector of a user with these items. vectors: (n, dim).  weights: (n,) > 0, in events.

    (D + Hᵀ H) x = Hᵀ t is solved as x = D⁻¹ Hᵀ (I + H D⁻¹ Hᵀ)⁻¹ t, with H the vectors scaled by √c: n is smaller than dim.
    """
    confidence = weights * fold_in.confidence
    ridge = fold_in.regularization * (len(weights) + fold_in.unobserved) ** fold_in.exponent
    diagonal = np.array(fold_in.axes) + ridge
    scaled = vectors * np.sqrt(confidence)[:, None]
    pulls = (confidence + fold_in.observed) / np.sqrt(confidence)
    kernel = np.eye(len(weights)) + (scaled / diagonal) @ scaled.T
    vector: Floats = ((scaled.T @ np.linalg.solve(kernel, pulls)) / diagonal).astype(np.float32)
    return vector


_NOBODY = Session((), NO_KEYS, NO_FLOATS, {})
