"""A small made-up world and a generation built from it by the real build: for tests that want something whole.

`tiny_generation` (a fixture of the session, see conftest.py) takes about two seconds once; nobody may change its folder.
"""

from __future__ import annotations

from pathlib import Path

from cluster.config.sections import Config
from deploy.demo.synthetic import World, write_world
from train.build import Built, Inputs, build
from train.progress import Progress

TINY = World(n_users=80, n_items=150, n_categories=5, n_days=70)
NOW = TINY.end + 3600.0


def tiny_config(storage: Path, *, n_shards: int = 3, **sections: dict[str, object]) -> Config:
    """The configuration of the tiny world; `sections` are merged over it, one level deep."""
    plain: dict[str, dict[str, object]] = {
        "cluster": {"name": "tiny", "n_shards": n_shards},
        "storage": {"path": str(storage)},
        "catalog": {
            "category": ("category", "brand"),
            "categories": ("stores",),
            "number": ("price",),
            "boolean": ("organic",),
        },
        "sources": {
            "tops": {"k": 40, "group_by": "category", "windows_days": (7, 28)},
            "ann": {"k": 40, "ef_construction": 40},
            "score_all": {"max_items": 0},
            "quorum": {"attribute": "category"},
        },
        # Its few users tell no model from another, and what is tested on it is all stages: the judge has tests of its own.
        "ranker": {"light": {"enabled": True}, "heavy": {"enabled": True}},
        "train": {
            "profile": ("category", "brand"),
            "als": {"dim": 8, "n_sweeps": 3},
            "content": {"frequent_share": 0.5},
            "ranker": {"label_days": 10, "n_users": 60, "n_trees": 20, "depth": 4},
        },
    }
    for name, values in sections.items():
        plain[name] = plain.get(name, {}) | values
    return Config.model_validate(plain)


def build_tiny(
    folder: Path, *, world: World = TINY, now: float = NOW, progress: Progress | None = None, config: Config | None = None
) -> Built:
    """Write the world's files into `folder`, unless they are there, and build a generation in `folder`/store."""
    items, events = folder / "items.parquet", folder / "events.parquet"
    if not items.exists():
        write_world(world, folder)
    return build(config or tiny_config(folder / "store"), Inputs(items, events, now=now), progress=progress)
