"""Stage "read": the Parquet inputs as a catalogue, a log and what else is given, on disk, and what was wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np

from cluster.config import Config
from train.catalogue import Catalogue, read_catalogue
from train.event_log import EventLog
from train.event_reader import read_events
from train.parquet import ParquetTable
from train.playlists import Playlists, read_playlists
from train.playlists import Playlists, read_playlists
from train.report import InputReport, TableReport
from train.stages.outputs import Made, Stages, fingerprint, plain
from train.user_table import UserTable, read_users

_CATALOGUE, _LOG, _REPORT = "catalogue.arrow", "log", "report.json"
_USERS, _PLAYLISTS = "users.arrow", "playlists.arrow"
from train.user_table import UserTable, read_users


@dataclass(frozen=True, slots=True)
class Tables:
    """Where the input lies: Parquet files, or folders of them. users, playlists: None where there is no such table."""

    items: Path
    events: Path
    users: Path | None = None
    playlists: Path | None = None

    def fingerprints(self) -> list[object]:
        """What changes when a file does. Raises ConfigError for one that is not there."""
        paths = (self.items, self.events, self.users, self.playlists)
        return [None if path is None else fingerprint(path) for path in paths]


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """What was read. name: of the stage's output, which stands for all of it in the inputs of later stages."""

    name: str
    catalogue: Catalogue
    log: EventLog
    report: InputReport
    users: UserTable | None = None
    playlists: Playlists | None = None


def read(stages: Stages, config: Config, tables: Tables, *, created: datetime) -> Source:
    """Raises ConfigError for what is wrong with the input. created: later events are dropped."""
    limit = config.limits.id_length

    def make(folder: Path) -> Made:
        catalogue, items_report = read_catalogue(tables.items, config.catalog, id_length_max=limit)
        catalogue.save(folder / _CATALOGUE)
        users = _read_users(tables.users, config, folder)
        playlists = _read_playlists(tables.playlists, config, catalogue, folder)
        (folder / _LOG).mkdir()
        log, events_report = read_events(
            tables.events,
            config.events,
            catalogue,
            folder / _LOG,
            now=created.timestamp(),
            user_id_length_max=limit,
            also_users=() if users is None else users[0].ids.to_pylist(),
            on_rows=stages.progress.advance,
        )
        n_sold, first, last = _extent(log)
        beside = (None if users is None else users[1], playlists)
        report = InputReport(items_report, events_report, log.n_users, n_sold, first, last, *beside)
        (folder / _REPORT).write_bytes(msgspec.json.encode(report))
        counts = f"{len(catalogue):,} items, {events_report.n_kept:,} events, {log.n_users:,} users"
        return Made(f"{counts}, {report.n_dropped:,} rows dropped", events_report.n_kept)

    sections = (config.catalog, config.events, config.user_table, config.playlists)
    inputs = [tables.fingerprints(), [plain(section) for section in sections], limit]
    n_rows = ParquetTable(tables.events, ()).count_rows()
    folder = stages.run("read", inputs=inputs, total=n_rows, make=make)
    catalogue = Catalogue.load(folder / _CATALOGUE, config.catalog)
    return Source(
        folder.name,
        catalogue,
        EventLog.open(folder / _LOG, len(catalogue)),
        msgspec.json.decode((folder / _REPORT).read_bytes(), type=InputReport),
        None if tables.users is None else UserTable.load(folder / _USERS, config.user_table),
        None if tables.playlists is None else Playlists.load(folder / _PLAYLISTS),
    )


def _read_users(path: Path | None, config: Config, folder: Path) -> tuple[UserTable, TableReport] | None:
    if path is None:
        return None
    table, report = read_users(path, config.user_table, id_length_max=config.limits.id_length)
    table.save(folder / _USERS)
    return table, report


def _read_playlists(path: Path | None, config: Config, catalogue: Catalogue, folder: Path) -> TableReport | None:
    if path is None:
        return None
    playlists, report = read_playlists(path, config.playlists, catalogue)
    playlists.save(folder / _PLAYLISTS)
    return report


def _extent(log: EventLog) -> tuple[int, int, int]:
    """How many items were ever bought, and the times of the first and the last purchase."""
    sold = np.zeros(log.n_items, bool)
    first, last = [], []
    for chunk in log.chunks():
        if len(chunk.times):
            sold[chunk.items] = True
            first.append(chunk.times.min())
            last.append(chunk.times.max())
    return int(np.count_nonzero(sold)), int(min(first)), int(max(last))
