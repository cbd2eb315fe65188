"""The spec of a generation: which attributes, spaces, sources, lists and feature columns it has. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from cluster.config import Config
from cluster.features import match_columns
from cluster.spec import FeatureSchema, GenerationSpec, SourceSpec, SpaceSpec
from train.signals import SPACE, Signals, profile_attributes


def describe(signals: Signals, config: Config, *, generation: str, created: str, shard_items: Sequence[int]) -> GenerationSpec:
    """The spec of these signals cut into shards of these sizes. created: RFC 3339, UTC."""
    dim = signals.factors.items.shape[1]
    profile = profile_attributes(config)
    sources = (
        SourceSpec("tops", "tops", exact=True, promises_k=True),
        SourceSpec("ann", "ann", exact=False, promises_k=True, space=SPACE),
        SourceSpec("history", "seeds", exact=True, promises_k=False, seeds="history"),
        SourceSpec("score_all", "score_all", exact=True, promises_k=True, space=SPACE),
    )
    match = match_columns(spaces=[SPACE], stats=signals.stats, profile=profile)
    return GenerationSpec(
        id=generation,
        created=created,
        id_type=config.catalog.id_type,
        shard_items=tuple(shard_items),
        attributes=signals.catalogue.specs,
        spaces=(SpaceSpec(SPACE, dim, "ip", config.sources.ann.recall_target),),
        sources=sources,
        lists=tuple(top.name for top in signals.lists),
        profile=profile,
        features=FeatureSchema(
            match=match, sources=tuple(source.name for source in sources), user=signals.users.names, context=()
        ),
    )
