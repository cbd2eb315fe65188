"""`oskolok build`: turns an event log and a catalogue into one published generation."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cluster.config.sections import Config
from cluster.ranking import ranking_of
from deploy.commands import options
from deploy.commands.common import WITH_FILES, Form, configuration, err, out, present
from deploy.commands.outlook import Outlook, outlook


def build(
    items: options.Items,
    events: Annotated[
        Path | None, typer.Option("--events", help="The event log (file or folder). Optional if items have content vectors.")
    ] = None,
    users: options.Users = None,
    playlists: options.Playlists = None,
    config: options.ConfigFile = None,
    set: options.Set = None,
    format: options.Format = Form.human,
) -> None:
    """Build vectors, top lists, models and user records, and publish them as the current generation.

    The configuration sections [catalog], [events], [user_table] and [playlists] say which columns to read. An interrupted
    build resumes where it stopped; stages whose inputs did not change are reused.

    $ oskolok build --items items.parquet --events events.parquet
    """
    loaded = configuration(config, set, checks=WITH_FILES).config
    bars = Bars(outlook(loaded))
    with bars.shown:
        made = build_generation(loaded, items, events, users=users, playlists=playlists, bars=bars)
    present(format, {"generation": made.generation, "report": made.report}, lambda: out.print(made.text))


@dataclass(frozen=True, slots=True)
class Made:
    """A generation, and what its build reported. text: the same in two lines, the second of what ranks."""

    generation: str
    report: dict[str, Any]
    text: str


def build_generation(
    config: Config,
    items: Path,
    events: Path | None = None,
    *,
    users: Path | None = None,
    playlists: Path | None = None,
    bars: Bars,
) -> Made:
    """Run the build with these bars, which are shown; then what was odd about the input."""
    from train.build import Inputs
    from train.build import build as run_build

    logging.getLogger("catboost").setLevel(logging.WARNING)
    built = run_build(config, Inputs(items, events, users, playlists), progress=bars)
    for table in built.report.input.tables:
        if table.dropped or table.noted:
            err.print("\n".join(f"  {line}" for line in table.lines()), markup=False, highlight=False)
    spec = built.spec
    text = f"generation {spec.id}: {spec.n_shards} shards, {spec.n_items:,} items, {built.report.n_users:,} users"
    ranking = ranking_of(spec, config.ranker)
    return Made(spec.id, json.loads(msgspec.json.encode(built.report)), f"{text}\nranking: {ranking.line}")


class Bars:
    """train.progress.Progress on a terminal, stage by stage and, with an outlook, as a whole; elsewhere one line a stage."""

    def __init__(self, outlook: Outlook | None = None) -> None:
        self.shown = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description:<18}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.fields[summary]}"),
            console=err,
            disable=not err.is_terminal,
        )
        self._outlook = outlook
        self._began = time.monotonic()
        self._whole = self.shown.add_task("everything", total=1, summary="", visible=outlook is not None)
        self._task = self._whole
        self._stage, self._total = "", 0

    def begin(self, stage: str, total: int) -> None:
        self._stage, self._total = stage, total
        self._task = self.shown.add_task(stage, total=total or None, summary="")
        self._reach(0)

    def advance(self, done: int) -> None:
        self.shown.update(self._task, completed=done)
        self._reach(done / self._total if self._total else 0)

    def end(self, summary: str) -> None:
        self.shown.update(self._task, total=1, completed=1, summary=summary)
        self._reach(1)
        if not err.is_terminal:
            share = f"{self._outlook.share:4.0%}  " if self._outlook else ""
            err.print(f"  {self._stage:<18} {share}{summary}", markup=False)

    def _reach(self, part: float) -> None:
        if self._outlook:
            self._outlook.reach(self._stage, min(part, 1))
            left = self._outlook.remaining(time.monotonic() - self._began)
            self.shown.update(self._whole, completed=self._outlook.share, summary=left)
