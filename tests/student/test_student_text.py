"""The text student: padding, tokens that it does not know, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import BertConfig, BertModel

from reid.errors import UserError
from student.text import FIRST, START, UNKNOWN, TextStudent, build_text_student

SIZE = 200
USED = (3, 10, 11, 42, 180, 199)
PAD = 7


def student(**options: object) -> TextStudent:
    given_ = {"hidden": 32, "layers": 2, "heads": 2, "longest": 12, **options}
    return build_text_student(USED, 5, SIZE, **given_)  # type: ignore[arg-type]


MODEL = student()


@torch.no_grad()
def embed(
    sentences: list[list[int]], *, left: bool = False, width: int | None = None, model: TextStudent = MODEL
) -> Tensor:
    """[B, 5] of sentences padded to the longest, or to `width`, on either side."""
    width = width or max(map(len, sentences))
    pads = [width - len(sentence) for sentence in sentences]
    sides = [([PAD] * n, []) if left else ([], [PAD] * n) for n in pads]
    ids = [before + sentence + after for (before, after), sentence in zip(sides, sentences, strict=True)]
    masks = [
        [0] * len(before) + [1] * len(sentence) + [0] * len(after)
        for (before, after), sentence in zip(sides, sentences, strict=True)
    ]
    outputs: Tensor = model(torch.tensor(ids, dtype=torch.int64), torch.tensor(masks, dtype=torch.int64))
    return outputs


@settings(max_examples=25, deadline=None)
@given(
    sentence=st.lists(st.sampled_from((*USED, 5, 8)), min_size=1, max_size=6),
    extra=st.integers(0, 6),
    left=st.booleans(),
)
def test_padding_does_not_matter_on_either_side(sentence: list[int], extra: int, left: bool) -> None:
    padded = embed([sentence], left=left, width=len(sentence) + extra)
    torch.testing.assert_close(padded, embed([sentence]), rtol=1e-4, atol=1e-5)


def test_a_sentence_is_embedded_alike_in_any_batch() -> None:
    sentences = [[3], [10, 11, 42, 180], [199, 3]]
    alone = torch.cat([embed([sentence]) for sentence in sentences])
    for left in (False, True):
        torch.testing.assert_close(embed(sentences, left=left), alone, rtol=1e-4, atol=1e-5)


def test_the_order_of_words_matters() -> None:
    assert float((embed([[3, 10, 42]]) - embed([[42, 10, 3]])).abs().max()) > 1e-3


def test_unseen_tokens_are_one_unknown_token_whatever_their_id() -> None:
    expected = embed([[3, 0, 42]])
    # The last two are beyond the tokenizer that it was made for.
    for unseen in (1, 150, 198, SIZE, 10**6):
        assert torch.equal(embed([[3, unseen, 42]]), expected)
    assert float((embed([[3, 10, 42]]) - expected).abs().max()) > 1e-3


def test_the_vocabulary_holds_what_was_used_and_no_more() -> None:
    lookup = MODEL.lookup.tolist()
    assert [lookup[token] for token in USED] == list(range(FIRST, FIRST + len(USED)))
    assert {own for token, own in enumerate(lookup) if token not in USED} == {UNKNOWN}
    assert MODEL.backbone.get_input_embeddings().num_embeddings == FIRST + len(USED)


def test_order_and_repetition_of_the_used_tokens_do_not_matter() -> None:
    other = build_text_student([*reversed(USED), 3, 3], 5, SIZE, hidden=32, layers=2, heads=2, longest=12)
    assert all(torch.equal(other.state_dict()[key], value) for key, value in MODEL.state_dict().items())


@torch.no_grad()
def test_it_is_the_mean_of_berts_hidden_states() -> None:
    config = BertConfig(
        vocab_size=8, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128,
        max_position_embeddings=13, type_vocab_size=1,
    )  # fmt: skip
    bert = BertModel(config, add_pooling_layer=False).train(False)
    bert.load_state_dict(MODEL.backbone.state_dict())
    own = torch.tensor([[0, FIRST, FIRST + 3, UNKNOWN]])
    expected = MODEL.head(bert(own).last_hidden_state.mean(1))
    torch.testing.assert_close(embed([[3, 42, 77]]), expected, rtol=1e-4, atol=1e-5)


def test_a_sentence_of_no_tokens_is_finite() -> None:
    found = embed([[], [3]])
    assert bool(found.isfinite().all())
    torch.testing.assert_close(found[:1], embed([[], []])[:1], rtol=1e-4, atol=1e-5)


def test_a_full_sentence_is_read_and_a_longer_one_is_not() -> None:
    assert bool(embed([[3] * 12]).isfinite().all())
    with pytest.raises(ValueError, match="13 tokens; this text student reads at most 12"):
        embed([[3] * 13])


def test_attention_written_out_gives_the_same() -> None:
    fused = embed([[3, 10], [42, 11, 199]])
    eager = student()
    eager.set_attn_implementation("eager")
    torch.testing.assert_close(embed([[3, 10], [42, 11, 199]], model=eager), fused, rtol=1e-4, atol=1e-5)


def test_half_precision_stays_near() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        rough = embed([[3, 10], [42, 11, 199]])
    torch.testing.assert_close(rough.float(), embed([[3, 10], [42, 11, 199]]), rtol=0.1, atol=0.1)


def test_saved_and_loaded_it_is_the_same_to_the_bit(tmp_path: Path) -> None:
    made = student(output_scale=0.5)
    made.save_pretrained(tmp_path)
    loaded = TextStudent.from_pretrained(tmp_path).train(False)
    assert all(torch.equal(loaded.state_dict()[key], value) for key, value in made.state_dict().items())
    sentences = [[3, 10], [42, 11, 150]]
    assert torch.equal(embed(sentences, model=loaded), embed(sentences, model=made))


def test_the_seed_decides_the_weights() -> None:
    one, same, other = (student(seed=seed).head.weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_every_weight_gets_a_gradient() -> None:
    model = student().train()
    model(torch.tensor([[3, 10]]), torch.tensor([[1, 1]])).square().mean().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    moved = model.backbone.get_input_embeddings().weight.grad.abs().amax(1) > 0
    assert moved.tolist() == [row in (START, FIRST, FIRST + 1) for row in range(FIRST + len(USED))]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UserError, match="token id 300: the tokenizer has 200"):
        build_text_student([3, 300], 5, SIZE)
    with pytest.raises(UserError, match="5 heads do not divide a width of 32"):
        build_text_student([3], 5, SIZE, hidden=32, heads=5)
