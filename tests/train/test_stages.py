"""A stage runs once for the same inputs, again for others, and never leaves half an output under its name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cluster.errors import GenerationError
from train.progress import Quiet
from train.stages import Made, Stages, fingerprint


class Recorder(Quiet):
    def __init__(self) -> None:
        self.ends: list[str] = []

    def end(self, summary: str) -> None:
        self.ends.append(summary)


def writes(text: str) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        (folder / "out").write_text(text)
        return Made(f"wrote {text}", len(text))

    return make


def test_the_same_inputs_are_not_done_again(tmp_path: Path) -> None:
    progress = Recorder()
    with Stages(tmp_path / "build", progress) as stages:
        first = stages.run("als", inputs={"dim": 8}, total=1, make=writes("8"))
        again = stages.run("als", inputs={"dim": 8}, total=1, make=writes("never"))
        other = stages.run("als", inputs={"dim": 9}, total=1, make=writes("9"))
    assert first == again != other
    assert (again / "out").read_text() == "8" and (other / "out").read_text() == "9"
    assert progress.ends == ["wrote 8", "reused", "wrote 9"]


def test_a_reused_output_tells_what_it_took_when_it_was_made(tmp_path: Path) -> None:
    with Stages(tmp_path / "build", Quiet()) as stages:
        stages.run("als", inputs=1, total=1, make=writes("some"))
        with stages.anew("judge") as stage:
            stage.report("judged", 7)
        made = stages.reports
    with Stages(tmp_path / "build", Quiet()) as stages:
        stages.run("als", inputs=1, total=1, make=writes("never"))
        again = stages.reports
    assert list(made) == ["als", "judge"] and made["judge"].n_rows == 7
    assert made["als"].n_rows == 4 and made["als"].seconds > 0 and not made["als"].reused
    assert again["als"] == msgspec.structs.replace(made["als"], reused=True)


def test_a_stage_that_failed_is_done_again_and_a_killed_one_is_swept(tmp_path: Path) -> None:
    def fails(folder: Path) -> Made:
        (folder / "out").write_text("half")
        raise RuntimeError("killed")

    with Stages(tmp_path / "build", Quiet()) as stages, pytest.raises(RuntimeError, match="killed"):
        stages.run("als", inputs=1, total=1, make=fails)
    left = tmp_path / "build" / ".aside-als-0123"
    left.mkdir()
    with Stages(tmp_path / "build", Quiet()) as stages:
        assert not left.exists()
        assert (stages.run("als", inputs=1, total=1, make=writes("whole")) / "out").read_text() == "whole"


def test_everything_of_an_output_reaches_the_disk_before_its_name_and_then_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nested(folder: Path) -> Made:
        (folder / "log" / "parts").mkdir(parents=True)
        (folder / "log" / "parts" / "0").write_text("x")
        return Made("nested", 1)

    synced: list[tuple[str, bool]] = []
    sync = os.fsync

    def noting(fd: int) -> None:
        synced.append((os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), tmp_path), bool(list(tmp_path.glob("build/als-*")))))
        sync(fd)

    monkeypatch.setattr(os, "fsync", noting)
    with Stages(tmp_path / "build", Quiet()) as stages:
        done = stages.run("als", inputs=1, total=1, make=nested)
    aside = f"build/.aside-{done.name}"
    last = [f"{aside}/stage.json", aside, "build"]
    assert [name for name, _ in synced] == [f"{aside}/log/parts/0", f"{aside}/log/parts", f"{aside}/log", *last]
    assert [named for _, named in synced] == [False] * 5 + [True]


def test_unused_outputs_are_forgotten(tmp_path: Path) -> None:
    with Stages(tmp_path / "build", Quiet()) as stages:
        old = stages.run("als", inputs=1, total=1, make=writes("1"))
    with Stages(tmp_path / "build", Quiet()) as stages:
        new = stages.run("als", inputs=2, total=1, make=writes("2"))
        stages.forget_unused()
    assert new.exists() and not old.exists()


def test_two_builds_cannot_share_a_folder(tmp_path: Path) -> None:
    with Stages(tmp_path, Quiet()), pytest.raises(GenerationError, match="another build is working"):
        Stages(tmp_path, Quiet())
    with Stages(tmp_path, Quiet()):
        pass


def test_a_fingerprint_follows_the_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    before = fingerprint(tmp_path)
    assert before == fingerprint(tmp_path) == fingerprint(tmp_path / "a")
    (tmp_path / "a").write_text("22")
    assert fingerprint(tmp_path) != before


def test_what_a_killed_stage_kept_is_there_until_it_is_done(tmp_path: Path) -> None:
    killed = True

    def make(folder: Path) -> Made:
        unfinished = stages.unfinished(folder)
        if killed:
            unfinished.mkdir()
            (unfinished / "half").touch()
            raise KeyboardInterrupt
        assert (unfinished / "half").exists()
        return Made("made", 1)

    with Stages(tmp_path / "build", Quiet()) as stages, pytest.raises(KeyboardInterrupt):
        stages.run("als", inputs=1, total=1, make=make)
    killed = False
    with Stages(tmp_path / "build", Quiet()) as stages:
        done = stages.run("als", inputs=1, total=1, make=make)
        assert list(stages.folder.iterdir()) == [done]


def test_earlier_outputs_of_a_stage_are_found_newest_first(tmp_path: Path) -> None:
    with Stages(tmp_path / "build", Quiet()) as stages:
        made = [stages.run("als-serving", inputs=at, total=1, make=writes(str(at))) for at in range(3)]
        stages.run("als-lists-serving", inputs=0, total=1, make=writes("lists"))
        for at, folder in enumerate(made):
            os.utime(folder / "stage.json", (at, at))
        assert stages.earlier("als-serving") == made[::-1]
        assert stages.earlier("als-judging") == []
