"""Loading a ranker from a generation: what fits is used, what does not is refused, and no library sees unverified bytes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cluster.errors import GenerationCorrupt, SchemaMismatch
from cluster.generation import Generation
from cluster.spec import FeatureSchema
from cluster.types import RankReply
from ranker import ranker as ranker_module
from ranker.heavy import HeavyModel
from ranker.light import LightModel
from ranker.ranker import HEAVY_FILE, LIGHT_FILE, Ranker
from tests.cluster.generation.making import copied, flip_bit
from tests.ranker.making import COLUMNS, SCHEMA, heavy_blob, light_model, publish, query_of

LIGHT, HEAVY = light_model().to_json(), heavy_blob()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Generation:
    return publish(tmp_path_factory.mktemp("whole"), light=LIGHT, heavy=HEAVY)


def ranked(ranker: Ranker) -> RankReply:
    (reply,) = ranker.rank_batch([query_of()], [10_000])
    assert isinstance(reply, RankReply)
    return reply


def test_both_models_are_loaded(whole: Generation) -> None:
    reply = ranked(Ranker.load(whole))
    by_hand = ranked(Ranker(whole.spec, light=light_model(), heavy=HeavyModel.from_bytes(HEAVY)))
    assert reply.n_heavy == 5 and reply.order.tolist() == by_hand.order.tolist()
    np.testing.assert_array_equal(reply.scores, by_hand.scores)


@pytest.mark.parametrize("models", [{}, {"light": LIGHT}, {"heavy": HEAVY}])
def test_a_generation_may_lack_models(tmp_path: Path, models: dict[str, bytes]) -> None:
    reply = ranked(Ranker.load(publish(tmp_path, **models)))
    assert reply.n_heavy == (5 if "heavy" in models else 0)
    if not models:
        assert reply.order.tolist() == list(range(20))


@pytest.mark.parametrize("models", [{"light": LIGHT}, {"heavy": HEAVY}])
def test_models_of_another_schema_than_the_generation_s_are_refused(tmp_path: Path, models: dict[str, bytes]) -> None:
    swapped = FeatureSchema(match=SCHEMA.match[::-1], sources=SCHEMA.sources, user=SCHEMA.user, context=SCHEMA.context)
    with pytest.raises(SchemaMismatch):
        Ranker.load(publish(tmp_path, features=swapped, **models))


def test_so_is_a_light_model_of_another_schema_than_the_heavy_one_s(tmp_path: Path) -> None:
    with pytest.raises(SchemaMismatch, match="light"):
        Ranker.load(publish(tmp_path, light=light_model(COLUMNS[::-1]).to_json(), heavy=HEAVY))


@dataclass
class Reader:
    """Stands where a model's parser stands, and must never be reached."""

    reached: bool = False

    def from_bytes(self, content: bytes) -> HeavyModel:
        self.reached = True
        return HeavyModel.from_bytes(content)

    def from_json(self, content: bytes) -> LightModel:
        self.reached = True
        return LightModel.from_json(content)


def damaged_with(name: str, how: str, folder: Path) -> None:
    path = folder / name
    size = path.stat().st_size
    if how == "truncated":
        os.truncate(path, size - 1)
    elif how == "longer":
        path.write_bytes(path.read_bytes() + b"\0")
    elif how == "half written":
        path.write_bytes(path.read_bytes()[: size // 2] + bytes(size - size // 2))
    elif how == "swapped":
        path.write_bytes((folder / (HEAVY_FILE if name == LIGHT_FILE else LIGHT_FILE)).read_bytes())
    else:
        flip_bit(path, int(how) % (8 * size))


@pytest.mark.parametrize("how", ["truncated", "longer", "half written", "swapped", "0", "1000", "54321"])
@pytest.mark.parametrize("name", [LIGHT_FILE, HEAVY_FILE])
def test_damage_is_noticed_before_a_parser_sees_it(
    whole: Generation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, how: str
) -> None:
    generation = Generation.open(copied(whole, tmp_path / "g1"))
    damaged_with(name, how, generation.path)
    reader = Reader()
    monkeypatch.setattr(ranker_module, "LightModel" if name == LIGHT_FILE else "HeavyModel", reader)
    with pytest.raises(GenerationCorrupt):
        Ranker.load(generation)
    assert not reader.reached


@pytest.mark.parametrize("models", [{"light": b"{}"}, {"heavy": b"no trees"}, {"light": HEAVY}, {"heavy": LIGHT}])
def test_published_nonsense_is_corrupt(tmp_path: Path, models: dict[str, bytes]) -> None:
    with pytest.raises(GenerationCorrupt):
        Ranker.load(publish(tmp_path, **models))
