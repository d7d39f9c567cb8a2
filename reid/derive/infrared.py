"""An infrared-like view out of an RGB photograph. Not a grey conversion: materials change their brightness.

What a near-infrared camera (850 nm) shows of a person, and how it is imitated here:

- Dyes that are dark to the eye are mostly transparent to it; what it sees is the fibre below, which is bright. A black
  coat may be white, two garments of one colour may differ, and a print may vanish. Here: each colour gets a dye
  transparency from a random smooth function over colour space, and as much of the fibre shows. The function belongs to
  a person (`material_seed`), so that all photographs of one person agree about her clothes.
- Skin of every tone is bright and smooth; foliage is bright. Here: by colour.
- Folds and texture stay, as shading is not a matter of wavelength. Here: luma detail is multiplied back in.
- The light comes from a lamp at the camera: bright in the middle, dark at the borders and behind the person; highlights
  bloom and dark places are noisy.

What is not realistic: real reflectance at 850 nm cannot be told from three visible channels, so the random function is
a plausible material, not the true one; a garment whose two halves have one colour but different fabrics stays one;
clothes lose their print only as far as its colours happen to get like transparency; hair is darkened by its place at
the top of the crop. `thermal` imitates a far-infrared camera (RegDB) by warm skin, lukewarm clothes and cold ground;
it knows no real temperatures.

Sources: Mangold, Shaw, Vollmer, "The physics of near-infrared photography", Eur. J. Phys. 34 (2013) S51-S71; Cooksey,
Allen, Tsai, "Reference data set of human skin reflectance", J. Res. NIST 122 (2017) 26; Tan et al., "RLE: a unified
perspective of data augmentation for cross-spectral re-identification", arXiv 2411.01225 (the modality gap as one
linear factor per material); Wu et al., "RGB-infrared cross-modality person re-identification", ICCV 2017 (SYSU-MM01).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reid.derive.figure import figure_mask
from reid.derive.filters import Plane, denoise, gaussian, opponent, smooth_noise, smoothstep

REFERENCE_HEIGHT = 128
"""Lengths of a sensor are pixels of a crop of this height."""
WAVES = 4
"""Cosines in a person's dye transparency: enough that neighbouring hues differ, few enough that one garment is even."""

CONTRAST = 0.2
"""Standard deviation of brightness up to which automatic contrast stretches a flat picture, at most twofold."""


@dataclass(frozen=True)
class Sensor:
    """A camera and its light. Amounts go from 0 to 1, lengths are pixels of a crop 128 pixels high.

    Attributes:
        reveal: how far dyes become transparent.
        falloff: how dark the corners are.
        ground: how dark the surroundings are, which are farther from the lamp than the person.
        gamma: of the contrast curve, above 1 darkens.
        noise: standard deviation at medium brightness.
        blur: sigma of the lens.
        bloom: how far highlights spill.
        warmth: how much heat and how little reflectance is seen.
    """

    reveal: float = 0.8
    falloff: float = 0.0
    ground: float = 0.0
    gamma: float = 1.0
    noise: float = 0.01
    blur: float = 0.3
    bloom: float = 0.0
    warmth: float = 0.0


SENSORS: dict[str, Sensor] = {
    "active": Sensor(falloff=0.55, ground=0.45, gamma=1.1, noise=0.025, blur=0.5, bloom=0.35),
    "daylight": Sensor(falloff=0.1, noise=0.012),
    "lowlight": Sensor(reveal=0.7, falloff=0.4, ground=0.3, gamma=1.2, noise=0.045, blur=0.8, bloom=0.2),
    "thermal": Sensor(noise=0.015, blur=0.9, warmth=0.9),
}
"""Style name -> the camera that sees so."""


def infrared(
    rgb: NDArray[np.uint8], *, style: str = "active", seed: int = 0, material_seed: int | None = None
) -> NDArray[np.uint8]:
    """Show the person in a photograph as an infrared camera might.

    Args:
        rgb: [H, W, 3] uint8.
        style: one of `SENSORS`.
        seed: of noise, light and exposure; equal inputs give equal views.
        material_seed: of the clothes' dye transparencies; None takes `seed`. Give all photographs of one person the
            same.

    Returns:
        [H, W] uint8.

    Raises:
        KeyError: no such style.
    """
    sensor, rng = SENSORS[style], np.random.default_rng([seed, 0x1A6D])
    photo = rgb.astype(np.float32) / np.float32(255)
    unit = rgb.shape[0] / REFERENCE_HEIGHT
    person = figure_mask(photo)
    colours = opponent(photo)
    # One garment, one colour: the guided filter flattens folds and noise but keeps the borders of garments.
    flat = denoise(colours, max(1, round(2.5 * unit)), 0.06**2)
    floor = np.float32(0.12)
    fold = np.clip(np.log((colours[0] + floor) / (np.maximum(flat[0], 0) + floor)), -0.6, 0.6)
    # In near-black cloth most of it is compression noise, which brightening would turn into glitter.
    fold *= np.float32(0.4) + np.float32(0.6) * smoothstep(flat[0], 0.04, 0.25)
    skin = skin_likeness(flat)
    wardrobe = seed if material_seed is None else material_seed
    reflected = reflectance(flat, skin, np.random.default_rng([wardrobe, 0xD7E]))
    scene = flat[0] + np.float32(sensor.reveal) * (reflected - flat[0])
    if sensor.warmth:
        scene += np.float32(sensor.warmth) * (_heat(person, skin, reflected) - scene)
    # Texture is a matter of light and form, whatever the wavelength; heat has less of it.
    scene = scene * np.exp(fold * np.float32(rng.uniform(0.7, 1.0) * (1 - 0.6 * sensor.warmth)))
    return _expose(_light(scene, person, sensor, rng), person, sensor, unit, rng)


def skin_likeness(colours: Plane) -> Plane:
    """How much each colour is that of skin, 0 to 1: reddish, not saturated, neither black nor white.

    Args:
        colours: [3, H, W] as `opponent` gives them.
    """
    luma, red, blue = colours
    reddish = smoothstep(red, 0.04, 0.09) * smoothstep(red, 0.32, 0.24)
    yellowish = smoothstep(blue, -0.015, -0.05) * smoothstep(blue, -0.34, -0.26)
    return np.asarray(reddish * yellowish * smoothstep(luma, 0.15, 0.28))


def reflectance(flat: Plane, skin: Plane, rng: np.random.Generator) -> Plane:
    """[H, W] brightness of each material in the near infrared, from `flat`, [3, H, W] opponent colours.

    Tone in the visible plus transparency x (fibre - tone): where the dye is transparent, the fibre shows.
    """
    luma, red, blue = flat
    # Cycles per unit. Few over luma: at the soft border of black and white cloth every grey occurs, and a response
    # that rises and falls in between would draw contours there.
    waves = rng.normal(0, (0.35, 1.3, 1.3), size=(WAVES, 3)).astype(np.float32) * np.float32(2 * np.pi)
    phases = rng.uniform(0, 2 * np.pi, size=WAVES).astype(np.float32)
    # The colour of near-black cloth is noise.
    certain = np.float32(0.3) + np.float32(0.7) * smoothstep(luma, 0.1, 0.35)
    response = np.zeros_like(luma)
    for (a, b, c), phase in zip(waves, phases, strict=True):
        response += np.cos(a * luma + certain * (b * red + c * blue) + phase)
    transparency = 1 / (1 + np.exp(np.float32(-2.2) * response - np.float32(rng.normal(0.2, 0.6))))
    fibre = np.float32(rng.uniform(0.5, 0.85)) + np.float32(0.1) * np.cos(waves[0, 1] * red + waves[0, 2] * blue)
    tone = luma + transparency * (fibre - luma)
    # Foliage: the red edge of chlorophyll. Green minus luma follows from the luma weights.
    green = (np.float32(-0.299) * red - np.float32(0.114) * blue) / np.float32(0.587)
    tone += smoothstep(green, 0.02, 0.07) * (np.float32(0.8) - tone)
    tone += skin * (np.float32(0.68) - tone)
    # Melanin absorbs less at 850 nm than in the visible, but hair stays among the darkest parts of a person.
    top = smoothstep((np.arange(luma.shape[0], dtype=np.float32) + 0.5) / luma.shape[0], 0.17, 0.11)[:, None]
    hair = top * smoothstep(luma, 0.45, 0.25) * (1 - skin)
    return np.asarray(tone + hair * (np.minimum(tone, luma + np.float32(0.12)) - tone), dtype=np.float32)


def _heat(person: Plane, skin: Plane, reflected: Plane) -> Plane:
    """[H, W] apparent temperature: ground is cold, clothes lukewarm according to their fabric, skin and head warm."""
    height = person.shape[0]
    head = smoothstep((np.arange(height, dtype=np.float32) + 0.5) / height, 0.19, 0.12)[:, None]
    bare = np.maximum(skin, head * np.float32(0.6))
    body = np.float32(0.42) + np.float32(0.3) * (reflected - np.float32(0.4))
    ground = np.float32(0.14) + np.float32(0.05) * reflected
    figure = body + bare * (np.float32(0.88) - body)
    return np.asarray(ground + smoothstep(person, 0.2, 0.85) * (figure - ground), dtype=np.float32)


def _light(scene: Plane, person: Plane, sensor: Sensor, rng: np.random.Generator) -> Plane:
    """`scene` under the camera's lamp: a spot somewhere near the trunk, and darkness behind the person."""
    height, width = scene.shape
    centre_x, centre_y = 0.5 + rng.normal(0, 0.08), 0.4 + rng.normal(0, 0.08)
    # Distances in heights, so that a narrow crop is not darker at its sides than a wide one.
    x = (np.arange(width, dtype=np.float32)[None, :] + np.float32(0.5 - width * centre_x)) / np.float32(height)
    y = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / height - np.float32(centre_y)
    distance = (x * x + y * y) / np.float32(0.6**2)
    lamp = 1 - np.float32(sensor.falloff) * (1 - 1 / (1 + 2 * distance))
    shade = 1 - np.float32(sensor.ground) * (1 - person)
    return np.asarray(np.maximum(scene, 0) * lamp * shade, dtype=np.float32)


def _expose(light: Plane, person: Plane, sensor: Sensor, unit: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """What the sensor makes of `light`: automatic exposure on the person, lens blur, bloom, contrast curve, noise."""
    height, width = light.shape
    mean = float((light * person).sum() / max(float(person.sum()), 1e-6))
    target = 0.46 + rng.uniform(-0.07, 0.07)
    light = light * np.float32(np.clip(target / max(mean, 1e-3), 0.5, 2.5))
    # Automatic contrast, as video encoders in such cameras have it.
    spread = float(light.std())
    light = target + (light - np.float32(target)) * np.float32(np.clip(CONTRAST / max(spread, 1e-3), 1, 2))
    light = gaussian(light, max(0.3, sensor.blur * unit))
    if sensor.bloom:
        light += np.float32(sensor.bloom) * gaussian(np.maximum(light - np.float32(0.7), 0), 2.5 * unit)
    # A shoulder in place of clipping: highlights keep some shape.
    tone = np.clip(light, 0, None)
    tone = np.where(tone > 0.7, 0.7 + 0.3 * np.tanh((tone - 0.7) / 0.3), tone).astype(np.float32)
    tone **= np.float32(sensor.gamma)
    grain = rng.standard_normal((height, width), dtype=np.float32)
    if unit > 1:
        grain = 0.6 * grain + smooth_noise(rng, height, width, unit)
    # Photon noise grows with the root of the light, read-out noise does not.
    deviation = np.float32(sensor.noise) * (np.float32(0.5) + np.sqrt(np.maximum(tone, 0)))
    rows = rng.standard_normal((height, 1), dtype=np.float32) * np.float32(0.25 * sensor.noise)
    return np.asarray(np.clip(tone + deviation * grain + rows, 0, 1) * 255 + np.float32(0.5), dtype=np.uint8)
