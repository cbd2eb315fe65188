"""The verdict on one item, and the stages that led to it, from the evidence. Pure.

`router/why/inquiry.py` gathers the evidence; `deploy/commands/why_text.py` writes it out for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from cluster.filtering import Scalar, each_test
from cluster.order import precedes
from cluster.partition import item_key
from cluster.probe import ProbedItem, ProbeReply, Value
from cluster.types import Candidates, RankReply
from router.fanout import Answers
from router.planning.plan import Plan
from router.rank import Ranked, scores_by_position
from router.request import Degradation, Recommendation
from router.shape import Shaped
from router.slate.compose import Slate
from router.trail import Trail

Verdict = Literal[
    "recommended",
    "excluded",
    "filtered",
    "shard_missing",
    "not_proposed",
    "merged_too_low",
    "rule",
    "ranked_too_low",
    "undelivered",
]
"""recommended: it is in the answer.  excluded: the request or the configuration excludes it.  filtered: a condition of the
filter keeps it out.  shard_missing: its owner's candidates are not in the answer.  not_proposed: no source has it within its
budget.  merged_too_low: proposed, but beyond merge.n_light.  rule: a rule of the slate kept it back.  ranked_too_low: others
rank higher.  undelivered: it had a position but could no longer be shown.
"""

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True, slots=True)
class FailedCondition:
    """A test of the filter that keeps the item out. pointer: to its condition.  has: the item's value, None for none."""

    pointer: str
    field: str
    op: str
    values: tuple[Scalar, ...]
    has: Value


@dataclass(frozen=True, slots=True)
class Standing:
    """The item in one source. score, rank: None where the source does not hold it.

    rank: from 1, among the eligible items of all shards that were asked, exactly.  held: eligible items that the source holds
    there.  budget: how many of the best are candidates.  cutoff: the score of the last of them, None if there are fewer.
    proposed: whether the source did propose it.
    """

    source: str
    score: float | None
    rank: int | None
    held: int
    budget: int
    cutoff: float | None
    proposed: bool


@dataclass(frozen=True, slots=True)
class Place:
    """A place from 1 among so many, and the score that gave it. limit: how far one gets to the next stage."""

    rank: int
    among: int
    limit: int
    score: float


@dataclass(frozen=True, slots=True)
class Why:
    """The answer. rank: in the slate, 0 if it is not in it.  rule: of the slate, where one decided.

    excluded_by: JSON pointers into the request, or a configuration key.  sources: the asked ones.  merge: None if not proposed.
    light, heavy: None if the model was not asked; heavy among those that light passes on, and the item.
    order: after ranking.  hypothetical: the item is no candidate, so light, heavy, order and would_be say what if.
    would_be: its rank in the slate then, 0 for none; would_rule: what would keep it back.
    features: what the shard told the models of it.  exact: every shard took part, so ranks are over the whole catalogue.
    pushed_cap: the slate's cap where shards kept it themselves (`cluster/capping.py`), 0 otherwise; ranks are without it.
    """

    item_id: str | int
    user_id: str
    k: int
    verdict: Verdict
    rank: int
    rule: str
    generation: str
    shard: int
    replica: str
    payload: Mapping[str, object]
    failed: tuple[FailedCondition, ...]
    excluded_by: tuple[str, ...]
    sources: tuple[Standing, ...]
    merge: Place | None
    hypothetical: bool
    light: Place | None
    heavy: Place | None
    order: Place | None
    would_be: int
    would_rule: str
    features: Mapping[str, float]
    degraded: tuple[Degradation, ...]
    seed: int
    exact: bool
    pushed_cap: int
    timings_ms: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """The candidates with the item among them, at position `at`. is_candidate: whether it is there by itself."""

    candidates: Candidates
    at: int
    is_candidate: bool


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """own: of the owner, who holds the item.  fused: all that was proposed, in merged order.  light, heavy: of the subject's
    candidates.  ranked, shaped: with the item.
    """

    trail: Trail
    answer: Recommendation
    key: int
    owner: int
    own: ProbeReply
    others: Answers[ProbeReply]
    fused: Candidates
    subject: Subject
    light: RankReply | None
    heavy: RankReply | None
    ranked: Ranked
    shaped: Shaped


def judge(seen: Evidence) -> Why:
    """The answer to why."""
    trail, item = seen.trail, seen.own.item
    assert item is not None, "the owner holds the item"
    request, fleet = trail.request, trail.fleet
    rank = next((shown.rank for shown in seen.answer.items if shown.item_id == item.item_id), 0)
    failed, excluded_by = _failed(item, trail), _excluded_by(seen, item)
    final = trail.filled.slate
    rule = final.reason(seen.subject.at, request.k) if seen.subject.is_candidate and not rank else ""
    light, heavy = _models(seen)
    sources = _standings(seen, item)
    if not seen.subject.is_candidate and _capped(seen, item, sources):
        rule = trail.setup.rules.caps[0].name
    would_be, would_rule = (0, "") if seen.subject.is_candidate else _would(seen.shaped.slate, seen.subject.at, request.k)
    verdict = _verdict(seen, item, rank, rule)
    return Why(
        item_id=item.item_id,
        user_id=request.user_id,
        k=request.k,
        verdict=verdict,
        rank=rank,
        rule=rule if verdict == "rule" else "",
        generation=fleet.spec.id,
        shard=seen.owner,
        replica=fleet.shards[seen.owner].name,
        payload=item.payload,
        failed=failed,
        excluded_by=excluded_by,
        sources=sources,
        merge=_merge_place(seen),
        hypothetical=not seen.subject.is_candidate,
        light=light,
        heavy=heavy,
        order=_order_place(seen),
        would_be=would_be,
        would_rule=would_rule,
        features=dict(zip(fleet.spec.features.match, item.match.tolist(), strict=True)),
        degraded=seen.answer.degraded,
        seed=trail.shaped.seed,
        exact=not seen.others.missed,
        pushed_cap=trail.planned.query.cap,
        timings_ms=seen.answer.timings_ms,
    )


def _verdict(seen: Evidence, item: ProbedItem, rank: int, rule: str) -> Verdict:
    if rank:
        return "recommended"
    if item.excluded:
        return "excluded"
    if item.failed:
        return "filtered"
    if seen.subject.is_candidate:
        if rule in ("", "excluded"):  # it had a place, or was taken out after the rules had their say
            return "undelivered"
        return "ranked_too_low" if rule == "below_cutoff" else "rule"
    if seen.owner in seen.trail.missed and seen.owner not in seen.trail.searched.replies:
        return "shard_missing"
    if rule:
        return "rule"
    return "merged_too_low" if _fused_at(seen) >= 0 else "not_proposed"


def _capped(seen: Evidence, item: ProbedItem, sources: tuple[Standing, ...]) -> bool:
    """Whether the cap that shards keep themselves is what kept the item from being proposed by an exact source."""
    if not seen.trail.planned.query.cap or not seen.trail.setup.rules.caps or not item.eligible or _fused_at(seen) >= 0:
        return False
    return any(s.rank is not None and s.rank <= s.budget for s in sources)


def _would(slate: Slate, at: int, k: int) -> tuple[int, str]:
    """The rank that a candidate has in a slate, from 1, or 0 and what keeps it back."""
    if reason := slate.reason(at, k):
        return 0, reason
    return int(np.flatnonzero(slate.sequence == at)[0]) + 1, ""


def _failed(item: ProbedItem, trail: Trail) -> tuple[FailedCondition, ...]:
    return tuple(
        FailedCondition(pointer, test.field, test.op, test.values, item.values.get(test.field))
        for pointer, test in each_test(trail.request.filter)
        if f"{pointer}/{test.op}" in item.failed
    )


def _excluded_by(seen: Evidence, item: ProbedItem) -> tuple[str, ...]:
    if not item.excluded:
        return ()
    request, record = seen.trail.request, seen.trail.record
    reasons = []
    for pointer, ids in (("/exclude_item_ids", request.exclude_item_ids), ("/context/basket", request.basket)):
        reasons += [f"{pointer}/{at}" for at, item_id in enumerate(ids) if item_key(item_id) == seen.key]
    if seen.trail.setup.config.slate.exclude_seen and record is not None and seen.key in record.history.keys:
        reasons.append("slate.exclude_seen")
    return tuple(reasons)


def _standings(seen: Evidence, item: ProbedItem) -> tuple[Standing, ...]:
    plan, replies = seen.trail.covering, [seen.own, *seen.others.got.values()]
    at = _fused_at(seen)
    found = []
    for ask, budget in zip(plan.query.asks, plan.budgets, strict=True):
        source = ask.source
        score = item.scores.get(source)
        column = seen.fused.sources.index(source)
        found.append(
            Standing(
                source=source,
                score=score,
                rank=None if score is None else 1 + sum(reply.before.get(source, 0) for reply in replies),
                held=sum(reply.held.get(source, 0) for reply in replies),
                budget=budget,
                cutoff=_cutoff(seen, source, plan, budget),
                proposed=at >= 0 and not np.isnan(seen.fused.source_ranks[at, column]),
            )
        )
    return tuple(found)


def _cutoff(seen: Evidence, source: str, plan: Plan, budget: int) -> float | None:
    column = seen.fused.sources.index(source)
    ranks = seen.fused.source_ranks[:, column]
    last = np.flatnonzero(ranks == budget)
    return float(seen.fused.source_scores[last[0], column]) if len(last) else None


def _fused_at(seen: Evidence) -> int:
    """The item's place among all that was proposed, from 0; -1 if no source did. A pin alone is no proposal."""
    at = np.flatnonzero(seen.fused.keys == seen.key)
    if len(at) == 0 or np.isnan(seen.fused.source_ranks[at[0]]).all():
        return -1
    return int(at[0])


def _merge_place(seen: Evidence) -> Place | None:
    at = _fused_at(seen)
    if at < 0:
        return None
    return Place(at + 1, len(seen.fused), seen.trail.covering.n_candidates, float(seen.fused.scores[at]))


def _models(seen: Evidence) -> tuple[Place | None, Place | None]:
    """The item by the light model among all, and by the heavy one among those that the light one passes on."""
    light, heavy, at = seen.light, seen.heavy, seen.subject.at
    if light is None:
        return None, None
    m = len(light.order)
    trace = seen.trail.ranked.trace
    n_heavy = min(trace.n_heavy if trace is not None and trace.n_heavy else seen.trail.setup.config.ranker.heavy.n_heavy, m)
    place = int(np.flatnonzero(light.order == at)[0])
    by_light = Place(place + 1, m, n_heavy if heavy is not None else m, float(light.scores[place]))
    if heavy is None:
        return by_light, None
    scores = scores_by_position(heavy)
    rivals = light.order[:n_heavy][light.order[:n_heavy] != at]
    keys = seen.subject.candidates.keys
    before = [precedes(float(scores[one]), int(keys[one]), float(scores[at]), int(keys[at])) for one in rivals.tolist()]
    return by_light, Place(sum(before) + 1, len(rivals) + 1, seen.trail.request.k, float(scores[at]))


def _order_place(seen: Evidence) -> Place | None:
    at = np.flatnonzero(seen.ranked.order == seen.subject.at)
    if len(at) == 0:
        return None
    return Place(int(at[0]) + 1, len(seen.ranked.order), seen.trail.request.k, float(seen.ranked.scores[at[0]]))
