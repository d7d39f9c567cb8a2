"""What a graph says of itself, in its ONNX metadata: enough to use it, and to know what it may be compared with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import onnx

from edge_runtime.preprocess import Preprocessing
from export.crops import IMAGE_MODALITIES
from export.graph.opset import PREFERRED
from export.graph.space import space_id
from export.source import Source
from reid import __version__
from reid.errors import UserError
from reid.modality import Modality
from student.checkpoint import SUBSPACE, TEXT, WEIGHTS

PREFIX = "reid."
SCHEMA = 1
INPUTS = {"image": "rgb 0..255 nchw float32", "text": "token ids and mask int64"}
"""Kind of graph -> what it takes."""


@dataclass(frozen=True)
class Metadata:
    """What is known of a graph.

    Attributes:
        kind: "image" or "text".
        student: name in the zoo. tool: version that wrote it.
        modalities: what it embeds; an image's code is its place in them.
        input: in words. preprocessing: what comes before an image's pixels and, by the graph itself, after.
        dim: k.
        precision: "fp32", "fp16", "bf16" or "int8". opset: that it was written in.
        space_id: see `export.graph.space`.
        weights_sha256: of the safetensors that it was made from.
        subspace_sha256: of the file of the subspace.
        student_manifest_sha256: of the student artifact. parents: kind -> manifest hash, of what that was made from.
        longest: tokens that a text graph takes at most; None for images.
        schema: of these keys.
    """

    kind: Literal["image", "text"]
    student: str
    tool: str
    modalities: tuple[Modality, ...]
    input: str
    preprocessing: Preprocessing
    dim: int
    precision: str
    opset: int
    space_id: str
    weights_sha256: str
    subspace_sha256: str
    student_manifest_sha256: str
    parents: tuple[tuple[str, str], ...] = ()
    longest: int | None = None
    schema: int = SCHEMA

    def to_props(self) -> dict[str, str]:
        """As keys and values of ONNX metadata; equal metadata give equal text."""
        parents = [{"kind": kind, "manifest_sha256": sha256} for kind, sha256 in self.parents]
        values: dict[str, Any] = {
            **{key: value for key, value in vars(self).items() if value is not None},
            "modalities": list(self.modalities),
            "preprocessing": self.preprocessing.to_dict(),
            "parents": parents,
        }
        return {PREFIX + key: _text(value) for key, value in sorted(values.items())}

    @classmethod
    def from_props(cls, props: Mapping[str, str], where: str) -> Metadata:
        """The inverse of `to_props`; keys of other programs are passed over. `where` names the graph in the error.

        Raises:
            UserError: not a graph of ours, of a newer schema, or a value does not fit.
        """
        raw = {key.removeprefix(PREFIX): value for key, value in props.items() if key.startswith(PREFIX)}
        if "schema" not in raw:
            raise UserError(f"{where}: has no metadata of a student's graph; export it with `reid export onnx`")
        if raw["schema"] != str(SCHEMA):
            raise UserError(f"{where}: metadata of schema {raw['schema']}; this version reads {SCHEMA}")
        try:
            kind = raw["kind"]
            if kind not in INPUTS:
                raise ValueError(f"kind '{kind}'")
            return cls(
                kind="image" if kind == "image" else "text",
                student=raw["student"], tool=raw["tool"], input=raw["input"], precision=raw["precision"],
                modalities=tuple(map(Modality, json.loads(raw["modalities"]))),
                preprocessing=Preprocessing.from_dict(json.loads(raw["preprocessing"]), where),
                dim=int(raw["dim"]), opset=int(raw["opset"]), space_id=raw["space_id"],
                weights_sha256=raw["weights_sha256"], subspace_sha256=raw["subspace_sha256"],
                student_manifest_sha256=raw["student_manifest_sha256"],
                parents=tuple((parent["kind"], parent["manifest_sha256"]) for parent in json.loads(raw["parents"])),
                longest=int(raw["longest"]) if "longest" in raw else None,
            )  # fmt: skip
        except (KeyError, ValueError, TypeError) as error:
            raise UserError(f"{where}: its metadata do not fit ({type(error).__name__}: {error})") from error


def describe(source: Source, *, text: bool = False, precision: str = "fp32", opset: int = PREFERRED) -> dict[str, str]:
    """The metadata of a graph of this student.

    Args:
        source: the student.
        text: of the graph for sentences.
        precision, opset: that it has.
    """
    files = source.manifest.files
    assert not text or source.text is not None
    return Metadata(
        kind="text" if text else "image",
        student=source.name,
        tool=__version__,
        modalities=(Modality.TEXT,) if text else IMAGE_MODALITIES,
        input=INPUTS["text" if text else "image"],
        preprocessing=source.preprocessing,
        dim=source.student.config.dim,
        precision=precision,
        opset=opset,
        space_id=space_id(source),
        weights_sha256=files[f"{TEXT}/{WEIGHTS}" if text else WEIGHTS].sha256,
        subspace_sha256=files[SUBSPACE].sha256,
        student_manifest_sha256=source.manifest.sha256,
        parents=tuple((parent.kind, parent.manifest_sha256) for parent in source.manifest.parents),
        longest=source.text.config.longest if text and source.text is not None else None,
    ).to_props()


def set_metadata(model: onnx.ModelProto, values: Mapping[str, str]) -> None:
    """Put keys and values into a graph's metadata, in the order of the keys; other keys stay as they are."""
    merged = {**read_metadata(model), **values}
    del model.metadata_props[:]
    for key in sorted(merged):
        model.metadata_props.add(key=key, value=merged[key])


def read_metadata(model: onnx.ModelProto) -> dict[str, str]:
    """All keys and values of a graph's metadata."""
    return {entry.key: entry.value for entry in model.metadata_props}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
