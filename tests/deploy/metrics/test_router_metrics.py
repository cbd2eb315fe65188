"""What /metrics shows: valid exposition text, complete from the start, and counters that mean one thing each."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from cluster.coverage import MissingShard
from cluster.deadline import Deadline
from cluster.types import ShardReply, SourceHits
from deploy.metrics.instruments import Instruments
from deploy.metrics.router_metrics import STRATEGIES, Metrics
from router.removal import REMOVALS, RuleName
from router.request import DEGRADATIONS, STAGES, Circumstance, RankTrace, Request, StageStats
from tests.deploy.fakes import FakeRouter, topology


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    found = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


def labelled(metrics: Metrics, name: str) -> dict[str, float]:
    return {labels[0][1]: value for (found, labels), value in samples(metrics).items() if found == name}


def reply(shard: int) -> ShardReply:
    hits = SourceHits("ann", np.arange(3, dtype=np.int32), np.ones(3, np.float32), False, 0.0, 0, "hnsw", 900.0)
    rows, keys = np.arange(3, dtype=np.int32), np.arange(3, dtype=np.int64)
    return ShardReply("g-1", shard, rows, keys, np.zeros((3, 0), np.float32), (hits,), 50, 10, 1500.0, 40.0)


def test_every_label_that_can_occur_exists_before_the_first_request() -> None:
    metrics = Metrics()
    assert set(labelled(metrics, "oskolok_degraded_requests_total")) == set(DEGRADATIONS)
    assert set(labelled(metrics, "oskolok_stage_candidates_in_total")) == set(STAGES)
    assert set(labelled(metrics, "oskolok_candidates_removed_total")) == set(REMOVALS)
    metrics.describe(topology("ready", "ready", "dead", "loading"))
    names = samples(metrics)
    for shard in "0123":
        for strategy in STRATEGIES:
            key = (("shard", shard), ("source", "ann"), ("strategy", strategy))
            assert names["oskolok_planner_decisions_total", key] == 0
        for outcome in ("ok", "timeout", "failed", "loading"):
            assert names["oskolok_shard_requests_total", (("outcome", outcome), ("shard", shard))] == 0


def test_only_a_fault_makes_a_request_count_as_degraded() -> None:
    metrics = Metrics()
    answer = asyncio.run(FakeRouter().recommend(Request("u", 1), Deadline.after_ms(100)))
    for degraded in ((), get_args(Circumstance), ("unknown_user", "ranker_timeout")):
        metrics.answered(replace(answer, degraded=degraded))
    outcomes = labelled(metrics, "oskolok_recommend_requests_total")
    assert (outcomes["full"], outcomes["degraded"]) == (2, 1)
    by_reason = labelled(metrics, "oskolok_degraded_requests_total")
    assert (by_reason["unknown_user"], by_reason["ranker_timeout"], by_reason["shard_failed"]) == (2, 1, 0)


def test_what_a_shard_answers_and_what_it_does_not() -> None:
    metrics = Metrics()
    metrics.describe(topology("ready", "ready", "ready", "ready"))
    metrics.shard_answered(reply(1))
    metrics.shard_missing(MissingShard(2, "shard-2", "timeout", "", 20.0))
    metrics.stage(StageStats("merge", 30, 20, 2.0, {"beyond_k": 10, RuleName("cap.brand"): 2}))
    found = samples(metrics)
    assert found["oskolok_shard_requests_total", (("outcome", "ok"), ("shard", "1"))] == 1
    assert found["oskolok_shard_requests_total", (("outcome", "timeout"), ("shard", "2"))] == 1
    decision = (("shard", "1"), ("source", "ann"), ("strategy", "hnsw"))
    assert found["oskolok_planner_decisions_total", decision] == 1
    assert found["oskolok_source_hits_total", (("shard", "1"), ("source", "ann"))] == 3
    assert found["oskolok_shard_query_duration_seconds_sum", (("shard", "1"),)] == 0.0015
    assert found["oskolok_shard_query_duration_seconds_bucket", (("le", "0.002"), ("shard", "1"))] == 1
    assert found["oskolok_shard_query_duration_seconds_bucket", (("le", "0.001"), ("shard", "1"))] == 0
    assert found["oskolok_stage_duration_seconds_sum", (("stage", "merge"),)] == 0.002
    assert found["oskolok_candidates_removed_total", (("filter", "beyond_k"),)] == 10
    assert found["oskolok_candidates_removed_total", (("filter", "cap.brand"),)] == 2
    with pytest.raises(AssertionError, match="duplicate"):
        metrics.stage(StageStats("merge", 30, 20, 2.0, {"duplicate": 10}))  # type: ignore[dict-item]


def test_how_much_heavy_ranking_the_load_allows_is_there_to_see() -> None:
    metrics = Metrics()
    assert samples(metrics)["oskolok_heavy_quality", ()] == 1
    metrics.ranked(RankTrace(0.4, 40, 100, "", 12.0, 3.0, 1.0, 2.0))
    metrics.ranked(RankTrace(0.362, 0, 100, "ranker_timeout", 60.0))
    found = samples(metrics)
    assert found["oskolok_heavy_quality", ()] == 0.362
    assert found["oskolok_heavy_candidates_total", ()] == 40
    assert found["oskolok_heavy_withheld_total", ()] == 160
    assert found["oskolok_ranker_duration_seconds_sum", (("phase", "queue"),)] == 0.003
    assert found["oskolok_ranker_duration_seconds_count", (("phase", "heavy"),)] == 1


def test_what_is_kept_for_replay_is_counted_where_it_is_kept() -> None:
    metrics = Metrics()
    assert labelled(metrics, "oskolok_replay_requests_total") == {"kept": 0, "dropped": 0}
    metrics.watch(SimpleNamespace(n_kept=5, n_dropped=2))
    assert labelled(metrics, "oskolok_replay_requests_total") == {"kept": 5, "dropped": 2}


def test_topology_gauges_follow_the_topology() -> None:
    metrics = Metrics()
    metrics.describe(topology("ready", "dead", "loading", "ready", rankers=("ready", "dead"), version=7))
    metrics.describe(topology("ready", "ready", "loading", "ready", rankers=("ready", "ready"), version=8))
    found = samples(metrics)
    assert found["oskolok_shard_replicas", (("shard", "1"), ("state", "ready"))] == 1
    assert found["oskolok_shard_replicas", (("shard", "1"), ("state", "dead"))] == 0
    assert found["oskolok_ranker_replicas", (("state", "ready"),)] == 2
    assert found["oskolok_topology_version", ()] == 8
    assert found["oskolok_active_generation_info", (("generation", "g-1"),)] == 1


def test_names_follow_the_rules() -> None:
    for family in Metrics().instruments.families:
        assert re.fullmatch(r"oskolok_[a-z_]+", family.name), family.name
        assert family.help.endswith(".") and family.help[0].isupper(), family.name
        counts = family.metric is CounterMetricFamily
        assert family.name.endswith("_total") is counts, family.name
        if family.metric is HistogramMetricFamily:
            assert family.name.endswith(("_seconds", "_ratio")), family.name


def test_a_histogram_is_cumulative_and_closed() -> None:
    instruments = Instruments()
    spread = instruments.spreads("oskolok_x_seconds", "X.", (1.0, 2.0), a=())
    for value in (0.5, 1.0, 1.5, 99.0):
        spread["b"].add(value)
    (family,) = instruments.collect()
    values = {s.labels.get("le", s.name): s.value for s in family.samples}
    assert values == {"1": 2, "2": 3, "+Inf": 4, "oskolok_x_seconds_count": 4, "oskolok_x_seconds_sum": 102.0}
