"""Which stage serves: what was judged, and what the configuration makes of it."""

from __future__ import annotations

import msgspec
import pytest

from cluster.config.sections import RankerSection
from cluster.ranking import n_heavy_of, ranking_of
from cluster.spec import GenerationSpec, RankingSpec, RankStage
from tests.router.fakes import Catalogue

UNJUDGED = Catalogue.random(10).spec(1)


def judged(stage: RankStage, onnx: RankStage = "merged") -> GenerationSpec:
    rankings = (RankingSpec("catboost", stage, "of trees"), RankingSpec("onnx", onnx, "of onnx"))
    return msgspec.structs.replace(UNJUDGED, rankings=rankings)


def section(light: object = "auto", heavy: object = "auto", model: str = "catboost") -> RankerSection:
    return RankerSection.model_validate({"light": {"enabled": light}, "heavy": {"enabled": heavy, "model": model}})


@pytest.mark.parametrize("stage", ["merged", "light", "heavy"])
def test_what_was_judged_serves(stage: RankStage) -> None:
    assert ranking_of(judged(stage), section()) == RankingSpec("catboost", stage, "of trees")
    assert n_heavy_of(judged(stage), section()) == (100 if stage == "heavy" else 0)


def test_each_heavy_model_has_a_verdict_of_its_own() -> None:
    spec = judged("heavy", onnx="light")
    assert ranking_of(spec, section(model="onnx")) == RankingSpec("onnx", "light", "of onnx")


def test_where_nothing_was_judged_all_models_serve() -> None:
    assert ranking_of(UNJUDGED, section()).stage == "heavy"


@pytest.mark.parametrize(
    ("stage", "light", "heavy", "serves", "said"),
    [
        ("light", "auto", True, "heavy", "ranker.heavy.enabled = true; "),
        ("merged", True, "auto", "light", "ranker.light.enabled = true; "),
        ("heavy", "auto", False, "light", "ranker.heavy.enabled = false; "),
        ("heavy", False, "auto", "heavy", ""),
        ("light", False, "auto", "merged", "ranker.light.enabled = false; "),
        ("heavy", False, False, "merged", "ranker.light.enabled = false and ranker.heavy.enabled = false; "),
        ("heavy", True, True, "heavy", ""),
    ],
)
def test_the_configuration_overrules_the_judge_and_why_says_so(
    stage: RankStage, light: object, heavy: object, serves: str, said: str
) -> None:
    found = ranking_of(judged(stage), section(light, heavy))
    assert found.stage == serves
    assert found.why == (f"{said}the build's judge: of trees" if said else "of trees")
