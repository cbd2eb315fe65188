"""Dense work on the rows of a tall matrix, block by block (`train/threads.py`)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from train.threads import on_threads

Matrix = NDArray[np.float32]

_BLOCK_ROWS = 1 << 12


def gram(vectors: Matrix) -> NDArray[np.float64]:
    """VᵀV (dim, dim), accumulated in float64."""

    def one(block: slice) -> NDArray[np.float64]:
        rows = vectors[block].astype(np.float64)
        return np.asarray(rows.T @ rows)

    total = np.zeros((vectors.shape[1], vectors.shape[1]))
    for part in on_threads(one, _blocks(len(vectors))):
        total += part
    return total


def times(vectors: Matrix, square: Matrix) -> Matrix:
    """vectors (n, dim) @ square (dim, dim)."""
    product = np.empty_like(vectors)

    def one(block: slice) -> None:
        np.matmul(vectors[block], square, out=product[block])

    for _ in on_threads(one, _blocks(len(vectors))):
        pass
    return product


def _blocks(n: int) -> Iterator[slice]:
    return (slice(begin, begin + _BLOCK_ROWS) for begin in range(0, n, _BLOCK_ROWS))
