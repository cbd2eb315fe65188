"""From a Parquet event log in any order to an `EventLog`, with a bounded amount of memory.

The file is streamed once into a spool of fixed-width rows (`event_rows`), a counting sort scatters the spool by user, and each
group of users is then put in order by itself. Resident memory is a batch and a group, plus the ids of users and items; the
rest is mapped files. The same rows in any order give the same log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cluster.config.sections import EventsSection
from cluster.errors import ConfigError
from shard.arrow_file import write_table
from train.input.catalogue import Catalogue
from train.input.event_log import ARRAYS, COLUMNS, KINDS, TARGET, USER_IDS, EventLog
from train.input.event_rows import ROW, EventRows, event_columns
from train.input.parquet import ParquetTable
from train.input.report import TableReport, Tally

_SPOOL_ROWS = 1 << 20


def read_events(
    path: Path | None,
    section: EventsSection,
    catalogue: Catalogue,
    folder: Path,
    *,
    now: float,
    user_id_length_max: int,
    also_users: Iterable[str] = (),
    on_rows: Callable[[int], None] = lambda n_rows: None,
) -> tuple[EventLog, TableReport]:
    """Write the log into an empty `folder` and open it. `now`: Unix seconds; later events are dropped and counted.

    path: None for a catalogue without a log, which is a log without events, as is a file without rows.  also_users: ids that
    get a place in `user_ids` even without an event.  `on_rows` is told how many rows of the file are done. Raises ConfigError
    for a missing or mistyped column, for rows of which not one is usable and for events without a purchase, the target: such
    a log means to say something and does not.
    """
    batches = () if path is None else ParquetTable(path, event_columns(section, catalogue)).batches()
    tally = Tally("events" if path is None else path.name)
    users = {user: at for at, user in enumerate(dict.fromkeys(also_users))}
    rows = EventRows(section, catalogue, tally, now, user_id_length_max, users)
    spool, by_user = folder / "spool", folder / "by_user"
    by_kind = np.zeros(len(KINDS), np.int64)
    with open(spool, "wb") as sink:
        for batch in batches:
            usable = rows.usable(batch)
            by_kind += np.bincount(usable["kinds"], minlength=len(KINDS))
            sink.write(usable.tobytes())
            on_rows(tally.n_rows)
    n_spooled = int(by_kind.sum())
    if n_spooled == 0 and tally.n_rows:
        dropped = ", ".join(f"{n:,} {reason}" for reason, n in tally.dropped.items())
        raise ConfigError(f"{path}: no usable event among {tally.n_rows:,} rows: {dropped}")
    if n_spooled and by_kind[KINDS.index(TARGET)] == 0:
        told = f"column {section.type_column!r} has none of events.purchase_types = {list(section.purchase_types)}"
        raise ConfigError(f"{path}: no purchase among {n_spooled} usable events; {told}")

    user_ids, recode = _ascending(rows.users)
    by_user.touch()
    grouped = np.memmap(by_user, ROW, "w+", shape=(n_spooled,)) if n_spooled else np.empty(0, ROW)
    starts = _group_by_user(spool, recode, grouped)
    log = _order_within_users(grouped, starts, user_ids, len(catalogue), folder, tally)
    del grouped
    spool.unlink()
    by_user.unlink()
    return log, tally.report()


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
        counts += np.bincount(recode[part["users"]], minlength=len(counts))
    starts = np.concatenate(([0], np.cumsum(counts)))
    free = starts[:-1].copy()
    for part in _spooled(spool):
        part["users"] = recode[part["users"]]
        ordered = part[np.argsort(part["users"], kind="stable")]
        present, first, n = np.unique(ordered["users"], return_index=True, return_counts=True)
        grouped[np.repeat(free[present] - first, n) + np.arange(len(ordered))] = ordered
        free[present] += n
    return starts


def _spooled(spool: Path) -> Iterator[NDArray[np.void]]:
    with open(spool, "rb") as source:
        while len(part := np.fromfile(source, ROW, _SPOOL_ROWS)):
            yield part


def _order_within_users(
    grouped: NDArray[np.void], starts: NDArray[np.int64], user_ids: pa.Array, n_items: int, folder: Path, tally: Tally
) -> EventLog:
    """Sort each user's events by time, item and kind, drop repeats, write the final arrays.

    Of events equal in all that, the one with the smallest context and then weight stays: the order of rows means nothing.
    """
    n_users = len(user_ids)
    kept = np.zeros(n_users, np.int64)
    sinks = {name: open(folder / f"{name}.bin", "wb") for name in COLUMNS}  # noqa: SIM115
    first = 0
    while first < n_users:
        end = max(first + 1, int(np.searchsorted(starts, starts[first] + _SPOOL_ROWS, side="right")) - 1)
        part = np.array(grouped[starts[first] : starts[end]])
        part = part[np.lexsort([part[name] for name in ("weights", "contexts", "kinds", "items", "times", "users")])]
        again = np.zeros(len(part), bool)
        again[1:] = np.logical_and.reduce([part[name][1:] == part[name][:-1] for name in ("users", "items", "times", "kinds")])
        tally.drop("repeats another event (user, item, time, type)", again, user_ids.take(pa.array(part["users"])))
        part = part[~again]
        kept += np.bincount(part["users"], minlength=n_users)
        for name, sink in sinks.items():
            sink.write(np.ascontiguousarray(part[name]).tobytes())
        first = end
    for sink in sinks.values():
        sink.close()
    np.concatenate(([0], np.cumsum(kept))).astype(ARRAYS["starts"]).tofile(folder / "starts.bin")
    write_table(pa.table({"user_id": user_ids}), folder / USER_IDS)
    return EventLog.open(folder, n_items)
