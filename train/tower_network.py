"""The two-tower network and one epoch of its training: the only file that imports torch.

User tower: the weighted mean of the history's input vectors beside user features, one hidden layer, and a way around it. Item
tower: an output vector for each item, whose last coordinate meets a constant 1 and is the item's bias. On both sides an item's
vector is the sum over its tokens: its own, and one for each of its attribute values, so that an item which nobody bought yet is
what its attributes are, and has no vector of its own to be wrong.

Loss: softmax over all items, its denominator estimated from sampled negatives (Bengio and Senécal 2008). A batch shares its
negatives, drawn with replacement, partly by popularity and partly uniformly (mixed negative sampling, Yang et al., WWW 2020);
log(n q) is taken from their logits, and not from the positive's, which is not sampled but always there (Khrylchenko et al.,
RecSys 2025). What a user bought in the same window is no negative of the user's other purchases.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch.nn.functional import embedding_bag, softplus

from cluster.train_sections import TwoTowerSection
from train.tower_examples import Examples, Ragged

Floats = NDArray[np.float32]

_SEED_EXAMPLES = 0.15  # of the examples are shown as a stranger with a few of their items, each at weight 1, as a basket is
_SEEDS_MAX = 8
_HIDE_FEATURES = 0.1  # of the examples are shown without their features, so that the tower can do without
_INITIAL_SPREAD = 0.05


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
        return np.minimum(at, len(self.cumulative) - 1).astype(np.int64)


class Network:
    """Parameters and optimisers. Everything random comes from numpy generators, so a seed decides on any machine alike but for
    the rounding of its BLAS.
    """

    def __init__(
        self, tokens: Tokens, counts: NDArray[np.int64], n_features: int, section: TwoTowerSection, rng: np.random.Generator
    ) -> None:
        """counts: (n,), how often each item is a label: its logarithm is what an item's bias begins with."""
        self.section = section
        self.tokens = tokens
        self._token_rows_in = tokens.of(tokens.read)
        self._token_rows_out = tokens.of(tokens.sold)
        n_tokens = self._token_rows_in.shape[1]
        dim, hidden, n_in = section.dim, section.hidden, section.dim + n_features + 2

        def normal(*shape: int, spread: float) -> torch.Tensor:
            return torch.from_numpy(rng.standard_normal(shape, np.float32) * np.float32(spread)).requires_grad_()

        self.table_in = normal(n_tokens, dim, spread=_INITIAL_SPREAD)
        self.table_out = normal(n_tokens, dim - 1, spread=_INITIAL_SPREAD)
        popularity = np.log1p(counts).astype(np.float32)
        self._popularity = popularity - popularity.mean()
        self.biases = normal(n_tokens, 1, spread=0)
        self.w1, self.b1 = normal(n_in, hidden, spread=n_in**-0.5), normal(hidden, spread=0)
        self.w2, self.b2 = normal(n_in + hidden, dim - 1, spread=(n_in + hidden) ** -0.5), normal(dim - 1, spread=0)
        rate = section.learning_rate
        self._optimisers = (
            torch.optim.SparseAdam([self.table_in, self.table_out, self.biases], lr=rate),
            torch.optim.Adam([self.w1, self.b1, self.w2, self.b2], lr=rate),
        )

    def epoch(self, examples: Examples, features: Floats, negatives: Negatives, rng: np.random.Generator) -> float:
        """One pass over the examples in random order. features: theirs, standardised.  The mean loss of a user."""
        order = rng.permutation(len(examples))
        total = 0.0
        for rows in np.split(order, range(self.section.batch_examples, len(order), self.section.batch_examples)):
            batch = examples.take(rows)
            loss = self._loss(
                batch, self.inputs(batch, features[rows], rng), negatives.draw(self.section.n_negatives, rng), negatives
            )
            for optimiser in self._optimisers:
                optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            for optimiser in self._optimisers:
                optimiser.step()
            total += float(loss.detach()) * len(rows)
        return total / len(order)

    def inputs(self, batch: Examples, features: Floats, rng: np.random.Generator | None = None) -> torch.Tensor:
        """(b, dim + F + 2), as `router.user_tower.TowerWeights.vectors` reads them. With a generator: some as strangers."""
        b, n_items = len(batch), self.tokens.values.shape[0]
        weights, known = batch.weights, np.ones((b, 1), np.float32)
        if rng is not None:
            strangers = rng.random(b) < _SEED_EXAMPLES
            weights = np.where(np.repeat(strangers, np.diff(batch.histories.starts)), _few(batch.histories, rng), weights)
            known[strangers | (rng.random(b) < _HIDE_FEATURES)] = 0
        amounts = weights ** np.float32(self.section.weight_exponent)
        history = sparse.csr_array((amounts, batch.histories.items, batch.histories.starts), shape=(b, n_items))
        history.eliminate_zeros()
        total = np.asarray(history.sum(axis=1), np.float32).reshape(b, 1)
        pooled = _bag(self.table_in, history.multiply(1 / total).tocsr() @ self._token_rows_in)
        return torch.cat((pooled, torch.from_numpy(np.concatenate((features * known, known, np.log1p(total)), axis=1))), dim=1)

    def vectors(self, inputs: torch.Tensor) -> torch.Tensor:
        """(b, dim - 1): user vectors without the constant that meets an item's bias."""
        hidden = torch.relu(inputs @ self.w1 + self.b1)
        return torch.cat((inputs, hidden), dim=1) @ self.w2 + self.b2

    def _loss(self, batch: Examples, inputs: torch.Tensor, drawn: NDArray[np.int64], negatives: Negatives) -> torch.Tensor:
        """The mean over users of the mean over their labels of -log softmax."""
        users = self.vectors(inputs)
        labels, which = np.unique(batch.labels.items, return_inverse=True)
        rows = np.concatenate((labels, drawn))
        tokens = self._token_rows_out[rows]
        items = _bag(self.table_out, tokens)
        biases = _bag(self.biases, tokens)[:, 0] + torch.from_numpy(self._popularity[rows])

        log_expected = np.log(len(drawn) * negatives.probability[drawn]).astype(np.float32)
        negative = torch.addmm(biases[len(labels) :] - torch.from_numpy(log_expected), users, items[len(labels) :].T)
        at, columns = _own_labels(batch.labels, drawn)
        negative = negative.index_put((torch.from_numpy(at), torch.from_numpy(columns)), torch.tensor(-torch.inf))

        counts = np.diff(batch.labels.starts)
        of = torch.from_numpy(np.repeat(np.arange(len(batch)), counts))
        column = torch.from_numpy(which)
        positive = (users[of] * items[column]).sum(dim=1) + biases[column]
        surprise = softplus(torch.logsumexp(negative, dim=1)[of] - positive)
        share = torch.from_numpy(np.repeat(1 / (counts * len(batch)), counts).astype(np.float32))
        return (surprise * share).sum()

    def input_vectors(self) -> Floats:
        """(n, dim) float32: every item's, its tokens added up."""
        return np.ascontiguousarray(self._token_rows_in @ self.table_in.detach().numpy())

    def item_vectors(self) -> Floats:
        """(n, dim) float32, the bias last."""
        rows = self._token_rows_out
        biases = rows @ self.biases.detach().numpy() + self._popularity[:, None]
        return np.concatenate((rows @ self.table_out.detach().numpy(), biases), axis=1)

    def layers(self) -> tuple[Floats, Floats, Floats, Floats]:
        """w1, b1, w2, b2 as `router.user_tower` has them: the vector's last coordinate is the constant 1."""
        w1, b1, w2, b2 = (p.detach().numpy().copy() for p in (self.w1, self.b1, self.w2, self.b2))
        return w1, b1, np.pad(w2, ((0, 0), (0, 1))), np.append(b2, np.float32(1))


def _bag(table: torch.Tensor, rows: sparse.csr_array) -> torch.Tensor:
    """The product of a sparse matrix and a table, (b, dim), whose gradient in the table is sparse."""
    return embedding_bag(
        torch.from_numpy(rows.indices.astype(np.int64)),
        table,
        torch.from_numpy(rows.indptr.astype(np.int64)),
        mode="sum",
        sparse=True,
        per_sample_weights=torch.from_numpy(rows.data),
        include_last_offset=True,
    )


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
