"""Stage "publish": assembles shards, models, users and reports into one generation, which becomes the current one."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from cluster.config.sections import Config
from cluster.generation import GenerationWriter, Pruned, prune
from cluster.spec import GenerationSpec
from cluster.user_records import USERS_FILE, write_users
from router.users.user_tower_file import ITEMS_FILE, LAYERS_FILE
from train.describe import describe
from train.input.report import InputReport
from train.rank.judge import Quality
from train.signals import Signals
from train.split import Split
from train.stages.accounts import source_entries
from train.stages.learn import Learned
from train.stages.outputs import StageReport, Stages
from train.stages.rank import Ranking
from train.stages.shards import copy_snapshots, entry_of
from train.vectors.two_tower import ITEMS_ARROW, LAYERS_ARROW

REPORT_FILE = "build.json"


class BuildReport(msgspec.Struct, frozen=True):
    """build.json: what a generation was made from, what each stage made and took, and how well its ranking did on data its
    models had not seen. quality: empty if there are no models.  models_for: the generation whose shards and users these are, if
    only the models are new.
    """

    input: InputReport
    split: Split
    quality: Quality
    n_users: int
    stages: dict[str, StageReport]
    models_for: str = ""


@dataclass(frozen=True, slots=True)
class Built:
    """A published generation."""

    spec: GenerationSpec
    report: BuildReport


@dataclass(frozen=True, slots=True)
class Findings:
    """What the stages before found out, for the report. created: when the generation is created, UTC."""

    input: InputReport
    split: Split
    quality: Quality
    created: datetime

    @property
    def generation(self) -> str:
        """The id of the generation to be."""
        return f"{self.created:%Y%m%d-%H%M%S}"

    @property
    def created_at(self) -> str:
        """RFC 3339."""
        return f"{self.created:%Y-%m-%dT%H:%M:%SZ}"


def publish(
    stages: Stages,
    signals: Signals,
    config: Config,
    learned: Learned,
    *,
    shards: list[Path],
    ranking: Ranking,
    findings: Findings,
) -> Built:
    """Raises GenerationError if the generation is there already. Older ones, and outputs this build did not use, go."""
    n_shards, generation = config.cluster.n_shards, findings.generation
    with stages.anew("publish", n_shards + 2) as stage:
        entries = [entry_of(folder) for folder in shards]
        spec = describe(
            signals,
            config,
            generation=generation,
            created=findings.created_at,
            shard_items=[entry["n_items"] for entry in entries],
            rankings=ranking.rankings,
        )
        with GenerationWriter(config.storage.path, generation) as writer:
            copy_snapshots(shards, writer, on_shard=stages.progress.advance)
            for name, file in {**ranking.files, **_tower(learned)}.items():
                shutil.copyfile(file, writer.path_for(name))
            n_users = write_users(writer.path_for(USERS_FILE), spec, signals.records(config, generation))
            report = BuildReport(findings.input, findings.split, findings.quality, n_users, dict(stages.reports))
            writer.path_for(REPORT_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
            stages.progress.advance(n_shards + 1)
            sources = source_entries(signals, stages.reports, moment=learned.moment)
            published = writer.publish(spec, shards=entries, sources=sources)
        pruned = prune(config.storage.path, config.storage.keep_generations)
        stages.forget_unused()
        size = sum(file.size for file in published.manifest.files.values())
        made = f"generation {generation}: {spec.n_items:,} items, {n_users:,} users, {size / 2**20:,.0f} MiB"
        stage.report(made + still_held(pruned), n_users)
    return Built(spec, report)


def still_held(pruned: Pruned) -> str:
    """The note about old generations that were not removed because a process uses them."""
    return f"; {', '.join(pruned.held)} in use, so not removed" if pruned.held else ""


def _tower(learned: Learned) -> dict[str, Path]:
    """The files of the user tower by their names in the generation."""
    if learned.two_tower is None:
        return {}
    return {ITEMS_FILE: learned.two_tower / ITEMS_ARROW, LAYERS_FILE: learned.two_tower / LAYERS_ARROW}
