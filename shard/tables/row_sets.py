"""Small sets of rows and keys: a union with the place of each member, and the places of some keys among others.

For a hundred rows numpy's price is the number of calls: natively each of these is one, and costs a fifth.

    united(parts)           The distinct rows of some (n,) int32 arrays, ascending; and for each row of the parts, joined, its
                            place among them, int32.
    located(keys, wanted)   Which of some wanted keys are among `keys`, int64, which ascend: their places there, and which of
                            the wanted they are, both int64 and in the order of `wanted`.
"""

try:
    from shard._kernel import located, united
except ImportError:  # no compiler where the package was installed; see shard/spaces/scanner.py
    from shard.tables.numpy_row_sets import located, united

__all__ = ["located", "united"]
