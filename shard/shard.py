"""One shard of the catalogue: what are its best candidates for a query, and how many more are there?

`retrieve` runs the requested sources under one mask, unites their hits and adds match features. `fetch` returns the final rows
for display. `lookup` returns the vectors of items that a request names. It knows nothing of other shards or of merging.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cluster.capping import within_cap
from cluster.errors import GenerationMismatch, InvalidQuery
from cluster.filtering import Filter
from cluster.generation import Generation
from cluster.lookup import LookupQuery, LookupReply
from cluster.order import require_finite
from cluster.partition import item_keys
from cluster.probe import ProbedItem, ProbeQuery, ProbeReply
from cluster.spec import GenerationSpec
from cluster.types import NO_KEYS, Ask, FetchQuery, FetchReply, Keys, Query, Rows, ShardReply, SourceHits
from shard._kernel import located, united
from shard.best_rows import BestRows
from shard.columns import ShardColumns
from shard.filter.attributes import CategoryColumn
from shard.filter.eligible import Eligible
from shard.filter.filters import Filters
from shard.match import MatchFeatures
from shard.payload import Payloads
from shard.probe import Probe, values_of
from shard.snapshot import read_snapshot
from shard.sources import make_sources
from shard.sources.source import CandidateSource
from shard.spaces.space import Space


class Shard:
    """Immutable but for its mask cache, and safe to query from several threads."""

    def __init__(self, columns: ShardColumns, *, spec: GenerationSpec, shard: int, spaces: Mapping[str, Space]) -> None:
        """Raises SchemaMismatch if the columns cannot answer what the spec promises, GenerationCorrupt for senseless lists."""
        self.spec = spec
        self.shard = shard
        self.columns = columns
        self.spaces = spaces
        self.filters = Filters(columns.attributes, spec, n_rows=len(columns))
        self.sources = make_sources(spec, columns, spaces)
        self._match = MatchFeatures(
            spec.features.match, keys=columns.keys, stats=columns.stats, spaces=spaces, attributes=columns.attributes
        )
        self._payloads = Payloads(columns.keys, columns.item_ids, columns.payload)
        self._group_codes = {
            name: np.append(item_keys(column.values), np.int64(0))
            for name, column in columns.attributes.items()
            if isinstance(column, CategoryColumn)
        }

    @classmethod
    def from_columns(cls, columns: ShardColumns, *, spec: GenerationSpec, shard: int) -> Shard:
        """A shard over columns in memory. Measures what searching its spaces costs: some milliseconds a space."""
        spaces = {
            space.name: Space.from_arrays(
                columns.vectors[space.name],
                keys=columns.keys,
                metric=space.metric,
                graph=columns.graphs.get(space.name),
                calibration=columns.calibrations.get(space.name),
            )
            for space in spec.spaces
        }
        return cls(columns, spec=spec, shard=shard, spaces=spaces)

    @classmethod
    def load(cls, generation: Generation, shard: int) -> Shard:
        """A shard of a published generation, from verified files. Raises GenerationError."""
        return cls.from_columns(read_snapshot(generation, shard), spec=generation.spec, shard=shard)

    @property
    def generation(self) -> str:
        return self.spec.id

    @property
    def name(self) -> str:
        return f"shard-{self.shard}"

    def __len__(self) -> int:
        return len(self.columns)

    def retrieve(self, query: Query) -> ShardReply:
        """The best candidates of every asked source. Raises GenerationMismatch or InvalidQuery."""
        began = time.perf_counter()
        self._require_generation(query.generation)
        eligible = self._eligible(query.filter, query.exclude)
        found = [self._found(query, ask, eligible) for ask in query.asks]
        proposed = [hits.rows[: ask.k] for ask, (hits, _) in zip(query.asks, found, strict=True)]
        if len(query.include):
            proposed.append(self._included(query.include, eligible))
        rows, members = united(proposed)
        keys = self.columns.keys.take(rows)
        sources, at = [], 0
        for ask, (hits, took_us), mine in zip(query.asks, found, proposed, strict=False):
            sources.append(self._hits(ask, hits, took_us, members[at : at + len(mine)]))
            at += len(mine)
        return ShardReply(
            generation=self.generation,
            shard=self.shard,
            rows=rows,
            keys=keys,
            match=self._match.matrix(query, rows, keys),
            sources=tuple(sources),
            n_items=len(self),
            n_eligible=eligible.count,
            facts=self._facts(query, rows) if query.group_by or query.marks else None,
            named=query.named[located(self.columns.keys, query.named)[1]] if len(query.named) else NO_KEYS,
            unknown_values=eligible.mask.unknown_values,
            took_us=_us_since(began),
        )

    def fetch(self, query: FetchQuery) -> FetchReply:
        """What is shown of some rows, and whether each passes the filter. Raises GenerationMismatch or InvalidQuery."""
        self._require_generation(query.generation)
        rows = query.rows
        if len(rows) and rows.view(np.uint32).max() >= len(self):  # a negative row is a large one
            raise InvalidQuery(f"shard {self.shard} has rows 0 to {len(self) - 1}, asked for {rows.min()} to {rows.max()}")
        return FetchReply(
            generation=self.generation,
            item_ids=self._payloads.ids(rows),
            payloads=({},) * len(rows) if query.vectors else self._payloads.shown(rows),
            eligible=self.filters.mask(query.filter).bits.take(rows),
            vectors=self._vectors(query.vectors, rows) if query.vectors else None,
        )

    def lookup(self, query: LookupQuery) -> LookupReply:
        """Which of some items are here, and their vectors. Raises GenerationMismatch or InvalidQuery."""
        self._require_generation(query.generation)
        rows, which = located(self.columns.keys, query.keys)
        known = np.zeros(len(query.keys), np.bool_)
        known[which] = True
        vectors = {}
        for space in query.spaces:
            found = self._vectors(space, rows.astype(np.int32))
            vectors[space] = np.zeros((len(known), found.shape[1]), np.float32)
            vectors[space][which] = found
        return LookupReply(self.generation, known, vectors)

    def probe(self, query: ProbeQuery) -> ProbeReply:
        """How one item of this shard, or of another, stands under a query. Raises GenerationMismatch or InvalidQuery."""
        began = time.perf_counter()
        asked = query.query
        self._require_generation(asked.generation)
        eligible = self._eligible(asked.filter, asked.exclude)
        at = located(self.columns.keys, np.array([query.key]))[0]
        probe = Probe(
            asked, query.key, eligible, keys=self.columns.keys, spaces=self.spaces, sources=self.sources, spec=self.spec
        )
        if len(at) == 0:
            _, before, held = probe.among(query.scores)
            return ProbeReply(self.generation, self.shard, None, before, held, _us_since(began))
        row, rows = int(at[0]), at.astype(np.int32)
        scores, before, held = probe.own(row)
        item = ProbedItem(
            row=row,
            item_id=self._payloads.ids(rows)[0],
            payload=self._payloads.shown(rows)[0],
            failed=self.filters.failing(asked.filter, row),
            excluded=bool(np.isin(query.key, asked.exclude)),
            values=values_of(asked.filter, self.columns.attributes, row),
            scores=scores,
            match=self._match.matrix(asked, rows, self.columns.keys[rows])[0],
            facts=self._facts(asked, rows)[0] if asked.group_by or asked.marks else None,
        )
        return ProbeReply(self.generation, self.shard, item, before, held, _us_since(began))

    def _require_generation(self, asked: str) -> None:
        if asked != self.generation:
            raise GenerationMismatch(f"shard {self.shard} serves generation {self.generation}, the query names {asked}")

    def _eligible(self, filter: Filter, exclude: Keys) -> Eligible:
        mask, keys = self.filters.mask(filter), self.columns.keys
        if len(exclude) == 0:
            return Eligible(mask)
        rows = located(keys, exclude)[0].astype(np.int32)  # ascending and unique as the keys are
        return Eligible(mask, rows if mask.everything else rows[mask.bits.take(rows)])

    def _found(self, query: Query, ask: Ask, eligible: Eligible) -> tuple[BestRows, float]:
        """One hit more than asked for, if there is one, and how long finding took, in microseconds."""
        began = time.perf_counter()
        source = self.sources.get(ask.source)
        if source is None:
            raise InvalidQuery(f"no source {ask.source!r}", field="source", allowed=", ".join(self.sources))
        found = self._capped(source, query, ask, eligible) if query.cap else source.retrieve(query, ask, eligible, ask.k + 1)
        require_finite(found.scores, ask.source)
        return found, _us_since(began)

    def _capped(self, source: CandidateSource, query: Query, ask: Ask, eligible: Eligible) -> BestRows:
        """The best of what the cap leaves, one more than asked for: from ever more of the source until they are enough."""
        n = 2 * (ask.k + 1)
        while True:
            found = source.retrieve(query, ask, eligible, n)
            groups = self._groups(query.group_by[0], found.rows)
            kept = np.flatnonzero(within_cap(groups, query.cap))[: ask.k + 1]
            if len(kept) > ask.k or len(found) < n:
                return BestRows(found.rows[kept], found.scores[kept], found.strategy)
            n *= 4

    def _hits(self, ask: Ask, found: BestRows, took_us: float, members: Rows) -> SourceHits:
        more = len(found) > ask.k
        return SourceHits(
            source=ask.source,
            members=members,
            scores=found.scores[: ask.k],
            more=more,
            next_score=float(found.scores[ask.k]) if more else 0.0,
            next_key=int(self.columns.keys[found.rows[ask.k]]) if more else 0,
            strategy=found.strategy,
            took_us=took_us,
        )

    def _included(self, keys: Keys, eligible: Eligible) -> Rows:
        """The rows of those of the keys that are here and eligible."""
        rows, _ = located(self.columns.keys, keys)
        kept: Rows = rows[eligible.keep(rows)].astype(np.int32)
        return kept

    def _facts(self, query: Query, rows: Rows) -> NDArray[np.int64]:
        facts = np.empty((len(rows), len(query.group_by) + len(query.marks)), np.int64)
        for at, attribute in enumerate(query.group_by):
            facts[:, at] = self._groups(attribute, rows)
        for at, mark in enumerate(query.marks, len(query.group_by)):
            facts[:, at] = self.filters.mask(mark).bits.take(rows)
        return facts

    def _groups(self, attribute: str, rows: Rows) -> Keys:
        """(r,) int64: the key of each row's value of the attribute, 0 where it has none."""
        column = self.columns.attributes.get(attribute)
        if not isinstance(column, CategoryColumn):
            raise InvalidQuery(f"cannot group by {attribute!r}", field="group_by", allowed=", ".join(self._group_codes))
        groups: Keys = self._group_codes[attribute].take(column.codes.take(rows))
        return groups

    def _vectors(self, space: str, rows: Rows) -> NDArray[np.float32]:
        if space not in self.columns.vectors:
            raise InvalidQuery(f"no space {space!r}", field="vectors", allowed=", ".join(self.columns.vectors))
        return self.columns.vectors[space][rows]


def _us_since(began: float) -> float:
    return (time.perf_counter() - began) * 1e6
