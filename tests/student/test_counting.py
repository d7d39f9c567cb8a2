"""Sizes against the papers, and against arithmetic."""

from __future__ import annotations

import pytest
import torch
from small_students import SMALL

from student.build import build_student
from student.configuration import StudentConfig
from student.counting import count
from student.model import StudentModel
from student.text import build_text_student


def without_weights(name: str, height: int, width: int) -> StudentModel:
    with torch.device("meta"):
        return build_student(name, 8, height=height, width=width)


@pytest.mark.parametrize(
    ("name", "height", "width", "parameters", "gflops"),
    [
        # DeiT (arXiv 2012.12877) and ViT as timm gives it; less a classifier of 1000.
        ("vit-ti", 224, 224, 5.7 - 0.19, 1.26),
        ("vit-s", 224, 224, 22.05 - 0.385, 4.6),
        ("vit-b", 224, 224, 86.6 - 0.77, 17.6),
        # ConvNeXt V2 (arXiv 2301.00808).
        ("convnextv2-atto", 224, 224, 3.7 - 0.32, 0.55),
        ("convnextv2-nano", 224, 224, 15.6 - 0.64, 2.45),
        # MobileViT (arXiv 2110.02178).
        ("mobilevit-s", 256, 256, 5.6 - 0.64, 2.0),
    ],
)
def test_sizes_are_those_of_the_papers(name: str, height: int, width: int, parameters: float, gflops: float) -> None:
    size = count(without_weights(name, height, width))
    assert size.parameters / 1e6 == pytest.approx(parameters, rel=0.02)
    assert size.gflops == pytest.approx(gflops, rel=0.06)


def test_multiply_adds_of_a_vit_by_hand() -> None:
    height, width, c, mlp, layers, dim = 96, 64, 24, 48, 2, 10
    n = (height // 16) * (width // 16) + 1
    linear = n * (4 * c * c + 2 * c * mlp)
    attention = 2 * n * n * c
    expected = (n - 1) * 3 * 16 * 16 * c + layers * (linear + attention) + 2 * c * dim
    assert SMALL["small-vit"].config["hidden_size"] == c
    assert count(build_student("small-vit", dim, height=height, width=width)).gflops == pytest.approx(expected / 1e9)


def test_counting_leaves_the_model_as_it_is() -> None:
    model = build_student("small-vit", 4, height=64, width=64)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert str(count(model)) == "0.0 M parameters, 0.00 GFLOPs"
    assert isinstance(model.config, StudentConfig)
    assert model.config._attn_implementation == "sdpa"
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_multiply_adds_of_a_text_student_by_hand() -> None:
    width, layers, tokens, dim = 64, 2, 15, 10
    model = build_text_student(range(20), dim, 100, hidden=width, layers=layers, heads=2)
    n = tokens + 1
    expected = layers * (n * 12 * width * width + 2 * n * n * width) + width * dim
    assert count(model, tokens=tokens).gflops == pytest.approx(expected / 1e9)
    assert count(model).parameters == sum(parameter.numel() for parameter in model.parameters())
