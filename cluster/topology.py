"""Who serves what, right now: an immutable map from shards to replicas, and the list of rankers.

The supervisor publishes a new one, with a higher version, whenever it changes; routers keep the last they saw. It holds
addresses, not connections, and no opinion about health beyond the state the supervisor observed.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from cluster.spec import GenerationSpec

ReplicaState = Literal["loading", "ready", "dead"]


class Address(msgspec.Struct, frozen=True):
    """Where a data-plane server listens. `unix_path` works only on the node named; "" means none. Port 0 means no TCP."""

    node_id: str
    host: str
    port: int
    unix_path: str = ""


class Replica(msgspec.Struct, frozen=True):
    """One process that serves a shard, or ranks. `name` is its actor's name, unique in the cluster."""

    name: str
    address: Address
    state: ReplicaState


class Topology(msgspec.Struct, frozen=True):
    """shards[i] are the replicas of shard i, possibly none."""

    version: int
    spec: GenerationSpec
    shards: tuple[tuple[Replica, ...], ...]
    rankers: tuple[Replica, ...]


class ReplicaStatus(msgspec.Struct, frozen=True):
    """What a shard or ranker actor says of itself when the supervisor asks. `shard` is -1 for a ranker.

    unanswered_s: how long its data plane has owed an answer to a call that needs no work.
    """

    name: str
    shard: int
    pid: int
    address: Address
    state: ReplicaState
    generation: str
    load_s: float
    detail: str = ""
    unanswered_s: float = 0.0
