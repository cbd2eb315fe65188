"""One ranker as a process: construct, forward, convert errors. `deploy/runtime/ray_actors.py` makes it a Ray actor.

Queries come over the data plane, on one thread, all that wait at once; Ray's calls are answered beside them.
"""

from __future__ import annotations

from pathlib import Path

from cluster.config.sections import TransportSection
from cluster.errors import RankerUnavailable
from cluster.generation import Generation, Hold
from cluster.serving.services import ranker_service
from cluster.serving.serving_slot import ServingSlot
from cluster.spec import HeavyKind
from cluster.topology import ReplicaStatus
from ranker.ranker import Ranker


class RankerActor:
    """Serves the models of the generation at `generation_path`, up to `batch_requests_max` requests in one batch."""

    def __init__(
        self,
        *,
        name: str,
        generation_path: str,
        secret: bytes,
        transport: TransportSection,
        unix_path: str,
        host: str,
        node_id: str,
        batch_requests_max: int,
        heavy_model: HeavyKind = "catboost",
    ) -> None:
        """Returns once the server listens; the models are read after that."""
        self._hold: Hold | None = None

        def load() -> tuple[str, Ranker]:
            self._hold = Hold.shared(Path(generation_path))
            loaded = Ranker.load(Generation.open(generation_path), heavy_model=heavy_model)
            return loaded.spec.id, loaded

        self._slot = ServingSlot(
            name=name,
            shard=-1,
            secret=secret,
            transport=transport,
            unix_path=unix_path,
            host=host,
            node_id=node_id,
            load=load,
            serve=ranker_service,
            still_loading=RankerUnavailable,
            batch_max=batch_requests_max,
        )

    def status(self) -> ReplicaStatus:
        return self._slot.status()

    def stop(self) -> None:
        self._slot.stop()
