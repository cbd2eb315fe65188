"""Evaluations as pictures: recall by source and k, what only one source finds, recall by how active users are; and the worth of
the stages of ranking beside what they cost.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from train.pictures import bars, draw, intervals, lines, name_lines
from train.rank.judge import K
from train.worth.evaluation import Evaluation
from train.worth.hits import UNION
from train.worth.source_worth import CURVE_KS, by_activity, curve
from train.worth.stage_worth import HEAVY, StageWorth

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BOUGHT = ("all that users bought", "what was new to them")


def draw_sources(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write recall.svg, exclusive.svg and activity.svg into the folder. Needs matplotlib."""
    n_users, days = len(evaluation.held_out.users), evaluation.terms.days
    note = f"{n_users:,} users, {days} days held out, {evaluation.n_eligible:,} eligible items"
    pictures = {"recall": _recall, "exclusive": _exclusive, "activity": _activity}
    return [draw(folder / f"{name}.svg", partial(paint, evaluation), note=note) for name, paint in pictures.items()]


def _recall(evaluation: Evaluation, figure: Figure) -> str:
    depth, table = evaluation.terms.depth, evaluation.table
    ks = [k for k in CURVE_KS if k <= depth]
    for axis, new, what in zip(figure.subplots(1, 2), (False, True), _BOUGHT, strict=True):
        curves = {system: curve(evaluation.hits, evaluation.held_out, system, ks, new=new) for system in table}
        lines(axis, {system: (ks, recalls) for system, recalls in curves.items()}, accent=UNION)
        axis.set(xlabel="candidates", ylabel=f"recall of {what}", xscale="log", ylim=(0, None))
        axis.set_xticks(ks[::-2], map(str, ks[::-2]))
        axis.minorticks_off()
        name_lines(axis)
    recalls = {system: row[f"recall@{depth}"] for system, row in table.items()}
    best = max((system for system in recalls if system != UNION), key=recalls.__getitem__)
    return f"Recall@{depth} of all sources together is {recalls[UNION]:.3f}; of {best}, the best alone, {recalls[best]:.3f}"


def _exclusive(evaluation: Evaluation, figure: Figure) -> str:
    rows = {system: row for system, row in evaluation.table.items() if system != UNION}
    order = sorted(rows, key=lambda system: -rows[system]["exclusive"])
    metrics = ("exclusive", "exclusive_new")
    for axis, metric, what in zip(figure.subplots(1, 2, sharey=True), metrics, _BOUGHT, strict=True):
        bars(axis, {system: 100 * rows[system][metric] for system in order}, form="{:.1f}", accent=order[0])
        axis.set(title=what, xlabel="% of all sources' hits that only this source has")
    share = 100 * rows[order[0]]["exclusive"]
    return f"Without {order[0]}, {share:.1f} % of all sources' hits would be lost, more than without any other"


def _activity(evaluation: Evaluation, figure: Figure) -> str:
    axis, k = figure.subplots(), evaluation.terms.depth
    groups = {
        system: by_activity(evaluation.hits, evaluation.held_out, system, evaluation.activity, k=k) or [("no", 0.0)]
        for system in evaluation.table
    }
    lines(axis, {system: zip(*points, strict=True) for system, points in groups.items()}, accent=UNION)
    axis.set(xlabel="different items that the user bought before", ylabel=f"recall@{k}", ylim=(0, None))
    name_lines(axis)
    (few, low), (many, high) = groups[UNION][0], groups[UNION][-1]
    return f"Recall@{k} of all sources together is {low:.2f} for users who bought {few} items before, {high:.2f} for {many}"


def draw_stages(worth: StageWorth, folder: Path) -> Path:
    """Write stages.svg into the folder. Needs matplotlib."""
    rows = {name: row for name, row in worth.systems.items() if "ms" in row}

    def paint(figure: Figure) -> str:
        left, right = figure.subplots(1, 2, sharey=True)
        intervals(left, rows, f"ndcg@{K}", accent=HEAVY)
        left.set(xlabel=f"ndcg@{K} after the stage, 95 % interval")
        bars(right, {name: row["ms"] for name, row in rows.items()}, form="{:.2f}", accent=HEAVY)
        right.set(xlabel="ms of the stage alone, one shard with all items")
        merged, heavy = (rows[name][f"ndcg@{K}"] for name in ("merged", HEAVY))
        return f"The heavy model's order has an ndcg@{K} of {heavy:.3f}, the merged order {merged:.3f}"

    return draw(folder / "stages.svg", paint, note=f"{worth.n_users:,} users, {worth.n_requests:,} requests")
