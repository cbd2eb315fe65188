"""Compares two answers to one request: items that came, went and moved, and the stage that caused it. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cluster.partition import item_key
from deploy.replay.play import Played
from router.replay.logged import Shown

Change = Literal["came", "went", "moved"]
Stage = Literal["retrieve", "rank", "slate"]
"""retrieve: the item is a candidate only one of the two times.  rank: its place in the order of ranking decided.
slate: the order alone would have left it where it was.
"""


@dataclass(frozen=True, slots=True)
class Changed:
    """One item that is not where it was. before, after: its rank in the slate, 0 for none.  ranked_*: its place from 1 in the
    order of ranking, 0 where it was no candidate.  rule: of the slate, if one keeps it back afterwards.
    """

    item_id: str | int
    change: Change
    stage: Stage
    before: int
    after: int
    ranked_before: int
    ranked_after: int
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """equal: the same items in the same places with the same scores and propensities, bit for bit.  n_kept: items in both.

    rescored: the same items in the same places, and other scores or propensities.  n_agreeing of n_candidates, notes,
    excuse: as in `Played`.
    """

    equal: bool
    rescored: bool
    n_kept: int
    changed: tuple[Changed, ...]
    n_candidates: int
    n_agreeing: int | None
    notes: tuple[str, ...] = ()
    excuse: str = ""


def difference(before: Played, after: Played) -> Difference:
    """Items that came or went first, then those that moved, each in the order of the slates."""
    old = {one.item_id: rank for rank, one in enumerate(before.items, 1)}
    new = {one.item_id: rank for rank, one in enumerate(after.items, 1)}
    places_before, places_after = _places(before), _places(after)
    k = max(len(old), len(new))
    came = [item for item in new if item not in old]
    went = [item for item in old if item not in new]
    moved = [item for item in new if item in old and old[item] != new[item]]

    def changed(item: str | int, change: Change) -> Changed:
        key = item_key(item)
        was, now = places_before.get(key, 0), places_after.get(key, 0)
        return Changed(
            item,
            change,
            _stage(change, was, now, k),
            before=old.get(item, 0),
            after=new.get(item, 0),
            ranked_before=was,
            ranked_after=now,
            rule=_rule(after, key, k) if change == "went" else "",
        )

    same_places = not (came or went or moved)
    equal = same_places and [_bits(one) for one in before.items] == [_bits(one) for one in after.items]
    return Difference(
        equal=equal,
        rescored=same_places and not equal,
        n_kept=len(old) - len(went),
        changed=(
            *(changed(item, "came") for item in came),
            *(changed(item, "went") for item in went),
            *(changed(item, "moved") for item in moved),
        ),
        n_candidates=len(after.candidates),
        n_agreeing=after.n_agreeing,
        notes=after.notes,
        excuse=after.excuse,
    )


def _stage(change: Change, was: int, now: int, k: int) -> Stage:
    if not was or not now:
        return "retrieve"
    if change == "moved":
        return "rank" if was != now else "slate"
    out, within = (was, now) if change == "came" else (now, was)
    return "rank" if out > k and out > within else "slate"


def _rule(played: Played, key: int, k: int) -> str:
    at = np.flatnonzero(played.candidates.keys == key)
    if played.slate is None or len(at) == 0:
        return ""
    reason = played.slate.reason(int(at[0]), k)
    return "" if reason == "below_cutoff" else reason


def _places(played: Played) -> dict[int, int]:
    return {key: place for place, key in enumerate(played.candidates.keys[played.order].tolist(), 1)}


def _bits(shown: Shown) -> tuple[str | int, bytes]:
    return shown.item_id, struct.pack("<fd", shown.score, shown.propensity)
