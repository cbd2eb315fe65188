"""Removes the users of generations that are no longer on disk: nothing serves those generations any more."""

from __future__ import annotations

from pathlib import Path

from cluster.generation import retired, settle_retired
from router.users.store import UserStore


async def forget_retired(store: UserStore, storage: Path) -> int:
    """Delete the records of every generation that was removed since the last call; how many. UserStoreUnavailable leaves the
    rest for the next call. A generation is only removed when nobody holds it, so no router asks for these users."""
    n_deleted = 0
    for generation in retired(storage):
        n_deleted += await store.forget(generation)
        settle_retired(storage, [generation])
    return n_deleted
