"""Any ONNX model as the heavy one: models/heavy.onnx, scored by onnxruntime on one thread, whatever tool wrote it.

The graph must have one float32 input (m, n_columns), columns in the order of the generation's feature schema, NaN where a
value is missing; its first output (m,) or (m, 1), float32, higher is better. Its metadata must carry the schema's hash
(`stamped` writes it), because a graph knows its columns by number only and would score any others without a word.

A row's score must depend on that row alone (see `Model`). Trees and element-wise graphs keep that to the last bit; matrix
products may round a row differently in a larger batch, so two rows closer than that may change places from call to call.

onnxruntime is an extra, `pip install 'oskolok[onnx]'`, imported when such a model is loaded.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cluster.errors import ConfigError, GenerationCorrupt, InternalError, SchemaMismatch
from cluster.spec import columns_hash
from cluster.types import Floats
from ranker.features import Features
from ranker.heavy import SCHEMA_KEY

_METADATA_PROPS = 14  # field number in ModelProto of onnx.proto; keys and values are its entry's fields 1 and 2
_BYTES = 2  # protobuf's wire type of strings and messages


class OnnxModel:
    """A `Model` over an onnxruntime session."""

    def __init__(self, session: Any, columns: tuple[str, ...]) -> None:
        """Raises GenerationCorrupt if the graph has another shape than the one wanted. Scores two rows, to prepare it."""
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)":
            raise GenerationCorrupt(f"heavy.onnx must have one float input, has {[(i.name, i.type) for i in inputs]}")
        self.columns = columns
        self._session = session
        self._input, self._outputs = inputs[0].name, [outputs[0].name]
        try:
            self.score(np.zeros((2, len(columns)), np.float32))
        except InternalError as error:
            raise GenerationCorrupt(f"heavy.onnx cannot score {len(columns)} columns: {error.message}") from None

    @classmethod
    def from_bytes(cls, content: bytes, columns: tuple[str, ...]) -> OnnxModel:
        """Raises SchemaMismatch if it was not stamped for these columns, GenerationCorrupt if it is no such model, ConfigError
        without onnxruntime.
        """
        try:
            import onnxruntime
        except ImportError:
            raise ConfigError("an ONNX model needs onnxruntime: pip install 'oskolok[onnx]'") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what it has to say is in the error
        try:
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # a class of its own for each status, without a common base
            raise GenerationCorrupt(f"heavy.onnx cannot be read: {_first_line(error)}") from None
        stored = session.get_modelmeta().custom_metadata_map.get(SCHEMA_KEY, "none")
        if stored != columns_hash(columns):
            raise SchemaMismatch(f"heavy.onnx has schema {stored}, the generation's columns {columns_hash(columns)}")
        return cls(session, columns)

    def score(self, features: Features) -> Floats:
        """(m,) float32 from (m, n_columns) float32. See `Model`."""
        m = len(features)
        if m == 0:
            return np.empty(0, np.float32)
        try:
            (scores,) = self._session.run(self._outputs, {self._input: np.ascontiguousarray(features)})
        except Exception as error:
            raise InternalError(f"heavy.onnx failed on {features.shape} features: {_first_line(error)}") from None
        if not isinstance(scores, np.ndarray) or scores.dtype != np.float32 or scores.shape not in ((m,), (m, 1)):
            raise InternalError(f"heavy.onnx gives {getattr(scores, 'dtype', type(scores))} {np.shape(scores)} for {m} rows")
        return scores.reshape(m)


def stamped(content: bytes, columns: tuple[str, ...]) -> bytes:
    """The ONNX model with the hash of the columns it reads in its metadata.

    Protobuf lets a repeated field be appended to, and the last entry of a key counts, so this needs no parser.
    """
    entry = _field(1, SCHEMA_KEY.encode()) + _field(2, columns_hash(columns).encode())
    return content + _field(_METADATA_PROPS, entry)


def _field(number: int, content: bytes) -> bytes:
    assert number < 16 and len(content) < 128, "both fit in one byte of protobuf's variable length"
    return bytes((number << 3 | _BYTES, len(content))) + content


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
