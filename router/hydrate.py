"""The record of the user, or the reason why there is none. Nothing that happens here fails a request."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.deadline import Deadline
from cluster.types import UserRecord
from router.fanout import Missed, call
from router.funnel import Flow
from router.request import Degradation
from router.users.store import UserStore


@dataclass(frozen=True, slots=True, eq=False)
class Hydrated:
    """record: None for a stranger, and `degraded` then says why."""

    record: UserRecord | None
    degraded: tuple[Degradation, ...] = ()

    @property
    def flow(self) -> Flow:
        """In is the user."""
        return Flow(1, int(self.record is not None), degraded=self.degraded)


async def hydrate(user_id: str, generation: str, users: UserStore, deadline: Deadline) -> Hydrated:
    """The record of this user, of this generation.

    The store checks that too; it is checked again here because serving one user another's taste, or a vector of another
    space, must not hang on one implementation.
    """
    record = await call(lambda: users.get(user_id, generation, deadline), deadline)
    if isinstance(record, Missed):
        return Hydrated(None, ("user_store",))
    if record is None:
        return Hydrated(None, ("unknown_user",))
    if record.user_id != user_id:
        return Hydrated(None, ("user_store",))
    if record.generation != generation:
        return Hydrated(None, ("user_generation",))
    return Hydrated(record)
