"""Pictures of committed rows: `python -m bench.plot [NAME …]` draws docs/bench/NAME.svg from bench/results/NAME.jsonl.

Nothing is measured here: every figure in a picture, its title included, comes from the rows, and its small print names the
machine and the versions that the rows name. Without a NAME all pictures are drawn.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.pictures import quality, speed
from bench.tools.row import RESULTS, Row, read_rows
from train.pictures import draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOCS = Path(__file__).parent.parent / "docs" / "bench"


@dataclass(frozen=True)
class Picture:
    """paint: draws rows on a figure and returns the message."""

    paint: Callable[[Sequence[Row], Figure], str]
    height_in: float = 4.0


PICTURES = {
    "als_speed": Picture(speed.als_speed),
    "als_step": Picture(quality.als_step),
    "fanout": Picture(speed.fanout, 3.2),
    "filter": Picture(speed.filter),
    "http": Picture(speed.http, 6.0),
    "kernel": Picture(speed.kernel, 3.2),
    "ranker": Picture(speed.ranker, 4.0),
    "ranking": Picture(quality.ranking, 5.0),
    "scaling": Picture(speed.scaling),
    "sources": Picture(quality.sources, 5.5),
}


def plot(name: str, folder: Path = DOCS) -> Path:
    """Draw the committed rows of one bench and return where the picture lies. Raises KeyError for a bench without a picture."""
    rows, picture = read_rows(RESULTS / f"{name}.jsonl"), PICTURES[name]
    assert rows, f"no rows in {RESULTS / name}.jsonl: run python -m bench.{name} --json {RESULTS / name}.jsonl"
    return draw(folder / f"{name}.svg", partial(picture.paint, rows), note=_origin(rows), height_in=picture.height_in)


def _origin(rows: Sequence[Row]) -> str:
    newest = max(rows, key=lambda row: row.time)
    versions = ", ".join(f"{name} {version}" for name, version in newest.versions.items())
    return f"{newest.machine['cpu']}, {newest.machine['cores']} cores; {versions}; {newest.time[:10]}"


def main() -> None:
    names = sys.argv[1:] or sorted(PICTURES)
    if unknown := set(names) - PICTURES.keys():
        sys.exit(f"no picture of {', '.join(sorted(unknown))}; there are {', '.join(PICTURES)}")
    for name in names:
        print(plot(name))


if __name__ == "__main__":
    main()
