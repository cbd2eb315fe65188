"""What a generation's reader refuses, and that what it hands out is what it verified."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cluster.errors import GenerationCorrupt, GenerationError, GenerationMissing, SchemaMismatch
from cluster.generation import Generation
from tests.cluster.generation.making import FILES, all_files, copied, flip_bit, publish


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Generation:
    return publish(tmp_path_factory.mktemp("storage"), "g1")


def read_everything(path: Path, handed_out: list[str]) -> None:
    """Open a generation and read every file of it. handed_out: gets the names of those whose bytes were given away."""
    generation = Generation.open(path)
    for name in generation.manifest.files:
        with generation.verified(name) as file:
            handed_out.append(name)
            assert file.read_bytes() == FILES[name] + b"g1"


def test_a_sound_generation_is_read(sound: Generation) -> None:
    read_everything(sound.path, names := [])
    assert sorted(names) == sorted(FILES)
    assert sound.id == "g1" and sound.manifest.shards == ({"n_items": 3}, {"n_items": 4})
    sound.verify()


def test_every_way_to_the_bytes_leads_to_the_same_ones(sound: Generation) -> None:
    name = "models/light.json"
    with sound.verified(name) as file:
        mapped = file.mmap()
        assert file.read_bytes() == Path(file.path).read_bytes() == mapped[:] == FILES[name] + b"g1"
    assert mapped[:] == FILES[name] + b"g1"  # a map outlives the file


def test_a_file_swapped_after_it_was_verified_is_not_what_is_read(sound: Generation, tmp_path: Path) -> None:
    generation = Generation.open(copied(sound, tmp_path / "g"))
    with generation.verified("models/light.json") as file:
        target = generation.path / "models" / "light.json"
        (tmp_path / "evil").write_bytes(b"evil")
        (tmp_path / "evil").replace(target)
        assert target.read_bytes() == b"evil"
        assert file.read_bytes() == Path(file.path).read_bytes() == file.mmap()[:] == FILES["models/light.json"] + b"g1"


def test_any_flipped_bit_is_noticed_before_its_file_is_handed_out(sound: Generation, tmp_path: Path) -> None:
    folder = copied(sound, tmp_path / "g")
    rng = random.Random(0)
    files = all_files(folder)
    assert len(files) == len(FILES) + 2
    for _ in range(400):
        path = rng.choice(files)
        bit = rng.randrange(path.stat().st_size * 8)
        flip_bit(path, bit)
        names: list[str] = []
        with pytest.raises(GenerationError):
            read_everything(folder, names)
        assert str(path.relative_to(folder)) not in names
        assert names == [] or path.name not in ("manifest.json", "manifest.sha256")
        flip_bit(path, bit)
    read_everything(folder, [])


def truncate(folder: Path) -> None:
    path = folder / "shard-0000/items.arrow"
    os.truncate(path, path.stat().st_size - 1)


def lengthen(folder: Path) -> None:
    with open(folder / "models/light.json", "ab") as stream:
        stream.write(b"\0")


def empty(folder: Path) -> None:
    os.truncate(folder / "models/light.json", 0)


def swap(folder: Path) -> None:
    (folder / "models/light.json").rename(folder / "aside")
    (folder / "shard-0000/items.arrow").rename(folder / "models/light.json")
    (folder / "aside").rename(folder / "shard-0000/items.arrow")


def rename(folder: Path) -> None:
    (folder / "models/light.json").rename(folder / "models/heavy.json")


def remove(folder: Path) -> None:
    (folder / "models/light.json").unlink()


def add(folder: Path) -> None:
    (folder / "shard-0000/more.arrow").write_bytes(b"")


def link(folder: Path) -> None:
    target = folder / "models/light.json"
    target.rename(folder.parent / "light.json")
    target.symlink_to(folder.parent / "light.json")


def link_folder(folder: Path) -> None:
    (folder / "models").rename(folder.parent / "models")
    (folder / "models").symlink_to(folder.parent / "models")


def pipe(folder: Path) -> None:
    (folder / "models/light.json").unlink()
    os.mkfifo(folder / "models/light.json")


def no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def no_hash(folder: Path) -> None:
    (folder / "manifest.sha256").unlink()


def foreign_manifest(folder: Path) -> None:
    body = (folder / "manifest.json").read_bytes()
    (folder / "manifest.json").write_bytes(body.replace(b"3", b"4", 1))


DAMAGES = (truncate, lengthen, empty, swap, rename, remove, add, link, link_folder, pipe)
MANIFEST_DAMAGES = (no_manifest, no_hash, foreign_manifest)


@pytest.mark.parametrize("damage", [*DAMAGES, *MANIFEST_DAMAGES])
def test_damage_is_noticed(sound: Generation, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    folder = copied(sound, tmp_path / "g")
    damage(folder)
    with pytest.raises(GenerationCorrupt):
        read_everything(folder, [])


@pytest.mark.parametrize("damage", [link, link_folder, pipe])
def test_a_link_that_appears_after_opening_is_not_followed(
    sound: Generation, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    generation = Generation.open(copied(sound, tmp_path / "g"))
    damage(generation.path)
    with pytest.raises(GenerationCorrupt), generation.verified("models/light.json"):
        pass


def rewritten(folder: Path, change: Callable[[dict], object]) -> None:
    """Change the manifest as somebody would who can also compute its hash."""
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes())
    change(manifest)
    body = msgspec.json.encode(manifest)
    (folder / "manifest.json").write_bytes(body)
    (folder / "manifest.sha256").write_text(f"{hashlib.sha256(body).hexdigest()}  manifest.json\n")


@pytest.mark.parametrize("version", [0, 1, 3])
def test_another_format_is_refused_by_its_number(sound: Generation, tmp_path: Path, version: int) -> None:
    folder = copied(sound, tmp_path / "g")
    rewritten(folder, lambda manifest: manifest.update(format=version))
    with pytest.raises(SchemaMismatch, match=f"format {version}"):
        Generation.open(folder)


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/passwd", "models/../../x", "a//b", "", ".hidden", "models/Light.json", "a/b/c/d/e"]
)
def test_a_manifest_may_not_name_files_elsewhere(sound: Generation, tmp_path: Path, name: str) -> None:
    folder = copied(sound, tmp_path / "g")
    rewritten(folder, lambda manifest: manifest["files"].update({name: manifest["files"]["models/light.json"]}))
    with pytest.raises(GenerationCorrupt, match="forbidden names"):
        Generation.open(folder)


def test_a_manifest_of_another_number_of_shards_is_refused(sound: Generation, tmp_path: Path) -> None:
    folder = copied(sound, tmp_path / "g")
    rewritten(folder, lambda manifest: manifest["shards"].pop())
    with pytest.raises(GenerationCorrupt, match="1 shard entries for 2 shards"):
        Generation.open(folder)


def test_what_is_not_there_is_missing(sound: Generation, tmp_path: Path) -> None:
    with pytest.raises(GenerationMissing):
        Generation.open(tmp_path / "nowhere")
    with pytest.raises(GenerationMissing, match=r"no file models/none\.json"), sound.verified("models/none.json"):
        pass
