"""How far a build is as a whole, and how long the rest of it takes: judged by what each stage took in the last build."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path

import msgspec

from cluster.config.sections import Config
from cluster.errors import GenerationMissing
from cluster.generation import current_id, generation_path

_PRIOR_S = 10.0  # what has to pass before the pace of this build counts as much as that of the expected one

_LEARNING_S = {
    "als": 3.0,
    "als-lists": 2.5,
    "content-likeness": 4.0,
    "content-lists": 0.7,
    "ease-lists": 7.0,
    "npmi-lists": 0.8,
    "together-lists": 1.6,
    "quorum": 1.0,
    "rows": 11.0,
}
_ONCE = "content-likeness"
_RANKING_S = {"light": 8.0, "heavy-Logloss": 17.0, "judge": 2.0, "card": 1.0}
_PUBLISHING_S = {"signals": 2.0, "shards": 14.0, "publish": 5.0, "start": 14.0}


class Outlook:
    """share: how much of everything is done, 0 to 1; it never falls."""

    def __init__(self, seconds: Mapping[str, float]) -> None:
        """seconds: what each stage is expected to take, in their order."""
        self.share = 0.0
        self._seconds = seconds
        self._before = dict(zip(seconds, accumulate(seconds.values(), initial=0.0), strict=False))
        self._total = max(sum(seconds.values()), 1e-9)

    def reach(self, stage: str, part: float) -> None:
        """A stage has come so far, 0 to 1; one that was not expected changes nothing."""
        if stage in self._seconds:
            self.share = max(self.share, (self._before[stage] + part * self._seconds[stage]) / self._total)

    def remaining(self, elapsed_s: float) -> str:
        """How long the rest takes, in words, at the pace so far."""
        done_s = self.share * self._total
        left_s = (self._total - done_s) * (elapsed_s + _PRIOR_S) / (done_s + _PRIOR_S)
        return f"about {left_s:.0f} s left" if left_s < 100 else f"about {left_s / 60:.0f} min left"


def outlook(config: Config) -> Outlook:
    """By the report of the current generation or, without one, by what the demo takes on two cores."""
    return Outlook(_reported(Path(config.storage.path)) or dict(_usual(config.train.ranker.moments)))


def _reported(storage: Path) -> dict[str, float]:
    """Seconds of the stages of the last build; graphs are part of the shards' time."""
    try:
        report = msgspec.json.decode((generation_path(storage, current_id(storage)) / "build.json").read_bytes())
    except (GenerationMissing, OSError, msgspec.DecodeError):
        return {}
    seconds = {name: stage["seconds"] for name, stage in report["stages"].items() if not name.startswith("graph-")}
    return {"data": 1.0, **seconds, **{name: _PUBLISHING_S[name] for name in ("publish", "start")}}


def _usual(n_moments: int) -> Iterator[tuple[str, float]]:
    yield from (("data", 9.0), ("read", 3.0))
    moments = [*(f"training-{at}" for at in range(n_moments, 0, -1)), "judging"]
    for moment in moments:
        yield from _learning(moment)
    yield from _RANKING_S.items()
    yield from (stage for stage in _learning("serving") if not stage[0].startswith("rows"))
    yield from _PUBLISHING_S.items()


def _learning(moment: str) -> Iterator[tuple[str, float]]:
    return ((name if name == _ONCE else f"{name}-{moment}", seconds) for name, seconds in _LEARNING_S.items())
