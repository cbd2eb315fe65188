"""Where every build begins: the folder of its stages, and stage "read", which turns the Parquet inputs into a data set."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
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
from train.progress import Progress, Quiet
from train.stages.outputs import Made, Stages, fingerprint, plain

_CATALOGUE, _LOG, _REPORT = "catalogue.arrow", "log", "report.json"
_USERS, _PLAYLISTS = "users.arrow", "playlists.arrow"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a build reads: each a Parquet file or a folder of them, with the columns that [catalog], [events], [user_table] and
    [playlists] name. Without events, items are proposed by their content vectors. now: Unix seconds; later events are dropped.
    """

    items: Path
    events: Path | None = None
    users: Path | None = None
    playlists: Path | None = None
    now: float = field(default_factory=time.time)

    @property
    def created(self) -> datetime:
        """`now` as the moment a generation is created, UTC."""
        return datetime.fromtimestamp(self.now, UTC)


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """What was read. name: of the stage's output, which stands for all of it in the inputs of later stages."""

    name: str
    catalogue: Catalogue
    log: EventLog
    report: InputReport
    users: UserTable | None = None
    playlists: Playlists | None = None


@contextmanager
def open_build(config: Config, inputs: Inputs, progress: Progress | None = None) -> Iterator[tuple[Stages, Dataset]]:
    """The stages below `config.storage.path`, where outputs of earlier builds are used again, and the data set of the inputs.

    Raises ConfigError for what is wrong with the inputs, GenerationError while another build is at work there.
    """
    with Stages(Path(config.storage.path) / "build", progress or Quiet()) as stages:
        yield stages, read(stages, config, inputs)


def read(stages: Stages, config: Config, inputs: Inputs) -> Dataset:
    """Raises ConfigError for what is wrong with the inputs, and if there are neither purchases nor content vectors to recommend
    by. Where nothing was ever bought, everything is as of `inputs.now`.
    """
    limit, events = config.limits.id_length, inputs.events

    def make(folder: Path) -> Made:
        catalogue, items_report = read_catalogue(inputs.items, config.catalog, id_length_max=limit)
        catalogue.save(folder / _CATALOGUE)
        known, users_report = _users(inputs.users, config, folder)
        (folder / _LOG).mkdir()
        log, events_report = read_events(
            events,
            config.events,
            catalogue,
            folder / _LOG,
            now=inputs.now,
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
            playlists=_playlists(inputs.playlists, config, catalogue, folder),
        )
        (folder / _REPORT).write_bytes(msgspec.json.encode(report))
        n_events = ", ".join(f"{n:,} {kind}s" for kind, n in report.n_events.items()) or "no events"
        counts = f"{len(catalogue):,} items, {n_events}, {log.n_users:,} users"
        return Made(f"{counts}, {report.n_dropped:,} rows dropped", events_report.n_kept)

    sections = (config.catalog, config.events, config.user_table, config.playlists)
    paths = (inputs.items, events, inputs.users, inputs.playlists)
    files = [path and fingerprint(path) for path in paths]
    n_rows = ParquetTable(events, ()).count_rows() if events else 0
    folder = stages.run(
        "read", inputs=[files, [plain(section) for section in sections], limit, "payload"], total=n_rows, make=make
    )
    catalogue = Catalogue.load(folder / _CATALOGUE, config.catalog)
    log = EventLog.open(folder / _LOG, len(catalogue))
    report = msgspec.json.decode((folder / _REPORT).read_bytes(), type=InputReport)
    if not log.has_purchases:
        if catalogue.content is None:
            said = "has no rows" if events else "is missing (--events)"
            lacking = f"the log {said} and the items have no content vectors (catalog.vector_column)"
            raise ConfigError(f"{lacking}: a build needs one of the two")
        now = int(inputs.now)
        report = msgspec.structs.replace(report, first_time=now, last_time=now)
    return Dataset(
        folder.name,
        catalogue,
        log,
        report,
        UserTable.load(folder / _USERS, config.user_table) if inputs.users else None,
        Playlists.load(folder / _PLAYLISTS) if inputs.playlists else None,
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
