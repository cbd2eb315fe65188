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

from bench.tools.row import OURS, RESULTS, Row, read_rows

DOCS = Path(__file__).parent.parent / "docs" / "bench"


@dataclass(frozen=True)
class Figure:
    """One panel per metric. kind: bars grouped by case; a line per system over a number in the case's name; lying bars grouped
    by system, for many systems that are all ours; or a line per system over the percentiles <metric>_p1 … <metric>_p99.

    x: how that number is found.  log_x: whether its axis is logarithmic.  panel: what of a case's name gets panels of its
    own, nothing by default.  without: systems that are left out.
    """

    metrics: tuple[str, ...] = ()
    kind: Literal["bars", "lines", "systems", "percentiles"] = "bars"
    log: bool = True
    x: str = r"\d+(?:\.\d+)?"
    log_x: bool = False
    panel: str = ""
    without: tuple[str, ...] = ()

    def panels(self, rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
        """The metric of each panel, and its rows."""
        shown = [row for row in rows if row.system not in self.without]
        metrics = self.metrics or tuple(dict.fromkeys(m for row in shown for m in row.metrics))
        groups: dict[str, list[Row]] = {}
        for row in shown:
            found = re.search(self.panel, row.case)
            if found:
                groups.setdefault(found.group(), []).append(row)
        names = {metric: f"{metric}_p50" if self.kind == "percentiles" else metric for metric in metrics}
        return [
            (metric, [row for row in group if names[metric] in row.metrics]) for group in groups.values() for metric in names
        ]


FIGURES: dict[str, Figure] = {
    "als_speed": Figure(
        ("sweep_ms", "us_per_event"),
        kind="lines",
        x=r"(?<=d=64, )\d+(?=% of the events)",
        panel=r"d=64(?=, \d)",
        log=False,
    ),
    "als_step": Figure(("dot", "change"), kind="percentiles", log=False, panel=r"(?<=dot product, )gowalla d=64, \w+ items"),
    "fanout": Figure(("fanouts_per_s", "p50_us", "p99_us")),
    "http": Figure(("requests_per_s", "p50_ms", "p99_ms", "cpu_ms_per_request")),
    "filter": Figure(
        ("p50_us",),
        kind="lines",
        x=r"(?<=eligible )[\d.]+(?=%$)",
        log_x=True,
        panel=r"^\w+ \d+k",
        without=("oskolok, cold mask",),
    ),
    "ranking": Figure(("ndcg@10", "recall@10", "mrr"), kind="systems", log=False),
    "scaling": Figure(kind="lines", log=False),
    "sources": Figure(("recall@500", "recall_new@500", "exclusive_new", "ms_per_request"), kind="systems", log=False),
}

_OUR_COLOUR = "#d1495b"
_PEER_COLOURS = ("#30638e", "#7a9e9f", "#b8b8aa", "#5c5470", "#edae49", "#8d6a9f")


def draw(name: str, rows: Sequence[Row], figure: Figure) -> Path:
    """Write the picture and return where it lies."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "oskolok", "font.size": 9, "axes.spines.top": False})
    import matplotlib.pyplot as plt

    panels = figure.panels(rows)
    lying = figure.kind == "systems"
    height = 1.2 + 0.28 * len({row.system for row in rows}) if lying else 3.4
    size = ((3.1 if lying else 4.2) * len(panels), height)
    canvas, axes = plt.subplots(1, len(panels), figsize=size, squeeze=False, sharey=lying, layout="constrained")
    for axis, (metric, shown) in zip(axes[0], panels, strict=True):
        {"bars": _bars, "lines": _lines, "systems": _lying_bars, "percentiles": _percentiles}[figure.kind](
            axis, shown, metric, figure
        )
        group = re.search(figure.panel, shown[0].case) if figure.panel else None
        axis.set_title(f"{metric}, {group.group()}" if group else metric)
        if figure.log:
            (axis.set_xscale if lying else axis.set_yscale)("log")
    if lying:
        axes[0][0].invert_yaxis()
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


def _bars(axis, rows: Sequence[Row], metric: str, figure: Figure) -> None:
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


def _lying_bars(axis, rows: Sequence[Row], metric: str, figure: Figure) -> None:
    systems = list(dict.fromkeys(row.system for row in rows))
    cases = list(dict.fromkeys(row.case for row in rows))
    width = 0.8 / max(1, len(cases))
    for i, (case, colour) in enumerate(zip(cases, (_OUR_COLOUR, *_PEER_COLOURS), strict=False)):
        mine = [row for row in rows if row.case == case]
        at = [systems.index(row.system) + (i - (len(cases) - 1) / 2) * width for row in mine]
        values = [row.metrics[metric] for row in mine]
        drawn = axis.barh(at, values, width * 0.92, label=case, color=colour, xerr=_interval(mine, metric), error_kw={"lw": 1})
        axis.bar_label(drawn, fmt="{:,.3g}", fontsize=6, padding=1)
    axis.set_yticks(range(len(systems)), systems)


def _interval(rows: Sequence[Row], metric: str) -> tuple[list[float], list[float]] | None:
    """How far each row's interval reaches below and above its value, None if they have none."""
    if any(f"{metric}_lo" not in row.metrics for row in rows):
        return None
    told = [(row.metrics[f"{metric}_lo"], row.metrics[metric], row.metrics[f"{metric}_hi"]) for row in rows]
    return [value - low for low, value, _ in told], [high - value for _, value, high in told]


def _lines(axis, rows: Sequence[Row], metric: str, figure: Figure) -> None:
    series: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in rows:
        number = re.search(figure.x, row.case)
        if number is None:  # a case of another kind beside those that vary by the number
            continue
        rest = "" if figure.panel else (row.case[: number.start()] + row.case[number.end() :]).strip(" ,:")
        series.setdefault((row.system, rest), []).append((float(number.group()), row.metrics[metric]))
    assert series, f"no case has a number {figure.x} to draw it at"
    colours = _systems(rows)
    styles = dict(zip(dict.fromkeys(rest for _, rest in series), ("-", "--", ":", "-.") * 4, strict=False))
    for (system, rest), points in series.items():
        xs, ys = zip(*sorted(points), strict=True)
        label = f"{system}, {rest}" if rest else system
        axis.plot(xs, ys, styles[rest], marker="o", markersize=3, label=label, color=colours[system])
    if figure.log_x:
        axis.set_xscale("log")
    if not figure.log:
        axis.set_ylim(bottom=0)


def _percentiles(axis, rows: Sequence[Row], metric: str, figure: Figure) -> None:
    colours = _systems(rows)
    for at, row in enumerate(rows):
        names = {name: re.fullmatch(rf"{metric}_p(\d+)", name) for name in row.metrics}
        points = sorted((int(found.group(1)), row.metrics[name]) for name, found in names.items() if found)
        style = ("-", "--", ":")[at % 3]  # lines that should lie on each other
        axis.plot(*zip(*points, strict=True), style, marker="o", markersize=3, label=row.system, color=colours[row.system])
    axis.set_xlabel("percentile")


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
