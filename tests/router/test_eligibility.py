"""What an answer says of what there was to choose from, above all if that is nothing."""

from __future__ import annotations

import numpy as np

from cluster.types import ShardReply, UnknownValue
from router.request import Eligibility
from router.retrieve import Retrieved
from tests.router.fakes import Catalogue


def reply(*unknown: UnknownValue, n_eligible: int = 0) -> ShardReply:
    nothing = np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros((0, 1), np.float32)
    return ShardReply("g", 0, *nothing, (), n_items=9, n_eligible=n_eligible, took_us=1.0, unknown_values=unknown)


def eligibility(*replies: ShardReply) -> Eligibility:
    return Retrieved(Catalogue.random(18).spec(2), dict(enumerate(replies)), {}).eligible()


def test_a_value_is_unknown_if_no_shard_knows_it_and_one_may_suggest_another() -> None:
    here, alike, there = UnknownValue("a", "x", ""), UnknownValue("a", "x", "X"), UnknownValue("a", "y", "")
    assert eligibility(reply(here, there), reply(alike)) == Eligibility(0, 18, (alike,))
    assert eligibility(reply(here), reply()) == Eligibility(0, 18)
    assert eligibility(reply(here), reply(n_eligible=2)) == Eligibility(2, 18), "somebody has one"
    assert eligibility() == Eligibility(0, 0)
