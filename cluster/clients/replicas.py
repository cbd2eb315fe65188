"""Several processes that can do the same work, seen as one: which to ask, and whom to ask after a failure.

Connected ones are preferred and, of two drawn at random, the less loaded one. A call that fails because its
process went away, or cannot work right now, is made once more with another replica while the deadline allows. Which
processes there are is the topology's business (`cluster/clients/channel_pool.py` keeps the channels).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from cluster.clients.local import failed
from cluster.clients.remote import RemoteClient, RemoteRankerClient, RemoteShardClient
from cluster.deadline import Deadline
from cluster.errors import ConnectionLost, HandshakeRefused, RankerUnavailable, ShardUnavailable, Unavailable
from cluster.lookup import LookupQuery, LookupReply
from cluster.probe import ProbeQuery, ProbeReply
from cluster.types import FetchQuery, FetchReply, Query, RankQuery, RankReply, ShardReply

WORTH_ANOTHER = (ConnectionLost, HandshakeRefused, Unavailable)
"""Failures that say nothing about the query, only about whom it was sent to."""

Rng = Callable[[int], int]
"""Draws an integer in [0, n)."""


M = TypeVar("M", bound=RemoteClient)
T = TypeVar("T")


def choose(replicas: Sequence[M], draw: Rng = random.randrange) -> M:
    """One of at least one replicas: a connected one if there is any, and the less loaded of two drawn at random."""
    if len(replicas) == 1:
        return replicas[0]
    able = [r for r in replicas if r.channel.connected] or replicas
    first = draw(len(able))
    if len(able) == 1:
        return able[first]
    second = draw(len(able) - 1)
    second += second >= first
    return able[first] if able[first].channel.load <= able[second].channel.load else able[second]


class Retried(asyncio.Future[T], Generic[T]):
    """The first replica's answer, or the second's if the first failed for a reason worth another. Cancels what it started."""

    def __init__(self, start: Callable[[M], asyncio.Future[T]], replicas: Sequence[M], deadline: Deadline) -> None:
        super().__init__()
        first = choose(replicas)
        self._others: Sequence[M] = [r for r in replicas if r is not first]
        self._start = start
        self._deadline = deadline
        self._attempt = start(first)
        self._attempt.add_done_callback(self._settle)

    def cancel(self, msg: Any = None) -> bool:
        self._attempt.cancel()
        return super().cancel(msg)

    def _settle(self, attempt: asyncio.Future[T]) -> None:
        if attempt.cancelled():
            super().cancel()
            return
        error = attempt.exception()
        if self.done():
            return
        if error is None:
            self.set_result(attempt.result())
        elif self._others and isinstance(error, WORTH_ANOTHER) and not self._deadline.expired:
            second = choose(self._others)
            self._others = ()
            self._attempt = self._start(second)
            self._attempt.add_done_callback(self._settle)
        else:
            self.set_exception(error)


def ask(replicas: Sequence[M], start: Callable[[M], asyncio.Future[T]], deadline: Deadline) -> asyncio.Future[T]:
    """The answer of one of at least one replicas. start: makes the call."""
    return start(replicas[0]) if len(replicas) == 1 else Retried(start, replicas, deadline)


class ShardReplicas:
    """A `ShardClient` over the replicas of one shard, possibly none: then every call fails with ShardUnavailable."""

    def __init__(self, shard: int, replicas: Sequence[RemoteShardClient]) -> None:
        self.name = replicas[0].name if len(replicas) == 1 else f"shard-{shard}"
        self.replicas = tuple(replicas)

    def retrieve(self, query: Query, deadline: Deadline) -> asyncio.Future[ShardReply]:
        return self._ask(lambda replica: replica.retrieve(query, deadline), deadline)

    def fetch(self, query: FetchQuery, deadline: Deadline) -> asyncio.Future[FetchReply]:
        return self._ask(lambda replica: replica.fetch(query, deadline), deadline)

    def lookup(self, query: LookupQuery, deadline: Deadline) -> asyncio.Future[LookupReply]:
        return self._ask(lambda replica: replica.lookup(query, deadline), deadline)

    def probe(self, query: ProbeQuery, deadline: Deadline) -> asyncio.Future[ProbeReply]:
        return self._ask(lambda replica: replica.probe(query, deadline), deadline)

    def _ask(self, start: Callable[[RemoteShardClient], asyncio.Future[T]], deadline: Deadline) -> asyncio.Future[T]:
        if not self.replicas:
            return failed(ShardUnavailable(f"{self.name} has no replica"))
        return ask(self.replicas, start, deadline)


class RankerReplicas:
    """A `RankerClient` over all rankers, possibly none alive: then every call fails with RankerUnavailable."""

    def __init__(self, replicas: Sequence[RemoteRankerClient]) -> None:
        self.name = replicas[0].name if len(replicas) == 1 else "rankers"
        self.replicas = tuple(replicas)

    def rank(self, query: RankQuery, deadline: Deadline) -> asyncio.Future[RankReply]:
        if not self.replicas:
            return failed(RankerUnavailable("no ranker is alive"))
        return ask(self.replicas, lambda ranker: ranker.rank(query, deadline), deadline)
