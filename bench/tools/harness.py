"""The one way a benchmark is run: warm-up, interleaved repeats, medians, rows with machine and versions, a table.

A bench file describes cases and, per case, the systems to compare: each a function that does one repeat and returns its
metrics. The harness runs all systems of a case in turn within each round, rotating who goes first, so that a machine
that slows down or speeds up does so for all of them. What a repeat measures, and that its answers are right, is the
bench file's business: check answers before times.

    bench = Bench.from_arguments("fanout", packages=("uvloop", "ray"))
    if bench.wants("4 shards"):
        bench.run("4 shards", {"oskolok": ours, "grpc.aio": theirs}, repeats=bench.size(full=5, quick=3))

    python -m bench.fanout [--quick] [--json FILE] [--only TEXT]
"""

from __future__ import annotations

import argparse
import datetime
import gc
import multiprocessing
import multiprocessing.connection
import resource
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bench.tools.machine import machine, versions
from bench.tools.row import OURS, Row, higher_is_better, read_rows, write_rows

T = TypeVar("T")
Metrics = Mapping[str, float]
Repeat = Callable[[], Metrics]

_PER_S = {"s": 1.0, "ms": 1e3, "us": 1e6}


@dataclass
class Bench:
    """One run of one bench. `quick` asks for a run of at most a minute; `only` is part of the case names wanted."""

    name: str
    packages: Sequence[str] = ()
    quick: bool = False
    json_path: Path | None = None
    only: str = ""
    rows: list[Row] = field(default_factory=list)
    console: Console = field(default_factory=lambda: Console(highlight=False, width=None if sys.stdout.isatty() else 140))

    @classmethod
    def from_arguments(cls, name: str, *, packages: Sequence[str] = (), argv: Sequence[str] | None = None) -> Bench:
        """As asked for on the command line. packages: the distributions whose versions matter to the result."""
        parser = argparse.ArgumentParser(prog=f"python -m bench.{name}")
        parser.add_argument("--quick", action="store_true", help="everything within a minute, with more noise")
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here, as JSON lines")
        parser.add_argument("--only", default="", metavar="TEXT", help="only cases whose name contains this")
        arguments = parser.parse_args(argv)
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that servers it started are stopped
        return cls(name, packages, arguments.quick, arguments.json, arguments.only)

    def size(self, *, full: T, quick: T) -> T:
        """A number of repeats, seconds or queries: the one for this run."""
        return quick if self.quick else full

    def wants(self, case: str) -> bool:
        """Whether this run includes the case; ask before preparing anything expensive for it."""
        return self.only in case

    def run(self, case: str, systems: Mapping[str, Repeat], *, repeats: int, warmups: int = 1) -> dict[str, Metrics]:
        """Measure one case. Returns system -> median metrics, prints them, and keeps a row for each system."""
        assert self.wants(case), f"case {case!r} was not asked for"
        medians = interleave(systems, repeats=repeats, warmups=warmups)
        self.add(case, medians)
        return medians

    def add(self, case: str, measured: Mapping[str, Metrics]) -> None:
        """Keep and print rows that were measured elsewhere, say one per process."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        here, with_what = machine(), versions(self.packages)
        new = [Row(self.name, case, system, _rounded(metrics), here, with_what, now) for system, metrics in measured.items()]
        self.rows += new
        self.console.print(table(f"{self.name}: {case}", new))
        if self.json_path:
            self._write(self.json_path)

    def say(self, text: str) -> None:
        """A remark for whoever watches."""
        self.console.print(text, style="dim")

    def _write(self, path: Path) -> None:
        measured = {row.case for row in self.rows}
        kept = [row for row in read_rows(path) if self.only and row.case not in measured]
        write_rows(path, [*kept, *self.rows])


def interleave(systems: Mapping[str, Repeat], *, repeats: int, warmups: int = 1) -> dict[str, Metrics]:
    """Run every system `repeats` times, all of them in each round, and take the median of each metric.

    The garbage collector is emptied before and off during a repeat, as in `timeit`.
    """
    results: dict[str, list[Metrics]] = {name: [] for name in systems}
    names = list(systems)
    for turn in range(warmups + repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            metrics = _without_gc(systems[name])
            if turn >= warmups:
                results[name].append(metrics)
    return {name: {m: statistics.median(r[m] for r in runs) for m in runs[0]} for name, runs in results.items()}


def percentiles(seconds: NDArray[np.float64] | Sequence[float], unit: str = "us") -> dict[str, float]:
    """p50 and p99 of durations given in seconds, named and scaled by unit: s, ms or us."""
    p50, p99 = np.percentile(np.asarray(seconds, np.float64) * _PER_S[unit], [50, 99])
    return {f"p50_{unit}": float(p50), f"p99_{unit}": float(p99)}


def time_calls(call: Callable[[T], object], inputs: Iterable[T]) -> NDArray[np.float64]:
    """Seconds that each call took, one after the other, (n,) float64."""
    clock = time.perf_counter
    taken = []
    for one in inputs:
        start = clock()
        call(one)
        taken.append(clock() - start)
    return np.asarray(taken)


def in_fresh_process(function: Callable[..., T], *arguments: object) -> tuple[T, int]:
    """(result, peak resident bytes) of a module-level function run in a new interpreter that has loaded nothing else."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_report, args=(sender, function, arguments))
    child.start()
    sender.close()
    try:
        outcome: tuple[T, int] | BaseException = receiver.recv()
    except EOFError:
        child.join()
        raise RuntimeError(f"{function.__qualname__} died with exit code {child.exitcode}") from None
    child.join()
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def table(title: str, rows: Sequence[Row]) -> Table:
    """The rows side by side; after each peer's figure, how many times better ours is."""
    ours = next((row for row in rows if row.system == OURS), None)
    names = list(dict.fromkeys(name for row in rows for name in row.metrics))
    note = "\n(n×): how many times better oskolok is" if ours is not None and len(rows) > 1 else ""
    grid = Table(title=title + note, title_justify="left")
    grid.add_column("system")
    for name in names:
        grid.add_column(name, justify="right")
    for row in rows:
        grid.add_row(row.system, *(_cell(name, row, ours) for name in names))
    return grid


def _cell(metric: str, row: Row, ours: Row | None) -> str:
    value = row.metrics.get(metric)
    if value is None:
        return "–"
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    reference = ours.metrics.get(metric) if ours is not None and ours is not row else None
    if not reference or not value:
        return text
    ratio = reference / value if higher_is_better(metric) else value / reference
    return f"{text} ({ratio:.3g}×)"


def _rounded(metrics: Metrics) -> dict[str, float]:
    return {name: float(f"{value:.5g}") for name, value in metrics.items()}


def _without_gc(repeat: Repeat) -> Metrics:
    gc.collect()
    gc.disable()
    try:
        return repeat()
    finally:
        gc.enable()


def _report(
    sender: multiprocessing.connection.Connection, function: Callable[..., object], arguments: Sequence[object]
) -> None:
    try:
        result = function(*arguments)
        sender.send((result, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
    except BaseException as error:  # whatever it was, the parent raises it
        sender.send(error)
    sys.exit(0)
