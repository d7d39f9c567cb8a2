"""What is said of a person: the loss against the model's own, the rows that it looks at, lambda and stages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_methods import small
from torch import nn
from torch.nn import functional

from reid.dataset import Dataset
from reid.errors import UserError
from reid.modality import Modality
from reid.sample import Split
from teacher.backbone import Backbone
from teacher.batch import SILENT, make_batch
from teacher.data.loading import Draw, TrainingCollator
from teacher.encoder import Encoder
from teacher.objective import Neck, Telling, TermContext, evaluate_terms
from teacher.objective.continuation import continuation
from teacher.readout import make_reader
from teacher.training.groups import end_of, factor, stage_shares

Load = Callable[..., Backbone]
CAPTIONS = [None, [100, 101], None, [105, 106, 107]]
SAID = [[120, 121, 122], [120, 121, 122], [], [130]]
MODALITIES = [Modality.RGB, Modality.TEXT, Modality.IR, Modality.TEXT]


@pytest.mark.parametrize("shared", [False, True])
def test_the_loss_is_the_one_of_the_whole_model_on_what_follows_the_prompt(shared: bool, loaded: Load) -> None:
    backbone = loaded()
    recipe = small("mllmreid")
    encoder = Encoder(backbone, recipe.prompts, make_reader(recipe.readout, backbone)).eval()
    pixels = torch.randn(2, 3, 56, 28)
    batch = make_batch(encoder.book, MODALITIES, CAPTIONS, pixels, said=SAID)
    embeddings, said = encoder.read_seen(batch, encoder.see(batch), shared=shared)
    assert said is not None
    found = continuation(said.states, said.tokens, encoder.say, len(said.tokens))
    # Row by row, the whole prompt, and the tokens picked by hand.
    model: Any = encoder.model
    visual = encoder.see(batch)
    assert visual is not None
    losses, image = [], 0
    for modality, caption, its in zip(MODALITIES, CAPTIONS, SAID, strict=True):
        prompt = encoder.book.prompts[modality]
        item = encoder.book.image if caption is None else tuple(caption)
        ids = torch.tensor([[*prompt.prefix, *item, *prompt.suffix, *its]])
        embedded = model.get_input_embeddings()(ids)
        if caption is None:
            embedded = embedded.masked_scatter((ids == encoder.image_token)[..., None], visual.tokens[image])
            image += 1
        counts = torch.tensor([len(item) if caption is None else 0])
        starts = torch.tensor([len(prompt.prefix)])
        positions = encoder.family.positions(model.config, starts, counts, encoder.grid, ids.shape[1])
        logits = model(inputs_embeds=embedded, position_ids=positions).logits[0].float()
        begin = ids.shape[1] - len(its) - 1
        losses += [functional.cross_entropy(logits[begin + i], torch.tensor(token)) for i, token in enumerate(its)]
    assert torch.allclose(found, torch.stack(losses).mean(), atol=1e-4)
    without = make_batch(encoder.book, MODALITIES, CAPTIONS, pixels)
    assert torch.allclose(embeddings, encoder(without), atol=1e-4)


def test_long_batches_give_the_same_loss_and_gradient() -> None:
    torch.manual_seed(0)
    head = nn.Linear(8, 11)
    states, tokens = torch.randn(2500, 8, requires_grad=True), torch.randint(11, (2500,))
    (gradient,) = torch.autograd.grad(found := continuation(states, tokens, head, 2500), states)
    (expected,) = torch.autograd.grad(whole := functional.cross_entropy(head(states), tokens), states)
    assert torch.allclose(found, whole)
    assert torch.allclose(gradient, expected, atol=1e-7)


def test_what_is_said_stands_after_the_prompt(loaded: Load) -> None:
    encoder = Encoder(loaded(), small("mllmreid").prompts)
    batch = make_batch(encoder.book, MODALITIES, CAPTIONS, torch.zeros(2, 3, 56, 28), said=SAID)
    following = batch["following"]
    assert following is not None
    for row, its in enumerate(SAID):
        last = int(batch["last"][row])
        assert batch["input_ids"][row, last + 1 : last + 1 + len(its)].tolist() == its
        assert following[row, last : last + len(its)].tolist() == its
        assert int((following[row] != SILENT).sum()) == len(its)
    with pytest.raises(ValueError, match="padded on the right"):
        make_batch(encoder.book, MODALITIES, CAPTIONS, None, said=SAID, left=True)


def test_images_and_sentences_of_a_person_are_continued_by_one_sentence_of_that_person(
    people: Dataset, loaded: Load
) -> None:
    backbone, recipe = loaded(), small("mllmreid")
    encoder = Encoder(backbone, recipe.prompts, make_reader(recipe.readout, backbone))
    samples = people.select(Split.TRAIN)
    numbers = {person: i for i, person in enumerate(sorted({s.person_id for s in samples}))}
    collate = TrainingCollator(samples, encoder, recipe, numbers)
    batch = collate([Draw(row, 0, row) for row in range(len(samples))])["batch"]
    end = backbone.tokenizer.eos_token_id
    own = {
        person: [
            [*encoder.book.captions([s.text or ""])[0][0], end] for s in samples if s.person_id == person and s.text
        ]
        for person in numbers
    }
    said: dict[str, list[int]] = {}
    for row, sample in enumerate(samples):
        tokens = batch["following"][row]
        its = tokens[tokens != SILENT].tolist()
        assert its in own[sample.person_id]
        assert said.setdefault(sample.person_id, its) == its


def test_lambda_divides_between_saying_and_telling_apart() -> None:
    torch.manual_seed(0)
    embeddings, people = torch.randn(8, 6), torch.arange(8) % 4
    head = nn.Linear(6, 9)
    telling = Telling(torch.randn(5, 6), torch.randint(9, (5,)), head, 5)
    neck = Neck(6, 4)
    context = TermContext(embeddings, people, people * 0, embeddings, neck, telling)
    objective = small("mllmreid").objective
    total, terms = evaluate_terms(objective, context, 0.9, stage_shares([1, 1]))
    assert torch.allclose(total, 0.7 * terms["continuation"] + 0.3 * (terms["id"] + terms["triplet"]))
    early, _ = evaluate_terms(objective, context, 0.4, stage_shares([1, 1]))
    assert torch.allclose(early, 0.7 * terms["continuation"])


def test_a_group_rests_after_its_last_stage() -> None:
    assert stage_shares([1, 3]) == (0, 0.25)
    assert (end_of(None, [0, 10]), end_of(0, [0, 10]), end_of(1, [0, 10])) == (None, 10, None)
    rates = [factor(s, start=0, end=2, steps=4, warmup=0, scheduler="constant") for s in range(4)]
    assert rates == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("method", "change", "message"),
    [
        ("lvlm-reid", "prompts.text='text {item}'", "prompts.text: semantic_token is read of visual tokens only"),
        ("lvlm-reid", "readout={kind: image_latents, css: token}", "css: token goes with kind semantic_token"),
        ("lvlm-reid", "readout={token: learnt, interaction: {kind: none}}", "would be the same for every image"),
        ("lvlm-reid", "tuning.whole={}", None),
        ("lvlm-reid", "tuning.whole.more={part: vision}", "whole.more: vision is in 'vision' too"),
        ("lvlm-reid", "objective.id.stage=1", "objective.id.stage: 1, but training.epochs has stages 0 to 0"),
        ("mllmreid", "tuning.whole.llm={part: language}", "language has the LoRA level 'language'"),
        ("mllmreid", "tuning.levels.language={stage: 1, until: 0}", "until: 0 is before stage 1"),
        ("mllmreid", "training.chunk=4", "objective.continuation takes whole batches"),
        ("mllmreid", "objective.balance=1.5", "objective.balance"),
    ],
)
def test_what_does_not_fit_together_is_refused(method: str, change: str, message: str | None) -> None:
    if message is None:
        small(method, change)
        return
    with pytest.raises(UserError) as refused:
        small(method, change)
    assert message in str(refused.value)
