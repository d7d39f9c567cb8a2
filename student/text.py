"""The text student: a small transformer that answers sentences without the cloud.

It reads the ids of the teacher's tokenizer. Captions use few of the teacher's 150 000 tokens, so it has embeddings
for those that were seen when it was made, and one for all others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init

from reid.errors import UserError

START, UNKNOWN, FIRST = 0, 1, 2
"""Own ids: of the token before every sentence, of tokens that were not seen, and the first of those that were."""

_HIDDEN = torch.finfo(torch.float16).min
"""Added to the attention of padding: finite in every dtype, and its exponential is 0."""


class TextStudentConfig(PreTrainedConfig):
    """The config of a `TextStudent`.

    Attributes:
        tokenizer_size: ids of the teacher's tokenizer are below this.
        vocabulary: own ids, `START` and `UNKNOWN` included.
        dim: k, how many outputs.
        hidden, layers, heads: of the transformer; its MLPs are four times as wide.
        longest: how many tokens a sentence may have.
        output_scale: fixed factor on the outputs.
        dropout: of embeddings, attention and MLPs.
    """

    model_type = "reid_text_student"

    tokenizer_size: int = 1
    vocabulary: int = FIRST
    dim: int = 64
    hidden: int = 256
    layers: int = 4
    heads: int = 4
    longest: int = 128
    output_scale: float = 1.0
    dropout: float = 0.1


class TextStudent(PreTrainedModel):
    """A sentence in, k coordinates out.

    Attributes:
        lookup: int64 [tokenizer_size], own id of each of the teacher's; saved with the weights.
        backbone: transformers' BERT without pooling layer.
        head: hidden -> k.
    """

    config_class = TextStudentConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    input_modalities = "text"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_attention_backend = True

    config: TextStudentConfig
    lookup: Tensor

    def __init__(self, config: TextStudentConfig) -> None:
        super().__init__(config)
        nested = BertConfig(
            vocab_size=config.vocabulary,
            hidden_size=config.hidden,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            intermediate_size=4 * config.hidden,
            max_position_embeddings=config.longest + 1,
            type_vocab_size=1,
            pad_token_id=None,
            hidden_dropout_prob=config.dropout,
            attention_probs_dropout_prob=config.dropout,
        )
        nested._attn_implementation = self.config._attn_implementation
        self.register_buffer("lookup", torch.full((config.tokenizer_size,), UNKNOWN, dtype=torch.int64))
        self.backbone = BertModel(nested, add_pooling_layer=False)
        self.head = nn.Linear(config.hidden, config.dim)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Coordinates of sentences.

        Args:
            input_ids: int64 [B, T] of the teacher's tokenizer, T at most `longest`.
            attention_mask: int64 or bool [B, T], 0 at padding, which may stand on either side.

        Returns:
            float32 [B, dim], in the scale of the teacher's coordinates.

        Raises:
            ValueError: T is above `longest`.
        """
        if input_ids.shape[1] > self.config.longest:
            raise ValueError(f"{input_ids.shape[1]} tokens; this text student reads at most {self.config.longest}")
        # Ids that a tokenizer got after this student was made.
        known = input_ids.clamp(0, self.config.tokenizer_size - 1)
        own = torch.where(known == input_ids, self.lookup[known], UNKNOWN)
        # A token that is always there: a sentence of no tokens has something to be read from, too.
        own = torch.cat([own.new_full((own.shape[0], 1), START), own], 1)
        mask = torch.cat([attention_mask.new_ones((own.shape[0], 1)), attention_mask], 1).to(torch.int64)
        # Places count what is there, so that padding on the left moves nothing.
        places = (mask.cumsum(1) - 1).clamp(min=0)
        # In four dimensions transformers takes a mask as it is; it would look into another, which waits for a GPU.
        seen = torch.where(mask.bool(), 0.0, _HIDDEN)[:, None, None].to(self.dtype)
        hidden: Tensor = self.backbone(own, attention_mask=seen, position_ids=places).last_hidden_state
        weights = mask.to(hidden.dtype)[:, :, None]
        outputs: Tensor = self.head((hidden * weights).sum(1) / weights.sum(1))
        return outputs * self.config.output_scale

    def _init_weights(self, module: Any) -> None:
        if isinstance(module, nn.Linear):
            init.normal_(module.weight, std=1 / math.sqrt(module.in_features))
            init.zeros_(module.bias)


def build_text_student(
    used_ids: Iterable[int],
    dim: int,
    tokenizer_size: int,
    *,
    hidden: int = 256,
    layers: int = 4,
    heads: int | None = None,
    longest: int = 128,
    output_scale: float = 1.0,
    dropout: float = 0.1,
    seed: int = 0,
) -> TextStudent:
    """A text student that has not been distilled yet, on the CPU, in float32, in evaluation mode.

    Args:
        used_ids: ids of the teacher's tokenizer that occur in the captions; order and repetition do not matter.
        dim: k. tokenizer_size: all ids are below it.
        hidden, layers, heads, longest, output_scale, dropout: see `TextStudentConfig`; heads of 64 by default.
        seed: of its random weights.

    Raises:
        UserError: an id is not below `tokenizer_size`, or `heads` does not divide `hidden`.
    """
    ids = sorted(set(used_ids))
    if ids and not 0 <= ids[0] <= ids[-1] < tokenizer_size:
        wrong = ids[0] if ids[0] < 0 else ids[-1]
        raise UserError(f"token id {wrong}: the tokenizer has {tokenizer_size}; use the teacher's own tokenizer")
    heads = heads or max(1, hidden // 64)
    if hidden % heads:
        raise UserError(f"text student: {heads} heads do not divide a width of {hidden}; take a multiple of {heads}")
    config = TextStudentConfig(
        tokenizer_size=tokenizer_size, vocabulary=FIRST + len(ids), dim=dim, hidden=hidden, layers=layers,
        heads=heads, longest=longest, output_scale=output_scale, dropout=dropout,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = TextStudent(config)
    model.lookup[torch.tensor(ids, dtype=torch.int64)] = FIRST + torch.arange(len(ids))
    model.train(False)
    return model
