"""How the semantic token and the visual tokens meet: a small transformer of which one output is wanted."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class _Layer(nn.Module):
    """Attention and MLP, each behind a normalisation and beside a way around it.

    Args:
        width: of the tokens. heads: of the attention. hidden: width of the MLP.
    """

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def among(self, tokens: Tensor, asking: int) -> Tensor:
        """[B, n, D] -> [B, asking, D], the first `asking` tokens after they have attended to all."""
        normed = self.norm(tokens)
        return self._attend(tokens[:, :asking], normed[:, :asking], normed)

    def across(self, asking: Tensor, answering: Tensor) -> Tensor:
        """[B, q, D] tokens after they have attended to [B, n, D] others."""
        return self._attend(asking, self.norm(asking), self.norm(answering))

    def _attend(self, asking: Tensor, asked: Tensor, answering: Tensor) -> Tensor:
        """`asked` and `answering` are normalised; `asking` is `asked` before that."""
        keys, values = self.key_value(answering).chunk(2, dim=-1)
        query = self._split(self.query(asked))
        seen = functional.scaled_dot_product_attention(query, self._split(keys), self._split(values))
        asking = asking + self.out(seen.transpose(1, 2).flatten(2))
        change: Tensor = self.down(functional.gelu(self.up(self.mlp_norm(asking))))
        return asking + change

    def _split(self, tokens: Tensor) -> Tensor:
        """[B, n, D] -> [B, heads, n, D / heads]."""
        split: Tensor = tokens.unflatten(-1, [self.heads, -1]).transpose(1, 2)
        return split


class _Interaction(nn.Module):
    """What both kinds share: layers, normalisations, places.

    v_reid comes out of the language model and the visual tokens out of the connector, with lengths that differ by
    orders of magnitude; so each is normalised at the entrance.

    Args:
        width: D. layers, heads: of the transformer. ratio: width of its MLPs by D.
        tokens: how many visual tokens get a learnt vector for their place; 0 for none.
    """

    def __init__(self, width: int, layers: int, heads: int, ratio: float, tokens: int = 0) -> None:
        super().__init__()
        self.token_norm, self.visual_norm, self.last_norm = (nn.LayerNorm(width) for _ in range(3))
        self.places = nn.Parameter(torch.zeros(tokens, width)) if tokens else None
        self.layers = nn.ModuleList(_Layer(width, heads, round(ratio * width)) for _ in range(layers))

    def _enter(self, token: Tensor, visual: Tensor) -> tuple[Tensor, Tensor]:
        """v_reid [B, D] as [B, 1, D] and the visual tokens [B, n, D], normalised, in the dtype of the weights."""
        dtype = self.last_norm.weight.dtype
        asked, seen = self.token_norm(token.to(dtype)[:, None]), self.visual_norm(visual.to(dtype))
        return asked, seen if self.places is None else seen + self.places

    def _leave(self, token: Tensor) -> Tensor:
        """[B, 1, D] -> float32 [B, D]."""
        left: Tensor = self.last_norm(token[:, 0]).float()
        return left


class SelfInteraction(_Interaction):
    """Semantic-Guided Interaction: a transformer over [v_reid; v_1 .. v_n], read at v_reid.

    In the last layer v_reid alone asks, because nobody looks at what the others would become.

    Source: LVLM-ReID (arXiv 2411.18111), Semantic-Guided Interaction.
    """

    def forward(self, token: Tensor, visual: Tensor) -> Tensor:
        """v_reid [B, D] and visual tokens [B, n, D] -> float32 [B, D]."""
        asked, seen = self._enter(token, visual)
        tokens = torch.cat([asked, seen], dim=1)
        for number, layer in enumerate(self.layers, 1):
            assert isinstance(layer, _Layer)
            tokens = layer.among(tokens, 1 if number == len(self.layers) else tokens.shape[1])
        return self._leave(tokens)


class CrossInteraction(_Interaction):
    """v_reid asks, the visual tokens answer and stay what they are: the ablation of the same paper."""

    def forward(self, token: Tensor, visual: Tensor) -> Tensor:
        """v_reid [B, D] and visual tokens [B, n, D] -> float32 [B, D]."""
        asked, seen = self._enter(token, visual)
        for layer in self.layers:
            assert isinstance(layer, _Layer)
            asked = layer.across(asked, seen)
        return self._leave(asked)
