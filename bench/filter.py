"""How fast are the hundred best among the eligible, and are they the right ones?

Three vector sets, seven shares of eligible items drawn at random, and three where the eligible lie in one region, which
graphs find harder. Recall is recall@100 against the exact answer among the eligible. Everyone searches with one thread, in
this process, and is asked one query at a time. HNSW graphs have M 16 and ef_construction 200 everywhere. Each peer is
tuned per case to the setting that is its fastest at recall .99, on the very queries that are then measured; oskolok plans
by itself, from a calibration on other queries. `oskolok, cold mask` pays for a mask nobody has used before.

    python -m bench.filter [--quick] [--json FILE] [--only TEXT] [--shared FOLDER]

--quick takes smaller sets (their sizes are part of a case's name), fewer cases and queries. Built indexes are kept in
~/.cache/oskolok/bench; building those of the full sets takes about ten minutes.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np

from bench.peers.filtered import EVERY, Bits, Found, Peer, PlainExact, Search, recall_of, tune
from bench.peers.graphs import FaissBitmap, HnswCallback
from bench.peers.qdrant import Qdrant
from bench.tools.harness import Bench, Metrics, percentiles
from bench.tools.row import OURS
from bench.tools.vectors import CACHE, VectorSet, best_eligible, clustered, glove, gowalla, random_mask, region_mask
from cluster.types import Floats
from shard.filter.eligible import Eligible, Mask
from shard.spaces.calibration import calibrate
from shard.spaces.hnsw import Geometry, Graph, build_graph, longest
from shard.spaces.space import Space

K = 100
M, EF_CONSTRUCTION = 16, 200
RECALL_TARGET = 0.99
N_CALIBRATION = 500
SHARES = {"50%": 0.5, "20%": 0.2, "10%": 0.1, "5%": 0.05, "1%": 0.01, "0.1%": 0.001}
REGIONS = {"50% in one region": 0.5, "10% in one region": 0.1, "1% in one region": 0.01}
QUICK_MASKS = (EVERY, "50%", "10%", "1%", "10% in one region")
THREADS = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def main(argv: Sequence[str]) -> None:
    """Run the bench as asked for on the command line."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("OSKOLOK_SHARED", "../shared")))
    options, rest = parser.parse_known_args(argv)
    bench = Bench.from_arguments("filter", packages=("hnswlib", "faiss-cpu", "qdrant-edge-py", "numpy"), argv=rest)
    sets: dict[str, Callable[[], VectorSet]] = {
        bench.size(full="clustered 100k", quick="clustered 10k"): lambda: clustered(bench.size(full=100_000, quick=10_000)),
        bench.size(full="glove 398k", quick="glove 20k"): lambda: glove(bench.size(full=None, quick=20_000)),
        "gowalla 41k": lambda: gowalla(options.shared),
    }
    for name, load in sets.items():
        if any(bench.wants(_case(name, mask)) for mask in _mask_names(bench)):
            run_set(bench, name, load())


def run_set(bench: Bench, name: str, vectors: VectorSet) -> None:
    """All cases of one vector set."""
    masks = {mask: random_mask(len(vectors.items), share) for mask, share in SHARES.items()}
    masks |= {mask: region_mask(vectors.items, share) for mask, share in REGIONS.items()}
    every = {EVERY: np.ones(len(vectors.items), bool)}
    folder = CACHE / "bench" / name.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    bench.say(f"{name}: {len(vectors.items):,} × {vectors.items.shape[1]}, {vectors.metric}; indexes in {folder}")
    graph_file = folder / f"hnswlib-{M}-{EF_CONSTRUCTION}.bin"
    space = _space(bench, vectors, graph_file)
    engine = folder / f"qdrant-{metadata.version('qdrant-edge-py')}-{M}-{EF_CONSTRUCTION}"
    peers: list[Peer] = [
        Qdrant(vectors, masks, engine, M=M, ef_construction=EF_CONSTRUCTION),
        HnswCallback(vectors, masks, graph_file),
        FaissBitmap(vectors, masks, folder / f"faiss-{M}-{EF_CONSTRUCTION}.bin", M=M, ef_construction=EF_CONSTRUCTION),
        PlainExact(vectors, masks),
    ]
    n_queries = bench.size(full=500, quick=25)
    queries = vectors.queries[N_CALIBRATION : N_CALIBRATION + n_queries]
    for mask in _mask_names(bench):
        if bench.wants(_case(name, mask)):
            run_case(bench, _case(name, mask), vectors, queries, (every | masks)[mask], mask, space, peers)


def run_case(
    bench: Bench,
    case: str,
    vectors: VectorSet,
    queries: Floats,
    bits: Bits,
    mask: str,
    space: Space,
    peers: Sequence[Peer],
) -> None:
    """One table: ours and every peer, tuned, over the same queries."""
    truth = best_eligible(vectors.items, queries, bits, K)
    warm = Eligible(Mask(bits.copy()))
    cold = [bits.copy() for _ in queries]
    searches: dict[str, Callable[[int], Found]] = {
        OURS: lambda i: space.search(queries[i], warm, K).rows,
        f"{OURS}, cold mask": lambda i: space.search(queries[i], Eligible(Mask(cold[i])), K).rows,
    }
    patience_us = bench.size(full=20_000, quick=1_500)
    for peer in peers:
        setting = tune(peer, mask, queries, truth, target=RECALL_TARGET, patience_us=patience_us)
        searches[peer.name] = _by_position(setting.search, queries)
        bench.say(f"{case}: {peer.name} {setting.label}")
    bench.say(f"{case}: {OURS} {space.search(queries[0], warm, K).strategy}")
    rounds = bench.size(full=5, quick=1)
    parts = np.array_split(np.arange(len(queries)), rounds)
    turn = dict.fromkeys(searches, 0)

    def repeat(system: str) -> Metrics:
        part = parts[turn[system] % rounds]
        turn[system] += 1
        return _measure(searches[system], part, truth)

    bench.run(case, {system: lambda system=system: repeat(system) for system in searches}, repeats=rounds)  # type: ignore[misc]


def _measure(search: Callable[[int], Found], part: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """p50, p99, mean and recall over the queries of one part."""
    took, recalls = [], []
    for i in part:
        start = time.perf_counter()
        found = search(i)
        took.append(time.perf_counter() - start)
        recalls.append(recall_of(found, truth[i]))
    return percentiles(took) | {"mean_us": float(np.mean(took)) * 1e6, "recall": float(np.mean(recalls))}


def _by_position(search: Search, queries: Floats) -> Callable[[int], Found]:
    return lambda i: search(queries[i])


def _space(bench: Bench, vectors: VectorSet, graph_file: Path) -> Space:
    keys = np.arange(len(vectors.items))
    if not graph_file.exists():
        bench.say("building the graph that oskolok and hnswlib share")
        build_graph(vectors.items, vectors.metric, M=M, ef_construction=EF_CONSTRUCTION, threads=2).save(graph_file)
    geometry = Geometry(vectors.items.shape[1], vectors.metric, longest(vectors.items))
    graph = Graph.load(graph_file, geometry, n_points=len(geometry.places(vectors.items)))
    uncalibrated = Space.from_arrays(vectors.items, keys=keys, metric=vectors.metric, graph=graph)
    calibration = calibrate(uncalibrated, vectors.queries[:N_CALIBRATION], RECALL_TARGET)
    return Space.from_arrays(vectors.items, keys=keys, metric=vectors.metric, graph=graph, calibration=calibration)


def _mask_names(bench: Bench) -> Sequence[str]:
    return bench.size(full=(EVERY, *SHARES, *REGIONS), quick=QUICK_MASKS)


def _case(name: str, mask: str) -> str:
    return f"{name} eligible {mask}"


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in THREADS.items()):  # read when their libraries load
        os.execve(sys.executable, [sys.executable, "-m", "bench.filter", *sys.argv[1:]], os.environ | THREADS)
    main(sys.argv[1:])
