"""INT8 graphs with Q/DQ."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from int8_graphs import cosines
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from export.crops import Crops
from export.int8.calibration import Range, input_ranges
from export.int8.layers import chosen_layers, weighted_layers
from export.int8.qdq import insert, weight_scales
from export.int8.quantise import quantise
from export.openvino import run_openvino
from export.precision.halve import to_half
from export.session import MODALITY, PIXELS, feeds, open_session, run_crops

INPUTS = [PIXELS, MODALITY]


@pytest.fixture(scope="module")
def int8(fp32: ModelProto, calibration: Crops) -> ModelProto:
    return quantise(fp32, calibration)


def initialisers(model: ModelProto) -> dict[str, TensorProto]:
    return {tensor.name: tensor for tensor in model.graph.initializer}


def nodes(model: ModelProto, kind: str) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == kind]


def at_opset_19(model: ModelProto) -> ModelProto:
    """The reference has Q and DQ from there on; nothing else in these graphs changed its meaning."""
    raised = ModelProto()
    raised.CopyFrom(model)
    raised.opset_import[0].version = 19
    return raised


def test_every_layer_but_the_head_has_int8_weights_with_a_scale_per_channel(fp32: ModelProto, int8: ModelProto) -> None:
    tensors, made = initialisers(int8), {node.output[0]: node for node in nodes(int8, "DequantizeLinear")}
    by_name = {node.name: node for node in int8.graph.node}
    layers = weighted_layers(fp32)
    for layer in layers[:-1]:
        dequantise = made[by_name[layer.node].input[1]]
        weight, scale = (numpy_helper.to_array(tensors[name]) for name in dequantise.input[:2])
        original = numpy_helper.to_array(initialisers(fp32)[layer.weight])
        assert weight.dtype == np.int8
        assert scale.shape == (original.shape[layer.axis],)
        other_axes = tuple(i for i in range(original.ndim) if i != layer.axis)
        assert (np.abs(weight.astype(int)).max(axis=other_axes) == 127).all()
        shape = [-1 if i == layer.axis else 1 for i in range(original.ndim)]
        assert (np.abs(weight * scale.reshape(shape) - original) <= 0.51 * scale.reshape(shape)).all()
        assert layer.weight not in tensors
    head = by_name[layers[-1].node]
    assert head.op_type == "Gemm"
    assert tensors[head.input[1]].data_type == TensorProto.FLOAT


def test_there_is_no_zero_point_but_zero_and_no_int32_bias(int8: ModelProto) -> None:
    tensors = initialisers(int8)
    for node in (*nodes(int8, "QuantizeLinear"), *nodes(int8, "DequantizeLinear")):
        zero = numpy_helper.to_array(tensors[node.input[2]])
        assert zero.dtype == np.int8
        assert not zero.any()
    assert all(tensors[node.input[0]].data_type == TensorProto.INT8 for node in nodes(int8, "DequantizeLinear")
               if node.input[0] in tensors)  # fmt: skip


def test_products_of_activations_stay_as_they_are(fp32: ModelProto, int8: ModelProto) -> None:
    weights = {layer.node for layer in weighted_layers(fp32)}
    attention = [node.name for node in nodes(fp32, "MatMul") if node.name not in weights]
    assert len(attention) == 2 * 6
    dequantised = {node.output[0] for node in nodes(int8, "DequantizeLinear")}
    assert all(dequantised.isdisjoint(node.input) for node in int8.graph.node if node.name in attention)


def test_layers_that_read_the_same_tensor_share_its_quantiser(int8: ModelProto) -> None:
    # Per block: one for queries, keys and values, one each for the output, fc1 and fc2; and one for the patches.
    assert len(nodes(int8, "QuantizeLinear")) == 6 * 4 + 1


def test_onnx_runtime_openvino_and_the_reference_agree_with_each_other_and_with_fp32(
    fp32: ModelProto, int8: ModelProto, others: Crops
) -> None:
    onnx.checker.check_model(int8, full_check=True)
    runtime = run_crops(open_session(int8, threads=1), others)
    openvino = run_openvino(int8, others, threads=1, exact=True)
    assert cosines(runtime, openvino).min() > 0.9995
    assert cosines(runtime, run_crops(open_session(fp32, threads=1), others)).min() > 0.998
    few = others.take([0, 5])
    plain = ReferenceEvaluator(at_opset_19(int8)).run(None, feeds(few, INPUTS))[0]
    assert cosines(plain, runtime[[0, 5]]).min() > 0.9995


def test_onnx_runtimes_own_quantiser_gives_the_same_weights_and_scales(
    fp32: ModelProto, int8: ModelProto, calibration: Crops, tmp_path: Path, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = iter([feeds(part, INPUTS) for part in calibration.batches(8)])

        def get_next(self) -> object:
            return next(self.batches, None)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(logging.root, "disabled", True)
    names = [layer.node for layer in chosen_layers(fp32)]
    theirs = ModelProto()
    theirs.CopyFrom(fp32)  # its weights are taken out of it
    quantize_static(
        theirs, tmp_path / "theirs.onnx", Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
        op_types_to_quantize=["MatMul", "Conv"], nodes_to_quantize=names,
        activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False,
                       "OpTypesToExcludeOutputQuantization": ["MatMul", "Conv"]},
    )  # fmt: skip
    theirs = onnx.load(tmp_path / "theirs.onnx")

    def constants(model: ModelProto, node: str) -> tuple[np.ndarray, ...]:
        tensors, by_name = initialisers(model), {n.name: n for n in model.graph.node}
        makers = {n.output[0]: n for n in nodes(model, "DequantizeLinear")}
        activation, weight = (makers[name] for name in by_name[node].input[:2])
        return tuple(numpy_helper.to_array(tensors[n]) for n in (activation.input[1], *weight.input[:2]))

    for name in names:
        ours_activation, ours_weight, ours_scale = constants(int8, name)
        activation, weight, scale = constants(theirs, name)
        # They spread the range over 255 steps, we over 254, as TensorRT does: 127 is the largest magnitude.
        np.testing.assert_allclose(activation, ours_activation, rtol=5e-3)
        np.testing.assert_allclose(scale, ours_scale, rtol=5e-3)
        assert np.abs(weight.astype(int) - ours_weight.astype(int)).max() <= 1


def test_layers_that_are_kept_stay_fp32(fp32: ModelProto, calibration: Crops) -> None:
    every = [layer.node for layer in chosen_layers(fp32)]
    one = quantise(fp32, calibration, keep=every[1:])
    assert len(nodes(one, "QuantizeLinear")) == 1
    assert quantise(fp32, calibration, keep=every).graph == fp32.graph


def test_a_layer_that_is_not_there_cannot_be_kept(fp32: ModelProto, calibration: Crops) -> None:
    with pytest.raises(ValueError, match="no layer with weights called 'nobody'"):
        quantise(fp32, calibration, keep=["nobody"])


def test_the_same_crops_give_the_same_bytes(fp32: ModelProto, int8: ModelProto, calibration: Crops) -> None:
    before = fp32.SerializeToString(deterministic=True)
    again = quantise(fp32, calibration)
    assert again.SerializeToString(deterministic=True) == int8.SerializeToString(deterministic=True)
    assert fp32.SerializeToString(deterministic=True) == before


def test_unsigned_activations_put_zero_exactly_on_a_step(fp32: ModelProto, calibration: Crops, others: Crops) -> None:
    made = quantise(fp32, calibration, activations="uint8")
    tensors = initialisers(made)
    ranges = input_ranges(fp32, chosen_layers(fp32), calibration, threads=1)
    for node in nodes(made, "QuantizeLinear"):
        scale, zero = (float(numpy_helper.to_array(tensors[name])) for name in node.input[1:])
        assert -zero * scale == pytest.approx(min(ranges[node.input[0]].low, 0.0), abs=0.51 * scale)
        assert (255 - zero) * scale == pytest.approx(max(ranges[node.input[0]].high, 0.0), abs=0.51 * scale)
    reference = run_crops(open_session(fp32, threads=1), others)
    assert cosines(run_crops(open_session(made, threads=1), others), reference).min() > 0.998


def test_ranges_are_those_of_the_tensors_themselves(fp32: ModelProto, calibration: Crops) -> None:
    layers = chosen_layers(fp32)
    found = input_ranges(fp32, layers, calibration, threads=1)
    watched = ModelProto()
    watched.CopyFrom(fp32)
    names = list(found)
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    values = open_session(watched, threads=1).run(names, feeds(calibration, INPUTS))
    for name, value in zip(names, values, strict=True):
        np.testing.assert_allclose(found[name], (value.min(), value.max()), rtol=1e-4)


def test_an_activation_that_is_not_finite_has_no_range(fp32: ModelProto, calibration: Crops) -> None:
    broken = ModelProto()
    broken.CopyFrom(fp32)
    for tensor in broken.graph.initializer:
        if tensor.name == weighted_layers(fp32)[0].weight:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(np.inf), tensor.name))
    with pytest.raises(ValueError, match="is not finite on synthetic people"):
        quantise(broken, calibration)


def test_the_rest_can_be_fp16_with_scales_in_fp16(
    fp32: ModelProto, calibration: Crops, int8: ModelProto, others: Crops
) -> None:
    half = quantise(fp32, calibration, typed="fp16")
    onnx.checker.check_model(half, full_check=True)
    onnx.shape_inference.infer_shapes(half, check_type=True, strict_mode=True)
    assert next(entry.version for entry in half.opset_import if not entry.domain) == 19
    tensors = initialisers(half)
    scales = {tensors[node.input[1]].data_type for node in nodes(half, "DequantizeLinear")}
    assert scales == {TensorProto.FLOAT16}
    assert list(half.graph.input) == list(fp32.graph.input)
    assert list(half.graph.output) == list(fp32.graph.output)
    assert half.ByteSize() < int8.ByteSize()
    assert cosines(run_crops(open_session(half, threads=1), others),
                   run_crops(open_session(fp32, threads=1), others)).min() > 0.998  # fmt: skip


def test_what_the_rest_keeps_in_fp32_gets_scales_in_fp32(fp32: ModelProto, calibration: Crops) -> None:
    wide = chosen_layers(fp32)[3]
    mixed = quantise(fp32, calibration, rest=to_half(fp32, {wide.node}, "fp16"))
    onnx.shape_inference.infer_shapes(mixed, check_type=True, strict_mode=True)
    tensors, by_name = initialisers(mixed), {node.name: node for node in mixed.graph.node}
    makers = {node.output[0]: node for node in nodes(mixed, "DequantizeLinear")}
    types = [tensors[makers[name].input[1]].data_type for name in by_name[wide.node].input]
    assert types == [TensorProto.FLOAT, TensorProto.FLOAT]


def test_scales_in_fp16_never_cut_the_largest_value_and_never_vanish() -> None:
    values = np.array([[1.0, -3.0000001, 1e-7, 0.0], [0.5, 1.0, 2e-7, 0.0]])
    scales = weight_scales(values, 1, np.float16)
    assert scales.dtype == np.float16
    assert (scales.astype(np.float64) * 127 >= np.abs(values).max(axis=0)).all()
    assert (scales >= np.finfo(np.float16).smallest_normal).all()


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_gemm_is_quantised_along_its_outputs(transposed: int) -> None:
    rng = np.random.default_rng(0)
    weight = (rng.normal(size=(8, 5)) * np.array([1, 1e-3, 10, 1, 0.1])).astype(np.float32)
    stored = weight.T.copy() if transposed else weight
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w"], ["y"], "gemm", transB=transposed)], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5])], [numpy_helper.from_array(stored, "w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    made = insert(model, weighted_layers(model), {"x": Range(-4.0, 4.0)})
    inputs = rng.uniform(-4, 4, size=(64, 8)).astype(np.float32)
    found = ReferenceEvaluator(at_opset_19(made)).run(None, {"x": inputs})[0]
    relative = np.abs(found - inputs @ weight).max(axis=0) / np.abs(inputs @ weight).max(axis=0)
    assert (relative < 0.02).all()
