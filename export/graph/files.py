"""Graphs as files: one each, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from reid.artifact import replacing
from reid.errors import UserError

_LARGEST = 2**31 - 1
"""Bytes of one protobuf message."""


def save_graph(model: onnx.ModelProto, path: Path) -> None:
    """Write a graph with its weights into one file. Equal graphs give equal files.

    Raises:
        UserError: it cannot be written, or is too large for one file; nothing stays behind.
    """
    if (size := model.ByteSize()) > _LARGEST:
        raise UserError(f"{path}: the graph has {size} bytes, one ONNX file holds {_LARGEST}; take a smaller student")
    data = model.SerializeToString(deterministic=True)
    with replacing(path) as part:
        part.write_bytes(data)


def load_graph(path: Path) -> onnx.ModelProto:
    """The graph of an ONNX file.

    Raises:
        UserError: no such file, cut short, corrupt, not ONNX, or its weights lie in another file.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); expected an ONNX file") from error
    broken = f"{path}: not a whole ONNX file of {len(data)} bytes"
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError) as error:
        raise UserError(f"{broken} (it does not decode); export or copy it again") from error
    outside = [t.name for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    if outside:
        raise UserError(f"{path}: keeps weights such as {outside[0]} in another file; export it into one")
    try:
        # A file that is cut between two of its outermost fields decodes, too.
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise UserError(f"{broken} ({' '.join(str(error).split())[:200]}); export or copy it again") from error
    return model
