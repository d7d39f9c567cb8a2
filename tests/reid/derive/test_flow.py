"""Edge flow on pictures whose edges are known."""

from __future__ import annotations

import numpy as np
import pytest

from reid.derive.flow import Displaced, along, edge_flow


def ramp(angle: float, size: int = 41) -> np.ndarray:
    """A soft edge through the middle whose tangent has this angle."""
    y, x = np.mgrid[0:size, 0:size] - size // 2
    across = -x * np.sin(angle) + y * np.cos(angle)
    return (1 / (1 + np.exp(-across))).astype(np.float32)


@pytest.mark.parametrize("degrees", [0, 30, 45, 90, 135, 160])
def test_tangent_runs_along_the_edge(degrees):
    angle = np.deg2rad(degrees)
    flow = edge_flow(ramp(angle)[None], 1.5, (41, 41))
    alignment = np.abs(flow.tx[20, 20] * np.cos(angle) + flow.ty[20, 20] * np.sin(angle))
    assert alignment > 0.995
    assert flow.coherence[20, 20] > 0.9


def test_flow_comes_at_the_size_asked_for_and_is_of_unit_length():
    flow = edge_flow(ramp(0.7)[None], 1.5, (82, 61))
    assert flow.tx.shape == flow.ty.shape == flow.coherence.shape == (82, 61)
    np.testing.assert_allclose(flow.tx**2 + flow.ty**2, 1, atol=1e-4)


def test_noise_has_no_coherent_flow():
    noise = np.random.default_rng(0).random((1, 60, 60)).astype(np.float32)
    assert edge_flow(noise, 2.5, (60, 60)).coherence.mean() < 0.45


def test_smoothing_along_the_flow_keeps_the_line_and_bridges_its_gap():
    edge = ramp(np.pi / 2)
    flow = edge_flow(edge[None], 1.5, edge.shape)
    line = np.zeros_like(edge)
    line[:, 20] = 1
    line[19:22, 20] = 0
    smooth = along(line, flow, 3.0)
    assert smooth[20, 20] > 0.3
    assert smooth[10, 20] > 0.9
    # Nothing is carried across the line.
    assert smooth[10, 18] < 0.1


def test_smoothing_leaves_incoherent_places_alone():
    noise = np.random.default_rng(1).random((50, 50)).astype(np.float32)
    flow = edge_flow(noise[None], 1.0, noise.shape)
    still = flow.coherence < 0.15
    assert still.any()
    np.testing.assert_array_equal(along(noise, flow, 3.0)[still], noise[still])


def test_displaced_looks_up_the_nearest_pixel_and_continues_the_border():
    rng = np.random.default_rng(2)
    plane = rng.random((9, 7)).astype(np.float32)
    dx, dy = rng.uniform(-3, 3, (2, 9, 7)).astype(np.float32)
    source = Displaced(plane, 3)
    seen, opposite = source.look(source.offset(dx, dy)), source.look(-source.offset(dx, dy))
    for y in range(9):
        for x in range(7):
            step_y, step_x = int(np.rint(dy[y, x])), int(np.rint(dx[y, x]))
            assert seen[y, x] == plane[np.clip(y + step_y, 0, 8), np.clip(x + step_x, 0, 6)]
            assert opposite[y, x] == plane[np.clip(y - step_y, 0, 8), np.clip(x - step_x, 0, 6)]
