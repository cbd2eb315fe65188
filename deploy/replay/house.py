"""A whole generation in this process: all shards, the models, the user tower, behind the protocols that the router talks to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from cluster.clients.local import LocalRankerClient, LocalShardClient
from cluster.clients.protocols import Fleet
from cluster.generation import Generation
from cluster.spec import GenerationSpec, HeavyKind
from cluster.types import UserRecord
from cluster.user_records import read_users
from ranker.ranker import Ranker
from router.users.user_tower import UserTower
from router.users.user_tower_file import read_tower
from shard.shard import Shard


@dataclass(frozen=True, slots=True, eq=False)
class House:
    """fleet: of the generation.  users: the records of those who were asked for, as its build made them."""

    fleet: Fleet
    tower: UserTower | None
    users: dict[str, UserRecord]

    @property
    def spec(self) -> GenerationSpec:
        return self.fleet.spec

    @classmethod
    def open(cls, path: Path, *, users: Collection[str] = (), heavy_model: HeavyKind = "catboost") -> House:
        """Verified before it is read, as when serving. Raises GenerationError, or ConfigError if it has no such heavy model."""
        generation = Generation.open(path)
        spec = generation.spec
        shards = [Shard.load(generation, shard) for shard in range(spec.n_shards)]
        clients = tuple(LocalShardClient(shard, name=shard.name) for shard in shards)
        ranker = LocalRankerClient(Ranker.load(generation, heavy_model=heavy_model))
        wanted = set(users)
        records = {one.user_id: one for one in read_users(generation) if one.user_id in wanted} if wanted else {}
        return cls(Fleet(0, spec, clients, ranker), read_tower(generation), records)
