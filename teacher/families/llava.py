"""LLaVA 1.5 (arXiv 2310.03744): CLIP, two linear layers, LLaMA."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from teacher.families.family import Chat, Family, Visual, divide, plain_positions

VISION = {
    "attention": r"model\.vision_tower\.(vision_model\.)?encoder\.layers\.LAYER\.self_attn\.(q|k|v|out)_proj",
    "mlp": r"model\.vision_tower\.(vision_model\.)?encoder\.layers\.LAYER\.mlp\.fc[12]",
}
CONNECTOR = {"mlp": r"model\.multi_modal_projector\.linear_[12]"}
LANGUAGE = {
    "attention": r"model\.language_model\.layers\.LAYER\.self_attn\.(q|k|v|o)_proj",
    "mlp": r"model\.language_model\.layers\.LAYER\.mlp\.(gate|up|down)_proj",
}


class Llava(Family):
    """LLaVA 1.5. The tower's position embeddings are interpolated to the shape of a person crop."""

    name = "LLaVA-1.5"
    model_type = "llava"
    chat = Chat(system=("", " "), user=("USER: ", " ASSISTANT:"), image=("", "\n"))
    special_tokens: ClassVar[tuple[str, ...]] = ()
    weights: ClassVar = {
        "vision": r"model\.vision_tower\..*",
        "connector": r"model\.(multi_modal_projector\..*|image_newline)",
        "language": r"(model\.language_model\.|lm_head\.).*",
    }
    targets: ClassVar = {"vision": VISION, "connector": CONNECTOR, "language": LANGUAGE}

    def grid(self, config: Any, height: int, width: int) -> tuple[int, int]:
        """Patches, none merged."""
        unit = int(config.vision_config.patch_size)
        return divide(self.name, "height", height, unit), divide(self.name, "width", width, unit)

    def image_token_id(self, config: Any) -> int:
        """`<image>`."""
        return int(config.image_token_id)

    def see(self, model: nn.Module, pixels: Tensor) -> Visual:
        """The tower's layer that the config names (the CLS token dropped), through the projector."""
        config: Any = model.config
        tower = model.get_submodule("model.vision_tower")
        pixels = pixels.to(next(tower.parameters()).dtype)
        seen = tower(pixels, interpolate_pos_encoding=True, output_hidden_states=True, return_dict=True)
        layers = config.vision_feature_layer
        chosen = [seen.hidden_states[layer] for layer in ([layers] if isinstance(layers, int) else layers)]
        if config.vision_feature_select_strategy == "default":
            chosen = [layer[:, 1:] for layer in chosen]
        projector = model.get_submodule("model.multi_modal_projector")
        return Visual(self.connect(model, projector(torch.cat(chosen, dim=-1))))

    def patch_embedding(self, model: nn.Module) -> tuple[nn.Module, int]:
        """The tower's convolution, [n, width, rows, columns]."""
        found = [m for name, m in model.named_modules() if name.endswith(".embeddings.patch_embedding")]
        (embedding,) = found
        assert isinstance(embedding, nn.Conv2d)
        return embedding, embedding.out_channels

    def connect(self, model: nn.Module, tokens: Tensor) -> Tensor:
        """What the projector's output [n, v, D] becomes in the prompt."""
        return tokens

    def positions(self, config: Any, starts: Tensor, counts: Tensor, grid: tuple[int, int], length: int) -> Tensor:
        """0, 1, 2, ..."""
        return plain_positions(len(starts), length, starts.device)
