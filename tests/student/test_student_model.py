"""The student's forward pass against the transformers class that it is built on, stems, heads and export."""

from __future__ import annotations

import sys

import pytest
import torch
from small_students import PERSON, SMALL, images
from torch import Tensor
from transformers import AutoModel

from edge_runtime.preprocess import Preprocessing
from reid.errors import UserError
from reid.modality import Modality
from student.build import build_student
from student.configuration import IMAGE_MODALITIES
from student.model import StudentModel
from student.pooling import VECTORS
from student.zoo import ZOO, find_student

RGB, IR, SKETCH = range(3)
TOKENS = [name for name, entry in SMALL.items() if entry.family.special]
MAPS = [name for name in SMALL if name not in TOKENS]


def small(name: str, dim: int = 6, **options: object) -> StudentModel:
    height, width = PERSON[name]
    return build_student(name, dim, height=height, width=width, **options)  # type: ignore[arg-type]


def looked_at(model: StudentModel, modalities: list[int] | None = None, seed: int = 1, count: int = 3) -> Tensor:
    pixels = images(count, model.config.height, model.config.width, seed)
    with torch.no_grad():
        result: Tensor = model(pixels, None if modalities is None else torch.tensor(modalities))
    return result


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("stems", ["shared", "modality"])
def test_every_family_gives_k_finite_outputs_that_tell_images_apart(name: str, stems: str) -> None:
    outputs = looked_at(small(name, stems=stems), [RGB, IR, SKETCH])
    assert outputs.shape == (3, 6)
    assert outputs.dtype == torch.float32
    assert bool(outputs.isfinite().all())
    assert float((outputs[0] - outputs[1]).abs().max()) > 1e-5


@pytest.mark.parametrize("name", TOKENS)
def test_features_of_a_vit_are_its_class_token_and_the_mean_of_its_patches(name: str) -> None:
    model = small(name)
    pixels = images(2, *PERSON[name])
    with torch.no_grad():
        last = model.backbone(pixel_values=pixels).last_hidden_state
        features = model.features(pixels)
    patches = (PERSON[name][0] // model.config.backbone["patch_size"]) * (  # type: ignore[index]
        PERSON[name][1] // model.config.backbone["patch_size"]  # type: ignore[index]
    )
    expected = torch.cat([last[:, 0], last[:, -patches:].mean(1)], 1)
    torch.testing.assert_close(features, expected)


@pytest.mark.parametrize("name", MAPS)
def test_features_of_a_convolutional_family_are_what_its_class_pools(name: str) -> None:
    model = small(name)
    pixels = images(2, *PERSON[name])
    with torch.no_grad():
        torch.testing.assert_close(model.features(pixels), model.backbone(pixel_values=pixels).pooler_output)


@pytest.mark.parametrize("name", SMALL)
def test_parts_see_the_head_above_the_feet(name: str) -> None:
    """What changes at the top of the image changes the upper stripes more; that needs rows to be rows."""
    model = small(name, pooling="parts")
    pixels = images(1, *PERSON[name])
    changed = pixels.clone()
    changed[:, :, : PERSON[name][0] // 8] = images(1, PERSON[name][0] // 8, PERSON[name][1], seed=2)
    with torch.no_grad():
        before, after = model.features(pixels), model.features(changed)
    width = before.shape[1] // VECTORS["parts"]
    changes = (after - before).reshape(VECTORS["parts"], width).norm(dim=1)
    assert float(changes[:4].sum()) > float(changes[4:].sum())


@pytest.mark.parametrize("name", MAPS)
def test_a_family_without_class_token_refuses_its_pooling(name: str) -> None:
    with pytest.raises(UserError, match=r"cls_mean.*mean, parts"):
        small(name, pooling="cls_mean")


@pytest.mark.parametrize("name", SMALL)
def test_a_stem_works_on_its_own_modality_alone(name: str) -> None:
    model = small(name, stems="modality")
    order = [RGB, IR, SKETCH, IR]
    before = looked_at(model, order, count=4)
    stem = model.backbone.get_submodule(model.config.family.stem)
    with torch.no_grad():
        stem.weight[:, 3:6] *= -1.5  # type: ignore[index,operator]
    changed = (looked_at(model, order, count=4) - before).abs().amax(1) > 0
    assert changed.tolist() == [False, True, False, True]


def test_modality_codes_are_places_in_the_enum() -> None:
    assert list(Modality)[: len(IMAGE_MODALITIES)] == list(IMAGE_MODALITIES)
    assert [m.value for m in IMAGE_MODALITIES] == ["rgb", "ir", "sketch"]


def test_stems_by_modality_need_the_modalities() -> None:
    with pytest.raises(ValueError, match="give the modalities"):
        looked_at(small("small-vit", stems="modality"))


def test_a_shared_stem_looks_at_no_modality() -> None:
    model = small("small-vit")
    assert torch.equal(looked_at(model), looked_at(model, [IR, SKETCH, RGB]))


@pytest.mark.parametrize("name", SMALL)
def test_an_image_is_embedded_alike_in_any_batch(name: str) -> None:
    model = small(name)
    pixels = images(4, *PERSON[name])
    with torch.no_grad():
        torch.testing.assert_close(model(pixels)[2:3], model(pixels[2:3]), rtol=1e-4, atol=1e-6)


def test_the_seed_decides_the_weights_and_the_callers_generator_is_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first, same, other = (small("small-vit", seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(2), expected)
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])
    position = "backbone.embeddings.position_embeddings"
    assert not torch.equal(first[position], other[position])


@pytest.mark.parametrize("name", TOKENS)
def test_no_two_tokens_begin_equal(name: str) -> None:
    """Registers that do stay equal for ever; a class and a distillation token, or positions, learn late."""
    embeddings = small(name).backbone.get_submodule("embeddings")
    found = {key: value for key, value in embeddings.named_parameters() if "mask" not in key and "patch" not in key}
    rows = torch.cat([value.reshape(-1, value.shape[-1]) for value in found.values()])
    assert len(rows.unique(dim=0)) == len(rows)


def test_output_scale_is_a_factor() -> None:
    torch.testing.assert_close(looked_at(small("small-vit", output_scale=0.25)), 0.25 * looked_at(small("small-vit")))


def test_outputs_of_a_new_student_are_of_unit_scale() -> None:
    outputs = looked_at(build_student("vit-micro", 64, height=64, width=32))
    assert 0.5 < float(outputs.std()) < 2


@pytest.mark.parametrize("name", SMALL)
def test_every_trainable_weight_gets_a_gradient(name: str) -> None:
    """One that gets none stops a training by several processes."""
    model = small(name, stems="modality")
    model.train()
    model(images(3, *PERSON[name]), torch.tensor([RGB, IR, SKETCH])).square().mean().backward()
    assert [key for key, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.parametrize("name", ["small-vit", "small-dinov2-reg"])
def test_attention_written_out_gives_the_same_and_exports_for_any_batch(name: str) -> None:
    model = small(name, stems="modality", pooling="parts")
    fused = looked_at(model, [RGB, IR, SKETCH])
    model.set_attn_implementation("eager")
    assert model.backbone.config._attn_implementation == "eager"
    torch.testing.assert_close(looked_at(model, [RGB, IR, SKETCH]), fused, rtol=1e-4, atol=1e-5)
    batch = torch.export.Dim("batch", min=1, max=64)
    shapes = {"pixels": {0: batch}, "modalities": {0: batch}}
    example = (images(2, *PERSON[name]), torch.tensor([RGB, IR]))
    exported = torch.export.export(model, example, dynamic_shapes=shapes).module()
    pixels, modalities = images(5, *PERSON[name], seed=2), torch.tensor([RGB, IR, SKETCH, IR, RGB])
    with torch.no_grad():
        torch.testing.assert_close(exported(pixels, modalities), model(pixels, modalities))


def test_preprocessing_is_of_the_input_size() -> None:
    found = build_student("vit-micro", 4, height=128, width=64).preprocessing
    assert isinstance(found, Preprocessing)
    assert (found.height, found.width, found.resampling) == (128, 64, "bicubic")


@pytest.mark.parametrize("name", ZOO)
def test_a_student_of_the_zoo_has_the_parameters_of_the_transformers_class_and_its_head(name: str) -> None:
    entry = find_student(name)
    with torch.device("meta"):
        model = build_student(name, 8)
        pooler = {"add_pooling_layer": False} if entry.model_type in ("vit", "deit") else {}
        config = entry.family.config(**entry.config, image_size=[256, 128])
        theirs = AutoModel.from_config(config, **pooler)
    own = sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in model.head.parameters())
    unused = 384 if name == "dinov2-s-reg" else 0  # the mask token, a buffer here
    assert own == sum(p.numel() for p in theirs.parameters()) - unused


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vit-x", "did you mean vit-s?"),
        ("dinov2_s", "did you mean dinov2-s?"),
        ("ViT-Ti", "did you mean vit-ti?"),
        ("resnet50", "there are vit-micro, vit-ti"),
    ],
)
def test_an_unknown_student_names_the_nearest(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        build_student(name, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"height": 250}, "height 250: vit needs a multiple of 16 pixels; take 240 or 256"),
        ({"width": 8}, "width 8: vit needs a multiple of 16 pixels; take 16"),
        ({"stems": "own"}, "stems 'own': unknown; expected shared or modality"),
        ({"pooling": "max"}, "pooling 'max'"),
        ({"drop_path": 1.0}, "drop_path 1.0: expected a rate"),
    ],
)
def test_what_a_student_cannot_be_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_student("vit-micro", 8, **options)  # type: ignore[arg-type]


def test_patches_of_14_leave_a_sliver_of_the_default_size_but_no_more() -> None:
    family = find_student("dinov2-s").family
    config = family.config(**find_student("dinov2-s").config)
    assert family.grid(config, 256, 128) == (18, 9)
    with pytest.raises(UserError, match="take 238 or 252"):
        family.grid(config, 245, 126)


def test_neither_torchvision_nor_timm_is_loaded() -> None:
    assert not {"torchvision", "timm"} & set(sys.modules)
