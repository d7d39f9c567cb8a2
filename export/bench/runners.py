"""What can run a graph here, each under one interface, and why something cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from export.session import COORDINATES, MODALITY, PIXELS
from export.source import Source
from reid.errors import UserError

Feeds = Mapping[str, NDArray[Any]]
Run = Callable[[Feeds], NDArray[np.float32]]
"""Inputs by name -> coordinates float32 [n, k]."""


@dataclass(frozen=True)
class Input:
    """What a graph takes: height and width of its images, and whether it is told their modality."""

    height: int
    width: int
    by_modality: bool = False

    def feeds(self, batch: int) -> Feeds:
        """Noise of a batch: what is computed does not depend on what is seen."""
        pixels = np.random.default_rng(0).integers(0, 256, (batch, 3, self.height, self.width))
        given: dict[str, NDArray[Any]] = {PIXELS: pixels.astype(np.float32)}
        if self.by_modality:
            given[MODALITY] = np.arange(batch, dtype=np.int64) % 3
        return given


@dataclass(frozen=True)
class Runner:
    """A graph in an engine. `run` takes what `Input.feeds` gives."""

    graph: str
    engine: str
    input: Input
    run: Run


@dataclass(frozen=True)
class NotRun:
    """What was not timed, and why, in words."""

    graph: str
    engine: str
    why: str


def torch_runner(source: Source) -> Runner:
    """The student in torch, eager, with `torch.set_num_threads` threads."""
    pre = source.preprocessing
    scale, shift = (torch.from_numpy(values)[:, None, None] for values in pre.scale_and_shift())

    def run(feeds: Feeds) -> NDArray[np.float32]:
        with torch.inference_mode():
            codes = torch.from_numpy(feeds[MODALITY]) if MODALITY in feeds else None
            rows: NDArray[np.float32] = source.student(torch.from_numpy(feeds[PIXELS]) * scale + shift, codes).numpy()
        return rows

    return Runner(source.folder.name, "torch eager", Input(pre.height, pre.width, source.by_modality), run)


def onnxruntime_runner(path: Path, threads: int) -> Runner | NotRun:
    """A graph in ONNX Runtime on the CPU."""
    name = "ONNX Runtime"
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Threads that spin while they wait take the cores from whoever's turn it is.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own classes share no base
        return NotRun(path.name, name, f"it does not take the graph ({_words(error)})")
    shapes = {value.name: value.shape for value in session.get_inputs()}
    if PIXELS not in shapes:
        return NotRun(path.name, name, f"it takes no '{PIXELS}': not a graph for images")

    def run(feeds: Feeds) -> NDArray[np.float32]:
        rows: NDArray[np.float32] = session.run([COORDINATES], dict(feeds))[0]
        return rows

    return Runner(path.name, name, Input(shapes[PIXELS][2], shapes[PIXELS][3], MODALITY in shapes), run)


def openvino_runner(path: Path, threads: int) -> Runner | NotRun:
    """A graph, .onnx or OpenVINO's .xml, in OpenVINO on the CPU, in the precision that it declares."""
    name = "OpenVINO"
    if find_spec("openvino") is None:
        return NotRun(path.name, name, "openvino is not installed; pip install 'reid-distill[openvino]'")
    import openvino

    # OpenVINO would compute fp32 in bf16 where the processor can; a row says what its graph declares.
    wanted: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    if threads:
        wanted["INFERENCE_NUM_THREADS"] = threads
    try:
        compiled = openvino.Core().compile_model(str(path), "CPU", wanted)
        shapes = {port.get_any_name(): port.get_partial_shape() for port in compiled.inputs}
    except Exception as error:  # OpenVINO raises RuntimeError and classes of its own
        return NotRun(path.name, name, f"it does not take the graph ({_words(error)})")
    if PIXELS not in shapes:
        return NotRun(path.name, name, f"it takes no '{PIXELS}': not a graph for images")
    request = compiled.create_infer_request()

    def run(feeds: Feeds) -> NDArray[np.float32]:
        rows: NDArray[np.float32] = request.infer(dict(feeds))[0]
        return rows

    height, width = (shapes[PIXELS][place].get_length() for place in (2, 3))
    return Runner(path.name, name, Input(height, width, MODALITY in shapes), run)


def runners_of(path: Path, threads: int, name: str = "") -> list[Runner | NotRun]:
    """Everything that may run a file; `name` is what tables call it, by default as the file."""
    return [replace(found, graph=name or path.name) for found in _all_of(path, threads)]


def _all_of(path: Path, threads: int) -> list[Runner | NotRun]:
    if path.suffix == ".onnx":
        return [onnxruntime_runner(path, threads), openvino_runner(path, threads)]
    if path.suffix == ".xml":
        return [openvino_runner(path, threads)]
    if path.suffix == ".engine":
        return [NotRun(path.name, "TensorRT", "no GPU" if not torch.cuda.is_available() else _ON_GPU)]
    raise UserError(f"{path}: not a graph; expected .onnx, OpenVINO's .xml or a TensorRT .engine")


_ON_GPU = "engines are timed by reid export trt, when they are built"


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
