"""From a Parquet purchase log in any order to an `EventLog`, with a bounded amount of memory.

The file is streamed once into a spool of fixed-width rows, a counting sort scatters the spool by user, and each group of
users is then put in order by itself. Resident memory is a batch and a group, plus the ids of users and items; the rest is
mapped files. What cannot be used is counted: unknown items, nulls, events of the future, weights that are no positive
number, repeats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cluster.config import EventsSection
from cluster.errors import ConfigError
from cluster.partition import item_keys
from train.catalogue import Catalogue
from train.event_log import ARRAYS, USER_IDS, EventLog
from train.parquet import Column, Kind, ParquetTable
from train.report import TableReport, Tally

_ROW = np.dtype([("user", np.int32), ("item", np.int32), ("time", np.int64), ("weight", np.float32)])
_SPOOL_ROWS = 1 << 20


def read_events(
    path: Path,
    section: EventsSection,
    catalogue: Catalogue,
    folder: Path,
    *,
    now: float,
    user_id_length_max: int,
    on_rows: Callable[[int], None] = lambda n_rows: None,
) -> tuple[EventLog, TableReport]:
    """Write the log into an empty `folder` and open it. `now`: Unix seconds; later events are dropped and counted.

    `on_rows` is told how many rows of the file are done. Raises ConfigError for a missing or mistyped column and for a log
    without one usable event.
    """
    item_kind: Kind = "int64" if pa.types.is_integer(catalogue.ids.type) else "string"
    columns = [
        Column(section.user_column, "events.user_column", "string or integer"),
        Column(section.item_column, "events.item_column", item_kind),
        Column(section.time_column, "events.time_column", "time"),
    ]
    if section.weight_column:
        columns.append(Column(section.weight_column, "events.weight_column", "number"))
    table = ParquetTable(path, columns)
    tally = Tally(path.name)
    spool, by_user = folder / "spool", folder / "by_user"
    with open(spool, "wb") as sink:
        users = _spool_rows(table, section, catalogue, sink, tally, now, user_id_length_max, on_rows)
    n_spooled = tally.n_rows - sum(tally.dropped.values())
    if n_spooled == 0:
        raise ConfigError(f"{path}: no usable event among {tally.n_rows} rows: {tally.dropped}")

    user_ids, recode = _ascending(users)
    grouped = np.memmap(by_user, _ROW, "w+", shape=(n_spooled,))
    starts = _group_by_user(spool, recode, grouped)
    log = _order_within_users(grouped, starts, user_ids, len(catalogue), folder, tally)
    del grouped
    spool.unlink()
    by_user.unlink()
    return log, tally.report()


def _spool_rows(
    table: ParquetTable,
    section: EventsSection,
    catalogue: Catalogue,
    sink: BinaryIO,
    tally: Tally,
    now: float,
    user_id_length_max: int,
    on_rows: Callable[[int], None],
) -> dict[str, int]:
    """Append every usable row to the spool; the user ids seen, numbered as they came."""
    users: dict[str, int] = {}
    for batch in table.batches():
        user, item, time = batch[section.user_column], batch[section.item_column], batch[section.time_column]
        tally.n_rows += len(user)
        usable = np.ones(len(user), bool)

        def drop(reason: str, bad: NDArray[np.bool_], values: pa.Array, usable: NDArray[np.bool_] = usable) -> None:
            tally.drop(reason, bad & usable, values)
            usable &= ~bad

        drop("null user", _flags(pc.is_null(user)), user)
        length = pc.fill_null(pc.utf8_length(user), 1).to_numpy(zero_copy_only=False)
        drop("empty user id", length == 0, user)
        drop(f"user id longer than {user_id_length_max} (limits.id_length)", length > user_id_length_max, user)
        drop("null item", _flags(pc.is_null(item)), item)
        drop("null time", _flags(pc.is_null(time)), time)
        rows = _item_rows(item, catalogue)
        drop("item not in the catalogue", rows < 0, item)
        times = pc.fill_null(time, 0).to_numpy(zero_copy_only=False)
        drop("in the future", times > now, pc.cast(time, pa.timestamp("s")))
        weights = np.ones(len(user), np.float32)
        if section.weight_column:
            weight = batch[section.weight_column]
            weights = pc.fill_null(weight, 0).to_numpy(zero_copy_only=False).astype(np.float32)
            drop("weight not a positive number", ~(np.isfinite(weights) & (weights > 0)), weight)

        out = np.empty(int(np.count_nonzero(usable)), _ROW)
        out["user"] = _user_codes(user.filter(pa.array(usable)), users)
        out["item"], out["time"], out["weight"] = rows[usable], times[usable], weights[usable]
        sink.write(out.tobytes())
        on_rows(tally.n_rows)
    return users


def _item_rows(items: pa.Array, catalogue: Catalogue) -> NDArray[np.int32]:
    """The catalogue's row of each item, -1 if it has none; only distinct ids are hashed."""
    encoded = items.dictionary_encode()
    known = catalogue.rows_of(item_keys(encoded.dictionary.to_pylist()))
    lookup = np.append(known, np.int32(-1))  # a null's index, -1, points at the last
    return np.asarray(lookup[pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)])


def _user_codes(users: pa.Array, codes: dict[str, int]) -> NDArray[np.int32]:
    """A number per user, the next free one for users not seen before, which are added to `codes`."""
    encoded = users.dictionary_encode()
    lookup = [codes.setdefault(user, len(codes)) for user in encoded.dictionary.to_pylist()]
    return np.asarray(np.array(lookup, np.int32)[encoded.indices.to_numpy(zero_copy_only=False)])


def _ascending(users: dict[str, int]) -> tuple[pa.Array, NDArray[np.int32]]:
    """The ids in ascending order, and for each number given out the position in that order."""
    ids = sorted(users)
    recode = np.empty(len(ids), np.int32)
    recode[[users[user] for user in ids]] = np.arange(len(ids), dtype=np.int32)
    return pa.array(ids, pa.string()), recode


def _group_by_user(spool: Path, recode: NDArray[np.int32], grouped: NDArray[np.void]) -> NDArray[np.int64]:
    """Counting sort: `grouped` gets the spooled rows by user, in their order; where each user starts, (U + 1,)."""
    counts = np.zeros(len(recode), np.int64)
    for part in _spooled(spool):
        counts += np.bincount(recode[part["user"]], minlength=len(counts))
    starts = np.concatenate(([0], np.cumsum(counts)))
    free = starts[:-1].copy()
    for part in _spooled(spool):
        part["user"] = recode[part["user"]]
        ordered = part[np.argsort(part["user"], kind="stable")]
        present, first, n = np.unique(ordered["user"], return_index=True, return_counts=True)
        grouped[np.repeat(free[present] - first, n) + np.arange(len(ordered))] = ordered
        free[present] += n
    return starts


def _spooled(spool: Path) -> Iterator[NDArray[np.void]]:
    with open(spool, "rb") as source:
        while len(part := np.fromfile(source, _ROW, _SPOOL_ROWS)):
            yield part


def _order_within_users(
    grouped: NDArray[np.void], starts: NDArray[np.int64], user_ids: pa.Array, n_items: int, folder: Path, tally: Tally
) -> EventLog:
    """Sort each user's events by time and item, drop exact repeats, write the final arrays."""
    n_users = len(user_ids)
    kept = np.zeros(n_users, np.int64)
    arrays = {"items": "item", "times": "time", "weights": "weight"}
    sinks = {name: open(folder / f"{name}.bin", "wb") for name in arrays}  # noqa: SIM115
    first = 0
    while first < n_users:
        end = max(first + 1, int(np.searchsorted(starts, starts[first] + _SPOOL_ROWS, side="right")) - 1)
        part = np.array(grouped[starts[first] : starts[end]])
        part = part[np.lexsort((part["item"], part["time"], part["user"]))]
        again = np.zeros(len(part), bool)
        same = [part[name][1:] == part[name][:-1] for name in ("user", "item", "time")]
        again[1:] = same[0] & same[1] & same[2]
        tally.drop("repeats another event (user, item, time)", again, user_ids.take(pa.array(part["user"])))
        part = part[~again]
        kept += np.bincount(part["user"], minlength=n_users)
        for name, field in arrays.items():
            sinks[name].write(np.ascontiguousarray(part[field]).tobytes())
        first = end
    for sink in sinks.values():
        sink.close()
    np.concatenate(([0], np.cumsum(kept))).astype(ARRAYS["starts"]).tofile(folder / "starts.bin")
    ids = pa.table({"user_id": user_ids})
    with pa.OSFile(str(folder / USER_IDS), "wb") as file, pa.ipc.new_file(file, ids.schema) as writer:
        writer.write_table(ids)
    return EventLog.open(folder, n_items)


def _flags(array: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(array.to_numpy(zero_copy_only=False), bool)
