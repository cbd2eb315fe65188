"""Blocks give what one matrix product would."""

from __future__ import annotations

import numpy as np
import pytest

from train.vectors.row_blocks import gram, times


@pytest.mark.parametrize("n", [0, 1, 4096, 9000])
def test_products_over_blocks_are_the_products(n: int) -> None:
    rng = np.random.default_rng(n)
    vectors, square = rng.standard_normal((n, 5)).astype(np.float32), rng.standard_normal((5, 5)).astype(np.float32)
    exact = vectors.astype(np.float64)
    np.testing.assert_allclose(gram(vectors), exact.T @ exact, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(times(vectors, square), exact @ square, rtol=1e-4, atol=1e-5)
    assert np.array_equal(gram(vectors), gram(vectors))
