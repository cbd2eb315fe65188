"""The graph: which rows lie near a query, approximately. The only place that knows distances and hnswlib.

hnswlib walks well where distance is a metric and badly by inner product: on real user and item factors its `ip` space
finds .74 of the best hundred at ef 100 where the same walk over augmented vectors finds .91. So for `ip` every item gets
one more coordinate, sqrt(max||x||^2 - ||x||^2), and every query a zero and the length of the largest item; then the order
of Euclidean distances is the order of inner products (Bachrach et al. 2014, Neyshabur and Srebro 2015).

A zero has no direction, so under `ip` and `cosine` it scores 0 with whatever is asked. As an item it is left out of the graph:
hundreds of equal points are a clique that walks do not leave (of 4,000 clustered items, 5 % of zeros left no ef that reached a
recall of .99 at any depth). As a query it is not walked with: all rows tie, and the graph would find any of them.

What hnswlib leaves to its caller is handled here: it checks neither file nor dimension, its `ef` is one field shared by
all searches and is reset by loading, loading over a live index leaves dangling pointers, too few reachable rows is an
exception, and NaN poisons a graph.
"""

from __future__ import annotations

import struct
import threading
from pathlib import Path

import hnswlib
import numpy as np
from numpy.typing import NDArray

from cluster.errors import GenerationCorrupt, InternalError
from cluster.spec import Metric
from cluster.types import Floats

Labels = NDArray[np.uint64]

_COMPONENT_MIN = 1e-10

_HEADER = struct.Struct("<6Q")  # offset of level 0, capacity, count, bytes per element, offset of label, offset of vector


def directed(vectors: Floats) -> NDArray[np.bool_]:
    """Which of (..., dim) float32 vectors point somewhere: not those that are zero, or next to it, or not finite.

    Components are compared, since squares of small ones vanish: after a hundred half-lives a user's vector has some of 1e-30.
    """
    largest = np.abs(vectors).max(axis=-1, initial=0)
    return np.asarray((largest > _COMPONENT_MIN) & (largest < np.inf))


def longest(vectors: Floats) -> float:
    """The largest norm of (n, dim) float32 rows; 0 without rows; not finite if a value is not."""
    return float(np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64).max(initial=0)))


class Geometry:
    """How items and queries of a space become points whose Euclidean order is the space's score order.

    longest: the largest norm of the items, in the space's own coordinates.
    """

    def __init__(self, dim: int, metric: Metric, longest: float) -> None:
        self.metric = metric
        self.longest = longest
        self.source_dim = dim
        self.dim = dim + 1 if metric == "ip" else dim

    def points(self, vectors: Floats) -> Floats:
        """(n, source_dim) items to (n, dim) points, float32."""
        if self.metric != "ip":
            return np.ascontiguousarray(vectors, np.float32)
        squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
        missing = np.sqrt(np.maximum(self.longest**2 - squares, 0))
        return np.concatenate((vectors, missing[:, None].astype(np.float32)), axis=1)

    def places(self, vectors: Floats) -> NDArray[np.intp]:
        """The rows of (n, source_dim) items that have a point in the graph, ascending."""
        return np.arange(len(vectors)) if self.metric == "l2" else np.flatnonzero(vectors.any(axis=1))

    def has_direction(self, query: Floats) -> bool:
        """Whether the order of a query's distances is that of its scores. query: (source_dim,) float32, finite."""
        return self.metric == "l2" or bool(directed(query))

    def point(self, query: Floats) -> Floats:
        """(source_dim,) query that has a direction to (dim,) point."""
        if self.metric != "ip":
            return query
        point = np.zeros(self.dim, np.float32)
        point[:-1] = query * np.float32(self.longest / np.sqrt(query @ query))
        return point


class Graph:
    """A built, immutable HNSW graph over those of n rows that `Geometry.places`; labels are rows."""

    def __init__(self, index: hnswlib.Index, geometry: Geometry) -> None:
        self._index = index
        self.geometry = geometry
        self._lock = threading.Lock()
        self._ef = 0
        self.n_points = int(index.get_current_count())

    def nearest(self, query: Floats, depth: int, *, ef: int) -> Labels:
        """About the `depth` rows nearest to a query, nearest first, uint64. Fewer, even none, where the walk reaches fewer.

        query: (dim,) float32, finite, with a direction, of unit length under cosine. ef below depth counts as depth.
        """
        depth = min(depth, self.n_points)
        point = self.geometry.point(query)
        with self._lock:
            ef = max(ef, depth)
            if ef != self._ef:
                self._index.set_ef(ef)
                self._ef = ef
            while depth > 0:
                try:
                    labels, _ = self._index.knn_query(point, k=depth, num_threads=1)
                except RuntimeError as error:
                    if "contiguous 2D array" not in str(error):
                        raise InternalError(f"hnswlib: {error}") from error
                    depth //= 2  # it found fewer than depth rows and does not say how many
                else:
                    nearest: Labels = labels[0]
                    return nearest
        return np.empty(0, np.uint64)

    def save(self, path: Path) -> None:
        """Write the index file. hnswlib reports no failed write, so the size on disk is compared with the one it computed."""
        self._index.save_index(str(path))
        expected, written = int(self._index.index_file_size()), path.stat().st_size if path.exists() else 0
        if written != expected:
            raise OSError(f"{path}: hnswlib wrote {written} of {expected} bytes")

    @staticmethod
    def n_points_in(path: Path | str) -> int:
        """How many points a graph on disk has."""
        return _header(path)[0]

    @classmethod
    def load(cls, path: Path | str, geometry: Geometry, *, n_points: int) -> Graph:
        """Read an index file whose hash has been verified; a damaged one can crash the process (nmslib/hnswlib#673).

        GenerationCorrupt if it is not a graph over n_points of this geometry: hnswlib itself would load it and
        answer nonsense.
        """
        count, label_at, vector_at = _header(path)
        if count != n_points or label_at - vector_at != 4 * geometry.dim:
            raise GenerationCorrupt(
                f"{path}: a graph over {count} points of {label_at - vector_at} bytes,"
                f" expected {n_points} of {4 * geometry.dim}"
            )
        index = hnswlib.Index(space="l2", dim=geometry.dim)
        try:
            index.load_index(str(path))
        except RuntimeError as error:
            raise GenerationCorrupt(f"{path}: {error}") from error
        return cls(index, geometry)


def _header(path: Path | str) -> tuple[int, int, int]:
    """Number of points, offset of the label and of the vector within one. GenerationCorrupt for a file that ends before."""
    with open(path, "rb") as file:
        header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        raise GenerationCorrupt(f"{path}: {len(header)} bytes are not a graph")
    _, _, count, _, label_at, vector_at = _HEADER.unpack(header)
    return count, label_at, vector_at


def build_graph(
    vectors: NDArray[np.float32], metric: Metric, *, M: int = 16, ef_construction: int = 200, seed: int = 0, threads: int = 1
) -> Graph:
    """A graph over (n, dim) float32 vectors, unit length or zero under cosine; row numbers are the labels.

    The same input gives the same graph with one thread, and an equivalent one with more.
    """
    if not np.isfinite(vectors).all():
        raise InternalError("the vectors of a graph are not finite")
    geometry = Geometry(vectors.shape[1], metric, longest(vectors))
    index = hnswlib.Index(space="l2", dim=geometry.dim)
    rows = geometry.places(vectors)
    index.init_index(max_elements=max(len(rows), 1), M=M, ef_construction=ef_construction, random_seed=seed)
    if len(rows):
        index.add_items(geometry.points(vectors[rows]), rows, num_threads=threads)
    return Graph(index, geometry)
