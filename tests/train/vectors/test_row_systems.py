"""Both exact forms and conjugate gradients against one float64 normal equation at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from train.vectors import row_systems
from train.vectors.row_systems import RowSystems, improve, solve_exactly


def systems_of(m: int, n: int, dim: int, density: float, seed: int) -> RowSystems:
    rng = np.random.default_rng(seed)
    weights = sparse.csr_array(np.where(rng.random((m, n)) < density, rng.uniform(0.1, 3, (m, n)), 0).astype(np.float32))
    return RowSystems(
        weights=weights,
        pulls=rng.standard_normal(weights.nnz).astype(np.float32),
        vectors=rng.standard_normal((n, dim)).astype(np.float32),
        base=rng.uniform(0.1, 1, dim).astype(np.float32),
        ridge=rng.uniform(0, 1, m).astype(np.float32),
    )


def textbook(systems: RowSystems) -> np.ndarray:
    vectors = systems.vectors.astype(np.float64)
    solved = np.zeros((systems.weights.shape[0], vectors.shape[1]))
    for row in range(len(solved)):
        mine = slice(systems.weights.indptr[row], systems.weights.indptr[row + 1])
        v = vectors[systems.weights.indices[mine]]
        if len(v):
            left = np.diag(systems.base + systems.ridge[row].astype(np.float64)) + (v.T * systems.weights.data[mine]) @ v
            solved[row] = np.linalg.solve(left, v.T @ systems.pulls[mine])
    return solved


@settings(deadline=None, max_examples=40)
@given(m=st.integers(1, 30), n=st.integers(1, 40), dim=st.integers(2, 12), density=st.floats(0, 1), seed=st.integers(0, 2**16))
def test_the_exact_solution_is_the_textbook_one(m: int, n: int, dim: int, density: float, seed: int) -> None:
    systems = systems_of(m, n, dim, density, seed)
    np.testing.assert_allclose(solve_exactly(systems), textbook(systems), atol=2e-4, rtol=2e-3)


def test_conjugate_gradients_are_exact_after_as_many_steps_as_dimensions() -> None:
    systems = systems_of(40, 50, 6, 0.3, seed=1)
    start = np.random.default_rng(2).standard_normal((40, 6)).astype(np.float32)
    np.testing.assert_allclose(improve(systems, start, n_steps=12), textbook(systems), atol=1e-3, rtol=1e-2)


def test_every_step_of_conjugate_gradients_comes_closer() -> None:
    systems = systems_of(40, 50, 10, 0.3, seed=3)
    start, exact = np.zeros((40, 10), np.float32), textbook(systems)
    errors = [np.abs(improve(systems, start, n_steps=n) - exact).mean() for n in (1, 2, 3, 5)]
    assert errors == sorted(errors, reverse=True)


def test_a_start_at_the_solution_stays_there() -> None:
    systems = systems_of(20, 30, 8, 0.4, seed=4)
    exact = solve_exactly(systems)
    np.testing.assert_allclose(improve(systems, exact, n_steps=3), exact, atol=1e-4)


@pytest.mark.parametrize("floats", [1, 500])
def test_the_size_of_batches_changes_nothing_but_rounding(monkeypatch: pytest.MonkeyPatch, floats: int) -> None:
    systems = systems_of(50, 60, 6, 0.2, seed=5)
    at_once = solve_exactly(systems)
    monkeypatch.setattr(row_systems, "_BATCH_FLOATS", floats)
    np.testing.assert_allclose(solve_exactly(systems), at_once, atol=1e-5)


def test_rows_without_pairs_are_zero() -> None:
    systems = systems_of(5, 6, 3, 0.0, seed=6)
    assert not solve_exactly(systems).any()
    assert not improve(systems, np.ones((5, 3), np.float32), n_steps=2).any()
