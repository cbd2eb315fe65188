"""The section [train]: how a build computes the contents of a generation from the log.

The module in `train/` that a key tunes says what the key means for quality.
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
    warm_sweeps: int = key(0, "sweeps of a fit from the last build's vectors; 0 = start from scratch", ge=0, le=1000)
    moment_sweeps: int = key(3, "sweeps of a fit from the vectors of an earlier moment; 0 = start from scratch", ge=0, le=1000)
    init_length: float = key(0.1, "length of the random item vectors at the start of a fit", gt=0)
    regularization: float = key(0.02, gt=0)
    unobserved_weight: float = key(0.05, gt=0)
    frequency_exponent: float = key(0.75, ge=0, le=1)
    confidence: Literal["linear", "log"] = key("linear", "alpha * r, or alpha * ln(1 + r / epsilon)")
    alpha: float = key(1.0, gt=0)
    epsilon: float = key(1.0, gt=0)
    popularity_exponent: float = key(0.0, "a confidence is divided by this power of the item's number of users", ge=0, le=1)
    observed: Literal["adds", "replaces"] = key("adds", "whether a pair's confidence adds to its pull towards 0 or replaces it")
    solver: Literal["exact", "cg"] = key("exact", "cg: conjugate gradients, cg_steps per row, about twice as fast")
    cg_steps: int = key(3, ge=1, le=100)


class RankTrainSection(Section):
    """Training data and fitting of the light and the heavy model."""

    label_days: int = key(14, "the window after a moment whose purchases are the labels", ge=1)
    moments: int = key(2, "moments to learn from, label_days apart; fewer if the log is too short", ge=1, le=50)
    n_users: int = key(1_500, "users sampled at each moment, at most", ge=10)
    sampled_negatives: float = key(0.0, "random items added to the candidates for each item bought", ge=0, le=100)
    stranger_share: Fraction = key(0.25, "share of n_users used a second time, as unknown users with a basket")
    losses: tuple[Loss, ...] = key(
        ("Logloss", "YetiRank", "QuerySoftMax", "LambdaMart"),
        "losses of the heavy models to fit; the first is chosen unless later users show that another is better",
        min_length=1,
    )
    n_trees: int = key(300, ge=1, le=10_000)
    depth: int = key(6, ge=1, le=12)
    learning_rate: float = key(0.05, gt=0, le=1)
    logged: str = key("", "folder of replay logs to learn from besides the moments, n_users requests at most")
    onnx_file: str = key("", 'your own heavy model for ranker.heavy.model = "onnx", stamped by ranker/onnx_model.py')


class EaseSection(Section):
    """The item table `ease`: item-item weights in closed form (Steck 2019)."""

    regularization: float = key(200.0, gt=0)
    dropout: float = key(0.4, ge=0, lt=1)
    user_exponent: float = key(0.25, "users with long histories weigh less", ge=0, le=2)
    top: PerItem = 200
    n_items_max: int = key(20_000, "only the n items bought most take part; 4 n^2 bytes, n^3 time", ge=1, le=100_000)


class NpmiSection(Section):
    """The item table `npmi`: items bought together more often than by chance."""

    support_min: int = key(3, "baskets that a pair must share", ge=1)
    top: PerItem = 100
    basket_items_max: int = key(1_000, "larger baskets are left out and counted", ge=2, le=100_000)


class TogetherSection(Section):
    """The item table `together`: what else is in baskets with an item."""

    top: PerItem = 200
    basket_items_max: int = key(1_000, "larger baskets are left out", ge=2, le=100_000)


class ContentSection(Section):
    """The item table `content`: items that resemble an item by content vectors or, without them, by attributes."""

    weights: Mapping[str, Annotated[float, Field(gt=0, le=1_000)]] = key(
        {}, "attribute -> weight; {} = every category attribute at 1"
    )
    frequent_share: Fraction = key(0.05, "a value that a larger share of the items has is ignored")
    top: PerItem = 50
    n_lists_max: int = key(200_000, "items with a list: those with most consumers", ge=1)
    appeal_exponent: float = key(0.5, "how much purchases count besides likeness", ge=0, le=4)
    appeal_prior: float = key(10.0, "prior purchases, at the rate of an item's categories", ge=0)


class NearSection(Section):
    """The item tables `als` and `two_tower`: nearest items to an item in a space."""

    top: PerItem = 50
    n_items_max: int = key(100_000, "the most bought items take part; time n_items_max^2", ge=1)
    consumers_min: int = key(5, "users that an item needs to take part", ge=1)


class TwoTowerSection(Section):
    """The two-tower model (YoutubeDNN, Covington et al. 2016; sampled softmax), fitted if sources.two_tower is enabled."""

    dim: int = key(64, ge=2, le=2048)
    hidden: int = key(128, "units of the user tower's hidden layer", ge=1, le=4096)
    n_history_max: int = key(200, "newest items of the history that the tower reads", ge=1, le=10_000)
    weight_exponent: Fraction = key(0.5, "an item of the history counts with this power of its weight")
    label_days: int = key(14, "the model learns to predict purchases in this many days after a moment", ge=1)
    n_moments: int = key(16, "moments to learn from, label_days apart, back from the newest one", ge=1, le=1_000)
    examples_max: int = key(200_000, "(user, moment) pairs to learn from, sampled; bounds the memory", ge=100)
    n_epochs_max: int = key(8, ge=1, le=1_000)
    patience: int = key(2, "epochs without a better recall@100 before the fit stops", ge=1, le=1_000)
    batch_examples: int = key(256, ge=1, le=65_536)
    n_negatives: int = key(4_096, "sampled for each batch", ge=1, le=1_000_000)
    uniform_share: float = key(0.5, "share of negatives drawn uniformly; the rest are drawn by popularity", gt=0, le=1)
    learning_rate: float = key(0.003, gt=0, le=1)


class QuorumSection(Section):
    """The terms of the quorum's formula."""

    gamma: float = key(8.0, "upper bound of a category's IDF", gt=0, le=100)
    consumers_prior: float = key(0.0, "typical consumers added to the item's own; 0 = the plain mean", ge=0, le=1e6)
    categories_max: int = key(64, "categories kept for each item", ge=1, le=10_000)


class PositivesSection(Section):
    """The seed set `positives`: diverse items of the history."""

    n_items: int = key(20, ge=1, le=1_000)
    diversity: Fraction = key(0.3, "0 = the strongest items of the history, 1 = those most unlike each other")


class TrainSection(Section):
    seed: int = 0
    profile: tuple[str, ...] = key((), "category attributes for which users get affinities")
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
