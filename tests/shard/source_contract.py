"""What every candidate source owes, as one suite: subclass it for a source and say what that source's true scores are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.filtering import Condition, Filter
from cluster.order import top_k
from cluster.types import Ask, Query, ShardReply, SourceHits
from tests.shard.worlds import LIKED, Asked, World, affinity, asked, seeds, worlds

# every subclass runs the same tests, each with its own examples: that they are shared is the point
bounded = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.differing_executors], database=None)
NOTHING_PASSES = Filter(must=(Condition("brand", "eq", ("nobody's",)),))


class SourceContract:
    """Subclasses name the source and give its truth; they may narrow queries with `adapted`."""

    source: str

    def asks(self, k: int, rng: np.random.Generator) -> Ask:
        return Ask(self.source, k)

    def adapted(self, question: Asked) -> Asked:
        return question

    def truth(self, world: World, question: Asked, ask: Ask) -> dict[int, np.float32]:
        """Row -> score of everything that the source may find, whether eligible or not."""
        raise NotImplementedError

    @bounded
    @given(st.data())
    def test_any_partition_gives_the_true_answer(self, data: st.DataObject) -> None:
        world = data.draw(worlds())
        question, ask = self._question(data, world)
        n_shards = data.draw(st.integers(1, 8))
        owner = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, n_shards, len(world))
        replies = [shard.retrieve(question.of(ask)) for shard in world.shards(owner, n_shards)]
        keys, scores = merged(replies, ask.k)
        true_keys, true_scores = self._best(world, question, ask)
        assert keys.tolist() == true_keys.tolist()
        assert scores.tolist() == true_scores.tolist()
        assert sum(reply.n_eligible for reply in replies) == len(question.eligible_rows(world))

    @bounded
    @given(st.data())
    def test_hits_are_eligible_ordered_and_as_many_as_promised(self, data: st.DataObject) -> None:
        world = data.draw(worlds())
        question, ask = self._question(data, world)
        reply = world.whole.retrieve(question.of(ask))
        hits, rows = only(reply), hit_rows(reply)
        eligible = question.eligible_rows(world)
        assert set(rows.tolist()) <= set(eligible)
        assert len(set(rows.tolist())) == len(rows) == len(hits.scores)
        assert top_k(hits.scores, reply.keys[hits.members], len(rows)).tolist() == list(range(len(rows)))
        if world.whole.spec.source(self.source).promises_k and hits.strategy != "no_vector":
            assert len(rows) == min(ask.k, len(eligible))

    @bounded
    @given(st.data())
    def test_the_next_bound_is_the_next_hit(self, data: st.DataObject) -> None:
        world = data.draw(worlds())
        question, ask = self._question(data, world)
        hits = only(world.whole.retrieve(question.of(ask)))
        keys, scores = self._best(world, question, Ask(ask.source, ask.k + 1, ask.lists))
        assert hits.more == (len(keys) > ask.k)
        if hits.more:
            assert (hits.next_score, hits.next_key) == (float(scores[-1]), int(keys[-1]))

    @pytest.mark.parametrize("k", [0, 1, 10_000])
    def test_any_k_even_more_than_there_are(self, k: int) -> None:
        world = World.drawn(1, 30)
        question, ask = self._example(world, k)
        reply = world.whole.retrieve(question.of(ask))
        keys, _ = self._best(world, question, ask)
        assert reply.keys[only(reply).members].tolist() == keys.tolist()

    def test_an_empty_mask_finds_nothing(self) -> None:
        world = World.drawn(2, 30)
        question, ask = self._example(world, 5)
        reply = world.whole.retrieve(replace(question.of(ask), filter=NOTHING_PASSES))
        assert reply.n_eligible == 0 and len(reply.rows) == 0 and not only(reply).more

    def test_everything_excluded_finds_nothing(self) -> None:
        world = World.drawn(3, 30)
        question, ask = self._example(world, 5)
        reply = world.whole.retrieve(replace(question.of(ask), exclude=world.keys))
        assert reply.n_eligible == 0 and len(reply.rows) == 0 and not only(reply).more

    def test_an_empty_shard_finds_nothing(self) -> None:
        world = World.drawn(4, 0)
        question, ask = self._example(world, 5)
        assert len(world.whole.retrieve(question.of(ask)).rows) == 0

    def _question(self, data: st.DataObject, world: World) -> tuple[Asked, Ask]:
        question = self.adapted(data.draw(asked(world)))
        rng = np.random.default_rng(data.draw(st.integers(0, 99)))
        return question, self.asks(data.draw(st.integers(0, len(world) + 2)), rng)

    def _example(self, world: World, k: int) -> tuple[Asked, Ask]:
        rng = np.random.default_rng(0)
        vector = rng.integers(-2, 3, world.vectors.shape[1]).astype(np.float32)
        query = Query(
            "tiny-1",
            (),
            vectors={"taste": vector},
            seeds={name: seeds(rng, world) for name in ("history", "basket", "favourites")},
            profile={"stores": affinity(rng, LIKED)},
        )
        return self.adapted(Asked(query)), self.asks(k, rng)

    def _best(self, world: World, question: Asked, ask: Ask) -> tuple[np.ndarray, np.ndarray]:
        scored = self.truth(world, question, ask)
        rows = np.array([row for row in question.eligible_rows(world) if row in scored], int)
        scores = np.array([scored[row] for row in rows.tolist()], np.float32)
        best = sorted(range(len(rows)), key=lambda i: (-float(scores[i]), int(world.keys[rows[i]])))[: ask.k]
        return world.keys[rows[best]], scores[best]


def only(reply: ShardReply) -> SourceHits:
    """The hits of a reply to a single ask."""
    (hits,) = reply.sources
    return hits


def hit_rows(reply: ShardReply) -> np.ndarray:
    return reply.rows[only(reply).members]


def merged(replies: Sequence[ShardReply], k: int) -> tuple[np.ndarray, np.ndarray]:
    """Keys and scores of the k best of all shards, in canonical order."""
    keys = np.concatenate([reply.keys[only(reply).members] for reply in replies])
    scores = np.concatenate([only(reply).scores for reply in replies])
    best = top_k(scores, keys, k)
    return keys[best], scores[best]
