"""What the host does to run an engine: memory, shapes, batches, capture. The engine and the GPU are stand-ins."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from native import compiler, fake_cudart
from numpy.typing import NDArray
from stand_in import VERSIONS, called, stand_in

from edge_runtime.cuda import Cuda
from edge_runtime.engines.tensorrt.run import Runner
from export.batch import Profile
from export.tensorrt.gate import judge_engine
from export.tensorrt.graphs import Check
from reid.errors import UserError
from reid.modality import Modality


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if compiler() is None:
        pytest.skip("there is no gcc")
    return fake_cudart(tmp_path_factory.mktemp("cuda"))


def pixels(count: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(0, 255, (count, 3, 8, 4)).astype(np.float32)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_batch_of_any_size_gives_its_own_rows(version: str, count: int, library: Path) -> None:
    """The engine takes 2 to 4 crops; one crop is filled up, and the filling does not come back."""
    images = pixels(count)
    with Runner(stand_in(version), b"plan", Cuda(library)) as runner:
        assert (runner.smallest, runner.largest, runner.inputs) == (2, 4, ("pixels",))
        found = runner.run({"pixels": images})
    np.testing.assert_allclose(found, images.mean(axis=(2, 3)), rtol=1e-5)
    assert found.dtype == np.float32


def test_nothing_is_left_on_the_gpu(library: Path) -> None:
    fake = ctypes.CDLL(str(library))
    before = fake.fake_live()
    with Runner(stand_in("10.3.0"), b"plan", Cuda(library)) as runner:
        runner.run({"pixels": pixels(2)})
        runner.latency(2, runs=2, warm=1)
        assert fake.fake_live() > before
    assert fake.fake_live() == before


def test_latency_replays_one_captured_batch(library: Path) -> None:
    trt, fake = stand_in("10.3.0"), ctypes.CDLL(str(library))
    before = fake.fake_launched()
    with Runner(trt, b"plan", Cuda(library)) as runner:
        latency = runner.latency(4, runs=10, warm=3)
    # Once to prepare, once in the capture; all others are replays.
    assert called(trt, "execute") == [(4,), (4,)]
    assert fake.fake_launched() - before == 13
    assert str(latency) == "batch 4: median 1.500 ms, p99 1.500 ms (10 runs, CUDA graph)"


def test_an_engine_that_cannot_be_captured_is_timed_call_by_call(library: Path) -> None:
    trt = stand_in("10.3.0", captures=False)
    with Runner(trt, b"plan", Cuda(library)) as runner:
        latency = runner.latency(4, runs=5, warm=1)
    assert not latency.graph
    assert len(called(trt, "execute")) == 2 + 6


def test_a_batch_that_it_does_not_take_is_refused(library: Path) -> None:
    with (
        Runner(stand_in("11.4.0.106"), b"plan", Cuda(library)) as runner,
        pytest.raises(UserError, match="it takes 2 to 4"),
    ):
        runner.latency(5)


def test_an_engine_of_another_version_is_refused_in_tensorrts_words(library: Path) -> None:
    with pytest.raises(
        UserError, match=r"TensorRT 10.3.0 does not load it here \(Version tag does not match\); build it"
    ):
        Runner(stand_in("10.3.0", loads=False), b"plan", Cuda(library))


def check_of(images: NDArray[np.float32], reference: NDArray[np.float32]) -> Check:
    inputs: dict[str, NDArray[Any]] = {"pixels": images, "modality": np.zeros(len(images), dtype=np.int64)}
    return Check(inputs, reference, (Modality.RGB,) * len(images))


def test_an_engine_that_answers_as_the_student_passes_its_gate(library: Path) -> None:
    images = pixels(7)
    with Runner(stand_in("10.3.0"), b"plan", Cuda(library)) as runner:
        verdict = judge_engine(runner, check_of(images, images.mean(axis=(2, 3))), "fp16", Profile(1, 3, 4))
    assert verdict.missed == ()
    assert verdict.numbers["images"] == 7
    # The profile that was asked for begins at 1, this engine's own at 2.
    assert [latency.batch for latency in verdict.latencies] == [3, 4]
    assert set(verdict.to_dict()) == {"parity", "missed", "not_measured", "latency_ms"}


def test_an_engine_that_answers_otherwise_misses_it_in_words(library: Path) -> None:
    images = pixels(7)
    with Runner(stand_in("10.3.0"), b"plan", Cuda(library)) as runner:
        wrong = np.random.default_rng(1).normal(size=(7, 3)).astype(np.float32)
        verdict = judge_engine(runner, check_of(images, wrong), "fp16", Profile(2, 2, 2))
    assert any("cosine min" in line for line in verdict.missed)


def test_without_anything_to_judge_by_it_is_timed_alone(library: Path) -> None:
    with Runner(stand_in("10.3.0"), b"plan", Cuda(library)) as runner:
        verdict = judge_engine(runner, None, "fp16", Profile(2, 2, 2))
    assert (verdict.parity, verdict.missed, len(verdict.latencies)) == ("not judged", (), 1)
