"""One serving process's place in the cluster, as whoever starts the process decides it."""

from __future__ import annotations

from dataclasses import dataclass, field

from cluster.config.sections import TransportSection


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """The process's name, the generation it reads, and how callers reach it over the data plane.

    shard: -1 for a ranker.  unix_path: of its socket.  host: where it listens on TCP as well, "" for nowhere.
    node_id: of the node it runs on.  secret: what callers must know.
    """

    name: str
    shard: int
    generation_path: str
    node_id: str
    unix_path: str
    host: str
    secret: bytes = field(repr=False)
    limits: TransportSection
