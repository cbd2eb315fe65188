"""From a log and a catalogue to one published generation. `build` is the diagram; its stages are the files of `train/stages`.

Every stage's output is kept below `<storage>/build` and used again while its inputs stay the same (`train/stages/outputs.py`),
so a killed build resumes and a changed ranking setting does not refit vectors. What serves is made from the whole log; the
ranking models learn at an earlier moment and are judged at a later one (`train/split.py`). The same inputs, seed and `now`
give the same bytes, but for the seconds it took.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from cluster.config import Config
from train.progress import Progress, Quiet
from train.split import Split, split_log
from train.stages import Made, Stages
from train.stages.cut import cut
from train.stages.learn import learn, signals_of
from train.stages.publish import REPORT_FILE, BuildReport, Built, Findings, publish
from train.stages.rank import candidate_rows, fit_models
from train.stages.read import Source, read

__all__ = ["REPORT_FILE", "BuildReport", "Built", "build"]


def build(
    config: Config,
    items: Path,
    events: Path,
    *,
    users: Path | None = None,
    playlists: Path | None = None,
    progress: Progress | None = None,
    now: float | None = None,
) -> Built:
    """Build a generation and make it the current one of `config.storage.path`.

    items, events, users, playlists: Parquet files or folders of them, the latter two optional, with the columns that [catalog],
    [events], [user_table] and [playlists] name. now: Unix seconds, the clock if None; later events are dropped. Raises
    ConfigError for what is wrong with the input, GenerationError if another build is at work there.
    """
    created = datetime.fromtimestamp(time.time() if now is None else now, UTC)
    with Stages(Path(config.storage.path) / "build", progress or Quiet()) as stages:
        source = read(stages, config, items=items, events=events, users=users, playlists=playlists, created=created)
        split = _split(stages, source, config)

        past = learn(stages, source, config, moment="training", as_of=split.training)
        learning = candidate_rows(stages, source, config, past)
        later = learn(stages, source, config, moment="validation", as_of=split.validation)
        judging = candidate_rows(stages, source, config, later)
        models, quality = fit_models(stages, config, learning=learning, judging=judging)

        learned = learn(stages, source, config, moment="serving", as_of=split.end)
        with stages.anew("signals") as told:
            signals = signals_of(source, learned, config)
            told(Made(signals.summary, len(signals.catalogue)))
        shards = cut(stages, signals, config, learned)
        findings = Findings(source.report, split, quality)
        return publish(stages, signals, config, learned, shards=shards, models=models, findings=findings, created=created)


def _split(stages: Stages, source: Source, config: Config) -> Split:
    with stages.anew("split") as told:
        split = split_log(source.report.first_time, source.report.last_time, label_days=config.train.ranker.label_days)
        days = [f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d}" for time in (split.training, split.validation, split.end)]
        told(Made("ranking learns at {}, is judged at {}, the log ends {}".format(*days), 3))
    return split
