"""What only a store behind a network can do wrong: answer late, hang, vanish, hand one caller another's reply."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from statistics import median

import pytest
from redis.asyncio import Connection

from cluster.deadline import Deadline
from cluster.errors import UserStoreUnavailable
from router.users.breaker import Breaker
from router.users.redis_store import RedisStore
from tests.router.users.records import GENERATION, record_of
from tests.router.users.redis_server import RedisServer

N_USERS = 200
TIMEOUT_MS = 20


def on(server: RedisServer, check: Callable[[RedisStore], Awaitable[None]], *, conns: int = 8) -> None:
    async def run() -> None:
        store = RedisStore(f"redis://{server.address}", pool_max_conns=conns, connect_timeout_ms=500)
        await store.put_many(record_of(str(i)) for i in range(N_USERS))
        try:
            await check(store)
        finally:
            await store.close()

    asyncio.run(run())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_cancelled_call_never_leaves_its_reply_to_the_next(redis_server: RedisServer, seed: int) -> None:
    """Calls are cancelled at random moments, from before the command is sent to after the reply is in. Every answer that
    comes must be the caller's own, and not because the check on read threw a stranger's away."""
    rng = random.Random(seed)

    async def check(store: RedisStore) -> None:
        n_answered = n_cancelled = 0

        async def one(user: str, patience_s: float | None) -> None:
            nonlocal n_answered, n_cancelled
            call = asyncio.ensure_future(store.get(user, GENERATION, Deadline.after_ms(2_000)))
            if patience_s is not None:
                await asyncio.sleep(patience_s)
                call.cancel()
            try:
                record = await call
            except asyncio.CancelledError:
                n_cancelled += 1
                return
            assert record is not None
            assert record.user_id == user
            n_answered += 1

        for _ in range(40):
            patience = [rng.choice((0.0, rng.expovariate(1 / 0.001), None)) for _ in range(20)]
            await asyncio.gather(*(one(str(rng.randrange(N_USERS)), p) for p in patience))
        assert n_answered > 50
        assert n_cancelled > 50
        assert store.n_rejected == 0
        record = await asyncio.gather(*(store.get(str(i), GENERATION, Deadline.after_ms(2_000)) for i in range(N_USERS)))
        assert [r.user_id if r else None for r in record] == [str(i) for i in range(N_USERS)]

    on(redis_server, check)


async def late_replies(server: RedisServer, store: RedisStore) -> None:
    """The server stops, calls time out with their commands on the wire, the server goes on and answers all of them."""
    server.hang()
    try:
        late = [store.get(str(i), GENERATION, Deadline.after_ms(40)) for i in range(8)]
        for outcome in await asyncio.gather(*late, return_exceptions=True):
            assert isinstance(outcome, UserStoreUnavailable)
    finally:
        server.resume()


def test_replies_that_arrive_after_the_deadline_are_nobodys(redis_server: RedisServer) -> None:
    async def check(store: RedisStore) -> None:
        for _ in range(5):
            await late_replies(redis_server, store)
            found = await asyncio.gather(*(store.get(str(i), GENERATION, Deadline.after_ms(2_000)) for i in range(50, 80)))
            assert [r.user_id if r else None for r in found] == [str(i) for i in range(50, 80)]
        assert store.n_rejected == 0

    on(redis_server, check)


def test_a_planted_connection_that_stays_open_is_caught(redis_server: RedisServer) -> None:
    """The checks above see what they are for: with connections that survive a cancelled call, replies go astray."""

    made: list[Connection] = []

    class Surviving(Connection):
        def __init__(self, **options: object) -> None:
            super().__init__(**options)
            made.append(self)

        async def disconnect(self, *args: object, **kwargs: object) -> None: ...

        async def can_read(self) -> bool:
            return False

    async def check(store: RedisStore) -> None:
        store._pool.connection_class = Surviving
        await store._pool.disconnect()
        store._pool.reset()
        await asyncio.gather(*(store.get(str(i), GENERATION, Deadline.after_ms(2_000)) for i in range(8)))
        await late_replies(redis_server, store)
        for i in range(50, 80):
            await store.get(str(i), GENERATION, Deadline.after_ms(2_000))
        assert store.n_rejected > 0
        for connection in made:
            await Connection.disconnect(connection)

    on(redis_server, check)


def test_a_store_that_hangs_costs_its_timeout_and_soon_nothing(redis_server: RedisServer) -> None:
    async def check(store: RedisStore) -> None:
        breaker = Breaker(store)
        redis_server.hang()
        took_ms = []
        for i in range(12):
            began = time.perf_counter()
            with pytest.raises(UserStoreUnavailable):
                await breaker.get(str(i), GENERATION, Deadline.after_ms(TIMEOUT_MS))
            took_ms.append((time.perf_counter() - began) * 1000)
        assert median(took_ms[:5]) < TIMEOUT_MS + 20
        assert median(took_ms[5:]) < 1

        redis_server.resume()
        healed = time.monotonic()
        while breaker.is_open:
            assert time.monotonic() - healed < 5
            await asyncio.sleep(0.05)
            try:
                await breaker.get("7", GENERATION, Deadline.after_ms(TIMEOUT_MS))
            except UserStoreUnavailable:
                continue
        record = await breaker.get("7", GENERATION, Deadline.after_ms(1_000))
        assert record is not None

    try:
        on(redis_server, check)
    finally:
        redis_server.resume()


def test_a_restarted_server_is_found_again(redis_server: RedisServer) -> None:
    async def check(store: RedisStore) -> None:
        assert await store.get("1", GENERATION, Deadline.after_ms(1_000)) is not None
        redis_server.stop()
        with pytest.raises(UserStoreUnavailable):
            await store.get("1", GENERATION, Deadline.after_ms(200))
        redis_server.start()
        assert await store.get("1", GENERATION, Deadline.after_ms(1_000)) is None
        await store.ping(Deadline.after_ms(1_000))

    on(redis_server, check)


def test_a_full_pool_is_a_matter_of_waiting_until_the_deadline(redis_server: RedisServer) -> None:
    async def check(store: RedisStore) -> None:
        redis_server.hang()
        holder = asyncio.ensure_future(store.get("1", GENERATION, Deadline.after_ms(200)))
        await asyncio.sleep(0.01)
        began = time.perf_counter()
        with pytest.raises(UserStoreUnavailable):
            await store.get("2", GENERATION, Deadline.after_ms(TIMEOUT_MS))
        assert (time.perf_counter() - began) * 1000 < TIMEOUT_MS + 20
        redis_server.resume()
        assert await holder is not None

    try:
        on(redis_server, check, conns=1)
    finally:
        redis_server.resume()
