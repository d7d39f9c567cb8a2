"""A stand-in for TensorRT's module that has exactly the names that a real version has, and no driver behind them.

The names come from api/VERSION.json, which lists the classes and members of the real Python bindings of that version.
Whatever a version lacks raises AttributeError when it is read, called or set. What is asked of it is recorded, and a
small engine runs: the mean of each colour of `pixels`, on memory of a stand-in for CUDA.
"""

from __future__ import annotations

import ctypes
import enum
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx

API = Path(__file__).parent / "api"
VERSIONS = ("8.6.1", "10.3.0", "11.4.0.106")
_ENUMS = (
    "BuilderFlag", "NetworkDefinitionCreationFlag", "OnnxParserFlag", "DataType", "MemoryPoolType",
    "ProfilingVerbosity", "HardwareCompatibilityLevel", "DeviceType", "LayerInformationFormat", "TensorIOMode",
    "LayerType",
)  # fmt: skip
_REMOVED_WITH_TYPES = ("FP16", "BF16", "INT8", "OBEY_PRECISION_CONSTRAINTS")


class Strict:
    """Attributes that are set must be of the version's API."""

    members: frozenset[str] = frozenset()

    def __setattr__(self, name: str, value: Any) -> None:
        ours = "members" not in vars(type(self))  # a logger or a monitor that the builder derives
        if not ours and not name.startswith("_") and name not in self.members:
            raise AttributeError(f"{type(self).__name__} of this version has no '{name}'")
        object.__setattr__(self, name, value)


def stand_in(version: str, **behaviour: Any) -> Any:
    """A TensorRT of this version.

    Args:
        behaviour: `parses=False` and `errors=[dict(...)]`: the parser refuses. `builds=False`, `says="..."`: the build
            fails, with these words in the log. `loads=False`: an engine does not load. `dla=2`: accelerators.
            `cache_fits=False`: a timing cache is another machine's. `captures=False`: no CUDA graph can be made of it.
    """
    api = {name: frozenset(members) for name, members in json.loads((API / f"{version}.json").read_text()).items()}
    trt = SimpleNamespace(__version__=version, calls=[], behaviour=behaviour)
    for name in _ENUMS:
        setattr(trt, name, enum.IntEnum(name, sorted(api[name]), start=0))
    for name, members in api.items():
        if name not in _ENUMS:
            given = {key: value for key, value in _METHODS.get(name, {}).items() if key in members or key[0] == "_"}
            blank = {key: None for key in members if key not in given}
            setattr(trt, name, type(name, (Strict,), {"members": members, "trt": trt, **blank, **given}))
    if "IProgressMonitor" not in api:
        assert not hasattr(trt, "IProgressMonitor")
    return trt


def flags(trt: Any, kind: str = "set_flag") -> set[str]:
    """Names of the flags that were set on the configuration."""
    return {call[1].name for call in trt.calls if call[0] == kind}


def called(trt: Any, name: str) -> list[tuple[Any, ...]]:
    """Arguments of every call of this name."""
    return [call[1:] for call in trt.calls if call[0] == name]


def _note(name: str, answer: Any = True) -> Any:
    def method(self: Any, *args: Any, **more: Any) -> Any:
        self.trt.calls.append((name, *args, *more.values()))
        return answer(self) if callable(answer) else answer

    return method


def _make(cls: str, **attributes: Any) -> Any:
    def method(self: Any, *args: Any) -> Any:
        self.trt.calls.append((cls, *args))
        made = getattr(self.trt, cls)()
        for name, value in attributes.items():
            setattr(made, name, value(self.trt) if callable(value) else value)
        return made

    return method


def _parse(self: Any, data: bytes) -> bool:
    trt = self.trt
    if not trt.behaviour.get("parses", True):
        trt.parsed = None
        return False
    graph = onnx.load_model_from_string(data).graph
    trt.parsed = graph
    network = self._network
    network._inputs = [_tensor(trt, value) for value in graph.input]
    network._layers = [_layer(trt, node) for node in graph.node]
    network.num_inputs, network.num_layers = len(network._inputs), len(network._layers)
    network.num_outputs = len(graph.output)
    return True


def _tensor(trt: Any, value: onnx.ValueInfoProto) -> Any:
    kinds = {onnx.TensorProto.FLOAT: "FLOAT", onnx.TensorProto.INT64: "INT64"}
    tensor = trt.ITensor()
    tensor.name = value.name
    tensor.shape = tuple(-1 if d.dim_param else d.dim_value for d in value.type.tensor_type.shape.dim)
    kind = kinds[value.type.tensor_type.elem_type]
    tensor.dtype = getattr(trt.DataType, kind if hasattr(trt.DataType, kind) else "INT32")
    return tensor


def _layer(trt: Any, node: onnx.NodeProto) -> Any:
    layer = trt.ILayer()
    layer.name, layer.metadata = f"{node.name} + more", f"[ONNX Layer: {node.name}]"
    layer.type, layer.num_outputs = trt.LayerType.SHUFFLE, 1
    output = trt.ITensor()
    output.name, output.dtype = node.output[0], trt.DataType.INT32 if node.op_type == "Shape" else trt.DataType.FLOAT
    layer._output = output
    return layer


def _error(self: Any, place: int) -> Any:
    error = self.trt.ParserError()
    for name, value in self.trt.behaviour["errors"][place].items():
        if name in error.members:
            setattr(error, name, lambda value=value: value)
    return error


def _set_flag(self: Any, flag: Any) -> None:
    self.trt.calls.append(("set_flag", flag))


def _build(self: Any, network: Any, config: Any) -> bytes | None:
    trt = self.trt
    if getattr(config, "progress_monitor", None) is not None:
        config.progress_monitor.phase_start("Building engine", None, 3)
        for step in range(3):
            if not config.progress_monitor.step_complete("Building engine", step):
                return None
        config.progress_monitor.phase_finish("Building engine")
    if trt.typed and flags(trt) & set(_REMOVED_WITH_TYPES):
        raise AssertionError("a strongly typed network takes no precision flags")
    if not trt.behaviour.get("builds", True):
        self._logger.log(SimpleNamespace(name="ERROR"), trt.behaviour.get("says", "no reason"))
        return None
    trt.config = config
    return b"plan of " + trt.__version__.encode()


def _network(self: Any, flags: int) -> Any:
    trt = self.trt
    names = {flag.name for flag in trt.NetworkDefinitionCreationFlag if flags >> int(flag) & 1}
    trt.calls.append(("create_network", names))
    trt.typed = "STRONGLY_TYPED" in names
    network = trt.INetworkDefinition()
    network.num_inputs = network.num_outputs = network.num_layers = 0
    return network


def _deserialise(self: Any, plan: bytes) -> Any:
    trt = self.trt
    if not trt.behaviour.get("loads", True):
        self._logger.log(SimpleNamespace(name="ERROR"), "Version tag does not match")
        return None
    engine = trt.ICudaEngine()
    engine.num_io_tensors = 2
    return engine


def _shape_of(self: Any, name: str) -> tuple[int, ...]:
    return (-1, 3, 8, 4) if name == "pixels" else (-1, 3)


def _execute(self: Any, stream: int) -> bool:
    """Means of the colours of as many images as the shape says, in the memory that the addresses say."""
    trt = self.trt
    count = self._shape[0]
    trt.calls.append(("execute", count))
    pixels = np.frombuffer((ctypes.c_float * (count * 96)).from_address(self._addresses["pixels"]), np.float32)
    output = np.frombuffer((ctypes.c_float * (count * 3)).from_address(self._addresses["coordinates"]), np.float32)
    output.reshape(count, 3)[:] = pixels.reshape(count, 3, 32).mean(axis=2)
    return bool(trt.behaviour.get("captures", True) or len(called(trt, "execute")) != 2)


def _set_input_shape(self: Any, name: str, shape: tuple[int, ...]) -> bool:
    self._shape = shape
    return 2 <= shape[0] <= 4


def _set_address(self: Any, name: str, address: int) -> bool:
    self._addresses = {**getattr(self, "_addresses", {}), name: address}
    return True


def _holding(*names: str) -> Any:
    def init(self: Any, *given: Any) -> None:
        for name, value in zip(names, given, strict=True):
            setattr(self, name, value)

    return init


_FUSED = {
    "Name": "a fused", "LayerType": "gemm", "Metadata": "[ONNX Layer: mean]", "Outputs": [{"Format/Datatype": "Half"}],
}  # fmt: skip
_INSPECTED = {"Layers": [_FUSED, "only a name"]}

_METHODS: dict[str, dict[str, Any]] = {
    "Builder": {
        "__init__": _holding("_logger"),
        "create_network": _network,
        "create_builder_config": _make("IBuilderConfig"),
        "create_optimization_profile": _make("IOptimizationProfile"),
        "build_serialized_network": _build,
        "num_DLA_cores": property(lambda self: self.trt.behaviour.get("dla", 0)),
    },
    "IBuilderConfig": {
        "set_flag": _set_flag,
        "set_memory_pool_limit": _note("set_memory_pool_limit"),
        "add_optimization_profile": _note("add_optimization_profile", 0),
        "create_timing_cache": _make("ITimingCache"),
        "set_timing_cache": _note("set_timing_cache", lambda self: self.trt.behaviour.get("cache_fits", True)),
    },
    "IOptimizationProfile": {"set_shape": _note("set_shape", None)},
    "ITimingCache": {"serialize": _note("serialize", b"timings")},
    "INetworkDefinition": {
        "get_input": lambda self, place: self._inputs[place],
        "get_layer": lambda self, place: self._layers[place],
    },
    "ILayer": {"get_output": lambda self, place: self._output, "set_output_type": _note("set_output_type", None)},
    "OnnxParser": {
        "__init__": _holding("_network", "_logger"),
        "parse": _parse,
        "set_flag": _note("parser_flag"),
        "num_errors": property(lambda self: len(self.trt.behaviour.get("errors", ()))),
        "get_error": _error,
    },
    "Runtime": {"__init__": _holding("_logger"), "deserialize_cuda_engine": _deserialise},
    "ICudaEngine": {
        "create_engine_inspector": _make("EngineInspector"),
        "create_execution_context": _make("IExecutionContext"),
        "get_tensor_name": lambda self, place: ("coordinates", "pixels")[place],
        "get_tensor_mode": lambda self, name: getattr(self.trt.TensorIOMode, "INPUT" if name == "pixels" else "OUTPUT"),
        "get_tensor_shape": _shape_of,
        "get_tensor_profile_shape": lambda self, name, place: [(2, 3, 8, 4), (3, 3, 8, 4), (4, 3, 8, 4)],
        "get_tensor_dtype": lambda self, name: self.trt.DataType.FLOAT,
    },
    "EngineInspector": {"get_engine_information": lambda self, kind: json.dumps(_INSPECTED)},
    "IExecutionContext": {
        "set_input_shape": _set_input_shape,
        "set_tensor_address": _set_address,
        "execute_async_v3": _execute,
    },
}
