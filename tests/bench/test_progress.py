"""A build's progress in the log of a benchmark."""

from __future__ import annotations

from bench.tools.progress import Lines


def test_lines_tell_stage_seconds_and_summary() -> None:
    lines: list[str] = []
    clock = iter([1.0, 3.5])
    progress = Lines(lines.append, lambda: next(clock))
    progress.begin("als", 10)
    progress.advance(10)
    progress.end("10 sweeps")
    assert lines == ["als                    2.5 s  10 sweeps"]
