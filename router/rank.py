"""Put the candidates in order: by the ranker if it answers in time, by their merged score if not.

Nothing that happens here fails a request.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from cluster.clients import Fleet
from cluster.config import RankerSection
from cluster.deadline import Deadline
from cluster.errors import SchemaMismatch
from cluster.spec import FeatureSchema, GenerationSpec
from cluster.types import Candidates, Floats, RankQuery, RankReply, Rows, UserRecord
from router.fanout import Missed, fan_out
from router.request import Degradation, Request

_DAY_S = 86_400
_EPOCH_WEEKDAY = 3  # the first of January 1970 was a Thursday


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """order: (m,) int32, positions in the candidates, best first.  scores: (m,) float32, aligned with order."""

    order: Rows
    scores: Floats
    degraded: tuple[Degradation, ...] = ()


async def rank(
    candidates: Candidates,
    request: Request,
    record: UserRecord | None,
    *,
    fleet: Fleet,
    section: RankerSection,
    deadline: Deadline,
) -> Ranked:
    """The ranker's order, or the merged one with the reason in `degraded`."""
    if len(candidates) == 0 or not (section.light.enabled or section.heavy.enabled):
        return as_merged(candidates)
    ranker = fleet.ranker
    if ranker is None:
        return as_merged(candidates, "ranker_failed")
    if deadline.expired:
        return as_merged(candidates, "ranker_timeout")
    query = rank_query(candidates, request, record, fleet.spec, section)
    answers = await fan_out((0,), lambda _: ranker.rank(query, deadline), deadline)
    if 0 in answers.missed:
        return as_merged(candidates, _reason(answers.missed[0]))
    reply = answers.got[0]
    if not _is_permutation(reply, len(candidates)):
        return as_merged(candidates, "ranker_failed")
    return Ranked(reply.order, reply.scores, ("heavy_skipped",) if reply.skipped else ())


def as_merged(candidates: Candidates, *degraded: Degradation) -> Ranked:
    """The merged order, in which the candidates already stand."""
    return Ranked(np.arange(len(candidates), dtype=np.int32), candidates.scores, degraded)


def rank_query(
    candidates: Candidates, request: Request, record: UserRecord | None, spec: GenerationSpec, section: RankerSection
) -> RankQuery:
    """The candidates and what they have in common, laid out in the order of the generation's feature schema."""
    schema = spec.features
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
        n_heavy=section.heavy.n_heavy if section.heavy.enabled else 0,
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
    """(C,) float32: what the caller told, and what the request itself tells; 0 where nobody did."""
    seconds = time.time() if request.asked_at is None else request.asked_at
    own = {
        "hour": seconds % _DAY_S / 3600,
        "weekday": (seconds // _DAY_S + _EPOCH_WEEKDAY) % 7,
        "basket_size": float(len(request.basket)),
        "k": float(request.k),
    }
    return np.array([request.context.get(name, own.get(name, 0.0)) for name in schema.context], np.float32)


def _reason(missed: Missed) -> Degradation:
    if isinstance(missed.error, SchemaMismatch):
        return "ranker_schema"
    return "ranker_timeout" if missed.reason == "timeout" else "ranker_failed"


def _is_permutation(reply: RankReply, n: int) -> bool:
    if len(reply.order) != n or len(reply.scores) != n:
        return False
    if n and (reply.order.min() < 0 or reply.order.max() >= n):
        return False
    return bool((np.bincount(reply.order, minlength=n) == 1).all())
