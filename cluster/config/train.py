"""How what a generation contains is computed from the log: the configuration's [train].

What a key means for quality is in the module that it tunes, in `train/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from cluster.config.section import Fraction, Positive, Section

Loss = Literal["Logloss", "YetiRank", "QuerySoftMax", "LambdaMart"]
"""Losses of CatBoost that it fits on a CPU; QueryCrossEntropy is not one. What each asks of a model: `train/rank/heavy.py`."""

PerItem = Annotated[int, Field(ge=1, le=10_000, description="entries kept for each item")]


class AlsSection(Section):
    """iALS (Hu et al. 2008; regularisation and unobserved weight as in Rendle et al. 2022)."""

    dim: Annotated[int, Field(ge=2, le=2048)] = 64
    n_sweeps: Positive = 10
    warm_sweeps: Annotated[
        int, Field(ge=0, le=1000, description="sweeps where the last build's vectors are there to start from; 0 = from scratch")
    ] = 0
    init_length: Annotated[float, Field(gt=0, description="of the random item vectors a fit from scratch begins with")] = 0.1
    regularization: Annotated[float, Field(gt=0)] = 0.02
    unobserved_weight: Annotated[float, Field(gt=0)] = 0.05
    frequency_exponent: Annotated[float, Field(ge=0, le=1)] = 0.75
    confidence: Annotated[Literal["linear", "log"], Field(description="alpha * r, or alpha * ln(1 + r / epsilon)")] = "linear"
    alpha: Annotated[float, Field(gt=0)] = 1.0
    epsilon: Annotated[float, Field(gt=0)] = 1.0
    popularity_exponent: Annotated[
        float, Field(ge=0, le=1, description="a confidence is divided by this power of the item's number of users")
    ] = 0.0
    observed: Annotated[
        Literal["adds", "replaces"], Field(description="what an observed pair's confidence does to its pull towards 0")
    ] = "adds"
    solver: Annotated[
        Literal["exact", "cg"], Field(description="cg: conjugate gradients, cg_steps a row and half-sweep, about twice as fast")
    ] = "exact"
    cg_steps: Annotated[int, Field(ge=1, le=100)] = 3


class RankTrainSection(Section):
    """Training data and fit of the two ranking models."""

    label_days: Annotated[int, Field(ge=1, description="the window after the split whose purchases are the labels")] = 14
    moments: Annotated[
        int, Field(ge=1, le=50, description="moments to learn from, label_days apart; fewer where the log is too short")
    ] = 2
    n_users: Annotated[int, Field(ge=10, description="at most this many users of each moment, sampled")] = 1_500
    sampled_negatives: Annotated[
        float, Field(ge=0, le=100, description="random items to learn from beside the candidates, for each item bought")
    ] = 0.0
    stranger_share: Annotated[
        Fraction, Field(description="of n_users, who are learnt from a second time as strangers with a basket")
    ] = 0.25
    losses: Annotated[
        tuple[Loss, ...],
        Field(
            min_length=1,
            description="of heavy models to fit; the first is chosen unless users of a later moment tell another one from it",
        ),
    ] = ("Logloss", "YetiRank", "QuerySoftMax", "LambdaMart")
    n_trees: Annotated[int, Field(ge=1, le=10_000)] = 300
    depth: Annotated[int, Field(ge=1, le=12)] = 6
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.05
    logged: Annotated[
        str, Field(description="a folder of replay logs to learn from beside the moments, of n_users requests at most")
    ] = ""
    onnx_file: Annotated[
        str, Field(description='a heavy model of your own for ranker.heavy.model = "onnx", stamped by ranker/onnx_model.py')
    ] = ""


class EaseSection(Section):
    """Direct scores: item-item weights in closed form (Steck 2019), the item table `ease`."""

    regularization: Annotated[float, Field(gt=0)] = 200.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.4
    user_exponent: Annotated[float, Field(ge=0, le=2, description="users with long histories weigh less")] = 0.25
    top: PerItem = 200
    n_items_max: Annotated[
        int, Field(ge=1, le=100_000, description="the most bought items take part; 4 n^2 bytes, n^3 time")
    ] = 20_000


class NpmiSection(Section):
    """What is bought together more often than by chance, the item table `npmi`."""

    support_min: Annotated[int, Field(ge=1, description="common baskets a pair needs")] = 3
    top: PerItem = 100
    basket_items_max: Annotated[int, Field(ge=2, le=100_000, description="larger baskets are left out and counted")] = 1_000


class TogetherSection(Section):
    """What baskets with an item hold besides, the item table `together`."""

    top: PerItem = 200
    basket_items_max: Annotated[int, Field(ge=2, le=100_000, description="larger baskets are left out")] = 1_000


class ContentSection(Section):
    """What resembles an item by what it is, the item table `content`: from vectors, without them from attributes."""

    weights: Annotated[
        Mapping[str, Annotated[float, Field(gt=0, le=1_000)]],
        Field(description="attribute -> weight; {} = every category attribute at 1"),
    ] = {}
    frequent_share: Annotated[
        Fraction, Field(description="a value that more of the items have says nothing and is left out")
    ] = 0.05
    top: PerItem = 50
    n_lists_max: Annotated[int, Field(ge=1, description="items that keep a list, those with most consumers")] = 200_000
    appeal_exponent: Annotated[float, Field(ge=0, le=4, description="how much what people buy counts beside likeness")] = 0.5
    appeal_prior: Annotated[float, Field(ge=0, description="purchases' worth of belief in an item's categories")] = 10.0


class NearSection(Section):
    """Nearest items to an item in a space, the item tables `als` and `two_tower`."""

    top: PerItem = 50
    consumers_min: Annotated[int, Field(ge=1, description="users an item needs to take part")] = 5


class TwoTowerSection(Section):
    """The two-tower model (YoutubeDNN, Covington et al. 2016; sampled softmax), fitted if sources.two_tower is enabled."""

    dim: Annotated[int, Field(ge=2, le=2048)] = 64
    hidden: Annotated[int, Field(ge=1, le=4096, description="units of the user tower's hidden layer")] = 128
    n_history_max: Annotated[int, Field(ge=1, le=10_000, description="newest items of a history that the tower reads")] = 200
    weight_exponent: Annotated[Fraction, Field(description="an item of the history counts by this power of its weight")] = 0.5
    label_days: Annotated[int, Field(ge=1, description="it learns to tell what is bought in so many days after a moment")] = 14
    n_moments: Annotated[
        int, Field(ge=1, le=1_000, description="moments to learn from, label_days apart, back from the newest")
    ] = 16
    examples_max: Annotated[
        int, Field(ge=100, description="(user, moment) pairs to learn from, sampled; bounds the memory")
    ] = 200_000
    n_epochs_max: Annotated[int, Field(ge=1, le=1_000)] = 8
    patience: Annotated[int, Field(ge=1, le=1_000, description="epochs without a better recall@100 before it stops")] = 2
    batch_examples: Annotated[int, Field(ge=1, le=65_536)] = 256
    n_negatives: Annotated[int, Field(ge=1, le=1_000_000, description="sampled for each batch")] = 4_096
    uniform_share: Annotated[
        float, Field(gt=0, le=1, description="of the negatives drawn from all items alike, the others by popularity")
    ] = 0.5
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.003


class QuorumSection(Section):
    """The terms of the quorums' formula."""

    gamma: Annotated[float, Field(gt=0, le=100, description="bound of the IDF of a category")] = 8.0
    consumers_prior: Annotated[
        float, Field(ge=0, le=1e6, description="typical consumers added to an item's own; 0 = the plain mean")
    ] = 0.0
    categories_max: Annotated[int, Field(ge=1, le=10_000, description="categories kept for each item")] = 64


class PositivesSection(Section):
    """Diverse seeds out of the history."""

    n_items: Annotated[int, Field(ge=1, le=1_000)] = 20
    diversity: Annotated[Fraction, Field(description="0 = the strongest of the history, 1 = those most unlike each other")] = (
        0.3
    )


class TrainSection(Section):
    seed: int = 0
    profile: Annotated[tuple[str, ...], Field(description="category attributes users get affinities for")] = ()
    half_life_days: Annotated[float, Field(gt=0, description="decay of old events in profiles and history")] = 60.0
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
