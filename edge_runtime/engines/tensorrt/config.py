"""A builder's configuration. What this TensorRT has is asked of its module."""

from __future__ import annotations

from typing import Any

from edge_runtime.engines.tensorrt.modules import ahead_of_time, called
from edge_runtime.engines.tensorrt.options import BuildOptions, typed
from reid.artifact import replacing
from reid.errors import UserError


def configure(trt: Any, builder: Any, config: Any, options: BuildOptions) -> list[str]:
    """Everything but the profile, the timing cache and the precision of single layers.

    Returns:
        Notes: what does not apply to this TensorRT.

    Raises:
        UserError: something that was asked for is not to be had from this TensorRT.
    """
    if options.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace << 20)
    if options.level is not None:
        config.builder_optimization_level = options.level
    # So that the engine can say of each layer what it computes in.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if options.version_compatible:
        _flag(trt, config, "VERSION_COMPATIBLE", "--version-compatible")
    if options.weight_stripped:
        _flag(trt, config, "STRIP_PLAN", "--weight-stripped")
    if options.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if not typed(trt, options):
        _allow_precision(trt, config, options)
    if options.dla is not None:
        _use_dla(trt, builder, config, options.dla)
    if options.sms:
        _build_for(trt, config, options.sms)
    return _notes(trt, options)


def open_timing_cache(trt: Any, config: Any, options: BuildOptions) -> tuple[Any | None, list[str]]:
    """The timing cache that the build shall use, from its file if that is there; None if none is to be used.

    TensorRT-RTX times no kernels: a cache makes it look for a GPU and is of no use.
    """
    path = options.timing_cache
    if path is None or ahead_of_time(trt):
        return None, []
    try:
        data = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise UserError(f"--timing-cache {path}: cannot be read ({error.strerror}); name another file") from error
    cache = config.create_timing_cache(data)
    if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
        return cache, []
    # Another GPU, CUDA or TensorRT wrote it: its timings say nothing here, and it stays as it is.
    return None, [f"--timing-cache {path}: is of another TensorRT or GPU; built without it and left it as it is"]


def save_timing_cache(cache: Any | None, options: BuildOptions) -> None:
    """Write what the build added to the cache; the file has either its old content or all of the new."""
    if cache is None or options.timing_cache is None:
        return
    with replacing(options.timing_cache) as part:
        part.write_bytes(bytes(cache.serialize()))


def _flag(trt: Any, config: Any, name: str, option: str) -> None:
    if not hasattr(trt.BuilderFlag, name):
        raise UserError(f"{option}: {called(trt)} has no BuilderFlag.{name}; leave it out")
    config.set_flag(getattr(trt.BuilderFlag, name))


def _allow_precision(trt: Any, config: Any, options: BuildOptions) -> None:
    """Flags for a graph without types of its own: what TensorRT may compute in, and that single layers can forbid."""
    flags = {"fp32": (), "fp16": ("FP16",), "bf16": ("BF16",), "int8": ("INT8", "FP16")}[options.precision]
    for flag in flags:
        _flag(trt, config, flag, f"--{options.precision}")
    if flags:
        _flag(trt, config, "OBEY_PRECISION_CONSTRAINTS", f"--{options.precision}")


def _use_dla(trt: Any, builder: Any, config: Any, core: int) -> None:
    if core >= builder.num_DLA_cores:
        raise UserError(
            f"--dla {core}: this machine has {builder.num_DLA_cores} deep learning accelerators; choose a lower number "
            "or leave it out"
        )
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    # Layers that it lacks, which of a transformer are many, run on the GPU.
    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def _build_for(trt: Any, config: Any, sms: tuple[int, ...]) -> None:
    if not ahead_of_time(trt):
        raise UserError(f"{called(trt)} builds only for the GPU it runs on; for SM {sms[0]} install TensorRT-RTX")
    config.num_compute_capabilities = len(sms)
    for place, sm in enumerate(sms):
        chip = getattr(trt.ComputeCapability, f"SM{sm}", None)
        if chip is None or not config.set_compute_capability(chip, place):
            known = sorted(int(n[2:]) for n in dir(trt.ComputeCapability) if n.startswith("SM") and n[2:].isdigit())
            raise UserError(f"{called(trt)} does not build for SM {sm}; it does for {', '.join(map(str, known))}")


def _notes(trt: Any, options: BuildOptions) -> list[str]:
    notes = []
    if options.timing_cache is not None and ahead_of_time(trt):
        notes.append("--timing-cache is not used: TensorRT-RTX times no kernels while it builds")
    if options.dla is not None and typed(trt, options):
        notes.append("this TensorRT takes the DLA's precision from the graph")
    return notes
