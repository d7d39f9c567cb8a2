"""What a bundle's manifest says in its `details`, read with suspicion."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from edge_runtime.bundle.layout import SCHEMA
from edge_runtime.preprocess import Preprocessing
from reid import __version__
from reid.errors import UserError
from reid.modality import Modality

Value = TypeVar("Value")


@dataclass(frozen=True)
class GraphFile:
    """An ONNX graph, or an OpenVINO model.

    Attributes:
        path: inside the bundle. role: "image" or "text". format: "onnx" or "openvino".
        precision: "fp32", "fp16", "bf16" or "int8".
        typing: "strong": every tensor has the type in which it is to be computed, and a builder is to keep it.
        opset, ir: ONNX versions; 0 for another format.
        min_trt: the oldest TensorRT that is known to take it; None: not known, or it is not for TensorRT.
    """

    path: str
    role: str
    format: str
    precision: str
    typing: str = "strong"
    opset: int = 0
    ir: int = 0
    min_trt: str | None = None


@dataclass(frozen=True)
class Profile:
    """Batch sizes that an engine is built for: at least, preferably, at most."""

    min: int
    opt: int
    max: int


@dataclass(frozen=True)
class TextFiles:
    """What answers sentences: the tokenizer's path inside the bundle, and how many tokens it keeps."""

    tokenizer: str
    longest: int


@dataclass(frozen=True)
class Description:
    """The parts of `details` that the runtime relies on; docs/bundle.md lists all.

    Attributes:
        space_id: what gallery, queries and every precision must share.
        student: name in the zoo.
        dim: k, numbers of an embedding.
        preprocessing: from an image to the graph's pixels. Its mean and std are inside the graph already.
        modalities: what the student answers. by_modality: the graph has an input `modality`.
        graphs: all of them.
        profile: batch sizes. workspace_mb: for building, at most.
        gates: bars that an engine has to pass before it is used, by precision.
        targets: names of devices that there is a recipe for.
        text: None: sentences need the cloud.
        licence: of the weights, in words.
    """

    space_id: str
    student: str
    dim: int
    preprocessing: Preprocessing
    modalities: tuple[Modality, ...]
    by_modality: bool
    graphs: tuple[GraphFile, ...]
    profile: Profile
    workspace_mb: int
    gates: Mapping[str, Any]
    targets: tuple[str, ...]
    text: TextFiles | None
    licence: str


def refuse_newer(schema: object, where: str) -> None:
    """Raises UserError for a major version above ours, or for what is no version."""
    matched = re.fullmatch(r"(\d{1,6})\.(\d{1,6})", schema) if isinstance(schema, str) else None
    if matched is None:
        raise UserError(f"{where}: bundle schema {schema!r}; expected a version such as {SCHEMA}; make it again")
    ours = int(SCHEMA.partition(".")[0])
    if int(matched[1]) > ours:
        raise UserError(
            f"{where}: bundle schema {schema}; reid-distill {__version__} reads {ours}.x; install a newer version"
        )


def describe(details: Mapping[str, Any], where: str) -> Description:
    """The `details` of a manifest of this schema; keys that are not known are ignored.

    Raises:
        UserError: a key is missing or of another type, or the schema is newer.
    """
    refuse_newer(details.get("schema"), where)
    try:
        return Description(
            space_id=_of(details, "space_id", str),
            student=_of(_of(details, "student", dict), "name", str),
            dim=_positive(_of(details, "output", dict), "dim"),
            preprocessing=Preprocessing.from_dict(_of(details, "preprocessing", dict), where),
            modalities=tuple(Modality.parse(_is(name, str, "modalities"), where) for name in details["modalities"]),
            by_modality=_of(_of(details, "input", dict), "modality", (dict, type(None))) is not None,
            graphs=tuple(_graph(_is(raw, dict, "graphs")) for raw in _of(details, "graphs", list)),
            profile=_profile(_of(details, "profile", dict)),
            workspace_mb=_positive(details, "workspace_mb"),
            gates=_of(details, "gates", dict),
            targets=tuple(_is(name, str, "targets") for name in _of(details, "targets", list)),
            text=_text(_of(details, "text", (dict, type(None)))),
            licence=_of(details, "licence", str),
        )
    except KeyError as error:
        raise UserError(f"{where}: details have no {error}; make the bundle again") from error
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: details do not fit ({error}); make the bundle again") from error


def _graph(raw: dict[str, Any]) -> GraphFile:
    text: Callable[[str], str] = lambda key: _of(raw, key, str)  # noqa: E731
    return GraphFile(
        text("path"), text("role"), text("format"), text("precision"), text("typing"), _of(raw, "opset", int),
        _of(raw, "ir", int), _of(raw, "min_trt", (str, type(None))),
    )  # fmt: skip


def _profile(raw: dict[str, Any]) -> Profile:
    made = Profile(_positive(raw, "min"), _positive(raw, "opt"), _positive(raw, "max"))
    if not made.min <= made.opt <= made.max:
        raise ValueError(f"profile {made.min},{made.opt},{made.max} is not in ascending order")
    return made


def _text(raw: dict[str, Any] | None) -> TextFiles | None:
    return None if raw is None else TextFiles(_of(raw, "tokenizer", str), _positive(raw, "longest"))


def _positive(raw: Mapping[str, Any], key: str) -> int:
    value: int = _of(raw, key, int)
    if value < 1:
        raise ValueError(f"'{key}' is {value}")
    return value


def _of(raw: Mapping[str, Any], key: str, kind: Any) -> Any:
    return _is(raw[key], kind, key)


def _is(value: Any, kind: Any, key: str) -> Any:
    # JSON's true is an int to Python and no number to anybody else.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"'{key}' is a {type(value).__name__}")
    return value
