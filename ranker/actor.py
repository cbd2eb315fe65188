"""One ranker as a process: construct, forward, convert errors. `deploy/runtime/ray_actors.py` makes it a Ray actor."""

from __future__ import annotations

from cluster.errors import RankerUnavailable
from cluster.serving.endpoint import Endpoint
from cluster.serving.services import ranker_service
from cluster.serving.serving_actor import ServingActor
from cluster.spec import HeavyKind
from ranker.ranker import Ranker


class RankerActor(ServingActor[Ranker]):
    """Serves the models of a generation: all queries that wait at once, up to `batch_requests_max`, in one batch."""

    def __init__(self, endpoint: Endpoint, *, batch_requests_max: int, heavy_model: HeavyKind = "catboost") -> None:
        super().__init__(
            endpoint,
            load=lambda generation: Ranker.load(generation, heavy_model=heavy_model),
            serve=ranker_service,
            still_loading=RankerUnavailable,
            batch_max=batch_requests_max,
        )
