"""Stage "shards": the catalogue divided, each shard's files written, several at a time, each in one thread: its columns, and
a graph over the vectors of each space if that graph can reach the recall target.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from cluster.config.sections import Config
from cluster.config.sources import SourcesSection
from cluster.generation import GenerationWriter
from cluster.spec import SpaceSpec
from cluster.types import Floats
from shard.columns import ShardColumns, partition
from shard.snapshot import shard_folder, write_snapshot
from shard.spaces.calibration import calibrate
from shard.spaces.hnsw import build_graph, directed
from shard.spaces.space import Space
from train.columns import as_columns
from train.describe import space_specs
from train.signals import Signals
from train.stages.learn import Learned
from train.stages.outputs import Made, StageReport, Stages, plain

SNAPSHOT = "snapshot"
_ENTRY = "entry.json"
_SECONDS = "graph-seconds.json"
_SAMPLE_QUERIES = 200


def write_shards(stages: Stages, signals: Signals, config: Config, learned: Learned) -> list[Path]:
    """The folder of each shard, as `make_shard` fills it. Each is a part that a killed build need not redo."""
    n_shards, seed = config.cluster.n_shards, config.train.seed
    with stages.anew("shards", n_shards) as stage:
        columns = partition(as_columns(signals, config.catalog), n_shards)
        queries = graph_queries(signals, config.sources, seed=seed)
        spaces = space_specs(signals, config)
        inputs = [*learned.inputs, n_shards, plain(config.catalog), plain(config.sources), config.train.half_life_days, seed]

        def make(shard: int) -> tuple[Path, StageReport]:
            return stages.part(
                shard_folder(shard),
                inputs=inputs,
                make=lambda folder: make_shard(
                    columns[shard], folder, spaces=spaces, section=config.sources, queries=queries, seed=seed
                ),
            )

        parts: list[tuple[Path, StageReport]] = []
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for part in pool.map(make, range(n_shards)):
                parts.append(part)
                stages.progress.advance(len(parts))
        words = Counter("reused" if report.reused else report.summary for _, report in parts)
        stage.report("; ".join(f"{n} × {word}" for word, n in words.items()), len(signals.catalogue))
    for space in queries:
        seconds = sum(graph_seconds(folder).get(space, 0) for folder, _ in parts)
        reused = all(report.reused for _, report in parts)
        n_graphs = sum(space in graph_seconds(folder) for folder, _ in parts)
        stages.reports[f"graph-{space}"] = StageReport(f"{n_graphs} graphs", len(signals.catalogue), seconds, reused)
    return [folder for folder, _ in parts]


def sample_queries(vectors: Floats, *, seed: int) -> Floats:
    """At most 200 of (n, dim) vectors, none of them zero, to calibrate a graph on: users', as items' would promise too much."""
    known = np.flatnonzero(directed(vectors))
    if len(known) > _SAMPLE_QUERIES:
        known = np.sort(np.random.default_rng(seed).choice(known, _SAMPLE_QUERIES, replace=False))
    return np.ascontiguousarray(vectors[known])


def graph_queries(signals: Signals, section: SourcesSection, *, seed: int) -> dict[str, Floats]:
    """The queries to calibrate on, by space that gets a graph: none where requests score the whole catalogue anyway.

    Where no user has a vector, sessions are all the traffic: what they look at is an item's vector, or the mean of a few.
    """
    if section.score_all.enabled and len(signals.catalogue) <= section.score_all.max_items:
        return {}
    searched = {source.space for source in signals.sources if source.kind == "ann"}
    spaces = {name: space for name, space in signals.spaces.items() if name in searched}
    return {
        name: sample_queries(space.users if directed(space.users).any() else space.items, seed=seed)
        for name, space in spaces.items()
    }


def make_shard(
    columns: ShardColumns,
    folder: Path,
    *,
    spaces: Sequence[SpaceSpec],
    section: SourcesSection,
    queries: Mapping[str, Floats],
    seed: int,
) -> Made:
    """Write the snapshot and its manifest entry into `folder`; the summary says what became of the graphs.

    queries: by space, (q, dim) float32 to calibrate its graph on; a space without any gets no graph. One thread, so that the
    same input gives the same bytes.
    """
    told, seconds = [], {}
    for space in spaces:
        if len(columns) and len(queries.get(space.name, ())):
            began = time.perf_counter()
            columns, word = _with_graph(columns, space, section, queries[space.name], seed)
            seconds[space.name] = time.perf_counter() - began
            told.append(f"{space.name}: {word}")
    entry = write_snapshot(columns, folder / SNAPSHOT)
    (folder / _ENTRY).write_bytes(msgspec.json.encode(entry))
    (folder / _SECONDS).write_bytes(msgspec.json.encode(seconds))
    return Made("; ".join(told) or "no graph", len(columns))


def _with_graph(
    columns: ShardColumns, space: SpaceSpec, section: SourcesSection, queries: Floats, seed: int
) -> tuple[ShardColumns, str]:
    """With a graph over a space, if that reaches the recall target at some ef, and what came of it.

    One that does not would only be carried around: it is left out, and searches are exact scans.
    """
    knobs = section.of_space(space.name)
    vectors = columns.vectors[space.name]
    graph = build_graph(vectors, space.metric, M=knobs.M, ef_construction=knobs.ef_construction, seed=seed, threads=1)
    searched = Space.from_arrays(vectors, keys=columns.keys, metric=space.metric, graph=graph)
    calibration = calibrate(searched, queries, space.recall_target)
    if not calibration.depths:
        return columns, f"no ef reaches {space.recall_target}, exact scans"
    deepest = calibration.depths[-1]
    graphs, calibrations = {**columns.graphs, space.name: graph}, {**columns.calibrations, space.name: calibration}
    word = f"graph good to depth {deepest.depth} at ef {deepest.ef}"
    return replace(columns, graphs=graphs, calibrations=calibrations), word


def copy_snapshots(
    folders: Sequence[Path], writer: GenerationWriter, on_shard: Callable[[int], None] = lambda n_shards: None
) -> None:
    """The files of all shards into the generation that is being written. on_shard: called with the number of shards done."""
    for shard, folder in enumerate(folders):
        for file in sorted((folder / SNAPSHOT).iterdir()):
            shutil.copyfile(file, writer.path_for(f"{shard_folder(shard)}/{file.name}"))
        on_shard(shard + 1)


def entry_of(folder: Path) -> dict[str, Any]:
    """The manifest entry of a shard that `make_shard` wrote there."""
    entry: dict[str, Any] = msgspec.json.decode((folder / _ENTRY).read_bytes())
    return entry


def graph_seconds(folder: Path) -> dict[str, float]:
    """By space, how long its graph took there."""
    return msgspec.json.decode((folder / _SECONDS).read_bytes(), type=dict[str, float])
