"""The harness measures in turns, takes medians, keeps rows that say where they come from, and compares the right way up."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bench.tools.harness import Bench, in_fresh_process, interleave, percentiles, table, time_calls
from bench.tools.machine import CpuMeter, memory_bytes
from bench.tools.row import Row, higher_is_better, read_rows
from deploy.machine.listeners import process_tree


def test_systems_take_turns_and_warm_ups_do_not_count() -> None:
    turns: list[str] = []
    readings = {"a": iter([99.0, 1, 2, 9]), "b": iter([99.0, 5, 4, 6])}

    def repeat(name: str):
        def one() -> dict[str, float]:
            turns.append(name)
            return {"p50_us": next(readings[name])}

        return one

    medians = interleave({"a": repeat("a"), "b": repeat("b")}, repeats=3, warmups=1)
    assert medians == {"a": {"p50_us": 2}, "b": {"p50_us": 5}}
    assert "".join(turns) == "abbaabba"


def run(path: Path, *arguments: str, cases: tuple[str, ...]) -> list[Row]:
    bench = Bench.from_arguments("fanout", packages=("numpy",), argv=["--json", str(path), *arguments])
    bench.console = Console(file=open(os.devnull, "w"))  # noqa: SIM115
    with bench.console.file:
        for case in cases:
            if bench.wants(case):
                bench.run(case, {"oskolok": lambda: {"p50_us": 123.456789}, "peer": lambda: {"p50_us": 200.0}}, repeats=1)
    return read_rows(path)


def test_rows_say_what_was_measured_where_and_with_what(tmp_path: Path) -> None:
    first, second = run(tmp_path / "rows.jsonl", cases=("4 shards",))
    assert (first.bench, first.case, first.system, first.metrics) == ("fanout", "4 shards", "oskolok", {"p50_us": 123.46})
    assert second.system == "peer"
    assert first.machine["cores"] >= 1  # type: ignore[operator]
    assert first.versions["numpy"] == np.__version__
    assert first.time.endswith("+00:00")


def test_a_whole_run_replaces_rows_and_a_part_of_one_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    run(path, cases=("4 shards", "16 shards", "old"))
    partly = run(path, "--only", "16", cases=("4 shards", "16 shards"))
    assert [row.case for row in partly] == ["4 shards"] * 2 + ["old"] * 2 + ["16 shards"] * 2
    assert [row.case for row in run(path, cases=("4 shards",))] == ["4 shards"] * 2


def test_the_table_says_how_many_times_better_ours_is_whichever_way_better_lies() -> None:
    def row(system: str, **metrics: float) -> Row:
        return Row("b", "c", system, metrics, {}, {}, "")

    console = Console(width=200, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    with console.file:
        console.print(table("t", [row("oskolok", p50_us=10, requests_per_s=300), row("peer", p50_us=25, requests_per_s=100)]))
    text = console.export_text()
    assert "25 (2.5×)" in text
    assert "100 (3×)" in text
    assert higher_is_better("recall@100")
    assert not higher_is_better("cpu_ms_per_request")


def test_percentiles_are_named_and_scaled_by_their_unit() -> None:
    seconds = np.arange(1, 102) / 1000
    assert percentiles(seconds, "ms") == pytest.approx({"p50_ms": 51, "p99_ms": 100})
    assert percentiles(seconds) == pytest.approx({"p50_us": 51_000, "p99_us": 100_000})


def test_calls_are_timed_one_by_one() -> None:
    assert time_calls(abs, [-1, -2, -3]).shape == (3,)


def test_cpu_time_of_a_tree_is_counted_and_memory_seen() -> None:
    meter = CpuMeter([os.getpid()])
    sum(i * i for i in range(3_000_000))
    assert 0.02 < meter.used_s() < 20
    assert memory_bytes([os.getpid()]) > 10 << 20
    assert os.getpid() in process_tree(os.getpid())


def double(n: int) -> int:
    return 2 * n


def fail() -> None:
    raise ValueError("as planned")


def die() -> None:
    os._exit(3)


def test_a_fresh_process_gives_result_and_peak_memory_and_its_failures_are_seen() -> None:
    result, peak = in_fresh_process(double, 21)
    assert result == 42
    assert peak > 1 << 20
    with pytest.raises(ValueError, match="as planned"):
        in_fresh_process(fail)
    with pytest.raises(RuntimeError, match="died with exit code 3"):
        in_fresh_process(die)
