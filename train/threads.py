"""Work on blocks, on all cores: each block on one thread, results in the order of the blocks.

BLAS threads of its own would fight with ours over the cores, so BLAS is told to use one. Blocks have fixed sizes and what
comes of them is used in order, so that results do not depend on the number of threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from threadpoolctl import ThreadpoolController

Block = TypeVar("Block")
Result = TypeVar("Result")


def on_threads(work: Callable[[Block], Result], blocks: Iterable[Block]) -> Iterator[Result]:
    """What `work` returns for each block, in their order. `work` must not call it again: it would wait for itself."""
    with _blas().limit(limits=1, user_api="blas"):
        yield from _pool().map(work, blocks)


@cache
def _blas() -> ThreadpoolController:
    """Looked for once: it reads the process's whole memory map. NumPy's, the one that counts here, is loaded by then."""
    return ThreadpoolController()


@cache
def _pool() -> ThreadPoolExecutor:
    """Kept, since a small fit has many short calls."""
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="blocks")


os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork
