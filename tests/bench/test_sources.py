"""The bench's own checker: exact sources agree at any number of shards, and one that would not is caught."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.sources import cut_in_memory, same_at_any_partition
from cluster.config.sections import Config
from deploy.demo.synthetic import write_world
from tests.worlds import NOW, TINY, tiny_config
from train.offline_router import OfflineRouter
from train.progress import Quiet
from train.signals import Signals
from train.stages.read import Inputs
from train.worth.evaluation import EvaluationTerms, Past, past_generation

TERMS = EvaluationTerms(days=14, n_users=5, depth=40)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return tiny_config(tmp_path_factory.mktemp("sources") / "store", sources={"quorum": {"attribute": "category"}})


@pytest.fixture(scope="module")
def then(config: Config) -> Past:
    folder = Path(config.storage.path).parent
    items, events = write_world(TINY, folder)
    with past_generation(config, Inputs(items, events, now=NOW), days=TERMS.days, progress=Quiet()) as made:
        return made


def test_every_exact_source_is_asked_and_agrees(then: Past, config: Config) -> None:
    names = same_at_any_partition(then.signals, config, TERMS)
    assert set(names) == {source.name for source in then.router.spec.sources if source.exact}
    assert {"tops", "history", "ease", "quorum", "score_all", "with_basket", "viewed"} <= set(names)


def test_a_source_that_depends_on_the_partition_is_caught(then: Past, config: Config) -> None:
    """Weights that differ in the last digits with the number of shards."""

    def uneven(signals: Signals, config: Config, n_shards: int) -> OfflineRouter:
        noise = np.float32(1 + 1e-6 * n_shards)
        tables = {name: replace(lists, weights=lists.weights * noise) for name, lists in signals.tables.items()}
        return cut_in_memory(replace(signals, tables=tables), config, n_shards)

    with pytest.raises(AssertionError, match="differs at 3 shards"):
        same_at_any_partition(then.signals, config, TERMS, cut=uneven)
