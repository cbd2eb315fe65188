"""Pictures of committed rows: `python -m bench.plot NAME` draws docs/bench/NAME.svg from bench/results/NAME.jsonl.

How a bench looks best is one entry in FIGURES; a bench without an entry gets bars of all its metrics. Nothing is
measured here, and a picture names the machine its rows name.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.row import OURS, RESULTS, Row, read_rows

DOCS = Path(__file__).parent.parent / "docs" / "bench"


@dataclass(frozen=True)
class Figure:
    """One panel per metric. kind: bars grouped by case, or a line per system over the first number in the case's name."""

    metrics: tuple[str, ...] = ()
    kind: Literal["bars", "lines"] = "bars"
    log: bool = True


FIGURES: dict[str, Figure] = {
    "fanout": Figure(("fanouts_per_s", "p50_us", "p99_us")),
    "http": Figure(("requests_per_s", "p50_ms", "p99_ms", "cpu_ms_per_request")),
    "scaling": Figure(kind="lines", log=False),
}

_OUR_COLOUR = "#d1495b"
_PEER_COLOURS = ("#30638e", "#7a9e9f", "#b8b8aa", "#5c5470", "#edae49", "#8d6a9f")


def draw(name: str, rows: Sequence[Row], figure: Figure) -> Path:
    """Write the picture and return where it lies."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "oskolok", "font.size": 9, "axes.spines.top": False})
    import matplotlib.pyplot as plt

    metrics = figure.metrics or tuple(dict.fromkeys(m for row in rows for m in row.metrics))
    canvas, axes = plt.subplots(1, len(metrics), figsize=(4.2 * len(metrics), 3.4), squeeze=False, layout="constrained")
    for axis, metric in zip(axes[0], metrics, strict=True):
        shown = [row for row in rows if metric in row.metrics]
        (_bars if figure.kind == "bars" else _lines)(axis, shown, metric)
        axis.set_title(metric)
        if figure.log:
            axis.set_yscale("log")
    handles, labels = axes[0][0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False)
    canvas.suptitle(_origin(rows), fontsize=7, color="#666666", x=0.01, ha="left")
    DOCS.mkdir(parents=True, exist_ok=True)
    path = DOCS / f"{name}.svg"
    canvas.savefig(path, metadata={"Date": None})
    plt.close(canvas)
    return path


def _systems(rows: Sequence[Row]) -> dict[str, str]:
    """Each system's colour, ours first."""
    peers = sorted({row.system for row in rows} - {OURS})
    colours = {peer: _PEER_COLOURS[i % len(_PEER_COLOURS)] for i, peer in enumerate(peers)}
    return {OURS: _OUR_COLOUR} | colours


def _bars(axis, rows: Sequence[Row], metric: str) -> None:
    systems = _systems(rows)
    cases = list(dict.fromkeys(row.case for row in rows))
    width = 0.8 / max(1, len(systems))
    for i, (system, colour) in enumerate(systems.items()):
        values = {row.case: row.metrics[metric] for row in rows if row.system == system}
        at = [(c + (i - (len(systems) - 1) / 2) * width, values[case]) for c, case in enumerate(cases) if case in values]
        if at:
            drawn = axis.bar([x for x, _ in at], [y for _, y in at], width * 0.92, label=system, color=colour)
            axis.bar_label(drawn, fmt="{:,.3g}" if max(y for _, y in at) < 1000 else "{:,.0f}", fontsize=6, padding=1)
    axis.set_xticks(range(len(cases)), cases, rotation=20 if len(cases) > 4 else 0)


def _lines(axis, rows: Sequence[Row], metric: str) -> None:
    series: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in rows:
        number = re.search(r"\d+(\.\d+)?", row.case)
        assert number, f"case {row.case!r} has no number to draw it at"
        rest = (row.case[: number.start()] + row.case[number.end() :]).strip(" ,:")
        series.setdefault((row.system, rest), []).append((float(number.group()), row.metrics[metric]))
    colours = _systems(rows)
    styles = dict(zip(dict.fromkeys(rest for _, rest in series), ("-", "--", ":", "-.") * 4, strict=False))
    for (system, rest), points in series.items():
        xs, ys = zip(*sorted(points), strict=True)
        axis.plot(xs, ys, styles[rest], marker="o", markersize=3, label=f"{system}, {rest}", color=colours[system])
    axis.set_ylim(bottom=0)


def _origin(rows: Sequence[Row]) -> str:
    newest = max(rows, key=lambda row: row.time)
    versions = ", ".join(f"{name} {version}" for name, version in newest.versions.items())
    return f"{newest.machine['cpu']}, {newest.machine['cores']} cores; {versions}; {newest.time[:10]}"


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m bench.plot NAME")
    name = sys.argv[1]
    rows = read_rows(RESULTS / f"{name}.jsonl")
    if not rows:
        sys.exit(f"no rows in {RESULTS / name}.jsonl: run python -m bench.{name} --json {RESULTS / name}.jsonl")
    print(draw(name, rows, FIGURES.get(name, Figure())))


if __name__ == "__main__":
    main()
