"""What a generation and a configuration fix for all their requests: computed once, and held by the router."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.config.sections import Config
from cluster.spec import GenerationSpec
from router.planning.offers import Offers
from router.slate.rules import Rules


@dataclass(frozen=True, slots=True, eq=False)
class Setup:
    """offers: what the sources can be asked.  rules: of the slate."""

    spec: GenerationSpec
    config: Config
    offers: Offers
    rules: Rules

    @classmethod
    def of(cls, spec: GenerationSpec, config: Config) -> Setup:
        """Raises ConfigError where the slate caps an attribute that the generation does not have."""
        return cls(spec, config, Offers.of(spec, config.sources), Rules.in_force(config.slate, spec))
