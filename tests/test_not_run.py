"""What becomes of tests that cannot be run: told in the last line, and a failure where --no-skips is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONFTEST = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.not_run import *
"""
TESTS = """
import pytest

def test_passes():
    pass

@pytest.mark.parametrize("n", (1, 2))
def test_needs_a_server(n):
    pytest.skip("no server here")
"""


def pytest_on(folder: Path, tests: str, *options: str) -> tuple[int, str]:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_some.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), *options, str(folder)]
    asked_for_here = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=asked_for_here)
    return done.returncode, done.stdout


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--no-skips",), 1)])
def test_skipped_tests_are_told_last_and_fail_where_asked(tmp_path: Path, options: tuple[str, ...], code: int) -> None:
    assert (told := pytest_on(tmp_path, TESTS, *options))[0] == code
    assert told[1].splitlines()[-1] == "NOT RUN: 2 tests: no server here"


def test_where_all_tests_ran_nothing_is_said(tmp_path: Path) -> None:
    code, told = pytest_on(tmp_path, "def test_passes():\n    pass\n", "--no-skips")
    assert code == 0 and "NOT RUN" not in told
