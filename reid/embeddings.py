"""The embedding store: what a model knows about every sample of a data set, on disk.

An artifact of kind "embeddings": Arrow IPC shards (`shard-00000.arrow`, one record batch each, memory-mapped when
read), `protocols.json` (so that it can be scored without the data set) and the manifest. Rows are in the order of the
data set's samples. A store is written shard by shard; each is renamed into place when it is complete, so a run that
was interrupted computes only what is missing.

The fingerprint names everything that the numbers depend on (weights, adapter, prompts, pooling, preprocessing, data,
library versions). A store whose fingerprint differs is refused by the name of what differs.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid.artifact import ArtifactWriter, Manifest, check_files, expect_kind, replacing, write_text
from reid.errors import UserError
from reid.extras import require
from reid.modality import Modality
from reid.protocol import Protocol
from reid.sample import Sample, Split
from reid.similarity import refuse_unusable
from reid.table import SampleTable

KIND = "embeddings"
PROTOCOLS = "protocols.json"
_PLAN = "plan.json"
_COLUMNS = ("sample_id", "person_id", "camera_id", "modality", "split", "source_id")


@dataclass(frozen=True)
class ShardPlan:
    """Which samples go into which shard, and the folder that the shards are written to. Any process may write any.

    Attributes:
        folder: where the shards go.
        samples: all samples, in order.
        dim: width D of an embedding.
        dtype: "float16" or "float32".
        shard_rows: samples per shard.
    """

    folder: Path
    samples: Sequence[Sample]
    dim: int
    dtype: str = "float16"
    shard_rows: int = 4096

    def __post_init__(self) -> None:
        if self.dtype not in ("float16", "float32"):
            raise ValueError(f"embeddings are stored as float16 or float32, not {self.dtype}")

    def __len__(self) -> int:
        return -(-len(self.samples) // self.shard_rows)

    def rows(self, shard: int) -> Sequence[Sample]:
        """The samples of a shard."""
        return self.samples[shard * self.shard_rows : (shard + 1) * self.shard_rows]

    def pending(self, process: int = 0, processes: int = 1) -> list[int]:
        """The shards that are missing or not readable, dealt out over `processes`; the share of number `process`."""
        missing = [shard for shard in range(len(self)) if _rows_in(self._path(shard)) != len(self.rows(shard))]
        return missing[process::processes]

    def write(self, shard: int, embeddings: NDArray[np.floating]) -> None:
        """Put a shard's embeddings [rows, D] on disk; when this returns they survive a power cut.

        Raises:
            UserError: an embedding is NaN, infinite (also after rounding to float16) or zero; its samples are named.
                Or the disk is full: the shards before it stay, and the next run goes on with this one.
            ValueError: the shape is wrong.
        """
        import pyarrow as pa

        samples = self.rows(shard)
        if embeddings.shape != (len(samples), self.dim):
            raise ValueError(f"shard {shard} wants {(len(samples), self.dim)} embeddings, got {embeddings.shape}")
        with np.errstate(over="ignore"):
            stored = np.ascontiguousarray(embeddings, dtype=self.dtype)
        refuse_unusable(stored, [s.sample_id for s in samples])
        columns: list[Any] = [
            pa.array([s.sample_id for s in samples], pa.string()),
            pa.array([s.person_id for s in samples], pa.string()),
            pa.array([s.camera_id for s in samples], pa.string()),
            pa.array([s.modality.value for s in samples], pa.string()),
            pa.array([s.split.value for s in samples], pa.string()),
            pa.array([s.source_id for s in samples], pa.string()),
            pa.FixedSizeListArray.from_arrays(pa.array(stored.ravel()), self.dim),
        ]
        batch = pa.record_batch(columns, names=[*_COLUMNS, "embedding"])
        with replacing(self._path(shard)) as part, part.open("wb") as file:
            with pa.ipc.new_file(file, batch.schema) as writer:
                writer.write_batch(batch)
            file.flush()
            os.fsync(file.fileno())

    def _path(self, shard: int) -> Path:
        return self.folder / f"shard-{shard:05d}.arrow"


class StoreWriter:
    """Writes an embedding store; interrupted, the next one of the same name goes on where it was.

    Use as a context manager in one process; other processes write shards through the same `ShardPlan`. Leaving the
    context without an error finishes the store.

    Args:
        out: the folder to make.
        samples: what is embedded, in the order of the data set.
        dim: width of an embedding.
        fingerprint: everything the numbers depend on, by name.
        writer: command, recipe and seed, for the manifest.
        protocols: how the store can be scored; the first is the default.
        dataset: where the data came from ("market1501:/data/market"), for people.
        parents: the artifacts that it is made from.

    Raises:
        UserError: `out` exists, is being written, or a partial store there has another fingerprint or plan.
    """

    def __init__(
        self,
        out: Path,
        samples: Sequence[Sample],
        dim: int,
        *,
        fingerprint: Mapping[str, str],
        writer: Mapping[str, Any],
        protocols: Iterable[Protocol] = (),
        dataset: str = "",
        parents: Iterable[Path] = (),
        dtype: str = "float16",
        shard_rows: int = 4096,
    ) -> None:
        require("data", "an embedding store", "pyarrow")
        self._artifact = ArtifactWriter(out, KIND, writer, parents, resumable=True)
        self._artifact.scratch.add(_PLAN)
        self.plan = ShardPlan(self._artifact.path, samples, dim, dtype, shard_rows)
        self._protocols = [p.to_dict() for p in protocols]
        shape = {"rows": len(samples), "dim": dim, "dtype": dtype, "shard_rows": shard_rows}
        order = hashlib.sha256("\n".join(s.sample_id for s in samples).encode()).hexdigest()
        self._details: dict[str, Any] = {
            **shape,
            "samples": order,
            "fingerprint": dict(fingerprint),
            "dataset": dataset,
        }

    def __enter__(self) -> ShardPlan:
        self._artifact.__enter__()
        try:
            self._agree()
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self.plan

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            missing = self.plan.pending()
            if missing:
                kind, value = ValueError, ValueError(f"{len(missing)} shards were not written, first {missing[0]}")
                self._artifact.__exit__(kind, value, tb)
                raise value
            write_text(self.plan.folder / PROTOCOLS, json.dumps(self._protocols, ensure_ascii=False) + "\n")
            self._artifact.details.update(self._details)
        # Without a shard there is nothing to go on with, and a plan alone would only forbid other settings.
        self._artifact.resumable = self._any_shard()
        self._artifact.__exit__(kind, value, tb)

    def _any_shard(self) -> bool:
        return any(self.plan.folder.glob("shard-*.arrow"))

    def _agree(self) -> None:
        path = self.plan.folder / _PLAN
        if not self._any_shard():
            write_text(path, json.dumps(self._details))
            return
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path}: not readable, so nobody knows whose shards these are; remove the folder"
            ) from error
        # What the data set is called does not matter, only which samples in which order.
        wanted = {k: v for k, v in self._details.items() if k not in ("fingerprint", "dataset")}
        differs = differing(before["fingerprint"], self._details["fingerprint"])
        differs += [key for key, value in wanted.items() if before.get(key) != value]
        if differs:
            raise UserError(
                f"{self.plan.folder}: begun with another {', '.join(differs)}; "
                "finish it with the same settings, or remove it to start again"
            )


@dataclass(frozen=True)
class EmbeddingStore:
    """A finished store, opened for reading. Shards are memory-mapped: only what is asked for is read.

    Attributes:
        path: the artifact's folder.
        manifest: its manifest.
        protocols: how it can be scored.
    """

    path: Path
    manifest: Manifest
    protocols: tuple[Protocol, ...]
    _batches: tuple[Any, ...] = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> EmbeddingStore:
        """Open the store at `path`.

        Raises:
            UserError: not a finished store, or a shard is missing, cut short or not readable.
        """
        require("data", "an embedding store", "pyarrow")
        import pyarrow as pa

        manifest = expect_kind(path, KIND)
        batches = []
        for name in sorted(n for n in manifest.files if n.endswith(".arrow")):
            try:
                batch = pa.ipc.open_file(pa.memory_map(str(path / name))).get_batch(0)
                batch.validate(full=True)
            except (pa.ArrowException, OSError, ValueError) as error:
                reason = str(error).splitlines()[0]
                raise UserError(f"{path / name}: not a readable shard ({reason}); embed the data again") from error
            batches.append(batch)
        try:
            raw = json.loads((path / PROTOCOLS).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{path / PROTOCOLS}: not readable ({error}); embed the data again") from error
        protocols = tuple(Protocol.from_dict(item, str(path / PROTOCOLS)) for item in raw)
        return cls(path, manifest, protocols, tuple(batches))

    def __len__(self) -> int:
        return int(self.manifest.details["rows"])

    @property
    def dim(self) -> int:
        """Width D of an embedding."""
        return int(self.manifest.details["dim"])

    @property
    def fingerprint(self) -> dict[str, str]:
        """Everything that the numbers depend on, by name."""
        return dict(self.manifest.details["fingerprint"])

    @cached_property
    def table(self) -> SampleTable:
        """The samples' columns, in the order of the embeddings."""
        columns = {name: [v for b in self._batches for v in b.column(name).to_pylist()] for name in _COLUMNS}
        return SampleTable(
            columns["sample_id"],
            columns["person_id"],
            [Modality(m) for m in columns["modality"]],
            [Split(s) for s in columns["split"]],
            columns["camera_id"],
            columns["source_id"],
        )

    def embeddings(self, rows: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """A float32 copy [n, D] of the embeddings at `rows`, in that order (all, if None), as stored."""
        wanted = np.arange(len(self)) if rows is None else np.asarray(rows, dtype=np.int64)
        out = np.empty((wanted.size, self.dim), dtype=np.float32)
        shards = np.searchsorted(self._starts, wanted, side="right") - 1
        for shard in np.unique(shards):
            here = np.flatnonzero(shards == shard)
            out[here] = self._values(int(shard))[wanted[here] - self._starts[shard]]
        return out

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """The row with which each shard begins."""
        return np.cumsum([0, *(batch.num_rows for batch in self._batches)])[:-1]

    def _values(self, shard: int) -> NDArray[np.floating]:
        """The embeddings of a shard where they lie in the memory map."""
        values = self._batches[shard].column("embedding").values.to_numpy(zero_copy_only=True)
        found: NDArray[np.floating] = values.reshape(-1, self.dim)
        return found

    def find(self, sample_ids: Sequence[str]) -> NDArray[np.int64]:
        """The row numbers [n] of samples by their ids, -1 where there is none; the store's ids stay in the memory map.

        Args:
            sample_ids: each of them once.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        places = np.full(len(sample_ids), -1, dtype=np.int64)
        wanted = pa.array(list(sample_ids), pa.string())
        start = 0
        for batch in self._batches:
            found = pc.index_in(batch.column("sample_id"), value_set=wanted).to_numpy(zero_copy_only=False)
            here = np.flatnonzero(~np.isnan(found.astype(np.float64)))
            places[found[here].astype(np.int64)] = start + here
            start += batch.num_rows
        return places

    def rows_of(self, sample_ids: Sequence[str]) -> NDArray[np.int64]:
        """The row numbers [n] of samples by their ids, each of them once.

        Raises:
            UserError: one is not there; it is named.
        """
        places = self.find(sample_ids)
        missing = np.flatnonzero(places < 0)
        if missing.size:
            raise UserError(
                f"{self.path}: has no sample '{sample_ids[int(missing[0])]}' ({missing.size:,} of {len(sample_ids):,} "
                "are missing); embed the same data"
            )
        return places

    def expect_fingerprint(self, expected: Mapping[str, str]) -> None:
        """Make sure that the store holds what `expected` describes.

        Raises:
            UserError: something differs; it is named.
        """
        differs = differing(self.fingerprint, expected)
        if differs:
            raise UserError(f"{self.path}: was made with another {', '.join(differs)}; embed the data again")

    def verify(
        self, recompute: Callable[[Sequence[str]], NDArray[np.floating]] | None = None, rows: int = 64, seed: int = 0
    ) -> list[str]:
        """What is wrong with the store, a line each: changed files, unusable or repeated rows, and drift.

        Args:
            recompute: sample ids [n] -> embeddings [n, D] from the model; a cosine below 0.999 to the stored ones
                is a problem.
            rows: how many random rows to recompute.
            seed: which ones.
        """
        problems = check_files(self.path, self.manifest)
        ids = self.table.sample_id
        if len(ids) != len(self):
            problems.append(f"holds {len(ids)} rows; the manifest says {len(self)}")
        if len(set(ids)) != len(ids):
            problems.append(f"{len(ids) - len(set(ids))} sample ids occur more than once")
        try:
            refuse_unusable(self.embeddings(), ids)
        except UserError as error:
            problems.append(str(error))
        if recompute is not None and not problems:
            chosen = np.sort(np.random.default_rng(seed).permutation(len(self))[:rows])
            old, new = self.embeddings(chosen), np.asarray(recompute([ids[row] for row in chosen]), dtype=np.float32)
            lengths = np.linalg.norm(old, axis=1) * np.linalg.norm(new, axis=1)
            cosine = np.einsum("ij,ij->i", old, new) / np.maximum(lengths, 1e-30)
            problems += [
                f"{ids[int(row)]}: recomputed with cosine {c:.4f}; expected at least 0.999"
                for row, c in zip(chosen, cosine, strict=True)
                if not c >= 0.999
            ]
        return problems


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """The names under which two fingerprints differ, in order."""
    return [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]


def _rows_in(path: Path) -> int | None:
    """How many rows a shard holds, or None if there is no readable one."""
    import pyarrow as pa

    if not path.is_file():
        return None
    try:
        with pa.memory_map(str(path)) as source:
            return int(pa.ipc.open_file(source).get_batch(0).num_rows)
    except (pa.ArrowInvalid, OSError):
        return None
