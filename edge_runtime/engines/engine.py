"""What an engine is to the embedder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

PIXELS, MODALITY, COORDINATES = "pixels", "modality", "coordinates"
"""Names of an image graph's inputs and its output. `modality` is there only if each modality has its own stem."""
INPUT_IDS, ATTENTION_MASK = "input_ids", "attention_mask"
"""Names of a text graph's inputs; its output is `COORDINATES`, too."""

Feeds = Mapping[str, NDArray[Any]]


class Engine(Protocol):
    """A graph that runs. Several threads may call `run` at once."""

    @property
    def name(self) -> str:
        """ "onnxruntime", "openvino" or "tensorrt"."""

    @property
    def provider(self) -> str:
        """What of it computes: "CPUExecutionProvider", "CPU", "TensorRT 10.3.0 sm87"."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the graph's inputs."""

    @property
    def largest(self) -> int:
        """Rows at most at once; 0: any number."""

    def run(self, feeds: Feeds) -> NDArray[Any]:
        """float32 [n, k] of n rows. What it returns stays as it is when it is called again.

        Raises:
            UserError: it does not run them.
        """

    def close(self) -> None:
        """Give its memory back; it does not run afterwards."""
