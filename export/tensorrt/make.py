"""`export trt`: an engine where one can be built, the bundle where not, and what was done in plain words."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edge_runtime.cuda import Cuda
from edge_runtime.device import jetson_linux
from edge_runtime.engines.tensorrt.build import Built, build_engine
from edge_runtime.engines.tensorrt.modules import Found, Host
from edge_runtime.engines.tensorrt.options import BuildOptions, graph_precision
from edge_runtime.engines.tensorrt.run import Runner
from export.pipeline import Request as Wanted
from export.targets import Target, roofline
from export.tensorrt.artifact import KIND, EngineOf, write_engine
from export.tensorrt.gate import judge_engine
from export.tensorrt.graphs import Graphs, graphs_of
from export.tensorrt.plan import Plan, plan_for
from export.tensorrt.recipe import input_shapes, trtexec
from reid.artifact import ArtifactWriter, read_manifest
from reid.errors import UserError

Say = Callable[[str], None]


@dataclass(frozen=True)
class EngineRequest:
    """What `export trt` was asked for.

    Attributes:
        source: a student, a bundle or an ONNX file. target: that it is for. options: of the build.
        wanted: how a student becomes graphs; precisions, target and batch are filled in.
        out: folder of the engine, or for a Jetson and a student of the bundle; None: under ./runs.
        keep_proof: folder to keep the proof's engine in; None: it is thrown away.
    """

    source: Path
    target: Target
    options: BuildOptions
    wanted: Wanted = field(default_factory=Wanted)
    out: Path | None = None
    keep_proof: Path | None = None


def make_engine(request: EngineRequest, host: Host, say: Say) -> Path:
    """Do what can be done for the target here, and say what that is.

    Returns:
        The engine's folder; for a Jetson the bundle's, or the ONNX file that it is to be given.

    Raises:
        UserError: no engine can be built here (a bundle is there all the same), the graph does not parse or build, or
            the engine misses its bars.
    """
    target = request.target
    _refuse_impossible(request)
    plan = plan_for(target, host)
    # Before minutes are spent: what cannot be had here, and what will be made instead.
    say(plan.why if plan.action != "none" else f"{plan.why}; what comes of this call is the bundle, if anything")
    if (floor := _floor(request)) is not None:
        say(floor)
    name, building = f"{target.name}-{request.options.precision}", plan.action == "build"
    for place in (_place(request) if building else None, request.keep_proof if plan.action == "proof" else None):
        if place is not None and place.exists():
            option = "--keep-proof" if place == request.keep_proof else "--out"
            raise UserError(f"{place}: already exists; choose another name with {option}, or remove it first")
    graphs = graphs_of(request.source, name, _wanted(plan, request), None if building else request.out, say)
    if plan.action == "none" or plan.found is None:
        return _without_engine(graphs, request, plan, say)
    sms = plan.sms or host.gpus[:1]
    runs_here = plan.action == "build" and host.gpus[:1] in [(sm,) for sm in sms]
    kept = graphs.kept(request.options.precision)
    options = replace(request.options, sms=plan.sms, fp32_nodes=kept, inspect=runs_here)
    if plan.action == "proof":
        return _prove(graphs, request, plan.found, options, say)
    return _build(graphs, request, plan.found, options, sms, say)


def _floor(request: EngineRequest) -> str | None:
    """What one crop costs on the chip at least, from its data sheet; None: the source is no student, or it is not
    known."""
    try:
        details = read_manifest(request.source).details if request.source.is_dir() else {}
    except UserError:
        return None
    size = details.get("size")
    size = size if isinstance(size, dict) else details
    gflops, parameters = size.get("gflops"), size.get("parameters")
    if not isinstance(gflops, int | float) or not isinstance(parameters, int):
        return None
    width = {"fp32": 4, "int8": 1}.get(request.options.precision, 2)
    found = roofline(request.target, float(gflops), parameters * width)
    if found is None:
        return None
    return (
        f"estimate for {request.target.name}, never measured: one crop takes at least {found.floor:.2f} ms (arithmetic "
        f"{found.compute:.2f}, weights {found.weights:.2f})"
    )


def _refuse_impossible(request: EngineRequest) -> None:
    target, dla, precision = request.target, request.options.dla, request.options.precision
    if precision in ("bf16", "int8") and target.jetpacks and not target.jetpacks[-1].strongly_typed:
        last = target.jetpacks[-1]
        raise UserError(
            f"--{precision}: {target.name} has JetPack {last.name} at most, whose TensorRT {last.tensorrt} does not "
            "read such a graph; take --fp16"
        )
    if dla is not None and target.kind != "host" and dla >= target.dla:
        has = f"{target.dla}" if target.dla else "none"
        raise UserError(f"--dla {dla}: {target.name} has {has}; choose another --target, or leave --dla out")
    if dla is not None and precision not in ("fp16", "int8"):
        raise UserError(f"--dla: computes in fp16 and int8 only, found --{precision}")


def _wanted(plan: Plan, request: EngineRequest) -> Wanted:
    """The graphs that are needed: the one that was asked for, and the one that this TensorRT has to be given."""
    options, jetson = request.options, request.target.kind == "jetson"
    needed = [options.precision, *([graph_precision(plan.found.trt, options)] if plan.found else [])]
    if jetson and request.target.min_trt is not None and request.target.min_trt.startswith("8."):
        # Its TensorRT 8 takes no types from a graph, but the fp32 graph and flags.
        needed.append("fp32")
    return replace(
        request.wanted, precisions=tuple(dict.fromkeys(needed)), first=options.precision,
        targets=(request.target.name,) if jetson else (), profile=options.profile,
        workspace=options.workspace or request.wanted.workspace,
    )  # fmt: skip


def _without_engine(graphs: Graphs, request: EngineRequest, plan: Plan, say: Say) -> Path:
    """A Jetson builds its own engine from a bundle; anything else was asked for an engine, which there is none of."""
    if graphs.bundle is not None and request.target.kind == "jetson":
        say(f"not proved to parse or build: {plan.why}")
        return graphs.bundle.folder
    there = f"; the bundle that the device builds from is {graphs.bundle.folder}" if graphs.bundle else ""
    raise UserError(f"no engine was made: {plan.why}{there}")


def _prove(graphs: Graphs, request: EngineRequest, found: Found, options: BuildOptions, say: Say) -> Path:
    """Build for another chip, and throw the engine away unless it is to be kept."""
    graph = graphs.file(graph_precision(found.trt, options))
    of = EngineOf(_sha256(graph), f"proof for {request.target.name}", options.sms)
    built = _built(found, graph, _without_device(options), say)
    if request.keep_proof is not None:
        name = f"{graphs.name}.{options.precision}.proof-sm{options.sms[0]}.engine"
        with _writer(request.keep_proof, request, graphs) as artifact:
            artifact.details.update(proof=True, target=request.target.name)
            write_engine(artifact.path, name, built, found, options, of, {"proof": True})
        say(f"proof kept in {request.keep_proof}; it does not run on {request.target.name}")
    say(f"proved: the {options.precision} graph parses and builds; {request.target.name} builds its own engine")
    # A DLA takes no graph of types: on TensorRT 8 and 10 it is the fp32 graph and a flag.
    untyped = graphs.files.get("fp32") if options.dla is not None and options.precision == "fp16" else None
    for line in _for_the_device(request, options, untyped or graph, typed=untyped is None):
        say(f"note: {line}")
    if graphs.bundle is None:
        say(f"there is no bundle of a single ONNX file: give {graph} to the device, or call this on the student")
        return graph
    return graphs.bundle.folder


def _without_device(options: BuildOptions) -> BuildOptions:
    """Without what only the device's own TensorRT can do: a proof says nothing of it."""
    return replace(
        options, dla=None, level=None, version_compatible=False, weight_stripped=False, hardware_compatible=False,
        timing_cache=None,
    )  # fmt: skip


def _for_the_device(request: EngineRequest, options: BuildOptions, graph: Path, *, typed: bool) -> list[str]:
    """What the recipe does not do by itself, in words."""
    lines = []
    old = [jetpack for jetpack in request.target.jetpacks if not jetpack.strongly_typed]
    if old and options.precision in ("bf16", "int8"):
        told = ", ".join(f"JetPack {jetpack.name} (TensorRT {jetpack.tensorrt})" for jetpack in old)
        lines.append(f"{told} does not read {options.precision} graphs: {request.target.name} needs a newer one")
    if options != _without_device(options):
        lines.append(
            "the bundle's recipe does without these options; on the device: "
            + trtexec(options, str(graph), "student.engine", input_shapes(graph), typed=typed)
        )
    return lines


def _build(
    graphs: Graphs, request: EngineRequest, found: Found, options: BuildOptions, sms: tuple[int, ...], say: Say
) -> Path:
    precision = options.precision
    graph = graphs.file(graph_precision(found.trt, options))
    out = _place(request)
    of = EngineOf(_sha256(graph), request.target.name, sms, jetson_linux())
    # It is opened before the build, which takes minutes: a name that is taken is refused now, and what is interrupted
    # leaves nothing.
    with _writer(out, request, graphs) as artifact:
        built = _built(found, graph, options, say)
        more = _judged(built, graphs, found, options, request.wanted.allow_drift, say) if options.inspect else {}
        if not more:
            say("not run: its GPU is not here; the parity gate and the clock come when it first runs on one")
        sidecar = write_engine(artifact.path, f"{graphs.name}.{precision}.engine", built, found, options, of, more)
        artifact.details.update({name: sidecar[name] for name in ("engine", "key", "target", "sm", "precision")})
    say(f"{out}: {sidecar['key']}")
    return out


def _place(request: EngineRequest) -> Path:
    """The folder of the engine."""
    name = request.source.resolve().name.partition(".onnx" if request.source.suffix == ".onnx" else ".tar")[0]
    name = name.rpartition(".")[0] or name if request.source.suffix == ".onnx" else name
    return request.out or Path("runs/engine") / f"{name}-{request.target.name}-{request.options.precision}"


def _built(found: Found, graph: Path, options: BuildOptions, say: Say) -> Built:
    say(f"building {graph.name} for batches of {options.profile}")
    built = build_engine(found.trt, graph, options, say=say)
    types = ", ".join(f"{count} {kind}" for kind, count in built.layers.types().items())
    say(f"built in {built.seconds:.1f} s: {len(built.engine) / 1e6:.1f} MB, {len(built.layers)} layers ({types})")
    for note in (*built.notes, *built.warnings):
        say(f"note: {note}")
    return built


def _judged(
    built: Built, graphs: Graphs, found: Found, options: BuildOptions, allow_drift: bool, say: Say
) -> dict[str, Any]:
    """The engine on this GPU: parity, which it must pass, and latency."""
    if options.weight_stripped:
        return {"judged": "no: it has no weights until the device puts them in"}
    check = graphs.check()
    with Runner(found.trt, built.engine, Cuda()) as runner:
        verdict = judge_engine(runner, check, options.precision, options.profile)
    say(f"engine against the fp32 student: {verdict.parity}; no mAP is measured of an engine")
    if check is None:
        say("the parity gate was not run: a single ONNX file says nothing of its student; call this on the student")
    for latency in verdict.latencies:
        say(f"latency, {latency}")
    if verdict.missed and not allow_drift:
        raise UserError(
            f"the {options.precision} engine misses its bar: {'; '.join(verdict.missed)}; nothing was written "
            "(--allow-drift writes it all the same, --fp32 stays nearer)"
        )
    return verdict.to_dict()


def _writer(out: Path, request: EngineRequest, graphs: Graphs) -> ArtifactWriter:
    parents = [] if graphs.bundle is None else [graphs.bundle.folder]
    return ArtifactWriter(out, KIND, {"command": "export trt", "source": request.source.name}, parents)


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); name an ONNX file") from error
