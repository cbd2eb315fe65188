"""Everything that led to one answer: what explains it (`router/explain.py`, `router/why/`) and repeats it (replay)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from cluster.clients.protocols import Fleet
from cluster.coverage import Coverage
from cluster.partition import ItemId
from cluster.types import UserRecord
from router.fanout import Missed
from router.fill import Filled
from router.planning.plan import Plan
from router.planning.setup import Setup
from router.rank import Ranked
from router.request import Recommendation, Request
from router.retrieve import Retrieved
from router.search import Searched
from router.shape import Shaped


@dataclass(frozen=True, slots=True, eq=False)
class Trail:
    """What each stage of one request handed on, in their order.

    request: without its unknown_items, ids that the catalogue does not have.  planned: for the whole catalogue; `covering` is
    what was merged by.  shaped: the slate before, filled: after the last look at whether its items may be shown.
    missed: shards whose items are not in the answer, as they proposed none or could not deliver them.  coverage: of the answer.
    """

    request: Request
    fleet: Fleet
    setup: Setup
    record: UserRecord | None
    planned: Plan
    retrieved: Retrieved
    unknown_items: tuple[ItemId, ...]
    covering: Plan
    searched: Searched
    ranked: Ranked
    shaped: Shaped
    filled: Filled
    missed: Mapping[int, Missed]
    coverage: Coverage


Keep = Callable[[Trail, Recommendation], None]


class Recorder(Protocol):
    """Who keeps trails. Called inside requests: must be quick and must not raise."""

    def begin(self, request: Request) -> tuple[Request, Keep | None]:
        """The request to answer, and the function that keeps its trail: None for most requests."""
        ...
