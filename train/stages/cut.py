"""Stage "shards": the catalogue divided, each shard's files written, several at a time, each in one thread."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cluster.config import Config
from shard.columns import partition
from shard.snapshot import shard_folder
from train.columns import as_columns
from train.describe import space_specs
from train.shards import graph_queries, graph_seconds, make_shard
from train.signals import Signals
from train.stages.learn import Learned
from train.stages.outputs import Made, StageReport, Stages, plain


def cut(stages: Stages, signals: Signals, config: Config, learned: Learned) -> list[Path]:
    """The folder of each shard, as `train.shards.make_shard` fills it. Each is a part that a killed build need not redo."""
    n_shards, seed = config.cluster.n_shards, config.train.seed
    with stages.anew("shards", n_shards) as told:
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
        told(Made("; ".join(f"{n} × {word}" for word, n in words.items()), len(signals.catalogue)))
    for space in queries:
        seconds = sum(graph_seconds(folder).get(space, 0) for folder, _ in parts)
        reused = all(report.reused for _, report in parts)
        n_graphs = sum(space in graph_seconds(folder) for folder, _ in parts)
        stages.reports[f"graph-{space}"] = StageReport(f"{n_graphs} graphs", len(signals.catalogue), seconds, reused)
    return [folder for folder, _ in parts]
