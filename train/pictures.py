"""How every picture looks: SVG, one message as its title, names beside what they name instead of a legend. Needs matplotlib.

There is no background: every colour has a contrast of at least 3.5 : 1 to a white page and to a dark one (#0d1117), the grey of
texts and axes in pictures.mplstyle 4.3 : 1.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACCENT = "#d1495b"
COLOURS = (
    *("#3b7ea8", "#8f6bb0", "#c0741c", "#2f8f83", "#a5714e", "#5b8f3a", "#c76a9c", "#4f79c9", "#85852f", "#6d8291"),
    *("#a8506e", "#7a6ad8"),
)
_WIDTH_IN, _TITLE_COLUMNS, _NOTE_COLUMNS = 9, 92, 138
_STYLE = Path(__file__).with_suffix(".mplstyle")


def can_draw() -> bool:
    """Whether matplotlib is there."""
    return find_spec("matplotlib") is not None


def draw(path: Path, paint: Callable[[Figure], str], *, note: str, height_in: float = 4.5) -> Path:
    """Write an SVG of 9 inches width; its folder is made if need be. Same numbers, same bytes.

    paint: draws on the figure and returns the message, which becomes the title.  note: what was measured, in small print.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(fname=_STYLE):
        figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
        title = textwrap.fill(re.sub(r"(?<=\d) ", "\N{NO-BREAK SPACE}", paint(figure)), _TITLE_COLUMNS)
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, weight="bold")
        figure.supxlabel(textwrap.fill(note, _NOTE_COLUMNS), x=0.01, ha="left", fontsize=7.5)
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None})
    return path


def lines(axis: Axes, series: Mapping[str, Iterable[Sequence[Any]]], *, accent: str = "") -> None:
    """A line for each name's xs and ys. accent: the line that the picture is about."""
    others = cycle(COLOURS)
    for name, (xs, ys) in series.items():
        colour, wide = (ACCENT, 2.4) if name == accent else (next(others), 1.2)
        axis.plot(xs, ys, ".-", label=name, color=colour, lw=wide)


def bars(axis: Axes, values: Mapping[str, float], *, form: str, accent: str = "") -> None:
    """Lying bars, the first on top, each with its value written as `form`, such as "{:.1f}"."""
    shown = [ACCENT if name == accent else COLOURS[0] for name in values]
    drawn = axis.barh(list(values), list(values.values()), height=0.7, color=shown)
    axis.bar_label(drawn, fmt=form, padding=3)
    axis.margins(x=0.15)
    axis.set_ylim(len(values) - 0.5, -0.5)


def intervals(axis: Axes, rows: Mapping[str, Mapping[str, float]], metric: str, *, accent: str = "") -> None:
    """A dot for each row's metric, the first on top, on a line from <metric>_lo to <metric>_hi."""
    for name, row in rows.items():
        colour = ACCENT if name == accent else COLOURS[0]
        axis.plot([row[f"{metric}_lo"], row[f"{metric}_hi"]], [name, name], color=colour)
        axis.plot(row[metric], name, "o", color=colour, ms=5)
        axis.annotate(f"{row[metric]:.3f}", (row[metric], name), (0, 5), textcoords="offset points", ha="center", fontsize=7.5)
    axis.set_ylim(len(rows) - 0.5, -0.7)


def name_lines(axis: Axes) -> None:
    """Write each line's label beside its right end, in its colour, labels apart from each other. Call it when all is drawn."""
    from scipy.optimize import isotonic_regression

    axis.autoscale_view()
    lines = [line for line in axis.lines if not str(line.get_label()).startswith("_")]
    ends = (axis.transData - axis.transAxes).transform([np.asarray(line.get_xydata())[-1] for line in lines])[:, 1]
    order = np.argsort(ends, kind="stable")
    steps = np.arange(len(lines)) * 13 / 72 * axis.figure.dpi / axis.bbox.height
    heights = np.clip(isotonic_regression(ends[order] - steps).x, 0, 1 - steps[-1]) + steps  # as near as leaves them apart
    for line, height in zip([lines[at] for at in order], heights, strict=True):
        axis.text(1.02, height, str(line.get_label()), transform=axis.transAxes, va="center", color=line.get_color())
