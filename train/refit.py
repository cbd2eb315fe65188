"""New ranking models for an existing generation. `refit` is the diagram.

Shards stay the same bytes and users the same records; light and heavy models and their card are fitted again, and all of it
is published as a new generation. The stages and their folders are those of a build, so after a change of [train.ranker] only
the models are fitted; outputs that no longer exist are made again.
"""

from __future__ import annotations

import shutil

import msgspec

from cluster.config.sections import Config
from cluster.errors import ConfigError, GenerationMissing
from cluster.generation import Generation, GenerationWriter, current_id, generation_path, prune
from cluster.spec import FeatureSchema
from cluster.user_records import USERS_FILE, read_users, write_users
from train.build import moments_of, ranking_data
from train.progress import Progress
from train.stages import Stages
from train.stages.publish import REPORT_FILE, BuildReport, Built, Findings, still_held
from train.stages.rank import Ranking, RankingData, fit_models
from train.stages.read import Inputs, open_build
from train.stages.rows import columns_of

_REPLACED = ("models/light.", "models/heavy.", "models/card.", REPORT_FILE, USERS_FILE)
"""How the names begin of what is not copied: the models, and the two files that name their generation."""

_SHOWN = 3


def refit(config: Config, inputs: Inputs, *, base: str = "", progress: Progress | None = None) -> Built:
    """Fit light and heavy models as a build does, and publish them with all else of generation `base`, the current one if "".

    Raises GenerationMissing without such a generation, ConfigError for inputs that are wrong, make other features than the
    generation has or have nothing to rank by, GenerationError if a build is at work there.
    """
    generation = _opened(config, base)
    with open_build(config, inputs, progress) as (stages, dataset):
        split = moments_of(stages, dataset, config)
        data = RankingData.required(ranking_data(stages, dataset, config, split))
        _require_same(columns_of(*data.learning, data.judging), generation.spec.features, generation.id)
        ranking = fit_models(stages, config, data).ranking
        findings = Findings(dataset.report, split, ranking.quality, inputs.created)
        return _publish(stages, config, generation, ranking=ranking, findings=findings)


def _opened(config: Config, base: str) -> Generation:
    storage = config.storage.path
    base = base or current_id(storage)
    path = generation_path(storage, base)
    if not path.is_dir():
        raise GenerationMissing(f"no generation {base} below {storage}")
    return Generation.open(path)


def _require_same(columns: tuple[str, ...], schema: FeatureSchema, generation: str) -> None:
    """Models read columns by position: a missing, an additional or a moved column makes another schema."""
    if columns == schema.columns():
        return
    here, there = set(columns), set(schema.columns())
    told = [f"{what} {_some(names)}" for what, names in (("lacks", here - there), ("also has", there - here)) if names]
    said = f"generation {generation} {' and '.join(told) or 'has them in another order'}"
    raise ConfigError(
        f"input and configuration give {len(columns)} features, but {said}: run `oskolok build`, which makes shards and models"
    )


def _some(names: set[str]) -> str:
    shown = ", ".join(sorted(names)[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def _publish(stages: Stages, config: Config, base: Generation, *, ranking: Ranking, findings: Findings) -> Built:
    """Every file is verified as it is copied. Outputs of stages stay, since the next build may use them."""
    kept = [name for name in base.manifest.files if not name.startswith(_REPLACED)]
    spec = msgspec.structs.replace(base.spec, id=findings.generation, created=findings.created_at, rankings=ranking.rankings)
    with base.verified(REPORT_FILE) as file:
        before = msgspec.json.decode(file.read_bytes(), type=BuildReport)
    with stages.anew("publish", len(kept)) as stage, GenerationWriter(config.storage.path, spec.id) as writer:
        for n_done, name in enumerate(kept, 1):
            with base.verified(name) as file, open(file.path, "rb") as bytes_in, writer.path_for(name).open("wb") as bytes_out:
                shutil.copyfileobj(bytes_in, bytes_out)
            stages.progress.advance(n_done)
        for name, path in ranking.files.items():
            shutil.copyfile(path, writer.path_for(name))
        n_users = write_users(writer.path_for(USERS_FILE), spec, read_users(base))
        report = msgspec.structs.replace(
            before, split=findings.split, quality=findings.quality, stages=before.stages | stages.reports, models_for=base.id
        )
        writer.path_for(REPORT_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
        writer.publish(spec, shards=base.manifest.shards, sources=base.manifest.sources)
        pruned = prune(config.storage.path, config.storage.keep_generations)
        stage.report(f"generation {spec.id}: new models, all else of {base.id}{still_held(pruned)}", n_users)
    return Built(spec, report)
