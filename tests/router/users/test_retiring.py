"""Users go when their generation has gone, and those of other generations stay."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cluster.deadline import Deadline
from cluster.generation import generation_path, prune, retired
from router.users.lmdb_store import LmdbStore
from router.users.retiring import forget_retired
from tests.cluster.generation.making import publish
from tests.router.users.records import record_of


def test_users_of_removed_generations_are_forgotten(tmp_path: Path) -> None:
    for day, generation in enumerate(("g-1", "g-2", "g-3"), 1):
        publish(tmp_path, generation, created=f"2026-01-0{day}T00:00:00Z")
    store = LmdbStore.writer(tmp_path / "users", map_size_bytes=1 << 20)

    async def there() -> list[str]:
        found = [await store.get("u", generation, Deadline.after_ms(100)) for generation in ("g-1", "g-2", "g-3")]
        return [record.generation for record in found if record is not None]

    async def run() -> None:
        for generation in ("g-1", "g-2", "g-3"):
            await store.put_many([record_of("u", generation=generation)])
        assert await forget_retired(store, tmp_path) == 0
        prune(tmp_path, 2)
        assert not generation_path(tmp_path, "g-1").exists() and await there() == ["g-1", "g-2", "g-3"]
        assert await forget_retired(store, tmp_path) == 1
        assert await there() == ["g-2", "g-3"]
        assert retired(tmp_path) == [] and await forget_retired(store, tmp_path) == 0
        await store.close()

    asyncio.run(run())
