"""What each readout gives, against the models' own forward passes and by hand, in every family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_methods import small
from small_models import BUILDERS
from torch import Tensor

from reid.errors import UserError
from reid.modality import Modality
from teacher.backbone import Backbone
from teacher.batch import Batch, make_batch
from teacher.encoder import Encoder
from teacher.readout import make_reader
from teacher.settings import Recipe

Load = Callable[..., Backbone]
CAMERAS = ["c1", "c2", "c3"]


def encoder_of(backbone: Backbone, recipe: Recipe) -> Encoder:
    torch.manual_seed(0)
    reader = make_reader(recipe.readout, backbone, "manifest", CAMERAS)
    with torch.no_grad():
        for weight in reader.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return Encoder(backbone, recipe.prompts, reader).eval()


def images(encoder: Encoder, rows: int = 3, *, cameras: list[int] | None = None, **more: Any) -> Batch:
    size = encoder.backbone.preprocessing
    pixels = torch.randn(rows, 3, size.height, size.width, generator=torch.Generator().manual_seed(4))
    return make_batch(encoder.book, [Modality.RGB] * rows, [None] * rows, pixels, cameras=cameras, **more)


@torch.no_grad()
def states_of(encoder: Encoder, batch: Batch) -> Tensor:
    """[B, T, D], whole prompts."""
    return encoder.read(batch, encoder.see(batch)).float()


@pytest.mark.parametrize("family", list(BUILDERS))
@torch.no_grad()
def test_image_latents_are_the_mean_over_the_item(family: str, loaded: Load) -> None:
    encoder = encoder_of(loaded(family), small("mllmreid"))
    batch = images(encoder)
    placeholders = (batch["input_ids"] == encoder.image_token).float()
    expected = torch.einsum("bt,btd->bd", placeholders, states_of(encoder, batch)) / placeholders.sum(1, keepdim=True)
    for shared in (False, True):
        assert torch.allclose(encoder(batch, shared=shared), expected, atol=1e-4)


@torch.no_grad()
def test_the_latents_of_a_sentence_are_those_of_its_words_on_either_side_of_the_padding(loaded: Load) -> None:
    encoder = encoder_of(loaded(), small("mllmreid"))
    captions = [[20, 21, 22], [30], [25, 26]]
    modalities = [Modality.TEXT] * 3
    batch = make_batch(encoder.book, modalities, captions, None)
    hidden = states_of(encoder, batch)
    begin = len(encoder.book.prompts[Modality.TEXT].prefix)
    expected = torch.stack([hidden[i, begin : begin + len(c)].mean(0) for i, c in enumerate(captions)])
    left = make_batch(encoder.book, modalities, captions, None, left=True)
    for found in (encoder(batch), encoder(batch, shared=True), encoder(left)):
        assert torch.allclose(found, expected, atol=1e-4)


@torch.no_grad()
def test_the_semantic_token_is_the_state_that_generates_the_first_word(loaded: Load) -> None:
    encoder = encoder_of(loaded(), small("lvlm-reid", "readout.interaction.kind=none", "readout.css=none"))
    batch = images(encoder, 1)
    model: Any = encoder.model
    generated = encoder.say(encoder(batch).to(model.dtype)).argmax(-1)
    ids = batch["input_ids"]
    patches = encoder.see(batch)
    assert patches is not None
    embeddings = model.get_input_embeddings()(ids).masked_scatter(
        (ids == encoder.image_token)[..., None], patches.tokens
    )
    positions = encoder.family.positions(model.config, batch["starts"], batch["counts"], encoder.grid, ids.shape[1])
    logits = model(inputs_embeds=embeddings, position_ids=positions).logits[:, -1]
    assert torch.equal(generated, logits.argmax(-1))


@torch.no_grad()
def test_a_learnt_token_runs_no_language_model(loaded: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = encoder_of(loaded(), small("lvlm-reid", "readout.token=learnt"))
    monkeypatch.setattr(encoder.family, "read", None)
    batch = images(encoder)
    seen = encoder.see(batch)
    reader: Any = encoder.reader
    assert seen is not None
    assert torch.allclose(encoder(batch), reader.interaction(reader.token.expand(3, -1), seen.tokens), atol=1e-5)


@torch.no_grad()
def test_the_tower_alone_is_the_mean_of_its_tokens(loaded: Load) -> None:
    encoder = encoder_of(loaded("llava"), small("lvlm-reid", "readout.kind=visual_tokens", "readout.css=none"))
    batch = images(encoder)
    model: Any = encoder.model
    features = model.get_image_features(batch["pixels"], interpolate_pos_encoding=True)
    tokens = features.pooler_output if hasattr(features, "pooler_output") else features
    assert torch.allclose(encoder(batch), torch.stack([its.mean(0) for its in tokens]), atol=1e-4)


@pytest.mark.parametrize("family", list(BUILDERS))
@torch.no_grad()
def test_a_camera_shifts_the_patches_of_its_own_images(family: str, loaded: Load) -> None:
    encoder = encoder_of(loaded(family), small("lvlm-reid"))
    cameras: Any = encoder.reader.cameras
    mixed = encoder(images(encoder, cameras=[2, 0, -1]))
    for row, code in enumerate([2, 0, -1]):
        shift = cameras.vectors[code] if code >= 0 else cameras.vectors.mean(0)
        embedding, width = encoder.family.patch_embedding(encoder.model)
        # The same by the bias of the convolution.
        proj: Any = getattr(embedding, "proj", embedding)
        assert shift.shape == (width,)
        before = proj.bias
        encoder.reader.cameras = None
        proj.bias = torch.nn.Parameter(shift.clone() if before is None else before + shift)
        expected = encoder(images(encoder))[row]
        proj.bias = before
        encoder.reader.cameras = cameras
        assert torch.allclose(mixed[row], expected, atol=1e-3)
    assert not torch.allclose(mixed, encoder(images(encoder, cameras=[1, 1, 1])), atol=1e-2)


@torch.no_grad()
def test_a_camera_at_the_token_is_added_to_it(loaded: Load) -> None:
    encoder = encoder_of(loaded(), small("lvlm-reid", "readout.css=token"))
    batch = images(encoder, cameras=[0, 1, -1])
    reader: Any = encoder.reader
    seen = encoder.see(batch)
    assert seen is not None
    rows = torch.stack([reader.cameras.vectors[0], reader.cameras.vectors[1], reader.cameras.vectors.mean(0)])
    token = states_of(encoder, batch)[:, -1] + rows
    assert torch.allclose(encoder(batch), reader.interaction(token, seen.tokens), atol=1e-4)


@pytest.mark.parametrize("stopped", [False, True])
def test_the_frozen_language_model_passes_gradients_on_unless_it_is_told_not_to(stopped: bool, loaded: Load) -> None:
    changes = ["readout.interaction.kind=none", "readout.css=patches", f"readout.stop_gradient={str(stopped).lower()}"]
    encoder = encoder_of(loaded(), small("lvlm-reid", *changes))
    out = encoder(images(encoder, cameras=[0, 1, 2]), shared=True)
    cameras: Any = encoder.reader.cameras
    assert out.requires_grad is not stopped
    if not stopped:
        out.square().sum().backward()
        assert cameras.vectors.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in encoder.model.parameters())


def test_a_method_without_cameras_in_its_data_is_refused(loaded: Load) -> None:
    with pytest.raises(UserError, match=r"no training image has a camera_id; set readout.css=none"):
        make_reader(small("lvlm-reid").readout, loaded(), "manifest", [])


def test_heads_that_do_not_divide_the_width_are_refused(loaded: Load) -> None:
    recipe = small("lvlm-reid", "readout.interaction.heads=7")
    with pytest.raises(UserError, match="heads: 7 does not divide 32"):
        make_reader(recipe.readout, loaded(), "manifest", CAMERAS)
