"""The road from a student to what a device runs: graphs, each proved against the student, in a folder or a bundle."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from export.batch import DEFAULT, PRECISIONS, Profile
from export.bundle.contents import WORKSPACE_MB, contents_of
from export.bundle.write import write_bundle
from export.crops import IMAGE_MODALITIES
from export.data import Images, choose_images
from export.graph.check import check_graph
from export.graph.files import save_graph
from export.graph.image import image_graph
from export.graph.lower import written_opset
from export.graph.metadata import describe, set_metadata
from export.graph.opset import PREFERRED, opset_for
from export.graph.space import space_id
from export.graph.text import text_graph
from export.int8.calibration import check_calibration
from export.openvino import run_openvino
from export.parity.bars import judge
from export.parity.gate import compare_crops, passing_fp32, passing_half, passing_int8
from export.parity.gated import BelowTheBarError, Gated
from export.parity.reference import reference_embeddings
from export.parity.report import JSON, TEXT, report_dict, report_text
from export.parity.retrieval import PER_MODALITY, retrieval_task
from export.source import Source, open_source
from export.targets import find_target
from reid.artifact import ArtifactWriter, write_text
from reid.cli.options import read_data, spec_of
from reid.errors import UserError

KIND = "onnx"
DEFAULT_PRECISIONS = ("fp32", "fp16")
FP16_SCALES = 19
"""The opset from which on quantisation has scales in fp16; TensorRT 10 reads it."""
INT8_CPU = "int8-cpu"
"""What --int8 makes beside the graph for TensorRT: the graph for ONNX Runtime and OpenVINO on a CPU."""
CALIBRATION, CHECK = 32, 32
"""Images of each modality."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What is wanted of a student.

    Attributes:
        precisions: of `PRECISIONS`.
        targets: names of devices; the oldest TensorRT among them decides the opset.
        profile: batch sizes that engines are built for.
        data, settings: what the user named; None: the student's own data, or synthetic people.
        calibration, check: images of each modality. per_modality: of the retrieval before and after.
        backend: "range" or "autocast", for fp16.
        allow_drift: write a precision that misses its bar, too.
        opset: instead of the one that the targets decide.
        workspace: MiB to build an engine with, at most.
        seed: which images.
        first: the precision that a device tries first; None: fp16 before bf16, fp32 and int8.
    """

    precisions: tuple[str, ...] = DEFAULT_PRECISIONS
    targets: tuple[str, ...] = ()
    profile: Profile = DEFAULT
    data: str | None = None
    settings: tuple[str, ...] = ()
    calibration: int = CALIBRATION
    check: int = CHECK
    per_modality: int = PER_MODALITY
    backend: str = "range"
    allow_drift: bool = False
    opset: int | None = None
    workspace: int = WORKSPACE_MB
    seed: int = 0
    first: str | None = None

    def chosen_opset(self, wanted: int = PREFERRED) -> int:
        """The one that is wanted, or the greatest that every target's oldest TensorRT reads."""
        if self.opset is not None:
            return self.opset
        return min((opset_for(find_target(name).min_trt, wanted) for name in self.targets), default=wanted)

    def for_devices(self) -> tuple[Request, str]:
        """With the fp32 graph, where a target has a TensorRT that takes no types from a graph, and what to say of it.

        A request that names what comes first keeps to that: where it cannot be built, the device is to say so.
        """
        old = [f"JetPack {j.name}" for name in self.targets for j in find_target(name).jetpacks if not j.strongly_typed]
        if not old or "fp32" in self.precisions or self.first is not None:
            return self, ""
        wide = replace(self, precisions=tuple(p for p in PRECISIONS if p in (*self.precisions, "fp32")))
        told = " and ".join(dict.fromkeys(old))
        before = "" if "fp16" in self.precisions else f"; recipes try it before {' and '.join(self.precisions)}"
        return wide, f"the fp32 graph goes along: the TensorRT of {told} builds from it and no other{before}"

    def told(self) -> dict[str, Any]:
        """For a manifest."""
        return {
            "precisions": list(self.precisions), "batch": str(self.profile), "backend": self.backend,
            "allow_drift": self.allow_drift, "seed": self.seed, "data": self.data, "settings": list(self.settings),
            "calibration": self.calibration, "check": self.check, "retrieval": self.per_modality,
            "targets": list(self.targets), "opset": self.opset, "workspace": self.workspace,
        }  # fmt: skip


@dataclass(frozen=True)
class Exported:
    """What came of a request.

    Attributes:
        source: the student. space: its id. images: that it was proved on.
        reference: float32 [n, k], the student's coordinates of `images.check`.
        outcomes: of each graph for images, in the order of the precisions; metadata is set.
        text: the graph of the text student, if there is one.
        graphs: precision -> the outcomes' graphs.
    """

    source: Source
    space: str
    images: Images
    reference: NDArray[np.float32]
    outcomes: tuple[Gated, ...]
    text: onnx.ModelProto | None
    graphs: dict[str, onnx.ModelProto]

    def report(self) -> tuple[str, dict[str, Any]]:
        """Of the parity gate, for people and for programs."""
        taught = self.images.calibration
        about = {
            "student": self.source.name, "space_id": self.space,
            "calibration": {"origin": taught.origin, "images": len(taught), "sha256": taught.sha256},
        }  # fmt: skip
        return report_text(self.outcomes, self.images.check), report_dict(self.outcomes, self.images.check, **about)


def export_graphs(student: Path, request: Request, say: Say) -> Exported:
    """Make every graph that is wanted and prove it.

    Args:
        student: the artifact. request: what is wanted. say: takes progress.

    Raises:
        UserError: not a student, images are missing, a graph cannot be made, or it misses its bar; nothing is written.
    """
    say(f"reading the student, {student}")
    source = open_source(student)
    spec = "" if request.data is None else spec_of((request.data,), request.settings)
    dataset = None if request.data is None else read_data((request.data,), request.settings)
    images = choose_images(
        source, dataset, spec, calibration=request.calibration, check=request.check, seed=request.seed, say=say
    )
    if "int8" in request.precisions and not images.real:
        raise UserError(
            "int8 needs images of your cameras to calibrate on, and the student's own data is not there; name some "
            "with --data"
        )
    if "int8" in request.precisions:
        for warning in check_calibration(images.calibration, IMAGE_MODALITIES):
            say(f"warning: {warning}")
    return _Maker(source, images, request, say).make()


class _Maker:
    """Holds what every precision is made from."""

    def __init__(self, source: Source, images: Images, request: Request, say: Say) -> None:
        self.source, self.images, self.request, self.say = source, images, request, say
        self.opset = request.chosen_opset()
        say(f"tracing its graph in opset {self.opset}")
        self.fp32 = image_graph(source, opset=self.opset)
        self.task = None
        if images.dataset is not None:
            say("embedding test people with the student, for the retrieval before and after")
            self.task = retrieval_task(images.dataset, source, per_modality=request.per_modality, seed=request.seed)
        self.common: dict[str, Any] = {"allow_drift": request.allow_drift, "task": self.task, "say": say}

    def make(self) -> Exported:
        source, check = self.source, self.images.check
        outcomes: list[Gated] = []
        for name in PRECISIONS:
            if name in self.request.precisions:
                self.say(f"{name}: converting, and judging on {len(check)} crops")
                outcomes += self._gated(name)
        graphs = {gated.precision: self._described(gated.model, gated.precision) for gated in outcomes}
        text = None
        if source.text is not None:
            text = self._described(text_graph(source, opset=self.opset), "fp32", text=True)
        reference = reference_embeddings(source, check)
        return Exported(source, space_id(source), self.images, reference, tuple(outcomes), text, graphs)

    def _gated(self, precision: str) -> list[Gated]:
        source, calibration, check = self.source, self.images.calibration, self.images.check
        if precision == "fp32":
            return [passing_fp32(self.fp32, source, check, **self.common)]
        if precision == "int8":
            return self._int8()
        dtype: Literal["fp16", "bf16"] = "fp16" if precision == "fp16" else "bf16"
        backend = self.request.backend if precision == "fp16" else "range"
        return [passing_half(self.fp32, source, calibration, check, dtype=dtype, backend=backend, **self.common)]

    def _int8(self) -> list[Gated]:
        """For TensorRT 10 and newer, with the rest in fp16: whatever the targets are, since what is older has no strong
        typing, and would compute the rest in fp32. For CPUs, with the rest in fp32."""
        source, calibration, check = self.source, self.images.calibration, self.images.check
        graph = image_graph(source, opset=FP16_SCALES)
        unasked = {**self.common, "task": None, "label": "fp16, for the rest of int8"}
        rest = passing_half(graph, source, calibration, check, dtype="fp16", **unasked).model
        self.say("int8: measuring each layer's loss, and searching which layers may be int8")
        engine = passing_int8(graph, source, calibration, check, typed="fp16", rest=rest, **self.common)
        self.say(f"{INT8_CPU}: the same for CPUs")
        labelled = {**self.common, "label": INT8_CPU}
        cpu = passing_int8(self.fp32, source, calibration, check, activations="uint8", **labelled)
        return [engine, replace(self._read_by_openvino(cpu), precision=INT8_CPU)]

    def _read_by_openvino(self, cpu: Gated) -> Gated:
        """With what OpenVINO makes of the graph: it is faster than ONNX Runtime, and shares no code with it."""
        if find_spec("openvino") is None:
            return replace(cpu, notes=(*cpu.notes, "not run by OpenVINO, which is not installed"))
        check = self.images.check
        reference = reference_embeddings(self.source, check)
        # By default it may compute the rest in bf16, where the CPU has that; exact, in fp32. The worse one counts.
        both = {
            how: compare_crops(reference, run_openvino(cpu.model, check, exact=exact), check)
            for how, exact in (("by default", False), ("with an exact fp32 rest", True))
        }
        how, parity = min(both.items(), key=lambda each: (not judge(each[1], None, cpu.bars), each[1].cosine_mean))
        missed = tuple(f"in OpenVINO {line}" for line in judge(parity, None, cpu.bars))
        told = f"in OpenVINO: {parity} ({how}, the worse of two ways; no mAP was measured in it)"
        self.say(f"{INT8_CPU} {told}" + (f"; misses its bar: {'; '.join(missed)}" if missed else ""))
        found = replace(cpu, missed=(*cpu.missed, *missed), notes=(*cpu.notes, told))
        if missed and not self.request.allow_drift:
            raise BelowTheBarError(found)
        return found

    def _described(self, model: onnx.ModelProto, precision: str, *, text: bool = False) -> onnx.ModelProto:
        """With metadata, and checked."""
        opset = written_opset(model)
        set_metadata(model, describe(self.source, text=text, precision=precision, opset=opset))
        check_graph(model, opset=opset, name=f"{self.source.name} in {precision}")
        return model


def write_onnx(student: Path, out: Path, request: Request, say: Say) -> str:
    """`export onnx`: an artifact of kind "onnx" with a file for each precision and the report of the gate.

    Returns:
        The report, for people.

    Raises:
        UserError: as `export_graphs`, or `out` exists or cannot be written.
    """
    with ArtifactWriter(out, KIND, {"command": "export onnx", **request.told()}, [student]) as artifact:
        made = export_graphs(student, request, say)
        for precision, graph in made.graphs.items():
            save_graph(graph, artifact.path / f"student.{precision}.onnx")
        if made.text is not None:
            save_graph(made.text, artifact.path / "text.fp32.onnx")
        text, data = made.report()
        write_text(artifact.path / TEXT, text)
        write_text(artifact.path / JSON, json.dumps(data, indent=1, ensure_ascii=False) + "\n")
        artifact.details.update(space_id=made.space, student=made.source.name, precisions=list(made.graphs))
    return text


def make_bundle(student: Path, out: Path, request: Request, *, key: Path | None = None, say: Say = print) -> Path:
    """`export bundle`: all that a device needs, in a folder or an archive.

    Raises:
        UserError: as `export_graphs` and `write_bundle`.
    """
    request, added = request.for_devices()
    if added:
        say(added)
    made = export_graphs(student, request, say)
    text, data = made.report()
    whose = "people of the data: keep the bundle as you keep that" if made.images.real else "people that never existed"
    say(f"packing, with {len(made.images.check)} crops of {whose}")
    contents = contents_of(
        made.source, made.outcomes, space_id=made.space, check=made.images.check, reference=made.reference,
        graphs=made.graphs, text_graph=made.text, profile=request.profile,
        workspace_mb=request.workspace, targets=request.targets, first=request.first, reports={TEXT: text, JSON: data},
        writer={"command": "export bundle", **request.told()},
    )  # fmt: skip
    return write_bundle(out, contents, key=key)
