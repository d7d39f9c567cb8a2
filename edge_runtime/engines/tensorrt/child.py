"""Builds one engine in a process of its own, so that an end for want of memory ends nothing else.

Called as `python -m edge_runtime.engines.tensorrt.child REQUEST.json`. Says how far it is as lines of JSON:
{"say": "..."}, and last {"done": {...}} or {"failed": "...", "again": true}. The engine is then in the cache.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from edge_runtime.batch import Profile
from edge_runtime.engines.tensorrt.build import build_engine
from edge_runtime.engines.tensorrt.cache import Key, store
from edge_runtime.engines.tensorrt.options import BuildOptions
from reid.errors import UserError


def main(request: Path) -> int:
    """Do what the file says; exit status 0 if the engine is there."""
    asked = json.loads(request.read_text(encoding="utf-8"))
    profile = Profile(**asked["key"]["profile"])
    key = Key(**{**asked["key"], "profile": profile})
    options = BuildOptions(
        key.precision, profile, workspace=asked["workspace"], fp32_nodes=tuple(asked["fp32_nodes"]),
        timing_cache=Path(asked["timing_cache"]),
    )  # fmt: skip
    start = time.time()
    try:
        trt = importlib.import_module(asked["module"])
        built = build_engine(trt, Path(asked["graph"]), options, say=lambda line: _tell(say=line))
        about = {
            "seconds": round(built.seconds, 2), "workspace_mb": options.workspace, "notes": list(built.notes),
            "warnings": list(built.warnings)[:20], "typed": built.typed, "built_at": start,
        }  # fmt: skip
        store(Path(asked["folder"]), key, built.engine, about)
    except UserError as error:
        # What the parser refuses it refuses always; a build may work with less memory.
        _tell(failed=str(error), again="does not build it" in str(error))
        return 2
    except (ImportError, OSError, RuntimeError, MemoryError) as error:
        words = " ".join(str(error).split())[:300]
        _tell(failed=f"{type(error).__name__}: {words}", again=isinstance(error, MemoryError))
        return 2
    _tell(done=about)
    return 0


def _tell(**what: Any) -> None:
    try:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()
    except OSError:
        # Nobody listens any more: the engine is finished for whoever comes next.
        sys.stdout = None
    except AttributeError:
        pass


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
