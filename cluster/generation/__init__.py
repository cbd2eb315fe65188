"""Generations on disk: one folder each, named in a manifest with the size and sha256 of every file, published atomically.

    <storage>/CURRENT                           the id of the active generation
    <storage>/generations/<id>/manifest.json    format, spec, what each shard's loader must know, every file's size and sha256
    <storage>/generations/<id>/manifest.sha256  the manifest's own hash, as `sha256sum -c` reads it
    <storage>/generations/<id>/shard-0000/...   whatever the parts wrote

`writing.py` writes a generation aside and publishes it. `reading.py` opens one and hands out only verified bytes. `holding.py`
protects a generation in use from removal. `pruning.py` removes old ones. `storage.py` has the pointer, and cleans up after a
crash. None of them knows what is inside the files.
"""

from cluster.generation.holding import Hold
from cluster.generation.manifest import FORMAT, FileEntry, Manifest, SourceEntry
from cluster.generation.pruning import Pruned, prune, retired, settle_retired
from cluster.generation.reading import Generation, VerifiedFile
from cluster.generation.storage import current_id, generation_ids, generation_path, remove_orphans, set_current
from cluster.generation.writing import GenerationWriter

__all__ = [
    "FORMAT",
    "FileEntry",
    "Generation",
    "GenerationWriter",
    "Hold",
    "Manifest",
    "Pruned",
    "SourceEntry",
    "VerifiedFile",
    "current_id",
    "generation_ids",
    "generation_path",
    "prune",
    "remove_orphans",
    "retired",
    "set_current",
    "settle_retired",
]
