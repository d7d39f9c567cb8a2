"""`export check`: a bundle of a real student holds; one whose graphs no longer answer as they did does not."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import numpy_helper
from small_bundles import key_pair, linear_graph, small_bundle, small_contents, stamped
from small_export import small_source

from export.bundle.check import check_bundle
from export.bundle.contents import BundleContents, contents_of
from export.bundle.write import write_bundle
from export.cli.check import check_command
from export.crops import synthetic_crops
from export.graph.image import image_graph
from export.graph.metadata import describe, set_metadata
from export.graph.space import space_id
from export.parity.reference import reference_embeddings
from export.precision.halve import to_half
from export.source import Source
from reid.errors import UserError
from reid.modality import Modality
from reid.synthetic.world import World
from reid.synthetic.write import write_world


def check(*words: str | Path) -> Result:
    return CliRunner().invoke(check_command, [str(word) for word in words])


OPSET = 17
"""What JetPack 6.0 reads."""


def failures(path: Path, **options: Any) -> dict[str, str]:
    """Name of each check that failed -> why."""
    return {outcome.name: outcome.failures[0] for outcome in check_bundle(path, **options) if outcome.failures}


def described(source: Source, graphs: Mapping[str, onnx.ModelProto]) -> dict[str, onnx.ModelProto]:
    for precision, model in graphs.items():
        set_metadata(model, describe(source, precision=precision, opset=OPSET))
    return dict(graphs)


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> BundleContents:
    """Of a small ViT that was exported in fp32 and in fp16."""
    source = small_source(tmp_path_factory.mktemp("real") / "student")
    fp32 = image_graph(source, opset=OPSET)
    crops = synthetic_crops(source.preprocessing, 4)
    return contents_of(
        source, [], space_id=space_id(source), check=crops, reference=reference_embeddings(source, crops),
        graphs=described(source, {"fp32": fp32, "fp16": to_half(fp32)}), targets=("agx-orin",),
    )  # fmt: skip


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, contents: BundleContents) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "bundle", contents)


def test_a_bundle_of_a_real_student_holds_as_a_folder_and_as_an_archive(
    tmp_path: Path, bundle: Path, contents: BundleContents
) -> None:
    private, public = key_pair(tmp_path)
    archive = write_bundle(tmp_path / "b.tar.zst", contents, key=private)
    before = sorted(tmp_path.iterdir())
    for done in (check(bundle), check(archive, "--key", public)):
        assert done.exit_code == 0, done.output
        assert "FAILED" not in done.output
        for line in ("parity of fp32 on the check crops: 12 images", "parity of fp16", "neighbours"):
            assert f"OK      {line}" in done.output
    assert "signed by" in done.output
    assert "anybody may have written it" in check(bundle).output
    assert sorted(tmp_path.iterdir()) == before


def test_the_users_own_images_are_held_against_the_fp32_graph(tmp_path: Path, bundle: Path) -> None:
    write_world(World(5, 4, cameras=2, per_camera=1, modalities=(Modality.RGB,)), tmp_path / "people", progress=False)
    done = check(bundle, "--data", tmp_path / "people")
    assert done.exit_code == 0, done.output
    assert "parity of fp16 on 8 images of --data: 8 images" in done.output


def test_what_was_tampered_with_is_named_and_the_exit_code_is_not_zero(tmp_path: Path, bundle: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "copy"))
    model = copy / "model" / "student.fp16.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"!")
    (copy / "check" / "spare").write_text("x")
    done = check(copy)
    assert isinstance(done.exception, UserError)
    assert "FAILED  files: model/student.fp16.onnx has changed" in done.output
    assert "warning files: check/spare does not belong to the bundle" in done.output
    assert "1 of 2 checks failed, first files" in str(done.exception)


@pytest.mark.parametrize("name", ["b.tar", "bundle"])
def test_a_key_that_did_not_sign_and_a_broken_archive_fail(tmp_path: Path, name: str) -> None:
    made, (_, public) = small_bundle(tmp_path, name), key_pair(tmp_path)
    assert "is not signed" in next(iter(failures(made, key=public).values()))
    if made.is_file():
        made.write_bytes(made.read_bytes()[:-20_000])
        assert "cut short" in failures(made)["archive"]


def test_weights_that_were_changed_before_hashing_are_found_by_parity(tmp_path: Path) -> None:
    other = linear_graph(seed=1)
    found = failures(small_bundle(tmp_path, graphs={"fp32": linear_graph(), "int8": other}))
    assert list(found) == ["parity of int8 on the check crops"]
    assert "cosine mean is" in found["parity of int8 on the check crops"]


def test_own_images_need_an_fp32_graph_to_be_held_against_which_is_no_verdict(tmp_path: Path) -> None:
    write_world(World(5, 4, cameras=2, per_camera=1, modalities=(Modality.RGB,)), tmp_path / "people", progress=False)
    made = small_bundle(tmp_path, graphs={"fp16": linear_graph()}, targets=("thor",))
    done = check(made, "--data", tmp_path / "people")
    assert done.exit_code == 0, done.output
    assert "warning --data: not checked on --data: needs the fp32 graph" in done.output
    assert "OK      --data" not in done.output


def test_a_recipe_without_a_graph_that_a_jetpack_reads_fails(tmp_path: Path) -> None:
    half = small_bundle(tmp_path, graphs={"fp16": linear_graph()})
    assert "has no graph for JetPack 6.0 (TensorRT 8.6)" in failures(half)["recipe for orin-nano"]
    late = linear_graph()
    late.opset_import[0].version = 18
    new = small_bundle(tmp_path, "late", graphs={"fp32": late})
    assert "is of opset 18; JetPack 6.0 (TensorRT 8.6) reads at most 17" in failures(new)["recipe for orin-nano"]
    asked = small_bundle(tmp_path, "asked", graphs={"int8": linear_graph(), "fp32": linear_graph()}, first="int8")
    assert "recipe for orin-nano" not in failures(asked)


def test_a_private_key_is_a_wrong_option_and_no_verdict_on_the_bundle(tmp_path: Path) -> None:
    private, _ = key_pair(tmp_path)
    done = check(small_bundle(tmp_path), "--key", private)
    assert "this is a private key; make the public one with: openssl pkey -in" in str(done.exception)
    assert "FAILED" not in done.output


def test_what_is_no_bundle_is_called_what_it_is(tmp_path: Path) -> None:
    small_bundle(tmp_path)
    done = check(tmp_path / "student")
    assert "is an artifact of kind 'student'; expected a bundle" in str(done.exception)
    assert "do not use it" not in str(done.exception)


def test_an_overflow_that_onnx_runtime_hides_is_found(tmp_path: Path) -> None:
    """Sums of 1536 pixels leave float16's range, and a later factor brings them back."""
    model, half = linear_graph(), onnx.TensorProto.FLOAT16
    weights = numpy_helper.to_array(model.graph.initializer[0]) * np.float32(60000)
    del model.graph.node[:], model.graph.initializer[:]
    nodes = [
        onnx.helper.make_node("Cast", ["pixels"], ["narrow"], "in", to=half),
        onnx.helper.make_node("Flatten", ["narrow"], ["flat"], "flatten"),
        onnx.helper.make_node("MatMul", ["flat", "w"], ["large"], "product"),
        onnx.helper.make_node("Mul", ["large", "small"], ["right"], "back"),
        onnx.helper.make_node("Cast", ["right"], ["coordinates"], "out", to=onnx.TensorProto.FLOAT),
    ]
    model.graph.node.extend(nodes)
    for name, values in (("w", weights), ("small", np.array(1 / 60000))):
        model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), name))
    found = failures(small_bundle(tmp_path, graphs={"fp32": linear_graph(), "fp16": model}))
    assert list(found) == ["parity of fp16 on the check crops"]
    assert "NaN or infinite" in next(iter(found.values()))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"space_id": "6" * 64}, "its space id is 666"),
        ({"preprocessing": 8}, "its preprocessing is "),
        ({"precision": "fp16"}, "its precision is fp16; the manifest says fp32"),
    ],
)
def test_a_graph_that_says_something_else_than_the_manifest_fails(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    contents = small_contents(tmp_path)
    other = {**change}
    if "preprocessing" in other:
        other["preprocessing"] = replace(contents.preprocessing, resampling="bilinear")
    precision = other.pop("precision", "fp32")
    graph = stamped(linear_graph(), replace(contents, **other), precision)
    found = failures(write_bundle(tmp_path / "bundle", replace(contents, graphs={"fp32": graph})))
    assert words in found["graph model/student.fp32.onnx"]


def test_a_graph_without_metadata_and_one_that_is_none_fail(tmp_path: Path) -> None:
    contents = small_contents(tmp_path)
    bare = failures(write_bundle(tmp_path / "bare", replace(contents, graphs={"fp32": linear_graph()})))
    assert "has no metadata" in bare["graph model/student.fp32.onnx"]


def test_neighbours_that_are_not_those_of_the_references_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from export.bundle import write

    real = write.nearest
    monkeypatch.setattr(write, "nearest", lambda reference: real(reference)[:, ::-1])
    made = small_bundle(tmp_path)
    monkeypatch.undo()
    assert "those of crop 0" in failures(made)["neighbours"]


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file or folder; expected a bundle"):
        list(check_bundle(tmp_path / "none"))
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(UserError, match="is a file, and no archive of a bundle"):
        list(check_bundle(tmp_path / "x.txt"))
