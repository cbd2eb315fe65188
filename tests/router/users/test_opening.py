from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cluster.config.sections import UsersSection
from cluster.errors import ConfigError
from router.users.breaker import Breaker
from router.users.lmdb_store import LmdbStore
from router.users.opening import open_store
from router.users.redis_store import RedisStore


@pytest.mark.parametrize("scheme", ["redis", "rediss", "valkey", "valkeys"])
def test_a_network_store_is_read_through_a_breaker_and_written_without(scheme: str) -> None:
    assert isinstance(open_store(f"{scheme}://127.0.0.1:1/0", UsersSection()), Breaker)
    assert isinstance(open_store(f"{scheme}://127.0.0.1:1/0", UsersSection(), access="write"), RedisStore)


def test_lmdb(tmp_path: Path) -> None:
    store = open_store(f"lmdb://{tmp_path}/users", UsersSection(map_size_bytes=1 << 20), access="write")
    assert isinstance(store, LmdbStore)
    asyncio.run(store.close())


@pytest.mark.parametrize("url", ["", "lmdb://", "lmdb:///", "mysql://h", "redis", "/a/path"])
def test_any_other_url_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigError, match=r"users\.store"):
        open_store(url, UsersSection())


@pytest.mark.parametrize("url", ["reddis://:hunter2@host/0", "redis//:hunter2@host/0", "lmdb:///"])
def test_an_error_does_not_tell_the_password(url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        open_store(url, UsersSection())
    assert "hunter2" not in str(raised.value)
