"""An evaluation as three pictures: recall by source and k, what only one source found, and recall by how active users are.

They need matplotlib, which serving and building do not.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from train.worth.evaluation import Evaluation
from train.worth.hits import UNION
from train.worth.source_worth import CURVE_KS, by_activity, curve

_UNION_COLOUR = "#d1495b"
_COLOURS = ("#30638e", "#7a9e9f", "#5c5470", "#edae49", "#8d6a9f", "#3d7a55", "#b07156", "#8a8a7c", "#1b998b", "#c38d9e")
_STYLES = ("-", "--", ":")


def draw(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write recall.svg, exclusive.svg and activity.svg into the folder, made if need be. Same numbers, same bytes."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "oskolok", "font.size": 9, "axes.spines.top": False})
    folder.mkdir(parents=True, exist_ok=True)
    figures = {"recall": _recall, "exclusive": _exclusive, "activity": _activity}
    return [_figure(folder / f"{name}.svg", paint, evaluation) for name, paint in figures.items()]


def _figure(path: Path, paint: Callable[[Any, Evaluation], None], evaluation: Evaluation) -> Path:
    import matplotlib.pyplot as plt

    canvas = plt.figure(figsize=(11, 5), layout="constrained")
    paint(canvas, evaluation)
    terms = evaluation.terms
    canvas.suptitle(
        f"{len(evaluation.held_out.users):,} users, {terms.days} days held out, {evaluation.n_eligible:,} eligible items",
        fontsize=7,
        color="#666666",
        x=0.01,
        ha="left",
    )
    canvas.savefig(path, metadata={"Date": None})
    plt.close(canvas)
    return path


def _recall(canvas: Any, evaluation: Evaluation) -> None:
    ks = [k for k in CURVE_KS if k <= evaluation.terms.depth]
    axes = canvas.subplots(1, 2)
    for axis, new, title in zip(axes, (False, True), ("everything bought", "new to the user"), strict=True):
        for system, style in _styles(evaluation).items():
            axis.plot(ks, curve(evaluation.hits, evaluation.held_out, system, ks, new=new), label=system, **style)
        axis.set(title=title, xlabel="candidates", ylabel="recall", xscale="log")
        axis.set_xticks(ks, [str(k) for k in ks], minor=False)
        axis.minorticks_off()
        axis.set_ylim(bottom=0)
    _legend(canvas, axes[0])


def _exclusive(canvas: Any, evaluation: Evaluation) -> None:
    table = evaluation.table
    systems = [system for system in table if system != UNION]
    axes = canvas.subplots(1, 2, sharey=True)
    for axis, metric, title in zip(axes, ("exclusive", "exclusive_new"), ("everything bought", "new to the user"), strict=True):
        drawn = axis.barh(systems, [100 * table[system][metric] for system in systems], color=_COLOURS[0])
        axis.bar_label(drawn, fmt="{:.1f}", fontsize=7, padding=2)
        axis.set(title=title, xlabel="% of what all sources found together that only this one found")
        axis.set_xlim(left=0)
    axes[0].invert_yaxis()


def _activity(canvas: Any, evaluation: Evaluation) -> None:
    axis = canvas.subplots()
    for system, style in _styles(evaluation).items():
        groups = by_activity(evaluation.hits, evaluation.held_out, system, evaluation.activity, k=evaluation.terms.depth)
        axis.plot([name for name, _ in groups], [recall for _, recall in groups], label=system, **style)
    axis.set(xlabel="different items bought before", ylabel=f"recall@{evaluation.terms.depth}")
    axis.set_ylim(bottom=0)
    _legend(canvas, axis)


def _styles(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    """How to draw each asked system; the union stands out."""
    sources = [system for system in evaluation.table if system != UNION]
    n = len(_COLOURS)
    styles: dict[str, dict[str, Any]] = {
        system: {"color": _COLOURS[i % n], "ls": _STYLES[i // n % len(_STYLES)], "lw": 1.2, "marker": "o", "ms": 2.5}
        for i, system in enumerate(sources)
    }
    return styles | {UNION: {"color": _UNION_COLOUR, "lw": 2.4, "marker": "o", "ms": 4}}


def _legend(canvas: Any, axis: Any) -> None:
    handles, labels = axis.get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8)
