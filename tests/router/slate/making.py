"""Candidates, ranked lists and rules for tests of the slate, small and drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from cluster.config.slate import SlateSection
from cluster.spec import AttributeSpec, FeatureSchema, GenerationSpec, SourceSpec, SpaceSpec
from cluster.types import Candidates
from router.rank import Ranked
from router.slate.rules import Rules

STATS = ("age_days", "log_views", "log_clicks")
SPEC = GenerationSpec(
    id="g-1",
    created="2026-01-01T00:00:00Z",
    id_type="int64",
    shard_items=(100,),
    attributes=(AttributeSpec("brand", "category"), AttributeSpec("color", "category")),
    spaces=(SpaceSpec("als", 3, "ip", 0.99),),
    sources=(SourceSpec("tops", "tops", exact=True, promises_k=True), SourceSpec("new", "tops", exact=True, promises_k=True)),
    lists=(),
    profile=(),
    features=FeatureSchema(tuple(f"stat.{name}" for name in STATS), ("tops", "new"), (), ()),
)


def candidates_of(
    keys: Sequence[int],
    facts: Sequence[Sequence[int]] | None = None,
    *,
    ages: Sequence[float] | None = None,
    sources: Sequence[Sequence[bool]] | None = None,
) -> Candidates:
    """facts: a row per key.  ages: the statistic age_days, 0 without.  sources: whether tops and new proposed each."""
    m = len(keys)
    proposed = np.array(sources if sources is not None else [[True, False]] * m, bool).reshape(m, 2)
    match = np.zeros((m, len(STATS)), np.float32)
    match[:, 0] = 0 if ages is None else ages
    return Candidates(
        sources=("tops", "new"),
        shard=np.zeros(m, np.int32),
        rows=np.arange(m, dtype=np.int32),
        keys=np.array(keys, np.int64),
        scores=np.linspace(1, 0, m, dtype=np.float32),
        source_scores=np.where(proposed, 1, np.nan).astype(np.float32),
        source_ranks=np.where(proposed, 1, np.nan).astype(np.float32),
        match=match,
        facts=None if facts is None else np.array(facts, np.int64).reshape(m, len(facts[0]) if facts else 6),
    )


def ranked(order: Sequence[int]) -> Ranked:
    return Ranked(np.array(order, np.int32), np.linspace(1, 0, len(order), dtype=np.float32))


def rules_of(**section: object) -> Rules:
    return Rules.of(SlateSection.model_validate(section), SPEC)


@st.composite
def drawn_candidates(draw: st.DrawFn, *, n_facts: int, n_max: int = 30) -> Candidates:
    """Any keys, groups 0 to 3 in each column of facts, ages 0 to 9, at least one source each."""
    keys = draw(st.lists(st.integers(-50, 50), unique=True, max_size=n_max))
    m = len(keys)
    return candidates_of(
        keys,
        draw(st.lists(st.lists(st.integers(0, 3), min_size=n_facts, max_size=n_facts), min_size=m, max_size=m)),
        ages=draw(st.lists(st.integers(0, 9), min_size=m, max_size=m)),
        sources=draw(st.lists(st.sampled_from([(True, False), (False, True), (True, True)]), min_size=m, max_size=m)),
    )
