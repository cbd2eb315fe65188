"""Stage "read": the two Parquet inputs as a catalogue and a log on disk, and what was wrong with them."""

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
from train.report import InputReport, TableReport
from train.stages.outputs import Made, Stages, fingerprint, plain


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """What was read. name: of the stage's output, which stands for all of it in the inputs of later stages."""

    name: str
    catalogue: Catalogue
    log: EventLog
    report: InputReport


def read(stages: Stages, config: Config, *, items: Path, events: Path, created: datetime) -> Source:
    """Raises ConfigError for what is wrong with the input. created: later events are dropped."""
    limit = config.limits.id_length

    def make(folder: Path) -> Made:
        catalogue, items_report = read_catalogue(items, config.catalog, id_length_max=limit)
        catalogue.save(folder / "catalogue.arrow")
        log_folder = folder / "log"
        log_folder.mkdir()
        log, events_report = read_events(
            events,
            config.events,
            catalogue,
            log_folder,
            now=created.timestamp(),
            user_id_length_max=limit,
            on_rows=stages.progress.advance,
        )
        report = _input_report(log, items_report, events_report)
        (folder / "report.json").write_bytes(msgspec.json.encode(report))
        dropped = sum(items_report.dropped.values()) + sum(events_report.dropped.values())
        told = f"{len(catalogue):,} items, {events_report.n_kept:,} events, {log.n_users:,} users, {dropped:,} rows dropped"
        return Made(told, events_report.n_kept)

    inputs = [fingerprint(items), fingerprint(events), plain(config.catalog), plain(config.events), limit]
    n_rows = ParquetTable(events, ()).count_rows()
    folder = stages.run("read", inputs=inputs, total=n_rows, make=make)
    catalogue = Catalogue.load(folder / "catalogue.arrow", config.catalog)
    return Source(
        folder.name,
        catalogue,
        EventLog.open(folder / "log", len(catalogue)),
        msgspec.json.decode((folder / "report.json").read_bytes(), type=InputReport),
    )


def _input_report(log: EventLog, items: TableReport, events: TableReport) -> InputReport:
    sold = np.zeros(log.n_items, bool)
    first, last = [], []
    for chunk in log.chunks():
        sold[chunk.items] = True
        first.append(chunk.times.min())
        last.append(chunk.times.max())
    return InputReport(items, events, log.n_users, int(np.count_nonzero(sold)), int(min(first)), int(max(last)))
