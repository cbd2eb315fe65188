"""MMR against its formula, DPP against determinants."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.slate.diversity import Dpp, Gains, Mmr

NDArray = np.ndarray


def world(seed: int, d: int = 12, dim: int = 4) -> tuple[NDArray, NDArray]:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(d, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), 1 / np.log2(np.arange(d) + 2.0)


def picked(gains: Gains, n: int, d: int) -> list[int]:
    allowed = np.ones(d, bool)
    found = []
    for _ in range(n):
        at = gains.best(allowed)
        if at < 0:
            break
        found.append(at)
        allowed[at] = False
        gains.chosen(at)
    return found


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([0.1, 0.5, 0.9]))
def test_mmr_is_its_formula(seed: int, relevance: float) -> None:
    unit, values = world(seed)
    chosen: list[int] = []
    for at in picked(Mmr(unit, values, relevance=relevance), 8, len(unit)):
        open_ones = [i for i in range(len(unit)) if i not in chosen]
        gain = {
            i: relevance * values[i] - (1 - relevance) * max([0.0, *(float(unit[i] @ unit[j]) for j in chosen)])
            for i in open_ones
        }
        assert gain[at] == pytest.approx(max(gain.values()), abs=1e-6)
        chosen.append(at)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.4, 0.8]))
def test_dpp_takes_what_makes_the_largest_determinant(seed: int, relevance: float) -> None:
    unit, values = world(seed, dim=6)
    quality = np.exp(relevance / (2 * (1 - relevance)) * values)
    kernel = quality[:, None] * (unit @ unit.T).astype(float) * quality[None, :]
    chosen: list[int] = []
    for at in picked(Dpp(unit, values, relevance=relevance, n_places=6), 6, len(unit)):
        open_ones = [i for i in range(len(unit)) if i not in chosen]
        volume = {i: float(np.linalg.det(kernel[np.ix_([*chosen, i], [*chosen, i])])) for i in open_ones}
        assert volume[at] == pytest.approx(max(volume.values()), rel=1e-4, abs=1e-9)
        chosen.append(at)


def test_dpp_stops_where_nothing_adds_anything() -> None:
    unit = np.array([[1, 0], [1, 0], [0, 1], [0.6, 0.8]], np.float32)
    assert picked(Dpp(unit, np.ones(4), relevance=0.0, n_places=4), 4, 4) == [0, 2]  # two dimensions, two items


def test_twins_stand_apart_and_items_without_a_vector_are_like_no_other() -> None:
    unit = np.array([[1, 0], [1, 0], [0, 0], [0, 0]], np.float32)
    values = np.array([1.0, 0.9, 0.8, 0.7])
    assert picked(Mmr(unit, values, relevance=0.5), 4, 4) == [0, 2, 3, 1]
    assert picked(Dpp(unit, values, relevance=0.5, n_places=4), 4, 4) == [0, 2, 3]


def test_only_the_allowed_are_chosen() -> None:
    unit, values = world(1)
    none = np.zeros(len(unit), bool)
    for gains in (Mmr(unit, values, relevance=0.5), Dpp(unit, values, relevance=0.5, n_places=3)):
        assert gains.best(none) == -1
        only = none.copy()
        only[7] = True
        assert gains.best(only) == 7
    assert Mmr(unit[:0], values[:0], relevance=0.5).best(none[:0]) == -1


def test_what_a_pin_took_is_known_to_the_next_choice_even_where_dpp_would_not_have_taken_it() -> None:
    unit = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    gains = Dpp(unit, np.ones(3), relevance=0.0, n_places=3)
    for at in (0, 1):  # the second adds nothing: it must not divide by it
        gains.chosen(at)
    assert gains.best(np.ones(3, bool)) == 2
