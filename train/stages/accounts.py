"""What each source of a generation is computed from, and how long the stages of its build took."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cluster.generation import SourceEntry
from cluster.spec import SourceSpec
from train.signals import Signals
from train.stages.outputs import StageReport


def source_entries(signals: Signals, reports: Mapping[str, StageReport], *, moment: str) -> tuple[SourceEntry, ...]:
    """An entry for each source, in their order. moment: the name of the one that serves."""
    return tuple(_entry(signals, source, reports, moment) for source in signals.sources)


def _entry(signals: Signals, source: SourceSpec, reports: Mapping[str, StageReport], moment: str) -> SourceEntry:
    stages = tuple(stage for stage in _stages(source, moment) if stage in reports)
    seconds = sum(reports[stage].seconds for stage in stages)
    return SourceEntry(source.name, _n_rows(signals, source), round(seconds, 3), stages)


def _stages(source: SourceSpec, moment: str) -> tuple[str, ...]:
    """The stages whose outputs a source needs, those of its inputs first. Not each of them is part of every build."""
    match source.kind:
        case "tops" | "seeds":
            return ("signals",)
        case "ann":
            return (f"{source.space}-{moment}", f"graph-{source.space}")
        case "score_all":
            return (f"{source.space}-{moment}",)
        case "item_lists":
            return (f"{source.table}-{moment}", f"{source.table}-likeness", f"{source.table}-lists-{moment}")
        case "quorum":
            return (f"quorum-{moment}",)


def _n_rows(signals: Signals, source: SourceSpec) -> int:
    match source.kind:
        case "tops":
            return sum(len(top.rows) for top in signals.lists if top.name.startswith(f"{source.lists}/"))
        case "ann" | "score_all":
            return int(np.count_nonzero(signals.spaces[source.space].items.any(axis=1)))
        case "seeds" if source.seeds == "history":
            return len(signals.pairs.items)
        case "seeds":
            return len(signals.seeds[source.seeds].items) if source.seeds in signals.seeds else 0
        case "item_lists":
            return len(signals.tables[source.table].weights)
        case "quorum":
            return 0 if signals.quorum is None else int(signals.quorum.tf.nnz)
