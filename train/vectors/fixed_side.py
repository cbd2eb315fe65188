"""The side of a factorisation that is fixed while the other is solved: what all rows' least-squares problems have in common.

In the eigenbasis of the side's Gram matrix, the pull of all unobserved pairs towards 0 is a diagonal; so the problem of a row
is its own pairs and a diagonal, which `train/vectors/row_systems.py` solves. Making a side costs n dim²; solving rows against
it, only their pairs. A full fit makes one for each half-sweep, steps between fits keep one (`train/vectors/als_steps.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cluster.config.train import AlsSection
from train.vectors.row_blocks import Matrix, gram, times
from train.vectors.row_systems import RowSystems, improve, solve_exactly


@dataclass(frozen=True, slots=True, eq=False)
class FixedSide:
    """rotated: (n, dim) vectors in the eigenbasis, zeros for rows that do not speak.  basis: (dim, dim) orthonormal columns.
    eigenvalues: (dim,) float64, none negative.  n_active: rows that are not zero.
    """

    section: AlsSection
    rotated: Matrix
    basis: Matrix
    eigenvalues: NDArray[np.float64]
    n_active: int

    @classmethod
    def of(cls, vectors: Matrix, section: AlsSection) -> FixedSide:
        """The side with these (n, dim) float32 vectors."""
        eigenvalues, basis = np.linalg.eigh(gram(vectors))
        basis = basis.astype(np.float32)
        n_active = int(np.count_nonzero(vectors.any(axis=1)))
        return cls(section, times(vectors, basis), basis, np.maximum(eigenvalues, 0), n_active)

    def solve(self, pairs: sparse.csr_array, *, start: Matrix | None = None) -> Matrix:
        """The best vector of every row of `pairs` (m, n), confidences > 0: (m, dim) float32, zeros for a row without a pair.

        Without `start` (m, dim) the solution is exact; with it and `solver = "cg"`, it is `cg_steps` steps better than `start`.
        """
        return times(self.solve_rotated(pairs, start=start), self.basis.T)

    def solve_rotated(self, pairs: sparse.csr_array, *, start: Matrix | None = None) -> Matrix:
        """The same vectors in the eigenbasis, as `rotated` is. `start` is not."""
        a = np.float32(self.section.unobserved_weight)
        systems = RowSystems(
            weights=pairs,
            pulls=pairs.data + a if self.section.observed == "replaces" else pairs.data,
            vectors=self.rotated,
            base=(self.section.unobserved_weight * self.eigenvalues).astype(np.float32),
            ridge=ridge(pairs, n_other=self.n_active, section=self.section),
        )
        if start is None or self.section.solver == "exact":
            return solve_exactly(systems)
        return improve(systems, times(start, self.basis), n_steps=self.section.cg_steps)

    def only(self, rows: NDArray[np.integer]) -> FixedSide:
        """The side for pairs with only these rows, renumbered. The pull of all rows towards 0 stays."""
        return replace(self, rotated=self.rotated[rows])

    def with_rows(self, rows: NDArray[np.integer], vectors: Matrix) -> FixedSide:
        """The side in which some rows speak by other (m, dim) vectors where they are in a pair.

        What they add to the Gram matrix is left out: for a hundredth of the rows, a hundredth of a small weight.
        """
        rotated = self.rotated.copy()
        rotated[rows] = vectors @ self.basis
        return replace(self, rotated=rotated)


def ridge(pairs: sparse.csr_array, *, n_other: int, section: AlsSection) -> NDArray[np.float32]:
    """λ of each row of `pairs`, (m,) float32. n_other: rows of the other side that have pairs."""
    degrees = np.diff(pairs.indptr).astype(np.float64)
    scale = (degrees + section.unobserved_weight * n_other) ** section.frequency_exponent
    ridges: NDArray[np.float32] = (section.regularization * scale).astype(np.float32)
    return ridges
