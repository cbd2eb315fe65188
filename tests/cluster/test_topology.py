"""A topology survives being published: JSON and msgpack, there and back, equal and immutable."""

from __future__ import annotations

import msgspec
import pytest

from cluster.spec import AttributeSpec, FeatureSchema, GenerationSpec, SourceSpec, SpaceSpec
from cluster.topology import Address, Replica, Topology

SPEC = GenerationSpec(
    id="20261124-1",
    created="2026-11-24T00:00:00+00:00",
    id_type="string",
    shard_items=(3, 4),
    attributes=(AttributeSpec("store", "categories"),),
    spaces=(SpaceSpec("als", 8, "ip", 0.99),),
    sources=(SourceSpec("ann", "ann", exact=False, promises_k=True, space="als"),),
    lists=("7d",),
    profile=("store",),
    features=FeatureSchema(("dot.als",), ("ann",), ("age",), ()),
)
TOPOLOGY = Topology(
    version=3,
    spec=SPEC,
    shards=((Replica("shard-0-a", Address("n1", "10.0.0.1", 4000, "/run/a.sock"), "ready"),), ()),
    rankers=(Replica("ranker-0", Address("n2", "10.0.0.2", 4001), "loading"),),
)


@pytest.mark.parametrize("form", [msgspec.json, msgspec.msgpack])
def test_a_topology_comes_back_equal(form) -> None:
    assert form.decode(form.encode(TOPOLOGY), type=Topology) == TOPOLOGY


def test_a_state_nobody_defined_is_refused() -> None:
    spoilt = msgspec.json.encode(TOPOLOGY).replace(b'"loading"', b'"sleeping"')
    with pytest.raises(msgspec.ValidationError, match="sleeping"):
        msgspec.json.decode(spoilt, type=Topology)


def test_addresses_are_values() -> None:
    assert len({Address("n", "h", 1), Address("n", "h", 1), Address("n", "h", 2)}) == 2


def test_a_spec_finds_its_parts_by_name_and_counts_items() -> None:
    assert (SPEC.n_shards, SPEC.n_items) == (2, 7)
    assert SPEC.attribute("store") is SPEC.attributes[0]
    assert SPEC.space("als") is SPEC.spaces[0]
    assert SPEC.source("ann") is SPEC.sources[0]
    assert SPEC.attribute("colour") is SPEC.space("colour") is SPEC.source("colour") is None


def test_the_feature_schema_hash_depends_on_names_and_order() -> None:
    schema = FeatureSchema(("a", "b"), ("s",), ("u",), ("c",))
    assert schema.columns() == ("a", "b", "s.score", "s.rank", "u", "c")
    hashes = {
        schema.hash,
        FeatureSchema(("b", "a"), ("s",), ("u",), ("c",)).hash,
        FeatureSchema(("a", "b"), ("t",), ("u",), ("c",)).hash,
    }
    assert len(hashes) == 3
    assert len(schema.hash) == 16
