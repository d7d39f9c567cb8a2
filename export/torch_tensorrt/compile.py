"""Torch-TensorRT: a program with engines inside, and one engine by itself. Takes an NVIDIA GPU."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.passes import move_to_device_pass

from export.batch import Profile
from export.session import MODALITY, PIXELS
from export.source import Source
from reid.artifact import replacing
from reid.errors import UserError

_INSTALL = (
    "install it on a machine with an NVIDIA GPU, in the version of its torch: pip install torch-tensorrt; "
    "--exported-program-only needs neither"
)
_HALVES = {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}
"""Precision -> the type that kernels may be chosen of beside float32."""


def find_torch_tensorrt() -> Any:
    """The module.

    Raises:
        UserError: it, or a GPU, is missing; how to get it is said.
    """
    try:
        module = import_module("torch_tensorrt")
    except (ImportError, OSError, RuntimeError) as error:
        why = "is not installed" if isinstance(error, ModuleNotFoundError) else f"does not load ({error})"
        raise UserError(f"torch-tensorrt {why}; {_INSTALL}") from error
    if not torch.cuda.is_available():
        raise UserError(f"torch-tensorrt: torch finds no NVIDIA GPU; {_INSTALL}")
    return module


def compile_to(
    module: Any, program: ExportedProgram, source: Source, precision: str, profile: Profile, folder: Path, *,
    workspace: int | None = None,
) -> list[str]:  # fmt: skip
    """Write `student.PRECISION.torch-trt.pt2`, a program with engines inside, and `student.PRECISION.engine`.

    Args:
        module: torch_tensorrt. program: `exported_program`. precision: fp32, fp16 or bf16. profile: batch sizes.
        folder: to write in. workspace: MiB.

    Returns:
        Names of the two files.

    Raises:
        UserError: there is no such precision here, or it cannot be compiled; Torch-TensorRT's words are given.
    """
    settings = {"arg_inputs": _inputs(module, source, profile), **precision_settings(module, precision)}
    settings |= {} if workspace is None else {"workspace_size": workspace << 20}
    pt2, engine = folder / f"student.{precision}.torch-trt.pt2", folder / f"student.{precision}.engine"
    try:
        on_gpu = move_to_device_pass(program, "cuda")
        compiled = module.dynamo.compile(on_gpu, **settings)
        with replacing(pt2) as part:
            module.save(compiled, str(part), output_format="exported_program", retrace=False)
        plan = module.dynamo.convert_exported_program_to_serialized_trt_engine(on_gpu, **settings)
    except UserError:
        raise
    except Exception as error:  # its own classes, TensorRT's and torch's
        words = " ".join(str(error).split())[:400]
        raise UserError(
            f"torch-tensorrt does not compile it ({words}); reid export trt builds from ONNX instead"
        ) from error
    with replacing(engine) as part:
        part.write_bytes(plan)
    return [pt2.name, engine.name]


def _inputs(module: Any, source: Source, profile: Profile) -> list[Any]:
    """Shapes of the least, the best and the greatest batch."""
    sizes: dict[str, tuple[int, ...]] = {PIXELS: (3, source.preprocessing.height, source.preprocessing.width)}
    if source.by_modality:
        sizes[MODALITY] = ()
    return [
        module.Input(
            min_shape=(profile.minimum, *size), opt_shape=(profile.optimum, *size),
            max_shape=(profile.maximum, *size), dtype=torch.int64 if name == MODALITY else torch.float32, name=name,
        )
        for name, size in sizes.items()
    ]  # fmt: skip


def precision_settings(module: Any, precision: str) -> dict[str, Any]:
    """What tells this Torch-TensorRT the precision: newer ones convert the program's types, older ones take flags.

    Raises:
        UserError: there is no such precision here.
    """
    if precision not in _HALVES:
        raise UserError(
            f"--{precision}: torch-tensorrt takes {', '.join(_HALVES)} here; reid export trt does {precision}"
        )
    half = _HALVES[precision]
    if "enable_autocast" in inspect.signature(module.dynamo.compile).parameters:
        return {} if half is None else {"enable_autocast": True, "autocast_low_precision_type": half}
    return {"enabled_precisions": {torch.float32} if half is None else {torch.float32, half}}
