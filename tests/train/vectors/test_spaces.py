"""A user stands where their history does, whatever the lengths of its vectors."""

from __future__ import annotations

import numpy as np

from tests.train.logs import NOW, NOW_DAY, log_of
from train.input.interactions import interactions
from train.vectors.spaces import content_space


def test_users_stand_at_the_weighted_mean_of_directions() -> None:
    log = log_of([("a", 0, NOW_DAY - 60), ("a", 1, NOW_DAY), ("b", 2, NOW_DAY), ("c", 0, NOW_DAY + 1)], n_items=3)
    pairs = interactions(log, as_of=NOW, half_life_days=60)
    space = content_space(np.array([[30, 0], [0, 0.2], [0, 0]], np.float32), pairs)
    assert space.metric == "cosine" and space.dim == 2
    np.testing.assert_allclose(space.items, [[1, 0], [0, 1], [0, 0]])
    expected = np.array([0.5, 1.0]) / np.hypot(0.5, 1)
    np.testing.assert_allclose(space.users, [expected, [0, 0], [0, 0]], rtol=1e-6)


def test_a_history_of_long_ago_still_points_somewhere() -> None:
    """After a hundred half-lives a weight is 1e-30, and its square nothing in float32."""
    pairs = interactions(log_of([("a", 0, 0), ("a", 1, 0)], n_items=2), as_of=NOW, half_life_days=1)
    space = content_space(np.array([[1, 0], [0, 1]], np.float32), pairs)
    np.testing.assert_allclose(space.users, [[0.5**0.5, 0.5**0.5]], rtol=1e-6)
