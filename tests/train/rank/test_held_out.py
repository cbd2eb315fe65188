"""What is held out: the window's purchases, without the basket, with what is new told from what is not."""

from __future__ import annotations

import numpy as np
import pytest

from tests.train.logs import log_of
from train.input.event_log import DAY_S
from train.rank.held_out import HeldOut, hold_out

MOMENT = 60 * DAY_S
LOG = log_of(
    [
        ("ann", 0, 10),  # too long ago to be known
        ("ann", 1, 50),
        ("ann", 0, 70),
        ("ann", 1, 71),
        ("ann", 1, 72),
        ("ann", 2, 72),
        ("ann", 3, 95),  # after the window
        ("bob", 4, 59),
        ("eve", 5, 65),
        ("eve", 6, 65),
        ("eve", 7, 65),
        ("eve", 5, 66),
    ],
    n_items=8,
)
ANN, BOB, EVE = 0, 1, 2


def held(users: list[int], *, basket_items: int = 0, seed: int = 0) -> HeldOut:
    return hold_out(LOG, np.array(users, np.int64), after=MOMENT, days=28, new_days=28, basket_items=basket_items, seed=seed)


def test_each_item_once_and_only_of_the_window() -> None:
    found = held([ANN, BOB, EVE])
    assert found.items.tolist() == [0, 1, 2, 5, 6, 7]
    assert found.starts.tolist() == [0, 3, 3, 6]
    assert found.groups.tolist() == [0, 0, 0, 2, 2, 2]
    assert all(len(basket) == 0 for basket in found.baskets)


def test_new_is_what_was_not_bought_in_the_days_before() -> None:
    assert held([ANN]).new.tolist() == [True, False, True]


@pytest.mark.parametrize("seed", range(5))
def test_a_basket_is_part_of_the_first_visit_and_not_to_be_found(seed: int) -> None:
    found = held([ANN, EVE], basket_items=2, seed=seed)
    anns, eves = found.baskets
    assert anns.tolist() == [0], "one item was bought at the first visit, so the basket cannot have two"
    assert len(eves) == 2 and set(eves.tolist()) < {5, 6, 7}
    assert found.items.tolist() == [1, 2, *({5, 6, 7} - set(eves.tolist()))]


def test_a_basket_does_not_depend_on_who_else_is_asked() -> None:
    assert held([EVE], basket_items=2).baskets[0].tolist() == held([ANN, EVE], basket_items=2).baskets[1].tolist()


def test_a_request_comes_at_the_first_visit() -> None:
    assert held([ANN, BOB, EVE]).asked_at.tolist() == [70 * DAY_S, MOMENT, 65 * DAY_S]


def test_items_can_be_left_out() -> None:
    found = held([ANN, EVE]).kept(np.array([True, False, True, False, False, True]))
    assert found.items.tolist() == [0, 2, 7]
    assert found.new.tolist() == [True, True, True]
    assert found.starts.tolist() == [0, 2, 3]
