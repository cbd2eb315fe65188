"""What the peers of the `filter` bench have in common, and the simplest of them.

A peer is built once per vector set, told all masks beforehand, and tuned per case: of its settings the fastest that
reaches the recall target, or, if none does, the one with the best recall.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bench.tools.vectors import VectorSet
from cluster.types import Floats

Bits = NDArray[np.bool_]
Found = Sequence[int] | NDArray[np.integer]
Search = Callable[[Floats], Found]
EVERY = "100%"


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to ask a peer: how it is called in print, and the search itself: (dim,) query to rows, best first."""

    label: str
    search: Search


class Peer(Protocol):
    """One engine over one vector set and its masks, by name; the mask EVERY means no filter."""

    name: str

    def families(self, mask: str, k: int) -> Iterator[Iterator[Setting]]:
        """Kinds of settings worth trying, each from the fastest to the most thorough."""


class PlainExact:
    """Gather the eligible rows, multiply, partition: what takes ten lines of numpy. Row lists are made beforehand."""

    name = "exact, numpy"

    def __init__(self, vectors: VectorSet, masks: Mapping[str, Bits]) -> None:
        self._items = vectors.items
        self._rows = {name: np.flatnonzero(bits) for name, bits in masks.items()}

    def families(self, mask: str, k: int) -> Iterator[Iterator[Setting]]:
        """The one way there is."""
        items, rows = self._items, None if mask == EVERY else self._rows[mask]

        def search(query: Floats) -> NDArray[np.integer]:
            scores = items @ query if rows is None else items.take(rows, axis=0) @ query
            if len(scores) > k:
                at = np.argpartition(scores, -k)[-k:]
                at = at[np.argsort(-scores[at])]
            else:
                at = np.argsort(-scores)
            _ = scores[at]  # as every other engine returns them
            return at if rows is None else rows[at]

        yield iter([Setting("", search)])


def recall_of(found: Found, truth: NDArray[np.integer]) -> float:
    """The share of the truth that was found."""
    return len(np.intersect1d(np.asarray(found, np.int64), truth)) / len(truth)


def tune(peer: Peer, mask: str, queries: Floats, truth: NDArray[np.int64], *, target: float, patience_us: float) -> Setting:
    """The fastest setting that reaches the recall target, or the most thorough one tried.

    queries: (q, dim).  truth: (q, min(k, eligible)) rows.  patience_us: a search slower than this ends its family.
    """
    reached: tuple[float, Setting] | None = None
    best: tuple[float, Setting] | None = None
    for family in peer.families(mask, truth.shape[1]):
        for setting in family:
            recall, took_us = _trial(setting, queries, truth)
            if best is None or recall > best[0]:
                best = recall, setting
            if recall >= target and (reached is None or took_us < reached[0]):
                reached = took_us, setting
            if recall >= target or took_us > patience_us or (reached is not None and took_us > reached[0]):
                break
    assert best is not None, f"{peer.name} has no settings"
    return best[1] if reached is None else reached[1]


def _trial(setting: Setting, queries: Floats, truth: NDArray[np.int64]) -> tuple[float, float]:
    recalls, took = [], []
    for query, best in zip(queries, truth, strict=True):
        start = time.perf_counter()
        found = setting.search(query)
        took.append(time.perf_counter() - start)
        recalls.append(recall_of(found, best))
    return float(np.mean(recalls)), float(np.median(took)) * 1e6
