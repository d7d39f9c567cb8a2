"""Which graphs two names on the command line mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx

from export.graph.files import load_graph
from export.session import PIXELS
from reid.errors import UserError

PATTERNS = ("student.*.onnx", "model/student.*.onnx")
"""Where a folder has graphs: as `export onnx` leaves it, and as a bundle has it."""


def graphs_in(place: Path) -> list[Path]:
    """The image graphs that a name means: the file itself, or those in the folder.

    Raises:
        UserError: there is none.
    """
    if place.is_file():
        if place.suffix != ".onnx":
            raise UserError(
                f"{place}: not an .onnx file; name a graph or a folder that holds some (unpack a bundle first: tar -xf)"
            )
        return [place]
    if not place.is_dir():
        raise UserError(f"{place}: is not there; expected an .onnx file, or a folder or bundle that holds some")
    found = sorted(path for pattern in PATTERNS for path in place.glob(pattern))
    if not found:
        raise UserError(f"{place}: holds no student.*.onnx; make some with reid export onnx, or name an .onnx file")
    return found


def pairs_of(a: Path, b: Path) -> list[tuple[Path, Path]]:
    """Which graph of A is compared with which of B: those of one file name, or the only one of each.

    Raises:
        UserError: nothing to compare, or it is not clear what.
    """
    ours, theirs = graphs_in(a), graphs_in(b)
    if len(ours) == len(theirs) == 1:
        return [(ours[0], theirs[0])]
    by_name = {path.name: path for path in theirs}
    if pairs := [(path, by_name[path.name]) for path in ours if path.name in by_name]:
        return pairs
    names = " and ".join(", ".join(path.name for path in paths) for paths in (ours, theirs))
    raise UserError(f"{a} and {b}: no graphs of one name ({names}); name the two .onnx files")


def alone(a: Path, b: Path, pairs: Sequence[tuple[Path, Path]]) -> list[str]:
    """A line for each graph of the one that has no counterpart in the other."""
    both = {path for pair in pairs for path in pair}
    return [f"only in {place}: {path.name}" for place in (a, b) for path in graphs_in(place) if path not in both]


def read_graph(path: Path) -> onnx.ModelProto:
    """An image graph.

    Raises:
        UserError: it does not load, or reads no images.
    """
    model = load_graph(path)
    if PIXELS not in {value.name for value in model.graph.input}:
        raise UserError(f"{path}: takes no '{PIXELS}'; expected a graph for images that reid export onnx made")
    return model


def input_size(model: onnx.ModelProto) -> tuple[int, int]:
    """Height and width of the images that a graph takes."""
    (pixels,) = (value for value in model.graph.input if value.name == PIXELS)
    height, width = (axis.dim_value for axis in pixels.type.tensor_type.shape.dim[2:])
    return height, width
