"""How many rows each shard must send so that the merged top-k is almost surely complete after one round.

Items are placed by a hash, so each of a query's k best lies in a given one of n shards with probability 1/n, and the
number that lie there is Binomial(k, 1/n). The merge checks afterwards whether it was enough, so a wrong guess costs a
second call and never a wrong answer.
"""

from __future__ import annotations

from functools import lru_cache
from math import lgamma, log, log1p

import numpy as np


@lru_cache(maxsize=4096)
def rows_per_shard(k: int, n_shards: int, p: float) -> int:
    """The smallest q for which all shards suffice at once with probability p or more; at most k.

        n_shards * P(Binomial(k, 1/n_shards) > q) <= 1 - p

    The union bound over shards, with the exact tail (summed from its small end), not a normal or Student-t estimate of it.

    >>> rows_per_shard(300, 4, 0.9999), rows_per_shard(300, 16, 0.9999), rows_per_shard(300, 1, 0.9999)
    (107, 39, 300)
    """
    assert k >= 0 and n_shards >= 1 and 0 <= p < 1, f"k={k}, n_shards={n_shards}, p={p}"
    if n_shards == 1 or k <= 1:
        return k
    hits = np.arange(k + 1)
    log_factorial = np.array([lgamma(i + 1) for i in range(k + 1)])
    log_choose = log_factorial[k] - log_factorial - log_factorial[::-1]
    pmf = np.exp(log_choose - hits * log(n_shards) + (k - hits) * log1p(-1 / n_shards))
    at_least = np.cumsum(pmf[::-1])[::-1]  # P(X >= i)
    exceeds = np.append(at_least[1:], 0.0)  # P(X > i)
    return int(np.argmax(n_shards * exceeds <= 1 - p))
