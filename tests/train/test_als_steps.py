"""What a step solves, what it leaves alone, and that it serves new items nearly as well as a full fit does."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from cluster.config import AlsSection
from train import als
from train.als import Factors
from train.als_steps import place_items, place_users, step, users_of_content, warmed

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


def test_new_rows_find_their_kind_and_others_keep_their_bits() -> None:
    pairs, same = clusters(0)
    new_users, new_items = np.array([3, 50]), np.array([10, 60])
    before = als.fit(without(pairs, new_users, new_items), SECTION, seed=0)
    after = step(
        before, sparse.csr_array(pairs), SECTION, new_users=new_users, new_items=new_items, n_back_max=5, warm_share=0.3
    )
    scores = after.users @ after.items.T
    for user in new_users:
        assert scores[user, same[user]].mean() > 3 * abs(scores[user, ~same[user]].mean())
    for item in new_items:
        assert scores[same[:, item], item].mean() > 3 * abs(scores[~same[:, item], item].mean())
    old_items = np.delete(np.arange(80), new_items)
    assert np.array_equal(after.items[old_items], before.items[old_items])
    moved = np.flatnonzero((after.users != before.users).any(axis=1))
    assert set(new_users) <= set(moved) and len(moved) <= 5 + len(new_users)


def test_a_placed_row_is_the_exact_solution_over_warmed_rows() -> None:
    pairs, _ = clusters(1)
    before = als.fit(without(pairs, np.array([0]), np.array([0])), SECTION, seed=0)
    confidence = sparse.csr_array(pairs)
    placed = place_users(before, confidence, np.array([0]), SECTION, warm_share=0.0)
    np.testing.assert_allclose(placed.users[0], als.solve_rows(confidence, before.items, SECTION)[0], atol=1e-6)
    placed = place_items(before, confidence, np.array([0]), SECTION, warm_share=0.0)
    expected = als.solve_rows(sparse.csr_array(confidence.T), before.users, SECTION)[0]
    np.testing.assert_allclose(placed.items[0], expected, atol=1e-6)


def test_cold_rows_do_not_speak() -> None:
    items = np.array([[1, 0], [0, 1], [0.01, 0.01], [0, 0]], np.float32)
    assert warmed(items, 0.5).tolist() == [True, True, False, False]
    assert not warmed(np.zeros((3, 2), np.float32), 0.5).any()
    factors = Factors(np.zeros((1, 2), np.float32), items)
    section = SECTION.model_copy(update={"dim": 2})
    with_cold, alone = (
        place_users(factors, sparse.csr_array(np.array([row], np.float32)), np.array([0]), section, warm_share=0.5).users
        for row in ([1, 0, 1, 1], [1, 0, 0, 0])
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
