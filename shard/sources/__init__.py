"""Candidate sources: each finds one kind of candidates in one shard, under the query's mask, best first."""

from __future__ import annotations

from collections.abc import Mapping

from cluster.errors import SchemaMismatch
from cluster.spec import SourceSpec
from cluster.types import Keys
from shard.lists import RankedLists
from shard.sources.ann import Ann
from shard.sources.history import History
from shard.sources.score_all import ScoreAll
from shard.sources.source import Source
from shard.sources.tops import Tops
from shard.space import Space

__all__ = ["Source", "make_source"]


def make_source(spec: SourceSpec, *, keys: Keys, lists: RankedLists, spaces: Mapping[str, Space]) -> Source:
    """The source of one spec over a shard's columns. Raises SchemaMismatch for a space that is not there."""
    needs_space = spec.kind == "ann" or (spec.kind == "score_all" and spec.space)
    if needs_space and spec.space not in spaces:
        raise SchemaMismatch(f"source {spec.name} needs the space {spec.space!r}, which this shard does not have")
    match spec.kind:
        case "tops":
            return Tops(lists, keys)
        case "history":
            return History(keys, spec.seeds or "history")
        case "ann":
            return Ann(spec.space, spaces[spec.space])
        case "score_all":
            return ScoreAll(spec.space, spaces.get(spec.space), lists, keys)
