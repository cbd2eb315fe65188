"""How far a build is as a whole, and how long the rest of it takes: judged by what each stage took in the last build."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from itertools import accumulate
from pathlib import Path

import msgspec

from cluster.config.sections import Config
from cluster.errors import GenerationMissing
from cluster.generation import current_id, generation_path

_PRIOR_S = 10.0  # what has to pass before the pace of this build counts as much as that of the expected one


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
    usual = msgspec.json.decode(files("deploy").joinpath("demo/seconds.json").read_bytes(), type=dict[str, float])
    storage = Path(config.storage.path)
    try:
        report = msgspec.json.decode((generation_path(storage, current_id(storage)) / "build.json").read_bytes())
    except (GenerationMissing, OSError):
        return Outlook(usual)
    stages = {name: stage["seconds"] for name, stage in report["stages"].items()}
    graphless = {name: seconds for name, seconds in stages.items() if not name.startswith("graph-")}  # part of the shards' time
    return Outlook({"data": usual["data"], **graphless, "publish": usual["publish"], "start": usual["start"]})
