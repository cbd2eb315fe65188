"""Normalised pointwise mutual information of items over baskets or sessions: which items go together.

    npmi(i, j) = ln(p_ij / (p_i p_j)) / −ln p_ij       in (0, 1] for pairs that occur together more often than by chance
    p_ij = baskets with both / all baskets,  p_i = baskets with i / all baskets                        (Bouma, GSCL 2009)

Rare pairs look certain by accident, so a pair needs a minimum number of common baskets. Cost: the sum of the squared basket
sizes. Baskets beyond a size say little about any pair and cost the most, so they are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from train.input.event_log import NO_CONTEXT, EventLog
from train.lists.item_lists import ItemLists, lists_of, strongest
from train.threads import on_threads

_BLOCK_PAIRS = 8 << 20


@dataclass(frozen=True, slots=True)
class NpmiSettings:
    """support_min: common baskets a pair needs.  top: entries kept for each item.  basket_items_max: of one basket."""

    support_min: int = 3
    top: int = 100
    basket_items_max: int = 1_000


def npmi_lists(baskets: sparse.csr_array, settings: NpmiSettings) -> ItemLists:
    """For each item the others with npmi > 0 and enough support, weights npmi. baskets: (n_baskets, n_items), 1 for an item."""
    n_baskets, n_items = baskets.shape
    by_item = sparse.csr_array(baskets.T)
    occurrences = np.diff(by_item.indptr).astype(np.float64)
    if n_items == 0:
        return ItemLists(np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))

    def block(span: slice) -> sparse.csr_array:
        together = by_item[span] @ baskets
        return strongest(_npmi(together, span.start, occurrences, n_baskets, settings.support_min), settings.top)

    return lists_of(on_threads(block, spans_of(by_item, np.diff(baskets.indptr))))


def visit_baskets(log: EventLog, *, items_max: int) -> sparse.csr_array:
    """The baskets of the view: a user's events of one context or, where none is known, of one time."""
    groups, items = [], []
    n_baskets = 0
    for chunk in log.chunks():
        known = chunk.contexts != NO_CONTEXT
        visits = np.where(known, chunk.contexts, chunk.times)
        order = np.lexsort((visits, known, chunk.users))
        columns = [column[order] for column in (chunk.users, known, visits)]
        new = np.ones(len(order), bool)
        new[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
        groups.append(n_baskets + np.cumsum(new) - 1)
        items.append(chunk.items[order])
        n_baskets += int(np.count_nonzero(new))
    return baskets_of(np.concatenate(groups), np.concatenate(items), n_items=log.n_items, items_max=items_max)


def baskets_of(groups: NDArray[np.integer], items: NDArray[np.integer], *, n_items: int, items_max: int) -> sparse.csr_array:
    """Aligned (e,) group numbers, as of a context id, and item rows; repeats within a group count once."""
    _, numbers = np.unique(groups, return_inverse=True)
    shape = (int(numbers.max()) + 1 if len(numbers) else 0, n_items)
    matrix = sparse.csr_array((np.ones(len(items), np.float32), (numbers, items)), shape=shape)
    matrix.data[:] = 1
    return matrix[np.diff(matrix.indptr) <= items_max]


def _npmi(
    together: sparse.csr_array, first: int, occurrences: NDArray[np.float64], n_baskets: int, support_min: int
) -> sparse.csr_array:
    """Rows of common-basket counts, of the items from `first` on, as npmi; what is below the support or 0 is left out."""
    degrees = np.diff(together.indptr)
    row_of = np.repeat(np.arange(first, first + len(degrees)), degrees)
    kept = (together.data >= support_min) & (together.indices != row_of)
    counts, rows, columns = together.data[kept].astype(np.float64), row_of[kept], together.indices[kept]
    lift = np.log(counts * n_baskets / (occurrences[rows] * occurrences[columns]))
    certainty = -np.log(counts / n_baskets)  # 0 for a pair that is in every basket; its lift is 0 too
    values = np.maximum(lift, 0) / np.maximum(certainty, np.finfo(np.float32).tiny)
    starts = np.searchsorted(rows, np.arange(first, first + len(degrees) + 1))
    return sparse.csr_array((values.astype(np.float32), columns, starts), shape=together.shape)


def spans_of(by_item: sparse.csr_array, sizes: NDArray[np.integer]) -> Iterator[slice]:
    """Consecutive items whose baskets hold at most a bounded number of items in all: what a block's product may have."""
    cost = np.zeros(by_item.shape[0] + 1, np.int64)
    per_pair = np.concatenate(([0], np.cumsum(sizes[by_item.indices], dtype=np.int64)))
    cost[:] = per_pair[by_item.indptr]
    begin = 0
    while begin < by_item.shape[0]:
        end = int(np.searchsorted(cost, cost[begin] + _BLOCK_PAIRS, side="right")) - 1
        end = max(end, begin + 1)
        yield slice(begin, end)
        begin = end
