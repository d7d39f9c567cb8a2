"""A drawing of a person by one of several hands (`reid.synthetic.pen`).

Nothing is traced from a picture: outlines come from the edges of the parts, inner lines from `reid.synthetic.marks`,
and tone is hatched or smeared where the cloth is dark to the eye.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reid.synthetic.angles import cosines, sines
from reid.synthetic.atlas import make_atlas
from reid.synthetic.draw import Draw, grain, random_bytes, smooth_noise
from reid.synthetic.figure import Figure, make_figure
from reid.synthetic.marks import make_marks
from reid.synthetic.paint import lay, rasterise, resolve, surface
from reid.synthetic.pen import HANDS, Hand, Strokes, ink_strokes
from reid.synthetic.person import Person
from reid.synthetic.pose import draw_stride, place_joints
from reid.synthetic.raster import Pixels, directions
from reid.synthetic.sensor import soften
from reid.synthetic.view import Frame, Sight, Strips, look

Float = NDArray[np.float32]
Labels = NDArray[np.int32]
_F = np.float32
_EDGE = 17  # points along an edge
_CAP = 7  # points round an end


def hand_of(seed: int, person: int, number: int) -> Hand:
    """Who makes the `number`-th drawing of a person; drawings of one person are by different hands."""
    return HANDS[(Draw("hands", seed, person).below(len(HANDS)) + number) % len(HANDS)]


def draw_sketch(seed: int, person: Person, number: int, height: int, width: int) -> NDArray[np.uint8]:
    """The `number`-th drawing of a person. uint8 [H, W, 3], three equal channels, white paper."""
    draw, hand = Draw("sketch", seed, person.number, number), hand_of(seed, person.number, number)
    # Somebody told the artist what the person looks like: nearly frontal, in a pose of the artist's own.
    yaw = draw.pick((0.0, 35.0, -35.0, 50.0, -50.0)) + draw.between(-12, 12)
    stride, fill = draw_stride(draw), draw.between(0.88, 0.95)
    sight = Sight(yaw, yaw + stride.turn * 0.4, 6.0, 3000.0)
    frame = Frame(height, width, fill, (1 - fill) / 2, draw.bell(0.02), draw.between(0.96, 1.12))
    figure = make_figure(person)
    strips = look(figure, place_joints(person, stride), sight, frame)
    pixels = rasterise(strips, height, width)
    labels, tone = _labels(pixels, height, width), _tone(person, figure, strips, pixels, height, width)
    ink = np.zeros((height, width), np.int32)
    outlines = _outlines(figure, strips, labels)
    for _ in range(hand.passes):
        ink_strokes(ink, outlines, hand, draw)
    ink_strokes(ink, _inner_lines(person, figure, strips, labels, hand, draw), hand, draw, thin=0.8, wobble=0.6)
    if hand.hatch:
        _hatch(ink, tone, hand, draw)
    return _on_paper(ink, tone, hand, draw)


def _labels(pixels: Pixels, height: int, width: int) -> Labels:
    """Which strip is on top, int32 [H, W]; -1: none."""
    labels = np.full(height * width, -1, np.int32)
    covered = pixels.coverage > 0.5
    strips = pixels.spread(np.arange(pixels.sizes.size, dtype=np.int32))
    # Where an index occurs more than once, the last value stays: the strip on top.
    labels[pixels.position[covered]] = strips[covered]
    return labels.reshape(height, width)


def _tone(person: Person, figure: Figure, strips: Strips, pixels: Pixels, height: int, width: int) -> Float:
    """How light the person is to the eye without any lamp, float32 [H, W], 0..255; white where nobody is."""
    atlas = make_atlas(person)
    flat = atlas.planes.reshape(4, -1).astype(_F)
    grey = (flat[0] * _F(0.3) + flat[1] * _F(0.59)) + flat[2] * _F(0.11)
    picture = np.full((1, height, width), 255, _F)
    seen, clear = resolve(pixels, height * width)
    lay(picture, seen, clear, grey[surface(figure, atlas, strips, seen)][None])
    tone: Float = picture[0]
    return tone


def _look_up(labels: Labels, x: Float, y: Float) -> Labels:
    """The strip at these points, -1 outside the picture."""
    height, width = labels.shape
    column, row = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return np.where(inside, labels[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)], np.int32(-1))


def _outlines(figure: Figure, strips: Strips, labels: Labels) -> Strokes:
    """The visible edges of all parts, but not where two parts of one garment meet."""
    count, sections = strips.half.shape
    right, down, length = directions(strips.x0, strips.y0, strips.x1, strips.y1)
    ux, uy, long = right[:, None], down[:, None], length[:, None]
    at = np.arange(_EDGE) * (sections - 1) // (_EDGE - 1)
    half, middle = strips.half[:, at], strips.middle[:, at]
    along = (at.astype(_F) / _F(sections - 1)) * long
    turn = np.arange(_CAP) * 180 // (_CAP - 1)
    away, across = sines(turn)[None, :], cosines(turn)[None, :]
    steep = np.abs(strips.bulge)
    start = np.maximum(np.maximum(strips.round_start, steep), _F(0.05))[:, None]
    end = np.maximum(np.maximum(strips.round_end, steep), _F(0.05))[:, None]
    first, last = half[:, :1], half[:, -1:]

    def around(*sides: Float) -> Float:
        # Down the right edge, round the end, up the left edge, round the start.
        return np.concatenate(sides, axis=1).astype(_F)

    s = around(along, long + last * end * away, along[:, ::-1], -first * start * away)
    t = around(middle + half, middle[:, -1:] + last * across, (middle - half)[:, ::-1], middle[:, :1] - first * across)
    # The outward normal; at the ends it is that of an ellipse.
    flat, ones = np.zeros_like(half), np.ones((count, 1), _F)
    end_s, start_s = (away / end).astype(_F), (-away / start).astype(_F)
    normal_s = around(flat, end_s, flat, start_s)
    normal_t = around(np.ones_like(half), ones * across, -np.ones_like(half), -ones * across)
    size = np.sqrt(normal_s * normal_s + normal_t * normal_t)
    normal_s /= size
    normal_t /= size
    ends = (np.maximum(width * cap, long / _F(2)).repeat(_CAP, 1) for width, cap in ((last, end), (first, start)))
    depth = around(half, next(ends), half[:, ::-1], next(ends))
    x, y = strips.x0[:, None] + s * ux + t * uy, strips.y0[:, None] + s * uy - t * ux
    out_x, out_y = normal_s * ux + normal_t * uy, normal_s * uy - normal_t * ux
    # A little way in this part is on top, a little way out it is not.
    probe = _F(1.3 * labels.shape[0] / 128)
    inward = np.minimum(probe, depth)
    own = np.arange(count, dtype=np.int32)[:, None]
    inside = _look_up(labels, x - out_x * inward, y - out_y * inward)
    outside = _look_up(labels, x + out_x * probe, y + out_y * probe)
    joined = _joined(figure, strips)
    seen = ((inside == own) | joined[own, inside]) & ~joined[own, outside]
    number = np.broadcast_to(own, x.shape).astype(np.int32)
    return Strokes(x.ravel(), y.ravel(), number.ravel()).where(seen.ravel())


def _joined(figure: Figure, strips: Strips) -> NDArray[np.bool_]:
    """bool [P, P + 1]: which strips are one garment, so that no line parts them; the last column is the paper."""
    names = [figure.parts[i].surface for i in strips.part.tolist()]
    joined = np.zeros((len(names), len(names) + 1), bool)
    for i, a in enumerate(names):
        for j, b in enumerate(names):
            joined[i, j] = a == b or {a, b} in ({"legs", "left"}, {"legs", "right"})
    return joined


def _inner_lines(person: Person, figure: Figure, strips: Strips, labels: Labels, hand: Hand, draw: Draw) -> Strokes:
    """The marks on the clothes, bent round the body, where they are seen and not forgotten."""
    kept = [
        mark
        for mark in make_marks(person)
        if not (mark.detail and draw.chance((0.0, hand.forgets, 0.5 + hand.forgets / 2)[mark.detail]))
    ]
    lines = [(mark.tile, line) for mark in kept for line in mark.lines]
    skip = random_bytes((len(lines) + 1,), "forgets", draw.word()) < np.uint8(hand.forgets * 60)
    v, turn, strip, stroke = [], [], [], []
    for index, i in enumerate(strips.part.tolist()):
        part = figure.parts[i]
        low, high = part.rows
        for number, (tile, line) in enumerate(lines):
            if tile == part.tile and not skip[number]:
                v += [(row - low) / (high - low) for row, _ in line]
                turn += [round((degrees + strips.yaw[index]) * 10) for _, degrees in line]
                strip += [index] * len(line)
                stroke += [number * 64 + index] * len(line)
    place, azimuth, part_of = np.array(v, _F), np.array(turn, np.int64), np.array(strip, np.int32)
    facing, sideways = cosines(azimuth, 10), sines(azimuth, 10)
    section = np.clip(np.rint(place * _F(strips.half.shape[1] - 1)), 0, strips.half.shape[1] - 1).astype(np.int32)
    half, middle = strips.half[part_of, section], strips.middle[part_of, section]
    right, down, length = directions(strips.x0, strips.y0, strips.x1, strips.y1)
    ux, uy = right[part_of], down[part_of]
    s = place * length[part_of] - facing * half * strips.bulge[part_of]
    t = middle + half * sideways
    x, y = strips.x0[part_of] + s * ux + t * uy, strips.y0[part_of] + s * uy - t * ux
    seen = (facing > 0.12) & (place >= 0) & (place <= 1) & (_look_up(labels, x, y) == part_of)
    return Strokes(x, y, np.array(stroke, np.int32)).where(seen)


def _hatch(ink: NDArray[np.int32], tone: Float, hand: Hand, draw: Draw) -> None:
    """Slanted lines over what is dark, closer where it is darker, crossed where it is black."""
    height, width = tone.shape
    scale = height / 128
    gap = hand.hatch * scale
    y: Float = np.arange(0, height, 2).astype(_F)
    for slope, limits in ((hand.slope, (135, 80)), (-hand.slope, (48, 48))):
        first = -abs(slope) * height
        count = int((width + 2 * abs(slope) * height) / gap)
        number = np.arange(count)
        x = (_F(first + draw.between(0, gap)) + number.astype(_F) * _F(gap))[:, None] + y[None, :] * _F(slope)
        x += _F(abs(slope) * height if slope < 0 else 0)
        rows = np.broadcast_to(y[None, :], x.shape)
        column, row = np.floor(x).astype(np.int32), np.floor(rows).astype(np.int32)
        inside = (column >= 0) & (column < width)
        dark = tone[row, np.clip(column, 0, width - 1)] < np.where(number % 2 == 0, *limits)[:, None]
        stroke = np.broadcast_to(number[:, None], x.shape).astype(np.int32)
        lines = Strokes(x.astype(_F).ravel(), rows.astype(_F).ravel(), stroke.ravel()).where((inside & dark).ravel())
        ink_strokes(ink, lines, hand, draw, thin=0.7, wobble=0.8)


def _on_paper(ink: NDArray[np.int32], tone: Float, hand: Hand, draw: Draw) -> NDArray[np.uint8]:
    height, width = ink.shape
    darkness = ink.astype(_F) / _F(255)
    if hand.smudge:
        smear = soften(((_F(255) - tone) * _F(hand.smudge * 0.9 / 255))[None], 0.5, 0.0)[0]
        top, left = draw.below(256), draw.below(256)
        rough = smooth_noise(2)[(top + np.arange(height)) % 256][:, (left + np.arange(width)) % 256]
        darkness = np.maximum(darkness, smear * (_F(0.86) + _F(0.14) * rough))
    paper = _F(250) + grain()[:height, :width] * _F(1.2)
    drawn = np.clip(paper * (_F(1) - darkness), 0, 255).astype(np.uint8)
    return np.repeat(drawn[:, :, None], 3, axis=2)
