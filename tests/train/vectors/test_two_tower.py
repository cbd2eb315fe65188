"""On a small world of four tastes: what it learns, that it sees no future, that numpy and torch agree, what strangers and items
that nobody bought get. Needs the extra `neural`, but for what happens without it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from cluster.config.sections import UsersSection
from cluster.config.train import TwoTowerSection
from cluster.errors import ConfigError
from cluster.types import Seeds
from router.users.user_tower import UserTower
from tests.train.logs import NOW, catalogue_of, log_of
from train.input.event_log import DAY_S, EventLog
from train.input.interactions import interactions
from train.users import user_features, user_records
from train.vectors.tower_examples import Examples, Ragged
from train.vectors.two_tower import TwoTower, fit_two_tower, require_torch

N_TASTES, N_SOLD, N_NEW, N_USERS = 4, 76, 4, 160
CATALOGUE = catalogue_of([f"c{item % N_TASTES}" for item in range(N_SOLD + N_NEW)])
SECTION = TwoTowerSection(
    dim=12, hidden=16, label_days=7, n_moments=8, n_epochs_max=6, batch_examples=64, n_negatives=128, learning_rate=0.02
)
WINDOWS = (7, 28)


def world(*, days: int = 100) -> EventLog:
    """Users of taste t buy items t, t + 4, t + 8 ..., nine times in ten. The last four items are sold to nobody."""
    rng = np.random.default_rng(0)
    events = []
    for user in range(N_USERS):
        for day in range(1, days, 2):
            taste = user % N_TASTES if rng.random() < 0.9 else rng.integers(N_TASTES)
            events.append((f"u{user:03d}", int(taste + N_TASTES * rng.integers(N_SOLD // N_TASTES)), day + 0.5))
    return log_of(events, N_SOLD + N_NEW)


def fit(log: EventLog, *, as_of: int = NOW, seed: int = 0, section: TwoTowerSection = SECTION) -> TwoTower:
    return fit_two_tower(
        log,
        CATALOGUE,
        section,
        as_of=as_of,
        half_life_days=30,
        windows_days=WINDOWS,
        attributes=("category",),
        seed=seed,
    )


@pytest.fixture(scope="module")
def tower() -> TwoTower:
    return fit(world())


def features_of(log: EventLog) -> tuple:
    pairs = interactions(log, as_of=NOW, half_life_days=30)
    return pairs, user_features(log, pairs, CATALOGUE, np.zeros((log.n_users, 1), np.float32), windows_days=WINDOWS)


def basket(*rows: int) -> dict[str, Seeds]:
    n = len(rows)
    return {"basket": Seeds(CATALOGUE.keys[list(rows)], np.ones(n, np.float32), np.zeros(n, np.float32))}


def same(a: TwoTower, b: TwoTower) -> bool:
    arrays = ("table", "mean", "scale", "w1", "b1", "w2", "b2")
    return np.array_equal(a.items, b.items) and all(
        np.array_equal(getattr(a.weights, name), getattr(b.weights, name)) for name in arrays
    )


@pytest.mark.neural
def test_users_are_given_what_their_taste_buys(tower: TwoTower) -> None:
    vectors = tower.user_vectors(*features_of(world()))
    best = np.argsort(-(vectors @ tower.items.T), axis=1)[:, :10]
    right = (best % N_TASTES == np.arange(N_USERS)[:, None] % N_TASTES).mean()
    assert right > 0.9, right
    assert max(tower.recalls) > 0.25, "a tenth of the catalogue, of which a quarter is to the user's taste, holds .1 by chance"


@pytest.mark.neural
def test_a_stranger_s_basket_tells_the_taste(tower: TwoTower) -> None:
    serving = UserTower(tower.weights, tower.weights.features)
    for taste in range(N_TASTES):
        vector = serving.vector(basket(taste, taste + 8), None)
        assert vector is not None
        best = np.argsort(-(tower.items @ vector))[:10]
        assert (best % N_TASTES == taste).mean() > 0.8


@pytest.mark.neural
def test_an_item_that_nobody_bought_is_what_its_attributes_are(tower: TwoTower) -> None:
    vectors = tower.user_vectors(*features_of(world()))
    scores = vectors @ tower.items[N_SOLD:].T
    assert (scores.argmax(axis=1) == np.arange(N_USERS) % N_TASTES).mean() > 0.9
    warm = np.median((vectors @ tower.items[:N_SOLD].T).max(axis=1))
    assert np.median(scores.max(axis=1)) < warm, "and it does not displace what is known to sell"


@pytest.mark.neural
def test_batches_of_users_and_single_requests_agree(tower: TwoTower) -> None:
    log = world()
    pairs, features = features_of(log)
    vectors = tower.user_vectors(pairs, features)
    serving = UserTower(tower.weights, features.names)
    records = user_records(
        log,
        pairs,
        CATALOGUE,
        users=np.arange(N_USERS),
        generation="g",
        vectors={},
        features=features,
        profile=(),
        section=UsersSection(),
        seeds={},
    )
    for user, record in enumerate(records):
        vector = serving.vector({"history": record.history}, record.features)
        np.testing.assert_allclose(vector, vectors[user], atol=1e-5, rtol=1e-5)


@pytest.mark.neural
def test_numpy_and_torch_agree() -> None:
    import torch

    from train.vectors.tower_network import Network, Tokens
    from train.vectors.two_tower import _values

    rng = np.random.default_rng(3)
    counts = rng.integers(0, 5, len(CATALOGUE))
    read = rng.random(len(CATALOGUE)) < 0.8
    network = Network(Tokens(_values(CATALOGUE, ("category",)), read, counts > 0), counts, 3, SECTION, rng)
    histories = Ragged(np.array([0, 3, 7, 8]), rng.integers(0, len(CATALOGUE), 8).astype(np.int32))
    features = rng.standard_normal((3, 3), np.float32)
    weights = rng.uniform(0.1, 3, 8).astype(np.float32)
    examples = Examples(histories, weights, features, histories, np.arange(3), np.zeros(3, np.int64))
    with torch.no_grad():
        expected = network.users(examples, features).numpy()

    from router.users.user_tower import TowerWeights

    zeros, ones = np.zeros(3, np.float32), np.ones(3, np.float32)
    layers = network.layers()
    exported = TowerWeights(
        CATALOGUE.keys, network.input_vectors(), ("a", "b", "c"), zeros, ones, *layers, weight_exponent=0.5, n_history_max=9
    )
    found = TwoTower(exported, network.item_vectors(), ()).vectors_of(histories, weights, features)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (found[:, -1] == 1).all(), "the constant that meets the items' biases"


@pytest.mark.neural
def test_a_table_moves_as_torch_s_sparse_adam_moves_it() -> None:
    import torch

    from train.vectors.tower_network import Table

    rng = np.random.default_rng(5)
    values = rng.standard_normal((9, 4)).astype(np.float32)
    table, theirs = Table(values.copy(), 0.1), torch.from_numpy(values.copy()).requires_grad_()
    optimiser = torch.optim.SparseAdam([theirs], lr=0.1)
    for _ in range(4):
        rows = sparse.random_array((5, 9), density=0.2, format="csr", dtype=np.float32, rng=rng)
        goal = torch.from_numpy(rng.standard_normal((5, 4)).astype(np.float32))
        ((table.product(rows) - goal) ** 2).sum().backward()
        table.step()

        optimiser.zero_grad()
        read = torch.from_numpy(np.unique(rows.indices).astype(np.int64))
        vectors = theirs.detach()[read].requires_grad_()
        ((torch.from_numpy(rows[:, read.numpy()].toarray()) @ vectors - goal) ** 2).sum().backward()
        theirs.grad = torch.sparse_coo_tensor(read[None], vectors.grad, (9, 4), check_invariants=True)
        optimiser.step()
    np.testing.assert_allclose(table.values, theirs.detach().numpy(), atol=1e-5)


@pytest.mark.neural
def test_the_denominator_of_the_softmax_is_estimated_without_bias() -> None:
    from train.vectors.tower_network import Negatives

    rng = np.random.default_rng(4)
    counts = rng.integers(0, 50, 200) * (rng.random(200) < 0.5)
    scores = rng.standard_normal(200)
    negatives = Negatives.of(counts, 0.3)
    drawn = negatives.draw(400_000, rng)
    assert (np.diff(drawn) >= 0).all() and negatives.probability.sum() == pytest.approx(1)
    estimate = np.exp(scores[drawn] - np.log(len(drawn) * negatives.probability[drawn])).sum()
    assert estimate == pytest.approx(np.exp(scores).sum(), rel=0.01)


@pytest.mark.neural
def test_what_a_user_bought_is_not_a_negative_of_that_user() -> None:
    from train.vectors.tower_network import _own_labels

    labels = Ragged(np.array([0, 2, 2, 5]), np.array([3, 9, 1, 3, 4], np.int32))
    drawn = np.array([1, 2, 3, 3, 9])
    rows, columns = _own_labels(labels, drawn)
    assert sorted(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 2), (0, 3), (0, 4), (2, 0), (2, 2), (2, 3)]


@pytest.mark.neural
def test_the_same_seed_gives_the_same_tower_and_the_future_changes_nothing(tower: TwoTower) -> None:
    short = SECTION.model_copy(update={"n_epochs_max": 2})
    as_of = NOW - 20 * DAY_S
    past = fit(world(), as_of=as_of, section=short)
    assert same(past, fit(world().as_of(as_of), as_of=as_of, section=short))
    assert not same(past, fit(world(), as_of=as_of, seed=1, section=short))
    assert not same(past, tower)


@pytest.mark.neural
def test_files_give_back_the_same_towers(tower: TwoTower, tmp_path: Path) -> None:
    tower.save(tmp_path)
    back = TwoTower.load(tmp_path)
    assert same(tower, back) and back.recalls == tower.recalls and back.weights.features == tower.weights.features


@pytest.mark.neural
def test_too_short_a_log_is_one_clear_error() -> None:
    with pytest.raises(ConfigError, match=r"needs 120 days, twice train\.two_tower\.label_days"):
        fit(world(), section=SECTION.model_copy(update={"label_days": 60}))
    with pytest.raises(ConfigError, match="the log has 3 users"):
        fit(log_of([(user, 1, day) for user in "abc" for day in (80.0, 88.0, 99.0)], len(CATALOGUE)))


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError, match=r"pip install 'oskolok\[neural\]'"):
        require_torch()
