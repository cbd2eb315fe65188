"""A replay log on disk: Parquet with a row per request, readable by any Parquet reader.

Matrices are flattened row by row. Reading checks lengths and dtypes, and refuses files that are not replay logs.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cluster.errors import ConfigError
from cluster.spec import FeatureSchema
from cluster.types import Candidates
from router.replay.logged import KeptFor, Logged, Shown, decode_request, encode_request
from router.request import Request
from router.users.record import decode_record, encode_record

FORMAT = b"2"
READABLE = (b"1", FORMAT)
"""1 does not say why a request was kept, and has the light model's scores of all candidates as well."""

_MARK = b"oskolok.replay"
_F, _I, _L, _S = pa.float32(), pa.int32(), pa.int64(), pa.string()

SCHEMA = pa.schema(
    [
        ("logged_at", pa.float64()),
        ("generation", _S),
        ("schema", _S),
        ("config", _S),
        ("request", _S),
        ("record", pa.binary()),
        ("seed", _L),
        ("sources", pa.list_(_S)),
        ("shard", pa.list_(_I)),
        ("row", pa.list_(_I)),
        ("key", pa.list_(_L)),
        ("merged_score", pa.list_(_F)),
        ("source_score", pa.list_(_F)),
        ("source_rank", pa.list_(_F)),
        ("match", pa.list_(_F)),
        ("facts", pa.list_(_L)),
        ("user", pa.list_(_F)),
        ("context", pa.list_(_F)),
        ("order", pa.list_(_I)),
        ("order_score", pa.list_(_F)),
        ("n_heavy", _L),
        ("ranked_degraded", pa.list_(_S)),
        ("degraded", pa.list_(_S)),
        ("missed", pa.list_(_I)),
        ("vectorless", pa.list_(_I)),
        ("undelivered", pa.list_(_I)),
        ("gone", pa.list_(_L)),
        ("slate", _S),
        ("kept_for", _S),
    ],
    metadata={_MARK: FORMAT},
)

_SCHEMA = msgspec.json.Decoder(FeatureSchema)
_SHOWN = msgspec.json.Decoder(tuple[tuple[str | int, float, float], ...])


def write_log(path: Path, requests: Sequence[Logged]) -> None:
    """All of them in one file, which is there whole or not at all."""
    rows = [_row(one) for one in requests]
    arrays = [pa.array([row[name] for row in rows], SCHEMA.field(name).type) for name in SCHEMA.names]
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA), aside, compression="zstd")
    aside.replace(path)


def remove_unfinished(folder: Path, *, older_than_s: float = 60.0, now: float | None = None) -> None:
    """Remove what writers that were killed left half written. Writing a file takes no minute; who writes may be elsewhere."""
    before = (time.time() if now is None else now) - older_than_s
    for path in folder.glob(".*.parquet.*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < before:
                path.unlink()


def read_log(path: Path) -> Iterator[Logged]:
    """The requests of a file. Raises ConfigError for what is no replay log."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise ConfigError(f"{path} cannot be read as a replay log: {error}") from None
    format, names = (table.schema.metadata or {}).get(_MARK), table.schema.names
    if format not in READABLE or not set(SCHEMA.names) - {"kept_for"} <= set(names):
        raise ConfigError(f"{path} is not a replay log of format {' or '.join(known.decode() for known in READABLE)}")
    for at in range(table.num_rows):
        cells = {name: table[name][at] for name in names}
        try:
            yield _logged(cells)
        except (ValueError, TypeError, AssertionError, msgspec.MsgspecError) as error:
            raise ConfigError(f"{path}: request {at} is damaged: {error}") from None


def _row(one: Logged) -> dict[str, Any]:
    c = one.candidates
    shown = [(item.item_id, item.score, item.propensity) for item in one.slate]
    return {
        "logged_at": one.logged_at,
        "generation": one.generation,
        "schema": msgspec.json.encode(one.schema).decode(),
        "config": one.config,
        "request": encode_request(one.request).decode(),
        "record": None if one.record is None else encode_record(one.record),
        "seed": one.seed,
        "sources": list(c.sources),
        "shard": c.shard,
        "row": c.rows,
        "key": c.keys,
        "merged_score": c.scores,
        "source_score": c.source_scores.reshape(-1),
        "source_rank": c.source_ranks.reshape(-1),
        "match": c.match.reshape(-1),
        "facts": None if c.facts is None else c.facts.reshape(-1),
        "user": one.user,
        "context": one.context,
        "order": one.order,
        "order_score": one.order_scores,
        "n_heavy": one.n_heavy,
        "ranked_degraded": list(one.ranked_degraded),
        "degraded": list(one.degraded),
        "missed": list(one.missed),
        "vectorless": list(one.vectorless),
        "undelivered": list(one.undelivered),
        "gone": one.gone,
        "slate": msgspec.json.encode(shown).decode(),
        "kept_for": one.kept_for,
    }


def _logged(cells: dict[str, Any]) -> Logged:
    def array(name: str) -> Any:
        return np.array(cells[name].values.to_numpy(zero_copy_only=False), SCHEMA.field(name).type.value_type.to_pandas_dtype())

    def several(name: str) -> tuple[Any, ...]:
        return tuple(cells[name].as_py())

    request = decode_request(cells["request"].as_py())
    generation, keys = cells["generation"].as_py(), array("key")
    m, sources = len(keys), several("sources")
    raw = cells["record"].as_py()
    record = None if raw is None else decode_record(raw, user_id=request.user_id, generation=generation)
    if (raw is None) != (record is None):
        raise ValueError("the user record is of another user or generation")
    order = array("order")
    if sorted(order.tolist()) != list(range(m)):
        raise ValueError("the order is no permutation of the candidates")
    aligned = {name: array(name) for name in ("shard", "row", "merged_score", "order_score")}
    for name, values in aligned.items():
        if len(values) != m:
            raise ValueError(f"{name} has {len(values)} entries for {m} candidates")
    schema = _SCHEMA.decode(cells["schema"].as_py())
    for name, values, told in (("user", array("user"), schema.user), ("context", array("context"), schema.context)):
        if len(values) != len(told):
            raise ValueError(f"{name} has {len(values)} features, the schema {len(told)}")
    if missing := set(schema.sources) - set(sources):
        raise ValueError(f"the schema's sources {', '.join(sorted(missing))} are not there")
    facts = None if not cells["facts"].is_valid else array("facts").reshape(m, -1 if m else 0)
    return Logged(
        logged_at=cells["logged_at"].as_py(),
        generation=generation,
        schema=schema,
        config=cells["config"].as_py(),
        request=request,
        record=record,
        seed=cells["seed"].as_py(),
        candidates=Candidates(
            sources=sources,
            shard=aligned["shard"],
            rows=aligned["row"],
            keys=keys,
            scores=aligned["merged_score"],
            source_scores=array("source_score").reshape(m, len(sources)),
            source_ranks=array("source_rank").reshape(m, len(sources)),
            match=array("match").reshape(m, len(schema.match)),
            facts=facts,
        ),
        user=array("user"),
        context=array("context"),
        order=order,
        order_scores=aligned["order_score"],
        n_heavy=cells["n_heavy"].as_py(),
        ranked_degraded=several("ranked_degraded"),
        degraded=several("degraded"),
        missed=several("missed"),
        vectorless=several("vectorless"),
        undelivered=several("undelivered"),
        gone=array("gone"),
        slate=tuple(Shown(*one) for one in _SHOWN.decode(cells["slate"].as_py())),
        kept_for=msgspec.convert(cells["kept_for"].as_py(), KeptFor) if "kept_for" in cells else _guessed(request),
    )


def _guessed(request: Request) -> KeptFor:
    """In format 1 nobody can tell that a request was drawn as well as asked for."""
    return "asked" if request.explain == "full" else "sampled"
