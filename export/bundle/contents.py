"""What goes into a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_runtime.preprocess import Preprocessing
from export.batch import DEFAULT, Profile
from export.crops import Crops
from reid.modality import Modality
from reid.subspace import FILE as SUBSPACE_FILE

if TYPE_CHECKING:
    # Torch: what writes a bundle out of files does not need it.
    from export.parity.gated import Gated
    from export.source import Source

Graph = onnx.ModelProto | Path
WORKSPACE_MB = 1024
LICENCE = "not stated; the weights follow the licences of the teacher and of the data they were distilled from"


@dataclass(frozen=True)
class Text:
    """What answers sentences: a graph (`input_ids`, `attention_mask` -> `coordinates`), tokenizer.json, its limit."""

    graph: Graph
    tokenizer: Path
    longest: int


@dataclass(frozen=True)
class BundleContents:
    """All that a bundle is made of. `contents_of` fills it from a student and what the gate let through.

    Attributes:
        parent: folder of the student artifact: lineage.
        student: name in the zoo. space_id: what gallery, queries and every precision must share.
        preprocessing, modalities, dim: of the student. by_modality: the graphs have an input `modality`.
        graphs: precision -> image graph, in memory or a file; at least one.
        subspace: file of the subspace.
        crops: the check set, of every image modality. reference: float32 [n, k], the live fp32 student's coordinates.
        profile: batch sizes. workspace_mb: for building an engine, at most.
        targets: names of devices that get a recipe (`export.targets`).
        precision: precision -> how it was made (limit, nodes kept in fp32, ...); JSON values.
        kept: precision -> names of nodes that stay in fp32: what a builder without strong typing has to be told.
        parity: precision -> what it reached. gates: precision -> bars; both JSON values.
        min_trt: precision -> the oldest TensorRT that is known to take it.
        text: what answers sentences; None: the cloud does.
        first: the precision that devices try first; None: as `export.bundle.deploy.recipe.PREFERRED` has them.
        about: more of the student (parameters, ...). licence: of the weights.
        reports: file name -> text, or JSON values; lie in `reports/`.
        writer: what wrote it: command and options, JSON values.
    """

    parent: Path
    student: str
    space_id: str
    preprocessing: Preprocessing
    modalities: tuple[Modality, ...]
    dim: int
    graphs: Mapping[str, Graph]
    subspace: Path
    crops: Crops
    reference: NDArray[np.float32]
    by_modality: bool = False
    profile: Profile = DEFAULT
    workspace_mb: int = WORKSPACE_MB
    targets: tuple[str, ...] = ()
    precision: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    kept: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    parity: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    gates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    min_trt: Mapping[str, str | None] = field(default_factory=dict)
    text: Text | None = None
    first: str | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    licence: str = LICENCE
    reports: Mapping[str, Any] = field(default_factory=dict)
    writer: Mapping[str, Any] = field(default_factory=lambda: {"command": "export bundle"})

    def __post_init__(self) -> None:
        if not self.graphs:
            raise ValueError("a bundle needs at least one image graph")
        if self.reference.shape != (len(self.crops), self.dim) or self.reference.dtype != np.float32:
            raise ValueError(
                f"reference is {self.reference.dtype} {self.reference.shape}, expected float32 "
                f"({len(self.crops)}, {self.dim})"
            )


def contents_of(
    source: Source,
    outcomes: Sequence[Gated],
    *,
    space_id: str,
    check: Crops,
    reference: NDArray[np.float32],
    graphs: Mapping[str, Graph] | None = None,
    text_graph: Graph | None = None,
    **options: Any,
) -> BundleContents:
    """The contents for a student.

    Args:
        source: the student.
        outcomes: what the gate let through, by precision.
        space_id: of `export.graph.space`.
        check, reference: as `BundleContents.crops` and `.reference`.
        graphs: instead of the outcomes' own: the same with metadata set, or files of them.
        text_graph: of the text student, if there is one.
        options: further fields of `BundleContents`, and instead of those that are filled here.
    """
    from student.checkpoint import tokenizer_folder

    text = None
    if text_graph is not None and source.reader is not None:
        tokenizer = tokenizer_folder(source.folder) / "tokenizer.json"
        text = Text(text_graph, tokenizer, source.reader.longest)
    filled: dict[str, Any] = {
        "parent": source.folder,
        "student": source.name,
        "space_id": space_id,
        "preprocessing": source.preprocessing,
        "modalities": tuple(m for m in source.modalities if m.is_image or text is not None),
        "dim": source.student.config.dim,
        "by_modality": source.by_modality,
        "graphs": graphs or {gated.precision: gated.model for gated in outcomes},
        "subspace": source.folder / SUBSPACE_FILE,
        "crops": check,
        "reference": reference,
        "text": text,
        "about": {"parameters": sum(parameter.numel() for parameter in source.student.parameters())},
        "kept": {gated.precision: gated.kept for gated in outcomes},
        "parity": {gated.precision: gated.parity.to_dict() for gated in outcomes},
        "gates": {gated.precision: gated.bars.to_dict() for gated in outcomes},
        "precision": {
            gated.precision: {"how": gated.steps[-1].what, "bytes": gated.model.ByteSize(), "passed": gated.passed}
            for gated in outcomes
        },
    }
    return BundleContents(**{**filled, **options})
