"""A teacher: an encoder with its adapter and its neck, and everything that says what it is."""

from __future__ import annotations

from dataclasses import dataclass

from peft import PeftModel

from reid.modality import Modality
from teacher.backbone import Base
from teacher.encoder import Encoder
from teacher.objective import Neck
from teacher.settings import Recipe


@dataclass
class Teacher:
    """What embeds.

    Attributes:
        encoder: backbone and prompts.
        recipe: how it was, or would be, trained.
        base: the multimodal LLM underneath.
        neck: None before any training.
        adapter: None if the tuning was not LoRA, or was merged into the weights.
        merged: whether an adapter was merged into the weights.
        checkpoint: its folder; None for a bare base.
        identity: the checkpoint's manifest digest, or the base's digest.
        whole_weights: how many tensors were trained whole. whole_changed: how many of them differ from the base's.
    """

    encoder: Encoder
    recipe: Recipe
    base: Base
    neck: Neck | None = None
    adapter: PeftModel | None = None
    merged: bool = False
    checkpoint: str | None = None
    identity: str = ""
    whole_weights: int = 0
    whole_changed: int = 0

    @property
    def reads_all(self) -> bool:
        """Whether it reads every modality."""
        return set(self.encoder.modalities) == set(Modality)

    @property
    def readout_neck(self) -> Neck | None:
        """The neck, if the embedding is read after it."""
        return self.neck if self.recipe.readout.embedding == "after_neck" else None
