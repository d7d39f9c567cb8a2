"""`teacher embed`: what a teacher knows of a data set, written to an embedding store."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed as dist
import transformers

from reid.artifact import MANIFEST, PARTIAL
from reid.dataset import Dataset
from reid.embeddings import EmbeddingStore, ShardPlan, StoreWriter
from reid.errors import UserError
from reid.modality import Modality
from reid.progress import progress_bar
from reid.protocol import Protocol
from reid.sample import Sample
from reid.table import SampleTable
from reid.trials import applies
from teacher.embedder import Embedder
from teacher.teacher import Teacher

_WAIT = timedelta(days=7)
"""How long a process waits for the others, which may have much more to do."""


def fingerprint(teacher: Teacher, dataset: Dataset) -> dict[str, str]:
    """Everything that the embeddings depend on, by name."""
    recipe = teacher.recipe
    return {
        "model": teacher.identity,
        "base": teacher.base.digest,
        "adapter": "merged into the weights" if teacher.merged else "beside the weights" if teacher.adapter else "none",
        "prompts": digest_of(recipe.prompts.model_dump()),
        "readout": recipe.readout.describe() + _cameras(teacher, dataset),
        "preprocessing": digest_of(teacher.encoder.backbone.preprocessing.to_dict()),
        "dtype": str(teacher.encoder.model.dtype).removeprefix("torch."),
        "data": dataset.fingerprint(),
        "transformers": transformers.__version__,
    }


def write_store(
    teacher: Teacher,
    dataset: Dataset,
    out: Path,
    *,
    samples: Sequence[Sample] | None = None,
    source: str = "",
    batch: int = 64,
    shard_rows: int = 1024,
    dtype: str = "float16",
    say: Callable[[str], None] = print,
) -> None:
    """Embed a data set, shard by shard; what is there already of the same store is kept.

    With `torchrun`, each process embeds its share of the shards.

    Args:
        teacher: in evaluation mode.
        dataset: for protocols and fingerprint. samples: those whose image decodes; all, if None.
        out: the store. source: where the data came from, for people.
        batch: samples per pass. shard_rows: samples per shard, also the unit of resuming.
        dtype: "float16" or "float32", as stored.
        say: prints a line.

    Raises:
        UserError: an image does not decode, an embedding is NaN, the disk is full (what is written stays), or `out`
            exists or was begun with something else.
    """
    chosen = list(dataset.samples if samples is None else samples)
    broken = len(dataset.samples) - len(chosen)
    chosen = _only_read(teacher, dataset, chosen, say)
    _suit_cameras(teacher, dataset, say)
    parents = [dataset.root, *([Path(teacher.checkpoint)] if teacher.checkpoint else [])]
    write_samples(
        Embedder(teacher.encoder, teacher.readout_neck, batch),
        chosen,
        out,
        fingerprint=fingerprint(teacher, dataset),
        writer={"command": "teacher embed", "recipe": teacher.recipe.name},
        parents=[parent for parent in parents if (parent / MANIFEST).is_file()],
        protocols=[p for p in dataset.protocols if teacher.reads_all or applies(p, SampleTable.of(chosen))],
        source=source,
        shard_rows=shard_rows,
        dtype=dtype,
        left_out=broken,
        say=say,
    )


def write_samples(
    embedder: Embedder,
    samples: Sequence[Sample],
    out: Path,
    *,
    fingerprint: Mapping[str, str],
    writer: Mapping[str, Any],
    parents: Sequence[Path],
    protocols: Sequence[Protocol] = (),
    source: str = "",
    shard_rows: int = 1024,
    dtype: str = "float16",
    left_out: int = 0,
    say: Callable[[str], None] = print,
) -> None:
    """Embed samples into a store, each process its share of the shards; what is there already is kept.

    Args:
        embedder: gives the embeddings. samples: in order.
        out, fingerprint, writer, parents, protocols, source, dtype, shard_rows: as for `reid.embeddings.StoreWriter`.
        left_out: samples whose image does not decode, for people. say: prints a line.

    Raises:
        UserError: as `write_store`.
    """
    width = embedder.encoder.backbone.width
    process, processes = _join()
    if process > 0:
        plan = ShardPlan(out.with_name(out.name + PARTIAL), samples, width, dtype, shard_rows)
        _wait()
        _embed_shards(embedder, plan, process, processes)
        return
    cut = embedder.encoder.book.captions([s.text or "" for s in samples if s.modality is Modality.TEXT])[1]
    if cut:
        say(f"note: {cut:,} captions are cut to {embedder.encoder.book.caption_tokens} tokens")
    store = StoreWriter(
        out,
        samples,
        width,
        fingerprint=fingerprint,
        writer=writer,
        protocols=protocols,
        dataset=source,
        parents=parents,
        dtype=dtype,
        shard_rows=shard_rows,
    )
    with store as plan:
        kept = len(plan) - len(plan.pending())
        if kept:
            say(f"going on: {kept} of {len(plan)} shards are there")
        _wait()
        _embed_shards(embedder, plan, process, processes)
    more = f"; left out {left_out:,} whose image does not decode" if left_out else ""
    say(f"wrote {out}: {len(samples):,} samples, {plan.dim} dimensions{more}")


def recompute_with(teacher: Teacher, dataset: Dataset, batch: int = 64) -> Callable[[Sequence[str]], Any]:
    """Sample ids -> embeddings [n, D], for `EmbeddingStore.verify`."""
    _suit_cameras(teacher, dataset, lambda line: None)
    by_id = {sample.sample_id: sample for sample in dataset.samples}
    embedder = Embedder(teacher.encoder, teacher.readout_neck, batch)

    def recompute(ids: Sequence[str]) -> Any:
        missing = [name for name in ids if name not in by_id]
        if missing:
            raise UserError(f"{dataset.root}: has no sample '{missing[0]}', which the store holds")
        return embedder.embed([by_id[name] for name in ids])

    return recompute


def reuse_store(teacher: Teacher, dataset: Dataset, out: Path, **options: Any) -> EmbeddingStore:
    """The store at `out`, made if it is not there.

    Raises:
        UserError: as `write_store`; or the store that is there is of something else, which is named.
    """
    if not out.exists():
        write_store(teacher, dataset, out, **options)
    _suit_cameras(teacher, dataset, lambda line: None)
    store = EmbeddingStore.open(out)
    store.expect_fingerprint(fingerprint(teacher, dataset))
    return store


def _only_read(
    teacher: Teacher, dataset: Dataset, samples: Sequence[Sample], say: Callable[[str], None]
) -> list[Sample]:
    """The samples of the modalities that the teacher reads; says how many others there are."""
    read = [sample for sample in samples if sample.modality in teacher.encoder.modalities]
    if len(read) < len(samples):
        names = ", ".join(map(str, teacher.encoder.modalities))
        if not read:
            raise UserError(f"{dataset.root}: has no samples of {names}, which is all that this teacher reads")
        say(f"note: this teacher reads {names}; {len(samples) - len(read):,} samples of other modalities are left out")
    return read


def _suit_cameras(teacher: Teacher, dataset: Dataset, say: Callable[[str], None]) -> None:
    """Take cameras for known only in data of the kind that was trained on."""
    cameras = teacher.encoder.reader.cameras
    if cameras is not None:
        cameras.known = cameras.kind == dataset.kind
        if not cameras.known:
            say(f"note: the cameras of {dataset.kind} are not those of {cameras.kind}; all take the mean of these")


def _cameras(teacher: Teacher, dataset: Dataset) -> str:
    cameras = teacher.encoder.reader.cameras
    return "" if cameras is None or cameras.kind == dataset.kind else ", cameras unknown"


def _embed_shards(embedder: Embedder, plan: ShardPlan, process: int, processes: int) -> None:
    """Embed this process's shards, and wait for the others'."""
    shards = plan.pending(process, processes)
    # Nobody writes before everybody has seen what is missing.
    _wait()
    total = sum(len(plan.rows(shard)) for shard in shards)
    with progress_bar(what="embedding", unit="samples", total=total, shown=process == 0) as bar:
        for shard in shards:
            rows = plan.rows(shard)
            embeddings = np.empty((len(rows), plan.dim), dtype=np.float32)
            for where, values in embedder.parts(rows):
                embeddings[where] = values
                bar.update(len(where))
            plan.write(shard, embeddings)
    _wait()


def _join() -> tuple[int, int]:
    """Number of this process and how many there are; joins them where torchrun started several."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1 and not dist.is_initialized():
        dist.init_process_group("gloo", timeout=_WAIT)
    return (dist.get_rank(), processes) if processes > 1 else (0, 1)


def _wait() -> None:
    if dist.is_available() and dist.is_initialized():
        try:
            dist.barrier()
        except RuntimeError as error:
            raise UserError("another process of this run has stopped; it says why") from error


def digest_of(value: Any) -> str:
    """sha256 of JSON-ready settings."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
