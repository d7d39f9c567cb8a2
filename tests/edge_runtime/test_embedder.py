"""Images in, embeddings out: against Pillow and a matrix product, from many threads, with whatever is wrong in them."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from small_bundles import DIM, FIT, key_pair, linear_graph, people, small_bundle

from edge_runtime.bundle import open_bundle
from edge_runtime.device import look
from edge_runtime.embedder import Embedder
from edge_runtime.engines import choose as choosing
from edge_runtime.engines.choose import Candidate, choose
from edge_runtime.engines.onnxruntime import OnnxRuntimeEngine
from edge_runtime.engines.tensorrt.machine import Machine
from reid.errors import UserError
from reid.modality import Modality

NO_GPU = Machine(look(), why_not="no GPU: there is none")


def load(bundle: Path, **options: Any) -> Embedder:
    return Embedder.load(bundle, **{"threads": 1, "machine": NO_GPU, **options})


def crops(count: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Of all sizes."""
    rng = np.random.default_rng(seed)
    return [
        rng.integers(0, 256, (int(rng.integers(1, 90)), int(rng.integers(1, 60)), 3), np.uint8) for _ in range(count)
    ]


def expected(images: list[NDArray[np.uint8]], seed: int = 0) -> NDArray[np.float64]:
    """By Pillow and a matrix product in float64."""
    (weights,) = (numpy_helper.to_array(tensor) for tensor in linear_graph(seed).graph.initializer)
    size = (FIT.width, FIT.height)
    fitted = [np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)) for image in images]
    rows = np.stack(fitted).transpose(0, 3, 1, 2).reshape(len(images), -1).astype(np.float64) @ weights
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def png(image: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("bundles"), metadata=False)


@pytest.fixture(scope="module")
def embedder(bundle: Path) -> Iterator[Embedder]:
    with load(bundle) as made:
        yield made


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 20), st.integers(0, 99))
def test_any_number_of_images_gives_their_own_rows(embedder: Embedder, count: int, seed: int) -> None:
    """The profile ends at 8: 20 images are cut into batches."""
    images = crops(count, seed)
    found = embedder.embed(images, "rgb")
    assert (found.shape, found.dtype) == ((count, DIM), np.float32)
    if count:
        np.testing.assert_allclose(found, expected(images), atol=2e-5)


def test_arrays_paths_and_bytes_of_one_image_are_one_embedding(embedder: Embedder, tmp_path: Path) -> None:
    (image,) = crops(1, 3)
    path = tmp_path / "crop.png"
    path.write_bytes(png(image))
    found = embedder.embed([image, path, str(path), png(image), Image.fromarray(image)], Modality.RGB)
    np.testing.assert_allclose(found, np.repeat(expected([image]), 5, axis=0), atol=2e-5)
    stacked = embedder.embed(np.stack([image, image]), "rgb")
    np.testing.assert_array_equal(stacked[0], stacked[1])


def test_the_order_of_channels_is_as_declared(embedder: Embedder) -> None:
    images = crops(3, 1)
    swapped = [image[:, :, ::-1] for image in images]
    np.testing.assert_allclose(embedder.embed(swapped, "rgb", bgr=True), expected(images), atol=2e-5)
    assert np.abs(embedder.embed(swapped, "rgb") - expected(images)).max() > 0.01


def test_many_threads_get_what_one_gets(embedder: Embedder) -> None:
    work = [crops(1 + n % 11, n) for n in range(48)]
    with ThreadPool(8) as pool:
        found = pool.map(lambda images: embedder.embed(images, "ir"), work)
    for images, rows in zip(work, found, strict=True):
        np.testing.assert_allclose(rows, expected(images), atol=2e-5)


def test_a_bad_image_is_named_and_the_batch_goes_on_if_that_is_wanted(embedder: Embedder, bundle: Path) -> None:
    images: list[Any] = crops(12, 5)
    good = expected(images)
    images[2], images[9] = images[2][:0], png(images[9])[:-30]
    with pytest.raises(UserError, match=r"^image 2: has no pixels"):
        embedder.embed(images, "rgb")
    said: list[str] = []
    with load(bundle, say=said.append) as other:
        found = other.embed(images, "rgb", skip_bad=True)
    assert np.isnan(found[[2, 9]]).all()
    rest = [row for row in range(12) if row not in (2, 9)]
    np.testing.assert_allclose(found[rest], good[rest], atol=2e-5)
    skipped = [line for line in said if line.startswith("skipped: ")]
    assert [line.split(":")[1].split("(")[0].strip() for line in skipped] == ["image 2", "image 9"]
    found, problems = embedder.embed_readable([images[2]], "rgb")
    assert (found.shape, [problem.row for problem in problems]) == ((1, DIM), [0])


def test_an_embedding_that_is_no_number_is_no_answer(embedder: Embedder) -> None:
    with pytest.raises(UserError, match=r"1 of 2 embeddings are NaN, infinite or zero: image 1"):
        embedder.embed([crops(1)[0], np.zeros((4, 4, 3), np.uint8)], "rgb")


def test_a_modality_that_the_bundle_does_not_have_is_refused_with_those_it_has(tmp_path: Path) -> None:
    path = small_bundle(tmp_path, metadata=False, modalities=(Modality.RGB, Modality.SKETCH))
    with load(path) as made:
        with pytest.raises(UserError, match="the bundle has no 'ir', only rgb, sketch"):
            made.embed(crops(1), "ir")
        with pytest.raises(UserError, match="'thermal' is not a modality; expected one of rgb, ir"):
            made.embed(crops(1), "thermal")
        with pytest.raises(UserError, match="'text' has no image"):
            made.embed(crops(1), "text")
        with pytest.raises(UserError, match="modality: 1 for 2 images"):
            made.embed(crops(2), ["rgb"])


def stems_graph() -> onnx.ModelProto:
    """The linear student, its first coordinate moved by the modality's code."""
    model = linear_graph()
    graph = model.graph
    graph.node[-1].output[0] = "plain"
    graph.input.append(helper.make_tensor_value_info("modality", TensorProto.INT64, ["batch"]))
    moves = np.zeros((3, DIM), dtype=np.float32)
    moves[:, 0] = 5.0 * np.arange(3)
    graph.initializer.append(numpy_helper.from_array(moves, "moves"))
    graph.node.append(helper.make_node("Gather", ["moves", "modality"], ["moved"], name="gather"))
    graph.node.append(helper.make_node("Add", ["plain", "moved"], ["coordinates"], name="add"))
    return model


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_each_image_goes_through_the_stem_of_its_modality(tmp_path: Path, engine: str) -> None:
    from export.session import open_session, run_crops

    model = stems_graph()
    reference = run_crops(open_session(model, threads=1), people())
    path = small_bundle(tmp_path, metadata=False, graphs={"fp32": model}, reference=reference, by_modality=True)
    samples = people()
    with load(path, engine=engine) as made:
        found = made.embed(list(samples.pixels), samples.modalities)
        one = made.embed(list(samples.pixels[:2]), "sketch")
    np.testing.assert_allclose(found, reference / np.linalg.norm(reference, axis=1, keepdims=True), atol=2e-5)
    assert np.abs(one - found[:2]).max() > 0.01


def test_openvino_gives_what_onnx_runtime_gives(bundle: Path, embedder: Embedder) -> None:
    images = crops(19, 7)
    with load(bundle, engine="openvino") as made:
        assert (made.engine.name, made.engine.precision) == ("openvino", "fp32")
        with ThreadPool(4) as pool:
            found = pool.map(lambda part: made.embed(part, "rgb"), [images[n::4] for n in range(4)])
    for n, rows in enumerate(found):
        np.testing.assert_allclose(rows, embedder.embed(images[n::4], "rgb"), atol=2e-5)


def test_int8_on_a_cpu_is_the_graph_for_cpus_and_only_where_it_is_asked_for(tmp_path: Path) -> None:
    graphs = {name: linear_graph() for name in ("int8", "int8-cpu", "fp32")}
    path = small_bundle(tmp_path, metadata=False, graphs=graphs)
    with load(path) as made:
        assert (made.engine.name, made.engine.precision) == ("onnxruntime", "fp32")
    for engine in ("onnxruntime", "openvino"):
        for asked in ("int8", "int8-cpu"):
            with load(path, engine=engine, precision=asked) as made:
                assert (made.engine.name, made.engine.precision) == (engine, "int8-cpu")
                np.testing.assert_allclose(made.embed(crops(9), "rgb"), expected(crops(9)), atol=2e-5)
    only = small_bundle(tmp_path, "only", metadata=False, graphs={"int8": linear_graph()})
    with load(only) as made:
        assert made.engine.precision == "int8"


def test_what_serves_and_why_is_said_and_readable(bundle: Path) -> None:
    said: list[str] = []
    with load(bundle, say=said.append) as made:
        about = made.engine.to_dict()
    assert (about["name"], about["provider"], about["precision"]) == ("onnxruntime", "CPUExecutionProvider", "fp32")
    assert about["why"] == "the fastest that runs here: ONNX Runtime's CPU provider"
    assert about["tried"] == ["tensorrt: no GPU: there is none"]
    assert about["check"]["missed"] == []
    assert about["check"]["images"] == len(people())
    assert about["check"]["neighbours"] == 1.0
    assert said == [
        "tensorrt: not used: no GPU: there is none",
        "engine: onnxruntime (CPUExecutionProvider), fp32: the fastest that runs here: ONNX Runtime's CPU provider",
    ]


def test_an_engine_that_cannot_be_had_is_an_error_that_says_why(bundle: Path) -> None:
    with pytest.raises(UserError, match=r"^--engine tensorrt: cannot be had here: no GPU: there is none$"):
        load(bundle, engine="tensorrt")
    with pytest.raises(UserError, match="--engine: found 'triton'; expected one of auto, tensorrt, onnxruntime"):
        load(bundle, engine="triton")
    with pytest.raises(UserError, match="has no image graph in int8 as onnx, only fp32"):
        load(bundle, precision="int8")


def test_this_machine_is_looked_at_where_nobody_says_what_it_has(bundle: Path) -> None:
    with Embedder.load(bundle, threads=1) as made:
        assert made.engine.name in ("onnxruntime", "tensorrt")


def wrong(seed: int) -> onnx.ModelProto:
    return linear_graph(seed)


def test_a_graph_that_does_not_answer_as_the_student_gives_way_to_the_next(tmp_path: Path) -> None:
    path = small_bundle(tmp_path, metadata=False, graphs={"fp32": wrong(1), "fp16": linear_graph()})
    with load(path) as made:
        assert made.engine.precision == "fp16"
        before = [str(tried) for tried in made.engine.tried]
        np.testing.assert_allclose(made.embed(crops(2), "rgb"), expected(crops(2)), atol=2e-5)
    assert "onnxruntime CPUExecutionProvider fp32: does not answer the check crops as the student did" in before[1]
    assert "expected at least 0.99999" in before[1]


def test_where_no_graph_answers_as_the_student_nothing_serves(tmp_path: Path) -> None:
    path = small_bundle(tmp_path, metadata=False, graphs={"fp32": wrong(1)})
    with pytest.raises(UserError, match=r"no engine can serve it here: .*onnxruntime .* fp32: does not.*openvino CPU"):
        load(path)


def test_the_bundles_own_bars_decide(tmp_path: Path) -> None:
    graphs = {"fp32": wrong(1)}
    lenient = small_bundle(tmp_path, "lenient", metadata=False, graphs=graphs, gates={"fp32": {"cosine_min": -1.0}})
    with load(lenient) as made:
        assert made.engine.verdict.cosine_min < 0.9


def test_a_graph_whose_numbers_end_is_not_used(tmp_path: Path) -> None:
    model = linear_graph()
    weights = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weights[0, 0] = np.inf
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w"))
    path = small_bundle(tmp_path, metadata=False, graphs={"fp32": model}, gates={"fp32": {"cosine_min": -1.0}})
    with pytest.raises(UserError, match=rf"{len(people())} of {len(people())} embeddings are NaN or infinite"):
        load(path, engine="onnxruntime")


def test_a_file_that_onnx_runtime_does_not_take_is_named(bundle: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"broken\.onnx: ONNX Runtime does not take it"):
        OnnxRuntimeEngine(broken)
    with pytest.raises(UserError, match="has no CUDAExecutionProvider"):
        OnnxRuntimeEngine(broken, "CUDAExecutionProvider")
    opened = open_bundle(bundle)
    fallen = Candidate("first", "fp32", "", partial(OnnxRuntimeEngine, broken))
    sound = partial(OnnxRuntimeEngine, opened.file("model/student.fp32.onnx"))
    said: list[str] = []
    found = choose(opened, opened.check(), iter([fallen, Candidate("second", "fp32", "", sound)]), said.append)
    assert [tried.engine for tried in found.tried] == ["first"]
    assert said[0].startswith("first: not used: ")


def test_without_any_engine_it_says_what_to_install(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(choosing, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"no engine can serve it here: .*onnxruntime: .*pip install onnxruntime"):
        load(bundle)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UserError, match=r"openvino: .*; get it with: pip install openvino"):
        load(bundle, engine="openvino")


def test_a_bundle_that_was_changed_or_is_not_signed_is_not_used(tmp_path: Path) -> None:
    private, public = key_pair(tmp_path)
    _, other = key_pair(tmp_path, "other")
    path = small_bundle(tmp_path, metadata=False, key=private)
    with load(path, key=public) as made:
        assert made.bundle.signer
        assert (made.dim, made.space_id) == (DIM, "5" * 64)
    with pytest.raises(UserError, match="signature"):
        load(path, key=other)
    graph = path / "model" / "student.fp32.onnx"
    data = bytearray(graph.read_bytes())
    data[-1] ^= 1
    graph.write_bytes(data)
    with pytest.raises(UserError, match=r"student\.fp32\.onnx has changed"):
        load(path)


def test_a_closed_embedder_says_so(bundle: Path) -> None:
    made = load(bundle)
    made.close()
    with pytest.raises(UserError, match="closed"):
        made.embed(crops(1), "rgb")


def test_importing_it_imports_nothing_heavy() -> None:
    code = (
        "import sys, edge_runtime.embedder, edge_runtime.text, edge_runtime.device\n"
        "heavy = {'torch', 'transformers', 'onnx', 'onnxruntime', 'openvino', 'tokenizers', 'tensorrt', 'export'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
