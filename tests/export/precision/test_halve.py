"""The converter: types, borders, casts, and what cannot be converted."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto, TensorProto, helper
from small_precision import BFLOAT16, FLOAT, FLOAT16, INT64, block, model_of

from export.precision.halve import must_keep, to_half
from export.precision.typed import TypedEvaluator
from export.precision.wiring import element_types, producers
from export.session import open_session

node = helper.make_node
BLOCK = block()
NAMES = [each.name for each in BLOCK.graph.node]
VALUES = np.random.default_rng(0).uniform(0, 255, (6, 4)).astype(np.float32)


def computes_in(model: ModelProto, name: str) -> int:
    made = next(each for each in model.graph.node if each.name == name).output[0]
    return element_types(model)[made]


def casts(model: ModelProto) -> list[NodeProto]:
    return [each for each in model.graph.node if each.op_type == "Cast"]


def check(model: ModelProto) -> None:
    """What every converted graph must be."""
    onnx.checker.check_model(model, full_check=True)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    assert {v.type.tensor_type.elem_type for v in (*model.graph.input, *model.graph.output)} <= {FLOAT, INT64}
    making = producers(model.graph)
    for cast in casts(model):
        before = making.get(cast.input[0])
        assert before is None or before.op_type != "Cast", f"{cast.name} casts what was just cast"
    per_target = Counter((cast.input[0], cast.attribute[0].i) for cast in casts(model))
    assert set(per_target.values()) <= {1}, "a tensor is cast twice to the same type"
    read = {name for each in model.graph.node for name in each.input} | {value.name for value in model.graph.output}
    assert {tensor.name for tensor in model.graph.initializer} <= read, "a weight is not used"
    assert {cast.output[0] for cast in casts(model)} <= read, "a cast is not used"


@settings(max_examples=40, deadline=None)
@given(st.sets(st.sampled_from(NAMES)), st.sampled_from(["fp16", "bf16"]))
def test_any_choice_of_nodes_gives_a_valid_graph_that_computes_the_same(keep: set[str], dtype: str) -> None:
    model = to_half(BLOCK, keep, dtype)  # type: ignore[arg-type]
    check(model)
    for name in keep:
        assert computes_in(model, name) == FLOAT
    exact = open_session(BLOCK, threads=1).run(None, {"pixels": VALUES})[0]
    found = TypedEvaluator(model, threads=1).run_feeds({"pixels": VALUES})
    assert np.abs(found - exact).max() < (0.02 if dtype == "fp16" else 0.2)


def test_the_student_is_converted_with_two_borders(graph: ModelProto) -> None:
    model = to_half(graph)
    check(model)
    assert [cast.attribute[0].i for cast in casts(model)] == [FLOAT16, FLOAT]
    assert len(model.SerializeToString()) < 0.62 * len(graph.SerializeToString())
    assert [value.name for value in model.graph.output] == ["coordinates"]


def test_pixels_and_head_stay_in_float32(graph: ModelProto) -> None:
    kept = list(must_keep(graph).values())
    assert [each.op for each in kept[:2]] == ["Mul", "Add"]
    assert kept[0].why == "normalises the pixels"
    assert kept[2].op == "LayerNormalization"
    assert kept[-1].op == "Gemm"
    assert {each.why for each in kept[2:]} == {"head"}


def test_the_same_graph_gives_the_same_bytes(graph: ModelProto) -> None:
    keep = [each.name for each in graph.graph.node if each.op_type == "Softmax"]
    assert (
        to_half(graph, keep).SerializeToString(deterministic=True)
        == to_half(graph, keep[::-1]).SerializeToString(deterministic=True)
    )  # fmt: skip


def test_keeping_everything_changes_nothing(graph: ModelProto) -> None:
    model = to_half(graph, {each.name for each in graph.graph.node})
    assert not casts(model)
    assert list(model.graph.node) == list(graph.graph.node)
    assert list(model.graph.initializer) == list(graph.graph.initializer)


def test_names_of_tensors_stay(graph: ModelProto) -> None:
    keep = [each.name for each in graph.graph.node if each.op_type == "LayerNormalization"]
    before = {name for each in graph.graph.node for name in each.output}
    model = to_half(graph, keep)
    assert before == {name for each in model.graph.node if each.op_type != "Cast" for name in each.output}


def test_nodes_that_move_values_between_kept_nodes_are_kept_with_them() -> None:
    """MatMul -> Transpose -> MatMul, both kept: a Transpose in float16 would round what passes."""
    model = to_half(BLOCK, {"LayerNormalization3", "MatMul5"})
    assert computes_in(model, "Transpose4") == FLOAT
    assert computes_in(to_half(BLOCK, {"LayerNormalization3"}), "Transpose4") == FLOAT16


def test_weights_beyond_the_range_or_too_small_for_it_keep_their_node() -> None:
    def scaled(by: float) -> ModelProto:
        model = block()
        for tensor in model.graph.initializer:
            if tensor.name == "w2":
                tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * np.float32(by), "w2"))
        return model

    assert "MatMul11" not in must_keep(scaled(1))
    assert "beyond fp16" in must_keep(scaled(1e6))["MatMul11"].why
    assert "too small" in must_keep(scaled(1e-7))["MatMul11"].why
    assert "MatMul11" not in must_keep(scaled(1e6), "bf16")
    assert "MatMul11" not in must_keep(scaled(1e-7), "bf16")
    assert computes_in(to_half(scaled(1e6)), "MatMul11") == FLOAT


def test_weights_that_both_types_read_are_there_in_both() -> None:
    model = to_half(BLOCK, {"LayerNormalization3"})  # the last one is kept, too: it is the head's
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert types["gain"] == FLOAT
    assert "gain.fp16" not in types
    mixed = {tensor.name: tensor.data_type for tensor in to_half(BLOCK).graph.initializer}
    assert (mixed["gain"], mixed["gain.fp16"]) == (FLOAT, FLOAT16)


def test_typed_attributes_and_integers_are_followed() -> None:
    inside = [
        node("Shape", ["hidden"], ["shape"]),
        node("Gather", ["shape", "first"], ["count"]),
        node("ConstantOfShape", ["shape"], ["zeros"]),
        node("Greater", ["hidden", "zeros"], ["positive"]),
        node("Cast", ["positive"], ["mask"], to=FLOAT),
        node("Constant", [], ["half"], value=helper.make_tensor("half", FLOAT, [], [0.5])),
        node("Mul", ["mask", "half"], ["halved"]),
        node("Cast", ["count"], ["number"], to=FLOAT),
        node("Div", ["halved", "number"], ["out"]),
    ]
    model = model_of(
        [
            node("MatMul", ["pixels", "w"], ["hidden"]),
            *inside,
            node("MatMul", ["out", "w"], ["last"]),
            node("MatMul", ["last", "w"], ["coordinates"]),
        ],
        {"w": np.eye(4, dtype=np.float32), "first": np.array(0, np.int64)},
    )
    converted = to_half(model)
    check(converted)
    types = element_types(converted)
    assert {types[name] for name in ("zeros", "mask", "half", "halved", "number", "out")} == {FLOAT16}
    assert (types["shape"], types["count"]) == (INT64, INT64)
    values = np.array([[1, -1, 2, -2], [0, 0, 3, 1]], np.float32)
    found = TypedEvaluator(converted, threads=1).run_feeds({"pixels": values})
    np.testing.assert_array_equal(found, (values > 0) * 0.25)


def test_each_of_several_outputs_has_its_head() -> None:
    model = model_of(
        [
            node("MatMul", ["pixels", "w"], ["one"]),
            node("Erf", ["one"], ["two"]),
            node("MatMul", ["two", "w"], ["three"]),
            node("MatMul", ["three", "w"], ["coordinates"]),
            node("MatMul", ["two", "w"], ["more"]),
        ],
        {"w": np.eye(4, dtype=np.float32)},
    )
    model.graph.output.append(helper.make_tensor_value_info("more", FLOAT, None))
    converted = to_half(onnx.shape_inference.infer_shapes(model, strict_mode=True))
    check(converted)
    assert [computes_in(converted, f"MatMul{place}") for place in (0, 2, 3, 4)] == [FLOAT16, FLOAT16, FLOAT, FLOAT]


@pytest.mark.parametrize(("opset", "code"), [(18, FLOAT), (22, BFLOAT16)])
def test_an_operator_that_the_opset_does_not_define_for_bfloat16_is_kept(opset: int, code: int) -> None:
    rng = np.random.default_rng(0)
    model = model_of(
        [
            node("Conv", ["pixels", "k"], ["one"], kernel_shape=[1, 1]),
            node("Erf", ["one"], ["two"]),
            node("Conv", ["two", "k"], ["three"], kernel_shape=[1, 1]),
            node("Conv", ["three", "k"], ["coordinates"], kernel_shape=[1, 1]),
        ],
        {"k": rng.normal(size=(3, 3, 1, 1)).astype(np.float32)},
        reads=("batch", 3, 4, 4),
        opset=opset,
    )
    converted = to_half(model, dtype="bf16")
    check(converted)
    assert computes_in(converted, "Conv2") == code
    assert computes_in(converted, "Erf1") == BFLOAT16


def test_q_and_dq_stay_in_float32_where_the_opset_knows_no_other_scales() -> None:
    model = model_of(
        [
            node("MatMul", ["pixels", "w"], ["one"]),
            node("QuantizeLinear", ["one", "step", "zero"], ["whole"]),
            node("DequantizeLinear", ["whole", "step", "zero"], ["coarse"]),
            node("MatMul", ["coarse", "w"], ["two"]),
            node("MatMul", ["two", "w"], ["coordinates"]),
        ],
        {"w": np.eye(4, dtype=np.float32), "step": np.array(0.5, np.float32), "zero": np.array(0, np.int8)},
    )
    converted = to_half(model)
    check(converted)
    assert computes_in(converted, "DequantizeLinear2") == FLOAT
    assert [computes_in(converted, name) for name in ("MatMul0", "MatMul3")] == [FLOAT16] * 2
    found = TypedEvaluator(converted, threads=1).run_feeds({"pixels": np.array([[0.3, 1, -0.8, 9]], np.float32)})
    np.testing.assert_array_equal(found, [[0.5, 1, -1, 9]])


def test_what_cannot_be_told_apart_is_refused() -> None:
    with pytest.raises(ValueError, match="no node 'nowhere'"):
        to_half(BLOCK, {"nowhere"})
    twice = model_of([node("Erf", ["pixels"], ["a"], "same"), node("Erf", ["a"], ["coordinates"], "same")])
    with pytest.raises(ValueError, match="names"):
        to_half(twice)
    broken = model_of([node("Erf", ["pixels"], ["coordinates"])])
    broken.graph.node[0].input[0] = "missing"
    with pytest.raises(ValueError, match="inferred"):
        to_half(broken)


def test_no_type_is_left_undeclared(graph: ModelProto) -> None:
    types = element_types(to_half(graph))
    assert TensorProto.UNDEFINED not in types.values()
    assert all(name in types for each in to_half(graph).graph.node for name in each.output if name)
