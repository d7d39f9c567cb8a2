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
from edge_runtime.engines.onnxruntime import CPU, TENSORRT, OnnxRuntimeEngine, providers, settings_of
from edge_runtime.engines.openvino import OpenVinoEngine
from edge_runtime.engines.tensorrt.cache import place
from reid.errors import UserError

ENGINES = ("auto", "tensorrt", "onnxruntime", "openvino")
ON_GPU = ("fp16", "fp32", "bf16", "int8")
"""Precisions in the order in which a GPU is to try them. INT8 last: on NVIDIA's, a transformer is often no faster."""
ON_CPU = ("fp32", "fp16", "bf16", "int8-cpu", "int8")
"""The same for a CPU, which computes fp16 in fp32 and so gains nothing by it. INT8 is fast there but changes
neighbours: it is taken where nothing else is in the bundle, or where it is asked for."""
_MEANT = {"int8": ("int8-cpu", "int8")}
"""Precision that is asked for -> graphs that are meant: CPUs have one of their own for int8."""

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

    @property
    def name(self) -> str:
        """ "onnxruntime", "openvino" or "tensorrt"."""
        return self.engine.name

    @property
    def provider(self) -> str:
        """What of it computes."""
        return self.engine.provider

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
    """
    if engine in ("auto", "onnxruntime"):
        there = providers()
        if not there:
            # Opening it says what is wrong with the installation.
            yield Candidate("onnxruntime", "fp32", "", partial(OnnxRuntimeEngine, bundle.folder))
        for provider in there:
            # ONNX Runtime's own TensorRT builds for minutes without a word: not unless it is asked for.
            if provider == TENSORRT and engine == "auto":
                continue
            for chosen in _precisions(bundle, precision, ON_CPU if provider == CPU else ON_GPU):
                path = bundle.file(bundle.graph(chosen).path)
                why = _why(engine, f"ONNX Runtime's {provider.removesuffix('ExecutionProvider')} provider")
                kept = _kept(bundle, cache) if provider == TENSORRT else None
                settings = settings_of(provider, chosen, kept)
                opening = partial(OnnxRuntimeEngine, path, provider, threads=threads, settings=settings)
                notice = "" if provider != TENSORRT else "builds an engine the first time, for minutes without a word"
                yield Candidate(f"onnxruntime {provider} {chosen}", chosen, why, opening, notice)
    if engine == "openvino" or (engine == "auto" and find_spec("openvino") is not None):
        for chosen in _precisions(bundle, precision, ON_CPU):
            path = bundle.file(bundle.graph(chosen).path)
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
    raise UserError(f"{bundle.folder}: no engine can serve it here: {'; '.join(map(str, tried))}")


def _not(tried: tuple[Tried, ...], name: str, why: str, say: Say) -> tuple[Tried, ...]:
    say(f"{name}: not used: {why}")
    return (*tried, Tried(name, why))


def _kept(bundle: Bundle, cache: Path | None) -> Path | None:
    """Where ONNX Runtime's TensorRT keeps its engines; None: nowhere, and it builds them at each start."""
    try:
        return place(bundle.folder, cache)
    except UserError:
        return None


def _why(engine: str, what: str) -> str:
    return f"asked for, by {what}" if engine != "auto" else f"the fastest that runs here: {what}"


def has(bundle: Bundle, precision: str) -> bool:
    """Whether a bundle has what somebody means who asks for this precision."""
    return any(name in bundle.precisions for name in _MEANT.get(precision, (precision,)))


def _precisions(bundle: Bundle, asked: str | None, order: tuple[str, ...]) -> list[str]:
    """Of the bundle's graphs, those that were asked for, in the order in which to try them."""
    meant = order if asked is None else _MEANT.get(asked, (asked,))
    return [name for name in order if name in meant and name in bundle.precisions]
