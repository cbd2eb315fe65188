"""Do the files that a configuration names exist? Checked where they are read: by a build, and by `oskolok config check`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cluster.config.contradictions import Contradiction
from cluster.config.sections import Config


def absent_files(config: Config) -> Iterator[Contradiction]:
    """Each key that names a file or a folder that is not there."""
    ranker = config.train.ranker
    if ranker.onnx_file and not Path(ranker.onnx_file).is_file():
        yield ("train", "ranker", "onnx_file"), (), f"there is no file {ranker.onnx_file}"
    if ranker.logged and not Path(ranker.logged).is_dir():
        yield ("train", "ranker", "logged"), (), f"there is no folder {ranker.logged}"
