"""Models fitted anew for a generation: nothing else of it changes, what a build left is reused, and what cannot be is told."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from cluster.config.sections import Config
from cluster.errors import ConfigError, GenerationError, GenerationMissing
from cluster.generation import Generation, current_id, generation_ids, generation_path
from cluster.user_records import USERS_FILE, read_users
from ranker.ranker import Ranker
from router.request import Request
from tests.pictures import faults, title
from tests.train.test_build import Stages, recommend
from tests.worlds import NOW, build_tiny, tiny_config
from train.build import REPORT_FILE, BuildReport, Inputs
from train.rank.card import CARD_FILE, ModelCard
from train.refit import refit

MODELS = {"models/light.json", "models/heavy.cbm", CARD_FILE, "models/card.md", "models/card.svg"}
NAMES_ITSELF = {USERS_FILE, REPORT_FILE}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a generation in it; whoever adds one names the one it starts from."""
    made = tmp_path_factory.mktemp("refit")
    build_tiny(made, config=config_of(made))
    return made


def base_of(folder: Path) -> str:
    return generation_ids(folder / "store")[0]


def config_of(folder: Path, **sections: dict[str, object]) -> Config:
    """The tiny world's, which keeps what it starts from."""
    made = tiny_config(folder / "store", **sections)
    return made.model_copy(update={"storage": made.storage.model_copy(update={"keep_generations": 100})})


def inputs_of(folder: Path, now: float) -> Inputs:
    return Inputs(folder / "items.parquet", folder / "events.parquet", now=now)


def with_ranker(folder: Path, **keys: object) -> Config:
    train = config_of(folder).model_dump()["train"]
    return config_of(folder, train=train | {"ranker": train["ranker"] | keys})


def opened(folder: Path, generation: str) -> Generation:
    return Generation.open(generation_path(folder / "store", generation))


def test_the_models_are_new_and_all_else_is_what_it_was(folder: Path) -> None:
    base, told = base_of(folder), Stages()
    config = with_ranker(folder, losses=("Logloss",), n_trees=7, depth=2)
    built = refit(config, inputs_of(folder, NOW + 1), base=base, progress=told)
    assert built.spec.id == current_id(folder / "store") != base and built.report.models_for == base

    before, after = opened(folder, base), opened(folder, built.spec.id)
    changed = {name for name, entry in after.manifest.files.items() if before.manifest.files.get(name) != entry}
    assert changed == (MODELS - {"models/light.json"}) | NAMES_ITSELF  # its inputs are the same, and so are its bytes
    assert before.manifest.files.keys() == after.manifest.files.keys()
    assert (after.manifest.shards, after.manifest.sources) == (before.manifest.shards, before.manifest.sources)
    same = {"id": base, "created": before.spec.created, "rankings": before.spec.rankings}
    assert msgspec.structs.replace(after.spec, **same) == before.spec
    users = [[(user.user_id, user.history.keys.tolist()) for user in read_users(one)] for one in (before, after)]
    assert users[0] == users[1]

    with after.verified(CARD_FILE) as file:
        card = msgspec.json.decode(file.read_bytes(), type=ModelCard)
    drawn = [generation.path / "models" / "card.svg" for generation in (before, after)]
    assert [fault for path in drawn for fault in faults(path)] == []
    assert title(drawn[1]).startswith(f"{card.winner} has {card.won.n_trees} trees")
    assert [fit.loss for fit in card.fits] == ["Logloss"] and card.settings["depth"] == 2
    with after.verified(REPORT_FILE) as file:
        report = msgspec.json.decode(file.read_bytes(), type=BuildReport)
    assert after.spec.rankings == card.rankings != before.spec.rankings
    assert report.quality == card.test and report.stages.keys() >= {"als-serving", "shards", "heavy-Logloss"}

    redone = {name for name, end in told.ends.items() if end != "reused"}
    assert redone == {"split", "heavy-Logloss", "judge", "card", "publish"}
    answer = recommend(after, Request("user-0003", 10))
    assert len(answer.items) == 10 and answer.degraded == ()


def test_the_next_build_finds_what_serves_where_it_was(folder: Path) -> None:
    refit(with_ranker(folder, losses=("Logloss",), n_trees=3), inputs_of(folder, NOW + 2), base=base_of(folder))
    again = Stages()
    build_tiny(folder, now=NOW + 3, progress=again, config=config_of(folder))
    assert again.ends["als-serving"] == again.ends["rows-judging"] == again.ends["heavy-YetiRank"] == "reused"


def test_what_is_not_there_any_more_is_made_again_and_is_the_same(folder: Path) -> None:
    base = base_of(folder)
    (folder / "store" / "build").rename(folder / "store" / "gone")
    built = refit(config_of(folder), inputs_of(folder, NOW + 4), base=base)
    before, after = opened(folder, base), opened(folder, built.spec.id)
    assert {name: after.manifest.files[name] for name in MODELS} == {name: before.manifest.files[name] for name in MODELS}
    Ranker.load(after)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"train": {"profile": ("category",)}}, "also has affinity.brand"),
        ({"catalog": {"number": ("price", "age")}}, "no column 'age'"),
    ],
)
def test_other_features_are_refused(folder: Path, keys: dict[str, dict[str, object]], words: str) -> None:
    plain = config_of(folder).model_dump()
    config = config_of(folder, **{name: plain[name] | section for name, section in keys.items()})
    n_before = len(generation_ids(folder / "store"))
    with pytest.raises(ConfigError, match=words):
        refit(config, inputs_of(folder, NOW + 9), base=base_of(folder))
    assert len(generation_ids(folder / "store")) == n_before


def test_a_generation_that_is_not_there_is_told(tmp_path: Path, folder: Path) -> None:
    inputs = inputs_of(folder, NOW)
    with pytest.raises(GenerationMissing, match="no generation was published below"):
        refit(tiny_config(tmp_path), inputs)
    with pytest.raises(GenerationMissing, match="no generation 19700101-000000"):
        refit(config_of(folder), inputs, base="19700101-000000")
    with pytest.raises(GenerationError, match="already published"):
        refit(config_of(folder), inputs, base=base_of(folder))
