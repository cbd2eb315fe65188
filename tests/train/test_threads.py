"""Blocks on threads: results in the order of the blocks, and errors come through."""

from __future__ import annotations

import pytest

from train.threads import on_threads


def test_results_come_in_the_order_of_the_blocks_and_errors_come_through() -> None:
    assert list(on_threads(lambda at: at * at, range(50))) == [at * at for at in range(50)]
    with pytest.raises(ZeroDivisionError):
        list(on_threads(lambda at: 1 // at, [1, 0]))
