"""Each family against transformers' own forward pass, and the invariances that an embedding has to have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import BUILDERS, SIZE
from torch import Tensor, nn
from transformers import AutoModelForImageTextToText
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from reid.modality import Modality
from teacher.backbone import Backbone
from teacher.batch import Batch, make_batch
from teacher.encoder import Encoder
from teacher.families import FAMILIES
from teacher.settings import Image, Recipe
from teacher.vision import patchify

QWEN = [name for name in BUILDERS if name.startswith("qwen")]
MODALITIES = [Modality.RGB, Modality.TEXT, Modality.IR, Modality.TEXT, Modality.SKETCH]
CAPTIONS = ["A woman.", "A man in a red coat with a grey bag."]


def pictures(count: int, size: Image = SIZE, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, size.height, size.width, generator=torch.Generator().manual_seed(seed))


def mixed(encoder: Encoder, *, left: bool = False, rows: list[int] | None = None) -> Batch:
    """Five samples of four modalities and different lengths, or some of them."""
    chosen = list(range(len(MODALITIES))) if rows is None else rows
    tokens = iter(encoder.book.captions(CAPTIONS)[0])
    captions = [None if m.is_image else next(tokens) for m in MODALITIES]
    images = [row for row, m in enumerate(MODALITIES) if m.is_image]
    pixels = pictures(len(images))[[images.index(row) for row in chosen if row in images]]
    modalities, told = [MODALITIES[row] for row in chosen], [captions[row] for row in chosen]
    return make_batch(encoder.book, modalities, told, pixels if len(pixels) else None, left=left)


@pytest.fixture(params=list(BUILDERS))
def encoder(request: pytest.FixtureRequest, loaded: Callable[..., Backbone], recipe: Callable[..., Recipe]) -> Encoder:
    return Encoder(loaded(request.param), recipe().prompts).eval()


@torch.no_grad()
def test_padding_on_the_left_and_on_the_right_give_the_same(encoder: Encoder) -> None:
    right, left = encoder(mixed(encoder)), encoder(mixed(encoder, left=True))
    assert right.std(dim=0).min() > 1e-3
    torch.testing.assert_close(right, left, atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_a_batch_of_one_and_of_many_give_the_same(encoder: Encoder) -> None:
    alone = torch.cat([encoder(mixed(encoder, rows=[row])) for row in range(len(MODALITIES))])
    torch.testing.assert_close(encoder(mixed(encoder)), alone, atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_a_shared_prefix_gives_what_the_whole_prompt_gives(encoder: Encoder) -> None:
    whole = encoder(mixed(encoder))
    with encoder.shared_prefixes():
        for modality in Modality:
            rows = [row for row, m in enumerate(MODALITIES) if m is modality]
            # Twice: computed, then reused.
            for _ in range(2):
                alike = encoder(mixed(encoder, rows=rows), shared=True)
                torch.testing.assert_close(whole[rows], alike, atol=2e-5, rtol=1e-4)
        # All at once, whose prefixes differ in length.
        torch.testing.assert_close(whole, encoder(mixed(encoder), shared=True), atol=2e-5, rtol=1e-4)


def test_a_shared_prefix_gives_the_gradients_of_whole_prompts(encoder: Encoder) -> None:
    encoder.model.requires_grad_(True)
    found = []
    direction = torch.randn(len(MODALITIES), encoder.backbone.width, generator=torch.Generator().manual_seed(2))
    for shared in (False, True):
        encoder.zero_grad()
        (encoder(mixed(encoder), shared=shared) * direction).sum().backward()
        found.append({n: w.grad.clone() for n, w in encoder.named_parameters() if w.grad is not None})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(found[1][name], gradient, atol=2e-4 * scale + 1e-5, rtol=1e-3)


@torch.no_grad()
def test_prefixes_are_forgotten_when_the_weights_may_change(encoder: Encoder) -> None:
    batch = mixed(encoder, rows=[0])
    with encoder.shared_prefixes():
        encoder(batch, shared=True)
    for weight in encoder.model.get_submodule("model.language_model").parameters():
        weight.mul_(1.5)
    with encoder.shared_prefixes():
        torch.testing.assert_close(encoder(batch, shared=True), encoder(batch), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_lm_head_is_not_run(encoder: Encoder) -> None:
    class Refuses(nn.Module):
        def forward(self, *args: Any) -> Tensor:
            raise AssertionError("the lm_head was run")

    encoder.model.set_submodule("lm_head", Refuses())
    assert torch.isfinite(encoder(mixed(encoder))).all()


@torch.no_grad()
def test_what_is_seen_reaches_the_embedding(encoder: Encoder) -> None:
    batch = mixed(encoder, rows=[0, 2])
    assert batch["pixels"] is not None
    changed = encoder({**batch, "pixels": torch.stack([batch["pixels"][1], batch["pixels"][1]])})
    same = encoder(batch)
    torch.testing.assert_close(same[1], changed[1])
    assert (same[0] - changed[0]).abs().max() > 1e-3


@pytest.mark.parametrize("family", QWEN)
@torch.no_grad()
def test_qwen_is_what_transformers_computes(
    family: str, loaded: Callable[..., Backbone], base_of: Callable[..., Path], recipe: Callable[..., Recipe]
) -> None:
    """transformers' processor and model, whole prompts, hidden state of the last token."""
    size = Image(height=140, width=84)
    encoder = Encoder(loaded(family, size), recipe().prompts).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (3, size.height, size.width, 3), dtype=np.uint8)
    normalised = torch.from_numpy(encoder.backbone.preprocessing.normalise(pixels))
    batch = make_batch(encoder.book, [Modality.RGB] * 3, [None] * 3, normalised)
    stock = AutoModelForImageTextToText.from_pretrained(base_of(family)).eval()
    processed = Qwen2VLImageProcessorPil(do_resize=False)(list(pixels), return_tensors="pt")
    ids = batch["input_ids"]
    types = (ids == stock.config.image_token_id).int()
    states = stock.model(input_ids=ids, mm_token_type_ids=types, **processed).last_hidden_state
    torch.testing.assert_close(encoder(batch), states[:, -1], atol=5e-5, rtol=1e-4)


@torch.no_grad()
def test_llava_is_what_transformers_computes(
    loaded: Callable[..., Backbone], base_of: Callable[..., Path], recipe: Callable[..., Recipe]
) -> None:
    """At the tower's own square size, where no position embedding is interpolated."""
    size = Image(height=56, width=56)
    encoder = Encoder(loaded("llava", size), recipe().prompts).eval()
    batch = make_batch(encoder.book, [Modality.RGB] * 2, [None] * 2, pictures(2, size))
    stock = AutoModelForImageTextToText.from_pretrained(base_of("llava")).eval()
    states = stock.model(input_ids=batch["input_ids"], pixel_values=batch["pixels"]).last_hidden_state
    torch.testing.assert_close(encoder(batch), states[:, -1], atol=5e-5, rtol=1e-4)


@torch.no_grad()
def test_llava_onevision_sees_what_transformers_packs(
    loaded: Callable[..., Backbone], base_of: Callable[..., Path]
) -> None:
    size = Image(height=56, width=56)
    backbone, pixels = loaded("llava_onevision", size), pictures(2, size)
    stock = AutoModelForImageTextToText.from_pretrained(base_of("llava_onevision")).eval()
    # As two images of one sample, which transformers does not cut into views.
    packed = stock.model.get_image_features(
        pixels[:, None], torch.full((2, 2), 56), batch_num_images=torch.tensor([2]), return_dict=True
    )
    seen = backbone.family.see(backbone.model, pixels).tokens
    torch.testing.assert_close(seen, torch.stack(tuple(packed.pooler_output)), atol=5e-5, rtol=1e-4)


@pytest.mark.parametrize("family", QWEN)
@given(rows=st.integers(1, 5), columns=st.integers(1, 5), start=st.integers(0, 6), after=st.integers(0, 6))
@settings(max_examples=25, deadline=None)
def test_positions_are_those_of_get_rope_index(family: str, rows: int, columns: int, start: int, after: int) -> None:
    model: Any = _skeleton(family)
    count = rows * columns
    merge = model.config.vision_config.spatial_merge_size
    types = torch.tensor([[0] * start + [1] * count + [0] * after])
    grid = torch.tensor([[1, rows * merge, columns * merge]])
    expected, _ = model.model.get_rope_index(torch.zeros_like(types), types.int(), image_grid_thw=grid)
    length = types.shape[1]
    ours = FAMILIES[family].positions(
        model.config, torch.tensor([start]), torch.tensor([count]), (rows, columns), length
    )
    torch.testing.assert_close(ours, expected)
    text = FAMILIES[family].positions(model.config, torch.tensor([start]), torch.tensor([0]), (rows, columns), length)
    torch.testing.assert_close(text, torch.arange(length).expand(3, 1, length))


_SKELETONS: dict[str, Any] = {}


def _skeleton(family: str) -> Any:
    if family not in _SKELETONS:
        _SKELETONS[family] = BUILDERS[family]()
    return _SKELETONS[family]


@given(rows=st.integers(1, 4), columns=st.integers(1, 4), merge=st.integers(1, 3), count=st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_patches_are_those_of_the_image_processor(rows: int, columns: int, merge: int, count: int) -> None:
    pixels = torch.randn(count, 3, rows * merge * 14, columns * merge * 14)
    processor = Qwen2VLImageProcessorPil(do_resize=False, do_rescale=False, do_normalize=False, merge_size=merge)
    expected = np.stack([processor.patchify(image.numpy(), 14, merge, 2)[0] for image in pixels])
    frames = expected.reshape(count, -1, 3, 2, 14 * 14)
    ours = patchify(pixels, 14, merge).reshape(count, -1, 3, 14 * 14).numpy()
    for frame in range(2):
        np.testing.assert_array_equal(ours, frames[:, :, :, frame])
