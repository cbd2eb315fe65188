"""Stages "als-<moment>": what is fitted to the log as of a moment, kept on disk; and the signals made from it.

A moment has a name: ranking learns from "training" and is judged at "validation", "serving" is what is published.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cluster.config import Config
from train.signals import Signals, fit_vectors, load_factors, make_signals, save_factors
from train.stages.outputs import Made, Stages, plain
from train.stages.read import Source


@dataclass(frozen=True, slots=True)
class Learned:
    """Where the parts lie that were fitted to the log as of a moment. as_of: Unix seconds."""

    moment: str
    as_of: int
    vectors: Path

    @property
    def inputs(self) -> list[object]:
        """What stands for all of it in the inputs of later stages."""
        return [self.as_of, self.vectors.name]


def learn(stages: Stages, source: Source, config: Config, *, moment: str, as_of: int) -> Learned:
    """Fit everything that needs fitting."""
    return Learned(moment, as_of, _vectors(stages, source, config, moment, as_of))


def signals_of(source: Source, learned: Learned, config: Config) -> Signals:
    """Everything known as of the moment: what was fitted, and what is only counted."""
    return make_signals(source.log, source.catalogue, load_factors(learned.vectors), config, as_of=learned.as_of)


def _vectors(stages: Stages, source: Source, config: Config, moment: str, as_of: int) -> Path:
    als = config.train.als

    def make(folder: Path) -> Made:
        factors = fit_vectors(source.log, source.catalogue, config, as_of=as_of, on_sweep=stages.progress.advance)
        save_factors(factors, folder)
        told = f"{als.n_sweeps} sweeps, {len(factors.users):,} users × {len(factors.items):,} items × {als.dim}"
        return Made(told, len(factors.items))

    inputs = [source.name, as_of, plain(als), config.train.half_life_days, config.train.seed, config.catalog.category]
    return stages.run(f"als-{moment}", inputs=inputs, total=als.n_sweeps, make=make)
