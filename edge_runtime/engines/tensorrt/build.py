"""ONNX graph -> TensorRT engine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.engines.tensorrt.config import configure, open_timing_cache, save_timing_cache
from edge_runtime.engines.tensorrt.constraints import keep_in_fp32
from edge_runtime.engines.tensorrt.layers import LayerReport, engine_layers, network_layers
from edge_runtime.engines.tensorrt.messages import Messages, make_logger, make_monitor
from edge_runtime.engines.tensorrt.modules import called
from edge_runtime.engines.tensorrt.options import BuildOptions, typed
from edge_runtime.engines.tensorrt.parse import parse_graph
from edge_runtime.engines.tensorrt.profile import add_profile
from reid.errors import UserError


@dataclass(frozen=True)
class Built:
    """An engine.

    Attributes:
        engine: its bytes. layers: what it is made of. seconds: that parsing and building took.
        notes: what the user should know of it. warnings: TensorRT's own. version: of the TensorRT that built it.
        typed: whether its precision came from the graph.
    """

    engine: bytes
    layers: LayerReport
    seconds: float
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    version: str
    typed: bool


def build_engine(
    trt: Any, graph: bytes | Path, options: BuildOptions, *, say: Callable[[str], None] = lambda line: None
) -> Built:
    """Build an engine.

    Args:
        trt: the module: `tensorrt` 8.6 to 11, or `tensorrt_rtx_bindings`.
        graph: an ONNX file, or its bytes, in the precision that `options.graph_precision` says.
        options: how.
        say: takes lines of progress.

    Raises:
        UserError: the file cannot be read, the parser refuses it, an option is not to be had, or the build fails.
    """
    start = time.perf_counter()
    name = str(graph) if isinstance(graph, Path) else "graph"
    messages = Messages()
    logger = make_logger(trt, messages)
    builder = trt.Builder(logger)
    network = builder.create_network(_network_flags(trt, options))
    # The parser owns the weights, and so has to stay until the engine is built.
    parser = parse_graph(trt, network, logger, _read(graph), name, messages, flags=_parser_flags(trt, options))
    config = builder.create_builder_config()
    notes = configure(trt, builder, config, options)
    if not typed(trt, options):
        notes += keep_in_fp32(trt, network, options.fp32_nodes)
    notes += add_profile(builder, network, config, options, name)
    cache, told = open_timing_cache(trt, config, options)
    notes += told
    monitor = make_monitor(trt, messages, say)
    if monitor is not None:
        config.progress_monitor = monitor
    # Read before the build, which takes the network apart in some versions.
    layers = network_layers(network)
    plan = builder.build_serialized_network(network, config)
    messages.reraise()
    if plan is None:
        raise UserError(f"{name}: {_failure(trt, messages)}")
    engine = bytes(plan)
    seconds = time.perf_counter() - start
    save_timing_cache(cache, options)
    del parser
    if options.inspect:
        inspected = engine_layers(trt, logger, engine)
        layers = inspected or layers
        notes += [] if inspected else ["the finished engine does not load here; layers are those before fusion"]
    return Built(
        engine, layers, seconds, tuple(notes), tuple(messages.warnings), str(trt.__version__), typed(trt, options)
    )


def _network_flags(trt: Any, options: BuildOptions) -> int:
    flag = trt.NetworkDefinitionCreationFlag
    flags = 0
    if hasattr(flag, "EXPLICIT_BATCH"):  # 8 needs it, 10 ignores it, 11 has it no more
        flags |= 1 << int(flag.EXPLICIT_BATCH)
    if typed(trt, options):
        flags |= 1 << int(flag.STRONGLY_TYPED)
    return flags


def _parser_flags(trt: Any, options: BuildOptions) -> tuple[str, ...]:
    """A graph of types is made fit for a DLA by the parser, where there is no flag to let it choose."""
    adjust = options.dla is not None and typed(trt, options) and hasattr(trt.OnnxParserFlag, "ADJUST_FOR_DLA")
    return ("ADJUST_FOR_DLA",) if adjust else ()


def _read(graph: bytes | Path) -> bytes:
    if isinstance(graph, bytes):
        return graph
    try:
        return graph.read_bytes()
    except OSError as error:
        raise UserError(f"{graph}: cannot be read ({error.strerror}); name an ONNX file") from error


def _failure(trt: Any, messages: Messages) -> str:
    words = " ".join((messages.errors or ["no reason given"])[0].split())[:400]
    low = words.lower()
    if "memory" in low or "workspace" in low:
        hint = "lower --workspace or the greatest --batch, or close other programs"
    elif "fp32 gemm is not supported" in low:
        hint = "it has no fp32 matrix products for this chip, and every precision keeps some: take another --target"
    elif "libnvinfer_lean" in low:
        hint = "the lean runtime is not installed: leave --version-compatible out"
    else:
        hint = "try another precision, or a newer TensorRT"
    return f"{called(trt)} does not build it ({words}); {hint}"
