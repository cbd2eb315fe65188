"""Publishing is all or nothing, wherever the process ends."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.errors import GenerationCorrupt, GenerationError
from cluster.generation import (
    Generation,
    GenerationWriter,
    current_id,
    generation_ids,
    generation_path,
    remove_orphans,
    set_current,
)
from tests.cluster.generation.making import FILES, all_files, publish, spec_of


def in_child(work: Callable[[], object]) -> int:
    """Run it in a forked process that ends without any clean-up, and give its exit status."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def steps_of_a_publish(storage: Path) -> list[str]:
    steps: list[str] = []
    publish(storage, "old")
    publish(storage, "new", step=steps.append)
    return steps


def test_a_crash_at_any_step_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    steps = steps_of_a_publish(tmp_path / "dry")
    assert len(steps) > 15
    seen = set()
    for crash_at in range(len(steps)):
        storage = tmp_path / f"crash-{crash_at}"
        publish(storage, "old")
        countdown = iter(range(crash_at + 1))

        def crash(what: str, countdown: object = countdown, last: int = crash_at) -> None:
            if next(countdown) == last:  # type: ignore[call-overload]
                os._exit(7)

        assert in_child(lambda storage=storage, crash=crash: publish(storage, "new", step=crash)) == 7, steps[crash_at]
        current = current_id(storage)
        seen.add(current)
        for generation_id in generation_ids(storage):
            Generation.open(generation_path(storage, generation_id)).verify()
        assert current in generation_ids(storage)
        recovered(storage)
    assert seen == {"old", "new"}


def recovered(storage: Path) -> None:
    """What the next build does finds the storage usable, whatever was left."""
    remove_orphans(storage)
    assert not [path for path in (storage / "generations").iterdir() if path.name.startswith(".")]
    if "new" in generation_ids(storage):
        set_current(storage, "new")
    else:
        publish(storage, "new")
    assert current_id(storage) == "new"


def test_everything_is_flushed_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: set[str] = set()
    missing: list[str] = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        flushed.add(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    def look(what: str) -> None:
        folder = tmp_path / "generations" / ".building-g1"
        if what == "rename the generation":
            everything = [folder, *folder.rglob("*")]
            missing.extend(str(path) for path in everything if str(path) not in flushed)
            missing.extend([] if len(everything) == len(FILES) + 2 + 4 else ["files"])
        if what == "rename the pointer":
            needed = (tmp_path / "generations", tmp_path / ".CURRENT-next")
            missing.extend(str(path) for path in needed if str(path) not in flushed)

    monkeypatch.setattr(os, "fsync", noted)
    publish(tmp_path, "g1", step=look)
    assert missing == []
    assert str(tmp_path) in flushed


def test_a_disk_that_gives_back_other_bytes_is_noticed_before_the_rename(tmp_path: Path) -> None:
    publish(tmp_path, "old")

    def damage(what: str) -> None:
        if what == "write manifest.sha256":
            (tmp_path / "generations/.building-new/models/light.json").write_bytes(b"x" * 13)

    with pytest.raises(GenerationCorrupt):
        publish(tmp_path, "new", step=damage)
    assert current_id(tmp_path) == "old" and generation_ids(tmp_path) == ["old"]


def test_leaving_without_publishing_leaves_nothing(tmp_path: Path) -> None:
    with GenerationWriter(tmp_path, "g1") as writer:
        writer.path_for("models/light.json").write_text("{}")
    assert all_files(tmp_path) == [] and generation_ids(tmp_path) == []


def test_a_published_id_is_not_written_again(tmp_path: Path) -> None:
    publish(tmp_path, "g1")
    with pytest.raises(GenerationError, match="already published"):
        GenerationWriter(tmp_path, "g1")


def test_a_build_that_runs_is_neither_joined_nor_cleaned_away(tmp_path: Path) -> None:
    with GenerationWriter(tmp_path, "g1") as writer:
        kept = writer.path_for("models/light.json")
        kept.write_text("{}")
        with pytest.raises(GenerationError, match="being written by another process"):
            GenerationWriter(tmp_path, "g1")
        assert remove_orphans(tmp_path) == []
        assert kept.exists()


def test_a_build_that_died_is_cleaned_away_by_the_next(tmp_path: Path) -> None:
    assert in_child(lambda: GenerationWriter(tmp_path, "g1").path_for("a").write_text("half")) == 0
    assert (tmp_path / "generations/.building-g1/a").exists()
    publish(tmp_path, "g1")
    assert current_id(tmp_path) == "g1"


@pytest.mark.parametrize("name", ["../x", "/x", "manifest.json", "manifest.sha256", "models/.hidden", "X", "", "a/./b"])
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    with GenerationWriter(tmp_path, "g1") as writer, pytest.raises(GenerationError, match="is not a valid name"):
        writer.path_for(name)


@pytest.mark.parametrize("generation_id", ["..", "a/b", "", "A", ".building-x", "x" * 101])
def test_ids_that_lead_elsewhere_are_refused(tmp_path: Path, generation_id: str) -> None:
    with pytest.raises(GenerationError, match="not a generation id"):
        GenerationWriter(tmp_path, generation_id)


def test_a_link_among_the_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("x")
    with GenerationWriter(tmp_path, "g1") as writer:
        writer.path_for("light.json").symlink_to(tmp_path / "outside")
        with pytest.raises(GenerationError, match="is not allowed"):
            writer.publish(spec_of("g1"), shards=[{}, {}])
