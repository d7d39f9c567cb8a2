"""The module that trains: encoder, neck and objective behind one `forward`, so that any wrapper of modules works."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from teacher.batch import Batch
from teacher.encoder import Encoder, Said
from teacher.objective import Neck, Telling, TermContext, evaluate_terms
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
        begins: shares of the training with which its stages begin.
    """

    def __init__(
        self,
        encoder: Encoder,
        neck: Neck,
        objective: Objective,
        *,
        after_neck: bool = False,
        share_prefix: bool = False,
        begins: Sequence[float] = (0.0,),
    ) -> None:
        super().__init__()
        self.share_prefix, self.begins = share_prefix, begins
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
        embeddings, said = self.encoder.read_seen(batch, self.encoder.see(batch), shared=self.share_prefix)
        if task == "embed":
            return {"embeddings": embeddings}
        if task == "surrogate":
            assert gradient is not None
            loss = (embeddings * gradient).sum()
            weights = self.neck_weights()
            for weight, its in zip(weights, neck_gradients or [None] * len(weights), strict=True):
                loss = loss + (weight * its).sum() if its is not None else loss + weight.sum() * 0
            return {"loss": loss + self._every_weight()}
        total, terms = self.score(embeddings, people, batch["modalities"], progress, said)
        return {"loss": total + self._every_weight(), "terms": terms}

    def score(
        self, embeddings: Tensor, people: Tensor, modalities: Tensor, progress: float, said: Said | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The objective over the embeddings [B, D] of all processes and what this one is to say, and its terms."""
        everybody = gather_embeddings(embeddings)
        with torch.autocast(everybody.device.type, enabled=False):
            features = self.neck(everybody)
        compared = features if self.after_neck else everybody
        people, modalities = gather_labels(people), gather_labels(modalities)
        context = TermContext(compared, people, modalities, features, self.neck, self._telling(said))
        return evaluate_terms(self.objective, context, progress, self.begins)

    def _telling(self, said: Said | None) -> Telling | None:
        """DistributedDataParallel takes the mean over the processes, so each divides by the mean of their tokens."""
        if not self.objective.continuation.weight:
            return None
        counts = gather_labels(torch.tensor([0.0 if said is None else float(len(said.tokens))], device=self.device))
        if said is None or not len(said.tokens):
            return None
        return Telling(said.states, said.tokens, self.encoder.say, float(counts.mean()))

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.encoder.device

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
