"""Signals and catalogue as the columns that a shard answers from, before the partition. Pure."""

from __future__ import annotations

import numpy as np

from cluster.config.sections import CatalogSection
from shard.columns import ShardColumns
from shard.filter.attributes import column_from_arrow
from shard.tables.item_table import ItemTable
from shard.tables.lists import RankedLists
from shard.tables.quorum_table import QuorumTable
from train.input.catalogue import Catalogue
from train.lists.item_lists import ItemLists
from train.lists.quorum import Quorum
from train.signals import Signals


def as_columns(signals: Signals, section: CatalogSection) -> ShardColumns:
    """One row an item of the catalogue, in its order, which is by ascending key. Without graphs."""
    catalogue = signals.catalogue
    return ShardColumns(
        keys=catalogue.keys,
        item_ids=catalogue.ids if section.id_type == "string" else None,
        lists=RankedLists.of(catalogue.keys, {top.name: (top.rows, top.scores) for top in signals.lists}),
        attributes={spec.name: column_from_arrow(spec.kind, catalogue.attributes[spec.name]) for spec in catalogue.specs},
        stats=signals.stats,
        payload=catalogue.payload,
        vectors={name: np.asarray(space.items) for name, space in signals.spaces.items()},
        tables={name: _table(catalogue, lists) for name, lists in signals.tables.items()},
        quorum=_quorum(catalogue, signals.quorum),
    )


def _table(catalogue: Catalogue, lists: ItemLists) -> ItemTable:
    return ItemTable.of(catalogue.keys, lists.starts, lists.targets, lists.weights)


def _quorum(catalogue: Catalogue, quorum: Quorum | None) -> QuorumTable | None:
    return None if quorum is None else QuorumTable.of(catalogue.keys, quorum.values, quorum.weights())
