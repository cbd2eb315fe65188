"""From a log and a catalogue to one published generation. `build` is the diagram; its stages are the files of `train/stages`.

Every stage's output is kept below `<storage>/build` and used again while its inputs stay the same (`train/stages/outputs.py`),
so a killed build resumes and a changed ranking setting does not refit vectors. What serves is made from the whole log; the
ranking models learn at an earlier moment and are judged at a later one (`train/split.py`). The same inputs, seed and `now`
give the same bytes, but for the seconds it took.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from cluster.config.sections import Config
from train.progress import Progress
from train.split import Split, split_log
from train.stages import Stages
from train.stages.learn import learn, signals_of
from train.stages.publish import REPORT_FILE, BuildReport, Built, Findings, publish
from train.stages.rank import NothingToRankBy, RankingData, fit_models, unranked
from train.stages.read import Dataset, Inputs, open_build
from train.stages.rows import candidate_rows, columns_of, logged_requests
from train.stages.shards import write_shards

__all__ = ["REPORT_FILE", "BuildReport", "Built", "Inputs", "build"]

JUDGING = "judging"


def build(config: Config, inputs: Inputs, progress: Progress | None = None) -> Built:
    """Build a generation and make it the current one of `config.storage.path`.

    Raises ConfigError for what is wrong with the inputs, GenerationError if another build is at work there.
    """
    with open_build(config, inputs, progress) as (stages, dataset):
        split = moments_of(stages, dataset, config)

        data = ranking_data(stages, dataset, config, split)
        ranking = unranked(stages, data) if isinstance(data, NothingToRankBy) else fit_models(stages, config, data).ranking

        before = None if isinstance(data, NothingToRankBy) else data.judged_at
        learned = learn(stages, dataset, config, moment="serving", as_of=split.end, before=before)
        with stages.anew("signals") as stage:
            signals = signals_of(dataset, learned, config)
            stage.report(signals.summary, len(signals.catalogue))
        shards = write_shards(stages, signals, config, learned)
        findings = Findings(dataset.report, split, ranking.quality, inputs.created)
        return publish(stages, signals, config, learned, shards=shards, ranking=ranking, findings=findings)


def moments_of(stages: Stages, dataset: Dataset, config: Config) -> Split:
    """Where the log is cut."""
    section = config.train.ranker
    with stages.anew("split") as stage:
        report = dataset.report
        split = split_log(report.first_time, report.last_time, label_days=section.label_days, moments=section.moments)
        learns, judged, end = " and ".join(map(_day, split.training)), _day(split.judging), _day(split.end)
        moments = f"ranking learns at {learns}, is judged at {judged}, the log ends {end}"
        stage.report(_unrankable(dataset, split) or moments, len(split.training) + 2)
    return split


def ranking_data(stages: Stages, dataset: Dataset, config: Config, split: Split) -> RankingData | NothingToRankBy:
    """Rows to learn from, of each training moment and of logged requests, and rows to judge by, of twice the users; or why the
    log has none that could tell a good order from a bad one.
    """
    if why := _unrankable(dataset, split):
        return NothingToRankBy(why)
    section = config.train.ranker
    learning: list[Path] = []
    past = None
    for at, moment in reversed(list(enumerate(split.training, 1))):  # the earliest first: the others go on from its vectors
        past = learn(stages, dataset, config, moment=f"training-{at}", as_of=moment, before=past)
        sampled = section.sampled_negatives
        rows = candidate_rows(
            stages, dataset, config, past, n_users=section.n_users, sampled_negatives=sampled, strangers=section.stranger_share
        )
        learning.insert(0, rows)
    if section.logged:
        learning.append(logged_requests(stages, dataset, config, columns_of(*learning), until=split.judging))
    later = learn(stages, dataset, config, moment=JUDGING, as_of=split.judging, before=past)
    judging = candidate_rows(stages, dataset, config, later, n_users=2 * section.n_users)
    return RankingData(learning, judging, later).checked()


def _unrankable(dataset: Dataset, split: Split) -> str:
    """Why no models can be fitted and judged, in a line; "" if the log may do."""
    return split.too_short if dataset.log.has_purchases else "the log has no purchases"


def _day(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d}"
