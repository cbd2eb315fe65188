"""The examples in doc strings are run, in every package that is shipped."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

PACKAGES = ("cluster", "shard", "ranker", "router", "train", "deploy.commands")
NEEDS_TORCH = {"train.vectors.tower_network"}


def modules() -> list[str]:
    return [
        found.name
        for package in PACKAGES
        for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")
        if not found.name.endswith((".actor", ".ray_errors"))  # these import ray
    ]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.neural) if name in NEEDS_TORCH else name for name in modules()]
)
def test_examples_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    names = [name for name in modules() if name not in NEEDS_TORCH]
    found = [test for name in names for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(found) >= 5
