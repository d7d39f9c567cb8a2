"""The vision side of Qwen-VL without its loops: patches by one reshape, their embedding and attention by one product.

transformers embeds patches by a Conv3d whose stride is its kernel, and attends to one image after the other. With
images of one size both are a single matrix product. The weights, their names and the result stay the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask


def patchify(pixels: Tensor, patch: int, merge: int) -> Tensor:
    """Cut images into flat patches, in the order of their merging.

    Args:
        pixels: [n, 3, H, W], normalised.
        patch: side of a patch. merge: patches per side that become one visual token.

    Returns:
        [n, H/patch * W/patch, 3 * patch * patch]: those that are merged follow each other, as in
        `Qwen2VLImageProcessor`, but without the copy for the second frame of a still image.
    """
    n, channels, height, width = pixels.shape
    rows, columns = height // (patch * merge), width // (patch * merge)
    cut = pixels.reshape(n, channels, rows, merge, patch, columns, merge, patch)
    return cut.permute(0, 2, 5, 3, 6, 1, 4, 7).reshape(n, -1, channels * patch * patch)


class FoldedPatchEmbedding(nn.Module):
    """Embeds the patches of still images: both frames are equal, so the kernel's two slices are added first."""

    def __init__(self, proj: nn.Conv3d) -> None:
        super().__init__()
        self.proj = proj

    def forward(self, patches: Tensor) -> Tensor:
        """[patches, 3 * patch * patch] -> [patches, width]."""
        weight = self.proj.weight.float().sum(dim=2).flatten(1).to(self.proj.weight.dtype)
        return functional.linear(patches.to(weight.dtype), weight, self.proj.bias)


def fold_patches(embedding: nn.Module) -> FoldedPatchEmbedding:
    """The same patch embedding, with the same parameters under the same names, for still images."""
    proj = embedding.proj
    assert isinstance(proj, nn.Conv3d)
    return FoldedPatchEmbedding(proj)


@contextmanager
def shifted_patches(embedding: nn.Module, shift: Tensor) -> Iterator[None]:
    """Within the context `embedding` gives its patches with a vector added to all those of an image.

    Args:
        embedding: gives [images * patches, width] or [images, width, rows, columns].
        shift: [images, width].
    """

    def add(module: nn.Module, inputs: Any, patches: Tensor) -> Tensor:
        if patches.ndim == 4:
            return patches + shift.to(patches.dtype)[:, :, None, None]
        shifted: Tensor = patches.unflatten(0, [len(shift), -1]) + shift.to(patches.dtype)[:, None]
        return shifted.flatten(0, 1)

    handle = embedding.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


def batch_vision_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    images: int = 1,
    **unused: Any,
) -> tuple[Tensor, None]:
    """Attention within each of `images` images of equal size.

    Args:
        module: the attention layer.
        query, key, value: [1, heads, images * patches, width].
        attention_mask: none; part of the interface of `transformers.AttentionInterface`.
        scaling: of the logits. dropout: of the weights. images: how many there are.

    Returns:
        [1, images * patches, heads, width], and no weights.
    """
    query, key, value = (t[0].reshape(t.shape[1], images, -1, t.shape[3]).transpose(0, 1) for t in (query, key, value))
    seen = functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout, scale=scaling)
    return seen.transpose(1, 2).flatten(0, 1).unsqueeze(0), None


AttentionInterface.register(batch_vision_attention.__name__, batch_vision_attention)
AttentionMaskInterface.register(batch_vision_attention.__name__, sdpa_mask)
