"""Blocks give what one matrix product would, in order."""

from __future__ import annotations

import numpy as np
import pytest

from train.vectors.row_blocks import gram, on_threads, times


@pytest.mark.parametrize("n", [0, 1, 4096, 9000])
def test_products_over_blocks_are_the_products(n: int) -> None:
    rng = np.random.default_rng(n)
    vectors, square = rng.standard_normal((n, 5)).astype(np.float32), rng.standard_normal((5, 5)).astype(np.float32)
    exact = vectors.astype(np.float64)
    np.testing.assert_allclose(gram(vectors), exact.T @ exact, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(times(vectors, square), exact @ square, rtol=1e-4, atol=1e-5)
    assert np.array_equal(gram(vectors), gram(vectors))


def test_results_come_in_the_order_of_the_blocks_and_errors_come_through() -> None:
    assert list(on_threads(lambda at: at * at, range(50))) == [at * at for at in range(50)]
    with pytest.raises(ZeroDivisionError):
        list(on_threads(lambda at: 1 // at, [1, 0]))
