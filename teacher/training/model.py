"""The module that trains: encoder, neck and objective behind one `forward`, so that any wrapper of modules works."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from teacher.batch import Batch
from teacher.encoder import Encoder
from teacher.objective import Neck, TermContext, evaluate_terms
from teacher.settings import Objective
from teacher.training.gather import gather_embeddings, gather_labels, is_distributed


class TrainableTeacher(nn.Module):
    """Batch -> loss.

    Args:
        encoder: with its trainable weights marked by `requires_grad`.
        neck: for the training people.
        objective: the recipe's section.
        after_neck: whether the embedding is read after the neck; what is compared is what will be stored.
        share_prefix: whether the prompts' common beginnings pass the language model once per batch.
    """

    def __init__(
        self,
        encoder: Encoder,
        neck: Neck,
        objective: Objective,
        *,
        after_neck: bool = False,
        share_prefix: bool = False,
    ) -> None:
        super().__init__()
        self.share_prefix = share_prefix
        self.encoder, self.neck, self.objective, self.after_neck = encoder, neck, objective, after_neck
        if not objective.id.weight:
            neck.requires_grad_(False)

    def forward(
        self,
        batch: Batch,
        people: Tensor,
        progress: float = 0.0,
        *,
        task: str = "loss",
        gradient: Tensor | None = None,
        neck_gradients: tuple[Tensor, ...] = (),
    ) -> dict[str, Any]:
        """The loss of a batch, or one of the steps that it is cut into (`teacher.training.chunking`).

        Args:
            batch: the samples of this process. people: int64 [B], whom they show.
            progress: share of the training that is done.
            task: "loss": the objective over all processes. "embed": only the embeddings. "surrogate": a scalar whose
                derivative by the weights is that of the loss, given the loss's `gradient` by these embeddings.
            gradient: [B, D]. neck_gradients: of the neck's trainable weights, given once per step.

        Returns:
            {"loss", "terms"}, {"embeddings"} or {"loss"}.
        """
        embeddings = self.encoder(batch, shared=self.share_prefix)
        if task == "embed":
            return {"embeddings": embeddings}
        if task == "surrogate":
            assert gradient is not None
            loss = (embeddings * gradient).sum()
            weights = self.neck_weights()
            for weight, its in zip(weights, neck_gradients or [None] * len(weights), strict=True):
                loss = loss + (weight * its).sum() if its is not None else loss + weight.sum() * 0
            return {"loss": loss + self._every_weight()}
        total, terms = self.score(embeddings, people, batch["modalities"], progress)
        return {"loss": total + self._every_weight(), "terms": terms}

    def score(
        self, embeddings: Tensor, people: Tensor, modalities: Tensor, progress: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The objective over the embeddings [B, D] of all processes, and its terms."""
        everybody = gather_embeddings(embeddings)
        with torch.autocast(everybody.device.type, enabled=False):
            features = self.neck(everybody)
        compared = features if self.after_neck else everybody
        context = TermContext(compared, gather_labels(people), gather_labels(modalities), features, self.neck)
        return evaluate_terms(self.objective, context, progress)

    def neck_weights(self) -> tuple[nn.Parameter, ...]:
        """The neck's weights that train."""
        return tuple(weight for weight in self.neck.parameters() if weight.requires_grad)

    def _every_weight(self) -> Tensor | float:
        """0, by way of every trainable weight, so that each has a gradient on each process.

        DistributedDataParallel waits for all of them, but some take no part in some batches: the vision tower in one
        of sentences, the last layers of a tower that is read before them.
        """
        if not is_distributed():
            return 0.0
        return torch.stack([weight.sum() for weight in self.parameters() if weight.requires_grad]).sum() * 0
