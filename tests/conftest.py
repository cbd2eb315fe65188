"""Fixtures for every package's tests, and what becomes of tests that this machine cannot run."""

from __future__ import annotations

import pytest

from cluster.generation import Generation, generation_path
from tests.not_run import pytest_addoption, pytest_runtest_setup, pytest_sessionfinish, pytest_unconfigure
from tests.worlds import build_tiny

__all__ = ["pytest_addoption", "pytest_runtest_setup", "pytest_sessionfinish", "pytest_unconfigure"]


@pytest.fixture(scope="session")
def tiny_generation(tmp_path_factory: pytest.TempPathFactory) -> Generation:
    """A whole generation of three shards over 150 items, published. Read only."""
    folder = tmp_path_factory.mktemp("tiny")
    built = build_tiny(folder)
    return Generation.open(generation_path(folder / "store", built.spec.id))
