"""Signals and catalogue as the columns that a shard answers from, before the partition. Pure."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from cluster.config import CatalogSection
from shard.attributes import column_from_arrow
from shard.columns import ShardColumns
from shard.lists import RankedLists
from train.catalogue import Catalogue
from train.signals import SPACE, Signals


def as_columns(signals: Signals, section: CatalogSection) -> ShardColumns:
    """One row an item of the catalogue, in its order, which is by ascending key. Without graphs."""
    catalogue = signals.catalogue
    return ShardColumns(
        keys=catalogue.keys,
        item_ids=catalogue.ids if section.id_type == "string" else None,
        lists=RankedLists.of(catalogue.keys, {top.name: (top.rows, top.scores) for top in signals.lists}),
        attributes={spec.name: column_from_arrow(spec.kind, catalogue.attributes[spec.name]) for spec in catalogue.specs},
        stats=signals.stats,
        payload=_payload(catalogue, section),
        vectors={SPACE: np.asarray(signals.factors.items)},
    )


def _payload(catalogue: Catalogue, section: CatalogSection) -> pa.Table | None:
    single_valued = tuple(spec.name for spec in catalogue.specs if spec.kind != "categories")
    names = section.payload or single_valued
    if not names:  # a table without columns would not know its rows
        return None
    return pa.table({name: catalogue.attributes[name] for name in names})
