"""The examples in doc strings are run, in every package that is shipped."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import pkgutil

import pytest

PACKAGES = ("cluster", "shard", "ranker", "router", "train")
NEEDS_TORCH = {"train.tower_network"}


def modules() -> list[str]:
    return [
        found.name
        for package in PACKAGES
        for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")
        if not found.name.endswith((".actor", ".remote"))  # these import ray
        and (found.name not in NEEDS_TORCH or importlib.util.find_spec("torch"))
    ]


@pytest.mark.parametrize("name", modules())
def test_examples_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    found = [test for name in modules() for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(found) >= 5
