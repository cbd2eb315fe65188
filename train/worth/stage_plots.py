"""The worth of the ranking stages as a picture: ndcg@10 with its intervals, and milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from train.pictures import bars, draw, intervals
from train.rank.judge import K
from train.worth.stage_worth import HEAVY, StageWorth

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
