"""The stand-ins of TensorRT and of CUDA that the export's tests have."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "export" / "tensorrt"))
