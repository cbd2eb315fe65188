"""The stages of a build, a file each, in the order of `train/build.py`, and how their outputs are kept (`outputs.py`).

read.py       the Parquet inputs as a catalogue, a log, users and playlists
learn.py      what is fitted to the log as of a moment: vectors, item-item tables, quorum
rows.py       candidates of past moments, and which of them were bought
rank.py       the models that learn to order them, which of them serve, and their card
shards.py     the shards' files
publish.py    all of it as one generation
"""

from __future__ import annotations

from train.stages.outputs import Made, StageReport, Stages, fingerprint

__all__ = ["Made", "StageReport", "Stages", "fingerprint"]
