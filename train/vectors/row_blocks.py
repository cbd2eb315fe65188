"""Dense work on the rows of a tall matrix, block by block, each block on one thread.

BLAS threads of its own would fight with ours over the cores, and where several libraries share a process it may be told to use
one. Blocks have fixed sizes and their sums are added in order, so that results do not depend on the number of threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

Matrix = NDArray[np.float32]
Block = TypeVar("Block")
Found = TypeVar("Found")

_BLOCK_ROWS = 1 << 12


def on_threads(work: Callable[[Block], Found], blocks: Iterable[Block]) -> Iterator[Found]:
    """What `work` says of each block, in their order; as many threads as cores."""
    with _blas().limit(limits=1, user_api="blas"):
        yield from _pool().map(work, blocks)


@cache
def _blas() -> ThreadpoolController:
    """Looked for once: it reads the process's whole memory map. NumPy's, the one that counts here, is loaded by then."""
    return ThreadpoolController()


@cache
def _pool() -> ThreadPoolExecutor:
    """Kept, since a small fit has many short calls."""
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="row_blocks")


os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork


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
