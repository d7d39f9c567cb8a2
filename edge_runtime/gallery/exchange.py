"""Export and import: Arrow IPC where pyarrow is installed, JSON lines everywhere. Imported rows get new ids."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.gallery import store
from edge_runtime.gallery.database import Database
from edge_runtime.gallery.row import Row
from reid.artifact import replacing
from reid.errors import UserError
from reid.extras import require
from reid.modality import Modality

FORMAT = "reid-distill gallery 1"
_BATCH = 1024


def export_arrow(database: Database, file: Path) -> int:
    """One record batch per 1024 rows; the space is in the schema's metadata."""
    require("data", "exporting a gallery to Arrow", "pyarrow")
    import pyarrow as pa

    with database.reading():
        now = store.state(database)
        vectors = pa.list_(pa.float32(), now.dim)
        schema = pa.schema(
            [
                pa.field("row_id", pa.int64()),
                pa.field("person_id", pa.string()),
                pa.field("camera_id", pa.string()),
                pa.field("modality", pa.string()),
                pa.field("time", pa.float64()),
                pa.field("metadata", pa.string()),
                pa.field("crop", pa.binary()),
                pa.field("embedding", vectors),
            ],
            metadata={"format": FORMAT, "space_id": now.space_id, "dim": str(now.dim)},
        )
        rows = 0
        with replacing(file) as part, part.open("wb") as out:
            with pa.ipc.new_file(out, schema) as writer:
                for batch in _batches(database):
                    columns: list[Any] = [
                        pa.array([row.row_id for row in batch], pa.int64()),
                        pa.array([row.person_id for row in batch], pa.string()),
                        pa.array([row.camera_id for row in batch], pa.string()),
                        pa.array([row.modality.value for row in batch], pa.string()),
                        pa.array([row.time for row in batch], pa.float64()),
                        pa.array([json.dumps(dict(row.metadata)) for row in batch], pa.string()),
                        pa.array([row.crop for row in batch], pa.binary()),
                        pa.FixedSizeListArray.from_arrays(
                            pa.array(np.concatenate([row.embedding for row in batch])), now.dim
                        ),
                    ]
                    writer.write_batch(pa.record_batch(columns, schema=schema))
                    rows += len(batch)
            out.flush()
            os.fsync(out.fileno())
    return rows


def import_arrow(database: Database, file: Path) -> list[int]:
    """All rows of the file in one transaction.

    Raises:
        UserError: it cannot be read, is something else, or holds another bundle's embeddings.
    """
    require("data", "importing a gallery from Arrow", "pyarrow")
    import pyarrow as pa

    try:
        with pa.memory_map(str(file)) as source, pa.ipc.open_file(source) as reader:
            said = {k.decode(): v.decode() for k, v in (reader.schema.metadata or {}).items()}
            _expect(database, file, said.get("format"), said.get("space_id"), said.get("dim"))

            def rows() -> Iterator[list[Row]]:
                for number in range(reader.num_record_batches):
                    batch = reader.get_batch(number)
                    columns = {name: batch.column(name) for name in batch.schema.names}
                    flat = columns.pop("embedding").flatten().to_numpy(zero_copy_only=False)
                    vectors = flat.astype(np.float32).reshape(batch.num_rows, -1)
                    listed = {name: column.to_pylist() for name, column in columns.items()}
                    yield [
                        Row(
                            vectors[i],
                            listed["person_id"][i],
                            listed["camera_id"][i],
                            Modality.parse(listed["modality"][i], str(file)),
                            listed["time"][i],
                            listed["crop"][i],
                            json.loads(listed["metadata"][i]),
                        )
                        for i in range(batch.num_rows)
                    ]

            return _insert(database, rows())
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror or error})") from error
    except (pa.ArrowException, KeyError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{file}: not an exported gallery ({type(error).__name__}: {error})") from error


def export_json(database: Database, file: Path) -> int:
    """A line that says what it is, then a line per row; embeddings are little-endian float32, base64 as are crops."""
    with database.reading():
        now = store.state(database)
        rows = 0
        with replacing(file) as part, part.open("w", encoding="utf-8") as out:
            out.write(json.dumps({"format": FORMAT, "space_id": now.space_id, "dim": now.dim}) + "\n")
            for batch in _batches(database):
                for row in batch:
                    out.write(json.dumps(_to_json(row)) + "\n")
                    rows += 1
            out.flush()
            os.fsync(out.fileno())
    return rows


def import_json(database: Database, file: Path) -> list[int]:
    """All rows of the file in one transaction.

    Raises:
        UserError: as `import_arrow`; the line is named.
    """
    try:
        with file.open(encoding="utf-8") as source:
            said = _parsed(file, 1, source.readline())
            _expect(database, file, said.get("format"), said.get("space_id"), said.get("dim"))
            return _insert(database, _json_batches(file, source))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or error})") from error


def _json_batches(file: Path, lines: Iterable[str]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for number, line in enumerate(lines, 2):
        if line.strip():
            batch.append(_from_json(file, number, line))
        if len(batch) == _BATCH:
            yield batch
            batch = []
    yield batch


def _to_json(row: Row) -> dict[str, Any]:
    return {
        "row_id": row.row_id,
        "person_id": row.person_id,
        "camera_id": row.camera_id,
        "modality": row.modality.value,
        "time": row.time,
        "metadata": dict(row.metadata),
        "crop": None if row.crop is None else base64.b64encode(row.crop).decode(),
        "embedding": base64.b64encode(row.embedding.astype("<f4").tobytes()).decode(),
    }


def _from_json(file: Path, number: int, line: str) -> Row:
    said = _parsed(file, number, line)
    try:
        crop = said["crop"]
        return Row(
            np.frombuffer(base64.b64decode(said["embedding"], validate=True), "<f4").astype(np.float32),
            said["person_id"],
            said["camera_id"],
            Modality.parse(said["modality"], f"{file}, line {number}"),
            float(said["time"]),
            None if crop is None else base64.b64decode(crop, validate=True),
            dict(said["metadata"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
        raise UserError(f"{file}, line {number}: not a row of a gallery ({type(error).__name__}: {error})") from error


def _parsed(file: Path, number: int, line: str) -> dict[str, Any]:
    try:
        said = json.loads(line)
        if isinstance(said, dict):
            return said
    except (ValueError, RecursionError):
        pass
    raise UserError(f"{file}, line {number}: not JSON of a gallery; expected a file of `export`")


def _expect(database: Database, file: Path, form: object, space_id: object, dim: object) -> None:
    now = store.state(database)
    if form != FORMAT:
        raise UserError(f"{file}: not an exported gallery (its format is {form!r}; expected {FORMAT!r})")
    if (space_id, str(dim)) != (now.space_id, str(now.dim)):
        raise UserError(
            f"{file}: embeddings of bundle space {space_id}, width {dim}; the gallery holds {now.space_id}, {now.dim}"
        )


def _insert(database: Database, batches: Iterable[list[Row]]) -> list[int]:
    ids: list[int] = []
    with database.writing():
        dim = store.state(database).dim
        for batch in batches:
            if batch:
                ids += store.insert(database, batch, dim)
    return ids


def _batches(database: Database) -> Iterator[list[Row]]:
    """All rows by ascending id; the caller holds a transaction."""
    last = 0
    while ids := [i for (i,) in database.all(f"SELECT id FROM row WHERE id > ? ORDER BY id LIMIT {_BATCH}", [last])]:
        yield sorted(store.read(database, ids).values(), key=lambda row: row.row_id or 0)
        last = ids[-1]
