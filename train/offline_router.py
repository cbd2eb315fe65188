"""A router without a cluster: requests of the past planned, answered and merged by the functions that serve, over shards of
this process. Whoever measures or learns asks here, so that nothing means one thing in training and another in production.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from cluster.clients.local import LocalShard
from cluster.config.sections import Config
from cluster.spec import GenerationSpec, RankingSpec
from cluster.types import Candidates, RankQuery, ShardReply, UserRecord
from ranker.features import Features, assemble
from router.merge import Merged, merge
from router.planning.certificate import rows_per_shard
from router.planning.plan import Plan, plan
from router.planning.session import session_of
from router.planning.setup import Setup
from router.rank import rank_query
from router.request import Request
from router.users.user_tower import UserTower
from shard.columns import partition
from shard.shard import Shard
from train.columns import as_columns
from train.describe import describe
from train.signals import Signals


@dataclass(frozen=True, eq=False)
class OfflineRouter:
    """shards: all of one generation, in their order.  tower: the generation's user tower, None without one."""

    shards: Sequence[LocalShard]
    spec: GenerationSpec
    config: Config
    tower: UserTower | None = None

    @classmethod
    def over(
        cls,
        signals: Signals,
        config: Config,
        *,
        generation: str,
        n_shards: int = 1,
        rankings: tuple[RankingSpec, ...] = (),
    ) -> OfflineRouter:
        """These signals in so many shards, in memory and without graphs, so every answer is exact."""
        columns = as_columns(signals, config.catalog)
        parts = [columns] if n_shards == 1 else partition(columns, n_shards)
        sizes = [len(part) for part in parts]
        spec = describe(signals, config, generation=generation, created="", shard_items=sizes, rankings=rankings)
        shards = [Shard.from_columns(part, spec=spec, shard=at) for at, part in enumerate(parts)]
        return cls(shards, spec, config, signals.tower)

    @cached_property
    def setup(self) -> Setup:
        """What the router works out once for this generation."""
        return Setup.of(self.spec, self.config)

    def plan(self, request: Request, record: UserRecord | None) -> Plan:
        """As the router plans it. A user without a vector is placed by what the session looks up."""
        session = session_of(request, record, self.setup)
        vectors = session.vectors({at: self.shards[at].lookup(query) for at, query in session.queries.items()})
        return plan(request, record, self.setup, tower=self.tower, session=vectors)

    def merged(self, planned: Plan) -> tuple[Merged, list[ShardReply]]:
        """The certified merge and the replies it is made of; a shard that held back is asked again, as the router does."""
        replies = [shard.retrieve(planned.query) for shard in self.shards]
        merged = merge(replies, planned, self.spec)
        if merged.uncertified:
            full = planned.in_full()
            for shard in merged.uncertified:
                replies[shard] = self.shards[shard].retrieve(full)
            merged = merge(replies, planned, self.spec)
        assert merged.exact, f"{self.spec.id}: a merge of every shard's full lists is not certified"
        return merged, replies

    def to_depth(self, planned: Plan, depth: int) -> Plan:
        """The plan with every source asked for `depth` items of the whole catalogue, and nothing cut after the merge."""
        depth = min(depth, self.spec.n_items)
        k = rows_per_shard(depth, self.spec.n_shards, self.config.merge.exact_probability)
        asks = tuple(replace(ask, k=k) for ask in planned.query.asks)
        depths = (depth,) * len(asks)
        return replace(
            planned,
            query=replace(planned.query, asks=asks),
            budgets=depths,
            floors=depths,
            n_candidates=depth * max(1, len(asks)),
        )

    def rank_query(self, candidates: Candidates, request: Request, record: UserRecord | None) -> RankQuery:
        """What the router sends to rankers."""
        return rank_query(candidates, request, record, self.spec, self.config.ranker)

    def features(self, candidates: Candidates, request: Request, record: UserRecord | None) -> Features:
        """What rankers read of the candidates, (n, n_columns)."""
        return assemble(self.spec.features, self.rank_query(candidates, request, record))
