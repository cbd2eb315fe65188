"""Candidate sources: each proposes one kind of candidates in one shard, under the query's mask, best first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from cluster.errors import SchemaMismatch
from cluster.spec import GenerationSpec, SourceSpec
from shard.columns import ShardColumns
from shard.sources.ann import Ann
from shard.sources.item_lists import ItemTableSource
from shard.sources.quorum import Quorum
from shard.sources.score_all import ScoreAll
from shard.sources.seeds import SeedItems
from shard.sources.source import CandidateSource
from shard.sources.tops import Tops
from shard.spaces.space import Space

T = TypeVar("T")

__all__ = ["CandidateSource", "make_sources"]


def make_sources(spec: GenerationSpec, columns: ShardColumns, spaces: Mapping[str, Space]) -> dict[str, CandidateSource]:
    """A generation's sources by name, over a shard's columns. Raises SchemaMismatch for what a source needs and lacks."""
    return {source.name: _made(source, spec, columns, spaces) for source in spec.sources}


def _made(source: SourceSpec, spec: GenerationSpec, columns: ShardColumns, spaces: Mapping[str, Space]) -> CandidateSource:
    keys = columns.keys
    match source.kind:
        case "tops":
            return Tops(columns.lists.of_kind(source.lists), keys)
        case "ann":
            return Ann(source.space, _needed(source, spaces.get(source.space), f"space {source.space!r}"))
        case "seeds":
            return SeedItems(keys, source.seeds)
        case "score_all":
            space = _needed(source, spaces.get(source.space), f"space {source.space!r}") if source.space else None
            return ScoreAll(source.space, space, columns.lists, keys, source.lists)
        case "item_lists":
            table = _needed(source, columns.tables.get(source.table), f"item table {source.table!r}")
            return ItemTableSource(table, keys, source.seeds)
        case "quorum":
            return Quorum(_needed(source, columns.quorum, "quorum table"), keys, spec.quorum)


def _needed(source: SourceSpec, part: T | None, what: str) -> T:
    if part is None:
        raise SchemaMismatch(f"source {source.name} needs the {what}, which this shard does not have")
    return part
