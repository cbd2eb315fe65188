"""What each source of a generation can be asked for, for any user. `router/planning/plan.py` picks from it for each request.

Naming the lists of each value walks thousands of names, which costs more than a plan: `router/planning/setup.py` keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cluster.config.sources import PLAYLIST, SourcesSection
from cluster.spec import GenerationSpec, SourceKind, SourceSpec

Lists = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """A source that the generation has and the configuration enables. k: its budget, of the whole cluster.

    lists: of tops, the global ones at weight 1.  by_value: of tops, the lists of each value of the configured attribute.
    fills_in: whether it is one of those that share the budget of a space in which the user has no vector.
    """

    source: SourceSpec
    k: int
    lists: Lists = ()
    by_value: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fills_in: bool = False


@dataclass(frozen=True, slots=True)
class Offers:
    """By what a source needs of a request, each in the generation's order. A space is searched, or scored whole if small.

    playlists: the names of the lists there are, if they are on offer.  dims: embedding space -> dimensions.
    """

    tops: tuple[Offer, ...]
    named: tuple[Offer, ...]
    searches: tuple[Offer, ...]
    seeds: tuple[Offer, ...]
    item_lists: tuple[Offer, ...]
    quorums: tuple[Offer, ...]
    playlists: frozenset[str]
    dims: Mapping[str, int]

    @classmethod
    def of(cls, spec: GenerationSpec, config: SourcesSection) -> Offers:
        """What this generation offers under this configuration."""
        offers = [offer for source in spec.sources if (offer := _offer(source, spec, config)) is not None]
        named = tuple(offer for offer in offers if offer.source.lists == PLAYLIST)

        def of(*kinds: SourceKind) -> tuple[Offer, ...]:
            return tuple(offer for offer in offers if offer.source.kind in kinds and offer not in named)

        return cls(
            tops=of("tops"),
            named=named,
            searches=of("ann", "score_all"),
            seeds=of("seeds"),
            item_lists=of("item_lists"),
            quorums=of("quorum"),
            playlists=frozenset(name for name in spec.lists if named and name.startswith(f"{PLAYLIST}/")),
            dims={space.name: space.dim for space in spec.spaces},
        )


def _offer(source: SourceSpec, spec: GenerationSpec, config: SourcesSection) -> Offer | None:
    """None for what is not enabled, or needless. A source that the configuration does not have any more is not asked either."""
    section = config.of(source)
    if section is None or not section.enabled:
        return None
    if source.kind == "tops" and source.lists != PLAYLIST:
        return _top_lists(source, spec, config)
    scored_whole = any(s.kind == "score_all" and _is_whole(s, spec, config) for s in spec.sources if s.space == source.space)
    if (source.kind == "ann" and scored_whole) or (source.kind == "score_all" and not scored_whole):
        return None
    return Offer(source, section.k)


def _is_whole(source: SourceSpec, spec: GenerationSpec, config: SourcesSection) -> bool:
    """Whether the catalogue is small enough to be scored in this source's space, item by item."""
    return config.score_all.enabled and source.space != "" and spec.n_items <= config.score_all.max_items


def _top_lists(source: SourceSpec, spec: GenerationSpec, config: SourcesSection) -> Offer | None:
    """The configured windows' lists, those that the generation has."""
    tops = config.tops
    if source.lists and source.lists not in tops.kinds:
        return None
    windows = [f"{source.lists}/{days}d" if source.lists else f"{days}d" for days in tops.windows_days]
    lists = tuple((name, 1.0) for name in windows if name in spec.list_names)
    by_value: dict[str, tuple[str, ...]] = {}
    if tops.group_by:
        for window in windows:
            prefix = f"{window}/{tops.group_by}="
            for name in spec.lists:
                if name.startswith(prefix):
                    value = name.removeprefix(prefix)
                    by_value[value] = (*by_value.get(value, ()), name)
    return Offer(source, tops.k, lists, by_value, fills_in=source.name in config.cold_users)
