"""The smallest generations: a few bytes in a few files, no columns and no models."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from cluster.generation import Generation, GenerationWriter
from cluster.generation.storage import Step, no_step
from cluster.spec import FeatureSchema, GenerationSpec

FILES = {"shard-0000/items.arrow": b"items" * 50, "shard-0001/items.arrow": b"other" * 70, "models/light.json": b'{"w": [1]}'}


def spec_of(generation_id: str, *, created: str = "2026-01-01T00:00:00Z") -> GenerationSpec:
    schema = FeatureSchema((), (), (), ())
    return GenerationSpec(generation_id, created, "string", (3, 4), (), (), (), (), (), schema)


def publish(storage: Path, generation_id: str, *, created: str = "2026-01-01T00:00:00Z", step: Step = no_step) -> Generation:
    with GenerationWriter(storage, generation_id, step=step) as writer:
        for name, content in FILES.items():
            step(f"write {name}")
            writer.path_for(name).write_bytes(content + generation_id.encode())
        return writer.publish(spec_of(generation_id, created=created), shards=[{"n_items": 3}, {"n_items": 4}])


def copied(generation: Generation, to: Path) -> Path:
    """A copy of a generation's folder, to be damaged."""
    return Path(shutil.copytree(generation.path, to, symlinks=True))


def flip_bit(path: Path, bit: int) -> None:
    with open(path, "r+b") as stream:
        stream.seek(bit // 8)
        byte = stream.read(1)[0] ^ (1 << bit % 8)
        stream.seek(bit // 8)
        stream.write(bytes([byte]))


def all_files(folder: Path) -> list[Path]:
    return sorted(Path(parent) / file for parent, _, files in os.walk(folder) for file in files)
