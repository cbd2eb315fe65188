"""A killed fit ends with the bits of one that was not killed; a build may begin from the vectors of the last one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from cluster.config.sections import Config
from cluster.config.train import AlsSection
from tests.train.test_build import Stages
from tests.worlds import NOW, TINY, build_tiny, tiny_config
from train.input.event_log import DAY_S
from train.vectors import als
from train.vectors.als_resume import FactorRows, carried, fit_resumable

SECTION = AlsSection(dim=5, n_sweeps=6, regularization=0.03, unobserved_weight=0.2, solver="cg")


class Killed(Exception):
    pass


def world(seed: int = 0) -> sparse.csr_array:
    rng = np.random.default_rng(seed)
    return sparse.csr_array((rng.random((40, 50)) < 0.2).astype(np.float32))


def every(seconds: float) -> Iterator[float]:
    return count(0, seconds)  # type: ignore[return-value]


def kill_at(sweep: int, done: list[int]) -> None:
    done.append(sweep)
    if sweep == 5:
        raise Killed


@pytest.mark.parametrize("every_s", [10.0, 25.0])
def test_a_killed_fit_goes_on_from_its_last_kept_sweep_to_the_same_bits(tmp_path: Path, every_s: float) -> None:
    kept, first, second = tmp_path / "kept", list[int](), list[int]()
    ticks, more = every(10), every(10)
    with pytest.raises(Killed):
        fit_resumable(
            world(),
            SECTION,
            seed=1,
            kept=kept,
            on_sweep=lambda sweep: kill_at(sweep, first),
            every_s=every_s,
            clock=lambda: next(ticks),
        )
    resumed = fit_resumable(
        world(), SECTION, seed=1, kept=kept, on_sweep=second.append, every_s=every_s, clock=lambda: next(more)
    )
    at_once = als.fit(world(), SECTION, seed=1)
    assert np.array_equal(resumed.users, at_once.users) and np.array_equal(resumed.items, at_once.items)
    assert first == [1, 2, 3, 4, 5] and second[-1] == 6 and 0 < second[0] < 5 and len(second) < 6


def test_a_quick_fit_keeps_nothing(tmp_path: Path) -> None:
    fit_resumable(world(), SECTION, seed=1, kept=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


@given(old=st.lists(st.integers(-9, 9), unique=True), new=st.lists(st.integers(-9, 9), unique=True))
def test_every_row_that_was_there_is_carried_and_no_other(old: list[int], new: list[int]) -> None:
    vectors = np.arange(1, 2 * len(old) + 1, dtype=np.float32).reshape(-1, 2)
    by_key = dict(zip(old, vectors.tolist(), strict=True))
    found = carried(vectors, np.array(old, np.int64), np.array(new, np.int64))
    assert found.tolist() == [by_key.get(key, [0, 0]) for key in new]


def test_a_start_of_a_grown_log_reaches_in_two_sweeps_what_takes_six_from_scratch() -> None:
    grown = world().tolil()
    grown[3, :9] = 1
    pairs = sparse.csr_array(grown, dtype=np.float32)
    old = FactorRows(0, np.arange(30), np.arange(45))
    new = FactorRows(1, np.arange(40), np.arange(50))
    before = als.fit(sparse.csr_array(pairs[:30, :45]), SECTION, seed=0)
    start = old.carry(before, new)
    two = SECTION.model_copy(update={"n_sweeps": 2})
    warm, cold = fit_resumable(pairs, two, seed=0, kept=None, start=start), als.fit(pairs, SECTION, seed=0)
    assert als.loss(pairs, warm, SECTION) < 1.01 * als.loss(pairs, cold, SECTION)
    assert als.loss(pairs, warm, SECTION) < als.loss(pairs, als.fit(pairs, two, seed=0), SECTION)


def config_of(folder: Path, *, warm_sweeps: int) -> Config:
    """Of a build without ranking models, which take longest: no log is long enough for its windows."""
    train = tiny_config(folder).model_dump()["train"]
    train["ranker"]["label_days"] = 10_000
    als = {"dim": 8, "n_sweeps": 3, "warm_sweeps": warm_sweeps}
    return tiny_config(folder / "store", train=train | {"als": als})


def test_a_build_starts_from_the_last_ones_vectors_if_they_know_nothing_later(tmp_path: Path) -> None:
    worlds = {"earlier": replace(TINY, end=TINY.end - 5 * DAY_S), "later": TINY}
    moments = count(NOW)

    def built(world: str, *, warm_sweeps: int) -> str:
        (tmp_path / world).mkdir(exist_ok=True)
        stages, config = Stages(), config_of(tmp_path, warm_sweeps=warm_sweeps)
        build_tiny(tmp_path / world, world=worlds[world], now=next(moments), progress=stages, config=config)
        return stages.ends["als-serving"]

    assert built("earlier", warm_sweeps=0).startswith("3 sweeps,")
    assert built("later", warm_sweeps=1).startswith("1 sweeps from the last build's vectors,")
    assert built("later", warm_sweeps=1) == "reused"
    assert built("earlier", warm_sweeps=1).startswith("3 sweeps,")
