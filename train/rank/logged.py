"""Ranking rows from requests that a cluster answered: candidates and features as they were when the slate was made.

Only the labels are computed here: what the user bought in the window after the answer. So training and serving cannot differ,
and models also learn from features that no event log can restore, such as the context that the caller sent. All candidates
are labelled, whether they were shown or not. Requests that were kept because the caller asked for it are left out: callers
would choose what the models learn. This module does not know where the logs come from (`router/replay/`).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from cluster.errors import ConfigError
from cluster.partition import item_keys
from cluster.spec import columns_hash
from cluster.types import Keys
from ranker.features import assemble
from router.replay.file import read_log
from router.replay.logged import Logged
from train.input.catalogue import Catalogue
from train.input.event_log import DAY_S, KINDS, TARGET, EventLog
from train.rank.ranking_rows import RankingRows

_TARGET = KINDS.index(TARGET)


@dataclass(frozen=True, slots=True, eq=False)
class LoggedRows:
    """rows: a group for each request with a purchase.  n_open: requests whose window is not over yet.

    n_idle: requests without a purchase in the window, or without candidates.  newest: Unix seconds; later requests are open.
    """

    rows: RankingRows
    n_open: int
    n_idle: int
    newest: int

    def line(self) -> str:
        """How many requests gave rows, and why the others did not."""
        n = len(self.rows.users)
        told = f"{len(self.rows.labels):,} candidates of {n:,} of {n + self.n_idle + self.n_open:,} requests"
        newest = time.strftime("%Y-%m-%d %H:%M", time.gmtime(self.newest))
        skipped = [f"{self.n_idle:,} led to no purchase"] if self.n_idle else []
        skipped += [f"{self.n_open:,} are newer than {newest} UTC, so their labels are not known yet"] if self.n_open else []
        return f"{told}; skipped: {', '.join(skipped)}" if skipped else told


def logs_below(folder: Path) -> list[Path]:
    """The logs in a folder, the newest first. Raises ConfigError without any."""
    found = sorted(folder.glob("*.parquet"), reverse=True)
    if not found:
        raise ConfigError(f"train.ranker.logged: {folder} holds no replay logs")
    return found


def hashes_of(logs: Iterable[Path]) -> list[str]:
    """The SHA-256 of each log that still exists: a router deletes its oldest."""
    hashes = []
    for path in logs:
        with suppress(FileNotFoundError):
            hashes.append(hashlib.sha256(path.read_bytes()).hexdigest())
    return hashes


def newest_first(logs: Iterable[Path]) -> Iterator[Logged]:
    """The requests of logs in their order, each log from its end; a log that no longer exists is skipped. Raises ConfigError
    for a file that is not a log.
    """
    for path in logs:
        try:
            requests = list(read_log(path))
        except ConfigError:
            if path.exists():
                raise
            continue
        yield from reversed(requests)


def logged_rows(
    requests: Iterable[Logged],
    log: EventLog,
    catalogue: Catalogue,
    columns: tuple[str, ...],
    *,
    label_days: int,
    until: int,
    n_max: int,
    on_request: Callable[[int], None] = lambda n_requests: None,
) -> LoggedRows:
    """Rows of the first n_max requests that lead to a purchase, in merged order.

    columns: what the models will read. Raises ConfigError for a request with other columns.  until: Unix seconds; a request is
    used if the label_days after it end by then, so that models learn nothing that they are judged by.
    """
    rows = [RankingRows.none(len(columns))]
    n_open = n_idle = 0
    drawn = (logged for logged in requests if logged.kept_for == "sampled")
    for n_done, logged in enumerate(drawn, 1):
        _require_columns(logged, columns)
        over = logged.logged_at + label_days * DAY_S
        user = pc.index(log.user_ids, logged.request.user_id).as_py()  # -1 for a stranger
        wanted = _wanted(logged, log, catalogue, user, until=over)
        if over > until:
            n_open += 1
        elif len(wanted) == 0 or len(logged.candidates) == 0:
            n_idle += 1
        else:
            features = assemble(logged.schema, logged.asked())
            rows.append(RankingRows.of_request(features, logged.candidates.keys, wanted=wanted, user=user))
        on_request(n_done)
        if len(rows) > n_max:
            break
    return LoggedRows(RankingRows.together(rows), n_open, n_idle, newest=until - label_days * DAY_S)


def _require_columns(logged: Logged, columns: tuple[str, ...]) -> None:
    """Models read columns by position, so an additional or a moved column is another schema."""
    told = logged.schema.columns()
    if told != columns:
        raise ConfigError(
            f"train.ranker.logged: a request to generation {logged.generation} has {len(told)} features of schema"
            f" {columns_hash(told)}, this build makes {len(columns)} of schema {columns_hash(columns)}: leave such logs out"
        )


def _wanted(logged: Logged, log: EventLog, catalogue: Catalogue, user: int, *, until: float) -> Keys:
    """Keys of the items the user bought after the answer and by `until`, without items that the request excludes."""
    if user < 0:
        return np.empty(0, np.int64)
    own = slice(int(log.starts[user]), int(log.starts[user + 1]))
    times = log.times[own]
    bought = (times > logged.logged_at) & (times <= until) & (log.kinds[own] == _TARGET)
    keys = catalogue.keys[np.unique(log.items[own][bought])]
    request = logged.request
    return np.setdiff1d(keys, item_keys((*request.exclude_item_ids, *request.basket)))
