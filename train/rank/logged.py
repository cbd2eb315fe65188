"""Ranking rows from requests that a cluster answered: candidates and features as they were when the slate was made.

Only the labels are computed: what the user bought in the window after the answer. So there is no skew between training and
serving, and models also learn from features that no event log has, such as the context that the caller sent. All candidates are
labelled, shown or not. Requests that were kept because their caller asked for it are left out: otherwise callers could choose
what the models learn.
"""

from __future__ import annotations

import hashlib
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

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
    """rows: a group for each request whose user wanted something.  n_open: requests whose window is not over yet.

    n_idle: requests without a purchase in it, or without candidates.  newest: Unix seconds; who asked later is open.
    """

    rows: RankingRows
    n_open: int
    n_idle: int
    newest: int

    def line(self) -> str:
        """How many taught something, and why the others did not."""
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
    """What tells the content of these logs, without those that are gone by now: a router deletes its oldest."""
    hashes = []
    for path in logs:
        with suppress(FileNotFoundError):
            hashes.append(hashlib.sha256(path.read_bytes()).hexdigest())
    return hashes


def newest_first(logs: Iterable[Path]) -> Iterator[Logged]:
    """The requests of logs in that order, each log from its end; none of a log that is gone by now. Raises ConfigError for what
    is no log.
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
    """Rows of the first n_max requests that taught something, in merged order.

    columns: of the models to be. Raises ConfigError for a request with other ones.  until: Unix seconds; a request is used if
    the label_days after it are over by then, so that nothing of what models are judged by is learnt.
    """
    rows = [RankingRows.none(len(columns))]
    n_open = n_idle = 0
    drawn = (logged for logged in requests if logged.kept_for == "sampled")
    for n_done, logged in enumerate(drawn, 1):
        _require_columns(logged, columns)
        over = logged.logged_at + label_days * DAY_S
        user = _position(log, logged.request.user_id)
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
    """Models read columns by position, so one more or one elsewhere is another schema."""
    told = logged.schema.columns()
    if told != columns:
        raise ConfigError(
            f"train.ranker.logged: a request to generation {logged.generation} has {len(told)} features of schema"
            f" {columns_hash(told)}, this build makes {len(columns)} of schema {columns_hash(columns)}: leave such logs out"
        )


def _position(log: EventLog, user_id: str) -> int:
    """The user's position in the log, -1 for a stranger."""
    ids = log.user_ids
    at = bisect_left(range(len(ids)), user_id, key=lambda at: str(ids[at].as_py()))
    return at if at < len(ids) and ids[at].as_py() == user_id else -1


def _wanted(logged: Logged, log: EventLog, catalogue: Catalogue, user: int, *, until: float) -> Keys:
    """Keys of what the user bought after the answer and by `until`, without what could not be recommended."""
    if user < 0:
        return np.empty(0, np.int64)
    own = slice(int(log.starts[user]), int(log.starts[user + 1]))
    times = log.times[own]
    bought = (times > logged.logged_at) & (times <= until) & (log.kinds[own] == _TARGET)
    keys = catalogue.keys[np.unique(log.items[own][bought])]
    request = logged.request
    return np.setdiff1d(keys, item_keys((*request.exclude_item_ids, *request.basket)))
