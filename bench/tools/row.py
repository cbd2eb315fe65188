"""One measurement as it is kept: a JSON line that says what was measured, on which machine and with which versions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

RESULTS = Path(__file__).parents[1] / "results"
OURS = "oskolok"


class Row(msgspec.Struct, frozen=True):
    """One system in one case. metrics: name, unit last, to the median over repeats.  time: UTC, ISO 8601."""

    bench: str
    case: str
    system: str
    metrics: dict[str, float]
    machine: dict[str, object]
    versions: dict[str, str]
    time: str


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSON-lines file, in order; none if there is no such file."""
    if not path.exists():
        return []
    return [msgspec.json.decode(line, type=Row) for line in path.read_bytes().splitlines() if line]


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Replace the file by these rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))


def higher_is_better(metric: str) -> bool:
    """Rates, shares and qualities grow when things improve; times, bytes and counts shrink."""
    return metric.endswith(("_per_s", "_share")) or metric.startswith(("recall", "coverage", "ndcg", "p@", "r@"))
