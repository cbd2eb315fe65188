"""The record of one request: enough to reproduce its slate bit for bit, and to learn ranking from it.

Arrays are aligned with the m candidates unless stated otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np

from cluster.config.sections import Config
from cluster.config.text import render
from cluster.spec import FeatureSchema
from cluster.types import Candidates, Floats, Keys, RankQuery, Rows, UserRecord
from router.fill import Filled
from router.rank import rank_query
from router.request import Degradation, Recommendation, Request
from router.slate.explore import propensity
from router.slate.rules import Rules
from router.trail import Trail

KeptFor = Literal["sampled", "asked"]
"""sampled: drawn at random, so that all kept requests together are like the traffic; ranking learns from these alone.
asked: the caller wanted it, by `explain: "full"`.
"""

_DECISIVE = ("catalog", "events", "user_table", "playlists", "sources", "merge", "ranker", "slate", "train")


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """One place of the slate. propensity: the probability that this item would stand there, 1 where nothing is drawn."""

    item_id: str | int
    score: float
    propensity: float


@dataclass(frozen=True, slots=True, eq=False)
class Logged:
    """One request. schema: what the features are.  config: the sections that decide, as TOML.  seed: of what was drawn.

    user, context: the models' user and context features.  order: positions, best first; order_scores: aligned with it, heavy
    for the first n_heavy.  ranked_degraded: why the order is not the models' in full.
    Shards: missed, those without candidates; vectorless, without vectors for diversity; undelivered, without payloads.
    gone: keys of what could not be shown any more.  kept_for: why it is kept.
    """

    logged_at: float
    generation: str
    schema: FeatureSchema
    config: str
    request: Request
    record: UserRecord | None
    seed: int
    candidates: Candidates
    user: Floats
    context: Floats
    order: Rows
    order_scores: Floats
    n_heavy: int
    ranked_degraded: tuple[Degradation, ...]
    degraded: tuple[Degradation, ...]
    missed: tuple[int, ...]
    vectorless: tuple[int, ...]
    undelivered: tuple[int, ...]
    gone: Keys
    slate: tuple[Shown, ...]
    kept_for: KeptFor = "sampled"

    def asked(self) -> RankQuery:
        """What a ranker is asked about these candidates, with the features that were kept."""
        found = self.candidates
        at = [found.sources.index(name) for name in self.schema.sources]
        return RankQuery(
            generation=self.generation,
            schema_hash=self.schema.hash,
            keys=found.keys,
            match=found.match,
            source_scores=found.source_scores[:, at],
            source_ranks=found.source_ranks[:, at],
            user=self.user,
            context=self.context,
            n_heavy=self.n_heavy,
        )


def decisive(config: Config) -> str:
    """The sections that decide what a slate looks like, and those that say what they may name, as a TOML file.

    No address and no secret is in them.
    """
    kept = {name: getattr(config, name) for name in _DECISIVE}
    return render(Config.model_validate(kept))


def logged_of(
    trail: Trail,
    answer: Recommendation,
    *,
    config: str,
    kept_for: KeptFor,
    logged_at: float,
) -> Logged:
    """config: what `decisive` says of the configuration."""
    candidates, ranked = trail.searched.candidates, trail.ranked
    features = rank_query(candidates, trail.request, trail.record, trail.setup.spec, trail.setup.config.ranker)
    return Logged(
        logged_at=logged_at,
        generation=answer.generation,
        schema=trail.fleet.spec.features,
        config=config,
        request=trail.request,
        record=trail.record,
        seed=trail.shaped.seed,
        candidates=candidates,
        user=features.user,
        context=features.context,
        order=ranked.order,
        order_scores=ranked.scores,
        n_heavy=0 if ranked.trace is None else ranked.trace.n_heavy,
        ranked_degraded=ranked.degraded,
        degraded=answer.degraded,
        missed=tuple(shard for shard in range(trail.fleet.spec.n_shards) if shard not in trail.searched.replies),
        vectorless=_vectorless(trail),
        undelivered=tuple(sorted(trail.filled.missed)),
        gone=np.array(trail.filled.gone, np.int64),
        slate=shown_of(trail.filled, trail.setup.rules),
        kept_for=kept_for,
    )


def _vectorless(trail: Trail) -> tuple[int, ...]:
    shaped = trail.shaped
    if shaped.vectors is None or "diversity_skipped" not in shaped.degraded:
        return ()
    owners, known = trail.searched.candidates.shard, shaped.vectors.at >= 0
    return tuple(sorted({*owners.tolist()} - {*owners[known].tolist()}))


def shown_of(filled: Filled, rules: Rules) -> tuple[Shown, ...]:
    """The places of an answer."""
    slate, rule = filled.slate, rules.explore
    chances = {} if rule is None else {d.chosen: propensity(d, slate.posteriors, share=rule.section.share) for d in slate.draws}
    positions: list[int | None] = [*filled.positions]
    positions += [None] * (len(filled.items) - len(positions))  # a deeper look explores nothing
    return tuple(
        Shown(item.item_id, item.score, 1.0 if at is None else chances.get(at, 1.0))
        for item, at in zip(filled.items, positions, strict=True)
    )


encode_request = msgspec.json.Encoder().encode
decode_request = msgspec.json.Decoder(Request).decode
