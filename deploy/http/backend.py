"""What the HTTP application needs to answer: a router, its view of the cluster, and the counters of its requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cluster.cluster_state import ClusterView
from deploy.http.answers import Inquirer, Recommender
from deploy.metrics.router_metrics import Metrics
from router.users.store import UserStore


@dataclass(frozen=True, slots=True)
class Backend:
    """What answers come from. view_of: the newest view of the cluster, None before the first.  node_id: of this router.

    unobserved: a router whose requests do not count as traffic, for the examples of the OpenAPI document.
    published: the generation that a start would serve now; it may read a file. Raises GenerationError.
    """

    router: Recommender
    inquirer: Inquirer
    view_of: Callable[[], ClusterView | None]
    users: UserStore
    metrics: Metrics
    node_id: str = ""
    unobserved: Recommender | None = None
    published: Callable[[], str] = lambda: ""
