"""What a graph says of itself, and the identity of its space."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
import torch
from exported import Export
from small_export import RANK, lively, random_subspace, write_student

from export.graph.metadata import Metadata, describe, read_metadata, set_metadata
from export.graph.space import space_id
from export.source import Source, open_source
from reid.artifact import ArtifactWriter
from reid.errors import UserError
from reid.subspace import FILE
from student.build import build_student
from student.checkpoint import KIND, save_weights
from student.model import StudentModel


def small(seed: int = 0) -> StudentModel:
    student = build_student("small-vit", RANK, height=64, width=32)
    lively(student, seed)
    return student


def test_a_graph_knows_where_it_comes_from(export: Export) -> None:
    source, graph = export("small-vit")
    found = Metadata.from_props(read_metadata(graph), "graph")
    assert found.preprocessing == source.preprocessing
    assert [modality.value for modality in found.modalities] == ["rgb", "ir", "sketch"]
    assert (found.kind, found.student, found.dim, found.precision, found.opset) == (
        "image",
        "small-vit",
        RANK,
        "fp32",
        18,
    )
    assert found.student_manifest_sha256 == source.manifest.sha256
    assert found.subspace_sha256 == source.manifest.files[FILE].sha256
    assert found.space_id == space_id(source)
    assert read_metadata(graph) == describe(source)


def test_parents_are_named_by_their_hashes(tmp_path: Path) -> None:
    write_student(tmp_path / "parent", small())
    with ArtifactWriter(tmp_path / "child", KIND, {"command": "test"}, [tmp_path / "parent"]) as artifact:
        save_weights(small(), artifact.path)
        random_subspace(RANK).save(artifact.path / FILE)
    source = open_source(tmp_path / "child")
    parent = open_source(tmp_path / "parent").manifest.sha256
    assert json.loads(describe(source)["reid.parents"]) == [{"kind": "student", "manifest_sha256": parent}]
    assert Metadata.from_props(describe(source), "x").parents == (("student", parent),)


def test_precisions_share_their_space(export: Export) -> None:
    source, _ = export("small-vit")
    every = [describe(source, precision=precision) for precision in ("fp32", "fp16", "bf16", "int8")]
    assert len({values["reid.space_id"] for values in every}) == 1
    assert len({values["reid.precision"] for values in every}) == 4


def test_another_weight_preprocessing_or_subspace_is_another_space(tmp_path: Path) -> None:
    def identity(name: str, student: StudentModel, subspace_seed: int = 0) -> str:
        with ArtifactWriter(tmp_path / name, KIND, {"command": "test"}) as artifact:
            save_weights(student, artifact.path)
            random_subspace(RANK, seed=subspace_seed).save(artifact.path / FILE)
        return space_id(open_source(tmp_path / name))

    one_weight, mean, scale = small(), small(), small()
    with torch.no_grad():
        one_weight.head.bias[3] += 1e-6
    mean.config.mean = [0.485, 0.456, 0.407]
    scale.config.output_scale = 0.5
    first = identity("first", small())
    assert identity("same", small()) == first
    others = [
        identity("weight", one_weight), identity("mean", mean), identity("scale", scale),
        identity("subspace", small(), subspace_seed=1),
    ]  # fmt: skip
    assert len({first, *others}) == 5


def test_metadata_are_read_as_they_were_written(export: Export) -> None:
    source, _ = export("small-vit")
    written = describe(source, precision="fp16", opset=17)
    assert Metadata.from_props(written, "graph").to_props() == written
    assert all(isinstance(value, str) for value in written.values())


def test_other_keys_stay() -> None:
    model = onnx.ModelProto()
    model.metadata_props.add(key="other", value="kept")
    set_metadata(model, {"reid.precision": "fp32"})
    set_metadata(model, {"reid.precision": "fp16"})
    assert read_metadata(model) == {"other": "kept", "reid.precision": "fp16"}


def broken(source: Source, **changes: str | None) -> dict[str, str]:
    values: dict[str, str | None] = {**describe(source), **{f"reid.{key}": value for key, value in changes.items()}}
    return {key: value for key, value in values.items() if value is not None}


def test_metadata_that_do_not_fit_are_refused(export: Export) -> None:
    source, _ = export("small-vit")
    cases = {
        "has no metadata of a student's graph": broken(source, schema=None),
        "metadata of schema 2; this version reads 1": broken(source, schema="2"),
        "do not fit .*dim": broken(source, dim=None),
        "do not fit .*kind 'sound'": broken(source, kind="sound"),
        "do not fit .*lidar": broken(source, modalities='["lidar"]'),
        "preprocessing": broken(source, preprocessing='{"height": 3}'),
    }
    for message, values in cases.items():
        with pytest.raises(UserError, match=rf"student\.onnx: .*{message}"):
            Metadata.from_props(values, "student.onnx")
