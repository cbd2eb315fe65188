"""Which candidate sources a generation has: those the configuration enables and the input allows.

Decided before anything is computed, from the configuration and from what kinds of events and columns there are. A source whose
input is missing is left out in silence if the configuration says nothing about it, and refused if it asks for it by name.
"""

from __future__ import annotations

from collections.abc import Iterator

from cluster.config.section import Section
from cluster.config.sections import Config
from cluster.config.sources import ITEM_LISTS, PLAYLIST, TOPS_SOURCE, TopsKind
from cluster.errors import ConfigError
from cluster.spec import SourceSpec
from train.input.catalogue import Catalogue
from train.input.event_log import EventLog
from train.lists.item_tables import content_weights
from train.lists.tops import possible_kinds
from train.vectors.spaces import ALS, CONTENT, TWO_TOWER
from train.vectors.two_tower import require_torch

_PURCHASES = "a log with purchases"


def source_specs(config: Config, catalogue: Catalogue, log: EventLog, *, playlists: bool) -> tuple[SourceSpec, ...]:
    """The sources in the order in which they are listed everywhere. Raises ConfigError for one asked for without its input."""
    return (
        *_tops(config, log),
        *_playlists(config, playlists),
        *_spaces(config, catalogue, log),
        *_seeds(config, log),
        *_item_lists(config, catalogue, log),
        *_quorum(config, log),
    )


def _tops(config: Config, log: EventLog) -> Iterator[SourceSpec]:
    for kind in tops_kinds(config, log):
        yield SourceSpec(TOPS_SOURCE[kind], "tops", exact=True, promises_k=True, lists=kind)


def tops_kinds(config: Config, log: EventLog) -> tuple[TopsKind, ...]:
    """The kinds of top lists there are. Raises ConfigError for one that is asked for and that the log has no events for."""
    section = config.sources.tops
    if not section.enabled:
        return ()
    return possible_kinds(log, config.events, asked=section.kinds if "kinds" in section.model_fields_set else ())


def _playlists(config: Config, given: bool) -> Iterator[SourceSpec]:
    if _wanted(config.sources.playlists, given, "sources.playlists", "a table of playlists"):
        yield SourceSpec("playlists", "tops", exact=True, promises_k=False, lists=PLAYLIST)


def _spaces(config: Config, catalogue: Catalogue, log: EventLog) -> Iterator[SourceSpec]:
    sources = config.sources
    if _wanted(sources.ann, log.has_purchases, "sources.ann", _PURCHASES):
        yield SourceSpec("ann", "ann", exact=False, promises_k=True, space=ALS)
    if _wanted(sources.content, catalogue.content is not None, "sources.content", "catalog.vector_column"):
        yield SourceSpec("content", "ann", exact=False, promises_k=True, space=CONTENT)
    if _wanted(sources.two_tower, log.has_purchases, "sources.two_tower", _PURCHASES):
        require_torch()
        yield SourceSpec("two_tower", "ann", exact=False, promises_k=True, space=TWO_TOWER)
    if _wanted(sources.score_all, log.has_purchases, "sources.score_all", _PURCHASES):
        yield SourceSpec("score_all", "score_all", exact=True, promises_k=True, space=ALS, lists="purchases")


def _seeds(config: Config, log: EventLog) -> Iterator[SourceSpec]:
    sources = config.sources
    own = (("history", sources.history, log.has_purchases), ("favourites", sources.favourites, log.has_purchases))
    for name, section, possible in (*own, ("viewed", sources.viewed, True)):  # a request may tell of views that no log has
        if _wanted(section, possible, f"sources.{name}", _PURCHASES):
            yield SourceSpec(name, "seeds", exact=True, promises_k=False, seeds=name)


def _item_lists(config: Config, catalogue: Catalogue, log: EventLog) -> Iterator[SourceSpec]:
    has_content = catalogue.content is not None or bool(content_weights(config))
    for name, section in config.sources.item_lists.items():
        if not section.enabled:
            continue
        if has_content if section.table == "content" else log.has_purchases:
            yield SourceSpec(name, "item_lists", exact=True, promises_k=False, seeds=section.seeds, table=section.table)
        elif section != ITEM_LISTS.get(name):
            needed = "catalog.vector_column or catalog.category" if section.table == "content" else _PURCHASES
            raise ConfigError(f"sources.item_lists.{name}: table {section.table} needs {needed}")


def _quorum(config: Config, log: EventLog) -> Iterator[SourceSpec]:
    section = config.sources.quorum
    needed = _PURCHASES if section.attribute else "sources.quorum.attribute"
    if _wanted(section, bool(section.attribute) and log.has_purchases, "sources.quorum", needed):
        yield SourceSpec("quorum", "quorum", exact=True, promises_k=False)


def _wanted(section: Section, possible: bool, key: str, needed: str) -> bool:
    """Whether an enabled source can be had. `section` has a field `enabled`."""
    enabled = bool(getattr(section, "enabled"))  # noqa: B009
    if enabled and not possible and "enabled" in section.model_fields_set:
        raise ConfigError(f"{key}.enabled is true, and without {needed} there is no such source")
    return enabled and possible
