"""One shard as a process: construct, forward, convert errors. `deploy/runtime/ray_actors.py` makes it a Ray actor.

Queries come over the data plane, on one thread; Ray's calls, `status` and `stop`, are answered beside them.
"""

from __future__ import annotations

from pathlib import Path

from cluster.config.sections import TransportSection
from cluster.errors import ShardLoading
from cluster.generation import Generation, Hold
from cluster.serving.services import shard_service
from cluster.serving.serving_slot import ServingSlot
from cluster.topology import ReplicaStatus
from shard.shard import Shard


class ShardActor:
    """Serves shard number `shard` of the generation at `generation_path`."""

    def __init__(
        self,
        *,
        name: str,
        shard: int,
        generation_path: str,
        secret: bytes,
        transport: TransportSection,
        unix_path: str,
        host: str,
        node_id: str,
    ) -> None:
        """Returns once the server listens; the snapshot is read after that."""
        self._hold: Hold | None = None

        def load() -> tuple[str, Shard]:
            self._hold = Hold.shared(Path(generation_path))
            loaded = Shard.load(Generation.open(generation_path), shard)
            return loaded.generation, loaded

        self._slot = ServingSlot(
            name=name,
            shard=shard,
            secret=secret,
            transport=transport,
            unix_path=unix_path,
            host=host,
            node_id=node_id,
            load=load,
            serve=shard_service,
            still_loading=ShardLoading,
        )

    def status(self) -> ReplicaStatus:
        return self._slot.status()

    def stop(self) -> None:
        self._slot.stop()
