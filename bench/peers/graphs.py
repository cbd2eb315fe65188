"""hnswlib with its Python filter callback, and FAISS HNSW with its bitmap selector, each at its fastest.

Under inner product both get the points with one more coordinate that our own graph walks (`shard/spaces/hnsw.py`): their native
inner product graphs do not reach the recall target at any ef tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import faiss
import hnswlib
import numpy as np
from numpy.typing import NDArray

from bench.peers.filtered import EVERY, Bits, Setting
from bench.tools.vectors import VectorSet
from cluster.types import Floats
from shard.spaces.hnsw import Geometry, longest

_EF = (100, 150, 200, 250, 300, 400, 500, 600, 800, 1000, 1200, 1600, 2400, 3200)


class HnswCallback:
    """Given the very graph file that oskolok uses. Without a filter it is hnswlib as it is.

    The callback is the `__getitem__` of a list, the cheapest that Python has.
    """

    name = "hnswlib callback"

    def __init__(self, vectors: VectorSet, masks: Mapping[str, Bits], graph_file: Path) -> None:
        self._geometry = Geometry(vectors.items.shape[1], vectors.metric, longest(vectors.items))
        self._index = hnswlib.Index("l2", self._geometry.dim)
        self._index.load_index(str(graph_file))
        self._passes = {name: bits.tolist().__getitem__ for name, bits in masks.items()}

    def families(self, mask: str, k: int) -> Iterator[Iterator[Setting]]:
        """Ascending ef."""
        yield (Setting(f"ef {ef}", self._search(mask, k, ef)) for ef in _EF if ef >= k)

    def _search(self, mask: str, k: int, ef: int):  # type: ignore[no-untyped-def]
        index, point = self._index, self._geometry.point
        passes = None if mask == EVERY else self._passes[mask]

        def search(query: Floats) -> NDArray[np.integer]:
            index.set_ef(ef)
            try:
                return index.knn_query(point(query), k=k, num_threads=1, filter=passes)[0][0]
            except RuntimeError:  # it found fewer than k and returns none
                return np.empty(0, np.int64)

        return search


class FaissBitmap:
    """IndexHNSWFlat, M and efConstruction as everyone's, IDSelectorBitmap."""

    name = "faiss bitmap"

    def __init__(
        self, vectors: VectorSet, masks: Mapping[str, Bits], index_file: Path, *, M: int, ef_construction: int
    ) -> None:
        self._geometry = Geometry(vectors.items.shape[1], vectors.metric, longest(vectors.items))
        if not index_file.exists():
            faiss.omp_set_num_threads(2)
            index = faiss.IndexHNSWFlat(self._geometry.dim, M)
            index.hnsw.efConstruction = ef_construction
            index.add(self._geometry.points(vectors.items))
            faiss.write_index(index, str(index_file))
        faiss.omp_set_num_threads(1)
        self._index = faiss.read_index(str(index_file))
        self._bitmaps = {name: np.packbits(bits, bitorder="little") for name, bits in masks.items()}

    def families(self, mask: str, k: int) -> Iterator[Iterator[Setting]]:
        """Ascending efSearch."""
        yield (Setting(f"ef {ef}", self._search(mask, k, ef)) for ef in _EF if ef >= k)

    def _search(self, mask: str, k: int, ef: int):  # type: ignore[no-untyped-def]
        index, point = self._index, self._geometry.point
        selector = None if mask == EVERY else faiss.IDSelectorBitmap(self._bitmaps[mask])
        parameters = faiss.SearchParametersHNSW(efSearch=ef, sel=selector)

        def search(query: Floats) -> NDArray[np.integer]:
            found = index.search(point(query)[None], k, params=parameters)[1][0]
            return found[found >= 0]

        search.selector = selector  # type: ignore[attr-defined]  # faiss keeps no reference of its own
        return search
