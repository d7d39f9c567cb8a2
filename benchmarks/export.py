"""Speed and size of an exported student on the CPU, against torch eager in the same run.

    python -m benchmarks.export speed     vit-s at 256 x 128 on two cores, batches of 1 and 16
    python -m benchmarks.export size      bytes of every precision, and a TensorRT-RTX engine built without a GPU

Backends take turns, so that a busy machine slows all alike; figures are medians of --rounds, with the lowest and
highest ratio of one round. Threads sleep while they wait: on a machine with two cores one backend's idle threads
would else take the other's time. The weights are random, but of a size that training leaves.
"""

from __future__ import annotations

import os

# Before anything loads OpenMP.
os.environ.update(OMP_WAIT_POLICY="PASSIVE", KMP_BLOCKTIME="0", GOMP_SPINCOUNT="0")

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import openvino
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.timing import spread
from export.crops import Crops, synthetic_crops
from export.graph.image import image_graph
from export.int8.quantise import quantise
from export.openvino import compile_openvino
from export.pipeline import Request, make_bundle
from export.precision.halve import to_half
from export.session import COORDINATES, PIXELS
from export.source import Source, open_source
from reid.artifact import ArtifactWriter
from reid.evaluation import format_table
from reid.subspace import FILE as SUBSPACE_FILE
from reid.subspace import Subspace
from reid.synthetic.world import World
from reid.synthetic.write import write_world
from student.build import build_student
from student.checkpoint import KIND, save_weights

Floats = NDArray[np.float32]
Backend = Callable[[Floats], Floats]
BATCHES = (1, 16)
RANK = 256


def lively(model: nn.Module, seed: int = 0) -> None:
    """Weights of a size that training leaves, so that activations have a range and images differ."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1 and "embeddings" not in name.rsplit(".", 1)[-1]:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
            elif "norm" in name and name.endswith("weight"):
                parameter.copy_(1 + 0.2 * noise)
            else:
                parameter.copy_(0.2 * noise)


def student(folder: Path, name: str, height: int, width: int) -> Source:
    """An artifact of a student that nobody trained."""
    made = build_student(name, RANK, height=height, width=width)
    lively(made)
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(2 * RANK, RANK)))[0]
    spectrum = np.arange(2 * RANK, 0, -1, dtype=np.float64)
    with ArtifactWriter(folder, KIND, {"command": "benchmark"}) as artifact:
        save_weights(made, artifact.path)
        Subspace("principal", np.zeros((1, 2 * RANK)), basis, spectrum[:RANK].copy(), spectrum).save(
            artifact.path / SUBSPACE_FILE
        )
        artifact.details.update(student=name, text=False)
    return open_source(folder)


def backends(
    source: Source, fp32: onnx.ModelProto, calibration: Crops, folder: Path, threads: int
) -> dict[str, Backend]:
    """What takes float32 [B, 3, H, W] from 0 to 255 to coordinates [B, k], by name; torch eager first."""
    ours, for_cpus = quantise(fp32, calibration), quantise(fp32, calibration, activations="uint8")
    rival = nncf_int8(fp32, calibration, folder)
    return {
        "torch eager": _torch(source),
        "ONNX Runtime fp32": _onnxruntime(fp32, threads),
        "ONNX Runtime int8": _onnxruntime(for_cpus, threads),
        "ONNX Runtime int8 for TensorRT": _onnxruntime(ours, threads),
        "OpenVINO fp32": _openvino(fp32, threads, exact=True),
        "OpenVINO as it likes": _openvino(fp32, threads),
        "OpenVINO int8": _openvino(for_cpus, threads),
        **({} if rival is None else {"OpenVINO int8 by NNCF": _openvino(rival, threads)}),
    }


def nncf_int8(fp32: onnx.ModelProto, calibration: Crops, folder: Path) -> Path | None:
    """The rival: OpenVINO's own quantiser, with its scheme for transformers; None where it is not installed."""
    # It reports its use to its makers unless this is set when it is imported.
    os.environ["NNCF_CI"] = "1"
    try:
        import nncf
    except ImportError:
        print("NNCF is not installed: no rival (pip install nncf)")
        return None
    onnx.save(fp32, folder / "nncf.onnx")
    quantised = nncf.quantize(
        openvino.Core().read_model(folder / "nncf.onnx"),
        nncf.Dataset([{PIXELS: crop.inputs()} for crop in calibration.batches(1)]),
        preset=nncf.QuantizationPreset.MIXED, subset_size=len(calibration), fast_bias_correction=True,
        model_type=nncf.ModelType.TRANSFORMER,
    )  # fmt: skip
    openvino.save_model(quantised, folder / "nncf.xml", compress_to_fp16=False)
    return folder / "nncf.xml"


def _torch(source: Source) -> Backend:
    scale, shift = (torch.from_numpy(v)[None, :, None, None] for v in source.preprocessing.scale_and_shift())

    @torch.inference_mode()
    def run(pixels: Floats) -> Floats:
        return np.asarray(source.student(torch.from_numpy(pixels) * scale + shift).numpy())

    return run


def _onnxruntime(model: onnx.ModelProto, threads: int) -> Backend:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda pixels: np.asarray(session.run([COORDINATES], {PIXELS: pixels})[0])


def _openvino(model: onnx.ModelProto | Path, threads: int, *, exact: bool = False) -> Backend:
    request = compile_openvino(model, threads=threads, exact=exact).create_infer_request()
    return lambda pixels: np.array(request.infer({PIXELS: pixels})[COORDINATES])


def speed(runs: Mapping[str, Backend], crops: Crops, batch: int, rounds: int) -> list[dict[str, str]]:
    """A row for each backend at one batch size."""
    inputs = [part.inputs() for part in crops.batches(batch) if len(part) == batch]
    first = next(iter(runs))
    wall: dict[str, list[float]] = {name: [] for name in runs}
    cpu: dict[str, list[float]] = {name: [] for name in runs}
    cosine: dict[str, float] = dict.fromkeys(runs, 1.0)
    for pixels in inputs:
        expected = runs[first](pixels)
        for name, run in runs.items():
            cosine[name] = min(cosine[name], _least_cosine(expected, run(pixels)))
    for number in range(rounds):
        pixels = inputs[number % len(inputs)]
        for name, run in runs.items():
            before, start = time.process_time(), time.perf_counter()
            run(pixels)
            wall[name].append(time.perf_counter() - start)
            cpu[name].append(time.process_time() - before)
    return [
        {
            "batch": str(batch),
            "backend": name,
            "ms": f"{1000 * statistics.median(wall[name]):.1f}",
            "x eager": spread([one / other for one, other in zip(wall[first], wall[name], strict=True)]),
            "x in CPU time": f"{statistics.median(cpu[first]) / statistics.median(cpu[name]):.2f}",
            "crops/s": f"{batch / statistics.median(wall[name]):.0f}",
            "cosine min": f"{cosine[name]:.5f}",
        }
        for name in runs
    ]


def _least_cosine(one: Floats, other: Floats) -> float:
    dots = (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    return float(dots.min())


def sizes(source: Source, fp32: onnx.ModelProto, calibration: Crops, folder: Path) -> list[dict[str, str]]:
    """A row for each file; engines where TensorRT-RTX is installed."""
    fp16 = to_half(fp32, set(), "fp16")
    graphs = {
        "fp32": fp32,
        "fp16": fp16,
        "int8, rest fp32": quantise(fp32, calibration),
        "int8, rest fp16": quantise(fp32, calibration, typed="fp16"),
    }
    bytes_of = {f"{name} ONNX": (model.ByteSize(), "") for name, model in graphs.items()}
    bytes_of["bundle of fp16 and int8"] = bundle_bytes(source, folder), ""
    for name in ("fp16", "int8, rest fp16"):
        built = _engine(graphs[name], name)
        if built is not None:
            bytes_of[f"{name} engine, RTX"] = built
    half = sum(_half_bytes(tensor) for tensor in fp32.graph.initializer)
    return [
        {"what": name, "MB": f"{size / 1e6:.1f}", "x fp16 weights": f"{size / half:.3f}", "build s": seconds}
        for name, (size, seconds) in {"fp16 weights": (half, ""), **bytes_of}.items()
    ]


def bundle_bytes(source: Source, folder: Path) -> int:
    """Of a bundle without an fp32 graph: fp16, int8 for TensorRT and for CPUs, 32 crops of each modality."""
    write_world(World(0, 40, cameras=2, per_camera=1, sketches=1, captions=1), folder / "people", progress=False)
    request = Request(precisions=("fp16", "int8"), targets=("orin-nano",), data=str(folder / "people"), per_modality=16)
    bundle = make_bundle(source.folder, folder / "bundle", request, say=lambda line: None)
    return sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())


def _half_bytes(tensor: onnx.TensorProto) -> int:
    return 2 * int(np.prod(tensor.dims)) if tensor.data_type == onnx.TensorProto.FLOAT else 0


def _engine(model: onnx.ModelProto, name: str) -> tuple[int, str] | None:
    """Bytes of an engine for one profile, and the seconds it took to parse and build; None without TensorRT-RTX."""
    try:
        import tensorrt_rtx_bindings as trt
    except (ImportError, OSError):
        return None
    from edge_runtime.engines.tensorrt.build import build_engine
    from edge_runtime.engines.tensorrt.options import BuildOptions
    from export.batch import Profile

    precision = "int8" if name.startswith("int8") else "fp16"
    built = build_engine(trt, model.SerializeToString(), BuildOptions(precision, Profile(1, 8, 16), sms=(86,)))
    return len(built.engine), f"{built.seconds:.1f}"


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "size"))
    parser.add_argument("--student", default="vit-s")
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=15, help="at batch 1; a third as many at 16")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = student(folder / "student", given.student, given.height, given.width)
        fp32 = image_graph(source)
        calibration = synthetic_crops(source.preprocessing, 12)
        rows: list[dict[str, Any]]
        if given.what == "size":
            rows = sizes(source, fp32, calibration, folder)
        else:
            others = synthetic_crops(source.preprocessing, 16, seed=1)
            runs = backends(source, fp32, calibration, folder, given.threads)
            rows = [
                row
                for batch in BATCHES
                for row in speed(runs, others, batch, given.rounds if batch == 1 else max(3, given.rounds // 3))
            ]
        print(format_table(rows))
        versions = {"torch": torch.__version__, "onnxruntime": ort.__version__, "openvino": openvino.__version__}
        print(json.dumps({"threads": given.threads, "student": given.student, **versions, "rows": rows}))


if __name__ == "__main__":
    main()
