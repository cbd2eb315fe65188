"""Which stage orders the candidates: the stage that the build's judge chose, unless the configuration overrules it.

How the judge decides is `train/rank/choice.py`. Routers ask here for every request, `oskolok status` to tell people.
"""

from __future__ import annotations

import msgspec

from cluster.config.sections import RankerSection
from cluster.spec import GenerationSpec, RankingSpec, RankStage


def ranking_of(spec: GenerationSpec, section: RankerSection) -> RankingSpec:
    """The stage that serves. Where the configuration overrules the judge, `why` begins with the keys that do."""
    judged = spec.ranking(section.heavy.model)
    light, heavy = section.light.enabled, section.heavy.enabled
    stage: RankStage = "merged"
    if heavy is True or (heavy == "auto" and judged.stage == "heavy"):
        stage = "heavy"
    elif light is True or (light == "auto" and judged.stage != "merged"):
        stage = "light"
    if stage == judged.stage:
        return judged
    said = [
        f"ranker.{name}.enabled = {value}".lower() for name, value in (("light", light), ("heavy", heavy)) if value != "auto"
    ]
    return msgspec.structs.replace(judged, stage=stage, why=f"{' and '.join(said)}; the build's judge: {judged.why}")


def n_heavy_of(spec: GenerationSpec, section: RankerSection) -> int:
    """How many candidates the heavy model orders when the load allows it; 0 if it does not serve."""
    return section.heavy.n_heavy if ranking_of(spec, section).stage == "heavy" else 0
