"""Where and with what a benchmark ran: the machine, the versions, and the CPU time and memory of process trees.

It knows Linux only, and nothing of what is being measured.
"""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

import psutil

from deploy.machine.listeners import process_tree

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def machine() -> dict[str, object]:
    """This machine: CPU model, cores we may use, memory in GiB, kernel."""
    cpu = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": platform.release(),
    }


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Versions of Python, of this source tree (its commit) and of the named distributions."""
    return {"python": platform.python_version(), "oskolok": _commit()} | {name: metadata.version(name) for name in packages}


def cpu_s(pids: Iterable[int | str]) -> float:
    """CPU seconds (user and system) that these processes have used so far, in steps of 10 ms; those gone count 0.

    A thread is named "<pid>/task/<tid>"."""
    ticks = 0
    for pid in pids:
        fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12]) if fields else 0
    return ticks * _TICK_S


def memory_bytes(pids: Iterable[int]) -> int:
    """Resident memory of these processes, pages that several share counted once (proportional set size)."""
    total = 0
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            total += psutil.Process(pid).memory_full_info().pss
    return total


class CpuMeter:
    """CPU seconds that process trees use between two moments, processes started in between included.

    A process that ends in between keeps what it had used when it was last looked at (`sample`).
    """

    def __init__(self, root_pids: Sequence[int], *, without: Iterable[int] = ()) -> None:
        self._roots = tuple(root_pids)
        self._without = frozenset(without)
        self._used: dict[int, float] = {}
        self.sample()
        self._before = self._total()

    def sample(self) -> None:
        """Look at the processes that live now."""
        for root in self._roots:
            for pid in process_tree(root):
                if pid not in self._without:
                    self._used[pid] = max(self._used.get(pid, 0.0), cpu_s([pid]))

    def used_s(self) -> float:
        """CPU seconds since the meter was made."""
        self.sample()
        return self._total() - self._before

    def _total(self) -> float:
        return sum(self._used.values())


@functools.cache
def _commit() -> str:
    here = Path(__file__).parent
    commit = _git(here, "rev-parse", "--short=10", "HEAD") or "unknown"
    return commit + ("+changes" if _git(here, "status", "--porcelain", "--untracked-files=no") else "")


def _git(folder: Path, *arguments: str) -> str:
    try:
        return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _lines(path: str) -> list[str]:
    return _read(Path(path)).splitlines()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
