"""The circuit breaker around any user store: a store that is down costs its timeout a few times, and then nothing.

Closed, calls pass. After `FAILURES_TO_OPEN` failures in a row it opens and refuses at once. Every `PROBE_EVERY_S` one call
may try; if it succeeds the breaker closes, so a healed store is back in use that much later at most.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from cluster.deadline import Clock, Deadline
from cluster.errors import UserStoreUnavailable
from cluster.types import UserRecord
from router.users.store import UserStore

FAILURES_TO_OPEN = 5
PROBE_EVERY_S = 1.0


class Breaker:
    """A UserStore around another. Only reading goes through the breaker; a build that writes wants the real error."""

    def __init__(self, store: UserStore, *, clock: Clock = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._n_failures = 0
        self._next_probe_at = 0.0

    @property
    def is_open(self) -> bool:
        return self._n_failures >= FAILURES_TO_OPEN

    @property
    def n_rejected(self) -> int:
        return self._store.n_rejected

    async def get(self, user_id: str, generation: str, deadline: Deadline) -> UserRecord | None:
        self._admit()
        try:
            record = await self._store.get(user_id, generation, deadline)
        except UserStoreUnavailable:
            self._failed()
            raise
        except asyncio.CancelledError:
            if deadline.expired:  # the caller's clock rang before the store's own: the store was too slow all the same
                self._failed()
            raise
        self._n_failures = 0
        return record

    async def put_many(self, records: Iterable[UserRecord]) -> int:
        return await self._store.put_many(records)

    async def seal(self, generation: str, mark: str) -> None:
        await self._store.seal(generation, mark)

    async def seal_of(self, generation: str, deadline: Deadline) -> str:
        return await self._store.seal_of(generation, deadline)

    async def forget(self, generation: str) -> int:
        return await self._store.forget(generation)

    async def ping(self, deadline: Deadline) -> None:
        """Asks the store whatever the breaker thinks, and changes nothing: a store that answers a ping may fail every read."""
        await self._store.ping(deadline)

    async def close(self) -> None:
        await self._store.close()

    def _admit(self) -> None:
        if not self.is_open:
            return
        now = self._clock()
        if now < self._next_probe_at:
            raise UserStoreUnavailable(f"the user store failed {self._n_failures} times in a row; next try in under a second")
        self._next_probe_at = now + PROBE_EVERY_S  # this call is the probe; whoever comes before the next one is refused

    def _failed(self) -> None:
        self._n_failures += 1
        if self._n_failures == FAILURES_TO_OPEN:
            self._next_probe_at = self._clock() + PROBE_EVERY_S
