"""Which opset a TensorRT reads.

From onnx-tensorrt's changelog and operators.md, and the support matrices of TensorRT's documentation. 8.5 reads opset
17 but for LayerNormalization, which came in 8.6, and nothing else of 17 occurs in a student: so 16 is what it is given.
"""

from __future__ import annotations

from reid.errors import UserError

PREFERRED = 18
"""What is written unless an older one is needed. Newer ones bring nothing to these graphs."""

GREATEST: dict[tuple[int, int], int] = {(8, 5): 16, (8, 6): 17, (10, 0): 20, (10, 13): 24}
"""TensorRT from this version on -> the greatest opset that it reads. 11 is not documented; it is taken to read 24."""


def greatest_opset(version: str) -> int:
    """The greatest opset that a TensorRT reads.

    Args:
        version: such as "10.3" or "8.6.2".

    Raises:
        UserError: no version, or one below 8.5.
    """
    major_minor = _major_minor(version)
    read = [opset for least, opset in GREATEST.items() if least <= major_minor]
    if not read:
        raise UserError(f"TensorRT {version}: reads no opset that can be written; 8.5 is the oldest that does")
    return read[-1]


def opset_for(min_trt: str | None, wanted: int = PREFERRED) -> int:
    """The opset of a graph that is to be read by every TensorRT from `min_trt` on.

    Args:
        min_trt: the oldest TensorRT of the targets, such as "8.6"; None: there is none among them.
        wanted: what would be written without it.

    Raises:
        UserError: as `greatest_opset`.
    """
    return wanted if min_trt is None else min(wanted, greatest_opset(min_trt))


def _major_minor(version: str) -> tuple[int, int]:
    numbers = version.split(".")[:2]
    if not all(number.isdecimal() for number in numbers):
        raise UserError(f"TensorRT '{version}': not a version; expected one such as 10.3")
    major, minor = [*map(int, numbers), 0][:2]
    return major, minor
