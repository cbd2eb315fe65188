"""A router's view of the cluster: it asks the supervisor for news, and keeps its last view while the supervisor does not
answer.

The fleet that requests use is rebuilt from each new topology; connections are kept across versions
(`cluster/clients/channel_pool.py`). How the supervisor is reached is the caller's business, so this runs without Ray.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from cluster.clients.protocols import Fleet
from cluster.cluster_state import ClusterView
from cluster.errors import ShardLoading
from cluster.topology import Topology

RETRY_S = 0.5
"""Between attempts to reach a supervisor that does not answer."""

log = logging.getLogger("oskolok.router")


class FleetMaker(Protocol):
    """`cluster.clients.channel_pool.ChannelPool`, as far as it is used here."""

    def fleet(self, topology: Topology) -> Fleet: ...


class Follower:
    """poll: given the version known, a newer view, or what there is after a while.  announce: called with each new topology."""

    def __init__(
        self, poll: Callable[[int], Awaitable[ClusterView | None]], fleets: FleetMaker, announce: Callable[[Topology], None]
    ) -> None:
        self._poll = poll
        self._fleets = fleets
        self._announce = announce
        self._fleet: Fleet | None = None
        self.view: ClusterView | None = None

    def fleet(self) -> Fleet:
        """The newest fleet. Raises ShardLoading before there is any."""
        if self._fleet is None:
            raise ShardLoading("the router has not heard from the supervisor yet")
        return self._fleet

    async def run(self) -> None:
        """Follow for ever; cancel to end it."""
        alone = False
        while True:
            known = self.view.version if self.view is not None else 0
            try:
                newest = await self._poll(known)
            except Exception as error:
                if not alone:
                    log.warning("no word from the supervisor, going on with topology %d: %s", known, error)
                alone = True
                await asyncio.sleep(RETRY_S)
                continue
            if alone:
                log.warning("the supervisor answers again")
                alone = False
            if newest is not None and newest.version > known:
                self._fleet = self._fleets.fleet(newest.topology)
                self.view = newest
                self._announce(newest.topology)
