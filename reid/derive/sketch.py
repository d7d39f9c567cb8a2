"""A sketch out of a photograph: flow-guided difference of Gaussians, drawn by one of several hands.

Lines come from the extended difference of Gaussians (XDoG) laid along the edge tangent flow; a figure mask keeps the
pencil on the person, as artists who sketch a person leave the street out. What a hand adds is its own: line weight,
hatching or wash or spot blacks by tone, several strokes for one line, omissions, a shaky wrist, the paper's grain.

What is not like a drawing by a witness: proportions, pose and every fold are the photograph's, so matching such a
sketch to its photograph is easier than matching a real one. Use it to train, and to test against photographs of
*other* cameras.

Source: Winnemöller, Kyprianidis, Olsen, "XDoG: An eXtended difference-of-Gaussians compendium including advanced
image stylization", Computers & Graphics 36 (2012), equations 4 to 7 and section 2.6 for flow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reid.derive.figure import figure_mask
from reid.derive.filters import Plane, denoise, gaussian, opponent, resize, smooth_noise, smoothstep
from reid.derive.flow import Displaced, along, edge_flow

MAX_HEIGHT = 256
"""Rows of the photograph above which it is analysed at this size: lines keep their width relative to the person."""
OVERSAMPLING = 1.5
"""Lines are drawn on paper this many times as large, then averaged down: antialiasing."""
REFERENCE_HEIGHT = 128
"""The hands' lengths are pixels of a crop of this height."""
NOISE = 0.03
"""Contrast below which a difference is taken for the camera's noise and smoothed away before drawing."""
FAINT_EDGE = 0.018
"""Response to the strong edges of the flattest one in ten of real crops; typical is 0.03."""
K = 1.6
"""Ratio of the two Gaussians; 1.6 makes their difference the Laplacian's best engineer's approximation (Marr 1980)."""


@dataclass(frozen=True)
class Hand:
    """How somebody draws. Lengths are pixels of a crop 128 pixels high, amounts go from 0 to 1.

    Attributes:
        width: sigma of the inner Gaussian, about a third of a line's width.
        threshold: response, relative to the picture's strong edges, below which nothing is drawn.
        sharpness: how suddenly a line is fully black above the threshold (phi in the paper).
        ink: darkness of a full line.
        stroke: sigma along the flow: how far a stroke bridges gaps.
        outline: how much the person's silhouette is drawn on top of what edges there are.
        hatch: darkness of hatching in the darkest places.
        wash: darkness of even shading in the darkest places.
        black: luma below which places are filled in black; 0 fills nothing.
        strokes: how many times each line is drawn, each time a little beside.
        wobble: how far strokes stray.
        omission: share of the lines that are left out.
        grain: how much of the paper's grain shows.
    """

    width: float = 0.5
    threshold: float = 0.2
    sharpness: float = 3.0
    ink: float = 1.0
    stroke: float = 1.5
    outline: float = 0.25
    hatch: float = 0.0
    wash: float = 0.0
    black: float = 0.0
    strokes: int = 1
    wobble: float = 0.4
    omission: float = 0.06
    grain: float = 0.0


HANDS: dict[str, Hand] = {
    "ink": Hand(black=0.17, outline=0.3),
    "liner": Hand(width=0.42, threshold=0.14, ink=0.9),
    "pencil": Hand(width=0.45, threshold=0.12, sharpness=1.2, ink=0.75, hatch=0.55, strokes=2, grain=0.25),
    "marker": Hand(width=0.8, threshold=0.35, stroke=3.0, outline=0.9, wobble=0.8, omission=0.0),
    "charcoal": Hand(width=0.75, threshold=0.1, sharpness=1.3, ink=0.85, wash=0.6, wobble=0.5, grain=0.5),
    "scribble": Hand(width=0.36, threshold=0.2, ink=0.7, strokes=3, wobble=0.9, omission=0.4, hatch=0.3),
}
"""Style name -> the hand that draws it."""


def sketch(rgb: NDArray[np.uint8], *, style: str = "pencil", seed: int = 0) -> NDArray[np.uint8]:
    """Draw the person in a photograph: dark lines on white paper.

    Args:
        rgb: [H, W, 3] uint8.
        style: one of `HANDS`.
        seed: of everything that the hand leaves to chance; equal inputs give equal sketches.

    Returns:
        [H, W] uint8, 255 is paper.

    Raises:
        KeyError: no such style.
    """
    hand, rng = HANDS[style], np.random.default_rng([seed, 0x5CE7C4])
    hand = _vary(hand, rng)
    height, width = rgb.shape[:2]
    rows = min(height, MAX_HEIGHT)
    columns = max(4, round(width * rows / height))
    small = Image.fromarray(rgb).resize((columns, rows), Image.Resampling.LANCZOS) if rows < height else rgb
    photo = np.asarray(small, dtype=np.float32) / np.float32(255)
    unit = rows / REFERENCE_HEIGHT
    # A small crop is enlarged until a line can be thinner than a pixel of the result.
    ink = _draw(photo, hand, rng, unit)
    paper = 1 - resize(ink, height, width, Image.Resampling.BILINEAR)
    return np.asarray(np.clip(paper, 0, 1) * 255 + np.float32(0.5), dtype=np.uint8)


def _vary(hand: Hand, rng: np.random.Generator) -> Hand:
    """The same hand on another day: line weight, pressure and care differ a little."""
    factor = np.exp(rng.uniform(-0.2, 0.2, size=4))
    return Hand(
        **{
            **vars(hand),
            "width": hand.width * float(factor[0]) ** 0.6,
            "threshold": hand.threshold * float(factor[1]),
            "wobble": hand.wobble * float(factor[2]),
            "ink": min(1.0, hand.ink * float(factor[3]) ** 0.5),
        }
    )


def _draw(photo: Plane, hand: Hand, rng: np.random.Generator, unit: float) -> Plane:
    """Darkness of the paper, 0 to 1, at OVERSAMPLING times the size of `photo`; `unit` pixels are one of the hand's."""
    mask = figure_mask(photo)
    colours = opponent(photo)
    # Compression of the highlights: folds in dark cloth are as visible to an artist as those in white cloth.
    colours[0] = np.sqrt(np.clip(colours[0], 0, 1))
    colours = denoise(colours, max(1, round(1.5 * unit)), NOISE**2)
    height, width = round(mask.shape[0] * OVERSAMPLING), round(mask.shape[1] * OVERSAMPLING)
    big = OVERSAMPLING * unit
    luma = resize(colours[0], height, width)
    faint = _faint_response(colours, mask, hand, unit)
    faint, person = (resize(plane, height, width, Image.Resampling.BILINEAR) for plane in (faint, mask))
    difference = _difference(luma, hand.width * big)
    flow = edge_flow(colours, 1.2 * unit, (height, width))
    response = along(np.maximum(-difference, 0) + np.maximum(faint, 0), flow, hand.stroke * big)
    person = smoothstep(person, 0.3, 0.75)
    ink = _strokes(_soft_threshold(response, person, hand) * person, hand, rng, big) * np.float32(hand.ink)
    tone = np.clip((np.float32(0.85) - luma) / np.float32(0.7), 0, 1) * person
    if hand.hatch:
        ink = np.maximum(ink, _hatching(tone, rng, big) * np.float32(hand.hatch))
    if hand.wash:
        ink = np.maximum(ink, tone * np.float32(hand.wash))
    if hand.black:
        # XDoG's own tone rule: threshold luma sharpened by the difference, so that black areas end at edges.
        level = float(np.sqrt(hand.black))
        ink = np.maximum(ink, smoothstep(luma + 4 * difference, level + 0.02, level - 0.02) * person)
    if hand.grain:
        ink = _grained(ink, hand.grain, rng, big)
    return ink


def _difference(plane: Plane, sigma: float) -> Plane:
    """D = G(sigma) - G(1.6 sigma), XDoG equation 4 with tau = 1: negative on the dark side of an edge."""
    return gaussian(plane, sigma) - gaussian(plane, sigma * K)


def _faint_response(colours: Plane, mask: Plane, hand: Hand, unit: float) -> Plane:
    """What deserves a line although luma may have no edge: edges of colour and the silhouette.

    Args:
        colours: [3, H, W] luma and two colour differences.
        mask: [H, W] the person.
    """
    red, blue, person = _difference(np.stack([colours[1], colours[2], mask]), hand.width * unit)
    # Positive sides only, the redder or bluer cloth: both sides would give two lines for one edge.
    colour = np.maximum(np.maximum(red, blue), 0)
    outline = np.float32(0.25 * hand.outline) * np.maximum(person, 0)
    return np.asarray(np.float32(0.6) * colour + outline, dtype=np.float32)


def _soft_threshold(response: Plane, on_person: Plane, hand: Hand) -> Plane:
    """XDoG's threshold (equation 5) on a scale that the picture's own contrast sets.

    1 where the response is far above the threshold, falling as tanh to 0 at it.
    """
    counted = response[on_person > 0.5]
    places = [counted.size // 2, counted.size * 93 // 100]
    usual, strong = np.partition(counted, places)[places] if counted.size else (0.0, 0.0)
    # Half of a person's pixels lie on no line: their response is noise. Where nothing is strong (fog, blur, a plain
    # figure), a fixed contrast takes the place of the strong edges, and noise stays off the paper.
    scale = np.float32(max(strong, FAINT_EDGE))
    excess = np.maximum((response - np.float32(1.2 * usual)) / scale - np.float32(hand.threshold), 0)
    return np.asarray(np.tanh(np.float32(hand.sharpness) * excess), dtype=np.float32)


def _strokes(lines: Plane, hand: Hand, rng: np.random.Generator, unit: float) -> Plane:
    """`lines` drawn `hand.strokes` times by a wrist that strays, with places left out."""
    height, width = lines.shape
    clear = np.ones_like(lines)
    for _ in range(hand.strokes):
        drawn = _strayed(lines, hand.wobble * unit, 16 * unit, rng)
        if hand.omission:
            # Where the field is in its lowest `omission` share (of a unit normal) the pencil was lifted.
            field = smooth_noise(rng, height, width, 9 * unit)
            lift = 2.3 * (hand.omission - 0.5)
            drawn = drawn * smoothstep(field, lift - 0.25, lift + 0.25)
        clear *= 1 - drawn
    return 1 - clear


def _strayed(lines: Plane, reach: float, cell: float, rng: np.random.Generator) -> Plane:
    """`lines` bent by a random displacement of about `reach` pixels that changes over `cell` pixels."""
    height, width = lines.shape
    limit = int(np.ceil(3 * reach))
    dx, dy = (np.clip(smooth_noise(rng, height, width, cell) * np.float32(reach), -limit, limit) for _ in range(2))
    source = Displaced(lines, limit)
    return source.look(source.offset(dx, dy))


def _hatching(tone: Plane, rng: np.random.Generator, unit: float) -> Plane:
    """Parallel pencil strokes that grow wider with `tone`, in one direction; the darkest places crossed by a second."""
    height, width = tone.shape
    x, y = np.arange(width, dtype=np.float32)[None, :], np.arange(height, dtype=np.float32)[:, None]
    angle, period = rng.uniform(0.5, 1.1) * rng.choice([-1, 1]), 3.2 * unit
    waver = smooth_noise(rng, height, width, 12 * unit) * np.float32(0.35)
    ink = np.zeros_like(tone)
    for turn, start in ((0.0, 0.25), (0.8, 0.7)):
        towards = np.array([np.cos(angle + turn), np.sin(angle + turn)], dtype=np.float32) / np.float32(period)
        phase = waver + x * towards[0] + y * towards[1]
        phase -= np.rint(phase)
        # Distance from the stroke's middle, 0 to 1, against the share of the paper that the tone wants covered.
        wave = np.abs(phase) * 2
        cover = np.clip((tone - np.float32(start)) * np.float32(0.42 / (1 - start)), 0, 0.42)
        wave -= cover
        np.maximum(ink, np.clip(0.5 - 4 * wave, 0, 1) * np.clip(5 * cover, 0, 1), out=ink)
    return ink


def _grained(ink: Plane, amount: float, rng: np.random.Generator, unit: float) -> Plane:
    """`ink` on rough paper: light pressure reaches only the ridges of the grain."""
    height, width = ink.shape
    grain = smooth_noise(rng, height, width, max(1.0, 0.9 * unit))
    light = 1 - ink * np.float32(0.6)
    return np.asarray(np.clip(ink * (1 + np.float32(0.45 * amount) * grain * light), 0, 1), dtype=np.float32)
