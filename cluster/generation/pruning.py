"""Removes old generations, but not the newest, the active one, or those that a process holds; and remembers the removed ones.

The ids of removed generations are kept until their data elsewhere, such as their users, is gone as well.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cluster.errors import GenerationError, GenerationMissing
from cluster.generation.holding import Hold
from cluster.generation.names import is_generation_id
from cluster.generation.reading import Generation
from cluster.generation.storage import REMOVING, current_id, generation_ids, generations_folder, no_step, sync, waiting_lock

_RETIRED = ".retired"


class Pruned(NamedTuple):
    """removed: ids, the newest first.  held: ids that were not removed because a process uses them."""

    removed: tuple[str, ...]
    held: tuple[str, ...]


def prune(storage_path: str | os.PathLike[str], keep: int) -> Pruned:
    """Remove all but the `keep` newest generations (by their manifest's time), never the active one nor one that is held."""
    assert keep >= 1, f"must keep at least one generation, got {keep}"
    try:
        active = current_id(storage_path)
    except GenerationMissing:
        active = ""
    folder = generations_folder(storage_path)
    newest_first = sorted(generation_ids(storage_path), key=lambda i: (_created(folder / i), i), reverse=True)
    removed: list[str] = []
    held: list[str] = []
    for generation_id in newest_first[keep:]:
        if generation_id != active:
            (removed if _remove(Path(storage_path), generation_id) else held).append(generation_id)
    return Pruned(tuple(removed), tuple(held))


def retired(storage_path: str | os.PathLike[str]) -> list[str]:
    """The generations that were removed since `settle_retired` last named them."""
    try:
        lines = (generations_folder(storage_path) / _RETIRED).read_text().splitlines()
    except FileNotFoundError:
        return []
    there = set(generation_ids(storage_path))
    return [line for line in dict.fromkeys(lines) if is_generation_id(line) and line not in there]


def settle_retired(storage_path: str | os.PathLike[str], generation_ids: Iterable[str]) -> None:
    """Forget the ids of these generations, of which nothing is left anywhere."""
    with waiting_lock(Path(storage_path)):
        left = [one for one in retired(storage_path) if one not in set(generation_ids)]
        _write_retired(Path(storage_path), left)


def _remove(storage: Path, generation_id: str) -> bool:
    """Whether it could be removed."""
    folder = generations_folder(storage)
    try:
        hold = Hold.alone(folder / generation_id)
        if hold is None:
            return False
    except GenerationMissing:  # a folder without a manifest is served by nobody
        hold = None
    try:
        with waiting_lock(storage):
            _write_retired(storage, [*retired(storage), generation_id])
        aside = folder / f"{REMOVING}{generation_id}"
        (folder / generation_id).rename(aside)
        sync(folder, no_step)  # or a power cut could bring the name back over a folder half removed
        shutil.rmtree(aside)
    finally:
        if hold is not None:
            hold.release()
    return True


def _write_retired(storage: Path, ids: Iterable[str]) -> None:
    folder = generations_folder(storage)
    aside = folder / f"{_RETIRED}-next"
    aside.write_text("".join(f"{one}\n" for one in ids))
    sync(aside, no_step)
    aside.replace(folder / _RETIRED)


def _created(path: Path) -> str:
    """The manifest's time of creation; "" (the oldest) where it cannot be read."""
    try:
        return Generation.open(path).spec.created
    except GenerationError:
        return ""
