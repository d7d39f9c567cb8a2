"""Augmentation of a batch on tensors, by modality. What happens to a sample depends on its own key alone.

A key is (seed, epoch, place in the batch of all processes), so the same training sees the same views with any number of
processes and after any interruption.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid.modality import Modality
from teacher.settings import Augmentation

_NUMBERS = 16
"""Random numbers a sample gets, whether it uses them or not."""
_GREY = torch.tensor([0.299, 0.587, 0.114])
_REFERENCE_HEIGHT = 128
_ERASED = 127.5


def random_numbers(seed: int, epoch: int, places: Sequence[int]) -> NDArray[np.float64]:
    """[n, 16] uniform numbers; row i depends on (seed, epoch, places[i]) alone."""
    rows = [np.random.default_rng([seed, epoch, place]).random(_NUMBERS) for place in places]
    return np.array(rows).reshape(len(rows), _NUMBERS)


def augment_images(
    pixels: Tensor, modalities: Sequence[Modality], numbers: NDArray[np.float64], how: Augmentation
) -> Tensor:
    """Mirror, shift, recolour and erase.

    Args:
        pixels: uint8 [n, 3, H, W].
        modalities: of the n images. Only RGB is made grey or exchanges its channels.
        numbers: [n, 16] uniform random numbers.
        how: the recipe's section.

    Returns:
        float32 [n, 3, H, W], 0 to 255.
    """
    u = torch.from_numpy(numbers)
    moved = _move(pixels, u[:, 0] < how.flip, u[:, 1:3], how.pad)
    is_rgb = torch.tensor([modality is Modality.RGB for modality in modalities])
    return _erase(_recolour(moved, is_rgb, u[:, 3:8], how), u[:, 8:13], how.erase)


def mask_tokens(tokens: Sequence[int], numbers: NDArray[np.float64], share: float) -> list[int]:
    """A caption without a random share of its tokens; never empty.

    The first of the sample's random numbers seeds a generator, because a caption may be longer than 16 tokens.
    """
    if not share or not tokens:
        return list(tokens)
    kept = np.random.default_rng(int(numbers[0] * 2**53)).random(len(tokens)) >= share
    return [token for token, keep in zip(tokens, kept, strict=True) if keep] or [tokens[0]]


def _move(pixels: Tensor, mirrored: Tensor, place: Tensor, pad: float) -> Tensor:
    """Mirror and shift by up to `pad`, repeating the edge, in one gather."""
    height, width = pixels.shape[2:]
    reach = int(pad * height / _REFERENCE_HEIGHT)
    dy, dx = ((place * (2 * reach + 1)).long() - reach).unbind(1)
    rows = (torch.arange(height) + dy[:, None]).clamp(0, height - 1)
    columns = (torch.arange(width) + dx[:, None]).clamp(0, width - 1)
    columns = torch.where(mirrored[:, None], width - 1 - columns, columns)
    index = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)
    flat = pixels.flatten(2).gather(2, index[:, None, :].expand(-1, 3, -1))
    return flat.reshape(pixels.shape).float()


def _recolour(pixels: Tensor, is_rgb: Tensor, u: Tensor, how: Augmentation) -> Tensor:
    """Grey, one channel three times, brightness and contrast: a 3 x 3 matrix and an offset per image."""
    n = len(pixels)
    matrix = torch.eye(3).repeat(n, 1, 1)
    grey = is_rgb & (u[:, 0] < how.grey)
    exchange = is_rgb & ~grey & (u[:, 0] < how.grey + how.channel)
    u = u.float()
    matrix[grey] = _GREY.expand(3, 3)
    channel = (u[:, 1] * 3).long().clamp(max=2)
    matrix[exchange] = torch.eye(3)[channel][exchange][:, None, :].expand(-1, 3, -1)
    contrast = 1 + (u[:, 2] * 2 - 1) * how.brightness
    brightness = (u[:, 3] * 2 - 1) * how.brightness * 255
    mean = pixels.mean(dim=(1, 2, 3))
    offset = mean * (1 - contrast) + brightness
    changed = torch.baddbmm(offset[:, None, None], matrix * contrast[:, None, None], pixels.flatten(2))
    return changed.clamp_(0, 255).reshape(pixels.shape)


def _erase(pixels: Tensor, u: Tensor, probability: float) -> Tensor:
    """Replace a rectangle by grey: 2 to 20 % of the area, aspect 0.3 to 3.3 (Random Erasing, arXiv 1708.04896)."""
    height, width = pixels.shape[2:]
    area = (0.02 + 0.18 * u[:, 1]) * height * width
    aspect = torch.exp((u[:, 2] * 2 - 1) * float(np.log(3.3)))
    tall, wide = (area * aspect).sqrt().clamp(max=height), (area / aspect).sqrt().clamp(max=width)
    top, left = u[:, 3] * (height - tall), u[:, 4] * (width - wide)
    # A pixel is erased if its centre is.
    y, x = torch.arange(height)[None, :] + 0.5, torch.arange(width)[None, :] + 0.5
    in_rows = (y >= top[:, None]) & (y < (top + tall)[:, None])
    in_columns = (x >= left[:, None]) & (x < (left + wide)[:, None])
    erased = in_rows[:, :, None] & in_columns[:, None, :] & (u[:, 0] < probability)[:, None, None]
    return pixels.masked_fill_(erased[:, None], _ERASED)
