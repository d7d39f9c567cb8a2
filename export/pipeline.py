"""The road from a student to what a device runs: graphs, each proved against the student, in a folder or a bundle."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from export.batch import DEFAULT, Profile
from export.bundle.contents import WORKSPACE_MB, contents_of
from export.bundle.write import write_bundle
from export.data import Images, choose_images
from export.graph.check import check_graph
from export.graph.files import save_graph
from export.graph.image import image_graph
from export.graph.lower import written_opset
from export.graph.metadata import describe, set_metadata
from export.graph.opset import PREFERRED, opset_for
from export.graph.space import space_id
from export.graph.text import text_graph
from export.parity.bars import bars_of, judge
from export.parity.gate import compare_crops, passing_fp32, passing_half, passing_int8
from export.parity.gated import Gated
from export.parity.measure import Parity
from export.parity.reference import reference_embeddings
from export.parity.report import JSON, TEXT, report_dict, report_text
from export.parity.retrieval import PER_MODALITY, Embed, Retrieval, retrieval_task
from export.source import Source, open_source
from export.targets import find_target
from reid.artifact import ArtifactWriter, write_text
from reid.cli.options import read_data, spec_of
from reid.errors import UserError
from reid.evaluation import format_table

KIND = "onnx"
PRECISIONS = ("fp32", "fp16", "bf16", "int8")
DEFAULT_PRECISIONS = ("fp32", "fp16")
FP16_SCALES = 19
"""The opset from which on quantisation has scales in fp16; TensorRT 10 reads it."""
INT8_CPU = "int8-cpu"
"""What --int8 makes beside the graph for TensorRT: the graph for ONNX Runtime on a CPU."""
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

    def chosen_opset(self, wanted: int = PREFERRED) -> int:
        """The one that is wanted, or the greatest that every target's oldest TensorRT reads."""
        if self.opset is not None:
            return self.opset
        return min((opset_for(find_target(name).min_trt, wanted) for name in self.targets), default=wanted)

    def told(self) -> dict[str, Any]:
        """For a manifest."""
        return {
            "precisions": list(self.precisions), "batch": str(self.profile), "backend": self.backend,
            "allow_drift": self.allow_drift, "seed": self.seed,
        }  # fmt: skip


@dataclass(frozen=True)
class OpenVino:
    """An int8 model for OpenVINO: its .xml, beside its .bin, how it was made, and what it was found to reach."""

    xml: Path
    how: str
    parity: Parity
    retrieval: Retrieval | None
    missed: tuple[str, ...]

    def report(self) -> str:
        """For people."""
        head = f"== int8 for OpenVINO, {self.how}: {'MISSES ITS BAR' if self.missed else 'passes'} =="
        tables = [self.parity.rows(), *([self.retrieval.rows()] if self.retrieval else [])]
        return "\n\n".join(["\n".join([head, *self.missed]), *map(format_table, tables)]) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        retrieval = None if self.retrieval is None else self.retrieval.to_dict()
        return {"how": self.how, "parity": self.parity.to_dict(), "retrieval": retrieval, "missed": list(self.missed)}


@dataclass(frozen=True)
class Exported:
    """What came of a request.

    Attributes:
        source: the student. space: its id. images: that it was proved on.
        reference: float32 [n, k], the student's coordinates of `images.check`.
        outcomes: of each graph for images, in the order of the precisions; metadata is set.
        text: the graph of the text student, if there is one.
        openvino: an int8 model for CPUs; None: not asked for, not installed, or below its bar.
        graphs: precision -> the outcomes' graphs.
    """

    source: Source
    space: str
    images: Images
    reference: NDArray[np.float32]
    outcomes: tuple[Gated, ...]
    text: onnx.ModelProto | None
    openvino: OpenVino | None
    graphs: dict[str, onnx.ModelProto]

    def report(self) -> tuple[str, dict[str, Any]]:
        """Of the parity gate, for people and for programs."""
        about: dict[str, Any] = {"student": self.source.name, "space_id": self.space}
        text = report_text(self.outcomes, self.images.check)
        if self.openvino is not None:
            about["openvino"] = self.openvino.to_dict()
            text += f"\n{self.openvino.report()}"
        return text, report_dict(self.outcomes, self.images.check, **about)


def export_graphs(student: Path, request: Request, openvino: Path, say: Say) -> Exported:
    """Make every graph that is wanted and prove it.

    Args:
        student: the artifact. request: what is wanted. openvino: path, without ending, of an
            int8 model for OpenVINO. say: takes progress.

    Raises:
        UserError: not a student, images are missing, a graph cannot be made, or it misses its bar; nothing is written.
    """
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
    return _Maker(source, images, request, openvino, say).make()


class _Maker:
    """Holds what every precision is made from."""

    def __init__(self, source: Source, images: Images, request: Request, openvino: Path, say: Say) -> None:
        self.source, self.images, self.request, self.openvino, self.say = source, images, request, openvino, say
        self.opset = request.chosen_opset()
        self.fp32 = image_graph(source, opset=self.opset)
        self.task = None
        if images.dataset is not None:
            self.task = retrieval_task(images.dataset, source, per_modality=request.per_modality, seed=request.seed)
        self.common: dict[str, Any] = {"allow_drift": request.allow_drift, "task": self.task, "say": say}

    def make(self) -> Exported:
        source, check = self.source, self.images.check
        outcomes = [gated for name in PRECISIONS if name in self.request.precisions for gated in self._gated(name)]
        graphs = {gated.precision: self._described(gated.model, gated.precision) for gated in outcomes}
        openvino = self._openvino(graphs[INT8_CPU]) if INT8_CPU in graphs else None
        text = None
        if source.text is not None:
            text = self._described(text_graph(source, opset=self.opset), "fp32", text=True)
        reference = reference_embeddings(source, check)
        return Exported(source, space_id(source), self.images, reference, tuple(outcomes), text, openvino, graphs)

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
        rest = passing_half(graph, source, calibration, check, dtype="fp16", **{**self.common, "task": None}).model
        engine = passing_int8(graph, source, calibration, check, typed="fp16", rest=rest, **self.common)
        cpu = passing_int8(self.fp32, source, calibration, check, activations="uint8", **self.common)
        return [engine, replace(cpu, precision=INT8_CPU)]

    def _described(self, model: onnx.ModelProto, precision: str, *, text: bool = False) -> onnx.ModelProto:
        """With metadata, and checked."""
        opset = written_opset(model)
        set_metadata(model, describe(self.source, text=text, precision=precision, opset=opset))
        check_graph(model, opset=opset, name=f"{self.source.name} in {precision}")
        return model

    def _openvino(self, cpu: onnx.ModelProto) -> OpenVino | None:
        """By NNCF, which is fastest, or of the graph for ONNX Runtime; None: not installed, or below the bar."""
        if not all(map(find_spec, ("nncf", "openvino"))):
            self.say("no OpenVINO model: OpenVINO and NNCF are not installed (pip install 'reid-distill[openvino]')")
            return None
        from export.int8.openvino_int8 import openvino_int8, openvino_of, run_openvino

        self.openvino.parent.mkdir(parents=True, exist_ok=True)
        makers: dict[str, Callable[[], tuple[Path, Path]]] = {
            "by NNCF": lambda: openvino_int8(self.fp32, self.images.calibration, self.openvino),
            f"of the {INT8_CPU} graph": lambda: openvino_of(cpu, self.openvino),
        }
        for how, make in makers.items():
            xml, _ = make()
            made = self._judged_openvino(how, xml, partial(run_openvino, xml))
            if not made.missed:
                return made
        if self.request.allow_drift:
            return made
        self.say("the OpenVINO model is left out (--allow-drift writes it all the same)")
        for ending in (".xml", ".bin"):
            self.openvino.with_name(self.openvino.name + ending).unlink()
        return None

    def _judged_openvino(self, how: str, xml: Path, embed: Embed) -> OpenVino:
        check = self.images.check
        parity = compare_crops(reference_embeddings(self.source, check), embed(check), check)
        retrieval = None if self.task is None else self.task.score(embed)
        missed = tuple(judge(parity, retrieval, bars_of("int8")))
        self.say(f"int8 for OpenVINO, {how}: {parity}" + (f"; misses its bar: {'; '.join(missed)}" if missed else ""))
        return OpenVino(xml, how, parity, retrieval, missed)


def write_onnx(student: Path, out: Path, request: Request, say: Say) -> str:
    """`export onnx`: an artifact of kind "onnx" with a file for each precision and the report of the gate.

    Returns:
        The report, for people.

    Raises:
        UserError: as `export_graphs`, or `out` exists or cannot be written.
    """
    with ArtifactWriter(out, KIND, {"command": "export onnx", **request.told()}, [student]) as artifact:
        openvino = artifact.path / "openvino" / "student.int8"
        made = export_graphs(student, request, openvino, say)
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
    with TemporaryDirectory() as temporary:
        made = export_graphs(student, request, Path(temporary) / "student.int8", say)
        text, data = made.report()
        openvino = made.openvino.xml if made.openvino else None
        contents = contents_of(
            made.source, made.outcomes, space_id=made.space, check=made.images.check, reference=made.reference,
            graphs=made.graphs, text_graph=made.text, openvino=openvino, profile=request.profile,
            workspace_mb=request.workspace, targets=request.targets, reports={TEXT: text, JSON: data},
            writer={"command": "export bundle", **request.told()},
        )  # fmt: skip
        return write_bundle(out, contents, key=key)


def bundle_for(
    student: Path, precisions: tuple[str, ...], target: str, profile: Profile, out: Path | None, say: Say
) -> Path:
    """The bundle that an engine is built from.

    Raises:
        UserError: as `make_bundle`.
    """
    place = out or Path("runs/bundle") / f"{student.resolve().name}-{target}"
    make_bundle(student, place, Request(precisions=precisions, targets=(target,), profile=profile), say=say)
    say(f"wrote {place}")
    return place
