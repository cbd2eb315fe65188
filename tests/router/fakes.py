"""Tiny shards, rankers and user stores that speak the real protocols: exact, slow, hung, dead, lying.

A `Catalogue` is the truth that they serve: it can be cut into any number of shards, and says itself what the best are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from cluster.capping import within_cap
from cluster.clients.protocols import Fleet, RankerClient, ShardClient
from cluster.deadline import Deadline
from cluster.errors import OskolokError, ShardLoading, ShardUnavailable
from cluster.filtering import Condition, Filter
from cluster.lookup import LookupQuery, LookupReply
from cluster.order import top_k
from cluster.partition import item_key, item_keys, shard_of
from cluster.spec import AttributeSpec, FeatureSchema, GenerationSpec, SourceSpec, SpaceSpec
from cluster.types import (
    FetchQuery,
    FetchReply,
    Floats,
    Keys,
    Query,
    RankQuery,
    RankReply,
    Seeds,
    ShardReply,
    SourceHits,
    UserRecord,
)

GENERATION = "g-1"
DIM = 4


@dataclass(frozen=True, eq=False)
class Catalogue:
    """n items. tops, ann: (n,) float32 scores.  color, brand: (n,) str; an item of brand "" has none."""

    item_ids: tuple[str, ...]
    tops: Floats
    ann: Floats
    color: NDArray[np.str_]
    brand: NDArray[np.str_]
    keys: Keys = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", item_keys(self.item_ids))

    @classmethod
    def random(cls, n: int, *, seed: int = 0, n_levels: int = 10_000) -> Catalogue:
        """n_levels: how many different scores there are; few make many ties."""
        rng = np.random.default_rng(seed)

        def scores() -> Floats:
            return (rng.integers(0, n_levels, n) / n_levels).astype(np.float32)

        return cls(
            tuple(f"i{seed}-{at}" for at in range(n)),
            scores(),
            scores(),
            rng.choice(["red", "blue", "gold"], n, p=[0.6, 0.35, 0.05]),
            rng.choice(["", "acme", "bolt", "core"], n),
        )

    def __len__(self) -> int:
        return len(self.item_ids)

    def spec(self, n_shards: int) -> GenerationSpec:
        owners = shard_of(self.keys, n_shards)
        return GenerationSpec(
            id=GENERATION,
            created="2026-01-01T00:00:00Z",
            id_type="string",
            shard_items=tuple(np.bincount(owners, minlength=n_shards).tolist()),
            attributes=(AttributeSpec("color", "category"), AttributeSpec("brand", "category")),
            spaces=(SpaceSpec("als", DIM, "ip", 0.99),),
            sources=(
                SourceSpec("tops", "tops", exact=True, promises_k=True),
                SourceSpec("ann", "ann", exact=False, promises_k=True, space="als"),
                SourceSpec("history", "seeds", exact=True, promises_k=False, seeds="history"),
            ),
            lists=("7d", "28d", "7d/color=red", "28d/color=red", "7d/color=blue"),
            profile=("color",),
            features=FeatureSchema(("m.key", "m.tops"), ("tops", "ann", "history"), ("u.a", "u.b"), ("hour", "k")),
        )

    def shards(self, n_shards: int) -> list[FixedShard]:
        owners = shard_of(self.keys, n_shards)
        return [FixedShard(self, np.flatnonzero(owners == shard), shard) for shard in range(n_shards)]

    def vectors(self) -> NDArray[np.float32]:
        """(n, DIM), alike where scores and colours are."""
        return np.stack([self.tops, self.ann, self.color == "red", self.color == "blue"], axis=1).astype(np.float32)

    def passes(self, filter: Filter) -> NDArray[np.bool_]:
        def holds(condition: Condition) -> NDArray[np.bool_]:
            return np.isin(getattr(self, condition.field), condition.values)

        mask = np.ones(len(self), bool)
        for condition in filter.must:
            mask &= holds(condition)
        for condition in filter.must_not:
            mask &= ~holds(condition)
        return mask


class FixedShard:
    """Answers at once and exactly, by brute force over its rows of the catalogue."""

    def __init__(self, catalogue: Catalogue, items: NDArray[np.intp], shard: int) -> None:
        self.catalogue = catalogue
        self.items = items
        self.shard = shard
        self.name = f"shard-{shard}"
        self.n_retrieved = self.n_fetched_rows = 0
        self.queries: list[Query] = []

    async def retrieve(self, query: Query, deadline: Deadline) -> ShardReply:
        self.n_retrieved += 1
        self.queries.append(query)
        return self.answer(query)

    async def fetch(self, query: FetchQuery, deadline: Deadline) -> FetchReply:
        self.n_fetched_rows += len(query.rows)
        items = self.items[query.rows]
        c = self.catalogue
        return FetchReply(
            query.generation,
            tuple(c.item_ids[i] for i in items),
            tuple({"color": str(c.color[i]), "brand": str(c.brand[i])} for i in items),
            c.passes(query.filter)[items],
            c.vectors()[items] if query.vectors else None,
        )

    async def lookup(self, query: LookupQuery, deadline: Deadline) -> LookupReply:
        mine = {int(self.catalogue.keys[item]): item for item in self.items}
        items = np.array([mine.get(key, -1) for key in query.keys.tolist()], np.int64)
        vectors = np.where((items >= 0)[:, None], self.catalogue.vectors()[items], np.float32(0))
        return LookupReply(query.generation, items >= 0, dict.fromkeys(query.spaces, vectors))

    def answer(self, query: Query) -> ShardReply:
        c = self.catalogue
        keys = c.keys[self.items]
        eligible = c.passes(query.filter)[self.items] & ~np.isin(keys, query.exclude)
        found = []
        for ask in query.asks:
            scores = self._scores(ask.source, query)
            known = np.flatnonzero(eligible & np.isfinite(scores))
            best = known[top_k(scores[known], keys[known], len(known) if query.cap else ask.k + 1)]
            if query.cap:
                best = best[within_cap(self._facts(query)[best, 0], query.cap)][: ask.k + 1]
            found.append((ask, best, scores))
        included = np.flatnonzero(eligible & np.isin(keys, query.include))
        union = np.unique(np.concatenate([included, *(best[: ask.k] for ask, best, _ in found)]))
        union = union[np.argsort(keys[union])]
        position = {int(row): at for at, row in enumerate(union)}
        return ShardReply(
            generation=query.generation,
            shard=self.shard,
            rows=union.astype(np.int32),
            keys=keys[union],
            match=np.stack([keys[union] % 1000, c.tops[self.items][union]], axis=1).astype(np.float32),
            sources=tuple(
                SourceHits(
                    ask.source,
                    np.array([position[int(row)] for row in best[: ask.k]], np.int32),
                    scores[best[: ask.k]],
                    more=len(best) > ask.k,
                    next_score=float(scores[best[ask.k]]) if len(best) > ask.k else 0.0,
                    next_key=int(keys[best[ask.k]]) if len(best) > ask.k else 0,
                    strategy="fixed",
                    took_us=1.0,
                )
                for ask, best, scores in found
            ),
            n_items=len(self.items),
            n_eligible=int(eligible.sum()),
            took_us=1.0,
            facts=self._facts(query)[union] if query.group_by or query.marks else None,
            named=query.named[np.isin(query.named, keys)],
        )

    def _scores(self, source: str, query: Query) -> Floats:
        if source != "history":
            scores: Floats = getattr(self.catalogue, source)[self.items]
            return scores
        seeds = query.seeds["history"]
        weights = dict(zip(seeds.keys.tolist(), seeds.weights.tolist(), strict=True))
        return np.array([weights.get(int(k), np.nan) for k in self.catalogue.keys[self.items]], np.float32)

    def _facts(self, query: Query) -> NDArray[np.int64]:
        groups = [[item_key(str(v)) if v else 0 for v in getattr(self.catalogue, name)[self.items]] for name in query.group_by]
        marks = [self.catalogue.passes(mark)[self.items] for mark in query.marks]
        return np.array([*groups, *marks], np.int64).T


class Wrapped:
    """Another shard, to be made worse."""

    def __init__(self, inner: FixedShard) -> None:
        self.inner = inner
        self.name = inner.name

    def retrieve(self, query: Query, deadline: Deadline) -> Awaitable[ShardReply]:
        return self.inner.retrieve(query, deadline)

    def fetch(self, query: FetchQuery, deadline: Deadline) -> Awaitable[FetchReply]:
        return self.inner.fetch(query, deadline)

    def lookup(self, query: LookupQuery, deadline: Deadline) -> Awaitable[LookupReply]:
        return self.inner.lookup(query, deadline)


class SlowShard(Wrapped):
    def __init__(self, inner: FixedShard, delay_s: float) -> None:
        super().__init__(inner)
        self.delay_s = delay_s

    async def retrieve(self, query: Query, deadline: Deadline) -> ShardReply:
        await asyncio.sleep(self.delay_s)
        return self.inner.answer(query)


class SlowToFetch(SlowShard):
    async def retrieve(self, query: Query, deadline: Deadline) -> ShardReply:
        return self.inner.answer(query)

    async def fetch(self, query: FetchQuery, deadline: Deadline) -> FetchReply:
        await asyncio.sleep(self.delay_s)
        return await self.inner.fetch(query, deadline)


class ErrorShard(Wrapped):
    """Raises when the call is awaited, or (`at_once`) when it is made."""

    def __init__(self, inner: FixedShard, error: Exception, *, at_once: bool = False) -> None:
        super().__init__(inner)
        self.error = error
        self.at_once = at_once

    def retrieve(self, query: Query, deadline: Deadline) -> Awaitable[ShardReply]:
        if self.at_once:
            raise self.error
        return failing(self.error)

    def fetch(self, query: FetchQuery, deadline: Deadline) -> Awaitable[FetchReply]:
        return failing(self.error)


class ErrorToFetch(ErrorShard):
    def retrieve(self, query: Query, deadline: Deadline) -> Awaitable[ShardReply]:
        return self.inner.retrieve(query, deadline)


class StaleShard(Wrapped):
    """Proposes items that are gone by the time they are fetched."""

    def __init__(self, inner: FixedShard, gone: frozenset[str]) -> None:
        super().__init__(inner)
        self.gone = gone

    async def fetch(self, query: FetchQuery, deadline: Deadline) -> FetchReply:
        reply = await self.inner.fetch(query, deadline)
        eligible = np.array([item not in self.gone for item in reply.item_ids], bool) & reply.eligible
        return FetchReply(reply.generation, reply.item_ids, reply.payloads, eligible)


class FirstAnswerOnly(Wrapped):
    """Does not answer a second time."""

    async def retrieve(self, query: Query, deadline: Deadline) -> ShardReply:
        if self.inner.n_retrieved:
            raise ShardUnavailable("gone")
        return await self.inner.retrieve(query, deadline)


def dead(inner: FixedShard) -> ErrorShard:
    return ErrorShard(inner, ShardUnavailable("no connection"))


def loading(inner: FixedShard) -> ErrorShard:
    return ErrorShard(inner, ShardLoading("reading its snapshot"))


async def failing(error: Exception) -> NoReturn:
    await asyncio.sleep(0)
    raise error


class ReverseRanker:
    """Puts the candidates in reverse, after a while, or fails."""

    name = "ranker"

    def __init__(self, *, delay_s: float = 0.0, error: OskolokError | None = None, skipped: str = "") -> None:
        self.delay_s, self.error, self.skipped = delay_s, error, skipped
        self.queries: list[RankQuery] = []

    async def rank(self, query: RankQuery, deadline: Deadline) -> RankReply:
        self.queries.append(query)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.error:
            raise self.error
        n = len(query.keys)
        order = np.arange(n, dtype=np.int32)[::-1].copy()
        return RankReply(order, np.linspace(1, 0, n, dtype=np.float32), 0, self.skipped, 1.0, 1.0, 0.0)


class DictStore:
    """A user store in memory, that may be late or fail."""

    n_rejected = 0

    def __init__(
        self, *records: UserRecord, delay_s: float = 0.0, error: Exception | None = None, answer: UserRecord | None = None
    ) -> None:
        self.records = {(r.generation, r.user_id): r for r in records}
        self.delay_s, self.error, self.answer = delay_s, error, answer

    async def get(self, user_id: str, generation: str, deadline: Deadline) -> UserRecord | None:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.error:
            raise self.error
        return self.answer or self.records.get((generation, user_id))

    async def put_many(self, records: Iterable[UserRecord]) -> int:
        added = {(r.generation, r.user_id): r for r in records}
        self.records.update(added)
        return len(added)

    async def seal(self, generation: str, mark: str) -> None:
        return None

    async def seal_of(self, generation: str, deadline: Deadline) -> str:
        return ""

    async def forget(self, generation: str) -> int:
        gone = [key for key in self.records if key[0] == generation]
        for key in gone:
            del self.records[key]
        return len(gone)

    async def ping(self, deadline: Deadline) -> None: ...

    async def close(self) -> None: ...


def user(user_id: str = "u", history: Mapping[int, float] | None = None, *, vector: bool = True) -> UserRecord:
    bought = history or {}
    return UserRecord(
        user_id=user_id,
        generation=GENERATION,
        vectors={"als": np.ones(DIM, np.float32)} if vector else {},
        history=Seeds(
            np.array(list(bought), np.int64),
            np.array(list(bought.values()), np.float32),
            np.zeros(len(bought), np.float32),
        ),
        profile={},
        features=np.array([1, 2], np.float32),
    )


def fleet(catalogue: Catalogue, shards: Iterable[ShardClient], ranker: RankerClient | None = None) -> Fleet:
    shards = tuple(shards)
    return Fleet(7, catalogue.spec(len(shards)), shards, ranker)
