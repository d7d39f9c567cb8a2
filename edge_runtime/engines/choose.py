"""Which engine serves: the first, from the fastest down, that runs and answers the check crops as the student did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edge_runtime.bundle import Bundle, CheckSet
from edge_runtime.engines.check import Verdict, judge
from edge_runtime.engines.engine import Engine
from edge_runtime.engines.onnxruntime import CPU, INSTALL, TENSORRT, OnnxRuntimeEngine, providers, settings_of
from edge_runtime.engines.openvino import OpenVinoEngine
from edge_runtime.engines.tensorrt.cache import place
from reid.errors import UserError

ENGINES = ("auto", "tensorrt", "onnxruntime", "openvino")
ON_GPU = ("fp16", "fp32", "bf16", "int8")
"""Precisions in the order in which a GPU is to try them. INT8 last: on NVIDIA's, a transformer is often no faster."""
ON_CPU = ("fp32", "fp16", "bf16", "int8")
"""The same for a CPU, which computes fp16 in fp32 and so gains nothing by it. INT8 is fast there but changes
neighbours: it is taken where nothing else is in the bundle, or where it is asked for."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Tried:
    """An engine that was not taken, and why."""

    engine: str
    why: str

    def __str__(self) -> str:
        return f"{self.engine}: {self.why}"


@dataclass(frozen=True)
class Serving:
    """The engine that serves.

    Attributes:
        engine: it. precision: of its graph. why: it, in words.
        verdict: what it did with the check crops. tried: what came before it and was not taken.
    """

    engine: Engine
    precision: str
    why: str
    verdict: Verdict
    tried: tuple[Tried, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "name": self.engine.name, "provider": self.engine.provider, "precision": self.precision, "why": self.why,
            "check": self.verdict.to_dict(), "tried": [str(tried) for tried in self.tried],
        }  # fmt: skip

    def __str__(self) -> str:
        return f"{self.engine.name} ({self.engine.provider}), {self.precision}: {self.why}"


@dataclass(frozen=True)
class Candidate:
    """An engine that could serve, not opened yet.

    Attributes:
        name: for people. precision: of its graph. why: it comes where it comes, in words.
        open: opens it. notice: what to know before it is opened.
    """

    name: str
    precision: str
    why: str
    open: Callable[[], Engine]
    notice: str = ""


def candidates(
    bundle: Bundle, engine: str, precision: str | None, *, threads: int = 0, cache: Path | None = None
) -> Iterator[Candidate]:
    """Engines other than TensorRT itself that this installation offers, from the fastest down.

    Args:
        engine: "auto", "onnxruntime" or "openvino". precision: the only one that will do; None: any.

    Raises:
        UserError: the bundle lacks the precision.
    """
    if engine in ("auto", "onnxruntime"):
        for provider in providers():
            # ONNX Runtime's own TensorRT builds for minutes without a word: not unless it is asked for.
            if provider == TENSORRT and engine == "auto":
                continue
            for chosen in _precisions(bundle, precision, ON_CPU if provider == CPU else ON_GPU):
                path = bundle.file(bundle.graph(chosen).path)
                why = _why(engine, f"ONNX Runtime's {provider.removesuffix('ExecutionProvider')} provider")
                kept = place(bundle.folder, cache) if provider == TENSORRT else None
                settings = settings_of(provider, chosen, kept)
                opening = partial(OnnxRuntimeEngine, path, provider, threads=threads, settings=settings)
                notice = (
                    "" if kept is None else f"builds its engine in {kept} the first time, for minutes without a word"
                )
                yield Candidate(f"onnxruntime {provider} {chosen}", chosen, why, opening, notice)
    if engine == "openvino" or (engine == "auto" and find_spec("openvino") is not None):
        for chosen, path in _for_openvino(bundle, precision):
            compiling = partial(OpenVinoEngine, path, threads=threads)
            yield Candidate(f"openvino CPU {chosen}", chosen, _why(engine, "OpenVINO"), compiling)


def choose(
    bundle: Bundle, check: CheckSet, offered: Iterator[Candidate], say: Say, tried: tuple[Tried, ...] = ()
) -> Serving:
    """The first candidate that opens and passes the check crops.

    Args:
        tried: what came before these.

    Raises:
        UserError: none does; each with why.
    """
    gates = bundle.description.gates
    for candidate in offered:
        if candidate.notice:
            say(f"{candidate.name}: {candidate.notice}")
        try:
            engine = candidate.open()
            verdict = judge(engine, check, candidate.precision, gates)
        except UserError as error:
            tried = _not(tried, candidate.name, str(error), say)
            continue
        if verdict.missed:
            engine.close()
            why = f"does not answer the check crops as the student did ({'; '.join(verdict.missed)})"
            tried = _not(tried, candidate.name, why, say)
            continue
        return Serving(engine, candidate.precision, candidate.why, verdict, tried)
    told = "; ".join(map(str, tried)) or f"neither onnxruntime nor openvino is installed; {INSTALL}"
    raise UserError(f"{bundle.folder}: no engine can serve it here: {told}")


def _not(tried: tuple[Tried, ...], name: str, why: str, say: Say) -> tuple[Tried, ...]:
    say(f"{name}: not used: {why}")
    return (*tried, Tried(name, why))


def _why(engine: str, what: str) -> str:
    return f"asked for, by {what}" if engine != "auto" else f"the fastest that runs here: {what}"


def _precisions(bundle: Bundle, asked: str | None, order: tuple[str, ...]) -> list[str]:
    """Of the bundle's ONNX graphs; `asked` alone if it is given and there."""
    there = [name for name in order if name in bundle.precisions]
    if asked is None:
        return there
    if asked not in there and not _is_openvino(bundle, asked):
        bundle.graph(asked)  # refuses, and names those that there are
    return [asked] if asked in there else []


def _for_openvino(bundle: Bundle, asked: str | None) -> list[tuple[str, Path]]:
    """Precisions and files; of int8 OpenVINO's own model before the ONNX graph."""
    found = [(name, bundle.file(bundle.graph(name).path)) for name in _precisions(bundle, asked, ON_CPU)]
    if not _is_openvino(bundle, "int8") or asked not in (None, "int8"):
        return found
    own = ("int8", bundle.file(bundle.graph("int8", format="openvino").path))
    return [own, *found] if asked == "int8" else [*[pair for pair in found if pair[0] != "int8"], own]


def _is_openvino(bundle: Bundle, precision: str) -> bool:
    return any((g.role, g.format, g.precision) == ("image", "openvino", precision) for g in bundle.description.graphs)
