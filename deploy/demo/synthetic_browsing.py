"""Views, clicks, favourites and user attributes for the synthetic log, so that every source has input.

Users view and click items before they buy them. On every visit more items are shown than bought, and clicked as often as they
are appealing. Some purchases are marked as favourites. Items get a listing date, never after their first purchase, and a
content vector near those of their category. The purchases stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from deploy.demo.synthetic import World
from train.input.event_log import DAY_S

_SHOWN_PER_PURCHASE = 4
_FAVOURITE_SHARE = 0.03
_CONTENT_DIM = 8
_NEWCOMERS = 12  # users in the table that never came
_PLAYLIST_ITEMS = 15

_Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Browsed:
    """Four Parquet files.

    items: with created_at and content.  events: with type (view, click, purchase, favourite) and session_id.  users: user_id,
    category (what the user says to like), age, member.  playlists: name, item_id, position.
    """

    items: Path
    events: Path
    users: Path
    playlists: Path


def add_browsing(world: World, folder: Path) -> Browsed:
    """Rewrite the items.parquet and events.parquet that `write_world` wrote there with more in them, and add the others."""
    rng = np.random.default_rng([world.seed, 1])
    items, bought = pq.read_table(folder / "items.parquet"), pq.read_table(folder / "events.parquet")
    rows = np.array([int(item[-4:]) for item in bought["item_id"].to_pylist()])
    times = bought["timestamp"].cast(pa.timestamp("s", "UTC")).cast(pa.int64()).to_numpy()
    files = Browsed(*(folder / f"{name}.parquet" for name in ("items", "events", "users", "playlists")))
    pq.write_table(_events(world, bought["user_id"].to_numpy(zero_copy_only=False), rows, times, rng), files.events)
    pq.write_table(_items(world, items, rows, times, rng), files.items)
    pq.write_table(_users(world, items["category"].to_pylist(), rng), files.users)
    pq.write_table(_playlists(items["item_id"].to_pylist(), rng), files.playlists)
    return files


def _events(world: World, users: NDArray[np.object_], rows: _Ints, times: _Ints, rng: np.random.Generator) -> pa.Table:
    n = len(rows)
    sessions = np.unique(np.stack((np.unique(users, return_inverse=True)[1], times)), axis=1, return_inverse=True)[1].ravel()
    shown_at = np.repeat(np.arange(n), _SHOWN_PER_PURCHASE)
    shown = rng.integers(0, world.n_items, len(shown_at))
    clicked = rng.random(len(shown)) < rng.beta(2, 18, world.n_items)[shown]
    liked = np.flatnonzero(rng.random(n) < _FAVOURITE_SHARE)
    everything, looked = np.arange(n), shown_at[clicked]
    parts = [
        ("view", everything, rows, -120),
        ("click", everything, rows, -60),
        ("purchase", everything, rows, 0),
        ("favourite", liked, rows[liked], 0),
        ("view", shown_at, shown, -180),
        ("click", looked, shown[clicked], -150),
    ]
    of = np.concatenate([at for _, at, _, _ in parts])
    when = np.concatenate([times[at] + delay for _, at, _, delay in parts])
    order = np.argsort(when, kind="stable")
    types = np.concatenate([np.full(len(at), kind, object) for kind, at, _, _ in parts])
    seen = np.concatenate([item for _, _, item, _ in parts])
    return pa.table(
        {
            "user_id": pa.array(users[of][order], pa.string()),
            "item_id": [f"item-{row:04d}" for row in seen[order]],
            "timestamp": pa.array(when[order], pa.timestamp("s", "UTC")),
            "type": pa.array(types[order], pa.string()),
            "session_id": sessions[of][order],
        }
    )


def _items(world: World, items: pa.Table, rows: _Ints, times: _Ints, rng: np.random.Generator) -> pa.Table:
    first = np.full(world.n_items, world.end)
    np.minimum.at(first, rows, times)
    created = first - rng.integers(1, 30 * DAY_S, world.n_items)
    categories, code = np.unique(items["category"].to_pylist(), return_inverse=True)
    content = rng.normal(size=(len(categories), _CONTENT_DIM))[code] + 0.5 * rng.normal(size=(world.n_items, _CONTENT_DIM))
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(content.astype(np.float32).ravel()), _CONTENT_DIM)
    return items.append_column("created_at", pa.array(created, pa.timestamp("s", "UTC"))).append_column("content", vectors)


def _users(world: World, categories: list[str], rng: np.random.Generator) -> pa.Table:
    n = world.n_users + _NEWCOMERS
    age = rng.integers(16, 90, n).astype(float)
    age[rng.random(n) < 0.1] = np.nan
    return pa.table(
        {
            "user_id": [f"user-{user:04d}" for user in range(n)],
            "category": [str(liked) for liked in rng.choice(sorted(set(categories)), n)],
            "age": pa.array(age, from_pandas=True),
            "member": rng.random(n) < 0.5,
        }
    )


def _playlists(item_ids: list[str], rng: np.random.Generator) -> pa.Table:
    names = ("breakfast", "under the weather")
    chosen = [rng.choice(len(item_ids), min(_PLAYLIST_ITEMS, len(item_ids)), replace=False) for _ in names]
    return pa.table(
        {
            "name": [name for name, rows in zip(names, chosen, strict=True) for _ in rows],
            "item_id": [item_ids[row] for rows in chosen for row in rows],
            "position": [position for rows in chosen for position in range(len(rows))],
        }
    )
