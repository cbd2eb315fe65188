"""What the supervisor asks of whatever runs its shards and rankers: find, start, ask, end. `deploy/runtime/ray_actors.py` is
Ray's.

A handle stands for one actor; only the implementation that returned it looks inside. Every call ends within a bounded time
except `ask`, which waits for as long as the actor may still answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from cluster.topology import ReplicaStatus
from deploy.runtime.reconcile import Node, Slot

Handle = Any


class ActorGone(Exception):
    """The actor's process is gone, or was never started. Any other error of `ask` says only that it did not answer."""


class Actors(Protocol):
    """The actors of one cluster."""

    async def find(self, slot: Slot) -> Handle | None:
        """The slot's actor, as an earlier supervisor may have left it; None if there is none."""
        ...

    async def nodes(self) -> Sequence[Node]:
        """The nodes that actors may be placed on."""
        ...

    async def start(self, slot: Slot, node: Node) -> Handle:
        """Begin to start the slot's actor. If the slot has one already, that one is returned."""
        ...

    async def ask(self, handle: Handle) -> ReplicaStatus:
        """How the actor is. Raises ActorGone."""
        ...

    async def kill(self, handle: Handle) -> None:
        """End the actor's process."""
        ...

    async def stop(self, handle: Handle) -> None:
        """Let the actor finish what it is doing."""
        ...
