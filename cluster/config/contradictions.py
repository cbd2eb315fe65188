"""Keys of a configuration that are each valid and contradict each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf

from cluster.config.sections import Config
from cluster.config.slate import Selection
from cluster.config.sources import ALS, CONTENT, SOURCES, TOPS_SOURCES, TWO_TOWER
from cluster.config.text import Key, leaves, toml_value

FIXED_SOURCES = frozenset(source.name for source in (*TOPS_SOURCES.values(), *SOURCES))
"""The sources there are whatever the file says: a name each, which none of [sources.item_lists] can have."""

Contradiction = tuple[Key, tuple[Key, ...], str]
"""The key to change, the others that it depends on, and why both cannot hold, in a line."""


_KINDS = ("category", "categories", "number", "boolean")
_TOWERS: Key = ("sources", "two_tower", "enabled")


def contradictions(config: Config) -> Iterator[Contradiction]:
    """Every contradiction in a configuration."""
    yield from _limits(config)
    yield from _names(config)
    yield from _repetitions(config)
    yield from _sources(config)
    yield from _slate(config)


def _limits(config: Config) -> Iterator[Contradiction]:
    heavy = config.ranker.heavy
    adapting = (
        (("ranker", "heavy", "n_heavy_min"), ("ranker", "heavy", "n_heavy")),
        (("ranker", "heavy", "target_ms"), ("ranker", "timeout_ms")),
    )
    at_most = (
        (("deadline", "default_ms"), ("deadline", "max_ms")),
        (("slate", "k_default"), ("limits", "k")),
        (("ranker", "heavy", "n_heavy"), ("merge", "n_light")),
        (("transport", "reconnect_min_ms"), ("transport", "reconnect_max_ms")),
        *(adapting if heavy.enabled is not False and heavy.adaptive else ()),
    )
    values = leaves(config)
    for small, large in at_most:
        if values[small] > values[large]:  # type: ignore[operator]
            yield small, (large,), f"{values[small]} is more than {'.'.join(large)}, which is {values[large]}"


def _names(config: Config) -> Iterator[Contradiction]:
    """Keys that name something that another key must declare."""
    catalog = config.catalog
    category, texts = set(catalog.category), {*catalog.category, *catalog.categories}
    declared = [*catalog.category, *catalog.categories, *catalog.number, *catalog.boolean]
    of_category, of_texts, of_all = _columns("category"), _columns("category", "categories"), _columns(*_KINDS)
    among: tuple[tuple[Key, Sequence[str], set[str], tuple[Key, ...]], ...] = (
        (("slate", "cap_by"), (config.slate.cap_by,), category | {""}, of_category),
        *(
            (("slate", "caps", str(at), "attribute"), (cap.attribute,), category, of_category)
            for at, cap in enumerate(config.slate.caps)
        ),
        (("sources", "tops", "group_by"), (config.sources.tops.group_by,), texts | {""}, of_texts),
        (("sources", "quorum", "attribute"), (config.sources.quorum.attribute,), texts | {""}, of_texts),
        (("train", "profile"), config.train.profile, texts, of_texts),
        (("train", "content", "weights"), tuple(config.train.content.weights), texts, of_texts),
    )
    for key, names, known, where in among:
        for name in names:
            if name not in known:
                place = "the catalog's columns" if where == of_all else " or ".join(map(".".join, where))
                yield key, where, f"{toml_value(name)} is not in {place}"
    for twice in _repeated(declared):
        yield ("catalog",), of_all, f"{toml_value(twice)} is declared more than once"


def _repetitions(config: Config) -> Iterator[Contradiction]:
    """Lists whose entries differ from each other."""
    sources, slate = config.sources, config.slate
    lists: tuple[tuple[Key, str, Sequence[object]], ...] = (
        (("sources", "tops", "kinds"), "", sources.tops.kinds),
        (("sources", "tops", "windows_days"), "", sources.tops.windows_days),
        (("sources", "cold_users"), "", sources.cold_users),
        (("slate", "pins"), "position ", [pin.position for pin in slate.pins]),
        (("slate", "pins"), "item ", [pin.item_id for pin in slate.pins]),
        (("slate", "precedence"), "", slate.precedence),
    )
    for key, what, values in lists:
        for twice in _repeated(values):
            yield key, (), f"{what}{toml_value(twice)} is listed more than once"


def _sources(config: Config) -> Iterator[Contradiction]:
    sources = config.sources
    tops = {TOPS_SOURCES[kind].name for kind in sources.tops.kinds}
    for name in sources.cold_users if sources.tops.enabled else ():
        if name not in tops:
            yield (
                ("sources", "cold_users"),
                (("sources", "tops", "kinds"), ("sources", "tops", "enabled")),
                f"{toml_value(name)} is not a source of sources.tops.kinds",
            )
    for name in config.merge.weights:
        if not _is_source(name, config):
            yield ("merge", "weights", name), (_list(name),), f"there is no source {toml_value(name)}"
    for name, section in sources.item_lists.items():
        key = ("sources", "item_lists", name)
        if name in FIXED_SOURCES:
            yield key, (), f"there already is a source {toml_value(name)}: choose another name"
        if section.enabled and section.table == "two_tower" and not sources.two_tower.enabled:
            yield (*key, "table"), (_TOWERS,), "two_tower has no items unless sources.two_tower.enabled is true"


def _slate(config: Config) -> Iterator[Contradiction]:
    slate, k = config.slate, config.limits.k
    own_limits: list[tuple[Key, int]] = [(("slate", "cap"), slate.cap if slate.cap_by else 0)]
    own_limits += [(("slate", "caps", str(at), "max"), cap.max) for at, cap in enumerate(slate.caps)]
    own_limits += [(("slate", "caps", str(at), "first"), cap.first) for at, cap in enumerate(slate.caps)]
    own_limits += [(("slate", "pins", str(at), "position"), pin.position) for at, pin in enumerate(slate.pins)]
    own_limits += [(("slate", "quotas", str(at), "min"), quota.min) for at, quota in enumerate(slate.quotas)]
    own_limits += [(("slate", "explore", "positions"), position) for position in slate.explore.positions]
    for key, places in own_limits:
        if places > k:
            yield key, (("limits", "k"),), f"{places} is more than limits.k = {k}, the most places that a slate can have"
    for at, cap in enumerate(slate.caps):
        if 0 < cap.first < cap.max:
            yield ("slate", "caps", str(at), "max"), (), f"{cap.max} is more than its first = {cap.first} places"
    expected = str if config.catalog.id_type == "string" else int
    for at, pin in enumerate(slate.pins):
        if type(pin.item_id) is not expected:
            message = f"{toml_value(pin.item_id)} is not of catalog.id_type, which is {config.catalog.id_type}"
            yield ("slate", "pins", str(at), "item_id"), (("catalog", "id_type"),), message
    for at, quota in enumerate(slate.quotas):
        if quota.min > quota.max:
            yield ("slate", "quotas", str(at), "min"), (), f"{quota.min} is more than its max = {quota.max}"
    if slate.explore.method != "off" and not slate.explore.positions:
        message = "has no effect without places in slate.explore.positions"
        yield ("slate", "explore", "method"), (("slate", "explore", "positions"),), message
    spaces = {
        ALS,
        *((CONTENT,) if config.catalog.vector_column else ()),
        *((TWO_TOWER,) if config.sources.two_tower.enabled else ()),
    }
    if slate.diversity.space not in spaces:
        needed = (("catalog", "vector_column"), _TOWERS)
        shown = f"{toml_value(slate.diversity.space)} is not an embedding space of this configuration"
        yield ("slate", "diversity", "space"), needed, f"{shown}, which has {', '.join(sorted(spaces))}"
    yield from _selections(config)


def _selections(config: Config) -> Iterator[Contradiction]:
    """Rules of the slate that do not select items by one thing, or by one that exists."""
    slate, catalog = config.slate, _columns("category", "categories", "boolean")
    of_rules: list[tuple[Key, Selection]] = []
    of_rules += [(("slate", "boosts", str(at)), boost) for at, boost in enumerate(slate.boosts)]
    of_rules += [(("slate", "quotas", str(at)), quota) for at, quota in enumerate(slate.quotas)]
    of_rules += [(("slate", "explore"), slate.explore)] if slate.explore.method != "off" else []
    texts, flags = {*config.catalog.category, *config.catalog.categories}, set(config.catalog.boolean)
    for key, rule in of_rules:
        named = [name for name in ("source", "attribute", "stat") if getattr(rule, name)]
        if len(named) != 1:
            yield key, (), f"must name exactly one of source, attribute and stat; given: {', '.join(named) or 'none'}"
            continue
        if rule.stat and rule.at_least == -inf and rule.at_most == inf:
            yield (*key, "stat"), (), "needs at_least or at_most"
        if rule.source and not _is_source(rule.source, config):
            yield (*key, "source"), (_list(rule.source),), f"there is no source {toml_value(rule.source)}"
        if not rule.attribute:
            continue
        if rule.attribute not in texts | flags:
            shown = toml_value(rule.attribute)
            yield (*key, "attribute"), catalog, f"{shown} is not a category, categories or boolean attribute of the catalog"
        elif not rule.values:
            yield (*key, "attribute"), (), "needs values"
        elif any((type(value) is bool) != (rule.attribute in flags) for value in rule.values):
            of = "true and false" if rule.attribute in flags else "strings"
            yield (*key, "values"), catalog, f"the values of {rule.attribute} are {of}; given: {toml_value(rule.values)}"


def _is_source(name: str, config: Config) -> bool:
    """Whether a source may have this name; whether a generation has it depends on its log too."""
    return name in FIXED_SOURCES or name in config.sources.item_lists


def _list(name: str) -> Key:
    return ("sources", "item_lists", name)


def _columns(*kinds: str) -> tuple[Key, ...]:
    return tuple(("catalog", kind) for kind in kinds)


def _repeated(values: Sequence[object]) -> list[object]:
    return sorted({value for value in values if values.count(value) > 1}, key=str)
