"""An engine on disk: `student.fp16.engine`, what it is in engine.json, what it is made of in layers.json."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_runtime.engines.tensorrt.build import Built
from edge_runtime.engines.tensorrt.modules import Found
from edge_runtime.engines.tensorrt.options import BuildOptions
from reid.artifact import write_text
from reid.errors import UserError

KIND = "engine"
SIDECAR, LAYERS = "engine.json", "layers.json"


@dataclass(frozen=True)
class EngineOf:
    """What an engine was built from and for.

    Attributes:
        onnx_sha256: of the graph's file. target: name. sms: compute capabilities it runs on.
        l4t: release of the Jetson's Linux that it was built on, if it was.
    """

    onnx_sha256: str
    target: str
    sms: tuple[int, ...]
    l4t: str | None = None

    def key(self, found: Found, options: BuildOptions) -> str:
        """All that an engine depends on, in one name: one that differs in any part has to be built anew."""
        chips = "-".join(f"sm{sm}" for sm in self.sms)
        parts = [
            self.onnx_sha256[:12], f"{'rtx' if found.ahead_of_time else 'trt'}{found.version}", chips,
            *([self.l4t] if self.l4t else []), options.precision, f"b{options.profile.key}",
            *([f"t{options.tokens.key}"] if options.tokens else []), *_variants(options),
        ]  # fmt: skip
        return ".".join(parts)


def write_engine(
    folder: Path,
    name: str,
    built: Built,
    found: Found,
    options: BuildOptions,
    of: EngineOf,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write an engine and its two reports into an artifact's unfinished folder.

    Args:
        folder: `ArtifactWriter.path`. name: of the engine's file. more: parity, latency, ...; JSON values.

    Returns:
        What engine.json says.

    Raises:
        UserError: the disk is full, or the like.
    """
    try:
        (folder / name).write_bytes(built.engine)
    except OSError as error:
        raise UserError(
            f"{folder / name}: cannot be written ({error.strerror}); make room or choose another --out"
        ) from error
    asked = asdict(options)
    asked["timing_cache"] = None if options.timing_cache is None else str(options.timing_cache)
    sidecar = {
        "schema": 1,
        "engine": name,
        "sha256": hashlib.sha256(built.engine).hexdigest(),
        "bytes": len(built.engine),
        "key": of.key(found, options),
        "tensorrt": {"module": found.name, "version": built.version, "typed": built.typed},
        "target": of.target,
        "sm": list(of.sms),
        "precision": options.precision,
        "profile": asked["profile"],
        "onnx_sha256": of.onnx_sha256,
        "options": asked,
        "seconds": round(built.seconds, 2),
        "layers": {"source": built.layers.source, "count": len(built.layers), "types": built.layers.types()},
        "notes": list(built.notes),
        **(more or {}),
    }
    write_text(folder / SIDECAR, json.dumps(sidecar, indent=1, sort_keys=True) + "\n")
    write_text(folder / LAYERS, json.dumps(built.layers.to_dict(), indent=1) + "\n")
    return sidecar


def _variants(options: BuildOptions) -> list[str]:
    """Options that make another engine of the same graph."""
    named = {
        "vc": options.version_compatible, "stripped": options.weight_stripped, "hc": options.hardware_compatible,
        f"dla{options.dla}": options.dla is not None, f"o{options.level}": options.level is not None,
        f"w{options.workspace}": options.workspace is not None,
    }  # fmt: skip
    return [name for name, is_so in named.items() if is_so]
