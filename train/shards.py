"""One shard's files: its columns, and a graph over its vectors if that graph can reach the recall target."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from cluster.config import SourcesSection
from cluster.types import Floats
from shard.calibration import calibrate
from shard.columns import ShardColumns
from shard.hnsw import build_graph
from shard.snapshot import write_snapshot
from shard.space import Space
from train.signals import SPACE
from train.stages import Made

SNAPSHOT = "snapshot"
_ENTRY = "entry.json"
_SAMPLE_QUERIES = 200


def sample_queries(user_vectors: Floats, *, seed: int) -> Floats:
    """At most 200 users' vectors, (q, dim): what a graph is calibrated on, since item vectors would promise too much."""
    known = np.flatnonzero(user_vectors.any(axis=1))
    if len(known) > _SAMPLE_QUERIES:
        known = np.sort(np.random.default_rng(seed).choice(known, _SAMPLE_QUERIES, replace=False))
    return np.ascontiguousarray(user_vectors[known])


def needs_graph(section: SourcesSection, n_items: int) -> bool:
    """Not where every request scores the whole catalogue anyway."""
    scored_in_full = section.score_all.enabled and n_items <= section.score_all.max_items
    return section.ann.enabled and not scored_in_full


def make_shard(columns: ShardColumns, folder: Path, *, section: SourcesSection, queries: Floats | None, seed: int) -> Made:
    """Write the snapshot and its manifest entry into `folder`; the summary says what became of the graph.

    queries: (q, dim) float32 to calibrate it on, None for no graph.  A graph in which no ef reaches the target would only be
    carried around: it is left out, and searches are exact scans. One thread, so that the same input gives the same bytes.
    """
    found = "no graph"
    if queries is not None and len(columns):
        ann, vectors = section.ann, columns.vectors[SPACE]
        graph = build_graph(vectors, "ip", M=ann.M, ef_construction=ann.ef_construction, seed=seed, threads=1)
        space = Space.from_arrays(vectors, keys=columns.keys, metric="ip", graph=graph)
        calibration = calibrate(space, queries, ann.recall_target)
        found = f"no ef reaches {ann.recall_target}, exact scans"
        if calibration.depths:
            columns = replace(columns, graphs={SPACE: graph}, calibrations={SPACE: calibration})
            deepest = calibration.depths[-1]
            found = f"graph good to depth {deepest.depth} at ef {deepest.ef}"
    entry = write_snapshot(columns, folder / SNAPSHOT)
    (folder / _ENTRY).write_bytes(msgspec.json.encode(entry))
    return Made(found, len(columns))


def entry_of(folder: Path) -> dict[str, Any]:
    """The manifest entry of a shard that `make_shard` wrote there."""
    entry: dict[str, Any] = msgspec.json.decode((folder / _ENTRY).read_bytes())
    return entry
