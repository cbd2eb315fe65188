"""What is alive when a process settles is not walked again; what is made later still is."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from cluster.serving.garbage import settle


class _Node:
    other: object = None


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_what_is_alive_is_frozen() -> None:
    settle()
    assert gc.get_freeze_count() > 1000
    assert gc.get_threshold()[0] > 700


def test_a_later_cycle_is_still_freed() -> None:
    settle()
    one, two = _Node(), _Node()
    one.other, two.other = two, one
    gone = weakref.ref(one)
    del one, two
    gc.collect()
    assert gone() is None
