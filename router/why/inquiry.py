"""Why is this item in the answer, or why is it not? For any item of the catalogue, retrieved or not.

The request is answered as usual and its trail kept. Then the item's owner is asked for the item's rank under the same query
(`cluster/probe.py`), the other shards how many of their items rank before it, and the ranker how it would rank the item.
`router/why/verdict.py` interprets the answers. This costs some full scans and up to two more ranking calls, so only a few
inquiries may run at once. The serving router's quality does not adapt to these calls.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cluster.deadline import Deadline
from cluster.errors import DeadlineExceeded, UnknownItem
from cluster.order import head_reordered
from cluster.partition import ItemId, item_key, shard_of
from cluster.probe import ProbedItem, ProbeQuery, ProbeReply
from cluster.ranking import ranking_of
from cluster.types import Candidates, RankReply
from router.fanout import Answers, Missed, fan_out
from router.merge import merge
from router.planning.ids import as_written
from router.rank import Ranked, as_merged, ask_ranker, rank_query, scores_by_position
from router.request import Request
from router.router import Router
from router.shape import Shaped, shape
from router.trail import Trail
from router.why.verdict import Evidence, Subject, Why, judge

IN_FLIGHT_MAX = 4

_PROBE_SHARE = 0.6  # of the time left, for each of the two rounds


class Inquiry:
    """Answers over a router of its own, which should observe nothing: what people ask here is no traffic."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def why(self, request: Request, item_id: ItemId, deadline: Deadline) -> Why:
        """Raises UnknownItem if the catalogue has no such item, what a missing owner said, and what `Router.recommend` does."""
        trail, answer = await self._router.traced(request, deadline)
        spec = trail.setup.spec
        key = item_key(as_written(item_id, spec, "/item_id"))
        deadline.check("probe")
        owner = int(shard_of(np.array([key]), spec.n_shards)[0])
        own = await _probe_owner(trail, key, owner, deadline)
        if own.item is None:
            raise UnknownItem(f"no item {item_id!r} in generation {spec.id}", field="/item_id")
        deadline.check("probe")
        others = await _probe_others(trail, key, owner, own.item, deadline)
        fused = _everything_fused(trail)
        subject = _subject(trail, fused, key, owner, own.item)
        light, heavy = await _scored(trail, subject, deadline)
        ranked = _ranked_with(trail, subject, light, heavy)
        shaped = trail.shaped if subject.is_candidate else await _shaped_with(trail, subject, ranked, deadline)
        return judge(
            Evidence(
                trail=trail,
                answer=answer,
                key=key,
                owner=owner,
                own=own,
                others=others,
                fused=fused,
                subject=subject,
                light=light,
                heavy=heavy,
                ranked=ranked,
                shaped=shaped,
            )
        )


async def _probe_owner(trail: Trail, key: int, owner: int, deadline: Deadline) -> ProbeReply:
    """Raises what the owner said instead of an answer."""
    answers = await _probe(trail, ProbeQuery(trail.planned.query, key), [owner], deadline)
    if (missed := answers.missed.get(owner)) is not None:
        name = trail.fleet.shards[owner].name
        raise missed.error or DeadlineExceeded(f"{name}, which would own the item, did not answer in time", stage="probe")
    return answers.got[owner]


async def _probe_others(trail: Trail, key: int, owner: int, item: ProbedItem, deadline: Deadline) -> Answers[ProbeReply]:
    shards = [shard for shard in range(trail.fleet.spec.n_shards) if shard != owner]
    return await _probe(trail, ProbeQuery(trail.planned.query, key, item.scores), shards, deadline)


async def _probe(trail: Trail, query: ProbeQuery, shards: list[int], deadline: Deadline) -> Answers[ProbeReply]:
    share = deadline.part(_PROBE_SHARE)

    def fault(shard: int, reply: ProbeReply) -> str:
        return _fault(reply, shard, trail)

    return await fan_out(shards, lambda shard: trail.fleet.shards[shard].probe(query, share), share, fault=fault)


def _fault(reply: ProbeReply, shard: int, trail: Trail) -> str:
    """What is wrong with a reply, "" for nothing."""
    query, spec = trail.planned.query, trail.fleet.spec
    if reply.generation != query.generation or reply.shard != shard:
        return f"shard {reply.shard} of generation {reply.generation} answered for shard {shard} of {query.generation}"
    item = reply.item
    if item is None:
        return ""
    n_facts = 0 if item.facts is None else len(item.facts)
    if len(item.match) != len(spec.features.match) or n_facts != len(query.group_by) + len(query.marks):
        return f"shard {shard} sent {len(item.match)} match features and {n_facts} facts of the item"
    return ""


def _everything_fused(trail: Trail) -> Candidates:
    """All that the sources proposed within their budgets, in the order of the merge, without its cut."""
    replies = list(trail.searched.replies.values())
    whole = replace(trail.covering, n_candidates=max(1, sum(len(reply.keys) for reply in replies)))
    return merge(replies, whole, trail.setup.spec).candidates


def _subject(trail: Trail, fused: Candidates, key: int, owner: int, item: ProbedItem) -> Subject:
    candidates = trail.searched.candidates
    at = np.flatnonzero(candidates.keys == key)
    if len(at):
        return Subject(candidates, int(at[0]), is_candidate=True)
    cut = np.flatnonzero(fused.keys == key)
    unfound = np.full((1, len(candidates.sources)), np.nan, np.float32)
    extended = Candidates(
        sources=candidates.sources,
        shard=np.append(candidates.shard, np.int32(owner)),
        rows=np.append(candidates.rows, np.int32(item.row)),
        keys=np.append(candidates.keys, np.int64(key)),
        scores=np.append(candidates.scores, fused.scores[cut] if len(cut) else np.zeros(1, np.float32)),
        source_scores=np.concatenate((candidates.source_scores, fused.source_scores[cut] if len(cut) else unfound)),
        source_ranks=np.concatenate((candidates.source_ranks, fused.source_ranks[cut] if len(cut) else unfound)),
        match=np.concatenate((candidates.match, item.match[None])),
        facts=None if candidates.facts is None or item.facts is None else np.concatenate((candidates.facts, item.facts[None])),
    )
    return Subject(extended, len(candidates), is_candidate=False)


async def _scored(trail: Trail, subject: Subject, deadline: Deadline) -> tuple[RankReply | None, RankReply | None]:
    """What the light model alone, and the heavy one over everything, make of the candidates and the item."""
    spec, section, ranker = trail.setup.spec, trail.setup.config.ranker, trail.fleet.ranker
    stage = ranking_of(spec, section).stage
    if ranker is None or stage == "merged":
        return None, None
    query = rank_query(subject.candidates, trail.request, trail.record, spec, section)
    light = await ask_ranker(ranker, replace(query, n_heavy=0), deadline.part(_PROBE_SHARE))
    by_light = None if isinstance(light, Missed) else light
    if stage == "light":
        return by_light, None
    heavy = await ask_ranker(ranker, replace(query, n_heavy=len(query.keys)), deadline.part(_PROBE_SHARE))
    return by_light, None if isinstance(heavy, Missed) or not heavy.n_heavy else heavy


def _ranked_with(trail: Trail, subject: Subject, light: RankReply | None, heavy: RankReply | None) -> Ranked:
    """The order as it was; or with the item in it where both models would have put it, as a ranker does."""
    actual = trail.ranked
    if subject.is_candidate:
        return actual
    if light is None or actual.trace is None:  # nobody knows: it stands where the merge would have put it
        return _behind(actual, subject)
    n_heavy = actual.trace.n_heavy if heavy is not None else 0
    if n_heavy == 0 or heavy is None:
        return Ranked(light.order, light.scores)
    own = scores_by_position(heavy)[light.order[:n_heavy]]
    order, head_scores = head_reordered(light.order, own, subject.candidates.keys)
    return Ranked(order, np.concatenate((head_scores, light.scores[n_heavy:])))


def _behind(actual: Ranked, subject: Subject) -> Ranked:
    if len(actual.order) == 0:
        return as_merged(subject.candidates)
    order = np.append(actual.order, np.int32(subject.at))
    return Ranked(order, np.append(actual.scores, subject.candidates.scores[-1]))


async def _shaped_with(trail: Trail, subject: Subject, ranked: Ranked, deadline: Deadline) -> Shaped:
    """The slate if the item had been a candidate, drawn with the same seed."""
    request = replace(trail.request, seed=trail.shaped.seed)
    plan, setup, fleet = trail.planned, trail.setup, trail.fleet
    return await shape(subject.candidates, ranked, request, plan=plan, setup=setup, fleet=fleet, deadline=deadline)
