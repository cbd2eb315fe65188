"""POST /v1/recommend, /v1/recommend/batch and /v1/why as functions from bytes to bytes: decode, check, ask the router, encode.

Every failure leaves as an exception that `deploy/problems.py` has words for. Nothing here knows ASGI.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import UNSET

from cluster.config import Config
from cluster.deadline import Deadline
from cluster.errors import DeadlineExceeded, InternalError, LimitExceeded
from cluster.partition import ItemId
from deploy.convert import budget_ms, to_body, to_item_id, to_request
from deploy.decoding import decode
from deploy.problems import Refused, problem_of
from deploy.schema import (
    BatchAnswer,
    BatchBody,
    BatchResult,
    Format,
    RecommendationBody,
    RecommendBody,
    WhyAnswer,
    WhyBody,
    to_json,
    to_msgpack,
)
from router.request import Recommendation, Request
from router.verdict import Why

BATCH_CONCURRENCY = 8
"""Requests of one batch that are worked on at once: enough to hide waiting, too few to crowd out other callers."""

_FENCE_S = 0.05  # the router keeps deadlines itself, to within 20 ms; this fence only stands behind it

T = TypeVar("T")

log = logging.getLogger("oskolok.http")


class Recommender(Protocol):
    """The one method of the router that HTTP needs."""

    async def recommend(self, request: Request, deadline: Deadline) -> Recommendation: ...


class Inquirer(Protocol):
    """Who can tell why."""

    async def why(self, request: Request, item_id: ItemId, deadline: Deadline) -> Why: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """An encoded body, and what the headers say about it. recommendation: None for all but one."""

    body: bytes
    form: Format
    recommendation: Recommendation | None = None


class Answers:
    """The routes that ask the router."""

    def __init__(self, router: Recommender, inquirer: Inquirer, config: Config) -> None:
        self._router = router
        self._inquirer = inquirer
        self._config = config

    async def recommend(self, body: bytes, form: Format, request_id: str, arrived: Deadline) -> Answer:
        """One recommendation. arrived: a deadline made when the request came, with no time left; budgets count from there."""
        said = decode(body, form, RecommendBody)
        default = self._config.deadline.default_ms
        budget = default if said.timeout_ms is UNSET else budget_ms(said.timeout_ms, self._config)
        deadline = Deadline(arrived.at + budget / 1000, arrived.clock)
        recommendation = await self._ask(said, deadline)
        return Answer(_encode(to_body(recommendation, request_id, explain=said.explain), form), form, recommendation)

    async def why(self, body: bytes, form: Format, request_id: str, arrived: Deadline) -> Answer:
        """Why an item is recommended, or why it is not. It may take as long as a batch."""
        said = decode(body, form, WhyBody)
        budget = self._config.deadline.max_ms if said.timeout_ms is UNSET else budget_ms(said.timeout_ms, self._config)
        deadline = Deadline(arrived.at + budget / 1000, arrived.clock)
        item_id = to_item_id(said, self._config)
        found = await _fenced(self._inquirer.why(to_request(said, self._config), item_id, deadline), deadline)
        return Answer(_encode(WhyAnswer(request_id, found), form), form)

    async def batch(self, body: bytes, form: Format, request_id: str, arrived: Deadline) -> Answer:
        """Many recommendations, aligned with the requests; what is wrong with one of them is said in its place."""
        said = decode(body, form, BatchBody)
        limit = self._config.limits.batch_requests
        if not said.requests:
            raise Refused("invalid-value", "a batch needs at least one request", pointer="/requests")
        if len(said.requests) > limit:
            raise LimitExceeded(
                f"the batch has {len(said.requests)} requests, the limit is {limit}",
                field="/requests",
                allowed=f"<= {limit}",
                limit_key="limits.batch_requests",
            )
        longest = self._config.deadline.max_ms
        budget = longest if said.timeout_ms is UNSET else budget_ms(said.timeout_ms, self._config)
        deadline = Deadline(arrived.at + budget / 1000, arrived.clock)
        turns = asyncio.Semaphore(BATCH_CONCURRENCY)
        results = await asyncio.gather(
            *(self._element(raw, form, f"{request_id}-{at}", arrived, deadline, turns) for at, raw in enumerate(said.requests))
        )
        return Answer(_encode(BatchAnswer(request_id, tuple(results)), form), form)

    async def _element(
        self, raw: msgspec.Raw, form: Format, request_id: str, arrived: Deadline, batch: Deadline, turns: asyncio.Semaphore
    ) -> BatchResult:
        try:
            said = decode(raw, form, RecommendBody)
            deadline = batch
            if said.timeout_ms is not UNSET:
                own = arrived.at + budget_ms(said.timeout_ms, self._config) / 1000
                deadline = Deadline(min(own, batch.at), batch.clock)
            async with turns:
                recommendation = await self._ask(said, deadline)
            answer: RecommendationBody = to_body(recommendation, request_id, explain=said.explain)
            return BatchResult(200, recommendation=answer)
        except Exception as error:
            problem = problem_of(error, instance="/v1/recommend", request_id=request_id)
            if problem.status == 500:
                log.error("request %s failed", request_id, exc_info=error)
            return BatchResult(problem.status, problem=problem)

    async def _ask(self, said: RecommendBody, deadline: Deadline) -> Recommendation:
        return await _fenced(self._router.recommend(to_request(said, self._config), deadline), deadline)


async def _fenced(answering: Coroutine[Any, Any, T], deadline: Deadline) -> T:
    try:
        async with asyncio.timeout(deadline.remaining_s() + _FENCE_S):
            return await answering
    except TimeoutError:
        raise DeadlineExceeded("the router did not answer in time", stage="router") from None


def _encode(value: msgspec.Struct, form: Format) -> bytes:
    try:
        return (to_json if form == "json" else to_msgpack)(value)
    except (TypeError, UnicodeEncodeError, msgspec.MsgspecError) as error:
        raise InternalError(f"the answer cannot be encoded: {error}") from error
