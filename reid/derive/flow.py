"""The edge tangent flow of a picture, and filtering along it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reid.derive.filters import Plane, gaussian, gradient, resize, smoothstep

STEP = 1.5
"""Pixels between two taps along the flow: below the width of any line, so none is skipped."""


@dataclass(frozen=True)
class Flow:
    """Which way edges run.

    Attributes:
        tx, ty: [H, W] unit vector along the edge; its sign has no meaning.
        coherence: [H, W] from 0, where gradients have no common direction (foliage, checks), to 1, where all agree.
    """

    tx: Plane
    ty: Plane
    coherence: Plane


def edge_flow(colours: Plane, sigma: float, size: tuple[int, int]) -> Flow:
    """Edge tangent flow from the smoothed structure tensor of all colour planes.

    With J = sum over planes of grad grad^T, blurred by `sigma`, the tangent is the eigenvector of J's smaller
    eigenvalue and the coherence (l1 - l2) / (l1 + l2). J is smooth, so the flow is computed at the picture's own size
    and enlarged.

    Args:
        colours: [C, H, W].
        sigma: of the smoothing, pixels of `colours`.
        size: height and width at which the flow is returned.

    Source: Di Zenzo 1986 for the sum over colours; Kyprianidis and Döllner, "Image Abstraction by Structure Adaptive
    Filtering", TPCG 2008, section 3, for the tensor as edge tangent flow.
    """
    gx, gy = gradient(colours)
    tensor = np.stack([(gx * gx).sum(axis=0), (gx * gy).sum(axis=0), (gy * gy).sum(axis=0)])
    xx, xy, yy = gaussian(tensor, sigma)
    # Half-angle formulas on cos(2 phi) = (xx - yy) / hypot(xx - yy, 2 xy) give the major eigenvector (cos, sin) of phi.
    gap = xx - yy
    length = np.sqrt(gap * gap + 4 * xy * xy) + np.float32(1e-12)
    cos_twice = gap / length
    cos = np.sqrt(np.maximum((1 + cos_twice) * np.float32(0.5), 0))
    sin = np.copysign(np.sqrt(np.maximum((1 - cos_twice) * np.float32(0.5), 0)), xy)
    # Nearest neighbours: opposite vectors mean the same direction, so a mean of vectors means nothing.
    return Flow(
        *(resize(p, *size, Image.Resampling.NEAREST) for p in (-sin, cos, length / (xx + yy + np.float32(1e-6))))
    )


def along(plane: Plane, flow: Flow, sigma: float) -> Plane:
    """`plane` ([H, W]) under a Gaussian of `sigma` pixels laid along each pixel's tangent, as far as there is one.

    Where the flow is incoherent, as where the two directions of a checked shirt cross, the plane stays as it is.
    Straight segments, not traced streamlines: over the few pixels of a line in a person crop the two differ by less
    than a pixel, and a segment needs one look-up per tap.
    """
    distances = np.arange(STEP, max(STEP, 2 * sigma) + 1e-6, STEP)
    weights = np.exp(-0.5 * (distances / sigma) ** 2)
    weights = weights / (1 + 2 * weights.sum())
    source = Displaced(plane, int(np.ceil(distances[-1])))
    out = plane * np.float32(1 - 2 * weights.sum())
    for distance, weight in zip(distances, weights, strict=True):
        offset = source.offset(flow.tx * np.float32(distance), flow.ty * np.float32(distance))
        pair = source.look(offset)
        pair += source.look(-offset)
        pair *= np.float32(weight)
        out += pair
    out -= plane
    out *= smoothstep(flow.coherence, 0.15, 0.55)
    out += plane
    return out


class Displaced:
    """A plane that is looked at beside each pixel, to the nearest pixel, up to `reach` pixels away.

    Held with a border as wide as the reach, so that no index needs clipping and a displacement is one integer.
    """

    def __init__(self, plane: Plane, reach: int) -> None:
        height, width = plane.shape
        border = reach + 1
        self._stride = np.int32(width + 2 * border)
        self._flat: Plane = np.pad(plane, border, mode="edge").ravel()
        here = np.arange(height, dtype=np.int32)[:, None] * self._stride + np.arange(width, dtype=np.int32)
        self._here = here + np.int32(border) * (self._stride + np.int32(1))

    def offset(self, dx: Plane, dy: Plane) -> NDArray[np.int32]:
        """[H, W] displacements of (dx, dy) pixels as steps in memory; the opposite displacement is the negative."""
        steps = np.rint(dy).astype(np.int32)
        steps *= self._stride
        steps += np.rint(dx).astype(np.int32)
        return steps

    def look(self, offset: NDArray[np.int32]) -> Plane:
        """[H, W] the plane's values at each pixel plus `offset`."""
        seen: Plane = np.take(self._flat, np.add(self._here, offset, dtype=np.int32), mode="clip")
        return seen
