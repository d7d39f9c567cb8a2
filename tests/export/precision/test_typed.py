"""The typed evaluation, against graphs that numpy computes in float16, and torch."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from onnx import ModelProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator
from small_precision import BFLOAT16, FLOAT, FLOAT16, block, model_of

from export.crops import Crops
from export.precision.halve import to_half
from export.precision.numbers import BF16, FP16
from export.precision.typed import TypedEvaluator, spell_out
from export.session import open_session, run_crops
from export.source import Source

node = helper.make_node


def reference(model: ModelProto, values: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.asarray(ReferenceEvaluator(model).run(None, {"pixels": values})[0])


def typed(model: ModelProto, values: np.ndarray) -> np.ndarray:
    return TypedEvaluator(model, threads=1).run_feeds({"pixels": values})


def squares() -> ModelProto:
    """x -> x * x / 1000 in float16: 300 overflows half-way."""
    return model_of(
        [
            node("Cast", ["pixels"], ["half"], to=FLOAT16),
            node("Mul", ["half", "half"], ["square"]),
            node("Mul", ["square", "thousandth"], ["small"]),
            node("Cast", ["small"], ["coordinates"], to=FLOAT),
        ],
        {"thousandth": np.array(0.001, np.float16)},
    )


def test_an_overflow_that_onnx_runtime_hides_is_seen() -> None:
    values = np.array([[1, 10, 300, -300]], np.float32)
    plain = open_session(squares(), threads=1).run(None, {"pixels": values})[0]
    assert np.isfinite(plain).all(), "ONNX Runtime computes float16 in float32 and hides it"
    found, expected = typed(squares(), values), reference(squares(), values)
    np.testing.assert_array_equal(np.isinf(expected), [[False, False, True, True]])
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("seed", range(3))
def test_a_block_is_computed_as_numpy_computes_it_in_float16(seed: int) -> None:
    model = to_half(block(seed=seed))
    values = np.random.default_rng(seed).uniform(0, 255, (6, 4)).astype(np.float32)
    exact, expected, found = (
        open_session(block(seed=seed), threads=1).run(None, {"pixels": values})[0],
        reference(model, values),
        typed(model, values),
    )
    assert np.abs(found - expected).max() < 0.01
    assert np.abs(found - exact).max() > 1e-5, "nothing was rounded"


def test_values_that_a_block_makes_in_between_are_of_the_declared_type(graph: ModelProto, crops: Crops) -> None:
    model = to_half(graph)
    tensors = TypedEvaluator(model, threads=1).tensors(crops.take([0]))
    halves = [
        name
        for value in model.graph.value_info
        if value.type.tensor_type.elem_type == FLOAT16 and (name := value.name) in tensors
    ]
    assert len(halves) > 100
    for name in halves:
        np.testing.assert_array_equal(tensors[name], FP16.round(tensors[name]), err_msg=name)
    assert not any(name.endswith(("/exact", "/half")) for name in tensors)


def test_bfloat16_keeps_the_range_and_loses_digits() -> None:
    model = copy.deepcopy(squares())
    for made in model.graph.node[:1]:
        made.attribute[0].i = BFLOAT16
    model.graph.initializer[0].CopyFrom(BF16.encode("thousandth", np.float32(0.001).reshape(())))
    found = typed(model, np.array([[300, 1.01, 0, 1e30]], np.float32))[0]
    assert found[0] == BF16.round(BF16.round(np.float32([90000])) * BF16.round(np.float32([0.001])))[0]
    assert np.isinf(found[3])


def test_each_typed_attribute_is_followed() -> None:
    model = model_of(
        [
            node("Shape", ["pixels"], ["shape"]),
            node(
                "ConstantOfShape", ["shape"], ["filled"], value=helper.make_tensor("", FLOAT16, [1], [np.float16(0.1)])
            ),
            node("Constant", [], ["one"], value=helper.make_tensor("", FLOAT16, [], [np.float16(3.3)])),
            node("CastLike", ["pixels", "one"], ["half"]),
            node("Add", ["filled", "half"], ["sum"]),
            node("Mul", ["sum", "one"], ["product"]),
            node("Cast", ["product"], ["coordinates"], to=FLOAT),
        ]
    )
    values = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    np.testing.assert_array_equal(typed(model, values), reference(model, values))


def test_inputs_and_outputs_of_16_bits_are_rounded_and_become_float32() -> None:
    model = model_of([node("Add", ["pixels", "pixels"], ["coordinates"])], types=(FLOAT16, FLOAT16))
    found = typed(model, np.array([[0.1, 1, 60000, 2]], np.float32))
    np.testing.assert_array_equal(found, [[np.float32(np.float16(0.1)) * 2, 2, np.inf, 4]])
    assert found.dtype == np.float32


def test_int8_between_q_and_dq_is_computed_as_numpy_does() -> None:
    model = model_of(
        [
            node("QuantizeLinear", ["pixels", "step", "zero"], ["whole"]),
            node("DequantizeLinear", ["whole", "step", "zero"], ["coarse"]),
            node("Cast", ["coarse"], ["half"], to=FLOAT16),
            node("DequantizeLinear", ["w", "fine", "zero"], ["wide"]),
            node("Cast", ["wide"], ["matrix"], to=FLOAT16),
            node("MatMul", ["half", "matrix"], ["product"]),
            node("Cast", ["product"], ["coordinates"], to=FLOAT),
        ],
        {
            "step": np.array(0.5, np.float32), "fine": np.array(0.01, np.float32), "zero": np.array(0, np.int8),
            "w": np.arange(-8, 8, dtype=np.int8).reshape(4, 4),
        },
        opset=19,
    )  # fmt: skip
    values = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32) * 20
    np.testing.assert_allclose(typed(model, values), reference(model, values), rtol=2e-3, atol=2e-3)


def test_a_float32_graph_is_computed_as_it_stands(graph: ModelProto, crops: Crops) -> None:
    plain = run_crops(open_session(graph, threads=1, optimised=False), crops)
    np.testing.assert_array_equal(TypedEvaluator(graph, threads=1).run(crops), plain)


def test_batches_do_not_change_a_result(graph: ModelProto, crops: Crops) -> None:
    evaluator = TypedEvaluator(to_half(graph), threads=1)
    np.testing.assert_allclose(evaluator.run(crops, batch=1), evaluator.run(crops, batch=4), rtol=0, atol=0.02)


def test_a_student_is_as_near_to_torch_in_half_as_both_are_to_float32(
    source: Source, graph: ModelProto, crops: Crops
) -> None:
    pixels = torch.from_numpy(source.preprocessing.normalise(crops.pixels))
    student = copy.deepcopy(source.student)
    with torch.inference_mode():
        exact, halved = student(pixels).numpy(), student.half()(pixels.half()).float().numpy()
    ours = TypedEvaluator(to_half(graph), threads=1).run(crops)
    sizes = np.linalg.norm(exact, axis=1)
    for one, other in ((halved, exact), (ours, exact), (ours, halved)):
        assert (np.linalg.norm(one - other, axis=1) / sizes).max() < 0.01


def test_a_node_that_computes_in_float16_within_itself_is_refused() -> None:
    model = model_of(
        [node("LayerNormalization", ["pixels", "gain"], ["coordinates"], stash_type=FLOAT16)],
        {"gain": np.ones(4, np.float32)},
    )
    with pytest.raises(ValueError, match="stash_type"):
        spell_out(model)


def test_a_graph_with_branches_is_refused() -> None:
    inner = helper.make_graph([node("Identity", ["pixels"], ["y"])], "in", [], [
        helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])  # fmt: skip
    branch: Any = node("If", ["yes"], ["coordinates"], then_branch=inner, else_branch=inner)
    with pytest.raises(ValueError, match="If"):
        spell_out(model_of([branch], {"yes": np.array(True)}))
