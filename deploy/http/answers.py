"""POST /v1/recommend, /v1/recommend/batch and /v1/why as functions from bytes to bytes: decode, check, ask the router, encode.

Every failure is an exception that `deploy/problems.py` turns into a problem. Nothing here knows ASGI.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec

from cluster.config.sections import Config
from cluster.deadline import Deadline
from cluster.errors import DeadlineExceeded, InternalError
from cluster.partition import ItemId
from deploy.http.convert import budget_ms, to_body, to_item_id, to_request
from deploy.http.decoding import decode, decode_batch
from deploy.http.schema import (
    BatchAnswer,
    BatchResult,
    Format,
    RecommendationBody,
    RecommendBody,
    WhyAnswer,
    WhyBody,
    to_json,
    to_msgpack,
)
from deploy.problems import Refused, problem_of
from router.request import Recommendation, Request
from router.why.verdict import Why

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

    def __init__(
        self, router: Recommender, inquirer: Inquirer, config: Config, *, refused: Callable[[Exception], None]
    ) -> None:
        """refused: called for each request to recommend that fails before the router is asked."""
        self._refused = refused
        self._router = router
        self._inquirer = inquirer
        self._config = config

    async def recommend(self, body: bytes, form: Format, request_id: str, arrived_at: float) -> Answer:
        """One recommendation. arrived_at: seconds on the monotonic clock; the time budget counts from there."""
        with self._reading():
            said = decode(body, form, RecommendBody, self._config.limits)
            deadline = self._deadline(arrived_at, said.timeout_ms, self._config.deadline.default_ms)
            request = to_request(said, self._config)
        recommendation = await _fenced(self._router.recommend(request, deadline), deadline)
        return Answer(_encode(to_body(recommendation, request_id, explain=request.explain), form), form, recommendation)

    async def why(self, body: bytes, form: Format, request_id: str, arrived_at: float) -> Answer:
        """Why an item is recommended, or why it is not. It may take as long as a batch."""
        said = decode(body, form, WhyBody, self._config.limits)
        deadline = self._deadline(arrived_at, said.timeout_ms, self._config.deadline.max_ms)
        item_id = to_item_id(said, self._config)
        found = await _fenced(self._inquirer.why(to_request(said, self._config), item_id, deadline), deadline)
        return Answer(_encode(WhyAnswer(request_id, found), form), form)

    async def batch(self, body: bytes, form: Format, request_id: str, arrived_at: float) -> Answer:
        """Many recommendations, aligned with the requests; a request that fails has its problem in its place."""
        with self._reading():
            said, requests = decode_batch(body, form, self._config.limits)
            if not requests:
                raise Refused("invalid-value", "a batch needs at least one request", pointer="/requests")
            deadline = self._deadline(arrived_at, said.timeout_ms, self._config.deadline.max_ms)
        turns = asyncio.Semaphore(BATCH_CONCURRENCY)
        results = await asyncio.gather(
            *(self._element(raw, form, f"{request_id}-{at}", arrived_at, deadline, turns) for at, raw in enumerate(requests))
        )
        return Answer(_encode(BatchAnswer(request_id, tuple(results)), form), form)

    async def _element(
        self, raw: msgspec.Raw, form: Format, request_id: str, arrived_at: float, batch: Deadline, turns: asyncio.Semaphore
    ) -> BatchResult:
        try:
            async with turns:
                with self._reading():
                    said = decode(raw, form, RecommendBody, self._config.limits)
                    own = self._deadline(arrived_at, said.timeout_ms, self._config.deadline.max_ms)
                    deadline = Deadline(min(own.at, batch.at))
                    request = to_request(said, self._config)
                recommendation = await _fenced(self._router.recommend(request, deadline), deadline)
            answer: RecommendationBody = to_body(recommendation, request_id, explain=request.explain)
            return BatchResult(200, recommendation=answer)
        except Exception as error:
            problem = problem_of(error, instance="/v1/recommend", request_id=request_id)
            if problem.status == 500:
                log.error("request %s failed", request_id, exc_info=error)
            return BatchResult(problem.status, problem=problem)

    def _deadline(self, arrived_at: float, timeout_ms: int | None, default_ms: int) -> Deadline:
        budget = default_ms if timeout_ms is None else budget_ms(timeout_ms, self._config)
        return Deadline(arrived_at + budget / 1000)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """What fails here never reaches the router, which counts only what it is asked."""
        try:
            yield
        except Exception as error:
            self._refused(error)
            raise


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
