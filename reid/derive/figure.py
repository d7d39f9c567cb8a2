"""Where in a crop the person stands: a soft mask from colour statistics and from what a person crop looks like."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reid.derive.filters import Plane, gaussian, guided, opponent, resize

ANALYSIS_HEIGHT = 72
"""Rows at which figure and ground are told apart: enough for limbs, few enough for stable colour counts."""
BINS = 10
ROUNDS = 2


def figure_mask(rgb: Plane) -> Plane:
    """How likely each pixel belongs to the person.

    A detector's crop is centred on the person, so a fixed prior of an upright body says which pixels are probably
    person and which ground. Colour histograms of the two, counted with the prior as weight, give each pixel a
    posterior; the posterior replaces the prior in the count and so on, twice: expectation maximisation over
    colour bins with a fixed prior of place. Last, the guided filter moves the mask's border to the image's edges.

    Args:
        rgb: [H, W, 3] float32 from 0 to 1.

    Returns:
        [H, W] float32 from 0 to 1. Where person and ground have the same colours it falls back on the prior.
    """
    height, width = rgb.shape[:2]
    rows = min(height, ANALYSIS_HEIGHT)
    columns = max(8, round(width * rows / height))
    coded = Image.fromarray((rgb * np.float32(255)).astype(np.uint8)).resize((columns, rows), Image.Resampling.BOX)
    colours = opponent(np.asarray(coded, dtype=np.float32) / np.float32(255))
    prior = body_prior(rows, columns)
    # Without a lower bound a body part outside the prior's silhouette could never be won by its colour.
    prior = 0.06 + 0.88 * prior
    luma_bin = np.clip((colours[0] * BINS).astype(np.int64), 0, BINS - 1)
    red_bin, blue_bin = (np.clip(((c * 1.6 + 0.5) * BINS).astype(np.int64), 0, BINS - 1) for c in colours[1:])
    bins = (luma_bin * BINS + red_bin) * BINS + blue_bin
    mask = prior
    for _ in range(ROUNDS):
        figure, ground = _colour_densities(bins, np.stack([mask, 1 - mask]))
        support = prior * figure[bins]
        mask = support / (support + (1 - prior) * ground[bins])
    mask = guided(_contrast(colours, mask), mask, max(2, rows // 24), 1e-2)
    return np.clip(resize(mask, height, width, Image.Resampling.BILINEAR), 0, 1)


def _contrast(colours: Plane, mask: Plane) -> Plane:
    """The one mixture of `colours` ([3, H, W]) in which figure and ground differ most in the mean: [H, W], gap 1."""
    figure = (colours * mask).sum(axis=(1, 2)) / mask.sum()
    ground = (colours * (1 - mask)).sum(axis=(1, 2)) / (1 - mask).sum()
    gap = figure - ground
    # Figure and ground of one colour: the floor keeps noise from being blown up to an edge.
    return np.asarray(np.tensordot(gap, colours, 1) / np.maximum((gap * gap).sum(), np.float32(0.01)), dtype=np.float32)


def _colour_densities(bins: NDArray[np.int64], weights: Plane) -> Plane:
    """Smoothed share of each of `weights` ([N, H, W]) in each colour bin, [N, BINS^3]."""
    n = len(weights)
    counts = np.stack([np.bincount(bins.ravel(), weights=w.ravel(), minlength=BINS**3) for w in weights])
    cube = counts.astype(np.float32).reshape(n, BINS, BINS, BINS)
    # Neighbouring bins vouch for each other: noise and folds spread one garment over several.
    cube = gaussian(gaussian(cube, 0.7).swapaxes(1, 3), 0.7).swapaxes(1, 3)
    share = cube.reshape(n, -1) / cube.sum(axis=(1, 2, 3))[:, None]
    return np.asarray(share + np.float32(1e-4), dtype=np.float32)


@lru_cache(maxsize=64)
def body_prior(height: int, width: int) -> Plane:
    """[height, width]: how often a pixel of an upright, centred crop belongs to the person: head, trunk, legs."""
    y = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / height
    x = (np.arange(width, dtype=np.float32)[None, :] + 0.5) / width - 0.5
    # Half width of the silhouette over the height: head, shoulders, hips, striding feet.
    widths = np.interp(y[:, 0], [0.0, 0.05, 0.13, 0.22, 0.5, 0.75, 1.0], [0.05, 0.13, 0.15, 0.31, 0.30, 0.25, 0.27])
    half = widths.astype(np.float32)[:, None]
    sideways = 1 / (1 + np.exp((np.abs(x) - half) * np.float32(18)))
    upright = np.clip(np.minimum(y / np.float32(0.04), (1 - y) / np.float32(0.02)), 0.2, 1)
    return np.asarray(sideways * upright, dtype=np.float32)
