"""A replay log on disk: Parquet with a row per request, readable by any Parquet reader.

Matrices are flattened row by row. Reading checks lengths and dtypes, and refuses files that are not replay logs.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
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

_COLUMNS: dict[str, tuple[pa.DataType, Callable[[Logged], Any]]] = {
    "logged_at": (pa.float64(), attrgetter("logged_at")),
    "generation": (_S, attrgetter("generation")),
    "schema": (_S, lambda logged: msgspec.json.encode(logged.schema).decode()),
    "config": (_S, attrgetter("config")),
    "request": (_S, lambda logged: encode_request(logged.request).decode()),
    "record": (pa.binary(), lambda logged: None if logged.record is None else encode_record(logged.record)),
    "seed": (_L, attrgetter("seed")),
    "sources": (pa.list_(_S), lambda logged: list(logged.candidates.sources)),
    "shard": (pa.list_(_I), attrgetter("candidates.shard")),
    "row": (pa.list_(_I), attrgetter("candidates.rows")),
    "key": (pa.list_(_L), attrgetter("candidates.keys")),
    "merged_score": (pa.list_(_F), attrgetter("candidates.scores")),
    "source_score": (pa.list_(_F), lambda logged: logged.candidates.source_scores.reshape(-1)),
    "source_rank": (pa.list_(_F), lambda logged: logged.candidates.source_ranks.reshape(-1)),
    "match": (pa.list_(_F), lambda logged: logged.candidates.match.reshape(-1)),
    "facts": (pa.list_(_L), lambda logged: None if (facts := logged.candidates.facts) is None else facts.reshape(-1)),
    "user": (pa.list_(_F), attrgetter("user")),
    "context": (pa.list_(_F), attrgetter("context")),
    "order": (pa.list_(_I), attrgetter("order")),
    "order_score": (pa.list_(_F), attrgetter("order_scores")),
    "n_heavy": (_L, attrgetter("n_heavy")),
    "ranked_degraded": (pa.list_(_S), attrgetter("ranked_degraded")),
    "degraded": (pa.list_(_S), attrgetter("degraded")),
    "missed": (pa.list_(_I), attrgetter("missed")),
    "vectorless": (pa.list_(_I), attrgetter("vectorless")),
    "undelivered": (pa.list_(_I), attrgetter("undelivered")),
    "gone": (pa.list_(_L), attrgetter("gone")),
    "slate": (_S, lambda logged: _encode_slate([(item.item_id, item.score, item.propensity) for item in logged.slate])),
    "kept_for": (_S, attrgetter("kept_for")),
}
"""Name -> type, and what of a request stands there."""

SCHEMA = pa.schema([(name, type) for name, (type, _) in _COLUMNS.items()], metadata={_MARK: FORMAT})


def _encode_slate(places: list[tuple[str | int, float, float]]) -> str:
    return msgspec.json.encode(places).decode()


_SCHEMA = msgspec.json.Decoder(FeatureSchema)
_SHOWN = msgspec.json.Decoder(tuple[tuple[str | int, float, float], ...])


def write_log(path: Path, requests: Sequence[Logged]) -> None:
    """All of them in one file, which is there whole or not at all."""
    arrays = [pa.array([value_of(logged) for logged in requests], type) for type, value_of in _COLUMNS.values()]
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


def _logged(cells: dict[str, Any]) -> Logged:
    def array(name: str) -> Any:
        return np.array(cells[name].values.to_numpy(zero_copy_only=False), SCHEMA.field(name).type.value_type.to_pandas_dtype())

    def several(name: str) -> Any:
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
    for name, named in (("user", schema.user), ("context", schema.context)):
        if (n := len(array(name))) != len(named):
            raise ValueError(f"{name} has {n} features, the schema {len(named)}")
    if missing := set(schema.sources) - set(sources):
        raise ValueError(f"the schema's sources {', '.join(sorted(missing))} are not there")
    facts = None if not cells["facts"].is_valid else array("facts").reshape(m, -1 if m else 0)
    return Logged(
        generation=generation,
        schema=schema,
        request=request,
        record=record,
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
        order=order,
        order_scores=aligned["order_score"],
        slate=tuple(Shown(*place) for place in _SHOWN.decode(cells["slate"].as_py())),
        kept_for=msgspec.convert(cells["kept_for"].as_py(), KeptFor) if "kept_for" in cells else _guessed(request),
        **{name: cells[name].as_py() for name in ("logged_at", "config", "seed", "n_heavy")},
        **{name: array(name) for name in ("user", "context", "gone")},
        **{name: several(name) for name in ("ranked_degraded", "degraded", "missed", "vectorless", "undelivered")},
    )


def _guessed(request: Request) -> KeptFor:
    """Format 1 does not say whether a request that a caller asked to keep was also drawn at random."""
    return "asked" if request.explain == "full" else "sampled"
