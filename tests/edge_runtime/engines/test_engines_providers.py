"""ONNX Runtime's providers for GPUs. The package is a stand-in here: none of them has run on a GPU in these tests."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from small_bundles import linear_graph, small_bundle

from edge_runtime.device import look
from edge_runtime.embedder import Embedder
from edge_runtime.engines.onnxruntime import CPU, CUDA, TENSORRT
from edge_runtime.engines.tensorrt.machine import Machine


class StandIn:
    """`onnxruntime` with these providers, which compute as the real one's CPU does.

    Args:
        starts: the providers that start; a session of another is on the CPU, as with the real one.
        refuses: settings that it does not know.
    """

    __version__ = "1.99"

    def __init__(self, *there: str, starts: tuple[str, ...], refuses: tuple[str, ...] = ()) -> None:
        import onnxruntime

        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        stand_in = self

        class Session:
            def __init__(self, path: str, options: Any, providers: list[tuple[str, dict[str, Any]]]) -> None:
                (provider, settings), *_ = providers
                stand_in.asked.append((Path(path).name, provider, settings))
                if set(settings) & set(refuses):
                    raise RuntimeError(f"Unknown provider option: {sorted(settings)}")
                self._session = onnxruntime.InferenceSession(path, providers=[CPU])
                self.get_providers = lambda: [*([provider] if provider in starts else []), CPU]
                self.get_inputs, self.run = self._session.get_inputs, self._session.run

        self.InferenceSession, self.SessionOptions = Session, SimpleNamespace
        self.get_available_providers = lambda: list(there)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return small_bundle(tmp_path, metadata=False, graphs={"fp32": linear_graph(), "fp16": linear_graph()})


def load(monkeypatch: pytest.MonkeyPatch, bundle: Path, stand_in: StandIn, **options: Any) -> Embedder:
    monkeypatch.setitem(sys.modules, "onnxruntime", stand_in)
    return Embedder.load(bundle, machine=Machine(look(), why_not="no TensorRT"), **options)


def test_a_gpu_comes_before_the_cpu_and_half_precision_first(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    stand_in = StandIn(CPU, TENSORRT, CUDA, starts=(TENSORRT, CUDA))
    with load(monkeypatch, bundle, stand_in) as made:
        assert (made.engine.provider, made.engine.precision) == (CUDA, "fp16")
    # TensorRT inside ONNX Runtime is silent for minutes, so nobody gets it unasked.
    assert stand_in.asked == [("student.fp16.onnx", CUDA, {"use_tf32": 0})]


def test_onnx_runtimes_own_tensorrt_keeps_its_engines(
    monkeypatch: pytest.MonkeyPatch, bundle: Path, tmp_path: Path
) -> None:
    stand_in, said = StandIn(CPU, TENSORRT, CUDA, starts=(TENSORRT, CUDA)), list[str]()
    cache = tmp_path / "cache"
    with load(monkeypatch, bundle, stand_in, engine="onnxruntime", cache=cache, say=said.append) as made:
        assert made.engine.provider == TENSORRT
    ((graph, _, settings),) = stand_in.asked
    assert (graph, settings["trt_engine_cache_path"]) == ("student.fp16.onnx", str(cache))
    assert settings["trt_fp16_enable"]
    assert settings["trt_engine_cache_enable"]
    assert "for minutes without a word" in said[0]


def test_a_provider_that_does_not_start_is_no_provider(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    """The real one says so in its log alone, and computes on the CPU."""
    stand_in = StandIn(CPU, CUDA, starts=())
    with load(monkeypatch, bundle, stand_in) as made:
        assert (made.engine.provider, made.engine.precision) == (CPU, "fp32")
        told = [str(tried) for tried in made.engine.tried]
    assert "CUDAExecutionProvider does not start here; its libraries are missing" in told[1]


def test_a_setting_that_an_older_version_lacks_is_left_out(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    stand_in = StandIn(CPU, CUDA, starts=(CUDA,), refuses=("use_tf32",))
    with load(monkeypatch, bundle, stand_in, precision="fp32") as made:
        assert made.engine.provider == CUDA
        assert made.embed([np.ones((3, 3, 3), np.uint8)], "rgb").shape == (1, made.dim)
    assert [settings for _, _, settings in stand_in.asked] == [{"use_tf32": 0}, {}]
