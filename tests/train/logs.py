"""Small logs and catalogues written out by hand: what a test needs and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from cluster.config.sections import CatalogSection
from cluster.partition import item_keys
from train.input.attribute_columns import attribute_specs
from train.input.catalogue import Catalogue
from train.input.event_log import DAY_S, KINDS, NO_CONTEXT, TARGET, EventKind, EventLog

NOW_DAY = 100
NOW = NOW_DAY * DAY_S


def log_of(
    events: Sequence[tuple[str, int, float]],
    n_items: int,
    weights: Sequence[float] = (),
    *,
    kinds: Sequence[EventKind] = (),
    contexts: Sequence[int] = (),
) -> EventLog:
    """A log of (user, item row, day) events; day 100 is now. Purchases of no context unless told otherwise."""
    users = sorted({user for user, _, _ in events})
    n = len(events)
    aligned = (weights or [1.0] * n, kinds or [TARGET] * n, contexts or [NO_CONTEXT] * n)
    rows = sorted(
        (users.index(user), int(day * DAY_S), item, KINDS.index(kind), context, weight)
        for (user, item, day), weight, kind, context in zip(events, *aligned, strict=True)
    )
    counts = np.bincount([row[0] for row in rows], minlength=len(users))
    return EventLog(
        user_ids=pa.array(users, pa.string()),
        n_items=n_items,
        starts=np.concatenate(([0], np.cumsum(counts))),
        items=np.array([row[2] for row in rows], np.int32),
        times=np.array([row[1] for row in rows], np.int64),
        weights=np.array([row[5] for row in rows], np.float32),
        kinds=np.array([row[3] for row in rows], np.int8),
        contexts=np.array([row[4] for row in rows], np.int64),
    )


def catalogue_of(category: Sequence[str | None], *, price: Sequence[float | None] = (), name: str = "category") -> Catalogue:
    """Items 0, 1, 2 ... (int64 ids, so a row is its key) with one category attribute and a price if given."""
    attributes = {name: pa.array(category, pa.string())}
    section = CatalogSection(id_type="int64", category=(name,), number=("price",) if price else ())
    if price:
        attributes["price"] = pa.array(price, pa.float64())
    ids = pa.array(range(len(category)), pa.int64())
    return Catalogue(item_keys(ids.to_pylist()), ids, attribute_specs(section), attributes)
