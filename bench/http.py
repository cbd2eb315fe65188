"""What does a whole two-stage request cost over HTTP, and how many a second does this machine answer?

Ours beside two forms of the same thing on the same items, users and models: the textbook form (our cores behind Ray actor
calls and default Serve) and the single process people glue together by hand (FastAPI, hnswlib, CatBoost, no shards). Answers
are compared before anything is timed: equal to the textbook's, item by item, and nearly equal to the single process's, whose
one graph over all items is another approximation than four.

Closed loop at 1, 4 and 16 callers, then open loop at fixed rates. The generator runs on the same machine as the servers, for
all systems alike; the servers whose turn it is not stand still. `--quick` has 1 and 16 callers once, and no open loop.

    python -m bench.http [--quick] [--json FILE] [--only TEXT]
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping

from bench.tools.cluster_under_test import PATH, Server, deployment, ours, single_process, textbook
from bench.tools.harness import Bench, Metrics
from bench.tools.load import LoadReport, closed_loop, open_loop

K = 20
CHECKED_USERS = 40
MIN_OVERLAP = 0.9
_WAKING_S = 0.5  # for what piled up while a server stood still: timers, health checks


def main() -> None:
    bench = Bench.from_arguments("http", packages=("ray", "uvloop", "fastapi", "hnswlib", "catboost", "msgspec", "uvicorn"))
    bench.say("building or finding the world")
    deployed = deployment(n_items=bench.size(full=100_000, quick=40_000), n_shards=4)
    bodies = [json.dumps({"user_id": user, "k": K}).encode() for user in deployed.world.user_ids]
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(start(deployed)) for start in (ours, textbook, single_process)]
        check(bench, servers, deployed.world.user_ids[:CHECKED_USERS])
        for server in servers:
            server.pause()
        measured: dict[str, Mapping[str, Metrics]] = {}
        for concurrency in bench.size(full=(1, 4, 16), quick=(1, 16)):
            case = f"4 shards, c={concurrency}"
            if bench.wants(case):
                measured[case] = bench.run(
                    case,
                    {server.system: _closed(server, bodies, concurrency, bench) for server in servers},
                    repeats=bench.size(full=9, quick=1),
                    warmups=bench.size(full=1, quick=0),
                )
        for rate in bench.size(full=(50, 200, 400), quick=()):
            case = f"4 shards, open loop {rate}/s"
            able = [server for server in servers if _can(server.system, rate, measured)]
            if able and bench.wants(case):
                bench.run(
                    case,
                    {server.system: _open(server, bodies, rate, bench) for server in able},
                    repeats=bench.size(full=2, quick=1),
                    warmups=0,
                )


def check(bench: Bench, servers: list[Server], user_ids: list[str]) -> None:
    """Equal answers, or no benchmark."""
    mine, same, like = servers
    overlaps = []
    for user in user_ids:
        slate, textbook_slate, single_slate = (_ids(server, user) for server in (mine, same, like))
        assert slate == textbook_slate, f"{user}: {mine.system} answers {slate}, {same.system} {textbook_slate}"
        overlaps.append(len(set(slate) & set(single_slate)) / K)
    overlap = sum(overlaps) / len(overlaps)
    bench.say(f"{len(user_ids)} slates equal to {same.system}'s; {overlap:.1%} of the items are also {like.system}'s")
    assert overlap >= MIN_OVERLAP, f"only {overlap:.1%} of the items agree with {like.system}"


def _ids(server: Server, user_id: str) -> list[str]:
    return [item["item_id"] for item in server.recommend(user_id, K)["items"]]


def _closed(server: Server, bodies: list[bytes], concurrency: int, bench: Bench):
    seconds = bench.size(full=2.0, quick=1.0)
    return lambda: _metered(server, lambda: closed_loop(server.port, PATH, bodies, concurrency=concurrency, seconds=seconds))


def _open(server: Server, bodies: list[bytes], rate: int, bench: Bench):
    seconds = bench.size(full=6.0, quick=2.0)
    return lambda: _metered(server, lambda: open_loop(server.port, PATH, bodies, rate=rate, seconds=seconds))


def _metered(server: Server, load) -> dict[str, float]:
    with server.awake():
        time.sleep(_WAKING_S)
        cpu = server.cpu()
        report: LoadReport = load()
        answered = max(1, len(report.latencies_s))
        return report.metrics() | {"cpu_ms_per_request": cpu.used_s() * 1000 / answered}


def _can(system: str, rate: int, measured: Mapping[str, Mapping[str, Metrics]]) -> bool:
    """Whether a system could keep up with a rate at all: beyond the knee an open loop measures only its own patience."""
    best = max((metrics[system]["requests_per_s"] for metrics in measured.values() if system in metrics), default=rate * 2)
    return best >= rate


if __name__ == "__main__":
    main()
