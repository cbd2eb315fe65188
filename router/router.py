"""Which items for this user, in time? One function with a paragraph for each stage of the diagram:

    hydrate -> retrieve -> merge -> rank -> slate -> fill

Stateless but for the count of requests in flight and for how much heavy ranking the load allows (`router/quality.py`). It runs
wherever an event loop does and talks to a `Fleet`, so shards in this process, behind connections or in a test look the same.
It knows neither HTTP nor Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from cluster.clients.protocols import Fleet
from cluster.coverage import MissingReason, MissingShard
from cluster.deadline import Deadline
from cluster.errors import OskolokError
from cluster.filtering import check_filter
from cluster.types import ShardReply
from router.admission import Admission
from router.coverage import coverage_of, require
from router.explain import shard_traces, slate_trace, source_traces
from router.fanout import Missed
from router.fill import fill
from router.funnel import Funnel
from router.hydrate import hydrate
from router.observer import Observer, Silent
from router.planning.ids import in_the_catalogues_ids
from router.planning.named import known_part, unknown_among
from router.planning.plan import plan
from router.planning.session import session_vectors
from router.quality import Quality
from router.rank import Ranked, rank
from router.request import Degradation, Recommendation, Request
from router.retrieve import eligibility, not_proposed, retrieve
from router.search import certified_merge
from router.sections import RouterSections
from router.slate.pins import refuses_pins
from router.slate.rules import RulesInForce
from router.slate.shape import shape
from router.trail import Keep, Recorder, Trail
from router.users.store import UserStore
from router.users.user_tower import UserTower

_SHARD_DEGRADED: dict[MissingReason, Degradation] = {
    "timeout": "shard_timeout",
    "failed": "shard_failed",
    "loading": "shard_loading",
}

_HYDRATE_SHARE = 0.5  # of a budget so short that users.timeout_ms would eat it up: a cold answer beats none


class Router:
    """Answers each request from the fleet that is current when it begins.

    fleet_of: the fleet of the newest topology.  users: where the records are.  observer: told what happens.
    tower_of: the user tower of a generation by its id, None where there is none or it is not loaded.  recorder: keeps how some
    answers came about.
    """

    def __init__(
        self,
        fleet_of: Callable[[], Fleet],
        users: UserStore,
        sections: RouterSections,
        *,
        observer: Observer | None = None,
        tower_of: Callable[[str], UserTower | None] = lambda generation: None,
        recorder: Recorder | None = None,
    ) -> None:
        self._fleet_of = fleet_of
        self._users = users
        self._sections = sections
        self._observer: Observer = observer or Silent()
        self._tower_of = tower_of
        self._recorder = recorder
        self._rules = RulesInForce(sections.slate)
        self._admission = Admission(sections.admission)
        self._quality = Quality.of(sections.ranker.heavy)

    @property
    def in_flight(self) -> int:
        """Requests being worked on."""
        return self._admission.in_flight

    async def recommend(self, request: Request, deadline: Deadline) -> Recommendation:
        """The slate for one request, at the deadline at the latest.

        Once candidates are there, what fails or is late makes the answer worse (`degraded`), not an error. Raises
        Overloaded or InvalidQuery before anything was begun, the latter also if only a shard finds out;
        DeadlineExceeded where a stage cannot begin any more; CoverageTooLow if fewer items were searched than required, or
        none at all.
        """
        keep: Keep | None = None
        if self._recorder is not None:
            request, keep = self._recorder.begin(request)
        return await self.traced(request, deadline, keep)

    async def traced(self, request: Request, deadline: Deadline, keep: Keep | None) -> Recommendation:
        """`recommend`, and `keep` is given the answer with everything that led to it."""
        try:
            deadline.check("admission")  # or requests that nobody waits for any more would take the places of others
            with self._admission:
                answer = await self._answer(request, deadline, keep)
        except OskolokError as error:
            self._observer.refused(error)
            raise
        self._observer.answered(answer)
        return answer

    async def _answer(self, request: Request, deadline: Deadline, keep: Keep | None) -> Recommendation:
        config, fleet, funnel = self._sections, self._fleet_of(), Funnel(self._observer)
        spec = fleet.spec

        request = in_the_catalogues_ids(request, spec)
        check_filter(request.filter, spec)
        deadline.check("hydrate")
        looking_up = deadline.part(_HYDRATE_SHARE, at_most_ms=config.users.timeout_ms)
        user = await hydrate(request.user_id, spec.id, self._users, looking_up)
        session = await session_vectors(request, user.record, fleet, config, looking_up)
        planned = plan(request, user.record, spec, config, tower=self._tower_of(spec.id), session=session)
        funnel.done("hydrate", 1, int(user.record is not None), degraded=(*user.degraded, *planned.degraded))

        deadline.check("retrieve")
        searching = deadline.part(config.deadline.retrieve_share)
        answers = await retrieve(planned.query, range(spec.n_shards), fleet, searching)
        request, unknown_items = known_part(request, unknown_among(planned.query.named, answers.got, spec.n_shards))
        unknown_words: list[Degradation] = ["unknown_item"] if unknown_items else []
        funnel.done(
            "retrieve",
            spec.n_items,
            sum(len(reply.keys) for reply in answers.got.values()),
            removed=not_proposed(answers.got, spec),
            degraded=(*_shard_degradations(answers.missed), *unknown_words),
        )
        asked = [ask.source for ask in planned.query.asks]
        required = config.deadline.min_coverage if request.min_coverage is None else request.min_coverage
        coverage = coverage_of(fleet, answers.got, answers.missed, asked=asked, required=required)
        self._observe(answers.got.values(), coverage.missing)
        require(coverage)

        certifying = deadline.part(config.deadline.retrieve_share)
        searched_share = coverage.ratio
        covering = planned.covering(searched_share)
        found = await certified_merge(
            answers.got,
            covering,
            fleet,
            rank_constant=config.merge.rrf_rank_constant,
            deadline=certifying,
        )
        candidates = found.merged.candidates
        funnel.done("merge", found.merged.n_received, len(candidates), removed=found.merged.removed)

        ranking = deadline.part(config.deadline.rank_share, at_most_ms=config.ranker.timeout_ms)
        ranked = await rank(
            candidates,
            request,
            user.record,
            fleet=fleet,
            section=config.ranker,
            quality=self._quality,
            deadline=ranking,
        )
        self._learn(ranked)
        funnel.done("rank", len(candidates), len(candidates), degraded=ranked.degraded)

        rules, skipped = self._rules.of(spec)
        exclude, pins = planned.query.exclude, planned.pins
        shaped = await shape(
            candidates, ranked, request, exclude=exclude, pins=pins, rules=rules, fleet=fleet, deadline=deadline
        )
        slate = shaped.slate
        refused: list[Degradation] = ["pin_refused"] if refuses_pins(request, candidates) else []
        funnel.done(
            "slate",
            len(candidates),
            min(request.k, len(slate)),
            removed=slate.removed,
            degraded=(*skipped, *refused, *shaped.degraded),
        )

        deadline.check("fill")
        filled = await fill(
            slate, request.k, plan=planned, replies=found.replies, rules=rules, fleet=fleet, sections=config, deadline=deadline
        )
        funnel.done("fill", filled.n_fetched, len(filled.items), removed=filled.removed, degraded=filled.degraded)
        if filled.missed:  # what a shard proposed and could not deliver was not searched, as far as the caller can tell
            delivered = {shard: reply for shard, reply in found.replies.items() if shard not in filled.missed}
            missed = {**answers.missed, **filled.missed}
            coverage = coverage_of(fleet, delivered, missed, asked=asked, required=required)
            self._observe((), [m for m in coverage.missing if m.shard in filled.missed])
            require(coverage)

        explained = request.explain != "none"
        answer = Recommendation(
            items=filled.items,
            coverage=coverage,
            degraded=funnel.degraded,
            generation=spec.id,
            topology_version=fleet.version,
            timings_ms=funnel.timings_ms(),
            exact_merge=found.merged.exact,
            funnel=tuple(funnel.stages),
            shards=shard_traces(found, fleet) if explained else (),
            sources=source_traces(planned, found, filled.items, ratio=searched_share) if explained else (),
            rank=ranked.trace if explained else None,
            slate=slate_trace(filled, rules, seed=shaped.seed) if explained else None,
            kept=keep is not None,
            unknown_items=unknown_items if explained else (),
            eligible=eligibility(answers.got),
        )
        if keep is not None:
            missed = {**answers.missed, **filled.missed}
            keep(
                Trail(request, user.record, fleet, planned, covering, found, missed, ranked, rules, shaped, filled),
                answer,
            )
        return answer

    def _learn(self, ranked: Ranked) -> None:
        if ranked.learnt_ms is not None:
            self._quality = self._quality.after(ranked.learnt_ms)
        if ranked.trace is not None:
            self._observer.ranked(ranked.trace)

    def _observe(self, replies: Iterable[ShardReply], missing: Iterable[MissingShard]) -> None:
        for reply in replies:
            self._observer.shard_answered(reply)
        for shard in missing:
            self._observer.shard_missing(shard)


def _shard_degradations(missed: Mapping[int, Missed]) -> list[Degradation]:
    return [_SHARD_DEGRADED[m.reason] for m in missed.values()]
