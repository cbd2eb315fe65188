"""User records in Redis or Valkey, for a cluster whose routers do not share a disk.

One call is one command on one connection, held for as long as the call lasts. A call that is cancelled or times out between
command and reply closes its connection: redis-py 4 once handed such a late reply to the next caller (CVE-2023-28858), and
this system cancels on every deadline. The record's own user id, checked on every read, is the second lock on that door.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import islice

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from cluster.deadline import Deadline
from cluster.errors import UserStoreUnavailable
from cluster.types import UserRecord
from router.users.record import CheckedReads, encode_record

_RECORDS_PER_PIPELINE = 512
_KEYS_PER_SCAN = 1000
_WRITE_TIMEOUT_MS = 10_000


class RedisStore(CheckedReads):
    """url: redis://, rediss:// or unix://, as redis-py reads it.  pool_max_conns: calls at once; further ones wait."""

    def __init__(self, url: str, *, pool_max_conns: int, connect_timeout_ms: int) -> None:
        # No socket timeout: every call has a deadline, whose cancellation closes the connection. RESP2, because RESP3
        # brings messages that nobody asked for. One immediate retry, for connections that went stale in the pool.
        self._pool = ConnectionPool.from_url(
            url,
            max_connections=pool_max_conns,
            protocol=2,
            socket_timeout=None,
            socket_connect_timeout=connect_timeout_ms / 1000,
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        )
        self._redis = Redis.from_pool(self._pool)
        self._free = asyncio.Semaphore(pool_max_conns)  # ConnectionPool refuses where we would rather wait

    async def get(self, user_id: str, generation: str, deadline: Deadline) -> UserRecord | None:
        if (key := _key(user_id, generation)) is None:
            return None
        async with self._calling(deadline):
            raw = await self._redis.get(key)
        return self.checked(raw, user_id=user_id, generation=generation)

    async def put_many(self, records: Iterable[UserRecord]) -> int:
        n_written = 0
        stream = iter(records)
        while batch := list(islice(stream, _RECORDS_PER_PIPELINE)):
            async with self._calling(Deadline.after_ms(_WRITE_TIMEOUT_MS)):
                pipeline = self._redis.pipeline(transaction=False)
                for record in batch:
                    key = _key(record.user_id, record.generation)
                    assert key is not None, f"user id {record.user_id!r} is no text"
                    pipeline.set(key, encode_record(record))
                await pipeline.execute()
            n_written += len(batch)
        return n_written

    async def seal(self, generation: str, mark: str) -> None:
        async with self._calling(Deadline.after_ms(_WRITE_TIMEOUT_MS)):
            await self._redis.set(_seal_key(generation), mark)

    async def seal_of(self, generation: str, deadline: Deadline) -> str:
        async with self._calling(deadline):
            mark = await self._redis.get(_seal_key(generation))
        return "" if mark is None else str(mark, "utf-8", "replace")

    async def forget(self, generation: str) -> int:
        async with self._calling(Deadline.after_ms(_WRITE_TIMEOUT_MS)):
            await self._redis.unlink(_seal_key(generation))
        n_deleted = 0
        pattern = _glob_escaped(_prefix(generation)) + b"*"
        position = 0
        while True:
            async with self._calling(Deadline.after_ms(_WRITE_TIMEOUT_MS)):
                position, keys = await self._redis.scan(position, match=pattern, count=_KEYS_PER_SCAN)
                if keys:
                    n_deleted += await self._redis.unlink(*keys)
            if int(position) == 0:
                return n_deleted

    async def ping(self, deadline: Deadline) -> None:
        async with self._calling(deadline):
            await self._redis.ping()

    async def close(self) -> None:
        await self._redis.aclose()
        await self._pool.aclose()

    @asynccontextmanager
    async def _calling(self, deadline: Deadline) -> AsyncIterator[None]:
        """Around one call: a place in the pool, the deadline, and foreign errors mapped."""
        try:
            async with asyncio.timeout(deadline.remaining_s()), self._free:
                yield
        except TimeoutError:
            raise UserStoreUnavailable("redis did not answer in time") from None
        except (RedisError, OSError) as error:
            raise UserStoreUnavailable(f"redis: {error}") from error


def _prefix(generation: str) -> bytes:
    return b"oskolok:user:" + generation.encode() + b"\0"


def _seal_key(generation: str) -> bytes:
    return b"oskolok:sealed:" + generation.encode()


def _key(user_id: str, generation: str) -> bytes | None:
    """oskolok:user:<generation> NUL <user id>; None for what is no text."""
    try:
        return _prefix(generation) + user_id.encode()
    except UnicodeEncodeError:
        return None


def _glob_escaped(literal: bytes) -> bytes:
    return b"".join(b"\\" + bytes([c]) if c in b"*?[]\\^-" else bytes([c]) for c in literal)
