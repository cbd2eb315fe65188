"""One deadline, on an injected clock."""

from __future__ import annotations

import pytest

from cluster.deadline import Deadline
from cluster.errors import DeadlineExceeded


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_what_remains_shrinks_with_time_and_never_below_zero() -> None:
    clock = Clock()
    deadline = Deadline.after_ms(50, clock)
    assert (deadline.remaining_ms(), deadline.remaining_s(), deadline.expired) == (50.0, pytest.approx(0.05), False)
    clock.now += 0.02
    assert deadline.remaining_ms() == pytest.approx(30)
    clock.now += 1
    assert (deadline.remaining_ms(), deadline.remaining_s(), deadline.expired) == (0.0, 0.0, True)


def test_it_expires_at_its_moment_not_after_it() -> None:
    clock = Clock()
    deadline = Deadline(1000.5, clock)
    clock.now = 1000.5
    assert deadline.expired


def test_a_stage_gets_its_share_or_what_is_left() -> None:
    clock = Clock()
    deadline = Deadline.after_ms(50, clock)
    assert deadline.part(at_most_ms=20).remaining_ms() == pytest.approx(20)
    assert deadline.part(at_most_ms=80).remaining_ms() == pytest.approx(50)
    assert deadline.part(0.5).remaining_ms() == pytest.approx(25)
    assert deadline.part(0.5, at_most_ms=20).remaining_ms() == pytest.approx(20)
    assert deadline.part(0.5).clock is clock


def test_check_names_the_stage_that_would_have_begun() -> None:
    clock = Clock()
    deadline = Deadline.after_ms(50, clock)
    deadline.check("merge")
    clock.now += 1
    with pytest.raises(DeadlineExceeded, match="before rank") as caught:
        deadline.check("rank")
    assert caught.value.details == {"stage": "rank"}
