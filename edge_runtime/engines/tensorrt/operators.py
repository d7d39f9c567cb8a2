"""Which TensorRT first had an operator, for the message when an older one refuses it."""

from __future__ import annotations

SINCE = {
    **dict.fromkeys(("Einsum", "GatherND", "IsNaN", "Round", "ScatterElements", "ScatterND", "Sign"), "8.2"),
    **dict.fromkeys(("Shrink", "Xor"), "8.4"),
    **dict.fromkeys(
        ("GridSample", "MeanVarianceNormalization", "Mod", "NonZero", "RandomNormal", "RandomUniform", "RoiAlign",
         "Trilu"),
        "8.5",
    ),
    **dict.fromkeys(("GroupNormalization", "IsInf", "LayerNormalization"), "8.6"),
    "Hardmax": "9.2",
    "DeformConv": "10.1",
    **dict.fromkeys(("BlackmanWindow", "HammingWindow", "HannWindow"), "10.4"),
    "STFT": "10.5",
}  # fmt: skip
"""Operator -> TensorRT. Source: the changelog of onnx-tensorrt."""

NEVER = frozenset({
    "Bernoulli", "BitShift", "Compress", "ConcatFromSequence", "ConvInteger", "Det", "DynamicQuantizeLinear",
    "MatMulInteger", "MaxRoiPool", "MaxUnpool", "Multinomial", "QLinearConv", "QLinearMatMul", "SequenceAt",
    "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert", "SequenceLength",
    "SoftmaxCrossEntropyLoss", "SplitToSequence", "StringNormalizer", "TfIdfVectorizer", "Unique",
})  # fmt: skip
"""Operators that no TensorRT is known to have. Source: operators.md of onnx-tensorrt."""


def who_has(operator: str) -> str:
    """Which TensorRT has an operator, in words that end a sentence; empty if nothing is known."""
    if operator in NEVER:
        return f"no TensorRT is known to have {operator}; export the student without it"
    if operator in SINCE:
        return f"TensorRT {SINCE[operator]} and newer have {operator}"
    return ""
