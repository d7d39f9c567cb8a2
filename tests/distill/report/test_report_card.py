"""The model card: front matter that the hub reads, code that runs, hashes that are the parents'."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from reports import Reported

from distill.report.card import model_card
from reid.artifact import read_manifest
from reid.modality import Modality
from student.build import build_student
from student.model import StudentModel


@pytest.fixture(scope="module")
def card(reported: Reported) -> str:
    return (reported.folder / "README.md").read_text(encoding="utf-8")


def snippets(card: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)


def test_front_matter_is_yaml(card: str) -> None:
    start, front, body = card.split("---\n", 2)
    assert start == ""
    known = yaml.safe_load(front)
    assert known["library_name"] == "reid-distill"
    assert known["pipeline_tag"] == "image-feature-extraction"
    assert {"person-re-identification", "knowledge-distillation", "vit"} <= set(known["tags"])
    assert "base_model" not in known
    assert "license" not in known
    assert body.lstrip().startswith("# vit-micro, distilled from ")


def test_its_code_runs(card: str, reported: Reported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(reported.folder, folder)
    rows = reported.coordinates.rows(Modality.RGB)
    name = reported.coordinates.table.sample_id[int(rows[0])]
    image = next(s.image for s in reported.run.source.dataset.samples if s.sample_id == name)
    assert image is not None
    shutil.copyfile(image, folder / "person.png")
    monkeypatch.chdir(folder)
    first, second = snippets(card)
    space: dict[str, Any] = {}
    exec(first, space)
    found = space["coordinates"].detach().numpy()
    np.testing.assert_allclose(found, reported.coordinates.edge[rows[:1]], rtol=1e-4, atol=1e-5)
    told = reported.coordinates.rows(Modality.TEXT)
    other: dict[str, Any] = {"embeddings": reported.coordinates.teacher[told]}
    exec(second, other)
    np.testing.assert_allclose(other["coordinates"], reported.coordinates.cloud[told], rtol=1e-5, atol=1e-6)


def test_what_it_says_to_pass_on_loads_alone(card: str, reported: Reported, tmp_path: Path) -> None:
    assert "pass on `config.json` and `model.safetensors` alone" in card
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(reported.folder / name, tmp_path / name)
    loaded = StudentModel.from_pretrained(tmp_path)
    for key, value in reported.run.module.student.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key


def test_names_parents_scores_and_data(card: str, reported: Reported) -> None:
    store = reported.run.source.store.path
    data = reported.run.source.dataset.root
    assert f"`{read_manifest(store).sha256}`" in card
    assert f"`{read_manifest(data).sha256}`" in card
    scores = reported.evaluated.scores
    text, rgb = Modality.TEXT, Modality.RGB
    asked = scores.deployed((text, rgb))
    assert asked is not None
    line = next(line for line in card.splitlines() if line.startswith("| text to RGB |"))
    assert f"{100 * asked.mean_ap:.1f} / {100 * asked.rank1:.1f}" in line
    assert "(query by the teacher)" in line
    line = next(line for line in card.splitlines() if line.startswith("| RGB to text |"))
    assert line.split("|")[2].strip() == "-"
    assert "They are ordered by importance" in card
    assert str(reported.folder) not in card


def test_a_student_with_stems_is_told_the_modality(reported: Reported, tmp_path: Path) -> None:
    run = reported.run
    student = build_student("vit-micro", run.subspace.rank, height=64, width=32, stems="modality")
    kept = run.module.student
    run.module.student = student
    try:
        text = model_card(run, None, tmp_path)
    finally:
        run.module.student = kept
    assert "normalise(pixels)), torch.tensor([0]))" in snippets(text)[0]


def test_coordinates_without_order_are_not_called_ordered(reported: Reported, tmp_path: Path) -> None:
    run = replace(reported.run, subspace=replace(reported.run.subspace, kind="random"))
    assert "ordered by importance" not in model_card(run, None, tmp_path)


def test_pretrained_weights_of_the_hub_are_its_base(reported: Reported, tmp_path: Path) -> None:
    config = reported.run.module.student.config
    local = tmp_path / "weights"
    local.mkdir()
    try:
        for init, base in (("org/vit", "org/vit"), (str(local), None)):
            config.init = init
            text = model_card(reported.run, None, tmp_path)
            assert yaml.safe_load(text.split("---\n")[1]).get("base_model") == base
            assert str(local) not in text
    finally:
        config.init = None
