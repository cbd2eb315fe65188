"""Which candidates a rule selects: from the configuration's words to a column of the router's data about candidates.

A selection that the generation cannot answer (no such source, no such statistic) raises ConfigError when the rules are made,
never in a request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.config.slate import Selection, SlateSection
from cluster.errors import ConfigError
from cluster.spec import GenerationSpec
from cluster.types import Candidates

Members = NDArray[np.bool_]
Selected = Callable[[Candidates], Members]
"""(m,) bool: which of the candidates are selected."""


def selected_by(selection: Selection, section: SlateSection, spec: GenerationSpec) -> Selected:
    """Raises ConfigError for a source or statistic that the generation does not have."""
    if selection.source:
        names = [source.name for source in spec.sources]
        if selection.source not in names:
            raise _absent("source", selection.source, names, spec)
        return _OfSource(names.index(selection.source))
    if selection.mark is not None:
        return _Marked(len(section.group_by) + section.marks.index(selection.mark))
    return _OfStat(stat_column(selection.stat, spec), selection.at_least, selection.at_most)


def stat_column(stat: str, spec: GenerationSpec) -> int:
    """Where the statistic stands among the match features. Raises ConfigError if it does not."""
    stats = [name.removeprefix("stat.") for name in spec.features.match if name.startswith("stat.")]
    if stat not in stats:
        raise _absent("stat", stat, stats, spec)
    return spec.features.match.index(f"stat.{stat}")


def _absent(what: str, name: str, names: list[str], spec: GenerationSpec) -> ConfigError:
    return ConfigError(f"slate: generation {spec.id} has no {what} {name!r}, it has {', '.join(names) or 'none'}")


@dataclass(frozen=True, slots=True)
class _OfSource:
    column: int

    def __call__(self, candidates: Candidates) -> Members:
        return ~np.isnan(candidates.source_ranks[:, self.column])


@dataclass(frozen=True, slots=True)
class _Marked:
    column: int

    def __call__(self, candidates: Candidates) -> Members:
        assert candidates.facts is not None, "the query asked for no facts"
        marked: Members = candidates.facts[:, self.column] != 0
        return marked


@dataclass(frozen=True, slots=True)
class _OfStat:
    column: int
    at_least: float
    at_most: float

    def __call__(self, candidates: Candidates) -> Members:
        values = candidates.match[:, self.column]
        return (values >= self.at_least) & (values <= self.at_most)
