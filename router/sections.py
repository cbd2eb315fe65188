"""The parts of the configuration that the router reads, in one value."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.config.sections import (
    AdmissionSection,
    Config,
    DeadlineSection,
    MergeSection,
    RankerSection,
    SlateSection,
    SourcesSection,
    UsersSection,
)


@dataclass(frozen=True, slots=True)
class RouterSections:
    """Nothing else of the file reaches the router.

    >>> RouterSections.of(Config()).slate.k_default
    20
    """

    users: UsersSection
    sources: SourcesSection
    merge: MergeSection
    ranker: RankerSection
    slate: SlateSection
    deadline: DeadlineSection
    admission: AdmissionSection

    @classmethod
    def of(cls, config: Config) -> RouterSections:
        return cls(
            users=config.users,
            sources=config.sources,
            merge=config.merge,
            ranker=config.ranker,
            slate=config.slate,
            deadline=config.deadline,
            admission=config.admission,
        )
