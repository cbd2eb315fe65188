"""Strangers come with what their first visit begins with and want the rest of it; models learn from them beside the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cluster.partition import item_keys
from tests.train.past import read_world, signals_at
from tests.train.rank.test_ranking_rows import LABEL_DAYS, MOMENT
from tests.worlds import NOW, TINY, tiny_config
from train.offline_router import OfflineRouter
from train.rank.held_out import hold_out
from train.rank.ranking_rows import ranking_rows, sample_users
from train.rank.visits import stranger_visits
from train.signals import Signals


@pytest.fixture(scope="module")
def signals(tmp_path_factory: pytest.TempPathFactory) -> Signals:
    config = tiny_config(Path("unused"))
    catalogue, log = read_world(TINY, config, tmp_path_factory.mktemp("world"), now=NOW)
    return signals_at(catalogue, log, config, as_of=MOMENT)


def test_a_stranger_has_a_part_of_a_real_visit_in_the_basket_and_wants_the_rest(signals: Signals) -> None:
    config, log, keys = tiny_config(Path("unused")), signals.log, signals.catalogue.keys
    users = sample_users(log, after=MOMENT, days=LABEL_DAYS, n_max=40, seed=0)
    kept, visits = stranger_visits(signals, config, users=users, label_days=LABEL_DAYS)
    whole = hold_out(log, kept, after=MOMENT, days=LABEL_DAYS, new_days=1, basket_items=10_000, seed=0).baskets
    assert 10 < len(kept) == len(visits)
    for visit, bought in zip(visits, whole, strict=True):
        basket = item_keys(visit.request.basket)
        assert visit.record is None and 1 <= len(basket) <= 5
        assert len(visit.wanted) and not np.isin(visit.wanted, basket).any()
        assert np.array_equal(np.sort(np.concatenate((basket, visit.wanted))), np.sort(keys[bought]))


def test_what_models_learn_of_strangers_has_the_vector_of_the_session_and_no_user(signals: Signals) -> None:
    config = tiny_config(Path("unused"))
    users = sample_users(signals.log, after=MOMENT, days=LABEL_DAYS, n_max=20, seed=0)
    kept, visits = stranger_visits(signals, config, users=users, label_days=LABEL_DAYS)
    router = OfflineRouter.over(signals, config, generation="past")
    rows = ranking_rows(router, signals.catalogue, users=kept, visits=visits)
    columns = router.spec.features.columns()
    assert len(rows.labels) and rows.labels.any()
    assert rows.features[:, columns.index("dot.als")].any()
    assert not rows.features[:, [at for at, name in enumerate(columns) if name.startswith("user.")]].any()
