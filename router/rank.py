"""Orders the candidates: by the ranker if a model serves and the ranker answers in time, otherwise by merged score.

Nothing that happens here fails a request.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from cluster.clients.protocols import Fleet, RankerClient
from cluster.config.sections import RankerSection
from cluster.deadline import Deadline
from cluster.errors import SchemaMismatch
from cluster.ranking import n_heavy_of, ranking_of
from cluster.spec import FeatureSchema, GenerationSpec
from cluster.types import LATE, Candidates, Floats, RankQuery, RankReply, Rows, UserRecord
from router.fanout import Missed, call
from router.funnel import Flow
from router.quality import Quality
from router.request import Degradation, RankTrace, Request

_DAY_S = 86_400
_EPOCH_WEEKDAY = 3  # the first of January 1970 was a Thursday


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """order: (m,) int32, positions in the candidates, best first.  scores: (m,) float32, aligned with order.

    trace: None if no ranker was asked.  learnt_ms: what the call tells of the load, None if nothing.
    """

    order: Rows
    scores: Floats
    degraded: tuple[Degradation, ...] = ()
    trace: RankTrace | None = None
    learnt_ms: float | None = None

    @property
    def flow(self) -> Flow:
        return Flow(len(self.order), len(self.order), degraded=self.degraded)


async def rank(
    candidates: Candidates,
    request: Request,
    record: UserRecord | None,
    *,
    fleet: Fleet,
    section: RankerSection,
    quality: Quality,
    deadline: Deadline,
) -> Ranked:
    """The ranker's order, or the merged one with the reason in `degraded`. The heavy model gets what `quality` allows."""
    if len(candidates) == 0 or ranking_of(fleet.spec, section).stage == "merged":
        return as_merged(candidates)
    ranker = fleet.ranker
    if ranker is None:
        return as_merged(candidates, "ranker_failed")
    if deadline.expired:
        return as_merged(candidates, "ranker_timeout")
    full = min(n_heavy_of(fleet.spec, section), len(candidates))
    query = rank_query(candidates, request, record, fleet.spec, section, quality=quality)
    budget_ms, began = deadline.remaining_ms(), time.perf_counter()
    reply = await ask_ranker(ranker, query, deadline)
    took_ms = round((time.perf_counter() - began) * 1000, 3)
    telling = full > 0 and budget_ms >= quality.target_ms  # who had less time than the target says nothing about the load
    if isinstance(reply, Missed):
        reason = _reason(reply)
        return replace(
            as_merged(candidates, reason),
            trace=RankTrace(quality.factor, 0, full, reason, took_ms),
            learnt_ms=inf if telling and reason == "ranker_timeout" else None,
        )
    return Ranked(
        reply.order,
        reply.scores,
        _less_than_all(reply, full),
        trace=RankTrace(
            quality=quality.factor,
            n_heavy=reply.n_heavy,
            n_heavy_full=full,
            skipped=reply.skipped,
            took_ms=took_ms,
            queue_ms=round(reply.queue_us / 1000, 3),
            light_ms=round(reply.light_us / 1000, 3),
            heavy_ms=round(reply.heavy_us / 1000, 3),
        ),
        learnt_ms=(inf if reply.skipped == LATE else took_ms) if telling else None,
    )


async def ask_ranker(ranker: RankerClient, query: RankQuery, deadline: Deadline) -> RankReply | Missed:
    """The ranker's reply about every candidate of the query."""

    def fault(_: int, reply: RankReply) -> str:
        return "" if _is_permutation(reply, len(query.keys)) else "the order is no permutation of the candidates"

    return await call(lambda: ranker.rank(query, deadline), deadline, fault=fault)


def scores_by_position(reply: RankReply) -> Floats:
    """(m,) float32: the score of each candidate, in the order in which they were sent."""
    scores = np.empty(len(reply.order), np.float32)
    scores[reply.order] = reply.scores
    return scores


def as_merged(candidates: Candidates, *degraded: Degradation) -> Ranked:
    """The merged order, in which the candidates already stand."""
    return Ranked(np.arange(len(candidates), dtype=np.int32), candidates.scores, degraded)


def rank_query(
    candidates: Candidates,
    request: Request,
    record: UserRecord | None,
    spec: GenerationSpec,
    section: RankerSection,
    *,
    quality: Quality | None = None,
) -> RankQuery:
    """The candidates and what they have in common, laid out in the order of the generation's feature schema.

    quality: None asks for all of n_heavy.
    """
    schema = spec.features
    n_heavy = n_heavy_of(spec, section)
    columns = _columns(candidates.sources, schema)
    return RankQuery(
        generation=spec.id,
        schema_hash=schema.hash,
        keys=candidates.keys,
        match=candidates.match,
        source_scores=candidates.source_scores if columns is None else candidates.source_scores[:, columns],
        source_ranks=candidates.source_ranks if columns is None else candidates.source_ranks[:, columns],
        user=_user_features(record, schema),
        context=_context_features(request, schema),
        n_heavy=n_heavy if quality is None else quality.of_rows(n_heavy),
    )


def _columns(sources: tuple[str, ...], schema: FeatureSchema) -> list[int] | None:
    """Where the schema's sources stand among the candidates', None if they are the same."""
    return None if sources == schema.sources else [sources.index(name) for name in schema.sources]


def _user_features(record: UserRecord | None, schema: FeatureSchema) -> Floats:
    """(U,) float32, zeros for a stranger."""
    if record is None or len(record.features) != len(schema.user):
        return np.zeros(len(schema.user), np.float32)
    return record.features


def _context_features(request: Request, schema: FeatureSchema) -> Floats:
    """(C,) float32: values from the caller's context, else from the request itself, else 0."""
    seconds = time.time() if request.asked_at is None else request.asked_at
    own = {
        "hour": seconds % _DAY_S / 3600,
        "weekday": (seconds // _DAY_S + _EPOCH_WEEKDAY) % 7,
        "basket_size": float(len(request.basket)),
        "k": float(request.k),
    }
    return np.array([request.context.get(name, own.get(name, 0.0)) for name in schema.context], np.float32)


def _less_than_all(reply: RankReply, n_heavy_full: int) -> tuple[Degradation, ...]:
    """What the heavy model did not order. A generation without one misses nothing."""
    if reply.skipped:
        return ("heavy_skipped",)
    return ("heavy_narrowed",) if 0 < reply.n_heavy < n_heavy_full else ()


def _reason(missed: Missed) -> Degradation:
    """Why there is no order."""
    if isinstance(missed.error, SchemaMismatch):
        return "ranker_schema"
    return "ranker_timeout" if missed.reason == "timeout" else "ranker_failed"


def _is_permutation(reply: RankReply, n: int) -> bool:
    if len(reply.order) != n or len(reply.scores) != n:
        return False
    if n == 0:
        return True
    if reply.order.view(np.uint32).max() >= n:  # a negative position is a large one
        return False
    return bool(np.bincount(reply.order, minlength=n).min() == 1)  # n positions: with none missing none is there twice
