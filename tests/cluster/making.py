"""Hypothesis strategies for everything that travels, and a comparison that looks into arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from cluster.filtering import Condition, Filter
from cluster.types import (
    Affinity,
    Ask,
    FetchQuery,
    FetchReply,
    Query,
    RankQuery,
    RankReply,
    Seeds,
    ShardReply,
    SourceHits,
    UnknownValue,
)

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
int64s = st.integers(-(2**63), 2**63 - 1)
doubles = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.one_of(texts, int64s, doubles, st.booleans())
counts = st.integers(0, 2**31 - 1)


def floats(n: int) -> st.SearchStrategy[np.ndarray]:
    """(n,) float32, finite."""
    return nps.arrays(np.float32, n, elements=st.floats(width=32, allow_nan=False, allow_infinity=False))


def matrices(n_rows: int, n_columns: int) -> st.SearchStrategy[np.ndarray]:
    """(n_rows, n_columns) float32, anything."""
    return nps.arrays(np.float32, (n_rows, n_columns), elements=st.floats(width=32))


def keys(n: int) -> st.SearchStrategy[np.ndarray]:
    """(n,) int64, ascending and unique."""
    return st.lists(int64s, min_size=n, max_size=n, unique=True).map(lambda drawn: np.array(sorted(drawn), np.int64))


def rows(n: int) -> st.SearchStrategy[np.ndarray]:
    return nps.arrays(np.int32, n, elements=st.integers(0, 2**31 - 1))


@st.composite
def single_tests(draw: st.DrawFn) -> Condition:
    op = draw(st.sampled_from(["eq", "ne", "in", "gt", "gte", "lt", "lte"]))
    n = draw(st.integers(0, 4)) if op == "in" else 1
    return Condition(draw(texts), op, tuple(draw(scalars) for _ in range(n)))


def conditions() -> st.SearchStrategy[Condition]:
    groups = st.sampled_from(["any_of", "all_of", "none_of"])
    return st.recursive(
        single_tests(),
        lambda part: st.builds(Condition, texts, groups, st.just(()), st.lists(part, min_size=1, max_size=3).map(tuple)),
        max_leaves=4,
    )


filters = st.builds(Filter, st.lists(conditions(), max_size=3).map(tuple), st.lists(conditions(), max_size=3).map(tuple))


@st.composite
def seeds(draw: st.DrawFn) -> Seeds:
    n = draw(st.integers(0, 5))
    return Seeds(draw(keys(n)), draw(floats(n)), draw(floats(n)))


@st.composite
def affinities(draw: st.DrawFn) -> Affinity:
    values = tuple(draw(st.lists(texts, max_size=4)))
    return Affinity(values, draw(floats(len(values))))


asks = st.builds(Ask, texts, counts, st.lists(st.tuples(texts, doubles), max_size=3).map(tuple))
queries = st.builds(
    Query,
    generation=texts,
    asks=st.lists(asks, max_size=4).map(tuple),
    filter=filters,
    exclude=st.integers(0, 5).flatmap(keys),
    vectors=st.dictionaries(texts, st.integers(0, 9).flatmap(floats), max_size=2),
    seeds=st.dictionaries(texts, seeds(), max_size=2),
    profile=st.dictionaries(texts, affinities(), max_size=2),
    include=st.integers(0, 5).flatmap(keys),
    group_by=st.lists(texts, max_size=2).map(tuple),
    marks=st.lists(filters, max_size=2).map(tuple),
)


@st.composite
def hits(draw: st.DrawFn, n_candidates: int) -> SourceHits:
    n = draw(st.integers(0, 5)) if n_candidates else 0
    members = draw(nps.arrays(np.int32, n, elements=st.integers(0, max(0, n_candidates - 1))))
    return SourceHits(
        draw(texts), members, draw(floats(n)), draw(st.booleans()), draw(doubles), draw(int64s), draw(texts), draw(doubles)
    )


@st.composite
def shard_replies(draw: st.DrawFn) -> ShardReply:
    m = draw(st.integers(0, 6))
    return ShardReply(
        draw(texts),
        draw(counts),
        draw(rows(m)),
        draw(keys(m)),
        draw(matrices(m, draw(st.integers(0, 4)))),
        tuple(draw(st.lists(hits(m), max_size=3))),
        draw(counts),
        draw(counts),
        draw(doubles),
        draw(doubles),
        draw(st.one_of(st.none(), nps.arrays(np.int64, (m, draw(st.integers(1, 3))), elements=int64s))),
        draw(st.integers(0, 3).flatmap(keys)),
        tuple(draw(st.lists(st.builds(UnknownValue, texts, texts, texts), max_size=3))),
    )


fetch_queries = st.builds(FetchQuery, texts, st.integers(0, 5).flatmap(rows), filters, texts)
plain = st.one_of(st.none(), scalars, st.lists(st.one_of(st.none(), scalars), max_size=3))


@st.composite
def fetch_replies(draw: st.DrawFn) -> FetchReply:
    n = draw(st.integers(0, 4))
    return FetchReply(
        draw(texts),
        tuple(draw(st.one_of(texts, int64s)) for _ in range(n)),
        tuple(draw(st.dictionaries(texts, plain, max_size=3)) for _ in range(n)),
        draw(nps.arrays(np.bool_, n)),
        draw(st.one_of(st.none(), floats(n * 3).map(lambda flat: flat.reshape(n, 3)))),
    )


@st.composite
def rank_queries(draw: st.DrawFn) -> RankQuery:
    m, n_sources = draw(st.integers(0, 6)), draw(st.integers(0, 3))
    return RankQuery(
        draw(texts),
        draw(texts),
        draw(nps.arrays(np.int64, m, elements=int64s)),
        draw(matrices(m, draw(st.integers(0, 4)))),
        draw(matrices(m, n_sources)),
        draw(matrices(m, n_sources)),
        draw(matrices(1, 3))[0],
        draw(matrices(1, 0))[0],
        draw(counts),
    )


@st.composite
def rank_replies(draw: st.DrawFn) -> RankReply:
    m = draw(st.integers(0, 6))
    order = np.array(draw(st.permutations(range(m))), np.int32)
    n_heavy = draw(st.integers(0, m))
    return RankReply(order, draw(floats(m)), n_heavy, draw(texts), draw(doubles), draw(doubles), draw(doubles))


def same(one: object, other: object) -> bool:
    """Whether two values are equal, their arrays bit for bit and of one dtype, and True is not 1."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        assert isinstance(other, np.ndarray)
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if dataclasses.is_dataclass(one):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one))
    if isinstance(one, Mapping):
        assert isinstance(other, Mapping)
        return list(one) == list(other) and all(same(one[k], other[k]) for k in one)
    if isinstance(one, tuple | list):
        assert isinstance(other, tuple | list)
        return len(one) == len(other) and all(map(same, one, other))
    return one == other
