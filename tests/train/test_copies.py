"""Work in copies of this process: told step by step, kept on disk, and reported if it did not come to its end."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

from train.copies import Step, in_copies


def writes(folder: Path, name: str, n_steps: int, done: Step) -> None:
    for _ in range(n_steps):
        done()
    (folder / name).write_text(str(os.getpid()))


def test_every_task_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    seen: list[int] = []
    assert in_copies([partial(writes, tmp_path, name, 3) for name in "abc"], seen.append)
    pids = {(tmp_path / name).read_text() for name in "abc"}
    assert len(pids) == 3 and str(os.getpid()) not in pids
    assert seen == sorted(seen) and seen[-1] == 9


def test_a_task_that_fails_or_is_killed_is_told_of(tmp_path: Path) -> None:
    def fails(done: Step) -> None:
        done()
        raise ValueError("no")

    def dies(done: Step) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    fine = partial(writes, tmp_path, "a", 1)
    assert [in_copies(tasks, lambda n_steps: None) for tasks in ([fine, fails], [dies, fine], [fine])] == [False, False, True]


def test_copies_end_when_nobody_listens_any_more(tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def for_ever(done: Step) -> None:
        while True:
            done()

    def listen(n_steps: int) -> None:
        raise Enough

    try:
        in_copies([for_ever, for_ever], listen)
    except Enough:
        return
    raise AssertionError("the listener's error is not passed on")
