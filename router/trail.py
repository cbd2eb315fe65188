"""Everything that led to one answer, kept only for requests that are explained (`router/why/inquiry.py`) or replayed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from cluster.clients.protocols import Fleet
from cluster.types import UserRecord
from router.fanout import Missed
from router.fill import Filled
from router.planning.plan import Plan
from router.rank import Ranked
from router.request import Recommendation, Request
from router.search import Searched
from router.slate.rules import Rules
from router.slate.shape import Shaped


@dataclass(frozen=True, slots=True, eq=False)
class Trail:
    """planned: for the whole catalogue; `covering` is what was merged by.  missed: shards whose candidates are not there.

    shaped: the slate before, filled: after the last look at whether its items may be shown.
    """

    request: Request
    record: UserRecord | None
    fleet: Fleet
    planned: Plan
    covering: Plan
    found: Searched
    missed: Mapping[int, Missed]
    ranked: Ranked
    rules: Rules
    shaped: Shaped
    filled: Filled


Keep = Callable[[Trail, Recommendation], None]


class Recorder(Protocol):
    """Who keeps trails. Called inside requests: must be quick and must not raise."""

    def begin(self, request: Request) -> tuple[Request, Keep | None]:
        """The request to answer, and the function that keeps its trail: None for most requests."""
        ...
