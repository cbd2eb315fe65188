"""Answers a kept request again in this process, stage by stage, with the code that serves.

On the generation that answered, and with a plan that asks for the same, ranking gets the kept candidates, because an
approximate search may take another path on another machine. Retrieval runs all the same, and the result says how many of its
candidates agree. All later stages always run again. Faults of the original (`circumstances.py`) are repeated.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from cluster.clients.protocols import Fleet
from cluster.codec.messages import encode_query
from cluster.config.sections import Config
from cluster.deadline import Deadline
from cluster.ranking import ranking_of
from cluster.types import Candidates, Rows
from deploy.replay.circumstances import NOT_RANKED, as_then, excuse_of, notes_of
from deploy.replay.house import House
from router.coverage import share_of
from router.fill import Filled, fill
from router.planning.plan import Plan
from router.planning.session import plan_with_session
from router.planning.setup import Setup
from router.rank import Ranked, as_merged, rank_query
from router.replay.logged import Logged, Shown, shown_of
from router.retrieve import retrieve
from router.search import Searched, certified_merge
from router.shape import shape
from router.slate.compose import Slate

_AMPLE_MS = 60_000.0


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """One way in which a request went. order: positions in the candidates, best first.  slate: None if it is not known.

    n_agreeing: of the candidates kept, those that retrieval found again, at the same rank in every source; None where other
    candidates were to be expected.  notes: what had failed, and whether it did again; rules of the slate that were relaxed.
    excuse: why it may come out another way, "" if it must not.
    """

    generation: str
    candidates: Candidates
    order: Rows
    items: tuple[Shown, ...]
    slate: Slate | None = None
    n_agreeing: int | None = None
    notes: tuple[str, ...] = ()
    excuse: str = ""


async def play(logged: Logged, house: House, config: Config, *, as_logged: Config) -> Played:
    """The request under this configuration. as_logged: the one under which it was answered.

    On another generation the user is whom that generation knows by this id, a stranger if nobody.
    """
    spec, deadline = house.spec, Deadline.after_ms(_AMPLE_MS)
    at_home = spec.id == logged.generation
    fleet = as_then(house.fleet, logged) if at_home else house.fleet
    missed = logged.missed if at_home else ()
    record = logged.record if at_home else house.users.get(logged.request.user_id)
    request = replace(logged.request, seed=logged.seed)
    setup, setup_then = Setup.of(spec, config), Setup.of(spec, as_logged)
    planned = await plan_with_session(request, record, fleet, setup, tower=house.tower, deadline=deadline)
    searched = await _searched(planned, fleet, missed, deadline)
    candidates, n_agreeing = searched.candidates, None
    planned_then = await plan_with_session(request, record, fleet, setup_then, tower=house.tower, deadline=deadline)
    if at_home and _asks_the_same(planned, planned_then):
        candidates, n_agreeing = logged.candidates, _agreeing(candidates, logged.candidates)

    same_ranking = at_home and config.ranker == as_logged.ranker
    before = logged if same_ranking else None
    ranked = await _ranked(before, candidates, replace(logged, record=record), fleet, config, deadline)
    shaped = await shape(candidates, ranked, request, plan=planned, setup=setup, fleet=fleet, deadline=deadline)
    replies = searched.replies
    filled = await fill(shaped.slate, request.k, plan=planned, replies=replies, setup=setup, fleet=fleet, deadline=deadline)
    return Played(
        spec.id,
        candidates,
        ranked.order,
        shown_of(filled, setup.rules),
        filled.slate,
        n_agreeing,
        (*notes_of(logged, at_home=at_home, same_ranking=same_ranking), *_relaxations(filled)),
        excuse_of(logged) if at_home else "",
    )


def _relaxations(filled: Filled) -> tuple[str, ...]:
    """The rules that were relaxed because the candidates left no other way, for how many items; and quotas not reached."""
    n_items, n = Counter(name for at in filled.positions for name in filled.slate.relaxed.get(at, ())), len(filled.items)
    relaxed = [f"{name} was relaxed for {k} of {n} items, because nothing else was left" for name, k in n_items.items()]
    return (*relaxed, *(f"{name} was not reached" for name in filled.slate.missed))


def as_answered(logged: Logged) -> Played:
    """How it went when it was answered."""
    return Played(logged.generation, logged.candidates, logged.order, logged.slate)


async def _searched(planned: Plan, fleet: Fleet, missed: tuple[int, ...], deadline: Deadline) -> Searched:
    """What all shards but the missed ones propose."""
    asked = [shard for shard in range(fleet.spec.n_shards) if shard not in missed]
    retrieved = await retrieve(planned.query, asked, fleet, deadline)
    for silent in retrieved.missed.values():
        assert silent.error is not None, "a shard of this process answers or raises"
        raise silent.error
    return await certified_merge(retrieved.got, planned.covering(share_of(fleet.spec, asked)), fleet, deadline)


def _asks_the_same(plan: Plan, other: Plan) -> bool:
    """Whether two plans have the same candidates for an answer."""
    return encode_query(plan.query) == encode_query(other.query) and all(
        getattr(plan, what) == getattr(other, what) for what in ("budgets", "weights", "n_candidates", "rank_constant")
    )


def _agreeing(found: Candidates, kept: Candidates) -> int:
    ranks = {int(key): row.tobytes() for key, row in zip(found.keys, found.source_ranks, strict=True)}
    return sum(ranks.get(int(key)) == row.tobytes() for key, row in zip(kept.keys, kept.source_ranks, strict=True))


async def _ranked(
    before: Logged | None, candidates: Candidates, logged: Logged, fleet: Fleet, config: Config, deadline: Deadline
) -> Ranked:
    """before: the request, if the order must be as it was, failures included."""
    section = config.ranker
    if len(candidates) == 0 or ranking_of(fleet.spec, section).stage == "merged":
        return as_merged(candidates)
    if before is not None and any(reason in NOT_RANKED for reason in before.ranked_degraded):
        return as_merged(candidates)
    query = rank_query(candidates, logged.request, logged.record, fleet.spec, section)
    if before is not None:
        query = replace(query, n_heavy=before.n_heavy)
    assert fleet.ranker is not None, "a house has its models"
    reply = await fleet.ranker.rank(query, deadline)
    return Ranked(reply.order, reply.scores)
