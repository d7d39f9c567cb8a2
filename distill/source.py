"""What `--teacher` names: a checkpoint, whose store is made if it is not there, or a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from distill.data.views import reuse_views
from distill.settings import DistillRecipe
from distill.training.run import Source
from reid.artifact import read_manifest
from reid.dataset import Dataset
from reid.datasets import open_dataset
from reid.embeddings import KIND as STORE
from reid.embeddings import EmbeddingStore
from reid.errors import UserError
from teacher.checkpoint import KIND as TEACHER
from teacher.checkpoint import load_teacher
from teacher.cli.options import choose_device
from teacher.embedding import digest_of, reuse_store
from teacher.teacher import Teacher

Say = Callable[[str], None]


def open_source(
    teacher: Path, dataset: Dataset | None = None, spec: str = "", *, device: str = "auto", say: Say = print
) -> Source:
    """The teacher's store and the data that belongs to it.

    Args:
        teacher: a teacher checkpoint or an embedding store.
        dataset: whose samples are distilled; None: the one that the store was made from. spec: what the user calls it.
        device: where a checkpoint embeds, if its store has to be made.
        say: prints a line.

    Raises:
        UserError: neither, or teacher and data do not belong together; what differs is named.
    """
    kind = read_manifest(teacher).kind
    if kind == TEACHER:
        if dataset is None:
            raise UserError(f"{teacher}: a checkpoint knows no data; name it with --data")
        store = _store_of(teacher, dataset, spec, device, say)
        return Source(store, _known(store, dataset, say), spec, teacher, lambda: _tokenizer(teacher))
    if kind != STORE:
        raise UserError(f"{teacher}: is an artifact of kind '{kind}'; expected a teacher checkpoint or its store")
    store = EmbeddingStore.open(teacher)
    if dataset is None:
        spec = str(store.manifest.details.get("dataset") or "")
        if not spec:
            raise UserError(f"{teacher}: does not say what data it is of; name it with --data")
        say(f"taking the data that {teacher} was made from, {spec}")
        dataset = open_dataset(spec)
    elif store.fingerprint.get("data", "") != dataset.fingerprint():
        raise UserError(
            f"{teacher}: was made from other data than {spec or dataset.root} (the data's fingerprint differs): give "
            "the data that it was made from, or --teacher the checkpoint"
        )
    checkpoint = _parent(store)
    dataset = _known(store, dataset, say)
    return Source(store, dataset, spec, checkpoint, None if checkpoint is None else lambda: _tokenizer(checkpoint))


def with_views(source: Source, recipe: DistillRecipe, *, device: str = "auto", say: Say = print) -> Source:
    """The source with the stores of the augmented views that the recipe asks for, made where they are not there.

    Raises:
        UserError: the store's teacher is not known, so nobody can look at the views.
    """
    if not recipe.views:
        return source
    if source.checkpoint is None:
        raise UserError(
            f"views {recipe.views}: {source.store.path} does not lead to its teacher, which has to see them; give "
            "--teacher the checkpoint"
        )
    seed, how, views = recipe.training.seed, recipe.augmentation, []
    about = digest_of([seed, how.model_dump()])[:8]
    teacher: Teacher | None = None
    for number in range(recipe.views):
        place = source.store.path.with_name(f"{source.store.path.name}-view-{number}-{about}")
        say(f"{'taking' if place.exists() else 'making'} the teacher's store of view {number}, {place}")
        teacher = teacher or _loaded(source.checkpoint, device)
        views.append(
            reuse_views(teacher, source.dataset, place, number, seed=seed, how=how, source=source.spec, say=say)
        )
    return replace(source, views=views)


def default_store(teacher: Path, dataset: Dataset, root: Path = Path("runs/store")) -> Path:
    """Where the store of a checkpoint and a data set lies if nothing else is said: a name that says whose it is."""
    return root / f"{teacher.name}-{read_manifest(teacher).sha256[:8]}-{dataset.fingerprint()[:8]}"


def _store_of(teacher: Path, dataset: Dataset, spec: str, device: str, say: Say) -> EmbeddingStore:
    place = default_store(teacher, dataset)
    say(f"{'taking' if place.exists() else 'making'} the teacher's store, {place}")
    return reuse_store(_loaded(teacher, device), dataset, place, source=spec, say=say)


def _known(store: EmbeddingStore, dataset: Dataset, say: Say) -> Dataset:
    """The samples whose embedding is in the store; what the store left out is told."""
    there = store.find([sample.sample_id for sample in dataset.samples]) >= 0
    if there.all():
        return dataset
    missing = [sample for sample, known in zip(dataset.samples, there, strict=True) if not known]
    counts = Counter(str(sample.modality) for sample in missing)
    told = ", ".join(f"{number:,} {modality}" for modality, number in sorted(counts.items()))
    say(f"note: {store.path} has no embedding of {told}; the student is taught without them")
    return replace(dataset, samples=tuple(s for s, known in zip(dataset.samples, there, strict=True) if known))


def _parent(store: EmbeddingStore) -> Path | None:
    """The checkpoint that a store was made with, if it still lies where it lay."""
    for parent in store.manifest.parents:
        place = (store.path / parent.path).resolve()
        try:
            if parent.kind == TEACHER and read_manifest(place).sha256 == parent.manifest_sha256:
                return place
        except UserError:
            continue
    return None


def _loaded(checkpoint: Path, device: str) -> Teacher:
    """The teacher in the precision that `teacher embed` takes by default."""
    where = choose_device(device)
    on_gpu = where.type == "cuda"
    return load_teacher(checkpoint, device=where, dtype=torch.bfloat16 if on_gpu else torch.float32, merge=not on_gpu)


def _tokenizer(teacher: Path) -> Any:
    return load_teacher(teacher).encoder.book.tokenizer
