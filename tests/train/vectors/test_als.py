"""Against a float64 textbook solution, row by row; and that the loss falls, the seed decides, strangers stay at zero."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from cluster.config.train import AlsSection
from train.vectors import als

SECTION = AlsSection(dim=6, n_sweeps=4, regularization=0.03, unobserved_weight=0.2, frequency_exponent=0.75)


def confidences(n_users: int, n_items: int, density: float, seed: int) -> sparse.csr_array:
    rng = np.random.default_rng(seed)
    seen = rng.random((n_users, n_items)) < density
    return sparse.csr_array(np.where(seen, rng.uniform(0.5, 4, seen.shape), 0).astype(np.float32))


def textbook(pairs: np.ndarray, fixed: np.ndarray, section: AlsSection) -> np.ndarray:
    """In float64, the minimiser of the module's loss for each row, one normal equation at a time."""
    fixed = fixed.astype(np.float64)
    n_active = np.count_nonzero(fixed.any(axis=1))
    gram = section.unobserved_weight * fixed.T @ fixed
    solved = np.zeros((len(pairs), fixed.shape[1]))
    for row, confidence in enumerate(pairs.astype(np.float64)):
        seen = confidence > 0
        if seen.any():
            ridge = section.regularization * (seen.sum() + section.unobserved_weight * n_active) ** section.frequency_exponent
            h = fixed[seen]
            a = gram + (h.T * confidence[seen]) @ h + ridge * np.eye(fixed.shape[1])
            solved[row] = np.linalg.solve(a, h.T @ confidence[seen])
    return solved


def loss(confidence: np.ndarray, factors: als.Factors, section: AlsSection) -> float:
    users, items = factors.users.astype(np.float64), factors.items.astype(np.float64)
    predicted, seen = users @ items.T, confidence > 0
    total = (confidence * (predicted - 1) ** 2)[seen].sum() + section.unobserved_weight * (predicted**2).sum()
    for rows, degrees, n_other in ((users, seen.sum(1), seen.any(0).sum()), (items, seen.sum(0), seen.any(1).sum())):
        ridge = section.regularization * (degrees + section.unobserved_weight * n_other) ** section.frequency_exponent
        total += (ridge * (rows**2).sum(1)).sum()
    return float(total)


@settings(deadline=None, max_examples=40)
@given(m=st.integers(1, 30), n=st.integers(1, 40), dim=st.integers(2, 12), density=st.floats(0, 1), seed=st.integers(0, 2**16))
def test_a_half_sweep_is_the_textbook_solution(m: int, n: int, dim: int, density: float, seed: int) -> None:
    pairs = confidences(m, n, density, seed)
    fixed = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    section = SECTION.model_copy(update={"dim": dim})
    expected = textbook(pairs.toarray(), fixed, section)
    error = np.linalg.norm(als.solve_rows(pairs, fixed, section) - expected)
    assert error <= als.ROWS_TOLERANCE * np.linalg.norm(expected)


@settings(deadline=None, max_examples=40)
@given(
    m=st.integers(1, 60),
    n=st.integers(1, 60),
    dim=st.integers(2, 20),
    density=st.floats(0.02, 1),
    regularization=st.floats(0.01, 1),
    unobserved_weight=st.floats(0.01, 1),
    seed=st.integers(0, 2**16),
)
def test_a_fit_gives_the_scores_of_a_fit_in_float64(
    m: int, n: int, dim: int, density: float, regularization: float, unobserved_weight: float, seed: int
) -> None:
    pairs = confidences(m, n, density, seed)
    weights = {"regularization": regularization, "unobserved_weight": unobserved_weight}
    section = SECTION.model_copy(update={"dim": dim} | weights)
    found = als.fit(pairs, section, seed=seed)
    dense = pairs.toarray()
    items = np.random.default_rng(seed).standard_normal((n, dim), np.float32) * np.float32(0.1 / np.sqrt(dim))
    items = np.where((dense > 0).any(axis=0)[:, None], items, 0).astype(np.float64)
    for _ in range(section.n_sweeps):
        users = textbook(dense, items, section)
        items = textbook(dense.T, users, section)
    np.testing.assert_allclose(found.users @ found.items.T, users @ items.T, rtol=0, atol=als.SCORES_TOLERANCE)


def test_the_loss_falls_with_every_sweep() -> None:
    pairs = confidences(60, 80, 0.1, seed=2)
    losses = [
        loss(pairs.toarray(), als.fit(pairs, SECTION.model_copy(update={"n_sweeps": n}), seed=3), SECTION) for n in (1, 2, 4, 8)
    ]
    assert losses == sorted(losses, reverse=True)


def test_the_seed_decides() -> None:
    pairs = confidences(40, 50, 0.1, seed=4)
    first, again, other = (als.fit(pairs, SECTION, seed=seed) for seed in (5, 5, 6))
    assert np.array_equal(first.users, again.users) and np.array_equal(first.items, again.items)
    assert not np.array_equal(first.users, other.users)


def test_rows_without_pairs_are_zero_and_progress_is_told() -> None:
    pairs = confidences(10, 12, 0.4, seed=7).toarray()
    pairs[3], pairs[:, 5] = 0, 0
    sweeps: list[int] = []
    factors = als.fit(sparse.csr_array(pairs), SECTION, seed=0, on_sweep=sweeps.append)
    assert not factors.users[3].any() and not factors.items[5].any()
    assert factors.users.dtype == factors.items.dtype == np.float32
    assert sweeps == [1, 2, 3, 4]


def test_it_recovers_planted_clusters() -> None:
    rng = np.random.default_rng(8)
    group_of_user, group_of_item = rng.integers(0, 4, 80), rng.integers(0, 4, 60)
    same = group_of_user[:, None] == group_of_item[None, :]
    pairs = sparse.csr_array((same & (rng.random(same.shape) < 0.5)).astype(np.float32))
    factors = als.fit(pairs, SECTION.model_copy(update={"n_sweeps": 8}), seed=0)
    scores = factors.users @ factors.items.T
    assert scores[same].mean() > 5 * abs(scores[~same].mean())


HU = SECTION.model_copy(update={"observed": "replaces", "unobserved_weight": 1.0, "frequency_exponent": 0.0})


def test_replacing_confidence_is_the_loss_of_hu_et_al() -> None:
    """Σ C (p − w·h)² with C = 1 + c where p = 1 and C = 1 where p = 0, its normal equations solved as written."""
    pairs = confidences(20, 30, 0.3, seed=9)
    fixed = np.random.default_rng(9).standard_normal((30, 6)).astype(np.float32)
    h, solved = fixed.astype(np.float64), als.solve_rows(pairs, fixed, HU)
    for row, confidence in enumerate(pairs.toarray().astype(np.float64)):
        weights, wanted = 1 + confidence, confidence > 0
        expected = np.linalg.solve((h.T * weights) @ h + HU.regularization * np.eye(6), h.T @ (weights * wanted))
        np.testing.assert_allclose(solved[row], expected if wanted.any() else 0, atol=1e-4)


@pytest.mark.parametrize("section", [SECTION, HU])
def test_the_loss_is_what_its_formula_says_on_a_dense_matrix(section: AlsSection) -> None:
    pairs = confidences(30, 40, 0.2, seed=10)
    factors = als.fit(pairs, section, seed=1)
    expected = loss(pairs.toarray(), factors, section)
    if section is HU:
        predicted = (factors.users.astype(np.float64) @ factors.items.T)[pairs.toarray() > 0]
        expected += ((predicted - 1) ** 2 - predicted**2).sum()
    assert als.loss(pairs, factors, section) == pytest.approx(expected, rel=1e-5)


def test_conjugate_gradients_reach_the_loss_of_exact_sweeps() -> None:
    pairs = confidences(60, 80, 0.2, seed=11)
    exact, quick = (
        als.loss(pairs, als.fit(pairs, section, seed=2), section)
        for section in (SECTION.model_copy(update={"solver": solver, "n_sweeps": 8}) for solver in ("exact", "cg"))
    )
    assert quick == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize("solver", ["exact", "cg"])
def test_a_fit_that_was_interrupted_goes_on_as_if_it_had_not_been(solver: str) -> None:
    pairs = confidences(30, 40, 0.2, seed=12)
    section = SECTION.model_copy(update={"solver": solver})
    after_two = als.fit(pairs, section.model_copy(update={"n_sweeps": 2}), seed=3)
    resumed = als.fit(pairs, section.model_copy(update={"n_sweeps": 2}), seed=3, start=after_two)
    at_once = als.fit(pairs, section, seed=3)
    assert np.array_equal(resumed.users, at_once.users) and np.array_equal(resumed.items, at_once.items)


def test_a_warm_start_needs_fewer_sweeps_than_a_cold_one() -> None:
    before, after = confidences(60, 80, 0.15, seed=13), confidences(60, 80, 0.15, seed=13).tolil()
    after[3, :10] = 1
    grown = sparse.csr_array(after, dtype=np.float32)
    old = als.fit(before, SECTION.model_copy(update={"n_sweeps": 20}), seed=4)
    one = SECTION.model_copy(update={"n_sweeps": 1})
    assert als.loss(grown, als.fit(grown, one, seed=4, start=old), one) < als.loss(
        grown, als.fit(grown, SECTION.model_copy(update={"n_sweeps": 3}), seed=4), one
    )
