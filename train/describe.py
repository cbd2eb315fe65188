"""The spec of a generation: which attributes, spaces, sources, lists and feature columns it has. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from cluster.config.sections import Config
from cluster.features import CONTEXT, cross_columns, match_columns
from cluster.spec import FeatureSchema, GenerationSpec, RankingSpec, SpaceSpec
from train.signals import Signals


def space_specs(signals: Signals, config: Config) -> tuple[SpaceSpec, ...]:
    """The spaces, of which not every one need be searched: their vectors also make match features."""
    return tuple(
        SpaceSpec(name, space.dim, space.metric, config.sources.of_space(name).recall_target, space.fold_in)
        for name, space in signals.spaces.items()
    )


def describe(
    signals: Signals,
    config: Config,
    *,
    generation: str,
    created: str,
    shard_items: Sequence[int],
    rankings: tuple[RankingSpec, ...] = (),
) -> GenerationSpec:
    """The spec of these signals cut into shards of these sizes. created: RFC 3339, UTC."""
    profile, quorum = signals.profile, config.sources.quorum.attribute
    match = match_columns(spaces=signals.spaces, stats=signals.stats, profile=profile)
    sources = tuple(source.name for source in signals.sources)
    return GenerationSpec(
        id=generation,
        created=created,
        id_type=config.catalog.id_type,
        shard_items=tuple(shard_items),
        attributes=signals.catalogue.specs,
        spaces=space_specs(signals, config),
        sources=signals.sources,
        lists=tuple(top.name for top in signals.lists),
        profile=profile,
        features=FeatureSchema(
            match=match,
            sources=sources,
            user=signals.users.names,
            context=CONTEXT,
            crosses=cross_columns(match=match, sources=sources, user=signals.users.names),
        ),
        tables=tuple(signals.tables),
        quorum=quorum if signals.quorum is not None else "",
        seeds=tuple(signals.seeds),
        rankings=rankings,
    )
