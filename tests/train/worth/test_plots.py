"""The pictures of an evaluation say what its table says, also where nobody bought anything that counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from tests.pictures import faults, texts, title
from tests.train.worth.test_source_worth import HELD_OUT, HITS
from train.worth.evaluation import Evaluation, EvaluationTerms
from train.worth.plots import draw_sources

ACTIVITY = np.array([0, 3, 7])


def test_messages_and_names(tmp_path: Path) -> None:
    evaluation = Evaluation(EvaluationTerms(depth=100), HITS, HELD_OUT, activity=ACTIVITY, n_eligible=20)
    recall, exclusive, activity = draw_sources(evaluation, tmp_path)
    assert [fault for path in (recall, exclusive, activity) for fault in faults(path)] == []
    table = evaluation.table
    union, best = (table[system]["recall@100"] for system in ("union", "ann"))
    assert title(recall) == f"Recall@100 of all sources together is {union:.3f}; of ann, the best alone, {best:.3f}"
    assert title(exclusive) == "Without ann, 50.0 % of all sources' hits would be lost, more than without any other"
    assert title(activity) == ("Recall@100 of all sources together is 1.00 for users who bought 0 items before, 0.33 for 7")
    names = {"candidates", "recall of all that users bought", "recall of what was new to them", "tops", "ann", "union"}
    assert names <= {text.text for text in texts(recall)}
    assert "3 users, 28 days held out, 20 eligible items" in {text.text for text in texts(activity)}


def test_nobody_bought_anything_that_counts(tmp_path: Path) -> None:
    nothing = HELD_OUT.kept(np.zeros(len(HELD_OUT.items), bool))
    silent = replace(HITS, ranks=HITS.ranks[:0])
    evaluation = Evaluation(EvaluationTerms(depth=100), silent, nothing, activity=ACTIVITY, n_eligible=0)
    paths = draw_sources(evaluation, tmp_path)
    assert [fault for path in paths for fault in faults(path)] == []
    assert title(paths[0]).startswith("Recall@100 of all sources together is 0.000")
