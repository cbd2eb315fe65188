"""Content item-to-item lists: items that are alike by their content, so that items nobody bought yet take part.

From content vectors: cosine, exact, by blocks of BLAS. Without vectors, from attributes: cosine of the items' weighted values,

    sim(i, j) = Σ_v x_iv x_jv,   x_iv ∝ w_attribute · ln(n / items with v),   |x_i| = 1

over the values both have. A value that a large part of the catalogue shares (a department, a house brand) says little and
would make every pair a candidate: values above `frequent_share` are left out, as stop words are, and every pair that shares a
rarer one is scored exactly. Numeric attributes take no part unless the caller bins them.

Lists may be re-ranked by a non-personal estimate of the target action (`appeal`), and kept for representative items only when
there are too many (`representatives`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from train.input.item_values import ItemValues
from train.lists.item_lists import ItemLists, lists_of, strongest, strongest_of_dense
from train.threads import on_threads

_BLOCK_FLOATS = 8 << 20  # in each thread
_BLOCK_PAIRS = 8 << 20

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class AttributeSettings:
    """weights: attribute -> w > 0, for those that take part.  frequent_share: of the items, above which a value is left out.

    top: entries kept for each item.
    """

    weights: Mapping[str, float]
    frequent_share: float = 0.05
    top: int = 100


def similar_by_vectors(vectors: Floats, *, top: int, sources: NDArray[np.bool_] | None = None) -> ItemLists:
    """The `top` items of largest positive cosine for each item, or for those with sources[i]. vectors: (n, dim) float32.

    A zero vector resembles nothing. Cost: 2 n² dim flops and n² comparisons; memory 128 MiB a thread.
    """
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    n = len(unit)
    asked = np.arange(n) if sources is None else np.flatnonzero(sources)
    size = max(1, _BLOCK_FLOATS // max(n, 1))

    def block(rows: NDArray[np.intp]) -> sparse.csr_array:
        cosines = unit[rows] @ unit.T
        cosines[np.arange(len(rows)), rows] = 0
        return strongest_of_dense(np.maximum(cosines, 0), top)

    parts = (asked[begin : begin + size] for begin in range(0, len(asked), size))
    return _spread(on_threads(block, parts), asked, n)


def similar_by_attributes(
    values: Mapping[str, ItemValues], settings: AttributeSettings, *, sources: NDArray[np.bool_] | None = None
) -> ItemLists:
    """The `top` items of largest similarity for each item, or for those with sources[i], from each attribute's values."""
    weighted = attribute_vectors(values, settings)
    n = weighted.shape[0]
    asked = np.arange(n) if sources is None else np.flatnonzero(sources)
    by_value = sparse.csr_array(weighted.T)
    spans = _spans(weighted, by_value, asked)
    return _spread(on_threads(lambda rows: _similar(weighted, by_value, rows, settings.top), spans), asked, n)


def attribute_vectors(values: Mapping[str, ItemValues], settings: AttributeSettings) -> sparse.csr_array:
    """x: (n_items, values of all attributes) float32 CSR, rows of length 1, or 0 for an item with frequent values only."""
    parts = []
    for name, weight in settings.weights.items():
        matrix = values[name].matrix
        n = matrix.shape[0]
        counts = np.bincount(matrix.indices, minlength=matrix.shape[1])
        telling = (counts > 0) & (counts <= settings.frequent_share * n)
        idf = np.where(telling, weight * np.log(n / np.maximum(counts, 1)), 0)
        part = sparse.csr_array((idf[matrix.indices].astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)
        part.eliminate_zeros()
        parts.append(part)
    joined = sparse.csr_array(sparse.hstack(parts))
    norms = np.sqrt(np.asarray(joined.multiply(joined).sum(axis=1)))
    return sparse.csr_array(sparse.diags_array((1 / np.where(norms > 0, norms, 1)).astype(np.float32)) @ joined)


def appeal(bought: NDArray[np.floating], categories: ItemValues, *, prior: float) -> NDArray[np.float64]:
    """How much an item is bought, for items of its kind: (n_items,) > 0, about 1 on average.

    (bought_i + prior · typical_i) / ((1 + prior) mean), where typical is the mean of `bought` (n_items,) over the items of i's
    categories: a model of the target action from content, corrected by what little is known of the item itself. All 1 where
    nothing was bought.
    """
    if not bought.any():
        return np.ones(len(bought))
    shares = categories.shares()
    n_members = np.asarray(shares.sum(axis=0))
    tiny = float(np.finfo(np.float32).tiny)
    mean = max(float(bought.mean()), tiny)
    per_category = (shares.T @ bought) / np.maximum(n_members, tiny)
    known = np.diff(shares.indptr) > 0
    typical = np.where(known, shares @ per_category, mean)
    appeals: NDArray[np.float64] = (bought + prior * typical) / ((1 + prior) * mean) + tiny
    return appeals


def reranked(lists: ItemLists, appeals: NDArray[np.floating], *, exponent: float, top: int) -> ItemLists:
    """Weights times appeal_j^exponent, then the `top` of each list: of what resembles an item, first what people want."""
    weights = (lists.weights * appeals[lists.targets] ** exponent).astype(np.float32)
    scored = sparse.csr_array((weights, lists.targets, lists.starts), shape=(lists.n_items, lists.n_items))
    return lists_of([strongest(scored, top)])


def representatives(n_consumers: NDArray[np.integer], n_max: int) -> NDArray[np.bool_]:
    """The items that keep a list, (n,): the n_max with most consumers, of equal ones the smaller row.

    A list is looked up for items of a history, so no other choice of n_max answers more (user, item) pairs.
    """
    kept = np.zeros(len(n_consumers), bool)
    kept[np.lexsort((np.arange(len(kept)), -n_consumers))[:n_max]] = True
    return kept


def _similar(x: sparse.csr_array, by_value: sparse.csr_array, rows: NDArray[np.intp], top: int) -> sparse.csr_array:
    product = sparse.csr_array(x[rows] @ by_value)
    own = np.repeat(rows, np.diff(product.indptr)) == product.indices
    product.data[own] = 0
    return strongest(product, top)


def _spans(x: sparse.csr_array, by_value: sparse.csr_array, asked: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """The asked rows in blocks whose product has a bounded number of terms."""
    lengths = np.diff(by_value.indptr)
    terms = np.concatenate(([0], np.cumsum(lengths[x.indices], dtype=np.int64)))
    cost = np.cumsum(terms[x.indptr[asked + 1]] - terms[x.indptr[asked]])
    begin = 0
    while begin < len(asked):
        spent = cost[begin - 1] if begin else 0
        end = max(int(np.searchsorted(cost, spent + _BLOCK_PAIRS, side="right")), begin + 1)
        yield asked[begin:end]
        begin = end


def _spread(blocks: Iterable[sparse.csr_array], asked: NDArray[np.intp], n: int) -> ItemLists:
    """Lists of the asked items as lists of all n, empty for the others."""
    if not len(asked):
        return ItemLists(np.zeros(n + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    part = lists_of(blocks)
    lengths = np.zeros(n, np.int64)
    lengths[asked] = np.diff(part.starts)
    return ItemLists(np.concatenate(([0], np.cumsum(lengths))), part.targets, part.weights)
