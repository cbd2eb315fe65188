"""From a purchase log and a catalogue to one published generation. `build` is the diagram.

Every stage's output is kept below `<storage>/build` and used again while its inputs stay the same (`train/stages.py`), so a
killed build resumes and a changed ranking setting does not refit vectors. What serves is made from the whole log; the ranking
models learn at an earlier moment and are judged at a later one (`train/split.py`). The same inputs, seed and `now` give
the same bytes.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
from pydantic import BaseModel

from cluster.config import Config
from cluster.generation import GenerationWriter, prune
from cluster.spec import GenerationSpec
from cluster.user_records import USERS_FILE, write_users
from ranker.heavy import HeavyModel
from ranker.light import LightModel
from ranker.ranker import HEAVY_FILE, LIGHT_FILE
from shard.columns import partition
from shard.shard import Shard
from shard.snapshot import shard_folder
from train.catalogue import Catalogue, read_catalogue
from train.columns import as_columns
from train.describe import describe
from train.event_log import EventLog
from train.event_reader import read_events
from train.heavy import fit_heavy
from train.judge import Quality, judge
from train.light import PASSES_MAX, fit_light
from train.parquet import ParquetTable
from train.progress import Progress, Quiet
from train.ranking_rows import RankingRows, ranking_rows, sample_users
from train.report import InputReport, TableReport
from train.shards import SNAPSHOT, entry_of, make_shard, needs_graph, sample_queries
from train.signals import Signals, fit_vectors, load_factors, make_signals, save_factors
from train.split import Split, split_log
from train.stages import Stages, fingerprint

REPORT_FILE = "build.json"


class BuildReport(msgspec.Struct, frozen=True):
    """build.json: what a generation was made from, and how well its ranking did on data its models had not seen."""

    input: InputReport
    split: Split
    quality: Quality
    n_users: int


@dataclass(frozen=True, slots=True)
class Built:
    """A published generation."""

    spec: GenerationSpec
    report: BuildReport


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """What was read. name: of the stage's output, which stands for all of it in the inputs of later stages."""

    name: str
    catalogue: Catalogue
    log: EventLog
    report: InputReport


def build(config: Config, items: Path, events: Path, *, progress: Progress | None = None, now: float | None = None) -> Built:
    """Build a generation and make it the current one of `config.storage.path`.

    items, events: Parquet files or folders of them, with the columns that [catalog] and [events] name. now: Unix seconds, the
    clock if None; later events are dropped. Raises ConfigError for what is wrong with the input, GenerationError if
    another build is at work there.
    """
    created = datetime.fromtimestamp(time.time() if now is None else now, UTC)
    storage = Path(config.storage.path)
    with Stages(storage / "build", progress or Quiet()) as stages:
        source = _read(stages, config, items, events, created)
        split = _split(stages, source, config)
        learning = _rows(stages, source, config, "training", split.training)
        judging = _rows(stages, source, config, "validation", split.validation)
        models, quality = _models(stages, config, learning, judging)
        vectors = _vectors(stages, source, config, "serving", split.end)
        signals = _signals(stages, source, config, vectors, split.end)
        shards = _shards(stages, signals, config, vectors)
        return _publish(stages, signals, config, shards, models, created, (source.report, split, quality))


def _read(stages: Stages, config: Config, items: Path, events: Path, created: datetime) -> _Source:
    limit = config.limits.id_length

    def make(folder: Path) -> str:
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
        return f"{len(catalogue):,} items, {events_report.n_kept:,} events, {log.n_users:,} users, {dropped:,} rows dropped"

    inputs = [fingerprint(items), fingerprint(events), _dump(config.catalog), _dump(config.events), limit]
    n_rows = ParquetTable(events, ()).count_rows()
    folder = stages.run("read", inputs=inputs, total=n_rows, make=make)
    catalogue = Catalogue.load(folder / "catalogue.arrow", config.catalog)
    return _Source(
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


def _split(stages: Stages, source: _Source, config: Config) -> Split:
    stages.progress.begin("split", 0)
    split = split_log(source.report.first_time, source.report.last_time, label_days=config.train.ranker.label_days)
    stages.progress.end(
        f"ranking learns at {_day(split.training)}, is judged at {_day(split.validation)}, the log ends {_day(split.end)}"
    )
    return split


def _vectors(stages: Stages, source: _Source, config: Config, name: str, as_of: int) -> Path:
    als = config.train.als

    def make(folder: Path) -> str:
        factors = fit_vectors(source.log, source.catalogue, config, as_of=as_of, on_sweep=stages.progress.advance)
        save_factors(factors, folder)
        return f"{als.n_sweeps} sweeps, {len(factors.users):,} users × {len(factors.items):,} items × {als.dim}"

    inputs = [source.name, as_of, _dump(als), config.train.half_life_days, config.train.seed, config.catalog.category]
    return stages.run(f"als-{name}", inputs=inputs, total=als.n_sweeps, make=make)


def _signals(stages: Stages, source: _Source, config: Config, vectors: Path, as_of: int) -> Signals:
    stages.progress.begin("signals", 0)
    signals = make_signals(source.log, source.catalogue, load_factors(vectors), config, as_of=as_of)
    stages.progress.end(
        f"{len(signals.lists):,} top lists, {len(signals.stats)} item statistics, {len(signals.users.names)} user features"
    )
    return signals


def _rows(stages: Stages, source: _Source, config: Config, name: str, as_of: int) -> Path:
    """Vectors as of a moment, then ranking rows made with them."""
    vectors = _vectors(stages, source, config, name, as_of)
    section = config.train.ranker

    def make(folder: Path) -> str:
        signals = make_signals(source.log, source.catalogue, load_factors(vectors), config, as_of=as_of)
        spec = describe(signals, config, generation=name, created="", shard_items=(len(source.catalogue),))
        shard = Shard.from_columns(as_columns(signals, config.catalog), spec=spec, shard=0)
        users = sample_users(source.log, after=as_of, days=section.label_days, n_max=section.n_users, seed=config.train.seed)
        rows = ranking_rows(
            signals, spec, shard.retrieve, config, users=users, label_days=section.label_days, on_user=stages.progress.advance
        )
        rows.save(folder)
        (folder / "columns.json").write_bytes(msgspec.json.encode(spec.features.columns()))
        return f"{len(rows.labels):,} candidates of {len(users):,} users, {rows.recall:.3f} of their purchases among them"

    inputs = [
        vectors.name,
        as_of,
        section.n_users,
        _dump(config.catalog),
        _dump(config.sources),
        _dump(config.merge),
        _dump(config.slate),
        [config.users.history_max_items, config.users.profile_max_values],
        [section.label_days, config.train.profile, config.train.half_life_days, config.train.seed],
    ]
    return stages.run(f"rows-{name}", inputs=inputs, total=section.n_users, make=make)


def _models(stages: Stages, config: Config, learning: Path, judging: Path) -> tuple[dict[str, Path], Quality]:
    """The models by their name in the generation, and how good they are on the rows kept for judging.

    The heavy model learns from what the light one would pass on to it: on Complete Journey a quarter of the rows and a fifth
    of the time, for .392 ndcg@10 instead of .393 (light: .385).
    """
    columns = msgspec.json.decode((learning / "columns.json").read_bytes(), type=tuple[str, ...])
    section, seed, progress = config.train.ranker, config.train.seed, stages.progress
    n_heavy = config.ranker.heavy.n_heavy

    def make_light(folder: Path) -> str:
        rows = RankingRows.load(learning)
        model = fit_light(rows.features, rows.labels, rows.groups, columns, seed=seed, on_pass=progress.advance)
        (folder / "light.json").write_bytes(model.to_json())
        return f"{len(model.curves)} curves from {len(rows.labels):,} rows"

    def make_heavy(folder: Path) -> str:
        rows = RankingRows.load(learning).best(light_model, n_heavy)
        fitted = fit_heavy(
            rows.features, rows.labels, rows.groups, columns, section=section, seed=seed, on_tree=progress.advance
        )
        (folder / "heavy.cbm").write_bytes(fitted.blob)
        return f"{fitted.n_trees} trees from {len(rows.labels):,} rows"

    light = stages.run("light", inputs=[learning.name, seed], total=PASSES_MAX, make=make_light) / "light.json"
    light_model = LightModel.from_json(light.read_bytes())
    trees = [light.parent.name, n_heavy, seed, section.n_trees, section.depth, section.learning_rate]
    heavy = stages.run("heavy", inputs=trees, total=section.n_trees, make=make_heavy) / "heavy.cbm"

    progress.begin("judge", 0)
    quality = judge(RankingRows.load(judging), light_model, HeavyModel.from_bytes(heavy.read_bytes()), n_heavy=n_heavy)
    progress.end("ndcg@10: " + ", ".join(f"{name} {quality[name]['ndcg@10']:.3f}" for name in ("merged", "light", "heavy")))
    return {LIGHT_FILE: light, HEAVY_FILE: heavy}, quality


def _shards(stages: Stages, signals: Signals, config: Config, vectors: Path) -> list[Path]:
    """Every shard's snapshot, several at a time, each in one thread."""
    n_shards, seed = config.cluster.n_shards, config.train.seed
    stages.progress.begin("shards", n_shards)
    columns = partition(as_columns(signals, config.catalog), n_shards)
    graph = needs_graph(config.sources, len(signals.catalogue))
    queries = sample_queries(signals.factors.users, seed=seed) if graph else None
    inputs = [vectors.name, signals.pairs.as_of, n_shards, _dump(config.catalog), _dump(config.sources)]
    inputs += [config.train.half_life_days, seed]

    def make(shard: int) -> tuple[Path, str]:
        return stages.part(
            shard_folder(shard),
            inputs=inputs,
            make=lambda folder: make_shard(columns[shard], folder, section=config.sources, queries=queries, seed=seed),
        )

    parts: list[tuple[Path, str]] = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for part in pool.map(make, range(n_shards)):
            parts.append(part)
            stages.progress.advance(len(parts))
    told = Counter(summary for _, summary in parts)
    stages.progress.end("; ".join(f"{n} × {summary}" for summary, n in told.items()))
    return [folder for folder, _ in parts]


def _publish(
    stages: Stages,
    signals: Signals,
    config: Config,
    shards: list[Path],
    models: dict[str, Path],
    created: datetime,
    known: tuple[InputReport, Split, Quality],
) -> Built:
    n_shards = config.cluster.n_shards
    stages.progress.begin("publish", n_shards + 2)
    generation = f"{created:%Y%m%d-%H%M%S}"
    entries = [entry_of(folder) for folder in shards]
    spec = describe(
        signals,
        config,
        generation=generation,
        created=f"{created:%Y-%m-%dT%H:%M:%SZ}",
        shard_items=[entry["n_items"] for entry in entries],
    )
    with GenerationWriter(config.storage.path, generation) as writer:
        for shard, folder in enumerate(shards):
            for file in sorted((folder / SNAPSHOT).iterdir()):
                shutil.copyfile(file, writer.path_for(f"{shard_folder(shard)}/{file.name}"))
            stages.progress.advance(shard + 1)
        for name, file in models.items():
            shutil.copyfile(file, writer.path_for(name))
        n_users = write_users(writer.path_for(USERS_FILE), spec, signals.records(config, generation))
        report = BuildReport(*known, n_users=n_users)
        writer.path_for(REPORT_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
        stages.progress.advance(n_shards + 1)
        published = writer.publish(spec, shards=entries)
    prune(config.storage.path, config.storage.keep_generations)
    stages.forget_unused()
    size = sum(file.size for file in published.manifest.files.values())
    stages.progress.end(f"generation {generation}: {spec.n_items:,} items, {n_users:,} users, {size / 2**20:,.0f} MiB")
    return Built(spec, report)


def _dump(section: BaseModel) -> object:
    return section.model_dump(mode="json")


def _day(time: int) -> str:
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d}"
