"""Of the CPU that a request costs the cluster, how much is the work itself: graph walks, scans, BLAS, trees?

py-spy samples router, shards and rankers, native frames included, while 16 callers keep them busy. A sample counts as kernel if
hnswlib, our native scanner, BLAS, einsum or CatBoost is on its stack; waiting samples are left out. Only the thread that
answers requests is looked at, the busiest of its process, and its shares are weighed by the CPU it used before py-spy came;
what Ray's other threads, HAProxy and the rest of the tree used counts as other. The five largest other costs are printed and
kept as metrics, which `python -m bench.plot kernel` draws.

    python -m bench.kernel [--quick] [--json FILE]
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.tools.cluster_under_test import PATH, deployment, ours
from bench.tools.harness import Bench
from bench.tools.load import closed_loop
from bench.tools.machine import cpu_s
from deploy.machine.listeners import process_tree

CONCURRENCY = 16
RATE_HZ = 200
ACTORS = ("ServeReplica", "ShardActor", "RankerActor")
_KERNEL = re.compile(r"hnswlib|_kernel\.|openblas|cblas|catboost\.so|_catboost|c_einsum|einsum|sum_of_products")
_WAITING = re.compile(r"libc\.so|epoll|cond_wait|futex|select")
_ANSWERING = re.compile(r"ServerThread\._run|run_forever|run_until_complete|call_asgi|\(router/|\(deploy/")
_COSTS = (
    ("serve", re.compile(r"\(ray/|raylet|cloudpickle")),
    ("transport and codec", re.compile(r"\(cluster/|msgspec")),
    ("http", re.compile(r"uvicorn|starlette|fastapi|\(deploy/|httptools")),
    ("router", re.compile(r"\(router/")),
    ("shard", re.compile(r"\(shard/")),
    ("ranker", re.compile(r"\(ranker/|catboost")),
    ("event loop", re.compile(r"loop\.c|uvloop|asyncio")),
)


@dataclass(frozen=True)
class Profile:
    """The answering thread of one process. stacks: active samples by stack, outermost first.  cpu_s: what it used."""

    stacks: Counter[tuple[str, ...]]
    cpu_s: float

    @property
    def kernel_share(self) -> float:
        active = sum(self.stacks.values())
        return sum(n for stack, n in self.stacks.items() if any(map(_KERNEL.search, stack))) / max(active, 1)


def main() -> None:
    bench = Bench.from_arguments("kernel", packages=("ray", "py-spy", "numpy", "hnswlib", "catboost"))
    case = f"4 shards, c={CONCURRENCY}"
    if not bench.wants(case):
        return
    deployed = deployment(bench.size(full=100_000, quick=40_000), 4)
    bodies = [json.dumps({"user_id": user, "k": 20}).encode() for user in deployed.world.user_ids]
    seconds = bench.size(full=30.0, quick=12.0)
    with ours(deployed) as server:
        closed_loop(server.port, PATH, bodies, concurrency=CONCURRENCY, seconds=2)
        profiles, total_s, n_requests = _sampled(server.child.pid, server.port, bodies, seconds)
    kernel_s = sum(profile.kernel_share * profile.cpu_s for profile in profiles)
    costs = other_costs(profiles, total_s, kernel_s)
    for name, share in costs.most_common(5):
        bench.say(f"{share:6.1%}  {name}")
    metrics = {"kernel_share": kernel_s / total_s, "cpu_ms_per_request": total_s * 1000 / n_requests}
    bench.add(case, {"oskolok": metrics | {f"{name.replace(' ', '_')}_cost": share for name, share in costs.most_common(5)}})


def other_costs(profiles: Iterable[Profile], total_s: float, kernel_s: float) -> Counter[str]:
    """Shares of the cluster's CPU that are not kernel, by where they arise: the innermost frame that names a place."""
    costs: Counter[str] = Counter()
    for profile in profiles:
        active = max(sum(profile.stacks.values()), 1)
        for stack, n in profile.stacks.items():
            if not any(map(_KERNEL.search, stack)):
                costs[_cost(stack)] += n / active * profile.cpu_s / total_s
    costs["ray and haproxy"] = 1 - kernel_s / total_s - sum(costs.values())
    return costs


def _cost(stack: tuple[str, ...]) -> str:
    for frame in reversed(stack):
        for name, pattern in _COSTS:
            if pattern.search(frame):
                return name
    return "interpreter"


def _sampled(root: int, port: int, bodies: list[bytes], seconds: float) -> tuple[list[Profile], float, int]:
    """Profiles of our processes, CPU seconds of the whole tree, and how many requests were answered meanwhile.

    CPU is read first and stacks are sampled afterwards: a sampler stops a process for every sample, which costs CPU there.
    """
    pids = process_tree(root)
    answering = [pid for pid in pids if _is_ours(pid)]
    before = {pid: cpu_s([pid]) for pid in pids}
    threads = {pid: _thread_cpu_s(pid) for pid in answering}
    report = closed_loop(port, PATH, bodies, concurrency=CONCURRENCY, seconds=seconds / 2)
    used = {pid: cpu_s([pid]) - before[pid] for pid in pids}
    busiest = {pid: _busiest_s(threads[pid], _thread_cpu_s(pid)) for pid in answering}
    with tempfile.TemporaryDirectory() as folder:
        spies = {pid: _spy(pid, Path(folder) / f"{pid}.txt", seconds) for pid in answering}
        closed_loop(port, PATH, bodies, concurrency=CONCURRENCY, seconds=seconds)
        for spy in spies.values():
            spy.wait(60)
        profiles = [Profile(_stacks(Path(folder) / f"{pid}.txt"), busiest[pid]) for pid in answering]
    return profiles, sum(used.values()), len(report.latencies_s)


def _thread_cpu_s(pid: int) -> dict[str, float]:
    """CPU seconds of each thread so far."""
    return {task.name: cpu_s([f"{pid}/task/{task.name}"]) for task in Path(f"/proc/{pid}/task").iterdir()}


def _busiest_s(before: dict[str, float], after: dict[str, float]) -> float:
    return max(after[thread] - before.get(thread, 0.0) for thread in after)


def _is_ours(pid: int) -> bool:
    """Whether it is a router, a shard or a ranker, by the title that Ray gives its actors."""
    try:
        title = Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False
    return any(f"ray::{actor}" in title for actor in ACTORS)


def _spy(pid: int, path: Path, seconds: float) -> subprocess.Popen[bytes]:
    spy = str(Path(sys.executable).with_name("py-spy"))
    command = [
        spy,
        "record",
        "--native",
        "-p",
        str(pid),
        "-d",
        str(round(seconds)),
        "-r",
        str(RATE_HZ),
        "-f",
        "raw",
        "-o",
        str(path),
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _stacks(path: Path) -> Counter[tuple[str, ...]]:
    """Active samples. A thread that waits is sampled too; its innermost frame is a wait in libc."""
    stacks: Counter[tuple[str, ...]] = Counter()
    for line in path.read_text().splitlines() if path.exists() else ():
        frames, _, count = line.rpartition(" ")
        stack = tuple(frames.split(";"))
        if not _WAITING.search(stack[-1]) and any(map(_ANSWERING.search, stack)):
            stacks[stack] += int(count)
    return stacks


if __name__ == "__main__":
    main()
