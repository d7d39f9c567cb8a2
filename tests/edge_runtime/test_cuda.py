"""ctypes over the CUDA runtime, against a stand-in for it compiled here: this machine's memory plays the GPU's."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from shutil import which

import numpy as np
import pytest

from edge_runtime import cuda as module
from edge_runtime.cuda import Cuda, CudaError, as_array
from reid.errors import UserError

SOURCE = Path(__file__).parents[1] / "export" / "tensorrt" / "fake_cudart.c"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if which("gcc") is None:
        pytest.skip("there is no gcc")
    path = tmp_path_factory.mktemp("cuda") / "libcudart.so"
    subprocess.run(["gcc", "-shared", "-fPIC", str(SOURCE), "-o", str(path)], check=True)
    return path


def test_bytes_go_to_the_gpu_and_come_back(library: Path) -> None:
    cuda, numbers = Cuda(library), np.arange(24, dtype=np.float32)
    stream, device, host = cuda.stream(), cuda.malloc(numbers.nbytes), cuda.malloc_host(numbers.nbytes)
    there = as_array(host, (2, 3, 4), np.float32)
    there[:] = numbers.reshape(2, 3, 4)
    cuda.to_device(device, host, numbers.nbytes, stream)
    there[:] = 0
    cuda.to_host(host, device, numbers.nbytes, stream)
    cuda.synchronise(stream)
    np.testing.assert_array_equal(there.ravel(), numbers)
    cuda.free(device)
    cuda.free_host(host)
    cuda.close_stream(stream)
    assert ctypes.CDLL(str(library)).fake_live() == 0


def test_a_device_says_what_it_is(library: Path) -> None:
    cuda = Cuda(library)
    assert cuda.device_count() == 1
    assert cuda.compute_capability() == 87
    assert cuda.memory() == (1 << 20, 1 << 21)
    with pytest.raises(CudaError, match="cudaDeviceGetAttribute: CUDA error 1"):
        cuda.compute_capability(1)


def test_an_error_has_the_call_and_cudas_words(library: Path) -> None:
    with pytest.raises(CudaError, match=r"cudaMalloc: CUDA error 2 \(out of memory\)"):
        Cuda(library).malloc(1 << 40)


def test_what_is_captured_is_an_executable_graph_and_nothing_leaks(library: Path) -> None:
    cuda, fake = Cuda(library), ctypes.CDLL(str(library))
    stream = cuda.stream()
    with cuda.capture(stream) as made:
        assert fake.fake_capturing()
    (graph,) = made
    cuda.launch(graph, stream)
    cuda.close_graph(graph)
    with pytest.raises(ZeroDivisionError), cuda.capture(stream):
        raise ZeroDivisionError
    assert not fake.fake_capturing()
    start, end = cuda.event(), cuda.event()
    cuda.record(start, stream)
    cuda.record(end, stream)
    assert cuda.milliseconds(start, end) == 1.5
    for event in (start, end):
        cuda.close_event(event)
    cuda.close_stream(stream)
    assert fake.fake_live() == 0


def test_without_the_library_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NAMES", ("libcudart-that-is-not-there.so",))
    monkeypatch.setattr(module, "_of_pip", list)
    with pytest.raises(UserError, match=r"none of libcudart-that-is-not-there.so can be loaded.*pip install"):
        Cuda()


def test_a_library_that_lacks_a_call_is_too_old(tmp_path: Path) -> None:
    if which("gcc") is None:
        pytest.skip("there is no gcc")
    old = tmp_path / "old.so"
    code = b"const char *cudaGetErrorString(int s) { return 0; }"
    subprocess.run(["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(old)], input=code, check=True)
    with pytest.raises(UserError, match=r"has no cudaGetDeviceCount; CUDA 11.4 or newer"):
        Cuda(old)
