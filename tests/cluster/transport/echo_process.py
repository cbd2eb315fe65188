"""A data-plane server as a process of its own, for tests that kill or freeze it: `python -m ... SOCKET`."""

from __future__ import annotations

import asyncio
import os
import sys

import uvloop

from cluster.transport.server import Server
from tests.cluster.served import LIMITS, SECRET, Puppet


async def main() -> None:
    server = Server(Puppet(), secret=SECRET, limits=LIMITS)
    await server.start(unix_path=sys.argv[1])
    print(os.getpid(), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
