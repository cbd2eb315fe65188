"""From topologies to fleets: opens a channel to every process that a topology names and keeps it across versions.

A request takes one fleet and uses it to its end, so a channel that the newest topology no longer names stays open for
as long as a request may live before it is closed.
"""

from __future__ import annotations

import asyncio

from cluster.clients.protocols import Fleet
from cluster.clients.remote import RemoteRankerClient, RemoteShardClient
from cluster.clients.replicas import RankerReplicas, ShardReplicas
from cluster.config.sections import TransportSection
from cluster.topology import Address, Replica, Topology
from cluster.transport.channel import Channel

RETIRE_S = 10.0
"""The longest a request may take (the ceiling of every timeout)."""


class ChannelPool:
    """All channels of one router process. Belongs to the loop it is used on. node_id: the node this process runs on."""

    def __init__(self, *, secret: bytes, limits: TransportSection, node_id: str, retire_s: float = RETIRE_S) -> None:
        self._secret = secret
        self._limits = limits
        self._node_id = node_id
        self._retire_s = retire_s
        self._open: dict[Address, Channel] = {}
        self._retiring: dict[Address, asyncio.TimerHandle] = {}
        self._closed: list[Channel] = []

    def fleet(self, topology: Topology) -> Fleet:
        """Clients for this topology's processes, those that are dead left out; channels start to connect at once."""
        named = {r.address for group in (*topology.shards, topology.rankers) for r in group if r.state != "dead"}
        for address in self._open.keys() - named - self._retiring.keys():
            timer = asyncio.get_running_loop().call_later(self._retire_s, self._retire, address)
            self._retiring[address] = timer
        for address in named & self._retiring.keys():
            self._retiring.pop(address).cancel()
        shards = tuple(
            ShardReplicas(shard, [RemoteShardClient(r.name, self._channel(r)) for r in replicas if r.state != "dead"])
            for shard, replicas in enumerate(topology.shards)
        )
        rankers = [RemoteRankerClient(r.name, self._channel(r)) for r in topology.rankers if r.state != "dead"]
        return Fleet(topology.version, topology.spec, shards, RankerReplicas(rankers) if topology.rankers else None)

    @property
    def channels(self) -> dict[Address, Channel]:
        """Every open channel, those that retire included."""
        return dict(self._open)

    async def wait_connected(self, timeout_s: float) -> int:
        """How many channels have no connection after waiting up to timeout_s for all of them."""
        connected = await asyncio.gather(*(channel.wait_connected(timeout_s) for channel in self._open.values()))
        return connected.count(False)

    async def close(self) -> None:
        """Close every channel; calls in flight fail with ConnectionLost."""
        for timer in self._retiring.values():
            timer.cancel()
        self._retiring.clear()
        for address in list(self._open):
            self._close(address)
        for channel in self._closed:
            await channel.wait_closed()
        self._closed.clear()

    def _channel(self, replica: Replica) -> Channel:
        channel = self._open.get(replica.address)
        if channel is None:
            channel = Channel(replica.address, node_id=self._node_id, secret=self._secret, limits=self._limits)
            self._open[replica.address] = channel
        return channel

    def _retire(self, address: Address) -> None:
        del self._retiring[address]
        self._close(address)

    def _close(self, address: Address) -> None:
        channel = self._open.pop(address)
        channel.close()
        self._closed = [c for c in self._closed if not c.closed] + [channel]
