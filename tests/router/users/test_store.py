"""One contract, every store: LMDB and Redis are real, so is the circuit breaker around Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import lmdb
import pytest
import redis

from cluster.config.sections import UsersSection
from cluster.deadline import Deadline
from cluster.errors import UserStoreUnavailable
from router.users.breaker import Breaker
from router.users.opening import open_store
from router.users.record import encode_record
from router.users.store import UserStore
from tests.router.users.records import GENERATION, record_of, same
from tests.router.users.redis_server import RedisServer

KINDS = ("lmdb", "redis", "breaker")


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "lmdb":
        return f"lmdb://{tmp_path}/users"
    server: RedisServer = request.getfixturevalue("redis_server")
    return f"{'redis' if request.param == 'redis' else 'valkey'}://{server.address}"


@asynccontextmanager
async def writing(url: str) -> AsyncIterator[UserStore]:
    """A store that is empty to begin with."""
    store = open_store(url, UsersSection(map_size_bytes=1 << 20, pool_max_conns=4), access="write")
    if url.startswith("valkey"):
        store = Breaker(store)
    await store.forget(GENERATION)
    await store.forget("g-2")
    try:
        yield store
    finally:
        await store.close()


def soon() -> Deadline:
    return Deadline.after_ms(2_000)


def on(url: str, check: Callable[[UserStore], Awaitable[None]]) -> None:
    async def run() -> None:
        async with writing(url) as store:
            await check(store)

    asyncio.run(run())


def test_what_was_put_is_got(url: str) -> None:
    async def check(store: UserStore) -> None:
        records = [record_of(str(i)) for i in range(1_500)]
        assert await store.put_many(iter(records)) == len(records)
        for record in records[::100]:
            got = await store.get(record.user_id, GENERATION, soon())
            assert got is not None
            assert same(got, record)
        assert store.n_rejected == 0

    on(url, check)


def test_a_stranger_and_another_generation_are_none(url: str) -> None:
    async def check(store: UserStore) -> None:
        await store.put_many([record_of("1"), record_of("2", generation="g-2")])
        assert await store.get("2", GENERATION, soon()) is None
        assert await store.get("1", "g-2", soon()) is None
        assert await store.get("", GENERATION, soon()) is None
        assert await store.get("no \ud800 text", GENERATION, soon()) is None
        assert store.n_rejected == 0

    on(url, check)


@pytest.mark.parametrize("user_id", ["ü", "a\0b", "x" * 256, "漢" * 256, "*", "g-1\0" + "1"])
def test_any_text_is_a_user_id(url: str, user_id: str) -> None:
    async def check(store: UserStore) -> None:
        neighbour = user_id[:-1] + "z"
        await store.put_many([record_of(user_id), record_of(neighbour)])
        for wanted in (user_id, neighbour):
            got = await store.get(wanted, GENERATION, soon())
            assert got is not None
            assert got.user_id == wanted

    on(url, check)


def test_a_newer_record_replaces_the_older(url: str) -> None:
    async def check(store: UserStore) -> None:
        newer = record_of("1", n_history=7)
        await store.put_many([record_of("1")])
        await store.put_many([newer])
        got = await store.get("1", GENERATION, soon())
        assert got is not None
        assert same(got, newer)

    on(url, check)


def test_forgetting_a_generation_leaves_the_others(url: str) -> None:
    async def check(store: UserStore) -> None:
        await store.put_many([record_of(str(i), generation=g) for g in (GENERATION, "g-2", "g-1x") for i in range(300)])
        assert await store.forget(GENERATION) == 300
        assert await store.get("7", GENERATION, soon()) is None
        for kept in ("g-2", "g-1x"):
            assert await store.get("7", kept, soon()) is not None
        assert await store.forget("g-1x") == 300

    on(url, check)


def test_a_generation_is_sealed_after_its_last_record_and_as_long_as_they_are_there(url: str) -> None:
    async def check(store: UserStore) -> None:
        assert await store.seal_of(GENERATION, soon()) == ""
        await store.put_many([record_of("1"), record_of("1", generation="g-2")])
        assert await store.seal_of(GENERATION, soon()) == "", "more records may follow"
        await store.seal(GENERATION, "sha-1")
        await store.seal("g-2", "sha-2")
        assert await store.seal_of(GENERATION, soon()) == "sha-1"
        await store.put_many([record_of("2")])
        await store.seal(GENERATION, "sha-3")
        assert await store.seal_of(GENERATION, soon()) == "sha-3"
        assert await store.forget(GENERATION) == 2, "the seal is no record"
        assert await store.seal_of(GENERATION, soon()) == ""
        assert await store.seal_of("g-2", soon()) == "sha-2"

    on(url, check)


def test_a_record_under_someone_elses_key_is_never_returned(url: str) -> None:
    """Contract 10, with a planted fault: where user 1's record belongs lies another's."""
    key, raw = f"{GENERATION}\0" + "1", encode_record(record_of("somebody else"))

    async def run() -> None:
        async with writing(url) as store:
            await store.put_many([record_of("2")])
        if url.startswith("lmdb"):
            with lmdb.open(url.removeprefix("lmdb://")) as env, env.begin(write=True) as txn:
                txn.put(key.encode(), raw)
        else:
            with redis.Redis.from_url(url.replace("valkey", "redis")) as client:
                client.set(f"oskolok:user:{key}", raw)
        reading = open_store(url, UsersSection())
        assert await reading.get("1", GENERATION, soon()) is None
        assert await reading.get("2", GENERATION, soon()) is not None
        assert reading.n_rejected == 1
        await reading.close()

    asyncio.run(run())


def test_ping(url: str) -> None:
    async def check(store: UserStore) -> None:
        await store.ping(soon())

    on(url, check)


def test_many_at_once(url: str) -> None:
    """More calls than connections wait for each other instead of failing."""

    async def check(store: UserStore) -> None:
        await store.put_many([record_of(str(i)) for i in range(50)])
        got = await asyncio.gather(*(store.get(str(i % 50), GENERATION, soon()) for i in range(200)))
        assert [record.user_id if record else None for record in got] == [str(i % 50) for i in range(200)]

    on(url, check)


def test_a_store_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    async def check() -> None:
        for url in (f"lmdb://{tmp_path}/nothing", "redis://127.0.0.1:1/0"):
            store = open_store(url, UsersSection())
            for asking in (store.get("1", GENERATION, soon()), store.seal_of(GENERATION, soon()), store.ping(soon())):
                with pytest.raises(UserStoreUnavailable):
                    await asking
            await store.close()

    asyncio.run(check())
