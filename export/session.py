"""ONNX Runtime on the CPU, over crops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from export.crops import Crops
from reid.errors import UserError

PIXELS, MODALITY, COORDINATES = "pixels", "modality", "coordinates"
"""Names of an image graph's inputs and its output. `modality` is there only if each modality has its own stem."""
INPUT_IDS, ATTENTION_MASK = "input_ids", "attention_mask"
"""Names of a text graph's inputs; its output is `COORDINATES`, too."""


def open_session(graph: onnx.ModelProto | Path, *, threads: int = 0, optimised: bool = True) -> ort.InferenceSession:
    """A session on the CPU.

    Args:
        graph: in memory, or a file.
        threads: of one operator; 0: as many as there are cores.
        optimised: False: every node computes as it stands.

    Raises:
        UserError: ONNX Runtime does not take it; its words are given.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    source: Any = str(graph) if isinstance(graph, Path) else graph.SerializeToString()
    try:
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own classes share no base
        name = str(graph) if isinstance(graph, Path) else graph.graph.name
        raise UserError(f"{name}: ONNX Runtime does not take it ({' '.join(str(error).split())[:300]})") from error


def feeds(crops: Crops, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """What an image graph with these inputs takes of crops."""
    every: dict[str, NDArray[Any]] = {PIXELS: crops.inputs(), MODALITY: crops.codes}
    return {name: every[name] for name in names}


def run_crops(session: ort.InferenceSession, crops: Crops, *, batch: int = 16) -> NDArray[np.float32]:
    """Coordinates float32 [n, k] of crops."""
    names = [node.name for node in session.get_inputs()]
    rows = [session.run([COORDINATES], feeds(part, names))[0] for part in crops.batches(batch)]
    return np.concatenate(rows)
