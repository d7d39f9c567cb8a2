"""What the three families of Qwen-VL share: merged patches, multimodal rotary positions, ChatML."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers.vision_utils import get_vision_position_ids

from teacher.families.family import Chat, Family, Visual, divide
from teacher.vision import batch_vision_attention, fold_patches, patchify

LANGUAGE = {
    "attention": r"model\.language_model\.layers\.LAYER\.self_attn\.(q|k|v|o)_proj",
    "mlp": r"model\.language_model\.layers\.LAYER\.mlp\.(gate|up|down)_proj",
}
VISION_ATTENTION = r"model\.visual\.blocks\.LAYER\.attn\.(qkv|proj)"


class Qwen(Family):
    """Qwen2-VL, Qwen2.5-VL and Qwen3-VL: the vision tower takes flat patches in the order of their 2 x 2 merging."""

    chat = Chat(
        system=("<|im_start|>system\n", "<|im_end|>\n"),
        user=("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"),
        image=("<|vision_start|>", "<|vision_end|>"),
    )
    special_tokens = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>")
    batched_attention: ClassVar[bool] = True
    weights: ClassVar = {
        "vision": r"model\.visual\.(?!merger\.|deepstack_merger_list\.).*",
        "connector": r"model\.visual\.(merger|deepstack_merger_list)\..*",
        "language": r"(model\.language_model\.|lm_head\.).*",
    }

    def grid(self, config: Any, height: int, width: int) -> tuple[int, int]:
        """Patches, merged 2 x 2."""
        unit = int(config.vision_config.patch_size) * int(config.vision_config.spatial_merge_size)
        return divide(self.name, "height", height, unit), divide(self.name, "width", width, unit)

    def image_token_id(self, config: Any) -> int:
        """`<|image_pad|>`."""
        return int(config.image_token_id)

    def see(self, model: nn.Module, pixels: Tensor) -> Visual:
        """Patches through the tower and the merger."""
        visual: Any = model.get_submodule("model.visual")
        config = visual.config
        patches = patchify(pixels, config.patch_size, config.spatial_merge_size)
        images, per_image = patches.shape[:2]
        rows, columns = (size // config.patch_size for size in pixels.shape[2:])
        grid = torch.tensor([[1, rows, columns]])
        # Images of one size have one grid, so it is laid out once and not in a loop over the images.
        known: dict[str, Any] = {
            "position_ids": get_vision_position_ids(grid, config.spatial_merge_size).repeat(images, 1).to(pixels.device)
        }
        if config._attn_implementation == batch_vision_attention.__name__:
            # One segment, which the attention splits by the number of images. It stays on the host, where it is read.
            known |= {"cu_seqlens": torch.tensor([0, images * per_image], dtype=torch.int32), "images": images}
        grids = grid.expand(images, 3).to(pixels.device)
        seen = visual(patches.flatten(0, 1).to(visual.dtype), grid_thw=grids, return_dict=True, **known)
        deep = tuple(layer.unflatten(0, (images, -1)) for layer in getattr(seen, "deepstack_features", None) or ())
        return Visual(seen.pooler_output.unflatten(0, (images, -1)), deep)

    def patch_embedding(self, model: nn.Module) -> tuple[nn.Module, int]:
        """The tower's, [images * patches, width]."""
        embedding: Any = model.get_submodule("model.visual.patch_embed")
        return embedding, int(embedding.proj.out_channels)

    def positions(self, config: Any, starts: Tensor, counts: Tensor, grid: tuple[int, int], length: int) -> Tensor:
        """Time, row and column as one number in text; three in an image, after which text goes on from the largest.

        Source: Qwen2-VL (arXiv 2409.12191), section 2.1, multimodal rotary position embedding.
        """
        rows, columns = grid
        token = torch.arange(length, device=starts.device)[None, :]
        start, count = starts[:, None], counts[:, None]
        inside = token - start
        in_image = (inside >= 0) & (inside < count)
        after = (inside >= count) & (count > 0)
        text = torch.where(after, token - count + max(rows, columns), token)
        time = torch.where(in_image, start.expand_as(inside), text)
        row = torch.where(in_image, start + torch.div(inside, columns, rounding_mode="floor"), text)
        column = torch.where(in_image, start + inside.remainder(columns), text)
        return torch.stack([time, row, column])

    def prepare(self, model: nn.Module) -> None:
        """Attention over all images at once, and patches embedded by one product."""
        visual: Any = model.get_submodule("model.visual")
        visual.patch_embed = fold_patches(visual.patch_embed)
        if self.batched_attention and visual.config._attn_implementation == "sdpa":
            visual.config._attn_implementation = batch_vision_attention.__name__
