"""One graph beside another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import onnx

from export.crops import Crops
from export.diff.outputs import Departs, departures
from export.diff.types import Layer, layers_of
from export.parity.gate import compare_crops
from export.parity.measure import Parity
from export.precision.typed import TypedEvaluator
from reid.errors import UserError
from reid.evaluation import format_table


@dataclass(frozen=True)
class LayerDiff:
    """A node that both graphs have. `departs` None: its output was not compared."""

    a: Layer
    b: Layer
    departs: Departs | None

    @property
    def types_differ(self) -> bool:
        """Whether it computes in another type in B."""
        return self.a.type != self.b.type

    def row(self) -> dict[str, str]:
        """For a table."""
        apart = self.departs
        return {
            "layer": self.a.name,
            "op": self.a.op,
            "A": self.a.type,
            "B": self.b.type,
            "max error": "-" if apart is None else f"{apart.error:.2e}",
            "cosine": "-" if apart is None else f"{apart.cosine:.6f}",
            "non-finite": "-" if apart is None else str(apart.nonfinite),
        }

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; null where a number is infinite."""
        apart = {} if self.departs is None else asdict(self.departs)
        numbers = {key: value if isfinite(value) else None for key, value in apart.items()}
        return {"layer": self.a.name, "op": self.a.op, "a": self.a.type, "b": self.b.type, **numbers}


@dataclass(frozen=True)
class Diff:
    """What B differs in from A.

    Attributes:
        a, b: the files. layers: nodes of both, worst first. only_a, only_b: nodes of one alone.
        changers: (of A, of B) nodes that only change types. bytes: (of A, of B).
        types: (of A, of B) type -> nodes that compute in it. metadata: key -> (in A, in B), where they differ.
        parity: of B's embeddings with A's, if both were run; images: on how many crops, and which.
    """

    a: Path
    b: Path
    layers: tuple[LayerDiff, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    changers: tuple[int, int]
    bytes: tuple[int, int]
    types: tuple[Mapping[str, int], Mapping[str, int]]
    metadata: Mapping[str, tuple[str | None, str | None]]
    parity: Parity | None
    images: str

    @property
    def differing(self) -> int:
        """Layers that compute in another type."""
        return sum(layer.types_differ for layer in self.layers)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "a": str(self.a),
            "b": str(self.b),
            "bytes": list(self.bytes),
            "types": [dict(types) for types in self.types],
            "type_changes": list(self.changers),
            "differing": self.differing,
            "only_a": list(self.only_a),
            "only_b": list(self.only_b),
            "metadata": {key: list(values) for key, values in self.metadata.items()},
            "images": self.images,
            "parity": None if self.parity is None else self.parity.to_dict(),
            "layers": [layer.to_dict() for layer in self.layers],
        }

    def text(self, *, rows: int | None = 20, every: bool = False) -> str:
        """For people.

        Args:
            rows: of the table of layers; None: all. every: also layers that compute in the same type.
        """
        shown = [layer for layer in self.layers if every or layer.types_differ]
        cut = shown if rows is None else shown[:rows]
        lines = [f"A {self.a}", f"B {self.b}", *self._sizes(), ""]
        if cut:
            lines.append(format_table([layer.row() for layer in cut]))
            lines.append(f"max error: greatest difference on {self.images}, relative to the greatest value in A")
        elif not every:
            lines.append("no layer computes in another type; --all shows how far equal types are apart")
        if len(shown) > len(cut):
            lines.append(f"{len(shown) - len(cut)} more layers; --all shows them")
        if self.parity is not None:
            lines += ["", f"embeddings of B beside A's: {self.parity}"]
        lines += [
            f"only in {side}: {_some(names)}" for side, names in (("A", self.only_a), ("B", self.only_b)) if names
        ]
        for key, (one, other) in self.metadata.items():
            lines.append(f"metadata {key}: {_short(one)} in A, {_short(other)} in B")
        return "\n".join(lines)

    def _sizes(self) -> list[str]:
        def told(place: int) -> str:
            return ", ".join(f"{count} {name}" for name, count in self.types[place].items())

        a, b = self.bytes
        layers = f"{self.differing} of {len(self.layers)} layers compute in another type"
        return [
            f"size {a:,} and {b:,} bytes: B has {b / a:.1%} of A",
            f"layers of A: {told(0)}; of B: {told(1)}",
            f"{layers}; nodes that only change types: {self.changers[0]} in A, {self.changers[1]} in B",
        ]


def diff_graphs(
    a: tuple[Path, onnx.ModelProto], b: tuple[Path, onnx.ModelProto], crops: Crops | None, *, threads: int = 0
) -> Diff:
    """What two graphs differ in.

    Args:
        a, b: file and graph. crops: to run both on; None: nothing is run.
        threads: of the typed evaluation; 0: as many as there are cores.

    Raises:
        UserError: types cannot be told, or the graphs do not take the same crops.
    """
    (path_a, graph_a), (path_b, graph_b) = a, b
    (mine, changers_a), (theirs, changers_b) = layers_of(graph_a, str(path_a)), layers_of(graph_b, str(path_b))
    both = [name for name in mine if name in theirs]
    apart: dict[str, Departs] = {}
    parity = None
    if crops is not None:
        _expect_same_input(a, b)
        pairs = {name: (mine[name].output, theirs[name].output) for name in both}
        apart = departures(graph_a, graph_b, pairs, crops, threads=threads)
        one, other = (TypedEvaluator(graph, threads=threads).run(crops) for graph in (graph_a, graph_b))
        parity = compare_crops(one, other, crops)
    layers = [LayerDiff(mine[name], theirs[name], apart.get(name)) for name in both]
    # Of equal errors, the first in the graph.
    layers.sort(key=lambda layer: -1.0 if layer.departs is None else layer.departs.error, reverse=True)
    return Diff(
        path_a,
        path_b,
        tuple(layers),
        tuple(name for name in mine if name not in theirs),
        tuple(name for name in theirs if name not in mine),
        (changers_a, changers_b),
        (path_a.stat().st_size, path_b.stat().st_size),
        (_counted(mine), _counted(theirs)),
        _metadata(graph_a, graph_b),
        parity,
        "no crops" if crops is None else f"{len(crops)} crops ({crops.origin})",
    )


def _counted(layers: Mapping[str, Layer]) -> dict[str, int]:
    return dict(Counter(layer.type for layer in layers.values()).most_common())


def _metadata(a: onnx.ModelProto, b: onnx.ModelProto) -> dict[str, tuple[str | None, str | None]]:
    one, other = ({entry.key: entry.value for entry in model.metadata_props} for model in (a, b))
    keys = [*one, *(key for key in other if key not in one)]
    return {key: (one.get(key), other.get(key)) for key in keys if one.get(key) != other.get(key)}


def _expect_same_input(a: tuple[Path, onnx.ModelProto], b: tuple[Path, onnx.ModelProto]) -> None:
    def told(model: onnx.ModelProto) -> str:
        return ", ".join(
            f"{value.name} [{', '.join(str(d.dim_value or d.dim_param) for d in value.type.tensor_type.shape.dim)}]"
            for value in model.graph.input
        )

    if told(a[1]) != told(b[1]):
        raise UserError(f"{b[0]}: takes {told(b[1])}, and {a[0]} takes {told(a[1])}; expected graphs of one student")


def _short(value: str | None) -> str:
    if value is None:
        return "absent"
    return value if len(value) <= 60 else f"{value[:57]}..."


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
