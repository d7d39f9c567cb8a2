"""TensorRT's first start on a device. TensorRT and CUDA are stand-ins; files, locks, processes and signals are real."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native import compiler, fake_cudart
from small_bundles import small_bundle
from small_graphs import means
from stand_in import called, stand_in

from edge_runtime.batch import Profile as Batches
from edge_runtime.cuda import Cuda, CudaError
from edge_runtime.device import Device, look
from edge_runtime.embedder import Embedder
from edge_runtime.engines.tensorrt import build_child
from edge_runtime.engines.tensorrt import cache as cache_module
from edge_runtime.engines.tensorrt.build_child import LOCK, Builder, Stopped
from edge_runtime.engines.tensorrt.cache import Key, look_up, paths, place, store
from edge_runtime.engines.tensorrt.first_start import REPORT
from edge_runtime.engines.tensorrt.machine import Machine
from edge_runtime.preprocess import Preprocessing
from export.batch import Profile
from export.crops import synthetic_crops
from reid.errors import UserError

FIT = Preprocessing(8, 4)
KEY = Key("ab" * 32, "10.3.0", 87, "r36.4", "fp16", Batches(2, 3, 4))
SAID_FIRST = 120.0
"""Seconds that a test waits for another thread at most; none ever does."""


@pytest.fixture(scope="module")
def cuda(tmp_path_factory: pytest.TempPathFactory) -> Cuda:
    if compiler() is None:
        pytest.skip("there is no gcc")
    return Cuda(fake_cudart(tmp_path_factory.mktemp("cuda")))


class Bench:
    """A bundle, a machine with a stand-in of TensorRT, and what its builder is told to do."""

    def __init__(self, folder: Path, cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.cuda, self.cache = folder, cuda, folder / "engines"
        self.said: list[str] = []
        self._asked, self._log = folder / "asked.json", folder / "builds.log"
        monkeypatch.setenv("STUB_TENSORRT", str(self._asked))
        monkeypatch.syspath_prepend(str(Path(__file__).parent))
        self.tell()

    def tell(self, **asked: Any) -> None:
        """What the builder does from now on; see `stub_tensorrt`."""
        self._asked.write_text(json.dumps({"log": str(self._log), **asked}))

    @property
    def builds(self) -> list[tuple[int, int]]:
        """Workspace and greatest batch of each build so far."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [(int(line.split()[0]), int(line.split()[1])) for line in lines]

    def bundle(self, *precisions: str, reference: Any = None, **options: Any) -> Path:
        model, crops = onnx.load_model_from_string(means()), synthetic_crops(FIT, 3)
        if reference is None:
            reference = crops.pixels.astype(np.float32).mean(axis=(1, 2))
        return small_bundle(
            self.folder, f"bundle-{len(list(self.folder.iterdir()))}", metadata=False, preprocessing=FIT, dim=3,
            graphs=dict.fromkeys(precisions or ("fp16", "fp32"), model), crops=crops, reference=reference,
            **{"profile": Profile(2, 3, 4), **options},
        )  # fmt: skip

    def machine(self, version: str = "10.3.0", **behaviour: Any) -> Machine:
        free = 4096 << 20
        device = replace(look(), l4t="r36.4", gpus=(87,), memory_free=free)
        cuda = self.cuda

        class Roomy(Machine):
            def workspace(self, most: int, least: int) -> int:
                return min(most, 1024)

        return Roomy(device, stand_in(version, **behaviour), cuda, module="stub_tensorrt")

    def load(self, bundle: Path, **options: Any) -> Embedder:
        return Embedder.load(
            bundle,
            **{"cache": self.cache, "threads": 1, "machine": self.machine(), "say": self.said.append, **options},
        )

    def left(self) -> list[str]:
        """Files of the cache that are no engine, sidecar, lock, log or report."""
        kept = (".engine", ".json", LOCK, "build.log", ".cache")
        return [path.name for path in self.cache.iterdir() if not path.name.endswith(kept)]


@pytest.fixture
def bench(tmp_path: Path, cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, cuda, monkeypatch)


def images(count: int = 5) -> list[Any]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (8, 4, 3), np.uint8) for _ in range(count)]


def colours(given: list[Any]) -> Any:
    rows = np.stack(given).astype(np.float64).mean(axis=(1, 2))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_an_engine_is_built_once_and_found_again(bench: Bench) -> None:
    path = bench.bundle()
    with bench.load(path, wait=True) as made:
        about = made.engine.to_dict()
        assert (about["name"], about["provider"], about["precision"]) == ("tensorrt", "TensorRT 10.3.0 sm87", "fp16")
        assert about["why"] == "the fastest that runs here: an engine built on this device"
        # Five crops on an engine of two to four: cut, filled up, and nothing of the filling comes back.
        np.testing.assert_allclose(made.embed(images(), "rgb"), colours(images()), atol=1e-6)
        np.testing.assert_allclose(made.embed(images(1), "rgb"), colours(images(1)), atol=1e-6)
    assert bench.builds == [(1024, 4)]
    with bench.load(path) as again:
        assert again.engine.name == "tensorrt"
        assert not again.building
    assert bench.builds == [(1024, 4)]
    report = json.loads((bench.cache / REPORT).read_text())
    assert report["tensorrt"] == "10.3.0"
    assert report["device"]["gpus"] == [87]
    assert [row["batch"] for row in report["engine"]["latency_ms"]] == [2, 3, 4]
    assert report["engine"]["check"]["missed"] == []
    assert report["engine"]["build"]["workspace_mb"] == 1024
    assert bench.left() == []


def test_onnx_runtime_serves_until_the_engine_is_there(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    may_build = threading.Event()
    built = Builder.build

    def later(self: Builder, *args: Any) -> Any:
        assert may_build.wait(SAID_FIRST)
        return built(self, *args)

    monkeypatch.setattr(Builder, "build", later)
    with bench.load(bench.bundle()) as made:
        assert (made.engine.name, made.building) == ("onnxruntime", True)
        before = made.embed(images(), "rgb")
        may_build.set()
        assert made.wait(SAID_FIRST)
        assert made.engine.name == "tensorrt"
        np.testing.assert_allclose(made.embed(images(), "rgb"), before, atol=1e-6)
    assert [line for line in bench.said if line.startswith("engine: ")] == [
        "engine: onnxruntime (CPUExecutionProvider), fp32: the fastest that runs here: ONNX Runtime's CPU provider",
        "engine: tensorrt (TensorRT 10.3.0 sm87), fp16: the fastest that runs here: an engine built on this device",
    ]
    assert any("none has been built yet; building one, which takes minutes" in line for line in bench.said)
    assert any(line.startswith("tensorrt fp16: building for") for line in bench.said)


def test_calls_go_on_while_engines_change_places(bench: Bench) -> None:
    wanted = colours(images())
    with bench.load(bench.bundle()) as made:
        while made.building:
            np.testing.assert_allclose(made.embed(images(), "rgb"), wanted, atol=1e-6)
        threads = [threading.Thread(target=made.embed, args=(images(), "rgb")) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        np.testing.assert_allclose(made.embed(images(), "rgb"), wanted, atol=1e-6)


def test_a_build_that_runs_out_of_memory_is_tried_with_less_and_then_for_smaller_batches(bench: Bench) -> None:
    bench.tell(fits=[300, 4])
    with bench.load(bench.bundle(), engine="tensorrt"):
        assert bench.builds == [(1024, 4), (512, 4), (256, 4)]
    bench.tell(fits=[1 << 20, 2])
    with bench.load(bench.bundle("fp16"), engine="tensorrt", cache=bench.folder / "other") as made:
        assert bench.builds[3:] == [(1024, 4), (512, 4), (256, 4), (128, 4), (1024, 2)]
        assert "for batches 2,2,2 only, as more do not fit" in made.engine.why


def test_half_of_what_is_free_is_asked_for_and_no_more(cuda: Cuda) -> None:
    # The stand-in has one MiB free; a machine without a Jetson's shared memory does not ask the kernel.
    device = Device(None, "aarch64", 4, "3.10", "r36.4", None, 8 << 30, 600 << 20, (87,))
    assert Machine(device, stand_in("10.3.0"), None).workspace(1024, 128) == 300
    assert Machine(device, stand_in("10.3.0"), None).workspace(200, 128) == 200
    assert Machine(device, stand_in("10.3.0"), cuda).workspace(1024, 128) == 128
    assert Machine(replace(device, l4t=None), stand_in("10.3.0"), None).workspace(1024, 128) == 1024


def test_a_graph_that_the_parser_refuses_is_not_tried_again(bench: Bench) -> None:
    bench.tell(parses=False)
    path = bench.bundle("fp16")
    with bench.load(path) as made:
        assert made.wait(SAID_FIRST)
        assert made.engine.name == "onnxruntime"
    assert any("refuses node 'live' (Relu): not to my taste" in line for line in bench.said)
    bench.tell()
    bench.said.clear()
    with bench.load(path) as made:
        assert not made.building
        (tried,) = made.engine.tried
        assert "it was not built before" in str(tried)
        assert "to try again)" in str(tried)
    assert bench.builds == []
    with pytest.raises(UserError, match="--engine tensorrt: cannot be had here: it was not built before"):
        bench.load(path, engine="tensorrt")


def test_a_child_that_is_killed_leaves_nothing_wrong(bench: Bench) -> None:
    bench.tell(kill=2)
    with bench.load(bench.bundle(), wait=True) as made:
        assert made.engine.name == "tensorrt"
    assert bench.builds == [(1024, 4), (512, 4), (256, 4)]
    assert any("ended by signal 9 (out of memory?)" in line for line in bench.said)
    assert bench.left() == []


def test_a_build_that_is_given_up_ends_at_once_and_leaves_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_child, "EVERY", 0.02)
    hanging = bench.folder / "hanging"
    bench.tell(hang=str(hanging))
    path = bench.bundle()
    made = bench.load(path)
    while not hanging.exists():
        assert made.building
    # TensorRT 8.6 says nothing of its progress: that it goes on is said for it.
    while not any(line.startswith("tensorrt fp16: building for ") and line.endswith(" s") for line in bench.said):
        assert made.building
    made.close()
    assert not made.building
    assert made.engine.name == "onnxruntime"
    assert not list(bench.cache.glob("*.engine*"))
    # The lock is free, and what a killed process had written is cleared away.
    (bench.cache / "ab.trt10.3.0.engine.partial").write_bytes(b"half")
    bench.tell()
    with bench.load(path, wait=True) as again:
        assert again.engine.name == "tensorrt"
    assert bench.left() == []


def test_who_waits_for_another_process_can_give_up(bench: Bench) -> None:
    bench.cache.mkdir()
    said: list[str] = []
    builder = Builder(bench.cache, said.append)
    lock = os.open(bench.cache / LOCK, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        waiter = Builder(bench.cache, lambda line: waiter.stop())
        with pytest.raises(Stopped), waiter.alone():
            pass
    finally:
        os.close(lock)
    with builder.alone():
        assert said == []


def test_an_engine_that_another_process_built_meanwhile_is_taken(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = Builder.alone

    def meanwhile(self: Builder) -> Any:
        for name in bench.folder.glob("other/*"):
            (bench.cache / name.name).write_bytes(name.read_bytes())
        return alone(self)

    path = bench.bundle()
    bench.load(path, wait=True, cache=bench.folder / "other").close()
    monkeypatch.setattr(Builder, "alone", meanwhile)
    with bench.load(path, wait=True) as made:
        assert made.engine.name == "tensorrt"
    assert len(bench.builds) == 1


def test_an_engine_that_does_not_load_is_built_again(bench: Bench) -> None:
    path = bench.bundle()
    bench.load(path, wait=True).close()
    with bench.load(path, machine=bench.machine(loads=False), wait=True) as made:
        assert made.engine.name == "onnxruntime"
        assert "Version tag does not match" in str(made.engine.tried)
    assert bench.builds == [(1024, 4)] * 3  # at first, again, and fp32
    assert any("Version tag does not match" in line and "building again" in line for line in bench.said)
    with bench.load(path, wait=True) as made:
        assert made.engine.name == "tensorrt"


def test_an_engine_that_the_gpu_has_no_memory_for_is_kept_for_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bench.bundle()
    bench.load(path, wait=True).close()

    def full(self: Cuda, size: int) -> int:
        raise CudaError("cudaMalloc: CUDA error 2 (out of memory)")

    with monkeypatch.context() as patch:
        patch.setattr(Cuda, "malloc", full)
        with bench.load(path, wait=True) as made:
            assert made.engine.name == "onnxruntime"
            assert "cudaMalloc: CUDA error 2 (out of memory); close other programs" in str(made.engine.tried[0])
    builds = len(bench.builds)
    with bench.load(path) as made:
        assert (made.engine.name, made.engine.precision) == ("tensorrt", "fp16")
    assert len(bench.builds) == builds


def test_a_disk_without_room_for_a_build_is_said(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Builder, *args: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Builder, "_started", full)
    with bench.load(bench.bundle()) as made:
        assert made.wait(SAID_FIRST)
        assert made.engine.name == "onnxruntime"
    assert any("no engine can be built there (No space left on device)" in line for line in bench.said)


def test_a_flipped_byte_is_noticed_before_the_engine_is_loaded(bench: Bench) -> None:
    path = bench.bundle()
    bench.load(path, wait=True).close()
    (engine,) = bench.cache.glob("*.engine")
    data = bytearray(engine.read_bytes())
    data[3] ^= 4
    engine.write_bytes(data)
    with bench.load(path, wait=True) as made:
        assert made.engine.name == "tensorrt"
    assert any("has changed since it was built (sha256 differs)" in line for line in bench.said)
    assert bench.builds == [(1024, 4)] * 2


def test_an_engine_of_another_tensorrt_is_named_and_a_new_one_built(bench: Bench) -> None:
    path = bench.bundle()
    bench.load(path, wait=True).close()
    machine = bench.machine("11.4.0.106")
    with bench.load(path, machine=machine) as made:
        assert made.wait(SAID_FIRST)
    wanted = "built for TensorRT 10.3.0; here it is TensorRT 11.4.0.106; building one"
    assert any(wanted in line for line in bench.said)
    assert len(list(bench.cache.glob("*.engine"))) == 2


def test_the_check_crops_decide(bench: Bench) -> None:
    """The stand-in answers with mean colours; where the student did not, neither precision is used, and it is said."""
    crops = synthetic_crops(FIT, 3)
    other = np.random.default_rng(0).normal(size=(len(crops), 3)).astype(np.float32)
    gates = {"fp32": {"cosine_min": -1.0}}
    path = bench.bundle("fp16", "fp32", reference=other, gates=gates)
    with bench.load(path, wait=True) as made:
        # fp16 misses its bar; fp32's own lets it through.
        assert (made.engine.name, made.engine.precision) == ("tensorrt", "fp32")
        (tried,) = made.engine.tried
        assert tried.engine == "tensorrt fp16"
        assert "does not answer the check crops as the student did" in tried.why
    with pytest.raises(UserError, match="--engine tensorrt: cannot be had here: does not answer the check crops"):
        bench.load(path, engine="tensorrt", precision="fp16")


def test_tensorrt_8_builds_halves_from_the_fp32_graph(bench: Bench) -> None:
    machine = bench.machine("8.6.1")
    said = bench.said
    with bench.load(bench.bundle("fp16"), machine=machine) as made:
        assert made.engine.name == "onnxruntime"
    assert any("no graph that TensorRT 8.6.1 takes for any precision" in line for line in said)
    with bench.load(bench.bundle("fp16", "fp32"), machine=machine, wait=True) as made:
        assert made.engine.precision == "fp16"
    (sidecar,) = (path for path in bench.cache.glob("*.fp16.*.json"))
    digest = json.loads(sidecar.read_text())["key"]["onnx_sha256"]
    assert digest == made.bundle.manifest.files["model/student.fp32.onnx"].sha256


def test_a_closed_engine_gives_its_memory_back_and_says_so(bench: Bench) -> None:
    made = bench.load(bench.bundle(), wait=True)
    trt = made.engine.engine._runner._trt  # type: ignore[attr-defined]
    made.close()
    made.close()
    with pytest.raises(UserError, match="closed"):
        made.embed(images(), "rgb")
    assert called(trt, "execute")


def test_engines_that_cannot_be_kept_are_not_built(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with bench.load(bench.bundle(), cache=tmp_path / "file" / "engines") as made:
        assert made.engine.name == "onnxruntime"
        assert "engines cannot be kept there" in str(made.engine.tried[0])


def test_engines_lie_beside_the_bundle_or_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bundle = tmp_path / "reid" / "bundle"
    bundle.mkdir(parents=True)
    assert place(bundle, None) == tmp_path / "reid" / "engines"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "engines").write_text("in the way")
    assert place(tmp_path / "other" / "bundle", None) == tmp_path / "cache" / "reid-distill" / "engines"


@settings(max_examples=25, deadline=None)
@given(
    st.fixed_dictionaries({}, optional={
        "onnx_sha256": st.just("ab" * 6 + "cd" * 26), "trt": st.just("10.16.2"), "sm": st.just(110),
        "l4t": st.sampled_from(["r39.2", None]), "precision": st.just("fp32"), "profile": st.just(Batches(2, 2, 4)),
    })
)  # fmt: skip
def test_a_key_that_differs_in_any_part_finds_nothing(tmp_path_factory: pytest.TempPathFactory, change: Any) -> None:
    folder = tmp_path_factory.mktemp("engines")
    store(folder, KEY, b"an engine", {})
    found = look_up(folder, replace(KEY, **change))
    assert (found.plan == b"an engine") == (not change)
    assert bool(found.why) == bool(change)


@pytest.mark.parametrize("stop_at", ["engine", "sidecar"])
def test_a_write_that_is_cut_off_at_any_step_gives_no_engine(
    stop_at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(tmp_path, KEY, b"the old one", {})

    class Cut(BaseException):
        pass

    def cut(*args: Any) -> Any:
        raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "replacing" if stop_at == "engine" else "write_text", cut)
        with pytest.raises(Cut):
            store(tmp_path, KEY, b"the new one", {})
    found = look_up(tmp_path, KEY)
    assert found.plan == (b"the old one" if stop_at == "engine" else None)
    store(tmp_path, KEY, b"the new one", {})
    assert look_up(tmp_path, KEY).plan == b"the new one"


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b"\xff\xfe", b'{"key": null, "sha256": ""}'])
def test_a_sidecar_that_says_nothing_vouches_for_nothing(damage: bytes, tmp_path: Path) -> None:
    store(tmp_path, KEY, b"an engine", {})
    paths(tmp_path, KEY)[1].write_bytes(damage)
    found = look_up(tmp_path, KEY)
    assert found.plan is None
    assert found.why


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "tensorrt-build"]
