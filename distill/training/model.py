"""The module that trains: students, neck and objective behind one `forward`, so that any wrapper of modules works."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from distill.objective import LossContext, evaluate_terms
from distill.settings import Objective
from reid.modality import Modality
from reid.subspace import Subspace
from student.model import StudentModel
from student.text import TextStudent
from teacher.batch import MODALITIES
from teacher.objective import Neck
from teacher.training.gather import gather_embeddings, gather_labels, is_distributed

TEXT = MODALITIES.index(Modality.TEXT)


class Projection(nn.Module):
    """`Subspace.project` on the device, in float32.

    Args:
        subspace: centre and basis.
    """

    mean: Tensor
    basis: Tensor

    def __init__(self, subspace: Subspace) -> None:
        super().__init__()
        self.layer_norm = subspace.normalise == "layer_norm"
        for name in ("mean", "basis"):
            self.register_buffer(name, torch.from_numpy(getattr(subspace, name)).float(), persistent=False)

    def forward(self, unit: Tensor, modalities: Tensor) -> Tensor:
        """[B, D] embeddings of length 1 and [B] modality codes -> [B, k] coordinates."""
        rows = functional.layer_norm(unit, unit.shape[1:], eps=0.0) if self.layer_norm else unit
        mean = self.mean if len(self.mean) == 1 else self.mean[modalities]
        return (rows - mean) @ self.basis


class TrainableStudent(nn.Module):
    """Batch -> loss.

    Args:
        student: for images.
        subspace: whose coordinates it aims at.
        objective: the recipe's section.
        people: how many there are to classify, if the objective does.
        text: for sentences; without one, a sentence stands in the batch as what the teacher makes of it, so that
            images learn their relations to sentences.
        scale: of the classifier's logits, see `teacher.objective.Neck`.
    """

    variances: Tensor

    def __init__(
        self,
        student: StudentModel,
        subspace: Subspace,
        objective: Objective,
        people: int,
        text: TextStudent | None = None,
    ) -> None:
        super().__init__()
        self.student, self.text, self.objective = student, text, objective
        self.projection = Projection(subspace)
        self.register_buffer("variances", torch.from_numpy(subspace.variances).float(), persistent=False)
        self.neck = Neck(subspace.rank, people, objective.id.scale) if objective.id.weight else None

    def forward(
        self,
        pixels: Tensor | None,
        sentences: dict[str, Tensor] | None,
        modalities: Tensor,
        people: Tensor,
        teacher: Tensor,
        progress: float = 0.0,
    ) -> dict[str, Any]:
        """The loss of a batch.

        Args:
            pixels: float32 [images, 3, H, W] of the rows that show one.
            sentences: input_ids and attention_mask [sentences, T] of the rows that tell one; None: none, or no text
                student.
            modalities: int64 [B]. people: int64 [B], whom they show.
            teacher: float32 [B, D] embeddings of length 1.
            progress: share of the training that is done.

        Returns:
            {"loss", "terms"}
        """
        target = self.projection(teacher, modalities)
        outputs = self._outputs(pixels, sentences, modalities, target)
        everybody = gather_embeddings(outputs)
        with torch.autocast(everybody.device.type, enabled=False):
            features = None if self.neck is None else self.neck(everybody)
        context = LossContext(
            student=everybody,
            target=gather_labels(target),
            teacher=gather_labels(teacher),
            people=gather_labels(people),
            modalities=gather_labels(modalities),
            variances=self.variances,
            neck=self.neck,
            features=features,
            learnt=None if self.text is not None else gather_labels(modalities) != TEXT,
        )
        total, terms = evaluate_terms(self.objective, context, progress)
        return {"loss": total + self._every_weight(), "terms": terms}

    def _outputs(
        self, pixels: Tensor | None, sentences: dict[str, Tensor] | None, modalities: Tensor, target: Tensor
    ) -> Tensor:
        """float32 [B, k]: what the students say, in the order of the batch."""
        outputs = target.clone()
        is_text = modalities == TEXT
        if pixels is not None:
            rows = (~is_text).nonzero()[:, 0]
            outputs = outputs.index_put((rows,), self.student(pixels, modalities[rows]).float())
        if sentences is not None and self.text is not None:
            outputs = outputs.index_put((is_text.nonzero()[:, 0],), self.text(**sentences).float())
        return outputs

    def _every_weight(self) -> Tensor | float:
        """0, by way of every weight, so that each has a gradient on each process, whatever its batch holds."""
        if not is_distributed():
            return 0.0
        return torch.stack([weight.sum() for weight in self.parameters() if weight.requires_grad]).sum() * 0
