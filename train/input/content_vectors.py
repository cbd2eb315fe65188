"""A column of content vectors as one matrix. Their meaning, and distances between items, are not known here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cluster.errors import ConfigError
from train.input.report import Tally


def content_vectors(vectors: pa.Array, ids: pa.Array, path: Path, name: str, tally: Tally) -> NDArray[np.float32]:
    """(n, dim) float32 from a list<float> column; a row of zeros, counted, where a vector is null, zero or not finite.

    Raises ConfigError unless all vectors have the same length and one of them points somewhere.
    """
    lengths = pc.fill_null(pc.list_value_length(vectors), -1).to_numpy(zero_copy_only=False)
    null = lengths < 0
    if null.all():
        raise ConfigError(f"{path}: column {name!r} (catalog.vector_column) has no vector in any of {len(vectors)} items")
    found, counts = np.unique(lengths[~null], return_counts=True)
    dim = int(found[np.argmax(counts)])
    odd = np.flatnonzero(~null & (lengths != dim))
    if len(odd) or dim == 0:
        first = odd[0] if len(odd) else np.flatnonzero(~null)[0]
        raise ConfigError(
            f"{path}: column {name!r} (catalog.vector_column): {len(odd) or len(vectors)} of {len(vectors)} vectors do not "
            f"have the length of the others, {dim}; item {ids[int(first)].as_py()!r} has {lengths[first]} numbers"
        )
    matrix = np.zeros((len(vectors), dim), np.float32)
    flat = pc.fill_null(pc.list_flatten(vectors), np.nan).to_numpy(zero_copy_only=False)
    matrix[~null] = flat.reshape(-1, dim)
    broken = np.asarray(~np.isfinite(matrix).all(axis=1))
    matrix[broken] = 0
    zero = ~null & ~broken & ~matrix.any(axis=1)
    for oddity, odd_rows in (("null", null), ("not finite", broken), ("zero", zero)):
        tally.note(f"{name} {oddity}", odd_rows, ids)
    if not matrix.any():
        raise ConfigError(f"{path}: column {name!r} (catalog.vector_column): every vector of {len(vectors)} items is zero")
    return matrix
