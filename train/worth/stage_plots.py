"""What the stages of ranking are worth as a picture: ndcg@10 with its intervals, and milliseconds. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path

from train.rank.judge import K
from train.worth.stage_worth import HEAVY, StageWorth


def draw_stages(worth: StageWorth, folder: Path) -> Path:
    """Write stages.svg into the folder, made if need be."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "oskolok", "font.size": 9, "axes.spines.top": False})
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    rows = {name: row for name, row in worth.systems.items() if "ms" in row}
    names = list(rows)
    colours = ["#d1495b" if name == HEAVY else "#30638e" for name in names]
    canvas = plt.figure(figsize=(11, 4), layout="constrained")
    left, right = canvas.subplots(1, 2, sharey=True)
    ndcg = [row[f"ndcg@{K}"] for row in rows.values()]
    below = [row[f"ndcg@{K}"] - row[f"ndcg@{K}_lo"] for row in rows.values()]
    above = [row[f"ndcg@{K}_hi"] - row[f"ndcg@{K}"] for row in rows.values()]
    left.barh(names, ndcg, xerr=(below, above), color=colours, error_kw={"lw": 1, "capsize": 3})
    left.set(title=f"ndcg@{K} after the stage, 95 % over {worth.n_users:,} users")
    drawn = right.barh(names, [row["ms"] for row in rows.values()], color=colours)
    right.bar_label(drawn, fmt="{:.2f}", fontsize=7, padding=2)
    right.set(title="ms of the stage alone, one shard of everything", xscale="log")
    left.invert_yaxis()
    path = folder / "stages.svg"
    canvas.savefig(path, metadata={"Date": None})
    plt.close(canvas)
    return path
