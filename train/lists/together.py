"""Items bought together, counted: what else is in the baskets with an item.

    w(i, j) = Σ over baskets b with both of 1 / √|b|, over √n_i          n_i = baskets with i

A small basket says more about a pair than a large one, and an item in every basket says little about what follows. Unlike
`train/lists/npmi.py`, it does not discount targets that are bought often: most items that complete a basket are.
Cost: the sum of the squared basket sizes, so baskets beyond a size are left out.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from train.lists.item_lists import ItemLists, lists_of, strongest
from train.lists.npmi import spans_of
from train.threads import on_threads


def together_lists(baskets: sparse.csr_array, *, top: int) -> ItemLists:
    """For each item the `top` others with the largest w."""
    n_items = baskets.shape[1]
    if n_items == 0:
        return ItemLists(np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    sizes = np.diff(baskets.indptr)
    by_item = sparse.csr_array(baskets.T)
    n_baskets = np.diff(by_item.indptr)
    of_baskets = sparse.csr_array(sparse.diags_array(1 / np.sqrt(np.maximum(sizes, 1))) @ baskets)

    def block(span: slice) -> sparse.csr_array:
        counted = sparse.csr_array(by_item[span] @ of_baskets)
        degrees = np.diff(counted.indptr)
        sources = np.repeat(np.arange(len(degrees)), degrees)
        weights = counted.data / np.sqrt(n_baskets[span])[sources]
        weights[counted.indices == sources + span.start] = 0  # nothing follows from itself; what is 0 goes
        return strongest(
            sparse.csr_array((weights.astype(np.float32), counted.indices, counted.indptr), shape=counted.shape), top
        )

    return lists_of(on_threads(block, spans_of(by_item, sizes)))
