"""Short ways to declare sources."""

from __future__ import annotations

from cluster.spec import SourceSpec


def tops(name: str, kind: str) -> SourceSpec:
    return SourceSpec(name, "tops", exact=True, promises_k=True, lists=kind)


def playlists() -> SourceSpec:
    return SourceSpec("playlists", "tops", exact=True, promises_k=False, lists="playlist")


def seeds_themselves(name: str) -> SourceSpec:
    return SourceSpec(name, "seeds", exact=True, promises_k=False, seeds=name)


def item_lists(name: str, table: str, seeds: str) -> SourceSpec:
    return SourceSpec(name, "item_lists", exact=True, promises_k=False, table=table, seeds=seeds)


def quorum() -> SourceSpec:
    return SourceSpec("quorum", "quorum", exact=True, promises_k=False)
