"""What one step does: weights move, stages wait, chunks give the gradients of the whole batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from reid.dataset import Dataset
from teacher.data.loading import TrainingLoader
from teacher.settings import Recipe
from teacher.training.arguments import training_arguments
from teacher.training.chunking import chunked_backward, split
from teacher.training.loop import load_state
from teacher.training.prepare import Prepared, prepare
from teacher.training.run import make_trainer
from teacher.training.trainer import TeacherTrainer, trained_places

DROPOUT = [f"tuning.levels.{level}.dropout=0.3" for level in ("vision", "connector", "language")]
ALL_TERMS = [f"objective.{term}.weight=0.5" for term in ("id", "triplet", "sdm", "infonce", "centres")]

Make = Callable[..., tuple[TeacherTrainer, Prepared]]


@pytest.fixture
def make(people: Dataset, recipe: Callable[..., Recipe], base_of: Callable[..., Path], tmp_path: Path) -> Make:
    """make("training.chunk=3", ...) is a trainer that has not begun, and what it trains."""

    def build(*changes: str) -> tuple[TeacherTrainer, Prepared]:
        how = recipe(*changes)
        torch.manual_seed(0)
        arguments = training_arguments(how.training, tmp_path / "work", "cpu")
        prepared = prepare(people, how, str(base_of()), None, None, torch.device("cpu"), lambda line: None)
        return make_trainer(prepared, people, how, arguments, False), prepared

    return build


def first_batch(loader: TrainingLoader) -> dict[str, Any]:
    batch: dict[str, Any] = dict(next(iter(loader)))  # type: ignore[call-overload]
    return batch


def gradients(prepared: Prepared) -> dict[str, Tensor]:
    named = dict(prepared.teacher.named_parameters())
    return {name: w.grad.clone() for name, w in named.items() if w.grad is not None}


@pytest.mark.parametrize(
    "more", [[], DROPOUT, ["readout.embedding=after_neck"]], ids=["plain", "dropout", "after neck"]
)
@pytest.mark.parametrize("size", [1, 3, 5, 16])
def test_chunks_give_the_gradients_of_the_whole_batch(size: int, more: list[str], make: Make) -> None:
    trainer, prepared = make(*ALL_TERMS, *more)
    teacher = prepared.teacher.train()
    batch = first_batch(trainer.loader)
    assert set(batch["batch"]["modalities"].tolist()) == {0, 1, 2, 3}
    with torch.random.fork_rng():
        torch.manual_seed(7)
        # With dropout, the whole batch keeps all activations but draws what the chunks draw, one after the other.
        parts = split(batch, size) if more is DROPOUT else [batch]
        embeddings = torch.cat([teacher(**part, task="embed")["embeddings"] for part in parts])
        total, terms = teacher.score(embeddings, batch["people"], batch["batch"]["modalities"], 0.0)
        (total * 0.5).backward()
    whole = gradients(prepared)
    statistics = teacher.neck.norm.running_mean.clone()
    teacher.zero_grad()
    teacher.neck.norm.reset_running_stats()
    with torch.random.fork_rng():
        torch.manual_seed(7)
        loss, chunked_terms = chunked_backward(
            teacher, teacher, batch, size=size, progress=0.0, scale=0.5, backward=lambda value: value.backward()
        )
    in_chunks = gradients(prepared)
    torch.testing.assert_close(loss, total.detach())
    torch.testing.assert_close(chunked_terms, terms)
    torch.testing.assert_close(teacher.neck.norm.running_mean, statistics)
    assert whole.keys() == in_chunks.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(in_chunks[name], gradient, atol=1e-5, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}")


def test_a_chunk_has_the_pixels_of_its_own_images(make: Make) -> None:
    trainer, prepared = make()
    batch = first_batch(trainer.loader)
    together = torch.cat([c["batch"]["pixels"] for c in split(batch, 3) if c["batch"]["pixels"] is not None])
    assert torch.equal(together, batch["batch"]["pixels"])
    prepared.teacher.eval()
    with torch.no_grad():
        whole = prepared.teacher(**batch, task="embed")["embeddings"]
        parts = torch.cat([prepared.teacher(**chunk, task="embed")["embeddings"] for chunk in split(batch, 3)])
    torch.testing.assert_close(whole, parts, atol=1e-5, rtol=1e-4)


@pytest.fixture
def steps(make: Make, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[list[dict[str, Tensor]], Any]]]:
    """steps(...) trains and gives the trainable weights before the first step and after each."""

    def run(*changes: str) -> tuple[list[dict[str, Tensor]], TeacherTrainer]:
        trainer, prepared = make("training.evaluate_every=1000", "training.warmup=0", *changes)
        seen = [trained_places(prepared.teacher)]
        seen[0] = {name: value.clone() for name, value in seen[0].items()}
        own = trainer.training_step

        # Looked at before each step, which is after the last one.
        def look(*args: Any, **kwargs: Any) -> Tensor:
            seen.append({name: value.clone() for name, value in trained_places(prepared.teacher).items()})
            return own(*args, **kwargs)

        monkeypatch.setattr(trainer, "training_step", look)
        trainer.train()
        seen.append({name: value.clone() for name, value in trained_places(prepared.teacher).items()})
        return [seen[0], *seen[2:]], trainer

    return run


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_one_step_moves_every_level_and_the_neck(steps: Any) -> None:
    (start, end), _ = steps("training.max_steps=1")
    changed = moved(start, end)
    for part in ("visual.blocks", "visual.merger", "language_model", "neck.classifier", "neck.norm.weight"):
        assert any(part in name for name in changed), part
    # At the start B = 0, so A has no gradient; it only decays.
    assert all(any(kind in name for kind in ("lora_A", "lora_B", "neck")) for name in changed)
    assert {name for name in start if "lora_B" in name} <= changed


def test_a_frozen_base_trains_nothing_but_the_neck(steps: Any) -> None:
    (start, end), trainer = steps("training.max_steps=1", "tuning.kind=frozen")
    assert all(name.startswith("neck.") for name in start)
    assert "neck.classifier.weight" in moved(start, end)
    assert not any(w.requires_grad for w in trainer.teacher.encoder.parameters())


def test_full_tuning_moves_vision_tower_connector_and_language_model(steps: Any) -> None:
    (start, end), _ = steps("training.max_steps=1", "tuning.kind=full", "tuning.lr=1e-3")
    still = set(start) - moved(start, end)
    assert not any("lora" in name for name in start)
    # The embeddings of tokens that were not shown have no gradient, but decay; only the tied head is never run.
    assert {name for name in still if "neck" not in name} == set()


@pytest.mark.parametrize("chunk", [0, 5])
def test_a_level_waits_for_its_stage(chunk: int, steps: Any) -> None:
    states, _ = steps(
        "training.max_steps=4", "training.epochs=[1,1]", "tuning.levels.language.stage=1", f"training.chunk={chunk}"
    )
    language = {name for name in states[0] if "language_model" in name}
    for early in states[1:3]:
        assert not language & moved(states[0], early)
        assert any("visual" in name for name in moved(states[0], early))
    assert {name for name in language if "lora_B" in name} <= moved(states[2], states[4])


def test_every_level_has_its_own_learning_rate(make: Make) -> None:
    trainer, _ = make("tuning.levels.vision.lr=3e-3", "training.neck_lr=5e-3")
    rates = {group["name"]: group["lr"] for group in trainer.create_optimizer().param_groups}
    assert rates == {"vision": 3e-3, "connector": 1e-2, "language": 1e-2, "neck": 5e-3}
    decays = {g["weight_decay"] for g in trainer.optimizer.param_groups if all(p.ndim == 1 for p in g["params"])}
    assert decays <= {0.0}


def test_terms_are_logged_by_themselves(steps: Any) -> None:
    _, trainer = steps("training.max_steps=2", *ALL_TERMS)
    row = next(row for row in trainer.state.log_history if "loss" in row)
    terms = {key.removeprefix("term/"): row[key] for key in row if key.startswith("term/")}
    assert set(terms) == {"id", "triplet", "sdm", "infonce", "centres"}
    assert row["loss"] == pytest.approx(0.5 * sum(terms.values()), rel=1e-4)
    assert {"lr/vision", "lr/connector", "lr/language", "lr/neck", "idle"} <= set(row)


def test_accumulated_batches_give_the_mean_of_their_gradients(make: Make) -> None:
    trainer, prepared = make("training.accumulate=2")
    loader = iter(trainer.loader)  # type: ignore[call-overload]
    batches = [dict(next(loader)) for _ in range(2)]
    expected: dict[str, Tensor] = {}
    for batch in batches:
        prepared.teacher.zero_grad()
        prepared.teacher.train()(**batch)["loss"].backward()
        for name, gradient in gradients(prepared).items():
            expected[name] = expected.get(name, 0) + gradient / 2
    prepared.teacher.zero_grad()
    trainer.current_gradient_accumulation_steps = 2
    for batch in batches:
        trainer.training_step(prepared.teacher, batch)
    for name, gradient in gradients(prepared).items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-6, rtol=1e-4)


def test_a_checkpoint_of_other_weights_is_refused(make: Make, tmp_path: Path) -> None:
    trainer, _ = make()
    trainer._save(str(tmp_path / "checkpoint"))
    other, _ = make("tuning.levels.vision.rank=1")
    from reid.errors import UserError

    with pytest.raises(UserError, match="was the recipe changed"):
        load_state(trained_places(other.teacher), tmp_path / "checkpoint")
