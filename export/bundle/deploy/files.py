"""Which files a target gets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from edge_runtime.bundle.layout import DEPLOY, RECIPE
from export.bundle.deploy.container import compose, dockerfile, unit
from export.bundle.deploy.deepstream import nvinfer, tracker
from export.bundle.deploy.edge import edge_dockerfile, edge_service, edge_unit, runs_edge
from export.bundle.deploy.recipe import build_script, fp32_layers, recipe_of
from export.bundle.deploy.triton import config_pbtxt
from export.targets import Target


def deploy_files(details: Mapping[str, Any], targets: Sequence[Target]) -> dict[str, str]:
    """Path inside the bundle -> text, for all targets.

    Args:
        details: of the manifest. targets: devices.
    """
    return {
        f"{DEPLOY}/{target.name}/{name}": text for target in targets for name, text in _files(details, target).items()
    }


def _files(details: Mapping[str, Any], target: Target) -> dict[str, str]:
    recipe = recipe_of(details, target)
    files = {RECIPE: json.dumps(recipe, indent=1, sort_keys=True, ensure_ascii=False) + "\n"}
    if target.kind == "rtx":
        # TensorRT-RTX builds ahead of time, on any machine: `export trt --target` does it.
        return files
    files |= {
        "build.sh": build_script(recipe),
        "fp32_layers.txt": fp32_layers(recipe),
        "triton/student/config.pbtxt": config_pbtxt(details),
    }
    if recipe["deepstream"] is None:
        files |= {
            "deepstream/nvinfer.txt": nvinfer(details, recipe),
            "deepstream/tracker.yml": tracker(details, recipe),
        }
    if target.kind == "jetson":
        files |= {f"Dockerfile.jp{jetpack.name}": dockerfile(target, jetpack) for jetpack in target.jetpacks}
        files |= {"compose.yaml": compose(target), "reid-engine.service": unit(target)}
        able = [jetpack for jetpack in target.jetpacks if runs_edge(jetpack)]
        if able:
            files |= {f"Dockerfile.edge.jp{jetpack.name}": edge_dockerfile(jetpack) for jetpack in able}
            files["compose.yaml"] += edge_service(able[-1])
            files["reid-edge.service"] = edge_unit(target)
    return files
