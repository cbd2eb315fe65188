"""What a competent engineer glues together by hand: one process, FastAPI, hnswlib, CatBoost, everything in memory.

One index over the whole catalogue, a dictionary of users, arrays of features, no shards, no filters, no faults foreseen.
It answers the same requests as ours, from the same vectors, lists and models; `bench/http.py` compares the answers.
"""

from __future__ import annotations

import argparse

import hnswlib
import numpy as np
import uvicorn
from catboost import CatBoost
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

from bench.tools.cluster_under_test import CACHE
from bench.tools.world import N_CATEGORIES, RECALL_TARGET, SPACE, Size, World, fit_models
from ranker.light import LightModel


class RecommendBody(BaseModel):
    user_id: str
    k: int = Field(20, ge=1, le=200)


def create_app(world: World, *, n_ann: int, n_tops: int, n_history: int, n_light: int, n_heavy: int) -> FastAPI:
    """The widths are those of our own plan, so that both score as many candidates."""
    index = hnswlib.Index("ip", world.size.dim)
    index.init_index(world.size.n_items, M=16, ef_construction=200)
    index.add_items(world.vectors, np.arange(world.size.n_items), num_threads=2)
    index.set_ef(smallest_ef(index, world, n_ann))
    light_json, heavy_blob = fit_models(world, CACHE / "models")
    light = LightModel.from_json(light_json)
    heavy = CatBoost()
    heavy.load_model(blob=heavy_blob)
    columns = world.schema.columns()
    at = {name: i for i, name in enumerate(columns)}
    best = np.argsort(-world.popularity, kind="stable")[:n_tops]
    in_category = [np.flatnonzero(world.category == c) for c in range(N_CATEGORIES)]
    top_in_category = [rows[np.argsort(-world.popularity[rows], kind="stable")][:n_tops] for rows in in_category]
    users = {user_id: user for user, user_id in enumerate(world.user_ids)}
    weights, ages = world.history_weights()
    app = FastAPI()

    def retrieve(user: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows, (m,), and the scores and ranks of each source, (m, 6), NaN where it did not propose the row."""
        vector = world.user_vectors[user]
        ann, _ = index.knn_query(vector, k=n_ann, num_threads=1)
        codes, shares = world.category_weights(user)
        tops = np.concatenate([best, *(top_in_category[c] for c in codes[:5])])
        top_scores = np.concatenate(
            [
                world.popularity[best],
                *(world.popularity[top_in_category[c]] * s for c, s in zip(codes[:5], shares, strict=False)),
            ]
        )
        order = np.argsort(-top_scores, kind="stable")
        tops, first = np.unique(tops[order], return_index=True)
        keep = np.argsort(first)[:n_tops]
        tops, top_scores = tops[keep], top_scores[order][first[keep]]
        history = world.history[user][:n_history]
        rows = np.unique(np.concatenate((tops, ann[0].astype(np.int64), history)))
        sources = np.full((len(rows), 6), np.nan, np.float32)
        found = ((tops, top_scores), (ann[0], world.vectors[ann[0]] @ vector), (history, weights[: len(history)]))
        for s, (members, scores) in enumerate(found):
            where = np.searchsorted(rows, members)
            sources[where, s] = scores
            sources[where, 3 + s] = np.arange(1, len(members) + 1)
        return rows, sources

    def features_of(user: int, rows: np.ndarray, sources: np.ndarray) -> np.ndarray:
        features = np.zeros((len(rows), len(columns)), np.float32)
        features[:, at[f"dot.{SPACE}"]] = world.vectors[rows] @ world.user_vectors[user]
        features[:, at[f"norm.{SPACE}"]] = 1.0
        features[:, at["stat.popularity"]] = world.popularity[rows]
        features[:, at["stat.price"]] = world.price[rows]
        affinity = np.zeros(N_CATEGORIES, np.float32)
        codes, shares = world.category_weights(user)
        affinity[codes] = shares
        features[:, at["affinity.category"]] = affinity[world.category[rows]]
        features[:, at["history.age_days"]] = -1
        where = np.searchsorted(rows, world.history[user])
        where[where == len(rows)] = 0
        known = rows[where] == world.history[user]
        features[where[known], at["history.weight"]] = weights[known]
        features[where[known], at["history.age_days"]] = ages[known]
        features[:, at["tops.score"] : at["tops.score"] + 6] = sources
        features[:, at["activity"] : at["activity"] + 2] = world.user_features(user)
        return features

    @app.post("/v1/recommend")
    async def recommend(body: RecommendBody) -> dict[str, object]:
        user = users.get(body.user_id)
        if user is None:
            raise HTTPException(404, "unknown user")
        rows, sources = retrieve(user)
        fused = np.nansum(1 / (60 + sources[:, 3:]), axis=1)
        kept = np.argsort(-fused, kind="stable")[:n_light]
        rows, sources = rows[kept], sources[kept]
        features = features_of(user, rows, sources)
        first = np.argsort(-light.score(features), kind="stable")[:n_heavy]
        scores = heavy.predict(features[first], prediction_type="RawFormulaVal", thread_count=1)
        final = np.argsort(-scores, kind="stable")[: body.k]
        items = [
            {
                "item_id": world.item_ids[row],
                "rank": rank,
                "score": float(score),
                "payload": {"category": int(world.category[row]), "price": float(world.price[row])},
            }
            for rank, (row, score) in enumerate(zip(rows[first[final]], scores[final], strict=True), start=1)
        ]
        return {"items": items}

    return app


def smallest_ef(index: hnswlib.Index, world: World, k: int, *, n_queries: int = 60) -> int:
    """The smallest ef, in steps of a quarter, that finds as much as our own generation promises."""
    queries = world.user_vectors[:n_queries]
    truth = np.argpartition(-(queries @ world.vectors.T), k, axis=1)[:, :k]
    ef = k
    while True:
        index.set_ef(ef)
        found, _ = index.knn_query(queries, k=k, num_threads=1)
        if np.mean([len(np.intersect1d(f, t)) / k for f, t in zip(found, truth, strict=True)]) >= RECALL_TARGET:
            return ef
        ef = ef * 5 // 4


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("port", "items", "ann", "tops", "history", "light", "heavy"):
        parser.add_argument(f"--{name}", type=int, required=True)
    a = parser.parse_args()
    world = World.made(Size(a.items))
    app = create_app(world, n_ann=a.ann, n_tops=a.tops, n_history=a.history, n_light=a.light, n_heavy=a.heavy)
    uvicorn.run(app, host="127.0.0.1", port=a.port, log_level="warning", access_log=False, loop="uvloop", http="httptools")


if __name__ == "__main__":
    main()
