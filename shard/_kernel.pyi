"""The native part of a shard (`shard/native/`), compiled when the package is installed."""

from collections.abc import Sequence

from numpy import bool_, int64, uint64
from numpy.typing import NDArray

from cluster.types import Floats, Keys, Rows

def supported() -> list[str]:
    """The instruction sets of this machine that scans can use, the fastest first."""

class Scanner:
    """Exact scores and exact bests of the rows of one matrix, to which it keeps a reference.

    A score is the float32 nearest to a sum in double precision: the inner product, or under l2 the negative squared distance.
    It does not depend on which rows are scored together, hence not on how a catalogue is split over shards.

    Bests are (rows int32, scores float32), score descending, then row ascending: min(k, allowed) of them.
    query: (dim,) float32; every method raises InvalidQuery if it has another size, is not finite or so long that scores would
    overflow; under cosine it need not have unit length.
    excluded: rows never to return, ascending, unique, each of them allowed otherwise.
    """

    def __init__(self, vectors: Floats, metric: str, instructions: str = "") -> None:
        """vectors: (n, dim) float32, finite; under cosine of unit length, or zero.  instructions: "" for the fastest."""
    def best_of_all(self, query: Floats, excluded: Rows, k: int) -> tuple[Rows, Floats]:
        """The best of all rows."""
    def best_passing(self, query: Floats, passes: NDArray[bool_], excluded: Rows, k: int) -> tuple[Rows, Floats]:
        """The best of the rows that pass, (n,) bool: reads every row, in order."""
    def best_listed(self, query: Floats, rows: Rows, excluded: Rows, k: int) -> tuple[Rows, Floats]:
        """The best of some rows, ascending: reads only these."""
    def rank(
        self, query: Floats, labels: NDArray[uint64], passes: NDArray[bool_], excluded: Rows, k: int, spare: int
    ) -> tuple[Rows, Floats]:
        """The k best of the first k + spare labels that pass and are not excluded; labels are distinct rows."""
    def scores(self, query: Floats, rows: Rows) -> Floats:
        """Aligned with any rows."""
    def prepared(self, query: Floats) -> Floats:
        """The query whose scores these are: the same, or under cosine at unit length unless it is zero."""
    @property
    def instructions(self) -> str:
        """The instruction set it computes with."""

class ListWalker:
    """The best rows of several ranked lists at once, from their heads. A row scores the largest of weight * score, float32,
    over the lists that hold it.

    An item among the k best stands among the first k eligible of the list it gets its score from, so where most items are
    eligible the heads are enough.
    """

    def __init__(self, indptr: NDArray[int64], rows: Rows, scores: Floats, n_rows: int) -> None:
        """List i is rows[indptr[i]:indptr[i + 1]], rows below n_rows, with scores that descend; ValueError otherwise."""
    def best(
        self,
        lists: Sequence[int],
        weights: Sequence[float],
        passes: NDArray[bool_],
        excluded: Rows,
        k: int,
        entries_max: int,
    ) -> tuple[Rows, Floats] | None:
        """The k best rows that pass and are not excluded: score descending, then row ascending. Fewer if the lists end.

        lists: distinct positions.  weights: aligned, finite as float32, not negative.  passes: (n,) bool.  excluded: int32,
        ascending.  None if more than `entries_max` entries had to be looked at.
        """

def united(parts: Sequence[Rows]) -> tuple[Rows, Rows]:
    """The distinct rows of some (n,) int32 arrays, ascending; and for each row of the parts, joined, its place among them,
    int32.

    For a hundred rows numpy's price is the number of its calls: this is a single call and costs a fifth, and so does `located`.
    """

def located(keys: Keys, wanted: Keys) -> tuple[NDArray[int64], NDArray[int64]]:
    """Which of some wanted keys are among `keys`, int64, which ascend: their places there, and which of the wanted they are,
    both int64 and in the order of `wanted`.
    """
