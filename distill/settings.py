"""Everything that a student is distilled by: the form of a recipe. Every run writes it in full beside its output."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from teacher.settings import (
    Augmentation,
    Count,
    Identity,
    Image,
    NotNegative,
    Positive,
    Sampling,
    Section,
    Term,
    Training,
    Triplet,
)

FULL_BASES = ("full", "phi-s")
"""Bases that have as many coordinates as the teacher's embedding: a rank makes no sense with them."""


def parse_rank(rank: object) -> object:
    """A rank as the command line or a recipe gives it: 16 and "16" are 16; "auto" and "energy:0.95" stay.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(rank, int) and not isinstance(rank, bool):
        return _positive(rank)
    text = str(rank).strip()
    if re.fullmatch("[0-9]+", text):
        return _positive(int(text))
    kind, _, share = text.partition(":")
    if text == "auto" or (kind == "energy" and re.fullmatch(r"[0-9]*\.?[0-9]+", share) and 0 < float(share) <= 1):
        return text
    raise ValueError(f'expected "auto", a share of the variance such as "energy:0.95", or a number, found {rank!r}')


def _positive(rank: int) -> int:
    if rank < 1:
        raise ValueError(f"expected a rank of at least 1, found {rank}")
    return rank


Rank = Annotated[int | str, BeforeValidator(parse_rank)]


class Spectrum(Section):
    """Which coordinates of the teacher the student aims at.

    Attributes:
        rank: how many. "auto": the fewest with which the projected teacher retrieves as well as the whole one;
            "energy:0.95": the fewest that hold this share of the variance; or a number.
        basis: "principal": directions of most variance; "between": of the people's means; "random": an orthonormal
            control; "full": the embedding itself; "phi-s": RADIO's isotropic standardisation (arXiv 2410.01680).
        centre: what is taken off first: one mean ("shared"), one of each modality, or nothing.
        normalise: what becomes of an embedding before that: length 1 ("unit"), or mean 0 and variance 1 over its
            entries ("layer_norm").
        min_rank, max_rank, multiple: bounds of a rank that is chosen, and what it is rounded up to a multiple of.
        tolerance: for "auto", points of mAP that the projected teacher may lose.
        seed: of the random basis.
    """

    rank: Rank = "auto"
    basis: Literal["principal", "between", "random", "full", "phi-s"] = "principal"
    centre: Literal["shared", "modality", "none"] = "shared"
    normalise: Literal["unit", "layer_norm"] = "unit"
    min_rank: Count = 8
    max_rank: Count = 256
    multiple: Count = 8
    tolerance: NotNegative = 0.1
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _fits_together(self) -> Spectrum:
        if self.min_rank > self.max_rank:
            raise ValueError(f"min_rank {self.min_rank} is above max_rank {self.max_rank}")
        if self.basis in FULL_BASES and self.rank != "auto":
            raise ValueError(f"rank {self.rank}: basis {self.basis} keeps every coordinate; leave rank at auto")
        return self

    @property
    def energy(self) -> float | None:
        """The share of the variance that `rank` asks for, if it asks for one."""
        return float(self.rank.partition(":")[2]) if isinstance(self.rank, str) and self.rank != "auto" else None


class StudentSettings(Section):
    """How the student named on the command line is built.

    Attributes:
        pooling: how tokens become one vector; null: the usual one of its family.
        stems: one patch embedding for all image modalities, or one of each.
        head: "orthogonal" keeps the columns of the head's matrix orthonormal in training (arXiv 2403.06213).
        init: folder or hub id of weights to begin with; null: random.
        drop_path: share of the residual branches that are left out in training (arXiv 1603.09382).
    """

    pooling: Literal["cls", "mean", "cls_mean", "parts"] | None = None
    stems: Literal["shared", "modality"] = "shared"
    head: Literal["linear", "orthogonal"] = "linear"
    init: str | None = None
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Pcm(Term):
    """Settings of `distill.losses.pcm`: components weigh variance ** -gamma; 0 as in PCA, 1 all alike."""

    gamma: Annotated[float, Field(ge=-2, le=2)] = 0.0


class Relation(Term):
    """Settings of `distill.losses.relation`.

    Attributes:
        against: relations among the targets, or among the teacher's whole embeddings.
        centred: with "teacher": take the batch's mean off the embeddings first, as it was off the targets.
        cross: how much a pair of two modalities counts beside one within a modality.
    """

    against: Literal["target", "teacher"] = "target"
    centred: bool = True
    cross: NotNegative = 1.0


class Channel(Term):
    """Settings of `distill.losses.channel`: how two correlation matrices are compared."""

    form: Literal["mse", "cosine"] = "mse"


class Relational(Term):
    """Settings of `distill.losses.sp`: relations among the targets, or among the teacher's whole embeddings."""

    against: Literal["target", "teacher"] = "teacher"


class Rkd(Relational):
    """Settings of `distill.losses.rkd`: weights of the two parts."""

    distance: NotNegative = 1.0
    angle: NotNegative = 2.0


class Contrast(Term):
    """Settings of `distill.losses.crd` and `.anchors`."""

    temperature: Positive = 0.07


class BatchSvd(Term):
    """Settings of `distill.losses.batch_svd`: how many singular vectors, and how projections are compared."""

    rank: Count = 50
    form: Literal["mse", "cosine"] = "mse"


class Objective(Section):
    """The terms by name; a term with weight 0 is not computed."""

    pcm: Annotated[Pcm, Field(description="squared error in the teacher's principal coordinates")] = Pcm(weight=0)
    relation: Annotated[
        Relation, Field(description="cosines between the batch's samples, within and across modalities")
    ] = Relation(weight=0)
    id: Annotated[Identity, Field(description="classification of the training people over a BNNeck")] = Identity(
        weight=0
    )
    triplet: Annotated[Triplet, Field(description="batch-hard triplets of the training people")] = Triplet(weight=0)
    mse: Annotated[Term, Field(description="squared distance to the target, both of length 1")] = Term(weight=0)
    cosine: Annotated[Term, Field(description="1 - cosine with the target")] = Term(weight=0)
    rkd: Annotated[Rkd, Field(description="distances and angles between the batch's samples")] = Rkd(weight=0)
    sp: Annotated[Relational, Field(description="similarity-preserving: row-normalised Gram matrices")] = Relational(
        weight=0
    )
    vkd: Annotated[Term, Field(description="smooth L1 to the layer-normed teacher")] = Term(weight=0)
    crd: Annotated[Contrast, Field(description="InfoNCE between student and teacher of one sample")] = Contrast(
        weight=0
    )
    channel: Annotated[Channel, Field(description="correlations between the embedding's channels")] = Channel(weight=0)
    batch_svd: Annotated[BatchSvd, Field(description="projections on the batch's top singular vectors")] = BatchSvd(
        weight=0
    )
    anchors: Annotated[Contrast, Field(description="distribution of similarities to the teacher's embeddings")] = (
        Contrast(weight=0)
    )

    @property
    def weighted(self) -> tuple[str, ...]:
        """Names of the terms that are computed."""
        return tuple(name for name in type(self).model_fields if getattr(self, name).weight > 0)


class StudentImage(Image):
    """The student's input size in pixels."""

    height: Count = 256
    width: Count = 128


class TextSettings(Section):
    """The text student: whether there is one, and its transformer encoder over the teacher's tokenizer.

    Attributes:
        train: distil one too. layers, width, heads: of the encoder. caption_tokens: longer captions are cut.
    """

    train: bool = False
    layers: Count = 4
    width: Count = 256
    heads: Count = 4
    caption_tokens: Count = 128

    @model_validator(mode="after")
    def _heads_divide_width(self) -> TextSettings:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self


class DistillTraining(Training):
    """How it is trained; what is not named here is as in `teacher.settings.Training`.

    Attributes:
        lr: learning rate of AdamW at its highest.
        ema: the weights that are kept are a moving average with this decay; 0: the last ones.
        layer_decay: factor on the learning rate from each layer to the one below (arXiv 2106.08254); null: none.
    """

    epochs: Annotated[tuple[Count, ...], Field(min_length=1)] = (50,)
    weight_decay: NotNegative = 0.05
    lr: Positive = 1e-3
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = None

    @model_validator(mode="after")
    def _has_no_stages(self) -> DistillTraining:
        if len(self.epochs) > 1:
            raise ValueError(f"epochs: {len(self.epochs)} stages; a student trains in one, and terms have schedules")
        if self.chunk:
            raise ValueError("chunk: a student's batch passes whole; leave it at 0 and use recompute to save memory")
        return self


class DistillRecipe(Section):
    """A whole method: what of the teacher the student aims at, how the student is built, and by what it learns.

    Attributes:
        views: stored augmented views of each training image whose teacher coordinates are the targets; 0: the targets
            are those of the clean image, whatever view the student sees.
    """

    name: str
    image: StudentImage = StudentImage()
    spectrum: Spectrum = Spectrum()
    student: StudentSettings = StudentSettings()
    objective: Objective
    sampling: Sampling = Sampling(people=16, per_person=4)
    augmentation: Augmentation = Augmentation(erase=0.25, channel=0)
    views: Annotated[int, Field(ge=0)] = 0
    text: TextSettings = TextSettings()
    training: DistillTraining = DistillTraining()

    @model_validator(mode="after")
    def _views_differ(self) -> DistillRecipe:
        how = self.augmentation
        if self.views and not any((how.flip, how.pad, how.erase, how.grey, how.channel, how.brightness)):
            raise ValueError(
                f"views: {self.views}, but nothing is augmented, so all are the image itself; set augmentation, or "
                "take the recipe adaptive-svd-views"
            )
        return self

    @model_validator(mode="after")
    def _learns_something(self) -> DistillRecipe:
        if not self.objective.weighted:
            raise ValueError("objective: every term has weight 0; nothing would be learnt")
        return self
