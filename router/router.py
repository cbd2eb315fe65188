"""Which items for this user, in time? One function with a paragraph for each stage of the diagram:

    hydrate -> retrieve -> merge -> rank -> slate -> fill

Stateless but for the count of requests in flight and for how much heavy ranking the load allows (`router/quality.py`). It runs
wherever an event loop does and talks to a `Fleet`, so shards in this process, behind connections or in a test look the same.
It knows neither HTTP nor Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import replace

from cluster.clients.protocols import Fleet
from cluster.config.sections import Config
from cluster.coverage import Coverage
from cluster.deadline import Deadline
from cluster.errors import OskolokError
from cluster.filtering import check_filter
from cluster.spec import GenerationSpec
from router.admission import Admission
from router.coverage import coverage_of, require
from router.explain import answer_of
from router.fill import fill
from router.funnel import Funnel
from router.hydrate import hydrate
from router.observer import Observer, Silent
from router.planning.ids import in_the_catalogues_ids
from router.planning.named import known_part, unknown_among
from router.planning.session import plan_with_session
from router.planning.setup import Setup
from router.quality import Quality
from router.rank import Ranked, rank
from router.request import Recommendation, Request
from router.retrieve import retrieve
from router.search import certified_merge
from router.shape import shape
from router.trail import Keep, Recorder, Trail
from router.users.store import UserStore
from router.users.user_tower import UserTower

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
        config: Config,
        *,
        observer: Observer | None = None,
        tower_of: Callable[[str], UserTower | None] = lambda generation: None,
        recorder: Recorder | None = None,
    ) -> None:
        self._fleet_of = fleet_of
        self._users = users
        self._config = config
        self._observer: Observer = observer or Silent()
        self._tower_of = tower_of
        self._recorder = recorder
        self._setup: Setup | None = None
        self._admission = Admission(config.admission)
        self._quality = Quality.of(config.ranker.heavy)

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
        trail, answer = await self.traced(request, deadline)
        if keep is not None:
            answer = replace(answer, kept=True)
            keep(trail, answer)
        return answer

    async def traced(self, request: Request, deadline: Deadline) -> tuple[Trail, Recommendation]:
        """`recommend`, with everything that led to the answer. Never recorded."""
        try:
            deadline.check("admission")  # or requests that nobody waits for any more would take the places of others
            with self._admission:
                trail, answer = await self._answer(request, deadline)
        except OskolokError as error:
            self._observer.refused(error)
            raise
        self._observer.answered(answer)
        return trail, answer

    async def _answer(self, request: Request, deadline: Deadline) -> tuple[Trail, Recommendation]:
        config, fleet, funnel = self._config, self._fleet_of(), Funnel(self._observer)
        spec, setup = fleet.spec, self._setup_of(fleet.spec)
        request = in_the_catalogues_ids(request, spec)
        check_filter(request.filter, spec)

        deadline.check("hydrate")
        looking_up = deadline.part(_HYDRATE_SHARE, at_most_ms=config.users.timeout_ms)
        user = await hydrate(request.user_id, spec.id, self._users, looking_up)
        tower = self._tower_of(spec.id)
        planned = await plan_with_session(request, user.record, fleet, setup, tower=tower, deadline=looking_up)
        funnel.done("hydrate", user, degraded=planned.degraded)

        deadline.check("retrieve")
        searching = deadline.part(config.deadline.retrieve_share)
        retrieved = await retrieve(planned.query, range(spec.n_shards), fleet, searching)
        request, unknown_items = known_part(request, unknown_among(planned.query.named, retrieved.got, spec.n_shards))
        funnel.done("retrieve", retrieved, degraded=["unknown_item"] if unknown_items else [])
        required = config.deadline.min_coverage if request.min_coverage is None else request.min_coverage
        coverage = coverage_of(fleet, retrieved.got, retrieved.missed, asked=planned.sources, required=required)
        for reply in retrieved.got.values():
            self._observer.shard_answered(reply)
        self._require(coverage, retrieved.missed)

        covering = planned.covering(coverage.ratio)
        certifying = deadline.part(config.deadline.retrieve_share)
        searched = await certified_merge(retrieved.got, covering, fleet, certifying)
        funnel.done("merge", searched)

        ranked = await rank(
            searched.candidates,
            request,
            user.record,
            fleet=fleet,
            section=config.ranker,
            quality=self._quality,
            deadline=deadline.part(config.deadline.rank_share, at_most_ms=config.ranker.timeout_ms),
        )
        self._learn(ranked)
        funnel.done("rank", ranked)

        shaped = await shape(searched.candidates, ranked, request, plan=planned, setup=setup, fleet=fleet, deadline=deadline)
        funnel.done("slate", shaped)

        deadline.check("fill")
        replies = searched.replies
        filled = await fill(shaped.slate, request.k, plan=planned, replies=replies, setup=setup, fleet=fleet, deadline=deadline)
        funnel.done("fill", filled)
        missed = {**retrieved.missed, **filled.missed}
        if filled.missed:  # what a shard proposed and could not deliver was not searched, as far as the caller can tell
            delivered = {shard: reply for shard, reply in replies.items() if shard not in filled.missed}
            coverage = coverage_of(fleet, delivered, missed, asked=planned.sources, required=required)
            self._require(coverage, filled.missed)

        of_retrieval = (planned, retrieved, unknown_items, covering, searched)
        trail = Trail(request, fleet, setup, user.record, *of_retrieval, ranked, shaped, filled, missed, coverage)
        return trail, answer_of(trail, funnel)

    def _setup_of(self, spec: GenerationSpec) -> Setup:
        """The one of the generation that serves, by identity: comparing thousands of list names would cost more than a plan."""
        if self._setup is None or self._setup.spec is not spec:
            self._setup = Setup.of(spec, self._config)
        return self._setup

    def _learn(self, ranked: Ranked) -> None:
        if ranked.learnt_ms is not None:
            self._quality = self._quality.after(ranked.learnt_ms)
        if ranked.trace is not None:
            self._observer.ranked(ranked.trace)

    def _require(self, coverage: Coverage, newly_missed: Container[int]) -> None:
        for missing in coverage.missing:
            if missing.shard in newly_missed:
                self._observer.shard_missing(missing)
        require(coverage)
