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
from cluster.deadline import Deadline
from cluster.ranking import ranking_of
from cluster.types import Candidates, Rows, UserRecord
from deploy.replay.circumstances import NOT_RANKED, as_then, excuse_of, notes_of
from deploy.replay.house import House
from router.fill import Filled, fill
from router.planning.plan import Plan, plan
from router.planning.session import session_vectors
from router.rank import Ranked, as_merged, rank_query
from router.replay.logged import Logged, Shown, shown_of
from router.request import Request
from router.retrieve import retrieve
from router.search import Searched, certified_merge
from router.sections import RouterSections
from router.slate.compose import Slate
from router.slate.rules import RulesInForce
from router.slate.shape import shape

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


async def play(logged: Logged, house: House, sections: RouterSections, *, as_logged: RouterSections) -> Played:
    """The request under these sections. as_logged: those under which it was answered.

    On another generation the user is whom that generation knows by this id, a stranger if nobody.
    """
    spec, deadline = house.spec, Deadline.after_ms(_AMPLE_MS)
    at_home = spec.id == logged.generation
    fleet = as_then(house.fleet, logged) if at_home else house.fleet
    missed = logged.missed if at_home else ()
    record = logged.record if at_home else house.users.get(logged.request.user_id)
    request = replace(logged.request, seed=logged.seed)
    planned = await _planned(request, record, house, fleet, sections, deadline)
    found = await _searched(planned, fleet, sections, missed, deadline)
    candidates, n_agreeing = found.merged.candidates, None
    as_then_planned = await _planned(request, record, house, fleet, as_logged, deadline)
    if at_home and _asks_the_same(planned, as_then_planned, sections, as_logged):
        candidates, n_agreeing = logged.candidates, _agreeing(candidates, logged.candidates)

    same_ranking = at_home and sections.ranker == as_logged.ranker
    before = logged if same_ranking else None
    ranked = await _ranked(before, candidates, replace(logged, record=record), fleet, sections, deadline)
    rules, _ = RulesInForce(sections.slate).of(spec)
    exclude, pins = planned.query.exclude, planned.pins
    shaped = await shape(candidates, ranked, request, exclude=exclude, pins=pins, rules=rules, fleet=fleet, deadline=deadline)
    filled = await fill(
        shaped.slate,
        request.k,
        plan=planned,
        replies=found.replies,
        rules=rules,
        fleet=fleet,
        sections=sections,
        deadline=deadline,
    )
    return Played(
        spec.id,
        candidates,
        ranked.order,
        shown_of(filled, rules),
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


async def _planned(
    request: Request, record: UserRecord | None, house: House, fleet: Fleet, sections: RouterSections, deadline: Deadline
) -> Plan:
    session = await session_vectors(request, record, fleet, sections, deadline)
    return plan(request, record, house.spec, sections, tower=house.tower, session=session)


async def _searched(
    planned: Plan, fleet: Fleet, sections: RouterSections, missed: tuple[int, ...], deadline: Deadline
) -> Searched:
    """What all shards but the missed ones find."""
    spec = fleet.spec
    asked = [shard for shard in range(spec.n_shards) if shard not in missed]
    answers = await retrieve(planned.query, asked, fleet, deadline)
    for silent in answers.missed.values():
        assert silent.error is not None, "a shard of this process answers or raises"
        raise silent.error
    ratio = sum(spec.shard_items[shard] for shard in asked) / spec.n_items if missed and spec.n_items else 1.0
    constant = sections.merge.rrf_rank_constant
    return await certified_merge(answers.got, planned.covering(ratio), fleet, rank_constant=constant, deadline=deadline)


def _asks_the_same(one: Plan, other: Plan, sections: RouterSections, as_logged: RouterSections) -> bool:
    """Whether two plans have the same candidates for an answer."""
    return (
        encode_query(one.query) == encode_query(other.query)
        and (one.budgets, one.weights, one.n_candidates) == (other.budgets, other.weights, other.n_candidates)
        and sections.merge.rrf_rank_constant == as_logged.merge.rrf_rank_constant
    )


def _agreeing(found: Candidates, kept: Candidates) -> int:
    ranks = {int(key): row.tobytes() for key, row in zip(found.keys, found.source_ranks, strict=True)}
    return sum(ranks.get(int(key)) == row.tobytes() for key, row in zip(kept.keys, kept.source_ranks, strict=True))


async def _ranked(
    before: Logged | None, candidates: Candidates, logged: Logged, fleet: Fleet, sections: RouterSections, deadline: Deadline
) -> Ranked:
    """before: the request, if the order must be as it was, failures included."""
    section = sections.ranker
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
