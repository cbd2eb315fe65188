"""The pointer, and what is removed when."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.errors import GenerationCorrupt, GenerationError, GenerationMissing
from cluster.generation import current_id, generation_ids, generation_path, remove_orphans, set_current
from tests.cluster.generation.making import flip_bit, publish


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """b1, a2, c3 in the order of their creation; the last is active."""
    for day, generation_id in enumerate(["b1", "a2", "c3"], 1):
        publish(tmp_path, generation_id, created=f"2026-01-0{day}T00:00:00Z")
    return tmp_path


def test_nothing_published_is_missing_not_wrong(tmp_path: Path) -> None:
    with pytest.raises(GenerationMissing):
        current_id(tmp_path / "nowhere")
    assert generation_ids(tmp_path / "nowhere") == [] and remove_orphans(tmp_path / "nowhere") == []


def test_rolling_back_moves_the_pointer(storage: Path) -> None:
    assert current_id(storage) == "c3" and generation_ids(storage) == ["a2", "b1", "c3"]
    set_current(storage, "a2")
    assert current_id(storage) == "a2"


def test_the_pointer_never_moves_to_a_damaged_generation(storage: Path) -> None:
    flip_bit(generation_path(storage, "a2") / "models/light.json", 5)
    with pytest.raises(GenerationCorrupt):
        set_current(storage, "a2")
    with pytest.raises(GenerationMissing):
        set_current(storage, "d4")
    with pytest.raises(GenerationError):
        set_current(storage, "../../etc")
    assert current_id(storage) == "c3"


@pytest.mark.parametrize("content", [b"", b"../../etc\n", b"g1\ng2\n", b"\xff\xfe", b"x" * 300])
def test_a_damaged_pointer_is_noticed(storage: Path, content: bytes) -> None:
    (storage / "CURRENT").write_bytes(content)
    with pytest.raises(GenerationCorrupt):
        current_id(storage)


def test_a_removal_cut_short_is_finished_later(storage: Path) -> None:
    folder = storage / "generations"
    (folder / "b1").rename(folder / ".removing-b1")
    assert generation_ids(storage) == ["a2", "c3"]
    assert remove_orphans(storage) == [".removing-b1"]
    assert not (folder / ".removing-b1").exists()
