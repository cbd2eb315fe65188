"""Outputs of build stages on disk, named after their inputs: a killed build resumes, and a changed setting repeats only the
stages that depend on it.

A stage's folder is named after its name and a hash of its inputs; a stage that another depends on is an input by that name, so
a change upstream changes every name downstream. A folder under its final name is complete: it is written aside and renamed.
What a stage cost is kept beside what it made, so that a build which reuses it still tells.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import msgspec
from pydantic import BaseModel

from cluster.errors import ConfigError, GenerationError
from cluster.generation.storage import sync
from cluster.private import private_folder
from train.progress import Progress

VERSION = 9
"""Raised when the code of any stage comes to write something else for the same inputs."""

_ASIDE = ".aside-"
_REPORT = "stage.json"


class Made(msgspec.Struct, frozen=True):
    """What a stage says of its output. summary: in a few words.  n_rows: of the thing it is named after."""

    summary: str
    n_rows: int


class StageReport(msgspec.Struct, frozen=True):
    """What a stage made and what that took when it was last done, in this build or, if `reused`, in an earlier one."""

    summary: str
    n_rows: int
    seconds: float
    reused: bool = False


class StageAnew:
    """What the block of a stage that keeps nothing reports to."""

    made: Made | None = None

    def report(self, summary: str, n_rows: int) -> None:
        """As for `Made`."""
        self.made = Made(summary, n_rows)


class Stages:
    """The folder `<storage>/build`, held by one build at a time: a context manager. reports: by stage, in order."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        """Raises GenerationError while another process builds there. What a killed one left half done is removed."""
        self.folder = folder
        self.progress = progress
        self.reports: dict[str, StageReport] = {}
        self._used: set[str] = set()
        private_folder(folder)
        # The folder itself is locked, which filelock cannot do: all its entries are outputs, a lock file would be one too.
        self._lock_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock_fd)
            raise GenerationError(f"another build is working in {folder}") from None
        for entry in folder.iterdir():
            if entry.name.startswith(_ASIDE):
                shutil.rmtree(entry, ignore_errors=True)

    def __enter__(self) -> Stages:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._lock_fd)

    def run(self, name: str, *, inputs: object, total: int, make: Callable[[Path], Made]) -> Path:
        """The folder with the stage's output, made by `make(empty folder)` unless it is there already.

        inputs: JSON-able, everything the output depends on.  total: steps that `make` will report to the progress.
        """
        self.progress.begin(name, total)
        folder, report = self.part(name, inputs=inputs, make=make)
        if not (report.reused and name in self.reports):  # by another moment of this build
            self.reports[name] = report
        self.progress.end("reused" if report.reused else report.summary)
        return folder

    def part(self, name: str, *, inputs: object, make: Callable[[Path], Made]) -> tuple[Path, StageReport]:
        """The same for a part of a stage, without a word to the progress. Several threads may each make a part of their own."""
        key = hashlib.sha256(json.dumps([VERSION, name, inputs], sort_keys=True).encode()).hexdigest()[:16]
        done = self.folder / f"{name}-{key}"
        self._used.add(done.name)
        if done.exists():
            report = msgspec.json.decode((done / _REPORT).read_bytes(), type=StageReport)
            return done, msgspec.structs.replace(report, reused=True)
        aside = self.folder / f"{_ASIDE}{done.name}"
        aside.mkdir()
        began = time.perf_counter()
        try:
            made = make(aside)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        report = StageReport(made.summary, made.n_rows, time.perf_counter() - began)
        (aside / _REPORT).write_bytes(msgspec.json.encode(report))
        _sync(aside)
        aside.rename(done)
        sync(self.folder)  # or a power cut could take back the name, and the stage be done again
        shutil.rmtree(self.unfinished(aside), ignore_errors=True)
        return done, report

    def unfinished(self, folder: Path) -> Path:
        """Where a `make` that was given this folder keeps what it is to find again if it is killed; gone when it is done."""
        return self.folder / f"unfinished-{folder.name.removeprefix(_ASIDE)}"

    def earlier(self, name: str) -> list[Path]:
        """Outputs of the stage by earlier builds and other inputs, the newest first; `forget_unused` will remove them."""
        found = [path for path in self.folder.glob(f"{name}-*") if (path / _REPORT).exists()]
        return sorted(found, key=lambda path: (path / _REPORT).stat().st_mtime_ns, reverse=True)

    @contextmanager
    def anew(self, name: str, total: int = 0) -> Iterator[StageAnew]:
        """A stage that every build does, being quick or keeping nothing. The block reports what it made before it ends."""
        stage = StageAnew()
        self.progress.begin(name, total)
        began = time.perf_counter()
        yield stage
        assert stage.made is not None, f"stage {name} reported nothing"
        self.reports[name] = StageReport(stage.made.summary, stage.made.n_rows, time.perf_counter() - began)
        self.progress.end(stage.made.summary)

    def forget_unused(self) -> None:
        """Remove every output that this build did not use."""
        for entry in self.folder.iterdir():
            if entry.name not in self._used:
                shutil.rmtree(entry, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Everything in the folder reaches the disk before its name says that it is complete: files, then folders inside out."""
    for parent, _, files in os.walk(folder, topdown=False):
        for path in [*(os.path.join(parent, file) for file in files), parent]:
            sync(Path(path))


def fingerprint(path: Path) -> list[list[object]]:
    """Name, size and modification time of a file, or of every file in a folder: changes when the content does.

    Raises ConfigError if there is no such file.
    """
    if not path.exists():
        raise ConfigError(f"{path}: no such file")
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return [[str(file), (status := file.stat()).st_size, status.st_mtime_ns] for file in files]


def plain(section: BaseModel) -> object:
    """A section of the configuration as an input of a stage."""
    return section.model_dump(mode="json")
