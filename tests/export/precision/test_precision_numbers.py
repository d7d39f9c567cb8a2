"""Rounding to 16 bits, against torch and ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from small_precision import FLOAT, model_of

from export.precision.numbers import BF16, FP16, HalfType, float_tensor, float_values
from export.session import open_session

TORCH = {"fp16": torch.float16, "bf16": torch.bfloat16}
EDGES = [
    65504,
    65519.99,
    65520,
    -65536,
    3.39e38,
    3.4e38,
    1e-8,
    2.98e-8,
    3e-8,
    5.96e-8,
    0.0,
    -0.0,
    np.inf,
    -np.inf,
    np.nan,
]


def every_kind(count: int = 200_000) -> np.ndarray:
    bits = np.random.default_rng(0).integers(0, 2**32, count, dtype=np.uint32).view(np.float32)
    return np.concatenate([bits, np.array(EDGES, np.float32)])


@pytest.mark.parametrize("half", [FP16, BF16], ids=["fp16", "bf16"])
def test_rounding_is_that_of_torch_for_numbers_of_every_kind(half: HalfType) -> None:
    values = every_kind()
    expected = torch.from_numpy(values).to(TORCH[half.name]).float().numpy()
    np.testing.assert_array_equal(half.round(values), expected)


@pytest.mark.parametrize("half", [FP16, BF16], ids=["fp16", "bf16"])
def test_a_cast_of_onnx_runtime_without_optimisations_rounds_so_too(half: HalfType) -> None:
    there, back = (helper.make_node("Cast", [a], [b], to=to) for a, b, to in (
        ("pixels", "half", half.code), ("half", "coordinates", FLOAT)))  # fmt: skip
    session = open_session(model_of([there, back], reads=("batch",)), threads=1, optimised=False)
    values = every_kind()
    np.testing.assert_array_equal(session.run(None, {"pixels": values})[0], half.round(values))


@given(st.lists(st.floats(width=32), min_size=1, max_size=20), st.sampled_from([FP16, BF16]))
def test_an_encoded_tensor_holds_the_rounded_values(values: list[float], half: HalfType) -> None:
    array = np.array(values, np.float32).reshape(1, -1)
    tensor = half.encode("w", array)
    assert (tensor.data_type, list(tensor.dims)) == (half.code, [1, len(values)])
    np.testing.assert_array_equal(float_values(tensor), half.round(array))


def test_a_scalar_keeps_its_shape() -> None:
    for tensor in (BF16.encode("w", np.float32(3).reshape(())), float_tensor("w", np.float32(3).reshape(()))):
        assert list(tensor.dims) == []
        assert float_values(tensor) == 3
