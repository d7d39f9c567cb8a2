"""How it is trained: precision, recomputed activations, every weight or none, from another checkpoint's adapter."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoTokenizer, Qwen2VLForConditionalGeneration

from reid.artifact import read_manifest
from reid.dataset import Dataset
from reid.errors import UserError
from reid.sample import Split
from teacher.checkpoint import load_teacher
from teacher.embedder import Embedder
from teacher.settings import Recipe
from teacher.training.arguments import training_arguments
from teacher.training.prepare import Prepared, prepare
from teacher.training.run import make_trainer, train
from teacher.training.validation import Validation

CPU = torch.device("cpu")


@pytest.fixture
def run(
    people: Dataset, recipe: Callable[..., Recipe], base_of: Callable[..., Path], tmp_path: Path
) -> Callable[..., Path]:
    """run("training.max_steps=1", ..., name="b", init=...) is the checkpoint that a training wrote."""

    def call(*changes: str, name: str = "a", base: Path | None = None, init: Path | None = None) -> Path:
        out, base = tmp_path / name, base or base_of()
        train(people, recipe(*changes), out, base=str(base), init=init, device="cpu", say=lambda line: None)
        return out

    return call


@pytest.fixture
def ready(people: Dataset, recipe: Callable[..., Recipe], base_of: Callable[..., Path], tmp_path: Path) -> Any:
    """ready("training.recompute=true", ..., init=...) is what would train, and the first batch."""

    def call(*changes: str, init: Path | None = None) -> tuple[Prepared, dict[str, Any]]:
        how, base = recipe(*changes), str(base_of())
        torch.manual_seed(0)
        prepared = prepare(people, how, base, None, init, CPU, lambda line: None)
        trainer = make_trainer(prepared, people, how, training_arguments(how.training, tmp_path / "work", "cpu"), False)
        loader: Any = trainer.loader
        return prepared, dict(next(iter(loader)))

    return call


def losses(out: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [row for row in rows if "loss" in row]


def embeddings(out: Path, people: Dataset) -> Any:
    return Embedder(load_teacher(out).encoder).embed(people.select(Split.VAL))


@contextmanager
def counted(kept: list[int]) -> Any:
    """Within the context, the bytes of every tensor that is kept for the backward pass are appended."""

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel() * tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield


def test_recomputed_activations_give_the_same_loss_and_gradients_with_less_memory(ready: Any) -> None:
    """With dropout, which must draw again what it drew."""
    found = []
    changes = [f"tuning.levels.{level}.dropout=0.3" for level in ("vision", "connector", "language")]
    for recompute in ("false", "true"):
        prepared, batch = ready(f"training.recompute={recompute}", *changes)
        # Dropout draws once per sample; with a shared beginning it would draw in another order.
        prepared.teacher.train().share_prefix = False
        kept: list[int] = []
        torch.manual_seed(3)
        with counted(kept):
            loss = prepared.teacher(**batch)["loss"]
        torch.manual_seed(4)
        loss.backward()
        named = prepared.teacher.named_parameters()
        found.append((loss.detach(), {name: w.grad for name, w in named if w.grad is not None}, sum(kept)))
    (loss, gradients, whole), (again, recomputed, little) = found
    torch.testing.assert_close(again, loss)
    torch.testing.assert_close(recomputed, gradients)
    assert little < whole / 2


def test_a_training_with_recomputed_activations_is_the_same_training(run: Callable[..., Path]) -> None:
    """And their prompts' beginnings, which are then not shared, make no difference."""
    plain = run("training.max_steps=4")
    again = run("training.max_steps=4", "training.recompute=true", "training.chunk=5", name="b")
    for row, other in zip(losses(again), losses(plain), strict=True):
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-4)
        assert row["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-2)


def test_bf16_trains_near_fp32_and_keeps_its_weights_in_fp32(run: Callable[..., Path]) -> None:
    single, half = run("training.max_steps=3"), run("training.max_steps=3", "training.precision=bf16", name="b")
    for row, other in zip(losses(half), losses(single), strict=True):
        assert row["loss"] != other["loss"]
        assert row["loss"] == pytest.approx(other["loss"], rel=0.05)
    for file in ("adapter_model.safetensors", "neck.safetensors"):
        state = load_file(half / file)
        assert all(value.dtype is torch.float32 for value in state.values() if value.is_floating_point())
        assert all(bool(torch.isfinite(value).all()) for value in state.values())


@pytest.fixture
def normalised(base_of: Callable[..., Path], tmp_path: Path) -> Path:
    """A base whose images are normalised otherwise than CLIP's."""
    base = tmp_path / "base"
    shutil.copytree(base_of(), base)
    about = {"image_processor_type": "Qwen2VLImageProcessor", "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (base / "preprocessor_config.json").write_text(json.dumps(about))
    return base


def test_full_tuning_writes_a_model_that_loads_by_itself(
    people: Dataset, normalised: Path, run: Callable[..., Path]
) -> None:
    out = run("training.max_steps=2", "tuning.kind=full", "tuning.lr=1e-3", base=normalised)
    assert not (out / "adapter_config.json").exists()
    before = Qwen2VLForConditionalGeneration.from_pretrained(normalised)
    after = Qwen2VLForConditionalGeneration.from_pretrained(out / "model")
    changed = [name for name, w in after.named_parameters() if not torch.equal(w, before.get_parameter(name))]
    for part in ("visual.blocks.0", "visual.merger", "language_model.layers.0"):
        assert any(part in name for name in changed), part
    assert len(AutoTokenizer.from_pretrained(out / "model")) == len(AutoTokenizer.from_pretrained(normalised))
    # Its images are normalised as they were in training, and the base is no longer needed.
    expected = embeddings(out, people)
    shutil.rmtree(normalised)
    teacher = load_teacher(out)
    assert teacher.encoder.backbone.preprocessing.mean == (0.5, 0.5, 0.5)
    assert teacher.encoder.backbone.preprocessing.std == (0.25, 0.25, 0.25)
    assert teacher.base.name == str(normalised)
    np.testing.assert_array_equal(embeddings(out, people), expected)
    trained_on = run("training.max_steps=1", base=out / "model", name="b")
    assert load_teacher(trained_on).encoder.backbone.preprocessing.mean == (0.5, 0.5, 0.5)


def test_full_tuning_is_the_validated_model(people: Dataset, normalised: Path, run: Callable[..., Path]) -> None:
    """What was scored in training is what is loaded."""
    out = run("training.max_steps=3", "tuning.kind=full", "tuning.lr=1e-3", base=normalised)
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    score = next(row["eval_mAP"] for row in rows if "eval_mAP" in row)
    assert Validation(people).score(embeddings(out, people))["mAP"] == pytest.approx(score)


def test_a_frozen_base_keeps_its_embeddings_and_learns_a_neck(
    people: Dataset, run: Callable[..., Path], ready: Any
) -> None:
    untrained, _ = ready("tuning.kind=frozen")
    expected = Embedder(untrained.teacher.encoder).embed(people.select(Split.VAL))
    out = run("training.max_steps=3", "tuning.kind=frozen", "readout.embedding=after_neck")
    np.testing.assert_array_equal(embeddings(out, people), expected)
    assert not (out / "adapter_config.json").exists()
    assert not (out / "model").exists()
    teacher = load_teacher(out)
    assert teacher.readout_neck is not None
    assert float(teacher.readout_neck.norm.running_mean.abs().max()) > 0


def test_a_training_continues_from_another_checkpoint(people: Dataset, run: Callable[..., Path], ready: Any) -> None:
    first = run("training.max_steps=4", "training.warmup=0")
    prepared, batch = ready(init=first)
    embedder = Embedder(prepared.teacher.encoder)
    begun = embedder.embed(people.select(Split.VAL))
    np.testing.assert_allclose(begun, embeddings(first, people), rtol=1e-5, atol=1e-5)
    fresh, _ = ready()
    assert np.abs(begun - Embedder(fresh.teacher.encoder).embed(people.select(Split.VAL))).max() > 1e-2
    # The first loss is that of the first checkpoint, but for the neck, which knows other people.
    encoder = load_teacher(first).encoder
    with torch.no_grad():
        _, terms = prepared.teacher.score(encoder(batch["batch"]), batch["people"], batch["batch"]["modalities"], 0.0)
    row = losses(run("training.max_steps=1", init=first, name="b"))[0]
    for term in ("triplet", "sdm"):
        assert row[f"term/{term}"] == pytest.approx(float(terms[term]), rel=1e-4)


def test_a_continued_checkpoint_names_what_it_came_from(run: Callable[..., Path]) -> None:
    first = run("training.max_steps=1")
    second = run("training.max_steps=1", init=first, name="b")
    parents = {parent.kind: parent.manifest_sha256 for parent in read_manifest(second).parents}
    assert parents["teacher"] == read_manifest(first).sha256


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["tuning.levels.vision.rank=5"], "its adapter has other levels than the recipe"),
        (["tuning.levels.vision.dora=true"], "its adapter has other levels than the recipe"),
        (["tuning.kind=full"], "goes with tuning.kind lora or parts"),
    ],
    ids=["rank", "DoRA", "full"],
)
def test_a_checkpoint_that_does_not_suit_the_recipe_is_refused(
    changes: list[str], message: str, run: Callable[..., Path], tmp_path: Path
) -> None:
    first = run("training.max_steps=1")
    with pytest.raises(UserError, match=message):
        run("training.max_steps=1", *changes, init=first, name="b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def test_an_adapter_of_another_base_is_refused_with_both_named(
    run: Callable[..., Path], base_of: Callable[..., Path]
) -> None:
    first, other = run("training.max_steps=1"), base_of(seed=1)
    with pytest.raises(UserError, match=rf"was trained on {base_of()}.*, not on {other}"):
        run("training.max_steps=1", base=other, init=first, name="b")


def test_a_mixture_of_dora_and_lora_is_continued_as_such(people: Dataset, run: Callable[..., Path], ready: Any) -> None:
    mixed = "tuning.levels.vision.dora=true"
    first = run("training.max_steps=3", mixed)
    begun, _ = ready(mixed, init=first)
    found = Embedder(begun.teacher.encoder).embed(people.select(Split.VAL))
    np.testing.assert_allclose(found, embeddings(first, people), rtol=1e-4, atol=1e-4)


def test_trained_magnitudes_are_not_dropped(run: Callable[..., Path]) -> None:
    """A level that was trained as DoRA cannot go on as plain LoRA, also where another level stays DoRA."""
    dora = [f"tuning.levels.{level}.dora=true" for level in ("vision", "language")]
    first = run("training.max_steps=3", *dora)
    with pytest.raises(UserError, match="its adapter has other levels than the recipe"):
        run("training.max_steps=1", dora[0], init=first, name="b")
