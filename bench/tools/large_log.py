"""A made-up purchase log of any size, quick to make: clustered tastes, power laws of items and users, baskets, habits.

An item belongs to one category and is bought by a power of its rank there. A user likes a few categories and has some
favourites among their items, which are bought again and again. What is drawn depends on the seed alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from train.input.event_log import DAY_S

_LIKED = 4  # categories of a user
_LIKED_SHARE = 0.85  # of what is drawn from these
_FAVOURITES = 12
_FAVOURITE_SHARE = 0.35
_BASKET = 6
_TAIL = 3.0  # the item of relative rank u^3 for a uniform u: the first 1 % of a category are 22 % of its purchases


@dataclass(frozen=True, slots=True)
class LogSize:
    """The log covers n_days and ends at `end`, Unix seconds."""

    n_events: int
    n_items: int
    n_users: int
    n_days: int = 365
    end: int = 1_790_000_000
    seed: int = 0

    @classmethod
    def of(cls, n_events: int) -> LogSize:
        """Items and users in proportion: 10,000,000 events are of 1,000,000 items and 300,000 users."""
        return cls(n_events, n_events // 10, 3 * n_events // 100)

    @property
    def n_categories(self) -> int:
        return max(8, round(self.n_items**0.5 / 2))


def write_log(size: LogSize, folder: Path) -> tuple[Path, Path]:
    """Write items.parquet (item_id, category, brand, price) and events.parquet into `folder`."""
    rng = np.random.default_rng(size.seed)
    folder.mkdir(parents=True, exist_ok=True)
    items, events = folder / "items.parquet", folder / "events.parquet"
    category = np.sort(rng.integers(0, size.n_categories, size.n_items))
    pq.write_table(_catalogue(size, category, rng), items)
    pq.write_table(_events(size, category, rng), events)
    return items, events


def _catalogue(size: LogSize, category: NDArray[np.int64], rng: np.random.Generator) -> pa.Table:
    brands = category * 20 + rng.integers(0, 20, size.n_items)
    return pa.table(
        {
            "item_id": _ids("item", np.arange(size.n_items)),
            "category": _ids("category", category),
            "brand": _ids("brand", brands),
            "price": np.round(rng.lognormal(1.0, 0.6, size.n_items), 2),
        }
    )


def _events(size: LogSize, category: NDArray[np.int64], rng: np.random.Generator) -> pa.Table:
    begins = np.searchsorted(category, np.arange(size.n_categories + 1))
    liked = rng.integers(0, size.n_categories, (size.n_users, _LIKED))

    def bought(users: NDArray[np.int64]) -> NDArray[np.int64]:
        own = liked[users, rng.integers(0, _LIKED, len(users))]
        other = rng.integers(0, size.n_categories, len(users))
        of = np.where(rng.random(len(users)) < _LIKED_SHARE, own, other)
        rank = rng.random(len(users)) ** _TAIL * (begins[of + 1] - begins[of])
        return np.minimum(begins[of] + rank.astype(np.int64), size.n_items - 1)

    favourites = bought(np.repeat(np.arange(size.n_users), _FAVOURITES)).reshape(-1, _FAVOURITES)
    n_visits = size.n_events // _BASKET
    activity = rng.permutation((1 + np.arange(size.n_users)) ** -0.5)
    visitors = rng.choice(size.n_users, n_visits, p=activity / activity.sum())
    times = rng.integers(size.end - size.n_days * DAY_S, size.end, n_visits)
    visit = np.sort(np.concatenate((np.arange(n_visits), rng.integers(0, n_visits, size.n_events - n_visits))))
    users = visitors[visit]
    again = favourites[users, rng.integers(0, _FAVOURITES, len(users))]
    items = np.where(rng.random(len(users)) < _FAVOURITE_SHARE, again, bought(users))
    order = np.argsort(times[visit], kind="stable")
    return pa.table(
        {
            "user_id": _ids("user", users[order]),
            "item_id": _ids("item", items[order]),
            "timestamp": pa.array(times[visit][order], pa.timestamp("s", "UTC")),
            "basket_id": visit[order],
        }
    )


def _ids(kind: str, numbers: NDArray[np.int64]) -> pa.Array:
    present, at = np.unique(numbers, return_inverse=True)
    return pa.DictionaryArray.from_arrays(at.astype(np.int32), pa.array([f"{kind}-{n}" for n in present.tolist()])).cast(
        pa.string()
    )
