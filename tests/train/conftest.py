"""Fixtures of the training tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.train.past import read_world, signals_at
from tests.worlds import NOW, TINY, tiny_config
from train.signals import Signals


@pytest.fixture(scope="session")
def tiny_signals(tmp_path_factory: pytest.TempPathFactory) -> Signals:
    """Everything known of the tiny world at its end. Read only."""
    config = tiny_config(Path("unused"))
    catalogue, log = read_world(TINY, config, tmp_path_factory.mktemp("world"), now=NOW)
    return signals_at(catalogue, log, config, as_of=TINY.end)
