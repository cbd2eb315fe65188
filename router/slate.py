"""Business rules on the ranked list: what may not be shown, and how much of one group may. Pure.

A slate is the whole ranked list put in its final order, of which the first k are shown and the rest are the reserve.
A cap is a preference about places, not a filter: items over the cap stand behind everything else, so they are shown only
when nothing else is left, and the slate is never short because of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.config import SlateSection
from cluster.types import NO_KEYS, Candidates, Floats, Keys
from router.rank import Ranked


@dataclass(frozen=True, slots=True, eq=False)
class Slate:
    """sequence: (s,) positions in the candidates, in their final order.  scores: (s,) float32, aligned with it.

    n_within_cap: the items from this place on are over the cap.  removed: ranked items not among the first k, by reason.
    """

    candidates: Candidates
    sequence: NDArray[np.intp]
    scores: Floats
    n_within_cap: int
    removed: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.sequence)


def compose(
    candidates: Candidates, ranked: Ranked, k: int, *, exclude: Keys, section: SlateSection, shown: Keys = NO_KEYS
) -> Slate:
    """The slate of the ranked candidates.

    exclude: keys ascending and unique; the shards left them out already, this is the second look.  shown: groups of
    items that are already in the slate, one entry an item, when this one only completes it.
    """
    order = ranked.order.astype(np.intp)
    allowed = np.flatnonzero(~_contains(exclude, candidates.keys[order])) if len(exclude) else np.arange(len(order))
    if section.cap_by and candidates.facts is not None:
        over = _ordinals(candidates.facts[order[allowed], 0], shown) >= section.cap
        places = np.concatenate((allowed[~over], allowed[over]))
        n_over = int(np.count_nonzero(over))
    else:
        places, n_over = allowed, 0
    n_within = len(places) - n_over
    n_shown = min(k, len(places))
    return Slate(
        candidates,
        sequence=order[places],
        scores=ranked.scores[places],
        n_within_cap=n_within,
        removed={
            "excluded": len(order) - len(allowed),
            "over_cap": n_over - max(0, n_shown - n_within),
            "below_cutoff": n_within - min(n_shown, n_within),
        },
    )


def _contains(sorted_keys: Keys, keys: Keys) -> NDArray[np.bool_]:
    at = np.searchsorted(sorted_keys, keys)
    at[at == len(sorted_keys)] = 0
    found: NDArray[np.bool_] = sorted_keys[at] == keys
    return found


def _ordinals(groups: Keys, shown: Keys) -> NDArray[np.intp]:
    """For each item how many of its group come before it, those already shown included. Group 0 is no group: always 0."""
    every = np.concatenate((shown, groups))
    by_group = np.argsort(every, kind="stable")
    sorted_groups = every[by_group]
    starts = np.flatnonzero(np.concatenate(([True], sorted_groups[1:] != sorted_groups[:-1])))
    sizes = np.diff(np.append(starts, len(every)))
    ordinals = np.empty(len(every), np.intp)
    ordinals[by_group] = np.arange(len(every)) - np.repeat(starts, sizes)
    ordinals[every == 0] = 0
    return ordinals[len(shown) :]
