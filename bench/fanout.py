"""How fast a router can ask all its shards: 4 and 16 local processes, a 256-byte query, 1 kB replies, one caller.

    python -m bench.fanout [--quick] [--json FILE]

p50_us and p99_us: one fan-out at a time. fanouts_per_s: 32 at a time from the one caller. cpu_us_per_fanout: CPU time of
all processes of that system, caller included. Every reply is checked to be the answer to its own query.
"""

from __future__ import annotations

import os

os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

from contextlib import ExitStack
from functools import partial

from bench.tools.fabrics import GrpcAio, Oskolok, RayActors, with_cpu
from bench.tools.harness import Bench
from bench.tools.row import OURS

N_SHARDS = (4, 16)


def main() -> None:
    bench = Bench.from_arguments("fanout", packages=("uvloop", "ray", "grpcio"))
    seconds = bench.size(full=3.0, quick=0.5)
    wanted = [n for n in N_SHARDS if bench.wants(f"{n} shards")]
    with ExitStack() as stack:
        fabrics = {}
        for name, fabric in ((OURS, Oskolok), ("ray actor calls", RayActors), ("grpc.aio", GrpcAio)):
            bench.say(f"starting {max(wanted)} processes: {name}")
            fabrics[name] = fabric(max(wanted))
            stack.callback(fabrics[name].stop)
        for n in wanted:
            systems = {name: partial(with_cpu, fabric, n, seconds) for name, fabric in fabrics.items()}
            bench.run(f"{n} shards", systems, repeats=bench.size(full=5, quick=2))


if __name__ == "__main__":
    main()
