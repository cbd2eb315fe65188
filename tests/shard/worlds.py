"""Tiny catalogues for tests: drawn at random, as plain Python values and as shards under any partition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st
from scipy import sparse

from cluster.features import match_columns
from cluster.filtering import EVERYTHING, Condition, Filter, Scalar
from cluster.partition import item_keys
from cluster.spec import AttributeSpec, FeatureSchema, GenerationSpec, SourceSpec, SpaceSpec
from cluster.types import Affinity, Ask, Query, Seeds
from shard.columns import ShardColumns
from shard.filter.attributes import column_from_arrow
from shard.shard import Shard
from shard.tables.item_table import ItemTable
from shard.tables.lists import RankedLists
from shard.tables.quorum_table import QuorumTable

ATTRIBUTES = (
    AttributeSpec("brand", "category"),
    AttributeSpec("stores", "categories"),
    AttributeSpec("price", "number"),
    AttributeSpec("organic", "boolean"),
)
SOURCES = (
    SourceSpec("tops", "tops", exact=True, promises_k=True, lists="purchases"),
    SourceSpec("ann", "ann", exact=True, promises_k=True, space="taste"),  # exact here: these spaces have no graph
    SourceSpec("history", "seeds", exact=True, promises_k=False, seeds="history"),
    SourceSpec("favourites", "seeds", exact=True, promises_k=False, seeds="favourites"),
    SourceSpec("score_all", "score_all", exact=True, promises_k=True, space="taste", lists="purchases"),
    SourceSpec("similar", "item_lists", exact=True, promises_k=False, seeds="history", table="content"),
    SourceSpec("near_basket", "item_lists", exact=True, promises_k=False, seeds="basket", table="content"),
    SourceSpec("quorum", "quorum", exact=True, promises_k=False),
)
BRANDS = ("acme", "bolt", "crux", "")
STORES = ("s1", "s2", "s3", "s4")
LISTS = ("purchases/7d", "purchases/28d", *(f"purchases/7d/brand={brand}" for brand in BRANDS))
LIKED = ("s0", "s1", "s2", "s3", "s4")  # no user has the first; users have "s9", which is not here
DIM = 5


@dataclass(frozen=True)
class World:
    """n items in ascending key order. attributes: name -> n plain values, None where missing.

    similar: (n, n) float32, weight of a target (column) by seed (row), 0 for none.  liked: (n, len(LIKED)) float32.
    """

    item_ids: list[str]
    attributes: dict[str, list]
    vectors: np.ndarray
    list_scores: dict[str, np.ndarray]
    stats: np.ndarray
    similar: np.ndarray
    liked: np.ndarray

    @classmethod
    def drawn(cls, seed: int, n: int, *, ties: bool = True) -> World:
        """ties: few distinct scores and whole-numbered vectors, so that many items score exactly the same."""
        rng = np.random.default_rng(seed)
        ids = [f"item-{i}" for i in range(n)]
        ids = [ids[i] for i in np.argsort(item_keys(ids))]

        def some(values: Sequence, missing: float = 0.2) -> list:
            return [None if rng.random() < missing else values[rng.integers(len(values))] for _ in range(n)]

        def scores() -> np.ndarray:
            return (rng.integers(0, 3, n) if ties else rng.random(n) * (rng.random(n) < 0.7)).astype(np.float32)

        stores = [sorted(s for s in STORES if rng.random() < 0.4) or None for _ in range(n)]
        prices = [None if p is None else float(p) for p in some([0, 1, 2, 2.5, 10, -3])]
        vectors = rng.integers(-2, 3, (n, DIM)) if ties else rng.standard_normal((n, DIM))
        similar = rng.integers(-2, 3, (n, n)) / 2 if ties else rng.standard_normal((n, n))
        liked = rng.integers(0, 4, (n, len(LIKED))) / 4 if ties else rng.random((n, len(LIKED)))
        return cls(
            item_ids=ids,
            attributes={"brand": some(BRANDS), "stores": stores, "price": prices, "organic": some([True, False])},
            vectors=vectors.astype(np.float32),
            list_scores={"7d": scores(), "28d": scores()},
            stats=rng.random(n).astype(np.float32),
            similar=(similar * (rng.random((n, n)) < 0.3)).astype(np.float32),
            liked=(liked * (rng.random((n, len(LIKED))) < rng.choice([0.02, 0.2, 0.9], len(LIKED)))).astype(np.float32),
        )

    def __len__(self) -> int:
        return len(self.item_ids)

    @cached_property
    def keys(self) -> np.ndarray:
        return item_keys(self.item_ids)

    def members(self, list_name: str) -> np.ndarray:
        """Rows in a list, ascending: all, or those of one brand."""
        _, grouped, brand = list_name.partition("/brand=")
        return np.array([i for i, b in enumerate(self.attributes["brand"]) if not grouped or b == brand], np.int32)

    @cached_property
    def columns(self) -> ShardColumns:
        types = {"brand": pa.string(), "stores": pa.list_(pa.string()), "price": pa.float64(), "organic": pa.bool_()}
        arrays = {name: pa.array(values, types[name]) for name, values in self.attributes.items()}
        lists = {}
        for name in LISTS:
            rows = self.members(name)
            lists[name] = (rows, self.scores_in(name)[rows])
        seeds, targets = np.nonzero(self.similar)
        starts = np.searchsorted(seeds, np.arange(len(self) + 1))
        return ShardColumns(
            keys=self.keys,
            item_ids=pa.array(self.item_ids, pa.string()),
            lists=RankedLists.of(self.keys, lists),
            attributes={spec.name: column_from_arrow(spec.kind, arrays[spec.name]) for spec in ATTRIBUTES},
            stats={"trend": self.stats},
            payload=pa.table({"brand": arrays["brand"], "price": arrays["price"]}),
            vectors={"taste": self.vectors},
            tables={"content": ItemTable.of(self.keys, starts, targets.astype(np.int32), self.similar[seeds, targets])},
            quorum=QuorumTable.of(self.keys, LIKED, sparse.csr_array(self.liked)),
        )

    def scores_in(self, list_name: str) -> np.ndarray:
        """(n,) the scores of the window of a list."""
        return self.list_scores[list_name.split("/")[1]]

    def spec(self, shard_items: Sequence[int], *, generation: str = "tiny-1") -> GenerationSpec:
        match = match_columns(spaces=["taste"], stats=["trend"], profile=["brand", "stores"])
        return GenerationSpec(
            id=generation,
            created="2026-01-01T00:00:00Z",
            id_type="string",
            shard_items=tuple(shard_items),
            attributes=ATTRIBUTES,
            spaces=(SpaceSpec("taste", DIM, "ip", 0.99),),
            sources=SOURCES,
            lists=LISTS,
            profile=("brand", "stores"),
            features=FeatureSchema(match=match, sources=tuple(s.name for s in SOURCES), user=(), context=()),
            tables=("content",),
            quorum="stores",
            seeds=("favourites",),
        )

    def shards(self, owner: Sequence[int], n_shards: int) -> list[Shard]:
        """One shard for each number below n_shards, holding the items whose owner it is: any partition, not only by hash."""
        rows = [np.flatnonzero(np.asarray(owner, int) == shard).astype(np.int32) for shard in range(n_shards)]
        spec = self.spec([len(r) for r in rows])
        return [Shard.from_columns(self.columns.take(r), spec=spec, shard=i) for i, r in enumerate(rows)]

    @cached_property
    def whole(self) -> Shard:
        """The world as one shard."""
        return Shard.from_columns(self.columns, spec=self.spec([len(self)]), shard=0)

    def passes(self, row: int, filter: Filter) -> bool:
        """Whether an item passes, in plain Python: what masks are compared with."""
        return all(self._meets(row, c) for c in filter.must) and not any(self._meets(row, c) for c in filter.must_not)

    def _meets(self, row: int, condition: Condition) -> bool:
        match condition.op:
            case "any_of":
                return any(self._meets(row, part) for part in condition.parts)
            case "all_of":
                return all(self._meets(row, part) for part in condition.parts)
            case "none_of":
                return not any(self._meets(row, part) for part in condition.parts)
        value = self.attributes[condition.field][row]
        if value is None or value == []:
            return False
        held = value if isinstance(value, list) else [value]
        first = condition.values[0] if condition.values else None
        match condition.op:
            case "eq" | "in":
                return any(v in condition.values for v in held)
            case "ne":
                return first not in held
            case "gt":
                return value > first
            case "gte":
                return value >= first
            case "lt":
                return value < first
            case _:
                return value <= first


@dataclass(frozen=True)
class Asked:
    """A query without its asks, and what it says in plain values."""

    query: Query
    filter: Filter = EVERYTHING
    excluded_rows: frozenset[int] = field(default_factory=frozenset)

    def of(self, ask: Ask) -> Query:
        return replace(self.query, asks=(ask,))

    def eligible_rows(self, world: World) -> list[int]:
        return [i for i in range(len(world)) if i not in self.excluded_rows and world.passes(i, self.filter)]


@st.composite
def worlds(draw: st.DrawFn, *, n_max: int = 40) -> World:
    return World.drawn(draw(st.integers(0, 2**32)), draw(st.integers(0, n_max)), ties=draw(st.booleans()))


_VALUES: dict[str, st.SearchStrategy[Scalar]] = {
    "brand": st.sampled_from([*BRANDS, "nobody's"]),
    "stores": st.sampled_from([*STORES, "s9"]),
    "price": st.sampled_from([0, 1, 2, 2.5, 10.0, -3, 99]),
    "organic": st.booleans(),
}


@st.composite
def single_tests(draw: st.DrawFn) -> Condition:
    name = draw(st.sampled_from(sorted(_VALUES)))
    op = draw(st.sampled_from(("eq", "ne", "in", "gt", "gte", "lt", "lte") if name == "price" else ("eq", "ne", "in")))
    values = st.lists(_VALUES[name], max_size=3) if op == "in" else st.lists(_VALUES[name], min_size=1, max_size=1)
    return Condition(name, op, tuple(draw(values)))


def conditions() -> st.SearchStrategy[Condition]:
    """Tests, ranges, and groups of all of them, nested."""
    bounds = [
        st.builds(Condition, st.just("price"), st.sampled_from(ops), st.tuples(_VALUES["price"]))
        for ops in (("gt", "gte"), ("lt", "lte"))
    ]
    ranges = st.builds(Condition, st.just("price"), st.just("all_of"), st.just(()), st.tuples(*bounds))
    groups = st.sampled_from(("any_of", "all_of", "none_of"))
    return st.recursive(
        single_tests() | ranges,
        lambda part: st.builds(Condition, st.just(""), groups, st.just(()), st.lists(part, min_size=1, max_size=3).map(tuple)),
        max_leaves=6,
    )


def filters(size_max: int = 2) -> st.SearchStrategy[Filter]:
    clause = st.lists(conditions(), max_size=size_max).map(tuple)
    return st.builds(Filter, must=clause, must_not=clause)


@st.composite
def asked(draw: st.DrawFn, world: World, *, filter: Filter | None = None) -> Asked:
    """A query about a world: seeds that include foreign items, exclusions likewise, maybe a vector."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    chosen = filter if filter is not None else draw(st.one_of(st.just(EVERYTHING), filters()))
    n = len(world)
    excluded = rng.choice(n, rng.integers(0, n + 1), replace=False) if n and rng.random() < 0.5 else np.empty(0, int)
    foreign = item_keys([f"foreign-{i}" for i in range(3)])
    whole_numbers = draw(st.booleans())
    vector = rng.integers(-2, 3, DIM) if whole_numbers else rng.standard_normal(DIM)
    query = Query(
        generation="tiny-1",
        asks=(),
        filter=chosen,
        exclude=np.unique(np.concatenate((world.keys[excluded], foreign))),
        vectors={"taste": vector.astype(np.float32)} if draw(st.booleans()) else {},
        seeds={name: seeds(rng, world) for name in ("history", "basket", "favourites")},
        profile={"brand": affinity(rng, BRANDS), "stores": affinity(rng, (*STORES, "s9"))},
    )
    return Asked(query, chosen, frozenset(excluded.tolist()))


def seeds(rng: np.random.Generator, world: World) -> Seeds:
    known = rng.choice(len(world), rng.integers(0, len(world) + 1), replace=False) if len(world) else np.empty(0, int)
    keys = rng.permutation(np.concatenate((world.keys[known], item_keys(["foreign-0", "foreign-9"]))))
    weights = rng.integers(1, 4, len(keys)) if rng.random() < 0.5 else rng.random(len(keys))
    return Seeds(keys, weights.astype(np.float32), rng.integers(0, 99, len(keys)).astype(np.float32))


def affinity(rng: np.random.Generator, values: Sequence[str]) -> Affinity:
    """Of some values none at all, and now and then all in quarters."""
    weights = rng.integers(0, 5, len(values)) / 4 if rng.random() < 0.5 else rng.random(len(values))
    return Affinity(tuple(values), weights.astype(np.float32))
