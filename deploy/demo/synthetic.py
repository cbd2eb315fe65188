"""A synthetic purchase log with the structure of a real one, for tests and for a demo without a network.

Items belong to categories and have a popularity with a long tail; users like a few categories and a few items in them, and buy
those again. The log depends on the seed alone, and does not claim to resemble real shoppers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from train.input.event_log import DAY_S

_STORES = 6
_FAVOURITE_SHARE = 0.6  # of purchases, the rest explores
_VISIT_GAP_DAYS = 4.0


@dataclass(frozen=True, slots=True)
class World:
    """How large, and where in time: the log covers `n_days` and ends at `end`, Unix seconds."""

    n_users: int = 200
    n_items: int = 300
    n_categories: int = 8
    n_days: int = 120
    end: int = 1_750_000_000
    seed: int = 0


def write_world(world: World, folder: Path) -> tuple[Path, Path]:
    """Write items.parquet (item_id, category, brand, price, stores, organic) and events.parquet into `folder`."""
    rng = np.random.default_rng(world.seed)
    folder.mkdir(parents=True, exist_ok=True)
    category = rng.integers(0, world.n_categories, world.n_items)
    popularity = 1 / (1 + rng.permutation(world.n_items)) ** 0.7
    items, events = folder / "items.parquet", folder / "events.parquet"
    pq.write_table(_catalogue(world, category, rng), items)
    pq.write_table(_log(world, category, popularity, rng), events)
    return items, events


def _catalogue(world: World, category: NDArray[np.int64], rng: np.random.Generator) -> pa.Table:
    stores = [
        [f"store-{store}" for store in np.sort(rng.choice(_STORES, rng.integers(0, _STORES), replace=False))]
        for _ in range(world.n_items)
    ]
    return pa.table(
        {
            "item_id": [f"item-{i:04d}" for i in range(world.n_items)],
            "category": pa.array([f"category-{c}" for c in category]),
            "brand": pa.array([None if b == 0 else f"brand-{b}" for b in rng.integers(0, 12, world.n_items)], pa.string()),
            "price": np.round(rng.lognormal(1.0, 0.6, world.n_items), 2),
            "stores": pa.array(stores, pa.list_(pa.string())),
            "organic": rng.random(world.n_items) < 0.3,
        }
    )


def _log(world: World, category: NDArray[np.int64], popularity: NDArray[np.float64], rng: np.random.Generator) -> pa.Table:
    begin = world.end - world.n_days * DAY_S
    columns: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
    for user in range(world.n_users):
        liked = rng.dirichlet(np.full(world.n_categories, 0.3))[category] * popularity
        taste = liked / liked.sum()
        favourites = rng.choice(world.n_items, min(12, world.n_items), replace=False, p=taste * 0.99 + 0.01 / world.n_items)
        n_visits = 1 + rng.poisson(world.n_days / _VISIT_GAP_DAYS * rng.uniform(0.3, 1.5))
        visits = np.sort(rng.integers(begin + 1, world.end + 1, n_visits))
        sizes = 1 + rng.poisson(3, n_visits)
        n = int(sizes.sum())
        explored = rng.choice(world.n_items, n, p=taste)
        repeated = favourites[rng.integers(0, len(favourites), n)]
        bought = np.where(rng.random(n) < _FAVOURITE_SHARE, repeated, explored)
        pairs = np.unique(np.stack((np.repeat(visits, sizes), bought), axis=1), axis=0)  # an item once a visit
        columns.append((np.full(len(pairs), user), pairs[:, 1], pairs[:, 0]))
    users, items, times = (np.concatenate(column) for column in zip(*columns, strict=True))
    order = np.argsort(times, kind="stable")
    return pa.table(
        {
            "user_id": [f"user-{u:04d}" for u in users[order]],
            "item_id": [f"item-{i:04d}" for i in items[order]],
            "timestamp": pa.array(times[order], pa.timestamp("s", "UTC")),
        }
    )
