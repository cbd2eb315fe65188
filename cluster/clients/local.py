"""Shards and rankers in the caller's own process, behind the same protocols as remote ones.

For tests, training and programs that hold a whole catalogue in one process. Work is done when it is asked for, so the
awaitable that is returned is done already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from cluster.deadline import Deadline
from cluster.errors import InternalError, OskolokError
from cluster.lookup import LookupQuery, LookupReply
from cluster.probe import ProbeQuery, ProbeReply
from cluster.types import FetchQuery, FetchReply, Query, RankQuery, RankReply, ShardReply

T = TypeVar("T")


class LocalShard(Protocol):
    """What a process that holds a shard's columns offers. Raises errors of `cluster/errors.py`."""

    def retrieve(self, query: Query) -> ShardReply: ...

    def fetch(self, query: FetchQuery) -> FetchReply: ...

    def lookup(self, query: LookupQuery) -> LookupReply: ...

    def probe(self, query: ProbeQuery) -> ProbeReply: ...


class LocalRanker(Protocol):
    """What a process that holds the ranking models offers."""

    def rank(
        self, queries: Sequence[RankQuery], remaining_ms: Sequence[float]
    ) -> Iterator[tuple[int, RankReply | OskolokError]]:
        """(position, outcome) of every query, its own error included, each as soon as it is known; remaining_ms, aligned, is
        how long each may still take.
        """
        ...


class LocalShardClient:
    """A `ShardClient` over a shard in this process."""

    def __init__(self, shard: LocalShard, *, name: str = "local") -> None:
        self.name = name
        self._shard = shard

    def retrieve(self, query: Query, deadline: Deadline) -> asyncio.Future[ShardReply]:
        return _done(lambda: self._shard.retrieve(query), deadline)

    def fetch(self, query: FetchQuery, deadline: Deadline) -> asyncio.Future[FetchReply]:
        return _done(lambda: self._shard.fetch(query), deadline)

    def lookup(self, query: LookupQuery, deadline: Deadline) -> asyncio.Future[LookupReply]:
        return _done(lambda: self._shard.lookup(query), deadline)

    def probe(self, query: ProbeQuery, deadline: Deadline) -> asyncio.Future[ProbeReply]:
        return _done(lambda: self._shard.probe(query), deadline)


class LocalRankerClient:
    """A `RankerClient` over a ranker in this process."""

    def __init__(self, ranker: LocalRanker, *, name: str = "local") -> None:
        self.name = name
        self._ranker = ranker

    def rank(self, query: RankQuery, deadline: Deadline) -> asyncio.Future[RankReply]:
        return _done(lambda: self._ranked(query, deadline), deadline)

    def _ranked(self, query: RankQuery, deadline: Deadline) -> RankReply:
        ((_, outcome),) = self._ranker.rank([query], [deadline.remaining_ms()])
        if isinstance(outcome, OskolokError):
            raise outcome
        return outcome


def failed(error: OskolokError) -> asyncio.Future[T]:
    """An awaitable that raises this error."""
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    return future


def _done(work: Callable[[], T], deadline: Deadline) -> asyncio.Future[T]:
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    try:
        deadline.check("a local call")
        future.set_result(work())
    except OskolokError as error:
        future.set_exception(error)
    except Exception as error:
        future.set_exception(InternalError(f"{type(error).__name__}: {error}"))
    return future
