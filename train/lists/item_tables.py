"""The item tables of a generation as of a moment: which items have lists, and what the lists are computed from.

    ease        what histories imply (`train/lists/ease.py`), for the items bought most
    npmi        items bought together, in a basket or at one time (`train/lists/npmi.py`)
    together    what else is in baskets with an item, counted (`train/lists/together.py`)
    content     items that resemble an item and sell (`train/lists/similarity.py`), for items that anybody consumed; likeness
                does not depend on the moment, sales do
    als, two_tower
                nearest items by cosine in a space, among items that enough users bought for their vectors to mean something

Every table is deterministic, knows no event after the moment, and refers to the rows of the catalogue.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cluster.config.sections import Config
from cluster.config.train import ContentSection, EaseSection, NearSection, NpmiSection, TogetherSection
from train.input.catalogue import Catalogue
from train.input.event_log import EventLog
from train.input.interactions import Interactions
from train.input.item_values import ItemValues, item_values
from train.lists.ease import EaseSettings, ease_lists
from train.lists.item_lists import ItemLists
from train.lists.npmi import NpmiSettings, npmi_lists, visit_baskets
from train.lists.similarity import (
    AttributeSettings,
    appeal,
    representatives,
    reranked,
    similar_by_attributes,
    similar_by_vectors,
)
from train.lists.together import together_lists

_SPARE = 2  # lists are made so many times longer than wanted, for the re-ranking to choose from

Floats = NDArray[np.float32]


def ease_table(pairs: Interactions, section: EaseSection) -> ItemLists:
    settings = EaseSettings(
        section.regularization, section.dropout, section.user_exponent, section.top, n_items_max=section.n_items_max
    )
    return ease_lists(pairs.matrix(pairs.weights), settings)


def npmi_table(log: EventLog, section: NpmiSection, *, as_of: int) -> ItemLists:
    baskets = visit_baskets(log.as_of(as_of), items_max=section.basket_items_max)
    return npmi_lists(baskets, NpmiSettings(section.support_min, section.top, section.basket_items_max))


def together_table(log: EventLog, section: TogetherSection, *, as_of: int) -> ItemLists:
    return together_lists(visit_baskets(log.as_of(as_of), items_max=section.basket_items_max), top=section.top)


def near_table(vectors: Floats, pairs: Interactions, section: NearSection) -> ItemLists:
    """vectors: (n_items, dim) float32."""
    n_consumers = _n_consumers(pairs)
    known = np.flatnonzero((n_consumers >= section.consumers_min) & representatives(n_consumers, section.n_items_max))
    part = similar_by_vectors(np.ascontiguousarray(vectors[known]), top=section.top)
    lengths = np.zeros(pairs.n_items, np.int64)
    lengths[known] = np.diff(part.starts)
    return ItemLists(np.concatenate(([0], np.cumsum(lengths))), known[part.targets].astype(np.int32), part.weights)


def content_sources(log: EventLog, pairs: Interactions, section: ContentSection) -> NDArray[np.bool_]:
    """The items likeness is computed for, (n_items,): those that anybody ever bought, whatever the moment, so that moments can
    share it; or if they are too many, those bought by most users as of the moment of `pairs`. All, or the first ones, where
    nothing was ever bought: then only requests tell of items.
    """
    ever = np.zeros(log.n_items, bool)
    for chunk in log.chunks():
        ever[chunk.items] = True
    n_consumers = _n_consumers(pairs)
    if not ever.any():
        return representatives(n_consumers, section.n_lists_max)
    if np.count_nonzero(ever) <= section.n_lists_max:
        return ever
    return representatives(n_consumers, section.n_lists_max) & (n_consumers > 0)


def content_likeness(catalogue: Catalogue, sources: NDArray[np.bool_], config: Config) -> ItemLists:
    """From content vectors or, lacking them, from attributes, of which there must be some (`content_weights`)."""
    section, top = config.train.content, _SPARE * config.train.content.top
    if catalogue.content is not None:
        return similar_by_vectors(catalogue.content, top=top, sources=sources)
    weights = content_weights(config)
    values = {name: item_values(catalogue, name) for name in weights}
    return similar_by_attributes(values, AttributeSettings(weights, section.frequent_share, top), sources=sources)


def content_table(likeness: ItemLists, catalogue: Catalogue, pairs: Interactions, config: Config) -> ItemLists:
    """Likeness re-ranked by what sells: cosine · appeal^exponent.

    A list is kept for items that anybody consumed, which is what histories hold, or for all if nobody consumed any; a target
    needs no consumer, which is how new items get in.
    """
    section = config.train.content
    bought = np.asarray(np.bincount(pairs.items, pairs.weights, minlength=pairs.n_items), np.float64)
    kinds = [ItemValues(sparse.csr_array((pairs.n_items, 0), dtype=np.float32), ())]
    kinds += [item_values(catalogue, name) for name in content_weights(config)]
    appeals = appeal(bought, max(kinds, key=lambda values: len(values.values)), prior=section.appeal_prior)
    consumed = _n_consumers(pairs) > 0
    lists = likeness.only_sources(consumed) if consumed.any() else likeness
    return reranked(lists, appeals, exponent=section.appeal_exponent, top=section.top)


def content_weights(config: Config) -> dict[str, float]:
    """The attributes that content is made of: the configured ones, else every category, else every set of categories, at 1."""
    return dict(config.train.content.weights) or dict.fromkeys(config.catalog.category or config.catalog.categories, 1.0)


def save_lists(lists: ItemLists, folder: Path) -> None:
    for name in ("starts", "targets", "weights"):
        np.save(folder / f"{name}.npy", getattr(lists, name))


def load_lists(folder: Path) -> ItemLists:
    """Mapped, not read."""
    return ItemLists(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("starts", "targets", "weights")))


def _n_consumers(pairs: Interactions) -> NDArray[np.int64]:
    return np.bincount(pairs.items, minlength=pairs.n_items)
