"""Keeps some requests while serving: a random share of all, and a limited number per second of those with explain = "full".

A request that is not kept costs a random draw. A kept request leaves its trail behind when it is answered, and a separate
thread writes files of many requests below <storage.path>/replay. If the disk is slow, requests are dropped and counted, never
held up. The oldest files are deleted when all files together are too large. A process that is killed loses at most the requests
of the last FILE_AGE_S; a process that is stopped writes them first.
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
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cluster.config.sections import Config
from cluster.private import private_folder
from router.replay.file import remove_unfinished, write_log
from router.replay.logged import KeptFor, Logged, decisive, logged_of
from router.request import Recommendation, Request
from router.trail import Keep, Trail

WAITING_MAX = 64
FILE_REQUESTS_MAX = 64
FILE_AGE_S = 2.0

ALLOWANCE_S = 10.0
ASKED_FOLDER = "asked"
ASKED_PART = 4
"""One byte of so many in replay_bytes_max is for requests kept because their callers asked, in a folder of their own: however
many do, no sampled request goes for one of them.
"""

log = logging.getLogger("oskolok.replay")


@dataclass(frozen=True, slots=True)
class _Room:
    """Where requests are written, and how much of them stays."""

    folder: Path
    bytes_max: int


class _Allowance:
    """So many a second; what is not taken lasts for ALLOWANCE_S, and one may always be saved up for."""

    def __init__(self, per_s: float, now: float) -> None:
        self._per_s = per_s
        self._most = max(1.0, per_s * ALLOWANCE_S) if per_s > 0 else 0.0
        self._left = self._most
        self._counted_at = now

    def take(self, now: float) -> bool:
        self._left = min(self._most, self._left + max(0.0, now - self._counted_at) * self._per_s)
        self._counted_at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


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
        section = config.observability
        self._sample = section.replay_sample
        self._asked = _Allowance(section.replay_asked_per_s, clock())
        asked_bytes = section.replay_bytes_max // ASKED_PART
        self._rooms: dict[KeptFor, _Room] = {
            "sampled": _Room(folder, section.replay_bytes_max - asked_bytes),
            "asked": _Room(folder / ASKED_FOLDER, asked_bytes),
        }
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
        kept_for: KeptFor
        if self._sample > 0 and self._draw() < self._sample:
            kept_for = "sampled"
        elif request.explain == "full" and self._asked.take(self._clock()):
            kept_for = "asked"
        else:
            return request, None
        if request.asked_at is None:
            request = replace(request, asked_at=self._clock())
        return request, partial(self._keep, kept_for)

    def close(self) -> None:
        """Write what is waiting."""
        if self._writer is not None:
            self._waiting.put(None)
            self._writer.join()
            self._writer = None

    def _keep(self, kept_for: KeptFor, trail: Trail, answer: Recommendation) -> None:
        room = WAITING_MAX if kept_for == "sampled" else WAITING_MAX // 2
        if len(self._finishing) + self._waiting.qsize() >= room:
            self._n_unmade += 1
            return
        task = asyncio.get_running_loop().create_task(self._finish(kept_for, trail, answer))
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)

    async def finished(self) -> None:
        """Once nothing is being made ready any more."""
        await asyncio.gather(*self._finishing)

    async def _finish(self, kept_for: KeptFor, trail: Trail, answer: Recommendation) -> None:
        """A task of its own, so that the answer leaves first."""
        try:
            made = logged_of(trail, answer, config=self._config, kept_for=kept_for, logged_at=self._clock())
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
            for kept_for, room in self._rooms.items():
                if some := [logged for logged in batch if logged.kept_for == kept_for]:
                    self._write_one(some, room)
            if over:
                return

    def _write_one(self, requests: list[Logged], room: _Room) -> None:
        try:
            private_folder(room.folder)
            write_log(room.folder / f"{time.time_ns() // 1_000_000}-{os.getpid()}.parquet", requests)
            self.n_kept += len(requests)
            keep_below(room.folder, room.bytes_max)
            remove_unfinished(room.folder)
        except Exception:
            self._n_unwritten += len(requests)
            log.exception("%d requests could not be written for replay", len(requests))


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
