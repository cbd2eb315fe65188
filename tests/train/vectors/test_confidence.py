"""The two curves as written, and the discount of popular items."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from cluster.config.train import AlsSection
from train.vectors.confidence import confidences

COUNTS = sparse.csr_array(np.array([[1, 2, 0], [4, 0, 0], [1, 0, 3]], np.float32))


def test_linear() -> None:
    section = AlsSection(alpha=3.0)
    np.testing.assert_allclose(confidences(COUNTS, section).toarray(), COUNTS.toarray() * 3)


def test_log() -> None:
    section = AlsSection(confidence="log", alpha=2.0, epsilon=0.5)
    np.testing.assert_allclose(confidences(COUNTS, section).data, 2 * np.log1p(COUNTS.data / 0.5), rtol=1e-6)


def test_pairs_of_popular_items_say_less_and_the_mean_stays() -> None:
    found = confidences(sparse.csr_array((COUNTS > 0).astype(np.float32)), AlsSection(popularity_exponent=0.5))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.data.mean(), 1, rtol=1e-6)
    by_item = found.toarray().max(axis=0)
    np.testing.assert_allclose(by_item[1] / by_item[0], 3**0.5, rtol=1e-6)


def test_nothing_gives_nothing() -> None:
    assert confidences(sparse.csr_array((2, 3), dtype=np.float32), AlsSection(popularity_exponent=0.5)).nnz == 0
