"""INT8 for CPUs by NNCF, as an OpenVINO model."""

from __future__ import annotations

import io
import logging
import os
import re
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from export.crops import Crops
from export.session import COORDINATES, feeds
from reid.artifact import replacing
from reid.errors import UserError
from reid.extras import require

_NO_TELEMETRY = "NNCF_CI"
"""NNCF reports its use to its makers unless this is in the environment when it is imported."""

_COUNTED = re.compile(r"[A-Z][A-Za-z]*_\d+")
"""A name that OpenVINO gave."""


def openvino_int8(
    model_fp32: ModelProto, calibration: Crops, out_stem: Path, *, keep: Collection[str] = ()
) -> tuple[Path, Path]:
    """Quantise with NNCF: symmetric int8 weights for each channel, activations by OpenVINO's own transformer scheme.

    The products of attention are quantised as well, and the mean shift of each layer's output is taken out of its bias
    (fast bias correction). SmoothQuant moves outliers of activations into weights, which saves some students and spoils
    others: both ways are tried, and the nearer to fp32 on the calibration crops is written.

    Args:
        model_fp32: of a student.
        calibration: crops of every modality; all of them are used, in their order.
        out_stem: the files' path without ending.
        keep: names of nodes that are not quantised.

    Returns:
        The .xml and the .bin that were written.

    Raises:
        UserError: OpenVINO or NNCF is not installed, or the files cannot be written.
    """
    require("openvino", "export onnx --int8 for OpenVINO")
    reference = run_openvino(model_fp32, calibration, exact=True)
    made = [_quantise(model_fp32, calibration, keep, smooth) for smooth in (False, True)]
    best = max(made, key=lambda model: _nearness(reference, run_openvino(model, calibration, exact=True)))
    _name_evenly(best)
    return _save(best, out_stem)


def openvino_of(graph: ModelProto, out_stem: Path) -> tuple[Path, Path]:
    """The OpenVINO model of a graph that is quantised already; arguments, results and errors as of `openvino_int8`."""
    require("openvino", "export onnx --int8 for OpenVINO", "openvino")
    model = _read(graph)
    _name_evenly(model)
    return _save(model, out_stem)


def _save(model: Any, out_stem: Path) -> tuple[Path, Path]:
    import openvino

    xml, weights = (out_stem.with_name(out_stem.name + ending) for ending in (".xml", ".bin"))
    with tempfile.TemporaryDirectory() as name:
        written = Path(name) / "student.xml"
        openvino.save_model(model, written, compress_to_fp16=False)
        # The description last: where it is, its weights are.
        for source, target in ((written.with_suffix(".bin"), weights), (written, xml)):
            with replacing(target) as part:
                part.write_bytes(source.read_bytes())
    return xml, weights


def _quantise(model_fp32: ModelProto, calibration: Crops, keep: Collection[str], smooth: bool) -> Any:
    """An OpenVINO model."""
    model = _read(model_fp32)
    inputs = [port.get_any_name() for port in model.inputs]
    # What one node of ONNX became has its name, or names that begin with it.
    names = [node.get_friendly_name() for node in model.get_ordered_ops() if node.get_type_name() != "Constant"]
    kept = [name for name in names if any(name == node or name.startswith(f"{node}/") for node in keep)]
    with _quiet_nncf() as nncf:
        alphas = nncf.AdvancedSmoothQuantParameters() if smooth else nncf.AdvancedSmoothQuantParameters(-1, -1)
        return nncf.quantize(
            model,
            nncf.Dataset([feeds(crop, inputs) for crop in calibration.batches(1)]),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(calibration),
            fast_bias_correction=True,
            model_type=nncf.ModelType.TRANSFORMER,
            ignored_scope=nncf.IgnoredScope(names=kept),
            advanced_parameters=nncf.AdvancedQuantizationParameters(smooth_quant_alphas=alphas),
        )


def _nearness(reference: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """Mean cosine of rows; -1 if one is not finite."""
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(reference, axis=1) * np.linalg.norm(found, axis=1)
        mean = float(((reference * found).sum(axis=1) / lengths).mean())
    return mean if np.isfinite(mean) else -1.0


def run_openvino(
    model: Path | ModelProto | Any, crops: Crops, *, batch: int = 16, threads: int = 0, exact: bool = False
) -> NDArray[np.float32]:
    """Coordinates float32 [n, k] of crops, by OpenVINO on the CPU.

    Args:
        model: an .xml or .onnx file, a graph in memory, or an OpenVINO model.
        crops: n of them.
        batch: so many at a time.
        threads: 0: as many as there are cores.
        exact: compute in fp32 what is not quantised, also where the CPU has bf16.

    Raises:
        UserError: OpenVINO is not installed, or does not take the file.
    """
    request = compile_openvino(model, threads=threads, exact=exact).create_infer_request()
    names = [port.get_any_name() for port in request.model_inputs]
    rows = [request.infer(feeds(part, names))[COORDINATES].copy() for part in crops.batches(batch)]
    return np.concatenate(rows)


def compile_openvino(model: Path | ModelProto | Any, *, threads: int = 0, exact: bool = False) -> Any:
    """An `openvino.CompiledModel` for least latency; arguments and errors as of `run_openvino`."""
    require("openvino", "running a model with OpenVINO", "openvino")
    import openvino

    options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads}
    if exact:
        options["INFERENCE_PRECISION_HINT"] = "f32"
    return openvino.Core().compile_model(_read(model), "CPU", options)


def _read(model: Any) -> Any:
    """An OpenVINO model."""
    import openvino

    if not isinstance(model, (Path, ModelProto)):
        return model
    try:
        if isinstance(model, Path):
            return openvino.Core().read_model(model)
        return openvino.Core().read_model(io.BytesIO(model.SerializeToString()))
    except RuntimeError as error:
        name = str(model) if isinstance(model, Path) else model.graph.name
        raise UserError(f"{name}: OpenVINO does not read it ({' '.join(str(error).split())[:300]})") from error


def _name_evenly(model: Any) -> None:
    """Name nodes that nobody named by their places, for OpenVINO counts them over the life of the process."""
    for place, node in enumerate(model.get_ordered_ops()):
        if _COUNTED.fullmatch(node.get_friendly_name()):
            node.set_friendly_name(f"{node.get_type_name()}_at_{place}")


@contextmanager
def _quiet_nncf() -> Iterator[Any]:
    """NNCF, without its log, its progress bars and its telemetry."""
    before = os.environ.get(_NO_TELEMETRY)
    os.environ[_NO_TELEMETRY] = "1"
    try:
        import nncf
    finally:
        if before is None:
            del os.environ[_NO_TELEMETRY]
    log = logging.getLogger("nncf")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield nncf
    finally:
        log.setLevel(level)
