"""What a step solves, against the exact solution; who speaks in it; what a vector of content is good for."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from cluster.config.train import AlsSection
from train.vectors import als
from train.vectors.als_steps import RowPairs, most_touched, place, step, users_of_content, warmed
from train.vectors.fixed_side import FixedSide

SECTION = AlsSection(dim=6, n_sweeps=8, regularization=0.02, unobserved_weight=0.1, frequency_exponent=0.75)


def clusters(seed: int, n_users: int = 120, n_items: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """0/1 pairs of four tastes, and which pairs are of one taste."""
    rng = np.random.default_rng(seed)
    same = rng.integers(0, 4, n_users)[:, None] == rng.integers(0, 4, n_items)[None, :]
    return (same & (rng.random(same.shape) < 0.4)).astype(np.float32), same


def without(pairs: np.ndarray, users: np.ndarray, items: np.ndarray) -> sparse.csr_array:
    old = pairs.copy()
    old[users], old[:, items] = 0, 0
    return sparse.csr_array(old)


def rows_of(pairs: np.ndarray, rows: np.ndarray) -> RowPairs:
    return RowPairs(rows, sparse.csr_array(pairs[rows]))


def test_new_rows_find_their_kind() -> None:
    pairs, same = clusters(0)
    new_users, new_items = np.array([3, 50]), np.array([10, 60])
    before = als.fit(without(pairs, new_users, new_items), SECTION, seed=0)
    users, items = (FixedSide.of(warmed(vectors, 0.3), SECTION) for vectors in (before.users, before.items))
    solved_items, solved_users = step(users, items, new_items=rows_of(pairs.T, new_items), back=rows_of(pairs, new_users))
    for vector, alike in zip(solved_items, same.T[new_items], strict=True):
        scores = before.users @ vector
        alike[new_users] = False  # these had no vector yet
        assert scores[alike].mean() > 3 * abs(scores[~alike].mean())
    for vector, alike in zip(solved_users, same[new_users], strict=True):
        after = before.items.copy()
        after[new_items] = solved_items
        assert (after @ vector)[alike].mean() > 3 * abs((after @ vector)[~alike].mean())


def test_a_placed_row_is_the_exact_solution() -> None:
    pairs, _ = clusters(1)
    before = als.fit(without(pairs, np.array([0]), np.array([0])), SECTION, seed=0)
    placed = place(FixedSide.of(before.users, SECTION), rows_of(pairs.T, np.array([0])))
    known = pairs.T[:1] * before.users.any(axis=1)
    np.testing.assert_allclose(placed, als.solve_rows(sparse.csr_array(known), before.users, SECTION), atol=1e-6)


def test_the_back_step_knows_the_new_items() -> None:
    pairs, _ = clusters(2)
    before = als.fit(without(pairs, np.empty(0, int), np.array([7])), SECTION, seed=0)
    users, items = FixedSide.of(before.users, SECTION), FixedSide.of(before.items, SECTION)
    buyers = np.flatnonzero(pairs[:, 7])
    new, moved = step(users, items, new_items=rows_of(pairs.T, np.array([7])), back=rows_of(pairs, buyers))
    assert (moved @ new[0]).mean() > (before.users[buyers] @ new[0]).mean()


def test_the_most_touched_users() -> None:
    pairs = np.zeros((2, 5), np.float32)
    pairs[0, [1, 3]], pairs[1, [1, 4]] = 1, 2
    new_items = RowPairs(np.array([8, 9]), sparse.csr_array(pairs))
    totals = np.array([5.0, 30.0, 2.0, 2.0, 4.0])
    assert most_touched(new_items, totals, 2).tolist() == [3, 4]
    assert most_touched(new_items, totals, 10).tolist() == [1, 3, 4]
    assert most_touched(new_items, totals, 0).tolist() == []


def test_cold_rows_do_not_speak() -> None:
    items = np.array([[1, 0], [0, 1], [0.01, 0.01], [0, 0]], np.float32)
    assert warmed(items, 0.5).any(axis=1).tolist() == [True, True, False, False]
    assert not warmed(np.zeros((3, 2), np.float32), 0.5).any()
    side = FixedSide.of(warmed(items, 0.5), SECTION.model_copy(update={"dim": 2}))
    with_cold, alone = (
        place(side, rows_of(np.array([row], np.float32), np.array([0]))) for row in ([1, 0, 1, 1], [1, 0, 0, 0])
    )
    assert np.array_equal(with_cold, alone)


def test_a_user_of_content_prefers_what_resembles_the_bought() -> None:
    rng = np.random.default_rng(2)
    kind = rng.integers(0, 3, 40)
    content = (np.eye(3)[kind] * 5 + rng.standard_normal((40, 3)) * 0.3).astype(np.float32)
    content[39] = 0
    bought = np.zeros((2, 40), np.float32)
    bought[0, np.flatnonzero(kind == 0)[:3]] = 1
    found = users_of_content(sparse.csr_array(bought), content, SECTION)
    scores = found.users @ found.items.T
    assert scores[0, kind == 0][3:].mean() > 3 * abs(scores[0, kind == 1].mean())
    assert not found.users[1].any() and not found.items[39].any()
    np.testing.assert_allclose(np.linalg.norm(found.items[:39], axis=1), 1, rtol=1e-5)
