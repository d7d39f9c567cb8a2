"""`export torch-trt`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from export.batch import Profile
from export.crops import Crops, synthetic_crops
from export.parity.bars import bars_of, judge
from export.parity.measure import compare
from export.parity.reference import reference_embeddings
from export.source import open_source
from export.torch_tensorrt.compile import compile_to, find_torch_tensorrt
from export.torch_tensorrt.program import exported_program, load_program, save_program
from reid.artifact import ArtifactWriter
from reid.errors import UserError

KIND = "torch-program"
PROGRAM = "student.pt2"
_CHECKED = 4
"""Crops of each modality that the program is compared on."""

Say = Callable[[str], None]


def make_programs(
    student: Path, out: Path, precision: str, profile: Profile, say: Say, *, program_only: bool = False,
    workspace: int | None = None,
) -> Path:  # fmt: skip
    """Write the ExportedProgram of a student, and with Torch-TensorRT the compiled program and the engine.

    Args:
        student: its artifact. out: folder to make. precision: of the compiled program. profile: batch sizes.
        program_only: without Torch-TensorRT. workspace: MiB.

    Raises:
        UserError: not a student, Torch-TensorRT or a GPU is missing, or the written program is not the student's.
    """
    # What is missing is said before minutes are spent.
    module = None if program_only else find_torch_tensorrt()
    source = open_source(student)
    with ArtifactWriter(out, KIND, {"command": "export torch-trt", "precision": precision}, [student]) as artifact:
        program = exported_program(source, profile)
        save_program(program, artifact.path / PROGRAM)
        crops = synthetic_crops(source.preprocessing, _CHECKED)
        found = run_program(artifact.path / PROGRAM, crops, profile)
        parity = compare(reference_embeddings(source, crops), found, crops.modalities)
        say(f"{PROGRAM}, loaded again, against the student: {parity}")
        missed = judge(parity, None, bars_of("fp32"))
        if missed:
            raise UserError(f"{PROGRAM}: is not the student's ({'; '.join(missed)}); nothing was written")
        artifact.details.update(batch=str(profile), parity=parity.to_dict())
        if module is None:
            say("no engine: --exported-program-only; compile it where there is a GPU")
            return out
        say(f"compiling with torch-tensorrt {getattr(module, '__version__', '')}")
        names = compile_to(module, program, source, precision, profile, artifact.path, workspace=workspace)
        say(f"wrote {' and '.join(names)}; neither was judged: hold their answers against {PROGRAM}'s")
    return out


def run_program(path: Path, crops: Crops, profile: Profile) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Coordinates float32 [n, k] by a written program, in batches that it takes."""
    program = load_program(path).module()
    rows = []
    for part in crops.batches(profile.maximum):
        count = len(part)
        short = max(0, profile.minimum - count)
        inputs = [torch.from_numpy(np.concatenate([part.inputs(), part.inputs()[:1].repeat(short, axis=0)]))]
        if len(_placeholders(program)) > 1:
            inputs.append(torch.from_numpy(np.concatenate([part.codes, part.codes[:1].repeat(short)])))
        with torch.inference_mode():
            rows.append(program(*inputs)[:count].numpy())
    return np.concatenate(rows)


def _placeholders(program: torch.nn.Module) -> list[str]:
    assert isinstance(program, torch.fx.GraphModule)
    return [node.name for node in program.graph.nodes if node.op == "placeholder"]
