"""Which candidate sources a generation has: those the configuration enables and the input allows.

Decided before anything is computed, from the configuration and from the kinds of events and columns in the input. A source
without input is left out silently if the configuration does not mention it, and refused if the configuration names it.
"""

from __future__ import annotations

from collections.abc import Iterator

from cluster.config.sections import Config
from cluster.config.sources import ITEM_LISTS, SOURCES, TOPS_SOURCES, ItemListSource, SourceSection, TopsKind
from cluster.errors import ConfigError
from cluster.spec import SourceSpec
from train.input.catalogue import Catalogue
from train.input.event_log import EventLog
from train.lists.item_tables import content_weights
from train.lists.tops import possible_kinds

_PURCHASES = "a log with purchases"


def source_specs(config: Config, catalogue: Catalogue, log: EventLog, *, playlists: bool) -> tuple[SourceSpec, ...]:
    """The sources in the order in which they are listed everywhere. Raises ConfigError for one asked for without its input."""
    attribute = config.sources.quorum.attribute
    needs = {  # source -> whether the input has what it needs, and what that is; the others need purchases
        "playlists": (playlists, "a table of playlists"),
        "content": (catalogue.content is not None, "catalog.vector_column"),
        "viewed": (True, ""),  # a request may tell of views that no log has
        "quorum": (bool(attribute) and log.has_purchases, _PURCHASES if attribute else "sources.quorum.attribute"),
    }

    def has(source: SourceSpec) -> bool:
        section = config.sources.of(source)
        assert section is not None, f"{source.name} has no section"
        possible, needed = needs.get(source.name, (log.has_purchases, _PURCHASES))
        return _is_wanted(section, possible, f"sources.{source.name}", needed)

    *others, quorum = SOURCES
    return (
        *(TOPS_SOURCES[kind] for kind in tops_kinds(config, log)),
        *filter(has, others),
        *_item_lists(config, catalogue, log),
        *filter(has, [quorum]),
    )


def tops_kinds(config: Config, log: EventLog) -> tuple[TopsKind, ...]:
    """The kinds of top lists there are. Raises ConfigError for one that is asked for and that the log has no events for."""
    section = config.sources.tops
    if not section.enabled:
        return ()
    return possible_kinds(log, config.events, asked=section.kinds if "kinds" in section.model_fields_set else ())


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


def _is_wanted(section: SourceSection | ItemListSource, possible: bool, key: str, needed: str) -> bool:
    """Whether a source is enabled and possible. Raises ConfigError for one that is enabled by name and impossible."""
    if section.enabled and not possible and "enabled" in section.model_fields_set:
        raise ConfigError(f"{key}.enabled is true, but the source needs {needed}")
    return section.enabled and possible
