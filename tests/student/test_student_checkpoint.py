"""The student artifact: what is loaded is what was saved, to the bit, and damage is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_students import PERSON, SMALL, images

from reid.artifact import ArtifactWriter
from reid.errors import UserError
from student.build import build_student
from student.checkpoint import CONFIG, KIND, TEXT, WEIGHTS, load_student, load_text_student, save_weights
from student.model import StudentModel
from student.text import build_text_student


def write(
    out: Path,
    model: StudentModel,
    *,
    kind: str = KIND,
    text: bool = False,
    change: Callable[[Path], None] | None = None,
) -> Path:
    """A student artifact; `change` is made before it is sealed."""
    with ArtifactWriter(out, kind, {"command": "test"}) as writer:
        save_weights(model, writer.path)
        if text:
            save_weights(build_text_student([3, 5], 4, 9, hidden=16, layers=1, heads=1), writer.path / TEXT)
        if change:
            change(writer.path)
    return out


def small(name: str = "small-vit", **options: object) -> StudentModel:
    height, width = PERSON[name]
    return build_student(name, 4, height=height, width=width, **options)  # type: ignore[arg-type]


def without(key: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        weights = {name: value for name, value in load_file(folder / WEIGHTS).items() if not name.endswith(key)}
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})

    return change


def with_config(**values: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        raw = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        (folder / CONFIG).write_text(json.dumps({**raw, **values}), encoding="utf-8")

    return change


@pytest.mark.parametrize("name", SMALL)
@torch.no_grad()
def test_a_round_trip_changes_no_bit(tmp_path: Path, name: str) -> None:
    made = small(name, stems="modality", pooling="parts", output_scale=0.3, seed=4)
    loaded = load_student(write(tmp_path / "student", made))
    assert list(loaded.state_dict()) == list(made.state_dict())
    assert all(torch.equal(loaded.state_dict()[key], value) for key, value in made.state_dict().items())
    pixels, modalities = images(3, *PERSON[name]), torch.tensor([0, 1, 2])
    assert torch.equal(loaded(pixels, modalities), made(pixels, modalities))
    assert loaded.preprocessing == made.preprocessing
    assert not loaded.training
    assert [key for key, value in loaded.named_parameters() if not value.requires_grad] == []


@torch.no_grad()
def test_from_pretrained_alone_loads_it(tmp_path: Path) -> None:
    made = small()
    made.save_pretrained(tmp_path)
    pixels = images(2, *PERSON["small-vit"])
    assert torch.equal(StudentModel.from_pretrained(tmp_path)(pixels), made(pixels))


def test_attention_is_chosen_at_loading(tmp_path: Path) -> None:
    folder = write(tmp_path / "student", small())
    for attention in ("sdpa", "eager"):
        assert load_student(folder, attention=attention).backbone.config._attn_implementation == attention


def test_stochastic_depth_is_there_again_after_loading(tmp_path: Path) -> None:
    loaded = load_student(write(tmp_path / "student", small(drop_path=0.9))).train()
    with torch.no_grad():
        outputs = loaded(images(1, *PERSON["small-vit"]).expand(16, -1, -1, -1))
    assert float(outputs.std(0).max()) > 1e-4


@torch.no_grad()
def test_the_text_student_is_loaded_if_there_is_one(tmp_path: Path) -> None:
    assert load_text_student(write(tmp_path / "without", small())) is None
    found = load_text_student(write(tmp_path / "with", small(), text=True))
    assert found is not None
    expected = build_text_student([3, 5], 4, 9, hidden=16, layers=1, heads=1)
    ids = torch.tensor([[3, 5, 8]])
    assert torch.equal(found(ids, ids.sign()), expected(ids, ids.sign()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("head.bias"), r"MISSING weights: head\.bias \(1 such"),
        (without("query.weight"), r"MISSING weights: backbone\..*weight \(2 such"),
        (with_config(pooling="max"), "pooling 'max' is not known here"),
        (with_config(backbone={"model_type": "swin"}), "backbone 'swin'"),
        (with_config(dim=5), "does not load|MISMATCHED"),
        (lambda folder: (folder / CONFIG).write_text("{", encoding="utf-8"), "does not load"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"?"), "does not load"),
        (lambda folder: (folder / WEIGHTS).unlink(), "does not load"),
    ],
)
def test_a_student_that_is_not_whole_is_refused(tmp_path: Path, change: Callable[[Path], None], message: str) -> None:
    folder = write(tmp_path / "student", small(), change=change)
    with pytest.raises(UserError, match=message) as refused:
        load_student(folder)
    assert "\n" not in str(refused.value)


def test_another_artifact_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "other", small(), kind="teacher")
    with pytest.raises(UserError, match="kind 'teacher'; expected 'student'"):
        load_student(folder)


def test_the_config_holds_no_labels_and_no_path(tmp_path: Path) -> None:
    text = (write(tmp_path / "student", small()) / CONFIG).read_text(encoding="utf-8")
    assert "id2label" not in text
    assert str(tmp_path) not in text
