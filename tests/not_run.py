"""Pytest's hooks for tests that this machine cannot run: the last line tells them and why; --no-skips makes that a failure.

A test is skipped for want of a program or an extra, never by choice. CI has both, so it passes --no-skips.
"""

from __future__ import annotations

from collections import Counter

import pytest

_SKIPPED = pytest.StashKey[Counter[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="fail if a test was skipped")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("neural") is not None:
        pytest.importorskip("torch", reason="torch is not installed: `make test-neural` installs it")


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    reports = reporter.stats.get("skipped", []) if reporter is not None else []
    skipped = session.config.stash[_SKIPPED] = Counter(_reason(report) for report in reports)
    if skipped and session.config.getoption("--no-skips") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config: pytest.Config) -> None:
    """After everything else, the line that counts the passed tests included."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    for reason, n in config.stash.get(_SKIPPED, Counter()).most_common():
        reporter.write_line(f"NOT RUN: {n} test{'s' if n > 1 else ''}: {reason}", red=True, bold=True)


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    told = report.longrepr
    return str(told[2] if isinstance(told, tuple) else told).removeprefix("Skipped: ")
