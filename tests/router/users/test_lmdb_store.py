"""What only a file shared between processes can do wrong."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.deadline import Deadline
from cluster.errors import UserStoreUnavailable
from router.users.lmdb_store import LmdbStore
from tests.router.users.records import GENERATION, record_of

WRITER = """
import asyncio, sys
from pathlib import Path
from router.users.lmdb_store import LmdbStore
from tests.router.users.records import record_of
store = LmdbStore.writer(Path(sys.argv[1]), map_size_bytes=1 << 16)
begin, end = int(sys.argv[2]), int(sys.argv[3])
assert asyncio.run(store.put_many(record_of(str(i), n_history=200) for i in range(begin, end))) == end - begin
asyncio.run(store.close())
"""


def write_elsewhere(path: Path, begin: int, end: int) -> None:
    """Users begin..end, some 4 kB each, written by another process that starts with a map of 64 kB."""
    subprocess.run([sys.executable, "-c", WRITER, str(path), str(begin), str(end)], check=True)


def test_a_reader_follows_a_map_that_another_process_grows(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "users"
        write_elsewhere(path, 0, 10)
        reader = LmdbStore.reader(path)
        assert await reader.get("9", GENERATION, Deadline.after_ms(100)) is not None
        write_elsewhere(path, 10, 1_500)
        for user in ("9", "10", "777", "1499"):
            record = await reader.get(user, GENERATION, Deadline.after_ms(100))
            assert record is not None
            assert record.user_id == user
        assert (path / "data.mdb").stat().st_size > 64 * (1 << 16)
        await reader.close()

    asyncio.run(run())


def test_a_reader_does_not_write(tmp_path: Path) -> None:
    async def run() -> None:
        write_elsewhere(tmp_path / "users", 0, 1)
        reader = LmdbStore.reader(tmp_path / "users")
        with pytest.raises(UserStoreUnavailable):
            await reader.put_many([record_of("1")])
        with pytest.raises(UserStoreUnavailable):
            await reader.forget(GENERATION)
        await reader.close()

    asyncio.run(run())


def test_a_path_opened_twice_in_one_process_is_refused(tmp_path: Path) -> None:
    """LMDB's own rule: its locks belong to the process, and closing one would release the other's."""
    store = LmdbStore.writer(tmp_path / "users", map_size_bytes=1 << 16)
    with pytest.raises(UserStoreUnavailable, match="already open"):
        asyncio.run(LmdbStore.reader(tmp_path / "users").ping(Deadline.after_ms(100)))
    asyncio.run(store.close())


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"something else entirely" * 1000)
    with pytest.raises(UserStoreUnavailable):
        asyncio.run(LmdbStore.reader(tmp_path).ping(Deadline.after_ms(100)))


def test_a_reader_finds_a_store_that_is_made_after_it(tmp_path: Path) -> None:
    async def run() -> None:
        reader = LmdbStore.reader(tmp_path / "users")
        with pytest.raises(UserStoreUnavailable):
            await reader.get("1", GENERATION, Deadline.after_ms(100))
        write_elsewhere(tmp_path / "users", 0, 2)
        assert await reader.get("1", GENERATION, Deadline.after_ms(100)) is not None
        await reader.close()

    asyncio.run(run())
