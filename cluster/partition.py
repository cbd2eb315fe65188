"""Which shard owns an item: a pure function of the item's key.

Integers are their own key; strings are keyed by xxh3-64, read as a signed 64-bit integer. The shard is taken from a
second mix of the key, so that ids with a pattern (every tenth, one range per category) still spread evenly: the merge
certificate's row estimate holds only for a placement that looks random.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

from cluster.errors import InvalidQuery

ItemId = str | int

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


def item_key(item_id: ItemId) -> int:
    """The signed 64-bit key of an external id.

    >>> item_key(42), item_key("42") == item_key("42"), item_key("42") == 42
    (42, True, False)
    """
    if isinstance(item_id, str):
        try:
            digest = xxhash.xxh3_64_intdigest(item_id.encode())
        except UnicodeEncodeError:
            raise InvalidQuery("item id is not valid unicode") from None
        return digest - 2**64 if digest > _INT64_MAX else digest
    if not _INT64_MIN <= item_id <= _INT64_MAX:
        raise InvalidQuery(f"an item id of {item_id.bit_length()} bits does not fit into 64 bits")
    return int(item_id)


def item_keys(item_ids: Sequence[ItemId]) -> NDArray[np.int64]:
    """The keys of many ids, (n,) int64, in their order."""
    return np.fromiter((item_key(i) for i in item_ids), np.int64, len(item_ids))


def shard_of(keys: NDArray[np.int64], n_shards: int) -> NDArray[np.int32]:
    """The owning shard of each key, (n,) int32 in [0, n_shards): a splitmix64 finaliser, then a modulo."""
    with np.errstate(over="ignore"):
        mixed = keys.astype(np.uint64)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed = mixed ^ (mixed >> np.uint64(31))
    return (mixed % np.uint64(n_shards)).astype(np.int32)
