"""How what a generation contains is computed from the log: the configuration's [train].

What a key means for quality is in the module that it tunes, in `train/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from cluster.config.section import Fraction, Positive, Section, key

Loss = Literal["Logloss", "YetiRank", "QuerySoftMax", "LambdaMart"]
"""Losses of CatBoost that it fits on a CPU; QueryCrossEntropy is not one. What each asks of a model: `train/rank/heavy.py`."""

PerItem = Annotated[int, Field(ge=1, le=10_000, description="entries kept for each item")]


class AlsSection(Section):
    """iALS (Hu et al. 2008; regularisation and unobserved weight as in Rendle et al. 2022)."""

    dim: int = key(64, ge=2, le=2048)
    n_sweeps: Positive = 10
    warm_sweeps: int = key(0, "sweeps where the last build's vectors are there to start from; 0 = from scratch", ge=0, le=1000)
    init_length: float = key(0.1, "of the random item vectors a fit from scratch begins with", gt=0)
    regularization: float = key(0.02, gt=0)
    unobserved_weight: float = key(0.05, gt=0)
    frequency_exponent: float = key(0.75, ge=0, le=1)
    confidence: Literal["linear", "log"] = key("linear", "alpha * r, or alpha * ln(1 + r / epsilon)")
    alpha: float = key(1.0, gt=0)
    epsilon: float = key(1.0, gt=0)
    popularity_exponent: float = key(0.0, "a confidence is divided by this power of the item's number of users", ge=0, le=1)
    observed: Literal["adds", "replaces"] = key("adds", "what an observed pair's confidence does to its pull towards 0")
    solver: Literal["exact", "cg"] = key("exact", "cg: conjugate gradients, cg_steps a row and half-sweep, about twice as fast")
    cg_steps: int = key(3, ge=1, le=100)


class RankTrainSection(Section):
    """Training data and fit of the two ranking models."""

    label_days: int = key(14, "the window after the split whose purchases are the labels", ge=1)
    moments: int = key(2, "moments to learn from, label_days apart; fewer where the log is too short", ge=1, le=50)
    n_users: int = key(1_500, "at most this many users of each moment, sampled", ge=10)
    sampled_negatives: float = key(0.0, "random items to learn from beside the candidates, for each item bought", ge=0, le=100)
    stranger_share: Fraction = key(0.25, "of n_users, who are learnt from a second time as strangers with a basket")
    losses: tuple[Loss, ...] = key(
        ("Logloss", "YetiRank", "QuerySoftMax", "LambdaMart"),
        "of heavy models to fit; the first is chosen unless users of a later moment tell another one from it",
        min_length=1,
    )
    n_trees: int = key(300, ge=1, le=10_000)
    depth: int = key(6, ge=1, le=12)
    learning_rate: float = key(0.05, gt=0, le=1)
    logged: str = key("", "a folder of replay logs to learn from beside the moments, of n_users requests at most")
    onnx_file: str = key("", 'a heavy model of your own for ranker.heavy.model = "onnx", stamped by ranker/onnx_model.py')


class EaseSection(Section):
    """Direct scores: item-item weights in closed form (Steck 2019), the item table `ease`."""

    regularization: float = key(200.0, gt=0)
    dropout: float = key(0.4, ge=0, lt=1)
    user_exponent: float = key(0.25, "users with long histories weigh less", ge=0, le=2)
    top: PerItem = 200
    n_items_max: int = key(20_000, "the most bought items take part; 4 n^2 bytes, n^3 time", ge=1, le=100_000)


class NpmiSection(Section):
    """What is bought together more often than by chance, the item table `npmi`."""

    support_min: int = key(3, "common baskets a pair needs", ge=1)
    top: PerItem = 100
    basket_items_max: int = key(1_000, "larger baskets are left out and counted", ge=2, le=100_000)


class TogetherSection(Section):
    """What baskets with an item hold besides, the item table `together`."""

    top: PerItem = 200
    basket_items_max: int = key(1_000, "larger baskets are left out", ge=2, le=100_000)


class ContentSection(Section):
    """What resembles an item by what it is, the item table `content`: from vectors, without them from attributes."""

    weights: Mapping[str, Annotated[float, Field(gt=0, le=1_000)]] = key(
        {}, "attribute -> weight; {} = every category attribute at 1"
    )
    frequent_share: Fraction = key(0.05, "a value that more of the items have says nothing and is left out")
    top: PerItem = 50
    n_lists_max: int = key(200_000, "items that keep a list, those with most consumers", ge=1)
    appeal_exponent: float = key(0.5, "how much what people buy counts beside likeness", ge=0, le=4)
    appeal_prior: float = key(10.0, "purchases' worth of belief in an item's categories", ge=0)


class NearSection(Section):
    """Nearest items to an item in a space, the item tables `als` and `two_tower`."""

    top: PerItem = 50
    consumers_min: int = key(5, "users an item needs to take part", ge=1)


class TwoTowerSection(Section):
    """The two-tower model (YoutubeDNN, Covington et al. 2016; sampled softmax), fitted if sources.two_tower is enabled."""

    dim: int = key(64, ge=2, le=2048)
    hidden: int = key(128, "units of the user tower's hidden layer", ge=1, le=4096)
    n_history_max: int = key(200, "newest items of a history that the tower reads", ge=1, le=10_000)
    weight_exponent: Fraction = key(0.5, "an item of the history counts by this power of its weight")
    label_days: int = key(14, "it learns to tell what is bought in so many days after a moment", ge=1)
    n_moments: int = key(16, "moments to learn from, label_days apart, back from the newest", ge=1, le=1_000)
    examples_max: int = key(200_000, "(user, moment) pairs to learn from, sampled; bounds the memory", ge=100)
    n_epochs_max: int = key(8, ge=1, le=1_000)
    patience: int = key(2, "epochs without a better recall@100 before it stops", ge=1, le=1_000)
    batch_examples: int = key(256, ge=1, le=65_536)
    n_negatives: int = key(4_096, "sampled for each batch", ge=1, le=1_000_000)
    uniform_share: float = key(0.5, "of the negatives drawn from all items alike, the others by popularity", gt=0, le=1)
    learning_rate: float = key(0.003, gt=0, le=1)


class QuorumSection(Section):
    """The terms of the quorums' formula."""

    gamma: float = key(8.0, "bound of the IDF of a category", gt=0, le=100)
    consumers_prior: float = key(0.0, "typical consumers added to an item's own; 0 = the plain mean", ge=0, le=1e6)
    categories_max: int = key(64, "categories kept for each item", ge=1, le=10_000)


class PositivesSection(Section):
    """Diverse seeds out of the history."""

    n_items: int = key(20, ge=1, le=1_000)
    diversity: Fraction = key(0.3, "0 = the strongest of the history, 1 = those most unlike each other")


class TrainSection(Section):
    seed: int = 0
    profile: tuple[str, ...] = key((), "category attributes users get affinities for")
    half_life_days: float = key(60.0, "decay of old events in profiles and history", gt=0)
    als: AlsSection = AlsSection()
    ease: EaseSection = EaseSection()
    npmi: NpmiSection = NpmiSection()
    together: TogetherSection = TogetherSection()
    content: ContentSection = ContentSection()
    near: NearSection = NearSection()
    two_tower: TwoTowerSection = TwoTowerSection()
    quorum: QuorumSection = QuorumSection()
    positives: PositivesSection = PositivesSection()
    ranker: RankTrainSection = RankTrainSection()
