"""What a shard process and a ranker process have in common: it listens at once, loads in the background and reports its state.

The data-plane server is up before anything is read, so callers hear "loading" instead of a refused connection, and an actor
whose generation cannot be loaded lives on to report why. What is loaded, and how calls are served, is the actor's own.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from cluster.errors import GenerationMismatch, OskolokError
from cluster.generation import Generation, Hold
from cluster.serving.endpoint import Endpoint
from cluster.serving.garbage import settle
from cluster.topology import Address, ReplicaState, ReplicaStatus
from cluster.transport.server_thread import ServerThread
from cluster.transport.service import Service

T = TypeVar("T")


class ServingActor(Generic[T]):
    """Serves what `load` reads from one generation, on one thread. Ray's calls, `status` and `stop`, are answered beside it."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        load: Callable[[Generation], T],
        serve: Callable[[Callable[[str], T]], Service],
        still_loading: Callable[[str], OskolokError],
        batch_max: int = 1,
    ) -> None:
        """Returns once the server listens; the generation is read after that.

        serve: makes the service from `lookup`.  still_loading: the error that callers get meanwhile, from a message.
        """
        self._endpoint = endpoint
        self._still_loading = still_loading
        self._hold: Hold | None = None
        self._loaded: tuple[str, T] | None = None
        self._state: ReplicaState = "loading"
        self._detail = ""
        self._failure = ""
        self._load_s = 0.0
        self._server = ServerThread(serve(self.lookup), secret=endpoint.secret, limits=endpoint.limits, batch_max=batch_max)
        port = self._server.start(unix_path=endpoint.unix_path, host=endpoint.host)
        self._address = Address(endpoint.node_id, endpoint.host, port, endpoint.unix_path)
        threading.Thread(target=self._load, args=(load,), name="load", daemon=True).start()

    def lookup(self, generation: str) -> T:
        """What serves that generation. Raises `still_loading`, which tells callers no path, or GenerationMismatch."""
        name = self._endpoint.name
        if self._loaded is None:
            raise self._still_loading(f"{name} is {self._failure or 'loading'}")
        held, served = self._loaded
        if held != generation:
            raise GenerationMismatch(f"{name} holds generation {held}, asked for {generation}")
        return served

    def status(self) -> ReplicaStatus:
        """How this process is; answers while loading. It speaks for the thread that serves, whichever thread is asked."""
        if not self._server.alive:
            self._state, self._detail = "dead", "the data-plane thread has ended"
        return ReplicaStatus(
            name=self._endpoint.name,
            shard=self._endpoint.shard,
            pid=os.getpid(),
            address=self._address,
            state=self._state,
            generation=self._loaded[0] if self._loaded else "",
            load_s=self._load_s,
            detail=self._detail,
            unanswered_s=self._server.unanswered_s(),
        )

    def stop(self) -> None:
        """Finish the calls in flight and close the server."""
        self._server.stop()

    def _load(self, load: Callable[[Generation], T]) -> None:
        began = time.monotonic()
        path = Path(self._endpoint.generation_path)
        try:
            self._hold = Hold.shared(path)
            generation = Generation.open(path)
            loaded = generation.id, load(generation)
        except Exception as error:
            self._detail = f"unable to load: {error}" if isinstance(error, OskolokError) else f"unable to load: {error!r}"
            self._failure = f"unable to load: {type(error).__name__}"
            self._state = "dead"
        else:
            settle()
            self._load_s = time.monotonic() - began
            self._loaded = loaded
            self._state = "ready"
