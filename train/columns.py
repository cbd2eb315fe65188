"""Signals and catalogue as the columns that a shard answers from, before the partition. Pure."""

from __future__ import annotations

import numpy as np

from cluster.config.sections import CatalogSection
from shard.columns import ShardColumns
from shard.filter.attributes import column_from_arrow
from shard.tables.item_table import ItemTable
from shard.tables.lists import RankedLists
from shard.tables.quorum_table import QuorumTable
from train.signals import Signals


def as_columns(signals: Signals, section: CatalogSection) -> ShardColumns:
    """One row an item of the catalogue, in its order, which is by ascending key. Without graphs."""
    catalogue, quorum = signals.catalogue, signals.quorum
    keys = catalogue.keys
    return ShardColumns(
        keys=keys,
        item_ids=catalogue.ids if section.id_type == "string" else None,
        lists=RankedLists.of(keys, {top.name: (top.rows, top.scores) for top in signals.lists}),
        attributes={spec.name: column_from_arrow(spec.kind, catalogue.attributes[spec.name]) for spec in catalogue.specs},
        stats=signals.stats,
        payload=catalogue.payload,
        vectors={name: np.asarray(space.items) for name, space in signals.spaces.items()},
        tables={name: ItemTable.of(keys, table.starts, table.targets, table.weights) for name, table in signals.tables.items()},
        quorum=None if quorum is None else QuorumTable.of(keys, quorum.values, quorum.weights()),
    )
