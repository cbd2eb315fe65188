"""Short ways to ask: the sections with a few values changed, a router over some shards, one request, the truth."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from cluster.clients.protocols import Fleet
from cluster.config.sections import Config
from cluster.deadline import Deadline
from cluster.filtering import EVERYTHING, Filter
from cluster.spec import GenerationSpec
from cluster.types import Floats, Keys, UserRecord
from router.planning.plan import Plan, plan
from router.planning.setup import Setup
from router.request import Recommendation, Request
from router.router import Router
from router.users.store import UserStore
from router.users.user_tower import UserTower
from tests.router.fakes import Catalogue, DictStore, user

AMPLE_MS = 5_000.0


def sections(**changes: dict[str, object]) -> Config:
    """The defaults with changes per section: sections(slate={"cap": 2}). score_all is off: the fakes have no such source."""
    sources = {"score_all": {"enabled": False}, **changes.pop("sources", {})}
    return Config.model_validate({"sources": sources, **changes})


def ask(router: Router, *, user_id: str = "u", k: int = 10, budget_ms: float = AMPLE_MS, **fields: object) -> Recommendation:
    """One recommendation, in a loop of its own."""
    request = Request(user_id=user_id, k=k, **fields)  # type: ignore[arg-type]

    async def run() -> Recommendation:
        return await router.recommend(request, Deadline.after_ms(budget_ms))

    return asyncio.run(run())


def planned(
    request: Request,
    record: UserRecord | None,
    spec: GenerationSpec,
    sections: Config,
    *,
    tower: UserTower | None = None,
    session: Mapping[str, Floats] = MappingProxyType({}),
) -> Plan:
    """The plan of one request of that generation under these sections."""
    return plan(request, record, Setup.of(spec, sections), tower=tower, session=session)


def router_over(fleet: Fleet, store: UserStore | None = None, **changes: dict[str, object]) -> Router:
    return Router(lambda: fleet, store or DictStore(user()), sections(**changes))


def fused_truth(
    catalogue: Catalogue,
    budgets: dict[str, int],
    *,
    filter: Filter = EVERYTHING,
    exclude: Keys | None = None,
    constant: float = 60.0,
) -> list[tuple[int, float]]:
    """(key, fused score) of every candidate, best first, the slow and obvious way: sort, cut, add, sort."""
    eligible = catalogue.passes(filter) & ~np.isin(catalogue.keys, exclude if exclude is not None else [])
    fused: dict[int, float] = {}
    for source, k in budgets.items():
        scores: Floats = getattr(catalogue, source)
        ranked = sorted((int(i) for i in np.flatnonzero(eligible)), key=lambda i: (-scores[i], catalogue.keys[i]))
        for rank, i in enumerate(ranked[:k], 1):
            key = int(catalogue.keys[i])
            fused[key] = fused.get(key, 0.0) + 1 / (constant + rank)
    rounded = [(key, float(np.float32(score))) for key, score in fused.items()]
    return sorted(rounded, key=lambda candidate: (-candidate[1], candidate[0]))
