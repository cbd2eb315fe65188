"""The two-tower network and one epoch of its training: the only file that imports torch.

User tower: the history's input vectors, pooled, beside user features, one hidden layer, and a way around it. Item tower: an
output vector for each item, whose last coordinate meets a constant 1 and is the item's bias. On both sides an item's vector is
the sum over its tokens: its own, and one for each of its attribute values, so that an item which nobody bought yet is what its
attributes are, and has no vector of its own to be wrong. Both sides begin alike and the way around as the identity, so that the
first score of an item is its likeness to the history: this start and the pooling brought a tenth more recall@100 on Complete
Journey than small random vectors and the mean.

Loss: softmax over all items, its denominator estimated from sampled negatives (Bengio and Senécal 2008). A batch shares its
negatives, drawn with replacement, partly by popularity and partly uniformly (mixed negative sampling, Yang et al., WWW 2020);
log(n q) is taken from their logits, and not from the positive's, which is not sampled but always there (Khrylchenko et al.,
RecSys 2025). What a user bought in the same window is no negative of the user's other purchases.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch.nn.functional import softplus

from cluster.config.train import TwoTowerSection
from train.vectors.tower_examples import Examples, Ragged

Floats = NDArray[np.float32]

_SEED_EXAMPLES = 0.15  # of the examples are shown as a stranger with a few of their items, each at weight 1, as a basket is
_SEEDS_MAX = 8
_HIDE_FEATURES = 0.1  # of the examples are shown without their features, so that the tower can do without
_INITIAL_SPREAD = 0.2
_BETAS = (0.9, 0.999)


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """Of what each item's vectors are the sum. values: (n, V) float32 CSR of 0 and 1, the items' attribute values.

    read, sold: (n,) bool, items with an input and with an output vector of their own.
    """

    values: sparse.csr_array
    read: NDArray[np.bool_]
    sold: NDArray[np.bool_]

    def of(self, own: NDArray[np.bool_]) -> sparse.csr_array:
        """The (n, n + V) matrix of all items' tokens: their own first, where they have one."""
        return sparse.csr_array(sparse.hstack([sparse.diags_array(own.astype(np.float32)), self.values], format="csr"))


@dataclass(frozen=True, slots=True, eq=False)
class Negatives:
    """How negatives are drawn. probability: (n,) float64, positive."""

    probability: NDArray[np.float64]
    cumulative: NDArray[np.float64]

    @classmethod
    def of(cls, counts: NDArray[np.int64], uniform_share: float) -> Negatives:
        """counts: (n,), how often each item is a label."""
        probability = uniform_share / len(counts) + (1 - uniform_share) * counts / max(int(counts.sum()), 1)
        return cls(probability, np.cumsum(probability))

    def draw(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """n items, with replacement, ascending."""
        at = np.searchsorted(self.cumulative, np.sort(rng.random(n)) * self.cumulative[-1], side="right")
        items: NDArray[np.int64] = np.minimum(at, len(self.cumulative) - 1)
        return items


class Table:
    """Vectors of tokens, of which a batch reads few: only those are moved, by Adam as torch.optim.SparseAdam does it.

    Summing gradients by a sparse product instead of sorting millions of rows makes a step several times faster.
    """

    def __init__(self, values: Floats, rate: float) -> None:
        self.values = values
        self._rate = rate
        self._moments = np.zeros_like(values), np.zeros_like(values)
        self._n_steps = 0
        self._read: list[tuple[NDArray[np.int64], torch.Tensor]] = []

    def product(self, rows: sparse.csr_array) -> torch.Tensor:
        """rows @ values, (b, dim), for (b, n_tokens) rows; what it read moves at the next step."""
        tokens, at = np.unique(rows.indices, return_inverse=True)
        vectors = torch.from_numpy(self.values[tokens]).requires_grad_(torch.is_grad_enabled())
        if vectors.requires_grad:
            self._read.append((tokens.astype(np.int64), vectors))
        narrow = sparse.csr_array((rows.data, at.astype(np.int32), rows.indptr), shape=(rows.shape[0], len(tokens)))
        product: torch.Tensor = _Product.apply(vectors, narrow)
        return product

    def step(self) -> None:
        self._n_steps += 1
        mean, square = self._moments
        rate = self._rate * (1 - _BETAS[1] ** self._n_steps) ** 0.5 / (1 - _BETAS[0] ** self._n_steps)
        for tokens, vectors in self._read:
            assert vectors.grad is not None, "a step follows a backward pass"
            gradient = vectors.grad.numpy()
            m = mean[tokens]
            m += np.float32(1 - _BETAS[0]) * (gradient - m)
            v = square[tokens]
            v += np.float32(1 - _BETAS[1]) * (gradient * gradient - v)
            mean[tokens], square[tokens] = m, v
            np.sqrt(v, out=v)
            v += np.float32(1e-8)
            m /= v
            m *= np.float32(rate)
            self.values[tokens] -= m
        self._read.clear()


class _Product(torch.autograd.Function):  # type: ignore[misc]
    """A constant sparse matrix times a dense one, with a dense gradient."""

    @staticmethod
    def forward(ctx: Any, dense: torch.Tensor, rows: sparse.csr_array) -> torch.Tensor:
        ctx.rows = rows
        return torch.from_numpy(rows @ dense.detach().numpy())

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:  # type: ignore[override]
        return torch.from_numpy(ctx.rows.T @ gradient.numpy()), None


class Network:
    """Parameters and optimisers. Everything random comes from numpy generators, so a seed decides on any machine alike but for
    the rounding of its BLAS.
    """

    def __init__(
        self, tokens: Tokens, counts: NDArray[np.int64], n_features: int, section: TwoTowerSection, rng: np.random.Generator
    ) -> None:
        """counts: (n,), how often each item is a label: its logarithm is what an item's bias begins with."""
        self.section = section
        self._n_items = len(counts)
        self._tokens_in, self._tokens_out = tokens.of(tokens.read), tokens.of(tokens.sold)
        popularity = np.log1p(counts).astype(np.float32)
        self._popularity = popularity - popularity.mean()
        n_tokens, rate = self._tokens_in.shape[1], section.learning_rate
        dim, hidden, n_in = section.dim, section.hidden, section.dim + n_features + 2

        def normal(*shape: int, spread: float) -> Floats:
            return rng.standard_normal(shape, np.float32) * np.float32(spread)

        def layer(n_in: int, n_out: int) -> torch.Tensor:
            return torch.from_numpy(normal(n_in, n_out, spread=n_in**-0.5)).requires_grad_()

        self.input_table = Table(normal(n_tokens, dim, spread=_INITIAL_SPREAD), rate)
        self.output_table = Table(self.input_table.values.copy(), rate)
        self.output_table.values[:, -1] = 0
        self._w1, self._w2 = layer(n_in, hidden), layer(n_in + hidden, dim - 1)
        with torch.no_grad():
            self._w2[: dim - 1] += torch.eye(dim - 1)
        self._b1, self._b2 = (torch.zeros(n, requires_grad=True) for n in (hidden, dim - 1))
        self._optimiser = torch.optim.Adam([self._w1, self._b1, self._w2, self._b2], lr=rate)

    def epoch(self, examples: Examples, features: Floats, negatives: Negatives, rng: np.random.Generator) -> float:
        """One pass over the examples in random order. features: theirs, standardised.  The mean loss of a user."""
        with _one_thread():
            return self._epoch(examples, features, negatives, rng)

    def _epoch(self, examples: Examples, features: Floats, negatives: Negatives, rng: np.random.Generator) -> float:
        order, size = rng.permutation(len(examples)), self.section.batch_examples
        total = 0.0
        for rows in np.split(order, range(size, len(order), size)):
            batch = examples.take(rows)
            drawn = negatives.draw(self.section.n_negatives, rng)
            loss = self._loss(batch, self.users(batch, features[rows], rng), drawn, negatives)
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimiser.step()
            self.input_table.step()
            self.output_table.step()
            total += float(loss.detach()) * len(rows)
        return total / len(order)

    def users(self, batch: Examples, features: Floats, rng: np.random.Generator | None = None) -> torch.Tensor:
        """(b, dim), as `router.users.user_tower` computes them. With a generator: some as strangers, some without features."""
        b = len(batch)
        weights, known = batch.weights, np.ones((b, 1), np.float32)
        if rng is not None:
            strangers = rng.random(b) < _SEED_EXAMPLES
            weights = np.where(np.repeat(strangers, np.diff(batch.histories.starts)), _few(batch.histories, rng), weights)
            known[strangers | (rng.random(b) < _HIDE_FEATURES)] = 0
        amounts = weights ** np.float32(self.section.weight_exponent)
        history = sparse.csr_array((amounts, batch.histories.items, batch.histories.starts), shape=(b, self._n_items))
        history.eliminate_zeros()
        total = np.asarray(history.sum(axis=1), np.float32).reshape(b, 1)
        history.data /= np.repeat(np.sqrt(total[:, 0]), np.diff(history.indptr))
        pooled = self.input_table.product(history @ self._tokens_in)
        inputs = torch.cat(
            (pooled, torch.from_numpy(np.concatenate((features * known, known, np.log1p(total)), axis=1))), dim=1
        )
        hidden = torch.relu(inputs @ self._w1 + self._b1)
        return torch.cat((torch.cat((inputs, hidden), dim=1) @ self._w2 + self._b2, torch.ones(b, 1)), dim=1)

    def _loss(self, batch: Examples, users: torch.Tensor, drawn: NDArray[np.int64], negatives: Negatives) -> torch.Tensor:
        """The mean over users of the mean over their labels of -log softmax."""
        labels, which = np.unique(batch.labels.items, return_inverse=True)
        rows = np.concatenate((labels, drawn))
        items, popularity = self.output_table.product(self._tokens_out[rows]), self._popularity[rows]
        counts, n_labels = np.diff(batch.labels.starts), len(labels)
        of = np.repeat(np.arange(len(batch)), counts)

        # What is added to the logits of the negatives, with minus infinity for a user's own labels, is a matrix: indexing into
        # the logits themselves would cost torch several times the product.
        log_expected = np.log(len(drawn) * negatives.probability[drawn]).astype(np.float32)
        added = np.tile(popularity[n_labels:] - log_expected, (len(batch), 1))
        added[_own_labels(batch.labels, drawn)] = -np.inf
        others = torch.logsumexp(torch.addmm(torch.from_numpy(added), users, items[n_labels:].T), dim=1)
        of_labels = torch.addmm(torch.from_numpy(popularity[:n_labels]), users, items[:n_labels].T)
        positive = of_labels.reshape(-1)[torch.from_numpy(of * n_labels + which)]
        surprise = softplus(others[torch.from_numpy(of)] - positive)
        share = torch.from_numpy(np.repeat(1 / (counts * len(batch)), counts).astype(np.float32))
        return (surprise * share).sum()

    def input_vectors(self) -> Floats:
        """(n, dim) float32: every item's, its tokens added up."""
        return np.ascontiguousarray(self._tokens_in @ self.input_table.values)

    def item_vectors(self) -> Floats:
        """(n, dim) float32, the bias last."""
        vectors: Floats = self._tokens_out @ self.output_table.values
        vectors[:, -1] += self._popularity
        return vectors

    def layers(self) -> tuple[Floats, Floats, Floats, Floats]:
        """w1, b1, w2, b2 as `router.users.user_tower` has them: a vector's last coordinate is the constant 1."""
        w1, b1, w2, b2 = (p.detach().numpy().copy() for p in (self._w1, self._b1, self._w2, self._b2))
        return w1, b1, np.pad(w2, ((0, 0), (0, 1))), np.append(b2, np.float32(1))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch in one thread: matrices are so small here that two wait for each other longer than they work, on a busy machine
    five times as long; and the rounding does not depend on how many cores there are.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def _few(histories: Ragged, rng: np.random.Generator) -> Floats:
    """Weight 1 for one to eight random items of each history, 0 for the others: aligned with the histories' items."""
    counts = np.diff(histories.starts)
    groups = np.repeat(np.arange(len(counts)), counts)
    order = np.lexsort((rng.random(len(groups)), groups))
    place = np.arange(len(order)) - histories.starts[groups]
    weights = np.empty(len(order), np.float32)
    weights[order] = place < rng.integers(1, _SEEDS_MAX + 1, len(counts))[groups]
    return weights


def _own_labels(labels: Ragged, drawn: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(row, column) of every drawn item, ascending, that is among the row's own labels."""
    first, last = np.searchsorted(drawn, labels.items, "left"), np.searchsorted(drawn, labels.items, "right")
    rows = np.repeat(np.arange(len(labels)), np.diff(labels.starts))
    counts = last - first
    at = np.arange(counts.sum()) + np.repeat(first - (np.cumsum(counts) - counts), counts)
    return np.repeat(rows, counts), at
