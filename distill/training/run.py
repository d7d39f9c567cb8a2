"""`distill run` from a store and a student's name to a checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from typing import Any

from torch.nn.utils import parametrizations, parametrize
from transformers import TrainingArguments, set_seed

from distill.data.loading import DistillCollator
from distill.data.targets import Targets
from distill.embedder import StudentEmbedder
from distill.recipe import dump_recipe
from distill.settings import DistillRecipe
from distill.spectrum.analysis import Analysis
from distill.spectrum.make import make_subspace
from distill.training.interrupt import Interruptible
from distill.training.model import TrainableStudent
from distill.training.trainer import DistillTrainer
from distill.training.validation import StudentValidation
from reid.dataset import Dataset
from reid.embeddings import EmbeddingStore
from reid.errors import UserError
from reid.modality import Modality
from reid.sample import Sample, Split
from reid.sampling import PeopleBatches
from reid.subspace import Subspace
from student.build import build_student
from student.counting import count
from student.sentences import SentenceReader
from student.text import build_text_student
from teacher.data.loading import TrainingLoader
from teacher.training.arguments import describe_device, schedule_evaluation, training_arguments
from teacher.training.callbacks import EarlyStop, Progress
from teacher.training.loop import best_scores, close_logs
from teacher.training.prepare import recompute
from teacher.training.state import newest_checkpoint, open_training, working_folder

_WIDE = 2048
"""Inputs of an orthogonal head from which on it costs more than a small student."""


@dataclass
class Source:
    """What is distilled.

    Attributes:
        store: the teacher's embeddings. dataset: whose samples they are of.
        spec: what the user called the data set. checkpoint: the teacher's folder, if it is known.
        tokenizer: gives the teacher's tokenizer, for a text student.
        views: stores of augmented views of the training images, see `distill.data.views`.
    """

    store: EmbeddingStore
    dataset: Dataset
    spec: str = ""
    checkpoint: Path | None = None
    tokenizer: Callable[[], Any] | None = None
    views: Sequence[EmbeddingStore] = ()


@dataclass
class Run:
    """A student before and after its training.

    Attributes:
        source: what is distilled. recipe: in full. name: of the student in the zoo.
        subspace: whose coordinates it aims at. analysis: how they were chosen.
        module: student, text student, neck. reader: of sentences.
        samples: what is trained on. people: person_id -> number.
        scores: of the checkpoint that was kept, on the validation people.
        log: of the training.
    """

    source: Source
    recipe: DistillRecipe
    name: str
    subspace: Subspace
    analysis: Analysis
    module: TrainableStudent
    reader: SentenceReader | None
    samples: Sequence[Sample]
    people: dict[str, int]
    scores: dict[str, float] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)
    steps: int = 0
    best_step: int | None = None


def distil(
    source: Source,
    name: str,
    recipe: DistillRecipe,
    out: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> Run | None:
    """Train a student and write its checkpoint.

    Args:
        source: the teacher's store and the data. name: of the student in the zoo. recipe: the method.
        out: the folder to make; `<out>.training` holds the state until then.
        device: "auto", "cpu" or "cuda". resume: go on with an interrupted training. overwrite: begin anew, and replace
            what lies at `out` when this one is finished.
        say: prints a line; silent on all processes but the first.

    Returns:
        The run; None on all processes but the first.

    Raises:
        UserError: something the user can cure.
        KeyboardInterrupt: after Ctrl-C; a checkpoint was written.
    """
    if out.exists() and not overwrite:
        raise UserError(f"{out}: already exists; choose another name, or --overwrite it")
    arguments = training_arguments(recipe.training, working_folder(out), device)
    first = arguments.process_index == 0
    tell = say if first else (lambda line: None)
    tell(describe_device(arguments, device))
    set_seed(recipe.training.seed)
    run = prepare(source, name, recipe, tell)
    run.module.to(arguments.device)
    trainer = make_trainer(run, arguments, first)
    _describe(run, trainer, tell)
    about = {
        "store": source.store.manifest.sha256,
        "data": source.dataset.fingerprint(),
        "student": name,
        "views": " ".join(store.manifest.sha256 for store in source.views),
    }
    with arguments.main_process_first(local=False):
        if first and overwrite:
            shutil.rmtree(working_folder(out), ignore_errors=True)
        # The first process decides; the others find a training that is there already.
        described = dump_recipe(recipe)
        state = open_training(out, described, about, resume=resume or not first, processes=arguments.world_size)
    if resume:
        tell(f"going on from {state}" if state else "note: nothing to go on from; beginning at the beginning")
    try:
        with Interruptible(trainer) as ctrl_c:
            trainer.train(resume_from_checkpoint=None if state is None else str(state))
    except UserError:
        close_logs(trainer.callback_handler.callbacks)
        # Without a state there is nothing to go on from, and the cure may change the data.
        if first and newest_checkpoint(working_folder(out), arguments.world_size) is None:
            shutil.rmtree(working_folder(out), ignore_errors=True)
        raise
    if ctrl_c.caught:
        close_logs(trainer.callback_handler.callbacks)
        tell(f"stopped after step {trainer.state.global_step:,}; go on with --resume")
        raise KeyboardInterrupt
    if not first:
        return None
    finish(run, trainer)
    return run


def prepare(source: Source, name: str, recipe: DistillRecipe, say: Callable[[str], None]) -> Run:
    """Find the subspace and build what trains."""
    dataset, store = source.dataset, source.store
    samples = dataset.select(Split.TRAIN)
    if not samples:
        raise UserError(f"{dataset.root}: has no samples of split train; nothing to train on")
    if not any(sample.modality.is_image for sample in samples):
        raise UserError(f"{dataset.root}: has no image of split train; a student looks at images")
    subspace, analysis = make_subspace(store, recipe.spectrum)
    for warning in analysis.warnings:
        say(f"warning: {warning}")
    say(f"aiming at {subspace.rank} of {subspace.dim} coordinates: {analysis.reason}")
    people = {person: number for number, person in enumerate(sorted({s.person_id for s in samples}))}
    student = build_student(
        name,
        subspace.rank,
        height=recipe.image.height,
        width=recipe.image.width,
        init=recipe.student.init,
        pooling=recipe.student.pooling,
        stems=recipe.student.stems,
        # Outputs of the head at unit scale are then as large as the coordinates.
        output_scale=sqrt(float(subspace.variances.mean())),
        drop_path=recipe.student.drop_path,
        seed=recipe.training.seed,
    )
    size = count(student)
    say(f"student: {name}, {size.parameters:,} weights, {size.gflops:.2f} GFLOPs an image")
    reader, text = None, None
    if recipe.text.train:
        if source.tokenizer is None:
            raise UserError("text.train: needs the teacher's tokenizer; give --teacher a checkpoint, not a store alone")
        reader = SentenceReader(source.tokenizer(), recipe.text.caption_tokens)
        told = [reader.tokens(sample) for sample in samples if sample.modality is Modality.TEXT]
        if not told:
            raise UserError(f"text.train: {dataset.root} has no sentence of split train; set it to false")
        text = build_text_student(
            sorted({token for tokens in told for token in tokens}),
            subspace.rank,
            len(reader.tokenizer),
            layers=recipe.text.layers,
            hidden=recipe.text.width,
            heads=recipe.text.heads,
            longest=recipe.text.caption_tokens,
            output_scale=student.config.output_scale,
            seed=recipe.training.seed,
        )
        say(f"text student: {sum(w.numel() for w in text.parameters()):,} weights")
    if recipe.student.head == "orthogonal":
        if student.head.in_features > _WIDE:
            say(
                f"note: an orthogonal head inverts a matrix of {student.head.in_features:,} rows in every step; "
                "student.pooling=mean makes it smaller"
            )
        # By default torch keeps signs in the weights' diagonal, which decay and averaging would make 0.
        parametrizations.orthogonal(student.head, orthogonal_map="cayley")
    if recipe.training.recompute:
        recompute(student)
    module = TrainableStudent(student, subspace, recipe.objective, len(people), text)
    return Run(source, recipe, name, subspace, analysis, module, reader, samples, people)


def make_trainer(run: Run, arguments: TrainingArguments, first: bool) -> DistillTrainer:
    """The Trainer with its batches, validation and callbacks."""
    recipe, how = run.recipe, run.recipe.training
    batches = PeopleBatches(
        run.samples,
        recipe.sampling.people,
        recipe.sampling.per_person,
        seed=how.seed,
        process=arguments.process_index,
        processes=arguments.world_size,
    )
    collator = DistillCollator(
        run.samples,
        Targets(run.source.store, run.samples, run.source.views),
        run.module.student.preprocessing,
        recipe.augmentation,
        how,
        run.people,
        run.reader,
    )
    loader = TrainingLoader(batches, run.samples, collator, how.workers)
    validation = StudentValidation(run.source.dataset, run.source.store, run.subspace)
    embedder = StudentEmbedder(run.module.student, run.module.text, run.reader, cache=how.cache)
    schedule_evaluation(arguments, how, len(loader), bool(validation.protocols))
    callbacks: list[Any] = [Progress()] if first else []
    if validation.protocols and how.patience:
        callbacks.append(EarlyStop(how.patience))
    return DistillTrainer(run.module, arguments, recipe, loader, validation, embedder, callbacks)


def finish(run: Run, trainer: DistillTrainer) -> None:
    """The averaged weights of the best checkpoint become the student's, and what is to be told of it is kept."""
    with trainer.average.applied():
        kept = {name: value.clone() for name, value in run.module.state_dict().items()}
    run.module.load_state_dict(kept)
    if parametrize.is_parametrized(run.module.student.head):
        parametrize.remove_parametrizations(run.module.student.head, "weight")
    run.module.eval()
    run.scores = best_scores(trainer)
    run.log = list(trainer.state.log_history)
    run.steps, run.best_step = trainer.state.global_step, trainer.state.best_global_step


def _describe(run: Run, trainer: DistillTrainer, say: Callable[[str], None]) -> None:
    counts = {m: sum(s.modality is m for s in run.samples) for m in Modality}
    parts = ", ".join(f"{number:,} {modality}" for modality, number in counts.items() if number)
    say(f"training on {len(run.people):,} people: {parts}")
    batches = trainer.loader.batches
    if batches.people != run.recipe.sampling.people:
        say(f"note: batches of {batches.people} people instead of {run.recipe.sampling.people}: there are no more")
    if trainer.validation.protocols:
        people = len({s.person_id for s in trainer.validation.samples})
        names = ", ".join(p.name for p in trainer.validation.protocols)
        told = "by the text student" if run.module.text is not None else "as the teacher reads them"
        say(f"validating on {people:,} other people by {names}; sentences {told}")
    else:
        say("note: nobody to validate on (no samples of split val), so the last checkpoint is kept, not the best")
