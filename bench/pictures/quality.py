"""How good: what each picture says, and how it is drawn. A picture's function draws rows and returns the message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.tools.row import Row
from train.pictures import ACCENT, COLOURS, intervals, name_lines
from train.worth.hits import UNION
from train.worth.stage_worth import HEAVY

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def ranking(rows: Sequence[Row], figure: Figure) -> str:
    """A panel for each log: the order after each stage, and that of the best single source."""
    logs: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows:
        if "ndcg@10" in row.metrics:
            system = "best source alone" if row.system.startswith("source:") else row.system
            logs.setdefault(row.case, {})[system] = row.metrics
    for axis, (log, systems) in zip(figure.subplots(1, len(logs), sharey=True), logs.items(), strict=True):
        intervals(axis, systems, "ndcg@10", accent=HEAVY)
        axis.set(title=log, xlabel="ndcg@10, 95 % interval")
        axis.margins(x=0.15)
    lifts = [100 * systems[HEAVY]["ndcg@10"] / systems["merged"]["ndcg@10"] - 100 for systems in logs.values()]
    return f"The heavy model's order has {min(lifts):.0f} to {max(lifts):.0f} % more ndcg@10 than the merged order"


def sources(rows: Sequence[Row], figure: Figure) -> str:
    """Both cases of a source on one line, what it is worth beside what it costs; the best source on top."""
    everything, store = dict.fromkeys(row.case for row in rows)
    tables = {case: {row.system: row.metrics for row in rows if row.case == case} for case in (everything, store)}
    order = sorted(tables[everything], key=lambda system: -tables[everything][system]["recall@500"])
    titles = {"recall@500": "recall@500", "ms_per_request": "ms of one shard a request"}
    for axis, (metric, title) in zip(figure.subplots(1, 2, sharey=True), titles.items(), strict=True):
        for (case, table), colour in zip(tables.items(), (ACCENT, COLOURS[0]), strict=True):
            axis.plot([table[system][metric] for system in order], order, "o", color=colour)
            label = "all items eligible" if case == everything else "only those of one store"
            axis.text(table[order[0]][metric], -0.5, label, ha="center", va="center", color=colour)
        for system in order:
            both = [table[system][metric] for table in tables.values()]
            axis.plot(both, [system, system], color=COLOURS[0], lw=0.5, zorder=0)
        axis.set(xlabel=title, ylim=(len(order) - 0.5, -1))
    table = tables[everything]
    best = next(system for system in order if system != UNION)
    return (
        f"All sources together find {100 * table[UNION]['recall@500']:.0f} % of what users bought among 500 candidates,"
        f" the best alone ({best}) {100 * table[best]['recall@500']:.0f} %"
    )


def als_step(rows: Sequence[Row], figure: Figure) -> str:
    """Percentiles of the dot product, of pairs with new items and of pairs with old ones."""
    new = {row.system: row.metrics for row in rows if row.case == "dot product, gowalla d=64, new items"}
    old = {row.system: row.metrics for row in rows if row.case == "dot product, gowalla d=64, old items"}
    left, right = figure.subplots(1, 2)
    points = (1, 10, 50, 90, 99)
    shades = {"step": (ACCENT, "-"), "full retrain": (COLOURS[0], "--"), "before": (COLOURS[1], ":")}
    for axis, metrics, metric in ((left, new, "dot"), (right, old, "change")):
        for system, (colour, style) in shades.items():
            if (metric, system) != ("change", "before"):
                values = [metrics[system][f"{metric}_p{point}"] for point in points]
                axis.plot(points, values, style, marker="o", ms=3, color=colour, label=system)
        axis.set(xlabel="percentile of the pairs", xticks=points)
        name_lines(axis)
    left.set(title="pairs with new items", ylabel="dot product")
    right.set(title="pairs with old items", ylabel="change of the dot product")
    step, retrain = (new[system]["dot_p50"] for system in ("step", "full retrain"))
    moved, moved_by_retrain = (
        max(abs(old[system][f"change_p{point}"]) for point in (1, 99)) for system in ("step", "full retrain")
    )
    return (
        f"One step gives new items the dot products of a full retrain (median {step:.2f} and {retrain:.2f});"
        f" 98 % of the old ones change by at most {moved:.2f}, not {moved_by_retrain:.2f}"
    )
