"""What a generation and a configuration decide is worked out once, however many requests come."""

from __future__ import annotations

import logging

import msgspec
import pytest

from cluster.clients.protocols import Fleet
from router.planning.offers import Offers
from router.router import Router
from tests.router.asking import ask, sections
from tests.router.fakes import Catalogue, DictStore, fleet, user


def test_it_is_worked_out_once_for_a_generation_and_complained_about_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_worked_out = 0
    real = Offers.of

    def counted(*args: object) -> Offers:
        nonlocal n_worked_out
        n_worked_out += 1
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(Offers, "of", counted)
    catalogue = Catalogue.random(50)
    serving: Fleet = fleet(catalogue, catalogue.shards(2))
    chosen = sections(slate={"cap_by": "brand", "quotas": ({"stat": "price", "at_most": 1.0},)})
    router = Router(lambda: serving, DictStore(user()), chosen)
    with caplog.at_level(logging.ERROR, logger="oskolok.router"):
        answers = [ask(router) for _ in range(3)]
    assert all("slate_rule_skipped" in answer.degraded for answer in answers)
    assert (n_worked_out, len(caplog.records)) == (1, 1)
    serving = Fleet(8, msgspec.structs.replace(serving.spec, lists=("7d",)), serving.shards, None)
    assert ask(router).topology_version == 8 and n_worked_out == 2, "another generation has others"
