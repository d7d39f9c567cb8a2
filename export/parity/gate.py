"""The gate: a conversion keeps more in fp32 until its graph still recognises people, or is not let through.

Each graph is judged by a typed evaluation, in which every tensor is rounded to its declared type: ONNX Runtime's CPU
kernels compute fp16 in fp32 and hide an overflow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import onnx
from numpy.typing import NDArray

from export.crops import Crops
from export.int8.qdq import Activations
from export.int8.quantise import Typed
from export.parity.bars import Bars, bars_of, judge, unmeasured
from export.parity.floor import with_rounded_weights
from export.parity.gated import MB, BelowTheBarError, Gated, Step
from export.parity.measure import Parity, compare
from export.parity.mend import mended, nodes_in_fp32
from export.parity.reference import reference_embeddings
from export.parity.retrieval import Retrieval, RetrievalTask
from export.precision.departs import first_departure
from export.precision.fp16 import LIMIT, range_guided
from export.precision.numbers import Dtype
from export.precision.ranges import activation_ranges
from export.precision.sizes import weight_bytes
from export.precision.typed import TypedEvaluator
from export.session import open_session, run_crops
from export.source import Source
from reid.errors import UserError

_LEAST = 2.0**-6
"""Below this limit no node is left that computes anything in half precision."""
_NO_GAIN = 0.97
"""Weights of more than this share of the fp32 graph's bytes are not worth their rounding."""
_FEW = 4
"""Crops that the departing tensor is looked for with."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Attempt:
    """A graph to be judged: how it was made, and the names of the nodes that stayed in a wider type."""

    what: str
    model: onnx.ModelProto
    kept: tuple[str, ...]


@dataclass
class Gate:
    """Judges graphs of one precision and remembers what it saw.

    Attributes:
        fp32: the graph that all are made from. reference: float32 [n, k], the student's embeddings of `check`.
        check: crops. bars: to reach. task: the test people, if there are any. say: takes a line of progress.
        threads: of the typed evaluation; 0: as many as there are cores. label: what progress calls it.
    """

    fp32: onnx.ModelProto
    reference: NDArray[np.float32]
    check: Crops
    bars: Bars
    task: RetrievalTask | None
    say: Say
    threads: int = 0
    label: str = ""
    steps: list[Step] = field(default_factory=list)
    _best: tuple[Attempt, Step, Retrieval | None] | None = None
    _departure: str = ""

    def passes(self, attempt: Attempt) -> bool:
        """Whether it reaches every bar. The one that comes nearest is kept."""
        embed = _typed(attempt.model, self.threads)
        parity = compare_crops(self.reference, embed(self.check), self.check)
        missed, retrieval = judge(parity, None, self.bars), None
        if not missed and self.task is not None:
            retrieval = self.task.score(embed)
            missed = judge(parity, retrieval, self.bars)
        step = Step(attempt.what, len(attempt.kept), attempt.model.ByteSize(), parity, tuple(missed))
        self.say(
            f"{self.label or self.bars.precision}, {step.what}: {step.bytes / MB:.2f} MB, {step.kept} nodes kept, "
            f"{parity}{'; misses its bar' if missed else ''}"
        )
        if missed and not self._departure and attempt.model is not self.fp32:
            self._departure = departing(attempt.model, self.fp32, self._telling(parity))
        self.steps.append(step)
        if (
            self._best is None
            or not missed
            or (self._best[1].missed and _nearness(step, self.bars) > _nearness(self._best[1], self.bars))
        ):
            self._best = attempt, step, retrieval
        return not missed

    @property
    def passed(self) -> bool:
        """Whether a graph reached every bar."""
        return any(not step.missed for step in self.steps)

    def result(self, notes: Iterable[str] = ()) -> Gated:
        """The graph that passed last, or the one that came nearest."""
        assert self._best is not None
        attempt, step, retrieval = self._best
        if retrieval is None and self.task is not None:
            retrieval = self.task.score(_typed(attempt.model, self.threads))
        told = (*notes, *unmeasured(retrieval, self.bars))
        return Gated(
            self.bars.precision, attempt.model, attempt.kept, self.bars, step.parity, step.missed, tuple(self.steps),
            self.fp32.ByteSize(), retrieval, self._departure, told,
        )  # fmt: skip

    def _telling(self, parity: Parity) -> Crops:
        """The crop that is worst, and a few others."""
        worst = [row for row, sample in enumerate(self.check.samples) if sample.sample_id == parity.worst]
        others = [row for row in range(len(self.check)) if row not in worst]
        return self.check.take([*worst, *others][:_FEW])


def passing_half(
    fp32_graph: onnx.ModelProto,
    source: Source,
    calibration: Crops,
    check: Crops,
    *,
    dtype: Dtype = "fp16",
    backend: str = "range",
    allow_drift: bool = False,
    task: RetrievalTask | None = None,
    bars: Bars | None = None,
    say: Say = lambda line: None,
    label: str = "",
    threads: int = 0,
) -> Gated:
    """A graph in half precision that reaches its bars.

    Args:
        fp32_graph: of the student. source: the student, which is held against.
        calibration: crops whose activations decide what stays in fp32. check: crops that it is judged by.
        dtype: "fp16" or "bf16". backend: "range": activations decide, and more stays in fp32 until the bars are
            reached; "autocast": the same by NVIDIA Model Optimizer.
        allow_drift: give the graph that comes nearest where none reaches the bars.
        task: the test people, for the retrieval table. bars: instead of the precision's own.
        say: takes a line of progress. label: what that calls it; "": the precision.
        threads: of the typed evaluation; 0: as many as there are cores.

    Raises:
        BelowTheBarError: none reaches the bars; the bar and the first tensor that departs are named.
        UserError: there is no such dtype or backend, or its package is not installed.
    """
    if dtype not in ("fp16", "bf16") or backend not in ("range", "autocast"):
        raise UserError(f"half precision '{dtype}' by '{backend}'; expected fp16 or bf16 by range or autocast")
    gate = _gate(fp32_graph, source, check, bars or bars_of(dtype), task, say, threads)
    gate.label = label
    attempts = (_by_range if backend == "range" else _by_autocast)(fp32_graph, calibration, dtype, threads)
    notes: list[str] = []
    first: Attempt | None = None
    whole = weight_bytes(fp32_graph)
    for attempt in attempts:
        size = weight_bytes(attempt.model)
        if gate.steps and size > _NO_GAIN * whole:
            notes.append(
                f"with {attempt.what} weights would take {size / MB:.2f} MB, in fp32 {whole / MB:.2f} MB: there is "
                "nothing left to gain"
            )
            break
        first = first or attempt
        if gate.passes(attempt):
            break
    else:
        notes.append("every set of nodes that a limit chooses was tried")
    if first is not None and not gate.passed:
        notes.append(_floor(gate, first))
    return _let_through(gate.result(notes), allow_drift)


def passing_int8(
    fp32_graph: onnx.ModelProto,
    source: Source,
    calibration: Crops,
    check: Crops,
    *,
    allow_drift: bool = False,
    task: RetrievalTask | None = None,
    bars: Bars | None = None,
    typed: Typed = "fp32",
    activations: Activations = "int8",
    rest: onnx.ModelProto | None = None,
    say: Say = lambda line: None,
    label: str = "",
    threads: int = 0,
) -> Gated:
    """A graph in int8 that reaches its bars: the layers that lose most are taken out of int8 until it does.

    Args:
        typed, activations, rest: as of `export.int8.quantise.quantise`.
        others: as of `passing_half`.

    Raises:
        BelowTheBarError: none reaches the bars, or only one in which nothing is int8.
    """
    from export.int8.search import int8_graph

    gate = _gate(fp32_graph, source, check, bars or bars_of("int8"), task, say, threads)
    gate.label = label
    layers = len(weighted(fp32_graph))

    def passes(model: onnx.ModelProto) -> bool:
        kept = unquantised(model, fp32_graph)
        return gate.passes(Attempt(f"{layers - len(kept)} of {layers} layers int8", model, kept))

    made = int8_graph(
        fp32_graph, calibration, check, passes=passes, typed=typed, activations=activations, rest=rest, threads=threads
    )
    gated = gate.result([str(made)])
    gated = replace(gated, details=made.to_dict())
    if gated.passed and len(gated.kept) == layers:
        gated = replace(gated, missed=("the bars are reached only by a graph in which nothing is int8",))
    return _let_through(gated, allow_drift)


def passing_fp32(
    fp32_graph: onnx.ModelProto,
    source: Source,
    check: Crops,
    *,
    allow_drift: bool = False,
    task: RetrievalTask | None = None,
    say: Say = lambda line: None,
    threads: int = 0,
) -> Gated:
    """The fp32 graph itself, run by ONNX Runtime, against the student in torch. Args and errors as `passing_half`."""
    gate = _gate(fp32_graph, source, check, bars_of("fp32"), task, say, threads)
    gate.passes(Attempt("all in fp32", fp32_graph, ()))
    return _let_through(gate.result(), allow_drift)


def compare_crops(reference: NDArray[np.float32], found: NDArray[np.float32], crops: Crops) -> Parity:
    """`compare` of embeddings of crops, which are named by their samples."""
    return compare(reference, found, crops.modalities, names=[sample.sample_id for sample in crops.samples])


def departing(model: onnx.ModelProto, fp32: onnx.ModelProto, crops: Crops) -> str:
    """The first tensor that departs from the fp32 graph's, in words; "" if none does by itself."""
    found = first_departure(model, fp32, crops)
    return "" if found is None else f"{found}; crop {found.crop + 1} is {crops.samples[found.crop].sample_id}"


def weighted(model: onnx.ModelProto) -> list[str]:
    """Names of the layers that int8 is for."""
    from export.int8.layers import chosen_layers

    return [layer.node for layer in chosen_layers(model)]


def unquantised(model: onnx.ModelProto, fp32: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the layers with weights that do not take their weights from int8."""
    from_int8 = {name for node in model.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    passing = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type in ("Cast", "Transpose")}
    taken = {
        node.name for node in model.graph.node if any(passing.get(name, name) in from_int8 for name in node.input[1:2])
    }
    return tuple(name for name in weighted(fp32) if name not in taken)


def _gate(
    fp32: onnx.ModelProto, source: Source, check: Crops, bars: Bars, task: RetrievalTask | None, say: Say, threads: int
) -> Gate:
    return Gate(fp32, reference_embeddings(source, check), check, bars, task, say, threads)


def _by_range(fp32: onnx.ModelProto, calibration: Crops, dtype: Dtype, threads: int) -> Iterator[Attempt]:
    """The default limit's graph; then what leads to the tensors that depart is kept, too; then limits are halved."""
    ranges = activation_ranges(fp32, calibration, threads=threads)
    half = range_guided(fp32, ranges, LIMIT, dtype=dtype)
    yield Attempt(_above(LIMIT), half.model, half.kept)
    few = calibration.take(_spread(calibration))
    for node, model, kept in mended(fp32, half.model, half.kept, few, dtype, threads=threads):
        if weight_bytes(model) > _NO_GAIN * weight_bytes(fp32):
            break
        yield Attempt(f"{_above(LIMIT)}, and up to {node}", model, kept)
    limit, before = LIMIT / 2, half.kept
    while limit >= _LEAST:
        half = range_guided(fp32, ranges, limit, dtype=dtype)
        if half.kept != before:
            yield Attempt(_above(limit), half.model, half.kept)
        limit, before = limit / 2, half.kept


def _above(limit: float) -> str:
    return f"activations above {limit:g} in fp32"


def _spread(crops: Crops) -> list[int]:
    """Places of a few crops, of one modality after the other."""
    of_modality = [np.flatnonzero(crops.codes == code).tolist() for code in np.unique(crops.codes)]
    turns = [rows[turn] for turn in range(_FEW) for rows in of_modality if turn < len(rows)]
    return turns[: max(_FEW, len(of_modality))]


def _by_autocast(fp32: onnx.ModelProto, calibration: Crops, dtype: Dtype, threads: int) -> Iterator[Attempt]:
    """The same by Model Optimizer, which takes longer: with fewer limits."""
    from export.precision.autocast import autocast

    limit, before = LIMIT, None
    while limit >= _LEAST:
        model = autocast(fp32, calibration, limit=limit, dtype=dtype)
        kept = nodes_in_fp32(model, fp32)
        if kept != before:
            yield Attempt(f"AutoCast with activations above {limit:g} in fp32", model, kept)
        limit, before = limit / 8, kept


def _floor(gate: Gate, first: Attempt) -> str:
    """What the first graph's rounding of weights costs by itself, and what follows."""
    found = run_crops(open_session(with_rounded_weights(gate.fp32, first.model), threads=gate.threads), gate.check)
    parity = compare_crops(gate.reference, found, gate.check)
    told = f"with its weights rounded to {gate.bars.precision} and everything else in fp32: {parity}"
    if judge(parity, None, gate.bars):
        return f"{told}; so the student itself does not bear rounded weights, whatever is computed in fp32"
    return f"{told}; so what its layers compute is to blame, not its weights"


def _typed(model: onnx.ModelProto, threads: int) -> Callable[[Crops], NDArray[np.float32]]:
    """Crops -> embeddings by a typed evaluation; of a graph that is fp32 throughout ONNX Runtime's is one."""
    if not _narrow(model):
        session = open_session(model, threads=threads)
        return lambda crops: run_crops(session, crops)
    return TypedEvaluator(model, threads=threads).run


def _narrow(model: onnx.ModelProto) -> bool:
    """Whether any weight is in another float type than fp32, or anything is cast or quantised."""
    narrow = {onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
    return any(tensor.data_type in narrow for tensor in model.graph.initializer) or any(
        node.op_type == "QuantizeLinear"
        or (node.op_type == "Cast" and any(attribute.i in narrow for attribute in node.attribute))
        for node in model.graph.node
    )


def _nearness(step: Step, bars: Bars) -> tuple[float, ...]:
    """Greater is nearer to the bars."""
    cosine = step.parity.cosine_min if bars.cosine_min is not None else step.parity.cosine_mean
    return (-step.parity.nonfinite_rows, -1.0 if np.isnan(cosine) else cosine, -step.bytes)


def _let_through(gated: Gated, allow_drift: bool) -> Gated:
    if gated.passed:
        return gated
    if not allow_drift:
        raise BelowTheBarError(gated)
    return replace(gated, notes=(*gated.notes, "let through below its bar, because drift was allowed"))
