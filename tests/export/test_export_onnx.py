"""`export onnx` and `export bundle`, as a user calls them."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from outlier_students import outlier_source
from small_export import text_source

from edge_runtime.bundle.open import open_bundle
from export.cli import command
from export.crops import read_crops
from export.graph.metadata import read_metadata
from export.parity.reference import reference_embeddings
from export.session import open_session, run_crops
from export.source import open_source
from reid.artifact import read_manifest
from reid.dataset import Dataset
from reid.errors import UserError

Call = Callable[..., str]
FEW = ("--calibration", "4", "--check", "4", "--retrieval", "12")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    """call("onnx", ...) runs a command in an empty folder and gives what it said."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> str:
        command.main([str(word) for word in words], standalone_mode=False)
        printed = capsys.readouterr()
        return printed.out + printed.err

    return run


def left_in(folder: Path) -> list[str]:
    """All that lies there."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_every_precision_becomes_one_file_with_proof(
    call: Call, student_folder: Path, people: Dataset, tmp_path: Path
) -> None:
    said = call("onnx", student_folder, "--fp32", "--fp16", "--int8", "--data", people.root, "--out", "made", *FEW)
    made = tmp_path / "made"
    assert left_in(made) == [
        "manifest.json", "parity.json", "parity.txt",
        *(f"student.{name}.onnx" for name in ("fp16", "fp32", "int8-cpu", "int8")),
    ]  # fmt: skip
    assert (made / "parity.txt").read_text() in said
    source = open_source(student_folder)
    crops = read_crops(people, source.preprocessing, 4)
    expected = reference_embeddings(source, crops)
    np.testing.assert_allclose(run_crops(open_session(made / "student.fp32.onnx"), crops), expected, atol=2e-5)
    report = json.loads((made / "parity.json").read_text())
    assert set(report["precisions"]) == {"fp32", "fp16", "int8", "int8-cpu"}
    assert any(note.startswith("in OpenVINO: ") for note in report["precisions"]["int8-cpu"]["notes"])
    for name, outcome in report["precisions"].items():
        about = read_metadata(onnx.load(made / f"student.{name}.onnx"))
        assert outcome["passed"]
        assert outcome["retrieval"]["pairs"]
        assert about["reid.precision"] == name
        assert about["reid.space_id"] == report["space_id"]
    sizes = {name: (made / f"student.{name}.onnx").stat().st_size for name in report["precisions"]}
    assert sizes["int8"] < 0.65 * sizes["fp16"] < 0.4 * sizes["fp32"]
    (parent,) = read_manifest(made).parents
    assert parent.manifest_sha256 == read_manifest(student_folder).sha256


def test_int8_for_engines_has_its_rest_in_fp16_and_for_cpus_in_fp32(
    call: Call, student_folder: Path, people: Dataset, tmp_path: Path
) -> None:
    call("onnx", student_folder, "--int8", "--data", people.root, "--out", "made", *FEW)
    kinds = {}
    for name in ("int8", "int8-cpu"):
        graph = onnx.load(tmp_path / "made" / f"student.{name}.onnx")
        kinds[name] = {tensor.data_type for tensor in graph.graph.initializer}
    float16, unsigned = onnx.TensorProto.FLOAT16, onnx.TensorProto.UINT8
    assert float16 in kinds["int8"]
    assert unsigned not in kinds["int8"]
    assert float16 not in kinds["int8-cpu"]


def test_the_text_student_goes_along(call: Call, people: Dataset, tmp_path: Path) -> None:
    folder = text_source(tmp_path / "student").folder
    call("bundle", folder, "--fp16", "--data", people.root, "--out", "made", *FEW)
    bundle = open_bundle(tmp_path / "made")
    assert bundle.description.text is not None
    graph = onnx.load(bundle.file(bundle.graph("fp32", role="text").path))
    assert {node.name for node in graph.graph.input} == {"input_ids", "attention_mask"}


def test_a_target_decides_the_opset(call: Call, student_folder: Path, people: Dataset, tmp_path: Path) -> None:
    for target, opset in (("orin-nano", 17), ("thor", 18)):
        call("onnx", student_folder, "--fp32", "--target", target, "--data", people.root, "--out", target, *FEW)
        graph = onnx.load(tmp_path / target / "student.fp32.onnx")
        assert [entry.version for entry in graph.opset_import if not entry.domain] == [opset]


def test_without_data_synthetic_people_stand_in_and_it_is_said(call: Call, student_folder: Path) -> None:
    assert "checking on synthetic people" in call("onnx", student_folder, "--fp32", "--out", "made", *FEW)


def test_int8_is_not_calibrated_on_people_that_never_existed(call: Call, student_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"int8 needs images of your cameras to calibrate on.*--data"):
        call("onnx", student_folder, "--int8", "--out", "made", *FEW)
    assert left_in(tmp_path) == []


def test_a_modality_that_is_missing_from_the_data_is_named(
    call: Call, student_folder: Path, people: Dataset, tmp_path: Path
) -> None:
    rows = [row for row in (people.root / "samples.jsonl").read_text().splitlines() if "sketch" not in row]
    shutil.copytree(people.root / "images", tmp_path / "few" / "images")
    (tmp_path / "few" / "samples.jsonl").write_text("\n".join(rows) + "\n")
    said = call("onnx", student_folder, "--int8", "--data", tmp_path / "few/samples.jsonl", "--out", "made", *FEW)
    assert "no sketch images to calibrate int8 on" in said


def test_what_misses_its_bar_is_not_written_unless_drift_is_allowed(
    call: Call, people: Dataset, tmp_path: Path
) -> None:
    folder = outlier_source(tmp_path / "student", hot=tuple(range(6))).folder
    words = ("onnx", folder, "--fp16", "--data", people.root, "--out", "made", *FEW)
    with pytest.raises(UserError, match=r"fp16 misses its bar: .*first to depart: .*--allow-drift"):
        call(*words)
    assert left_in(tmp_path) == ["student"]
    assert "MISSES ITS BAR" in call(*words, "--allow-drift")
    assert "student.fp16.onnx" in left_in(tmp_path / "made")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--batch", "8,4,2"), "--batch: sizes 8,4,2: expected MIN,OPT,MAX with 1 <= MIN <= OPT <= MAX"),
        (("--target", "orin-nan"), "no target 'orin-nan'; did you mean orin-nano"),
        (("--precision-backend", "autocast", "--fp16"), "Model Optimizer"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_in_words(
    call: Call, student_folder: Path, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        call("onnx", student_folder, *words, *FEW)
    assert left_in(tmp_path / "runs" / "onnx") == []


def test_a_folder_that_is_no_student_is_called_what_it_is(call: Call, people: Dataset) -> None:
    with pytest.raises(UserError, match="is an artifact of kind 'dataset'; expected 'student'"):
        call("onnx", people.root)


def test_a_student_whose_weights_are_cut_short_is_refused(call: Call, student_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(student_folder, tmp_path / "cut"))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"cut: model\.safetensors has \d+ bytes; expected \d+"):
        call("onnx", folder)


def test_stopped_by_the_user_it_leaves_nothing(student_folder: Path, tmp_path: Path) -> None:
    """A real process and a real signal, sent when it begins to write."""
    words = [
        sys.executable,
        "-m",
        "export",
        "onnx",
        str(student_folder),
        "--fp32",
        "--out",
        str(tmp_path / "made"),
        *FEW,
    ]
    child = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    first = child.stderr.readline()
    # It has imported what it needs and begun.
    child.send_signal(signal.SIGINT)
    rest = child.communicate()[1]
    assert "reading the student" in first
    assert (child.returncode, rest.splitlines()[-1]) == (130, "interrupted")
    assert left_in(tmp_path) == []
