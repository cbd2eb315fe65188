"""The metrics of this router's process at /metrics, and the observer that counts them.

Prefix oskolok_, base units, label values from closed lists (never a user, an item or a raw path). Every combination that can
occur exists from the start, or from when the generation is known, so that a dashboard never lacks a series. The router's
view only: with several routers, Prometheus scrapes and adds them up.
"""

from __future__ import annotations

import platform
from collections import Counter
from functools import lru_cache
from importlib.metadata import version
from itertools import chain
from typing import Protocol

from prometheus_client import generate_latest

from cluster.coverage import MissingShard
from cluster.spec import GenerationSpec
from cluster.topology import Topology
from cluster.types import ShardReply
from deploy.metrics.instruments import Count, Instruments, Spread
from deploy.problems import KINDS, code_of
from router.removal import REMOVALS, is_reason
from router.request import DEGRADATIONS, FAULTS, STAGES, RankTrace, Recommendation, StageStats

ROUTES = (
    "/v1/recommend",
    "/v1/recommend/batch",
    "/v1/why",
    "/v1/cluster",
    "/livez",
    "/readyz",
    "/metrics",
    "/version",
    "other",
)
OUTCOMES = ("full", "degraded", "invalid", "overloaded", "unavailable", "deadline_exceeded", "internal")
STRATEGIES = ("exact", "exact_fallback", "hnsw", "hnsw_overfetch", "empty")
STATES = ("loading", "ready", "dead")
PHASES = ("queue", "light", "heavy")
KEPT = ("kept", "dropped")
_STATUS_CODES = tuple(map(str, (200, *sorted({kind.status for kind in KINDS.values()}))))

_SECONDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015),
    *(0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5),
)
_KEPT = 8192
_RATIOS = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)


class Keeper(Protocol):
    """Who keeps requests for replay, and counts since its start those that it kept and those that it should have."""

    @property
    def n_kept(self) -> int: ...

    @property
    def n_dropped(self) -> int: ...


class Metrics:
    """The counters, and an `Observer` (router/observer.py) that keeps them. One event loop only."""

    def __init__(self) -> None:
        self.instruments = Instruments()
        counters, gauges, spreads = self.instruments.counters, self.instruments.gauges, self.instruments.spreads
        self.http_requests = counters(
            "oskolok_http_requests_total",
            "HTTP requests by route template and status code.",
            route=("/v1/recommend",),
            method=("POST",),
            code=_STATUS_CODES,
        )
        self.http_seconds = spreads(
            "oskolok_http_request_duration_seconds", "Time from first byte in to last byte out.", _SECONDS, route=ROUTES
        )
        self.http_in_flight = gauges("oskolok_http_requests_in_flight", "HTTP requests now being served.")
        self.rejected = counters("oskolok_requests_rejected_total", "Requests answered with a problem, by code.", reason=KINDS)
        self.outcomes = counters(
            "oskolok_recommend_requests_total",
            "Requests to recommend; degraded counts faults, not strangers.",
            outcome=OUTCOMES,
        )
        self.degraded = counters(
            "oskolok_degraded_requests_total", "Answers with a degradation; one may count under several.", reason=DEGRADATIONS
        )
        self.coverage = spreads("oskolok_coverage_ratio", "Share of the items that were searched, per answer.", _RATIOS)
        self.inexact = counters("oskolok_inexact_merges_total", "Answers whose exact sources are not certified complete.")
        self.stage_seconds = spreads(
            "oskolok_stage_duration_seconds", "Time spent in one stage of a request.", _SECONDS, stage=STAGES
        )
        self.stage_in = counters("oskolok_stage_candidates_in_total", "Candidates entering a stage.", stage=STAGES)
        self.stage_out = counters("oskolok_stage_candidates_out_total", "Candidates leaving a stage.", stage=STAGES)
        self.removed = counters("oskolok_candidates_removed_total", "Candidates removed, by reason.", filter=REMOVALS)
        self.slate_items = counters(
            "oskolok_slate_items_total", "Items returned, once for each source that proposed them.", source=()
        )
        self.source_expected = counters("oskolok_source_expected_total", "Shard answers expected per source.", source=())
        self.source_answered = counters("oskolok_source_answered_total", "Shard answers received per source.", source=())
        self.shard_requests = counters("oskolok_shard_requests_total", "Queries to shards, by outcome.", shard=(), outcome=())
        self.shard_seconds = spreads(
            "oskolok_shard_query_duration_seconds", "Shard-side time of a query, queueing excluded.", _SECONDS, shard=()
        )
        self.shard_queue_seconds = spreads(
            "oskolok_shard_queue_duration_seconds", "Time a query waited inside a shard.", _SECONDS, shard=()
        )
        self.pass_ratio = spreads(
            "oskolok_filter_pass_ratio", "Share of a shard that filter and exclusions let through.", _RATIOS, shard=()
        )
        self.source_seconds = spreads(
            "oskolok_source_duration_seconds", "Time of one source inside a shard.", _SECONDS, shard=(), source=()
        )
        self.source_hits = counters("oskolok_source_hits_total", "Hits returned by a source.", shard=(), source=())
        self.decisions = counters(
            "oskolok_planner_decisions_total", "How a source found its hits.", shard=(), source=(), strategy=()
        )
        self.heavy_quality = gauges(
            "oskolok_heavy_quality", "Share of ranker.heavy.n_heavy that the load lets the heavy model order; 1 is all."
        )
        self.heavy_candidates = counters("oskolok_heavy_candidates_total", "Candidates that the heavy model ordered.")
        self.heavy_withheld = counters(
            "oskolok_heavy_withheld_total", "Candidates that the heavy model should have ordered and did not."
        )
        self.ranker_seconds = spreads(
            "oskolok_ranker_duration_seconds",
            "Time of a request in a ranker: waiting, in the light model, and in the heavy call it shared.",
            _SECONDS,
            phase=PHASES,
        )
        self.shard_replicas = gauges("oskolok_shard_replicas", "Replicas of a shard by state.", shard=(), state=())
        self.ranker_replicas = gauges("oskolok_ranker_replicas", "Rankers by state.", state=STATES)
        self.topology_version = gauges("oskolok_topology_version", "Version of the topology this router uses.")
        self.generation = gauges(
            "oskolok_active_generation_info", "The generation this router serves; always 1.", generation=()
        )
        self.replay = counters(
            "oskolok_replay_requests_total",
            "Requests chosen for replay, on disk or lost for want of time or room.",
            outcome=KEPT,
        )
        self.heavy_quality[()].value = 1
        self._keeper: Keeper | None = None
        build = gauges(
            "oskolok_build_info", "Version of the running code; always 1.", version=(), ray_version=(), python_version=()
        )
        build[version("oskolok"), version("ray"), platform.python_version()].value = 1
        self._of_stage = lru_cache(_KEPT)(self._series_of_stage)  # what each reply adds to is looked up once, not each time
        self._of_shard = lru_cache(_KEPT)(self._series_of_shard)
        self._of_hits = lru_cache(_KEPT)(self._series_of_hits)

    def text(self) -> bytes:
        """The exposition format that Prometheus scrapes."""
        if (keeper := self._keeper) is not None:
            self.replay["kept"].value, self.replay["dropped"].value = keeper.n_kept, keeper.n_dropped
        return bytes(generate_latest(self.instruments.registry))

    def watch(self, keeper: Keeper) -> None:
        """Show what it counts."""
        self._keeper = keeper

    def describe(self, topology: Topology) -> None:
        """A topology is in force from now on."""
        self._create(topology.spec)
        self.shard_replicas.clear()
        for shard, replicas in enumerate(topology.shards):
            for state in STATES:
                self.shard_replicas[str(shard), state].value = sum(r.state == state for r in replicas)
        for state in STATES:
            self.ranker_replicas[state].value = sum(r.state == state for r in topology.rankers)
        self.topology_version[()].value = topology.version
        self.generation.clear()
        self.generation[topology.spec.id].value = 1

    def stage(self, stats: StageStats) -> None:
        seconds, n_in, n_out = self._of_stage(stats.stage)
        seconds.add(stats.took_ms / 1000)
        n_in.value += stats.n_in
        n_out.value += stats.n_out
        for reason, n in stats.removed.items():
            if n:
                assert is_reason(reason), f"nothing is removed for {reason!r}"
                self.removed[reason].value += n

    def shard_answered(self, reply: ShardReply) -> None:
        requests, seconds, queue_seconds, pass_ratio = self._of_shard(reply.shard)
        requests.value += 1
        seconds.add(reply.took_us / 1e6)
        queue_seconds.add(reply.queue_us / 1e6)
        pass_ratio.add(reply.n_eligible / reply.n_items if reply.n_items else 1.0)
        for hits in reply.sources:
            answered, seconds, n_hits, decisions = self._of_hits(reply.shard, hits.source, hits.strategy)
            answered.value += 1
            seconds.add(hits.took_us / 1e6)
            n_hits.value += len(hits.members)
            decisions.value += 1

    def shard_missing(self, missing: MissingShard) -> None:
        self.shard_requests[str(missing.shard), missing.reason].value += 1

    def ranked(self, trace: RankTrace) -> None:
        self.heavy_quality[()].value = trace.quality
        self.heavy_candidates[()].value += trace.n_heavy
        self.heavy_withheld[()].value += trace.n_heavy_full - trace.n_heavy
        if trace.light_ms:
            for phase, took_ms in zip(PHASES, (trace.queue_ms, trace.light_ms, trace.heavy_ms), strict=True):
                self.ranker_seconds[phase].add(took_ms / 1000)

    def answered(self, recommendation: Recommendation) -> None:
        self.outcomes["full" if FAULTS.isdisjoint(recommendation.degraded) else "degraded"].value += 1
        for reason in recommendation.degraded:
            self.degraded[reason].value += 1
        self.coverage[()].add(recommendation.coverage.ratio)
        if not recommendation.exact_merge:
            self.inexact[()].value += 1
        for source in recommendation.coverage.by_source:
            self.source_expected[source].value += recommendation.coverage.shards.total
        for source, n in Counter(chain.from_iterable([item.sources for item in recommendation.items])).items():
            self.slate_items[source].value += n

    def refused(self, error: Exception) -> None:
        """A request to recommend has failed, in the router or before it was asked."""
        self.outcomes[_outcome(error)].value += 1

    def http(self, route: str, method: str, code: int, took_s: float) -> None:
        """An HTTP request was answered. route: one of ROUTES."""
        self.http_requests[route, method, str(code)].value += 1
        self.http_seconds[route].add(took_s)

    def _series_of_stage(self, stage: str) -> tuple[Spread, Count, Count]:
        return self.stage_seconds[stage], self.stage_in[stage], self.stage_out[stage]

    def _series_of_shard(self, shard: int) -> tuple[Count, Spread, Spread, Spread]:
        name = str(shard)
        return (
            self.shard_requests[name, "ok"],
            self.shard_seconds[name],
            self.shard_queue_seconds[name],
            self.pass_ratio[name],
        )

    def _series_of_hits(self, shard: int, source: str, strategy: str) -> tuple[Count, Spread, Count, Count]:
        name = str(shard)
        return (
            self.source_answered[source],
            self.source_seconds[name, source],
            self.source_hits[name, source],
            self.decisions[name, source, strategy],
        )

    def _create(self, spec: GenerationSpec) -> None:
        """What is known of labels once the generation is: its shards and its sources."""
        names = [source.name for source in spec.sources]
        shards = [str(shard) for shard in range(spec.n_shards)]
        for by_source in (self.slate_items, self.source_expected, self.source_answered):
            by_source.create(names)
        for by_shard in (self.shard_seconds, self.shard_queue_seconds, self.pass_ratio):
            by_shard.create(shards)
        self.shard_requests.create(shards, ("ok", "timeout", "failed", "loading"))
        self.source_seconds.create(shards, names)
        self.source_hits.create(shards, names)
        self.decisions.create(shards, [source.name for source in spec.sources if source.kind == "ann"], STRATEGIES)


def _outcome(error: BaseException) -> str:
    match KINDS[code_of(error)].status:
        case 429:
            return "overloaded"
        case 500:
            return "internal"
        case 503:
            return "unavailable"
        case 504:
            return "deadline_exceeded"
    return "invalid"
