"""What no single key of a configuration is to blame for: keys that are right by themselves and cannot hold together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cluster.config import Config
from cluster.config_text import Key, leaves, toml_value
from cluster.source_sections import TOPS_SOURCE

FIXED_SOURCES = frozenset(
    {
        "ann",
        "content",
        "two_tower",
        "score_all",
        "history",
        "favourites",
        "viewed",
        "playlists",
        "quorum",
        *TOPS_SOURCE.values(),
    }
)
"""Names that a source of [sources.item_lists] cannot have."""


def contradictions(config: Config) -> Iterator[tuple[Key, Key, str]]:
    """(the key to change, the other, why): each pair of keys that cannot both hold, in a line."""
    yield from _limits(config)
    yield from _names(config)
    yield from _sources(config)


def _limits(config: Config) -> Iterator[tuple[Key, Key, str]]:
    at_most = (
        (("deadline", "default_ms"), ("deadline", "max_ms")),
        (("slate", "k_default"), ("limits", "k")),
        (("ranker", "heavy", "n_heavy"), ("merge", "n_light")),
        (("transport", "reconnect_min_ms"), ("transport", "reconnect_max_ms")),
    )
    values = leaves(config)
    for small, large in at_most:
        if values[small] > values[large]:  # type: ignore[operator]
            yield small, large, f"{values[small]} is more than {'.'.join(large)}, which is {values[large]}"


def _names(config: Config) -> Iterator[tuple[Key, Key, str]]:
    """Keys that name what another key declares."""
    category, categories = set(config.catalog.category), set(config.catalog.categories)
    declared = [*config.catalog.category, *config.catalog.categories, *config.catalog.number, *config.catalog.boolean]
    among: tuple[tuple[Key, Sequence[str], set[str], str], ...] = (
        (("slate", "cap_by"), (config.slate.cap_by,), category | {""}, "catalog.category"),
        (("sources", "tops", "group_by"), (config.sources.tops.group_by,), category | {""}, "catalog.category"),
        (("train", "profile"), config.train.profile, category | categories, "catalog.category or catalog.categories"),
        (
            ("train", "content", "weights"),
            tuple(config.train.content.weights),
            category | categories,
            "catalog.category or catalog.categories",
        ),
        (("catalog", "payload"), config.catalog.payload, set(declared), "the catalog's columns"),
    )
    for key, names, known, where in among:
        for name in names:
            if name not in known:
                yield key, ("catalog",), f"{toml_value(name)} is not in {where}"
    for twice in _repeated(declared):
        yield ("catalog",), ("catalog",), f"{toml_value(twice)} is declared more than once"


def _sources(config: Config) -> Iterator[tuple[Key, Key, str]]:
    sources = config.sources
    for key, values in (
        (("sources", "tops", "kinds"), sources.tops.kinds),
        (("sources", "tops", "windows_days"), sources.tops.windows_days),
        (("sources", "cold_users"), sources.cold_users),
    ):
        for value in _repeated(values):
            yield key, key, f"{toml_value(value)} is there more than once"
    tops = {TOPS_SOURCE[kind] for kind in sources.tops.kinds}
    for name in sources.cold_users if sources.tops.enabled else ():
        if name not in tops:
            yield (
                ("sources", "cold_users"),
                ("sources", "tops", "kinds"),
                f"{toml_value(name)} is no source of sources.tops.kinds",
            )
    profile = {*config.train.profile, sources.tops.group_by}
    if sources.quorum.enabled and sources.quorum.attribute not in profile | {""}:
        shown = toml_value(sources.quorum.attribute)
        yield ("sources", "quorum", "attribute"), ("train", "profile"), f"{shown} is not in train.profile"
    for name, section in sources.item_lists.items():
        key = ("sources", "item_lists", name)
        if name in FIXED_SOURCES:
            yield key, key, f"there is a source {toml_value(name)} already: take another name"
        if section.enabled and section.table == "two_tower" and not sources.two_tower.enabled:
            yield (*key, "table"), ("sources", "two_tower"), "two_tower has no items unless sources.two_tower.enabled is true"


def _repeated(values: Sequence[object]) -> list[object]:
    return sorted({value for value in values if values.count(value) > 1}, key=str)
