"""The step bench on a small world of four tastes: what a step brings is seen, and what is old stays."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from bench.als_step import Arrival, Measured, drifts, medians, pairs_of, recalls, take_step
from bench.tools.quality import Split
from cluster.config.train import AlsSection
from train.vectors import als
from train.vectors.als import Factors

SECTION = AlsSection(dim=6, n_sweeps=8, regularization=0.02, unobserved_weight=0.1)


def world() -> Split:
    rng = np.random.default_rng(0)
    same = rng.integers(0, 4, 150)[:, None] == rng.integers(0, 4, 100)[None, :]
    bought = same & (rng.random(same.shape) < 0.5)
    held = bought & (rng.random(same.shape) < 0.3)
    return Split("small", *(sparse.csr_array(part.astype(np.float32)) for part in (bought & ~held, held)))


def arrived(split: Split) -> tuple[Arrival, Factors]:
    arrival = Arrival.drawn(split.train, share=0.1, seed=1)
    return arrival, als.fit(arrival.old_pairs, SECTION, seed=0)


def test_a_step_finds_what_was_not_there_and_keeps_the_rest() -> None:
    split = world()
    arrival, before = arrived(split)
    assert not before.items[arrival.new].any()
    stepped = take_step(arrival, before, SECTION, warmed_share=0.3, n_back=15)
    assert len(stepped.moved) == 15 and stepped.step_ms > 0
    then, now = (recalls(factors, split, arrival.is_new) for factors in (before, stepped.factors))
    assert now["recall_new@20"] > then["recall_new@20"] + 0.3
    assert now["recall_rest@20"] > 0.8 * then["recall_rest@20"]


def test_only_the_users_of_the_back_step_move() -> None:
    split = world()
    arrival, before = arrived(split)
    stepped = take_step(arrival, before, SECTION, warmed_share=0.3, n_back=15)
    users, items = pairs_of(split.test, ~arrival.is_new)
    found = drifts({"before": before, "step": stepped.factors}, (users, items))
    assert found["before"]["moved"] == found["before"]["shift"] == 0
    assert found["step"]["moved"] == np.isin(users, stepped.moved).mean() > 0
    assert found["step"]["dot_p10"] < found["step"]["dot_p90"]


def test_the_median_is_over_drawings() -> None:
    drawings: list[Measured] = [{"case": {"step": {"ms": ms}, "before": {}}} for ms in (3.0, 1.0, 2.0)]
    assert medians(drawings) == {"case": {"step": {"ms": 2.0}, "before": {}}}
