"""Tiny shards and rankers that do what a test says, and small values of the types they take."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cluster.errors import InvalidQuery
from cluster.lookup import LookupQuery, LookupReply
from cluster.probe import ProbeQuery, ProbeReply
from cluster.types import FetchQuery, FetchReply, Query, RankQuery, RankReply, ShardReply


class FakeShard:
    """Answers every query with the one item whose key it was made with; or raises."""

    def __init__(self, key: int = 7, *, error: Exception | None = None) -> None:
        self.key = key
        self.error = error
        self.n_queries = 0

    def retrieve(self, query: Query) -> ShardReply:
        self.n_queries += 1
        if self.error is not None:
            raise self.error
        one = np.ones(1, np.int32)
        return ShardReply(query.generation, 0, one, np.array([self.key]), np.ones((1, 2), np.float32), (), 5, 4, 1.0)

    def fetch(self, query: FetchQuery) -> FetchReply:
        if self.error is not None:
            raise self.error
        n = len(query.rows)
        ids, payloads = tuple(range(n)), tuple({"row": int(row)} for row in query.rows)
        return FetchReply(query.generation, ids, payloads, np.ones(n, np.bool_))

    def lookup(self, query: LookupQuery) -> LookupReply:
        if self.error is not None:
            raise self.error
        return LookupReply(query.generation, query.keys == self.key, {"als": np.ones((len(query.keys), 2), np.float32)})

    def probe(self, query: ProbeQuery) -> ProbeReply:
        if self.error is not None:
            raise self.error
        return ProbeReply(query.query.generation, 0, None, {"ann": self.key}, {"ann": 9}, 1.0)


class FakeRanker:
    """Reverses the order; remembers the sizes of its batches; or raises."""

    def __init__(self, *, error: Exception | None = None) -> None:
        self.error = error
        self.batches: list[int] = []
        self.remaining_ms: list[float] = []

    def rank(self, queries, remaining_ms) -> Iterator[tuple[int, RankReply]]:
        self.batches.append(len(queries))
        self.remaining_ms += remaining_ms
        if self.error is not None:
            raise self.error
        yield from ((at, self._rank(query)) for at, query in enumerate(queries))

    def _rank(self, query: RankQuery) -> RankReply:
        m = len(query.keys)
        if query.n_heavy > m:
            raise InvalidQuery("n_heavy")
        return RankReply(np.arange(m, dtype=np.int32)[::-1], np.zeros(m, np.float32), 0, "", 1.0, 0.0, 0.0)


def query(generation: str = "g") -> Query:
    return Query(generation, ())


def fetch_query(generation: str = "g") -> FetchQuery:
    return FetchQuery(generation, np.array([3, 1], np.int32))


def probe_query(generation: str = "g") -> ProbeQuery:
    return ProbeQuery(Query(generation, ()), 5, {"ann": 0.5})


def lookup_query(generation: str = "g") -> LookupQuery:
    return LookupQuery(generation, np.array([42, 7]), ("als",))


def rank_query(generation: str = "g", m: int = 3) -> RankQuery:
    matrix, none = np.zeros((m, 1), np.float32), np.zeros(0, np.float32)
    return RankQuery(generation, "hash", np.arange(m), matrix, matrix, matrix, none, none, 0)
