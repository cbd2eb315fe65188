"""The cluster as the supervisor last saw it: what routers need (the topology), and what people want to know.

Published by the supervisor, kept by every router, shown by GET /v1/cluster and `oskolok status`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from cluster.topology import Topology

Health = Literal["starting", "loading", "ready", "suspect", "dead"]


class ReplicaView(msgspec.Struct, frozen=True):
    """One actor. shard: -1 for a ranker.  starts: how often it was started.  detail: why it is not ready, as far as known.

    failures: starts in a row that failed, the present one included once it has.
    """

    name: str
    shard: int
    health: Health
    node_id: str
    pid: int
    starts: int
    load_s: float
    detail: str
    failures: int = 0


class ClusterView(msgspec.Struct, frozen=True):
    """version: that of the topology; it grows whenever anything here changes.  started_at: Unix seconds."""

    name: str
    version: int
    started_at: float
    topology: Topology
    replicas: tuple[ReplicaView, ...]
