"""The pieces that a figure is made of: generalised cylinders about the bones.

A part has an axis from one joint to another and, at `RINGS` places along it, an elliptical section: the half-width from
left to right, the half-width from front to back, and how far the section lies ahead of the axis, in cm of a person of
175 cm. Seen from any side such a part is a strip whose edges and surface coordinates follow in closed form
(`reid.synthetic.view`).
"""

from __future__ import annotations

from dataclasses import dataclass

RINGS = 9
Ring = tuple[float, float, float]


@dataclass(frozen=True)
class Part:
    """One part of a figure.

    Attributes:
        label: what it is ("torso", "left shin", ...). surface: parts of one garment share it, no line is drawn between.
        start, end: joints. rings: `RINGS` of (side, deep, shift) in cm.
        tile: texture of `reid.synthetic.atlas`. rows: share of the tile's height that this part shows.
        order: how it is sorted ("leg", "arm", "trunk", ...). layer: within that, later covers earlier.
        round_start, round_end: how far the ends bulge as a share of the half-width there; 0: cut flat, 1: half a ball.
        boxy: how flat its faces are, 0: a cylinder, 1: a box.
    """

    label: str
    surface: str
    start: str
    end: str
    rings: tuple[Ring, ...]
    tile: str
    rows: tuple[float, float]
    order: str
    layer: float
    round_start: float = 0.0
    round_end: float = 0.0
    boxy: float = 0.0


def blend(*values: float) -> list[float]:
    """`RINGS` numbers through the given ones, evenly spaced."""
    out = []
    for i in range(RINGS):
        at = i / (RINGS - 1) * (len(values) - 1)
        j = min(int(at), len(values) - 2)
        out.append(values[j] + (values[j + 1] - values[j]) * (at - j))
    return out


def rings(side: list[float], deep: float | list[float] = 1.0, shift: list[float] | float = 0.0) -> tuple[Ring, ...]:
    """Sections from half-widths; `deep` as a factor of them or of its own, `shift` along the part or constant."""
    deeps = [deep * w for w in side] if isinstance(deep, float) else deep
    shifts = [shift] * len(side) if isinstance(shift, float) else shift
    return tuple(zip(side, deeps, shifts, strict=True))
