"""Calls the builder and the runner through the real Python bindings of a TensorRT over stand-in libraries.

Run by test_real_bindings.py in a process of its own: CHILD BINDINGS_FOLDER STUB CUDART. Prints what happened as JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any


def load(folder: Path) -> Any:
    """The real module; symbols that nothing calls stay open."""
    sys.setdlopenflags(os.RTLD_LAZY)
    sys.path.insert(0, str(folder))
    import tensorrt_bindings

    return tensorrt_bindings


def with_plain_memory(trt: Any) -> Any:
    """The module, but a plan is bytes: the stand-in's memory has no true size."""

    class Builder(trt.Builder):  # type: ignore[misc]
        def build_serialized_network(self, network: Any, config: Any) -> bytes:
            assert isinstance(super().build_serialized_network(network, config), trt.IHostMemory)
            return b"plan"

    names = {name: getattr(trt, name) for name in dir(trt) if not name.startswith("__")}
    return SimpleNamespace(**{**names, "Builder": Builder, "__version__": trt.__version__})


def main(folder: Path, stub: Path, cudart: Path) -> None:
    from edge_runtime.cuda import Cuda
    from edge_runtime.engines.tensorrt.build import build_engine
    from edge_runtime.engines.tensorrt.config import configure, open_timing_cache
    from edge_runtime.engines.tensorrt.constraints import keep_in_fp32
    from edge_runtime.engines.tensorrt.messages import Messages, make_logger, make_monitor
    from edge_runtime.engines.tensorrt.modules import ahead_of_time
    from edge_runtime.engines.tensorrt.options import BuildOptions, typed
    from edge_runtime.engines.tensorrt.parse import blamed
    from edge_runtime.engines.tensorrt.run import Runner
    from export.batch import Profile
    from reid.errors import UserError

    trt = load(folder)
    plain = with_plain_memory(trt)
    said: dict[str, Any] = {"version": trt.__version__, "ahead_of_time": ahead_of_time(trt)}
    said["names"] = {name: dir(getattr(trt, name)) for name in dir(trt) if isinstance(getattr(trt, name), type)}
    profile = Profile(1, 8, 16)
    every = BuildOptions("fp16", profile, workspace=512, level=4, version_compatible=True, hardware_compatible=True)
    for precision in ("fp32", "fp16", "bf16", "int8"):
        try:
            built = build_engine(plain, b"any", BuildOptions(precision, profile))
            said[precision] = {"typed": built.typed, "notes": built.notes}
        except UserError as error:
            said[precision] = {"refused": str(error)}
    said["options"] = build_engine(plain, b"any", every).engine.decode()
    said["dla"] = build_engine(plain, b"any", BuildOptions("fp16", profile, dla=0)).engine.decode()
    for name, options in {
        "stripped": BuildOptions("fp16", profile, weight_stripped=True),
        "other chip": BuildOptions("fp16", profile, sms=(86,)),
    }.items():
        try:
            said[name] = build_engine(plain, b"any", options).engine.decode()
        except UserError as error:
            said[name] = str(error)

    messages = Messages()
    logger = make_logger(trt, messages)
    builder = trt.Builder(logger)
    config = builder.create_builder_config()
    network = builder.create_network(1)
    configure(trt, builder, config, BuildOptions("fp16", profile))
    with tempfile.TemporaryDirectory() as place:
        cache, notes = open_timing_cache(trt, config, BuildOptions(timing_cache=Path(place) / "cache"))
        assert isinstance(cache, trt.ITimingCache), notes
    said["monitor"] = make_monitor(trt, messages, print) is not None
    if not typed(trt, BuildOptions()):
        # The stand-in's tensors are of the type number 1; that counts as fp32 here, so that the layers are bound.
        halves = SimpleNamespace(DataType=SimpleNamespace(FLOAT=trt.DataType.HALF))
        said["bound"] = keep_in_fp32(halves, network, ["pixels"])
    said["error"] = blamed(trt.OnnxParser(network, logger).get_error(0), b"")
    engine = trt.Runtime(logger).deserialize_cuda_engine(b"plan")
    information = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    said["inspector"] = information
    said["profile"] = [list(shape) for shape in engine.get_tensor_profile_shape("pixels", 0)]
    ctypes.c_int64.in_dll(ctypes.CDLL(str(stub)), "universal_batch").value = 16
    with Runner(trt, b"plan", Cuda(cudart)) as runner:
        said["runs"] = [runner.largest, str(runner.latency(16, runs=3, warm=1))]
    sys.stdout.write(json.dumps(said))
    sys.stdout.flush()
    # The stand-in cannot be taken apart in an orderly way.
    os._exit(0)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
