"""How an engine is to be built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.batch import DEFAULT, Profile

PRECISIONS = ("fp32", "fp16", "bf16", "int8")


@dataclass(frozen=True)
class BuildOptions:
    """How an engine is to be built.

    Attributes:
        precision: what the graph's types are called; see `typed` for who applies it.
        profile: batch sizes. tokens: lengths of a sentence, for a graph of the text student.
        workspace: MiB that a layer may take beside its tensors; None: TensorRT's own choice, the GPU's memory.
        level: how long to search for fast kernels, 0 to 5; None: TensorRT's own choice, 3.
        version_compatible: the engine also loads in later versions, and is slower.
        weight_stripped: the engine holds no weights; the device puts them in from the ONNX file.
        hardware_compatible: the engine also runs on later discrete GPUs than the one it is built on.
        timing_cache: file that kernel timings are read from and added to.
        dla: number of the deep learning accelerator that takes the layers it can.
        sms: compute capabilities to build for ahead of time; none: the GPU of this machine.
        fp32_nodes: names of ONNX nodes that stay in fp32 where the graph has no types of its own.
        inspect: read the layers from the finished engine, which takes a GPU; else from the parsed network.
    """

    precision: str = "fp16"
    profile: Profile = DEFAULT
    tokens: Profile | None = None
    workspace: int | None = None
    level: int | None = None
    version_compatible: bool = False
    weight_stripped: bool = False
    hardware_compatible: bool = False
    timing_cache: Path | None = None
    dla: int | None = None
    sms: tuple[int, ...] = ()
    fp32_nodes: tuple[str, ...] = ()
    inspect: bool = False


def typed(trt: Any, options: BuildOptions) -> bool:
    """Whether this TensorRT takes its types from the graph, so that it is to be given the graph of that precision.

    If not (8.6; and a DLA before 11, which no strongly typed network runs on), it is given the fp32 graph, or the int8
    graph with its quantisers, and flags say what it may compute in.
    """
    strongly = hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")
    return strongly and not (options.dla is not None and hasattr(trt.BuilderFlag, "FP16"))


def graph_precision(trt: Any, options: BuildOptions) -> str:
    """The precision of the ONNX file that this TensorRT is to be given."""
    return options.precision if typed(trt, options) or options.precision == "int8" else "fp32"
