"""`oskolok build`: turns an event log and a catalogue into one published generation."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from cluster.config.sections import Config
from cluster.ranking import ranking_of
from deploy.commands import options
from deploy.commands.common import WITH_FILES, Form, configuration, err, out, print_json


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
    made = build_generation(loaded, items, events, users=users, playlists=playlists)
    if format is Form.json:
        print_json({"generation": made.generation, "report": made.report})
    else:
        out.print(made.text)


@dataclass(frozen=True, slots=True)
class Made:
    """A generation, and what its build reported. text: the same in two lines, the second of what ranks."""

    generation: str
    report: dict[str, Any]
    text: str


def build_generation(
    config: Config, items: Path, events: Path | None = None, *, users: Path | None = None, playlists: Path | None = None
) -> Made:
    """Run the build with bars on stderr, or a line a stage where that is no terminal; then what was odd about the input."""
    from train.build import Inputs
    from train.build import build as run_build

    logging.getLogger("catboost").setLevel(logging.WARNING)
    bars = Bars()
    with bars.shown:
        built = run_build(config, Inputs(items, events, users, playlists), progress=bars)
    for table in built.report.input.tables:
        if table.dropped or table.noted:
            err.print("\n".join(f"  {line}" for line in table.lines()), markup=False, highlight=False)
    spec = built.spec
    text = f"generation {spec.id}: {spec.n_shards} shards, {spec.n_items:,} items, {built.report.n_users:,} users"
    ranking = ranking_of(spec, config.ranker)
    return Made(spec.id, json.loads(msgspec.json.encode(built.report)), f"{text}\nranking: {ranking.line}")


class Bars:
    """train.progress.Progress on a terminal; elsewhere one line a stage."""

    def __init__(self) -> None:
        self.shown = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description:<18}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.fields[summary]}"),
            console=err,
            disable=not err.is_terminal,
        )
        self._task = TaskID(0)
        self._stage = ""

    def begin(self, stage: str, total: int) -> None:
        self._stage = stage
        self._task = self.shown.add_task(stage, total=total or None, summary="")

    def advance(self, done: int) -> None:
        self.shown.update(self._task, completed=done)

    def end(self, summary: str) -> None:
        self.shown.update(self._task, total=1, completed=1, summary=summary)
        if not err.is_terminal:
            err.print(f"  {self._stage:<18} {summary}", markup=False)
