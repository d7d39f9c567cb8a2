"""Everything that a teacher is trained by: the form of a recipe. Every run writes it in full beside its output."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from reid.modality import Modality

ITEM = "{item}"
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Stage = Annotated[int, Field(ge=0)]
Part = Literal["vision", "connector", "language"]


class Section(BaseModel):
    """A part of a recipe; an unknown key is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Image(Section):
    """The input size in pixels. `mean` and `std` come from the base model."""

    height: Count = 336
    width: Count = 196


class Prompts(Section):
    """What the model is told: a system message, and for each modality one message with the place of the item.

    `text` is null where a method reads images only. A caption of more than `caption_tokens` tokens is cut; how many
    were is reported.
    """

    system: str
    rgb: str
    ir: str
    sketch: str
    text: str | None
    caption_tokens: Count = 128

    @field_validator("rgb", "ir", "sketch", "text")
    @classmethod
    def _has_one_item(cls, message: str | None) -> str | None:
        if message is not None and message.count(ITEM) != 1:
            raise ValueError(f"expected {ITEM} exactly once, where the image or the caption stands")
        return message

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Those that the model is told anything for, and so can read."""
        return tuple(modality for modality in Modality if modality.is_image or self.text is not None)

    def message(self, modality: Modality) -> tuple[str, str]:
        """What stands before and after the item."""
        before, _, after = str(getattr(self, modality.value)).partition(ITEM)
        return before, after


class Interaction(Section):
    """Settings of `teacher.readout.interaction`: how the semantic token meets the visual tokens.

    Attributes:
        kind: "self": all tokens attend to all (Semantic-Guided Interaction); "cross": the semantic token asks, the
            visual tokens answer; "none": the semantic token stays what it was.
        layers, heads: of the transformer. ratio: width of its MLPs by the width of the tokens.
        places: a learnt vector for the place of each visual token is added.
    """

    kind: Literal["self", "cross", "none"] = "self"
    layers: Count = 4
    heads: Count = 8
    ratio: Positive = 4
    places: bool = False


class Readout(Section):
    """Where the embedding is read.

    Attributes:
        kind: "last_token": the hidden state, after the final norm, of the prompt's last token, from which the model
            would begin its answer. "semantic_token": the same state, refined with the visual tokens.
            "image_latents": the mean of the hidden states at the places of the item, visual tokens or words.
            "visual_tokens": the mean of the visual tokens; the language model is not run.
        embedding: whether the store holds this vector or what the BNNeck makes of it.
        token, interaction: of "semantic_token". token: "generated" by the language model, or a "learnt" vector in its
            place.
        stop_gradient: the language model passes no gradient on; the rest of the readout does.
        css: where an embedding of the camera is added: to the "patches" of the vision tower, to the semantic "token",
            or nowhere. Cameras that were not trained on have the mean of those that were.
    """

    kind: Literal["last_token", "semantic_token", "image_latents", "visual_tokens"] = "last_token"
    embedding: Literal["before_neck", "after_neck"] = "before_neck"
    token: Literal["generated", "learnt"] = "generated"
    stop_gradient: bool = False
    interaction: Interaction = Interaction()
    css: Literal["patches", "token", "none"] = "none"

    @model_validator(mode="after")
    def _belongs_together(self) -> Readout:
        if self.css == "token" and self.kind != "semantic_token":
            raise ValueError(f"css: token goes with kind semantic_token, which has one; {self.kind} takes patches")
        if self.kind == "semantic_token" and self.token == "learnt" and self.interaction.kind == "none":
            raise ValueError("token: a learnt one without an interaction would be the same for every image")
        return self

    @property
    def images_only(self) -> bool:
        """Whether it is read of visual tokens, which a sentence has not."""
        return self.kind == "visual_tokens" or (self.kind == "semantic_token" and self.interaction.kind != "none")

    def describe(self) -> str:
        """All that tells it from another, in short; of the plain ones no more than kind and embedding."""
        words: list[str] = [self.kind, self.embedding]
        if self.kind == "semantic_token":
            how = self.interaction
            words += [self.token, f"{how.kind} x {how.layers}"]
        return ", ".join([*words, *([f"css {self.css}"] if self.css != "none" else [])])


class Level(Section):
    """A LoRA level: some layers of a part of the model, and how they are adapted.

    Attributes:
        part: of the model. layers: "all", or ranges from 0 such as "0-5" or "0,2,4"; for the connector "all".
        modules: which of its linear layers.
        rank, alpha, dropout, dora: of LoRA (arXiv 2106.09685, 2402.09353).
        lr: learning rate at its highest.
        stage: the stage of training from which on it trains; 0 is the first.
        until: the last stage in which it trains; null: to the end.
    """

    part: Part
    layers: Annotated[str, BeforeValidator(lambda layers: str(layers) if isinstance(layers, int) else layers)] = "all"
    modules: Annotated[tuple[Literal["attention", "mlp"], ...], Field(min_length=1)] = ("attention", "mlp")
    rank: Count = 16
    alpha: Positive = 64
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    dora: bool = True
    lr: Positive = 1e-4
    stage: Stage = 0
    until: Stage | None = None

    @field_validator("layers")
    @classmethod
    def _are_ranges(cls, layers: str) -> str:
        if layers != "all":
            if not re.fullmatch(r"[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*", layers):
                raise ValueError('expected "all" or ranges such as "0-5,8"')
            if any(int(first) > int(last) for first, _, last in (r.partition("-") for r in layers.split(",")) if last):
                raise ValueError(f"{layers} has a range that ends before it begins")
        return layers


class Whole(Section):
    """A part of the model of which every weight trains.

    Attributes:
        part: of the model.
        lr: learning rate at its highest.
        stage, until: the first and the last stage of training in which it trains; until null: to the end.
    """

    part: Part
    lr: Positive = 1e-5
    stage: Stage = 0
    until: Stage | None = None


class Tuning(Section):
    """What trains, besides the neck and what the readout brings.

    Attributes:
        kind: "lora": LoRA levels, and perhaps whole parts; "parts": whole parts; "full": every weight; "frozen": none.
        levels: name -> LoRA level.
        whole: name -> part of which every weight trains.
        lr: learning rate of all weights, for "full".
        readout_lr: of the weights that the readout brings.
        quantise: load the base in 4 bits (QLoRA, arXiv 2305.14314); needs bitsandbytes and a GPU.
    """

    kind: Literal["lora", "parts", "full", "frozen"] = "lora"
    levels: dict[str, Level] = {}
    whole: dict[str, Whole] = {}
    lr: Positive = 1e-5
    readout_lr: Positive = 1e-4
    quantise: bool = False

    @property
    def used_levels(self) -> dict[str, Level]:
        """The LoRA levels, if the kind takes any."""
        return self.levels if self.kind == "lora" else {}

    @property
    def used_parts(self) -> dict[str, Whole]:
        """The whole parts, if the kind takes any."""
        return self.whole if self.kind in ("lora", "parts") else {}

    @model_validator(mode="after")
    def _has_what_it_trains(self) -> Tuning:
        if self.kind == "lora" and not self.levels:
            raise ValueError("levels: none given; LoRA needs at least one")
        if self.kind == "parts" and not self.whole:
            raise ValueError("whole: none given; kind parts needs at least one")
        if self.quantise and (self.kind != "lora" or self.whole):
            raise ValueError(f"quantise: works with kind lora alone, not with {'whole' if self.whole else self.kind}")
        owners: dict[str, str] = {}
        for name, entry in self.used_parts.items():
            if owners.setdefault(entry.part, name) != name:
                raise ValueError(f"whole.{name}: {entry.part} is in '{owners[entry.part]}' too; a part trains once")
            both = [level for level, its in self.used_levels.items() if its.part == entry.part]
            if both:
                raise ValueError(f"whole.{name}: {entry.part} has the LoRA level '{both[0]}'; choose one of the two")
        return self


class Term(Section):
    """A term of the objective: its weight, and how the weight changes over the training.

    `schedule` is a list of [share of the training, factor] between which the factor is interpolated. `stage` is the
    stage of training from which on it counts.
    """

    weight: NotNegative = 1.0
    schedule: tuple[tuple[Share, NotNegative], ...] = ()
    stage: Stage = 0

    @field_validator("schedule")
    @classmethod
    def _is_ordered(cls, schedule: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        if any(a[0] >= b[0] for a, b in pairwise(schedule)):
            raise ValueError("expected shares of the training in ascending order")
        return schedule

    def at(self, progress: float) -> float:
        """The weight when this share of the training is done."""
        if not self.schedule:
            return self.weight
        if progress <= self.schedule[0][0]:
            return self.weight * self.schedule[0][1]
        for (x0, y0), (x1, y1) in pairwise(self.schedule):
            if progress <= x1:
                return self.weight * (y0 + (y1 - y0) * (progress - x0) / (x1 - x0))
        return self.weight * self.schedule[-1][1]


class Identity(Term):
    """Settings of `teacher.objective.identity`."""

    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    scale: Positive | None = None


class Triplet(Term):
    """Settings of `teacher.objective.triplet`."""

    margin: NotNegative | None = 0.3


class Pairwise(Term):
    """Settings of `teacher.objective.sdm` and `.infonce`: temperature, and whether a modality pairs with itself too."""

    temperature: Positive = 0.05
    within: bool = False


class Objective(Section):
    """The terms by name; a term with weight 0 is not computed.

    `balance` is the lambda of MLLMReID, between saying and telling apart: `continuation` is multiplied by it, every
    other term by 1 - `balance`. null: neither is.
    """

    balance: Share | None = None
    id: Identity = Identity(weight=0)
    triplet: Triplet = Triplet(weight=0)
    sdm: Pairwise = Pairwise(weight=0)
    infonce: Pairwise = Pairwise(weight=0)
    centres: Term = Term(weight=0)
    continuation: Term = Term(weight=0)

    def terms(self) -> dict[str, Term]:
        """The terms that are computed, by name."""
        found = {name: getattr(self, name) for name in type(self).model_fields if name != "balance"}
        return {name: term for name, term in found.items() if term.weight > 0}

    def share(self, name: str) -> float:
        """What `balance` multiplies a term by."""
        if self.balance is None:
            return 1.0
        return self.balance if name == "continuation" else 1 - self.balance


class Sampling(Section):
    """A batch: so many people, and so many samples of each, dealt over modalities and cameras. Over all processes."""

    people: Count = 32
    per_person: Count = 4


class Augmentation(Section):
    """What happens to a training sample, by modality; probabilities unless said otherwise.

    Attributes:
        flip: images are mirrored.
        pad: pixels of a 128 pixels high image by which it is shifted at most, its edge repeated.
        erase: a rectangle is replaced by grey (arXiv 1708.04896).
        grey: RGB becomes grey, so that colour is not the only thing that tells people apart.
        channel: RGB becomes one of its channels, three times: channel exchange for infrared (arXiv 2110.00884).
        brightness: by up to this share, and contrast likewise.
        mask_tokens: share of a caption's tokens that are dropped.
    """

    flip: Share = 0.5
    pad: NotNegative = 8
    erase: Share = 0.5
    grey: Share = 0.1
    channel: Share = 0.1
    brightness: Share = 0.1
    mask_tokens: Share = 0.1

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Augmentation:
        if self.grey + self.channel > 1:
            raise ValueError(
                f"grey {self.grey} and channel {self.channel} exclude each other; their sum must be at most 1"
            )
        return self


class Training(Section):
    """How it is trained.

    Attributes:
        epochs: of each stage. An epoch sees as many samples as there are in the data set.
        max_steps: stop after so many steps, whatever `epochs` says; 0: no such limit. Stages and learning rates shrink
            with it.
        warmup: share of the training in which learning rates rise; each level's from its own stage on.
        scheduler: how they fall.
        weight_decay: of AdamW. neck_lr: learning rate of the neck. clip: largest norm of the gradient.
        precision: "bf16" computes in bfloat16; "auto": on GPUs that can.
        recompute: activations are recomputed in the backward pass instead of kept (gradient checkpointing). Where they
            are kept, the prompts' common beginnings pass the language model once per batch instead of once per sample.
        accumulate: batches per step; each batch has its own pairs.
        chunk: samples that pass the model at a time (GradCache, arXiv 2101.06983); 0: all of them. The gradients are
            those of the whole batch.
        evaluate_every: steps between validations; 0: at the end of each epoch.
        patience: validations without a better one after which training stops; 0: never.
        workers: processes that read images; 0: the training process itself.
        cache: MiB of decoded images that each process keeps in memory, and as much again for validation.
        log_every: steps between log lines.
        seed: everything random follows from it.
    """

    epochs: Annotated[tuple[Count, ...], Field(min_length=1)] = (10,)
    max_steps: Annotated[int, Field(ge=0)] = 0
    warmup: Share = 0.1
    scheduler: Literal["cosine", "linear", "constant"] = "cosine"
    weight_decay: NotNegative = 0.01
    neck_lr: Positive = 1e-3
    clip: NotNegative = 1.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    recompute: bool = False
    accumulate: Count = 1
    chunk: Annotated[int, Field(ge=0)] = 0
    evaluate_every: Annotated[int, Field(ge=0)] = 0
    patience: Annotated[int, Field(ge=0)] = 0
    workers: Annotated[int, Field(ge=0)] = 0
    cache: Annotated[int, Field(ge=0)] = 1024
    log_every: Count = 10
    seed: Annotated[int, Field(ge=0)] = 0


class Recipe(Section):
    """A whole method: what the model is told, where it is read, what trains, and by what."""

    name: str
    image: Image = Image()
    prompts: Prompts
    readout: Readout = Readout()
    tuning: Tuning
    objective: Objective
    sampling: Sampling = Sampling()
    augmentation: Augmentation = Augmentation()
    training: Training = Training()

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What it reads."""
        return self.prompts.modalities

    @model_validator(mode="after")
    def _fits_together(self) -> Recipe:
        last = len(self.training.epochs) - 1
        for place, entries in (("levels", self.tuning.levels), ("whole", self.tuning.whole)):
            for name, entry in entries.items():
                _check_stages(f"tuning.{place}.{name}", entry.stage, entry.until, last)
        for name, term in self.objective.terms().items():
            _check_stages(f"objective.{name}", term.stage, None, last)
        if self.readout.embedding == "after_neck" and not self.objective.id.weight:
            raise ValueError("readout.embedding: after_neck needs objective.id, which trains the neck")
        if not self.objective.terms():
            raise ValueError("objective: every term has weight 0; nothing would be learnt")
        if self.readout.images_only and self.prompts.text is not None:
            raise ValueError(f"prompts.text: {self.readout.kind} is read of visual tokens only; set it to null")
        if self.objective.continuation.weight and self.training.chunk:
            raise ValueError("training.chunk: objective.continuation takes whole batches; use training.accumulate")
        return self


def _check_stages(where: str, first: int, until: int | None, last: int) -> None:
    for key, stage in (("stage", first), ("until", until)):
        if stage is not None and stage > last:
            raise ValueError(f"{where}.{key}: {stage}, but training.epochs has stages 0 to {last}")
    if until is not None and until < first:
        raise ValueError(f"{where}.until: {until} is before stage {first}, in which it begins")
