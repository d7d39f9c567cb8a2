"""The recipes of the published methods down the road: trained, stored, loaded, resumed, embedded, refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_methods import lines_with, small, train_small, train_until
from small_teachers import resize_in_manifest

from reid.dataset import Dataset
from reid.embeddings import EmbeddingStore
from reid.errors import UserError
from reid.modality import Modality
from reid.sample import Split
from teacher.backbone import Backbone
from teacher.checkpoint import bare_teacher, load_teacher
from teacher.doctor import examine
from teacher.embedder import Embedder
from teacher.embedding import fingerprint, write_store
from teacher.training.state import working_folder

Bases = Callable[..., Path]
METHODS = ("lvlm-reid", "mllmreid")


@pytest.fixture(scope="module")
def trained(people: Dataset, base_of: Bases, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """trained("lvlm-reid") is a checkpoint of two steps, made once."""
    root = tmp_path_factory.mktemp("methods")

    def make(method: str, family: str = "qwen2_vl") -> Path:
        out = root / f"{method}-{family}"
        if not out.exists():
            train_small(out, people, base_of, small(method, "training.max_steps=2"), family)
        return out

    return make


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {key: value for path in folder.glob("*.safetensors") for key, value in load_file(path).items()}


def test_only_what_the_method_trains_has_moved(trained: Callable[..., Path], loaded: Callable[..., Backbone]) -> None:
    folder = trained("lvlm-reid")
    tuned, base = load_file(folder / "tuned.safetensors"), dict(loaded().model.named_parameters())
    assert set(tuned) == {name for name in base if name.startswith("model.visual.")}
    assert all(not torch.equal(value, base[name]) for name, value in tuned.items() if value.ndim > 1)
    now = dict(load_teacher(folder).encoder.model.named_parameters())
    assert all(torch.equal(now[name], base[name]) for name in base if name not in tuned)
    assert all(torch.equal(now[name], tuned[name]) for name in tuned)
    assert not (folder / "adapter_model.safetensors").exists()


@pytest.mark.parametrize("family", ["qwen2_vl", "llava"])
def test_lora_trains_first_and_the_tower_afterwards(
    family: str, people: Dataset, base_of: Bases, tmp_path: Path
) -> None:
    steady = ["training.scheduler=constant", "training.warmup=0", "training.evaluate_every=1"]
    how = small("mllmreid", "training.max_steps=4", *steady)
    # Stage 0 is steps 1 and 2, stage 1 is 3 and 4. Every training is the same up to where it is killed.
    after = {}
    for step in (1, 2, 3, 4):
        out = tmp_path / str(step)
        train_until(step, out, people, base_of, how, family)
        after[step] = load_file(working_folder(out) / f"checkpoint-{step}/trained.safetensors")
    moved = {
        step: {name for name, now in after[step].items() if not torch.equal(now, after[step - 1][name])}
        for step in (2, 4)
    }
    assert any("lora_" in name for name in moved[2])
    assert not any("vision_tower" in name or "visual" in name for name in moved[2])
    assert not any("lora_" in name for name in moved[4])
    assert any("vision_tower" in name or "visual.blocks" in name for name in moved[4])


@pytest.mark.parametrize("method", METHODS)
def test_a_checkpoint_embeds_as_it_was_saved(
    method: str, trained: Callable[..., Path], people: Dataset, tmp_path: Path
) -> None:
    folder = trained(method)
    one, other = load_teacher(folder), load_teacher(folder, merge=method == "mllmreid")
    samples = people.select(Split.TEST, modalities=one.encoder.modalities)
    first, second = (Embedder(teacher.encoder, batch=7).embed(samples) for teacher in (one, other))
    assert np.allclose(first, second, atol=1e-4)
    assert np.isfinite(first).all()
    assert all(finding.good for finding in examine(one) if finding.check != "adapter active")


@pytest.mark.parametrize(("method", "name"), [("lvlm-reid", "tuned"), ("lvlm-reid", "readout"), ("mllmreid", "tuned")])
@pytest.mark.parametrize("change", ["MISSING", "UNEXPECTED", "shape"])
def test_other_weights_are_refused(
    method: str, name: str, change: str, trained: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "teacher"
    shutil.copytree(trained(method), folder)
    path = folder / f"{name}.safetensors"
    state = load_file(path)
    key = min(state)
    if change == "MISSING":
        del state[key]
    elif change == "UNEXPECTED":
        state["more"] = torch.zeros(1)
    else:
        state[key] = torch.zeros(3, 3, 3)
    save_file(state, path)
    resize_in_manifest(folder)
    with pytest.raises(UserError, match=f"{name}.safetensors: .*{'has shape' if change == 'shape' else change}"):
        load_teacher(folder)


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_training_ends_with_the_same_weights(
    method: str, people: Dataset, base_of: Bases, tmp_path: Path
) -> None:
    how = small(method, "training.max_steps=4", "training.evaluate_every=2")
    train_small(tmp_path / "whole", people, base_of, how)
    half = tmp_path / "half"
    train_until(2, half, people, base_of, how)
    told = train_small(half, people, base_of, how, resume=True)
    assert lines_with(told, "going on from")
    whole, resumed = tensors(tmp_path / "whole"), tensors(half)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_a_method_that_reads_images_only_leaves_sentences_out(
    trained: Callable[..., Path], people: Dataset, tmp_path: Path, reid: Any
) -> None:
    teacher = load_teacher(trained("lvlm-reid"))
    told: list[str] = []
    write_store(teacher, people, tmp_path / "store", say=told.append)
    assert lines_with(told, "this teacher reads rgb, ir, sketch")
    store = EmbeddingStore.open(tmp_path / "store")
    assert set(store.table.modality) == {Modality.RGB, Modality.IR, Modality.SKETCH}
    sentence = people.select(Split.TEST, modalities=[Modality.TEXT])[0]
    with pytest.raises(UserError, match="recipes that read sentences: mllmembed, mllmembed-tiny, mllmreid"):
        Embedder(teacher.encoder).embed([sentence])
    done = reid("teacher", "eval", tmp_path / "store", "--data", people.root, "--out", tmp_path / "eval")
    assert done.code == 0, done.err
    assert "text" not in {row["query"] for row in json.loads((tmp_path / "eval/report.json").read_text())["scores"]}
    only = replace(people, samples=people.select(modalities=[Modality.TEXT]))
    with pytest.raises(UserError, match="has no samples of rgb, ir, sketch, which is all that this teacher reads"):
        write_store(teacher, only, tmp_path / "none")


def test_sentences_are_queries_where_the_method_has_them(
    trained: Callable[..., Path], people: Dataset, tmp_path: Path
) -> None:
    teacher = load_teacher(trained("mllmreid"))
    write_store(teacher, people, tmp_path / "store", say=lambda line: None)
    assert Modality.TEXT in set(EmbeddingStore.open(tmp_path / "store").table.modality)


def test_cameras_of_other_data_have_the_mean_and_another_fingerprint(
    trained: Callable[..., Path], people: Dataset, tmp_path: Path
) -> None:
    folder = trained("lvlm-reid")
    vectors = load_file(folder / "readout.safetensors")["cameras.vectors"]
    names = json.loads((folder / "teacher.json").read_text())["cameras"]["names"]
    images = [s for s in people.select(Split.TRAIN) if s.modality.is_image]
    assert names == sorted({s.camera_id for s in images if s.camera_id is not None})
    assert len(vectors) == len(names)
    assert vectors.abs().sum() > 0
    other = replace(people, kind="market1501")
    teacher = load_teacher(folder)
    own = fingerprint(teacher, people)["readout"]
    assert own != fingerprint(teacher, other)["readout"]
    told: list[str] = []
    write_store(teacher, other, tmp_path / "store", dtype="float32", say=told.append)
    assert lines_with(told, "the cameras of market1501 are not those of")
    store = EmbeddingStore.open(tmp_path / "store")
    blind = replace(people, samples=tuple(replace(s, camera_id=None) for s in people.samples))
    expected = Embedder(load_teacher(folder).encoder).embed(blind.select(modalities=teacher.encoder.modalities))
    assert np.allclose(store.embeddings(), expected, atol=1e-4)


def test_a_base_that_was_not_trained_is_read_without_what_would_have_to_be(loaded: Callable[..., Backbone]) -> None:
    teacher = bare_teacher(loaded(), small("lvlm-reid"))
    assert not list(teacher.encoder.reader.parameters())
    assert Modality.TEXT not in teacher.encoder.modalities


def test_a_training_goes_on_from_another_one(
    trained: Callable[..., Path], people: Dataset, base_of: Bases, tmp_path: Path
) -> None:
    still = ["training.max_steps=1", "tuning.readout_lr=1e-30", "tuning.whole.vision.lr=1e-30"]
    how = small("lvlm-reid", *still, "tuning.whole.connector.lr=1e-30", "training.weight_decay=0")
    train_small(tmp_path / "on", people, base_of, how, init=trained("lvlm-reid"))
    before, after = tensors(trained("lvlm-reid")), tensors(tmp_path / "on")
    kept = [key for key in before if key.startswith(("model.", "interaction."))]
    assert kept
    assert all(torch.allclose(before[key], after[key]) for key in kept)
    with pytest.raises(UserError, match=r"its tuning.kind was lora, not parts"):
        train_small(tmp_path / "no", people, base_of, how, init=trained("mllmreid"))


def test_nothing_to_say_is_refused(people: Dataset, base_of: Bases, tmp_path: Path) -> None:
    silent = replace(people, samples=tuple(s for s in people.samples if s.modality.is_image))
    with pytest.raises(UserError, match=r"has no sentences of people of split train, which objective\.continuation"):
        train_small(tmp_path / "out", silent, base_of, small("mllmreid"))
