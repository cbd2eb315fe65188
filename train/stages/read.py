"""Stage "read": the Parquet inputs as a catalogue, a log and what else is given, on disk, and what was wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np

from cluster.config.sections import Config
from cluster.errors import ConfigError
from train.input.catalogue import Catalogue, read_catalogue
from train.input.event_log import EventLog
from train.input.event_reader import read_events
from train.input.parquet import ParquetTable
from train.input.report import InputReport, TableReport
from train.input.user_table import UserTable, read_users
from train.lists.playlists import Playlists, read_playlists
from train.stages.outputs import Made, Stages, fingerprint, plain

_CATALOGUE, _LOG, _REPORT = "catalogue.arrow", "log", "report.json"
_USERS, _PLAYLISTS = "users.arrow", "playlists.arrow"


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """What was read. name: of the stage's output, which stands for all of it in the inputs of later stages."""

    name: str
    catalogue: Catalogue
    log: EventLog
    report: InputReport
    users: UserTable | None = None
    playlists: Playlists | None = None


def read(
    stages: Stages,
    config: Config,
    *,
    items: Path,
    events: Path | None,
    users: Path | None = None,
    playlists: Path | None = None,
    created: datetime,
) -> Source:
    """Raises ConfigError for what is wrong with the input, and if there are neither purchases nor content vectors to recommend
    by. created: later events are dropped; where nothing was ever bought, it is the moment that everything is as of.
    """
    limit = config.limits.id_length

    def make(folder: Path) -> Made:
        catalogue, items_report = read_catalogue(items, config.catalog, id_length_max=limit)
        catalogue.save(folder / _CATALOGUE)
        known, users_report = _users(users, config, folder)
        (folder / _LOG).mkdir()
        log, events_report = read_events(
            events,
            config.events,
            catalogue,
            folder / _LOG,
            now=created.timestamp(),
            user_id_length_max=limit,
            also_users=known,
            on_rows=stages.progress.advance,
        )
        n_sold, first, last = _extent(log)
        report = InputReport(
            items=items_report,
            events=events_report,
            n_users=log.n_users,
            n_items_sold=n_sold,
            first_time=first,
            last_time=last,
            n_events={str(kind): n for kind, n in log.count_by_kind().items()},
            users=users_report,
            playlists=_playlists(playlists, config, catalogue, folder),
        )
        (folder / _REPORT).write_bytes(msgspec.json.encode(report))
        n_events = ", ".join(f"{n:,} {kind}s" for kind, n in report.n_events.items()) or "no events"
        counts = f"{len(catalogue):,} items, {n_events}, {log.n_users:,} users"
        return Made(f"{counts}, {report.n_dropped:,} rows dropped", events_report.n_kept)

    sections = (config.catalog, config.events, config.user_table, config.playlists)
    paths = (items, events, users, playlists)
    inputs = [[path and fingerprint(path) for path in paths], [plain(section) for section in sections], limit, "payload"]
    n_rows = ParquetTable(events, ()).count_rows() if events else 0
    folder = stages.run("read", inputs=inputs, total=n_rows, make=make)
    catalogue = Catalogue.load(folder / _CATALOGUE, config.catalog)
    log = EventLog.open(folder / _LOG, len(catalogue))
    report = msgspec.json.decode((folder / _REPORT).read_bytes(), type=InputReport)
    if not log.has_purchases:
        if catalogue.content is None:
            said = "has no rows" if events else "is missing (--events)"
            lacking = f"the log {said} and the items have no content vectors (catalog.vector_column)"
            raise ConfigError(f"{lacking}: a build needs one of the two")
        now = int(created.timestamp())
        report = msgspec.structs.replace(report, first_time=now, last_time=now)
    return Source(
        folder.name,
        catalogue,
        log,
        report,
        UserTable.load(folder / _USERS, config.user_table) if users else None,
        Playlists.load(folder / _PLAYLISTS) if playlists else None,
    )


def _users(path: Path | None, config: Config, folder: Path) -> tuple[list[str], TableReport | None]:
    """The ids in the table of users, if there is one."""
    if path is None:
        return [], None
    table, report = read_users(path, config.user_table, id_length_max=config.limits.id_length)
    table.save(folder / _USERS)
    return table.ids.to_pylist(), report


def _playlists(path: Path | None, config: Config, catalogue: Catalogue, folder: Path) -> TableReport | None:
    if path is None:
        return None
    playlists, report = read_playlists(path, config.playlists, catalogue)
    playlists.save(folder / _PLAYLISTS)
    return report


def _extent(log: EventLog) -> tuple[int, int, int]:
    """How many items were ever bought, and the times of the first and the last purchase, 0 without any."""
    sold = np.zeros(log.n_items, bool)
    first, last = [], []
    for chunk in log.chunks():
        if len(chunk.times):
            sold[chunk.items] = True
            first.append(chunk.times.min())
            last.append(chunk.times.max())
    return int(np.count_nonzero(sold)), int(min(first, default=0)), int(max(last, default=0))
