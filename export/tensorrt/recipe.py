"""How a device builds the engine itself."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

import onnx

from edge_runtime.engines.tensorrt.options import BuildOptions


def trtexec(
    options: BuildOptions, graph: str, engine: str, shapes: Mapping[str, tuple[int, ...]], *, typed: bool
) -> str:
    """The call of `trtexec` that builds the same engine.

    Args:
        graph, engine: files. shapes: inputs and their shapes but for the batch, {"pixels": (3, 256, 128)}.
        typed: whether the device's TensorRT takes types from the graph (10 and newer), else flags.
    """
    words = ["trtexec", f"--onnx={graph}", f"--saveEngine={engine}"]
    for option, batch in (
        ("minShapes", options.profile.minimum),
        ("optShapes", options.profile.optimum),
        ("maxShapes", options.profile.maximum),
    ):
        sizes = [f"{name}:{'x'.join(map(str, (batch, *shape)))}" for name, shape in shapes.items()]
        words.append(f"--{option}={','.join(sizes)}")
    if typed:
        words.append("--stronglyTyped")
    elif options.precision != "fp32":
        words += [f"--{options.precision}", *(["--fp16"] if options.precision == "int8" else [])]
        words += ["--precisionConstraints=obey", *_layers(options)]
    words += [] if options.workspace is None else [f"--memPoolSize=workspace:{options.workspace}"]
    words += [] if options.level is None else [f"--builderOptimizationLevel={options.level}"]
    words += [] if options.timing_cache is None else [f"--timingCacheFile={options.timing_cache}"]
    words += ["--versionCompatible"] if options.version_compatible else []
    words += ["--stripWeights"] if options.weight_stripped else []
    words += [] if options.dla is None else [f"--useDLACore={options.dla}", "--allowGPUFallback"]
    return shlex.join(words)


def input_shapes(graph: Path) -> dict[str, tuple[int, ...]]:
    """Inputs of an ONNX file and their shapes but for the batch."""
    inputs = onnx.load(graph).graph.input
    return {value.name: tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim[1:]) for value in inputs}


def _layers(options: BuildOptions) -> list[str]:
    if not options.fp32_nodes:
        return []
    return [
        "--layerPrecisions=" + ",".join(f"{node}:fp32" for node in options.fp32_nodes),
        "--layerOutputTypes=" + ",".join(f"{node}:fp32" for node in options.fp32_nodes),
    ]
