"""Which items have which values of an attribute, as one sparse matrix: the form that quorums and similarity compute with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from train.input.catalogue import Catalogue


@dataclass(frozen=True, slots=True, eq=False)
class ItemValues:
    """matrix: (n_items, n_values) float32 CSR, a 1 where the item has the value; an item may have none or several.

    values: the names of the columns, ascending.
    """

    matrix: sparse.csr_array
    values: tuple[str, ...]

    def shares(self) -> sparse.csr_array:
        """The matrix with each non-empty row summing to 1: an item with several values counts for each in part."""
        degrees = np.diff(self.matrix.indptr)
        data = np.repeat(1 / np.maximum(degrees, 1), degrees).astype(np.float32)
        return sparse.csr_array((data, self.matrix.indices, self.matrix.indptr), shape=self.matrix.shape)


def item_values(catalogue: Catalogue, attribute: str) -> ItemValues:
    """The values of a category attribute or, with several an item, of a `categories` attribute."""
    rows, columns, names = catalogue.members(attribute)
    matrix = sparse.csr_array((np.ones(len(rows), np.float32), (rows, columns)), shape=(len(catalogue), len(names)))
    matrix.data[:] = 1  # an item may have a value twice
    return ItemValues(matrix, tuple(names))
