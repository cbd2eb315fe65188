"""One shard as a process: construct, forward, convert errors. `deploy/runtime/ray_actors.py` makes it a Ray actor."""

from __future__ import annotations

from cluster.errors import ShardLoading
from cluster.serving.endpoint import Endpoint
from cluster.serving.services import shard_service
from cluster.serving.serving_actor import ServingActor
from shard.shard import Shard


class ShardActor(ServingActor[Shard]):
    """Serves shard number `endpoint.shard`, one query after the other."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(
            endpoint,
            load=lambda generation: Shard.load(generation, endpoint.shard),
            serve=shard_service,
            still_loading=ShardLoading,
        )
