"""Keeps some requests while serving: a share of them at random, and those whose caller asked for it with explain = "full".

A request that is not kept costs a draw. One that is kept leaves its trail behind when it is answered; the light model's scores
are asked for afterwards, and a thread of its own writes files of many requests below <storage.path>/replay. When the disk or
the ranker is slow, requests are dropped and counted, never held up. The oldest files go when all together are too large. A
process that is killed loses what it answered in the last FILE_AGE_S at most; one that is stopped writes it first.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from cluster.config import Config
from cluster.deadline import Deadline
from cluster.types import Floats
from router.fanout import fan_out
from router.rank import rank_query
from router.replay.file import write_log
from router.replay.logged import Logged, decisive, logged_of
from router.request import Recommendation, Request
from router.sections import RouterSections
from router.trail import Keep, Trail

WAITING_MAX = 64
FILE_REQUESTS_MAX = 64
FILE_AGE_S = 2.0

_LIGHT_MS = 500.0

log = logging.getLogger("oskolok.replay")


class ReplayLog:
    """A `router.trail.Recorder`. May be used by one event loop at a time.

    n_kept: requests that are on disk, since the start.
    """

    def __init__(
        self, folder: Path, config: Config, *, draw: Callable[[], float] = random.random, clock: Callable[[], float] = time.time
    ) -> None:
        self.n_kept = 0
        self._n_unmade = 0  # the event loop's, the next one the writer's: each has one thread that adds to it
        self._n_unwritten = 0
        self._folder = folder
        self._sample = config.observability.replay_sample
        self._bytes_max = config.observability.replay_bytes_max
        self._sections = RouterSections.of(config)
        self._config = decisive(config)
        self._draw = draw
        self._clock = clock
        self._waiting: queue.Queue[Logged | None] = queue.Queue(WAITING_MAX)
        self._finishing: set[asyncio.Task[None]] = set()
        self._writer: threading.Thread | None = None

    @property
    def n_dropped(self) -> int:
        """Requests that should have been kept and are lost."""
        return self._n_unmade + self._n_unwritten

    def begin(self, request: Request) -> tuple[Request, Keep | None]:
        """The moment of a request that is kept is made part of it: features depend on it."""
        if request.explain != "full" and (self._sample == 0 or self._draw() >= self._sample):
            return request, None
        if request.asked_at is None:
            request = replace(request, asked_at=self._clock())
        return request, self._keep

    def close(self) -> None:
        """Write what is waiting."""
        if self._writer is not None:
            self._waiting.put(None)
            self._writer.join()
            self._writer = None

    def _keep(self, trail: Trail, answer: Recommendation) -> None:
        if len(self._finishing) + self._waiting.qsize() >= WAITING_MAX:
            self._n_unmade += 1
            return
        task = asyncio.get_running_loop().create_task(self._finish(trail, answer))
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)

    async def finished(self) -> None:
        """Once nothing is being made ready any more."""
        await asyncio.gather(*self._finishing)

    async def _finish(self, trail: Trail, answer: Recommendation) -> None:
        try:
            light = await self._light_scores(trail)
            made = logged_of(
                trail, answer, sections=self._sections, config=self._config, light_scores=light, logged_at=self._clock()
            )
            self._waiting.put_nowait(made)
        except queue.Full:
            self._n_unmade += 1
            return
        except Exception:
            self._n_unmade += 1
            log.exception("a request could not be kept for replay")
            return
        if self._writer is None:
            self._writer = threading.Thread(target=self._write, name="replay", daemon=True)
            self._writer.start()

    async def _light_scores(self, trail: Trail) -> Floats | None:
        """(m,) aligned with the candidates."""
        ranker, candidates = trail.fleet.ranker, trail.found.merged.candidates
        if ranker is None or trail.ranked.trace is None or len(candidates) == 0:
            return None
        query = rank_query(candidates, trail.request, trail.record, trail.fleet.spec, self._sections.ranker)
        deadline = Deadline.after_ms(_LIGHT_MS)
        ask = partial(ranker.rank, replace(query, n_heavy=0), deadline)
        answers = await fan_out((0,), lambda _: ask(), deadline)
        reply = answers.got.get(0)
        if reply is None or len(reply.order) != len(candidates):
            return None
        scores = np.empty(len(candidates), np.float32)
        scores[reply.order] = reply.scores
        return scores

    def _write(self) -> None:
        while True:
            first = self._waiting.get()
            if first is None:
                return
            batch, over = [first], False
            until = time.monotonic() + FILE_AGE_S
            while len(batch) < FILE_REQUESTS_MAX and not over:
                try:
                    one = self._waiting.get(timeout=max(0.0, until - time.monotonic()))
                except queue.Empty:
                    break
                if one is None:
                    over = True
                else:
                    batch.append(one)
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                write_log(self._folder / f"{time.time_ns() // 1_000_000}-{os.getpid()}.parquet", batch)
                self.n_kept += len(batch)
                keep_below(self._folder, self._bytes_max)
            except Exception:
                self._n_unwritten += len(batch)
                log.exception("%d requests could not be written for replay", len(batch))
            if over:
                return


def keep_below(folder: Path, bytes_max: int) -> None:
    """Delete the oldest logs until all of them together are no larger; the newest always stays. Others may do the same."""
    found = sorted(folder.glob("*.parquet"))
    sizes = {path: size for path in found if (size := _size(path)) is not None}
    total = sum(sizes.values())
    for path in list(sizes)[:-1]:
        if total <= bytes_max:
            return
        path.unlink(missing_ok=True)
        total -= sizes[path]


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
