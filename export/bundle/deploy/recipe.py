"""How an engine is built on a device: as JSON for the runtime, and as a script for `trtexec`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_runtime.bundle.layout import graph_path
from export.session import MODALITY, PIXELS
from export.targets import Target

PREFERRED = ("fp16", "bf16", "fp32", "int8")
"""INT8 last: on these GPUs a transformer is often no faster in it, so a device has to measure that first."""
LEAST_WORKSPACE_MB = 128
_FIRST_BF16 = 9
"""The TensorRT from which on there is bf16."""


def recipe_of(details: Mapping[str, Any], target: Target) -> dict[str, Any]:
    """The recipe of a target; docs/bundle.md lists its keys.

    Args:
        details: of the manifest. target: the device.
    """
    having = [
        graph["precision"] for graph in details["graphs"] if (graph["role"], graph["format"]) == ("image", "onnx")
    ]
    oldest = int((target.min_trt or "10").partition(".")[0])
    first = details["first"]
    order = [p for p in PREFERRED if p in having and (p in ("fp32", "fp16", "int8", first) or oldest >= _FIRST_BF16)]
    order = sorted(order, key=lambda precision: precision != first) or having
    half = order[0] in ("fp16", "bf16")
    # No TensorRT 8 makes these: bf16 it has not, and quantisers with scales in fp16 it does not read.
    weak = "fp32" in having and order[0] in ("fp16", "fp32")
    return {
        "target": {
            "name": target.name, "kind": target.kind, "sms": list(target.sms), "min_trt": target.min_trt,
            "jetpacks": [{"name": j.name, "l4t": j.l4t, "tensorrt": j.tensorrt} for j in target.jetpacks],
            "dla": target.dla,
        },
        "precisions": order,
        "graphs": {precision: graph_path(precision) for precision in order},
        "strongly_typed": True,
        # Where a builder knows no strong typing (TensorRT 8): the fp32 graph, a flag, and the nodes that stay in fp32.
        "weakly_typed": {
            "graph": graph_path("fp32") if weak else None,
            "flag": order[0] if half else None,
            "fp32_nodes": details["precision"][order[0]]["kept_fp32"] if half else [],
        },
        "profile": details["profile"],
        "inputs": _inputs(details),
        "workspace_mb": details["workspace_mb"],
        "least_workspace_mb": LEAST_WORKSPACE_MB,
        "optimization_level": 3,
        "on_failure": ["halve the workspace", "halve the greatest batch", "next precision", "ONNX Runtime"],
        "gates": details["gates"],
        "deepstream": None if details["input"]["modality"] is None else (
            "this student's graph has a second input, modality, which nvinfer and nvtracker cannot feed"
        ),
    }  # fmt: skip


def build_script(recipe: Mapping[str, Any]) -> str:
    """`build.sh`: verifies the bundle, builds the engine once with `trtexec`, and puts it in its place whole."""
    weak = recipe["weakly_typed"]
    profile = recipe["profile"]
    words = {
        "TARGET": recipe["target"]["name"],
        "PRECISION": recipe["precisions"][0],
        "GRAPH": recipe["graphs"][recipe["precisions"][0]],
        "WEAK_GRAPH": weak["graph"] or "",
        "WEAK_FLAG": f"--{weak['flag']}" if weak["flag"] else "",
        "WORKSPACE": str(recipe["workspace_mb"]),
        "LEAST": str(recipe["least_workspace_mb"]),
        "LEVEL": str(recipe["optimization_level"]),
        "BATCH": f"{profile['min']}-{profile['opt']}-{profile['max']}",
        "MIN_SHAPES": _shapes(recipe, "min"),
        "OPT_SHAPES": _shapes(recipe, "opt"),
        "MAX_SHAPES": _shapes(recipe, "max"),
    }
    text = _SCRIPT
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


def fp32_layers(recipe: Mapping[str, Any]) -> str:
    """What `--layerPrecisions` of `trtexec` takes; empty if nothing is to stay in fp32."""
    return ",".join(f"{node}:fp32" for node in recipe["weakly_typed"]["fp32_nodes"]) + "\n"


def _inputs(details: Mapping[str, Any]) -> dict[str, list[int]]:
    """Input -> its shape without the batch."""
    shapes: dict[str, list[int]] = {PIXELS: list(details["input"]["shape"][1:])}
    if details["input"]["modality"] is not None:
        shapes[MODALITY] = []
    return shapes


def _shapes(recipe: Mapping[str, Any], which: str) -> str:
    batch = recipe["profile"][which]
    return ",".join(f"{name}:{'x'.join(map(str, [batch, *shape]))}" for name, shape in recipe["inputs"].items())


_SCRIPT = r"""#!/bin/sh
# Builds this bundle's engine (@PRECISION@, batches @BATCH@) on a device of target @TARGET@, once.
# Usage: sh build.sh [FOLDER OF ENGINES]   Default: engines, beside the bundle.
# An engine belongs to this TensorRT on this chip. Copy the bundle to other devices, never an engine.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bundle=$(cd "$here/../.." && pwd)
engines=${1:-$(dirname "$bundle")/engines}
trtexec=${TRTEXEC:-$(command -v trtexec || echo /usr/src/tensorrt/bin/trtexec)}

if [ ! -x "$trtexec" ]; then
    echo "error: no trtexec at $trtexec; install TensorRT (on a Jetson: apt install tensorrt), or set TRTEXEC" >&2
    exit 2
fi
if ! (cd "$bundle" && sha256sum --quiet -c SHA256SUMS) >&2; then
    echo "error: $bundle has changed since it was written; copy it again" >&2
    exit 2
fi

help=$("$trtexec" --help 2>&1 || true)
version=$(printf '%s\n' "$help" | sed -n 's/.*\[TensorRT v\([0-9]*\)\].*/\1/p' | head -n 1)
key=$(sha256sum "$bundle/manifest.json" | cut -c 1-12)
engine="$engines/student-$key.trt${version:-unknown}.@PRECISION@.b@BATCH@.engine"
mkdir -p "$engines"
exec 9> "$engines/.lock"
if command -v flock > /dev/null; then flock 9; fi

# Features are asked for, not versions: TensorRT 10 has strong typing as an option, 8 has not, 11 has nothing else.
graph="$bundle/@GRAPH@"
layers=$(cat "$here/fp32_layers.txt")
set --
case $help in
    *--stronglyTyped*) set -- --stronglyTyped ;;
    *--fp16*)
        if [ -z "@WEAK_GRAPH@" ]; then
            echo "error: this TensorRT has no strong typing and the bundle nothing to build @PRECISION@ from;" \
                "take a JetPack with TensorRT 10, or export it with --fp32 --fp16" >&2
            exit 2
        fi
        graph="$bundle/@WEAK_GRAPH@"
        if [ -n "@WEAK_FLAG@" ]; then set -- @WEAK_FLAG@; fi
        if [ -n "$layers" ]; then set -- "$@" --precisionConstraints=obey "--layerPrecisions=$layers"; fi
        ;;
esac
case $help in
    *--skipInference*) set -- "$@" --skipInference ;;
    *--buildOnly*) set -- "$@" --buildOnly ;;
esac
case $help in *--builderOptimizationLevel*) set -- "$@" --builderOptimizationLevel=@LEVEL@ ;; esac

if [ ! -f "$engine" ]; then
    echo "building $engine; this takes minutes on a small device" >&2
    trap 'rm -f "$engine.partial"' EXIT
    workspace=@WORKSPACE@
    until "$trtexec" --onnx="$graph" --saveEngine="$engine.partial" \
        --minShapes=@MIN_SHAPES@ --optShapes=@OPT_SHAPES@ --maxShapes=@MAX_SHAPES@ \
        --memPoolSize=workspace:"$workspace" --timingCacheFile="$engines/timing.trt${version:-unknown}.cache" "$@" >&2
    do
        workspace=$((workspace / 2))
        if [ "$workspace" -lt @LEAST@ ]; then
            echo "error: the engine was not built; the words of trtexec are above" >&2
            exit 1
        fi
        echo "trying again with a workspace of $workspace MiB" >&2
    done
    mv "$engine.partial" "$engine"
fi
ln -sfn "$(basename "$engine")" "$engines/student.engine"
echo "$engine"
"""
