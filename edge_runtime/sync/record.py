"""How a gallery's row lies in a Milvus collection, and how conditions on rows are said there.

Milvus 2.3 has no NULL: no person and no camera are the empty string, which no person or camera may have as a name.
Crops stay on the device.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from edge_runtime.gallery import Filter, Row
from edge_runtime.gallery.row import check_row
from reid.errors import UserError
from reid.modality import Modality

NAME_BYTES = 1024
"""A person's or camera's name may be as long, in UTF-8."""
METADATA_BYTES = 60_000
"""Of a row's metadata as JSON; Milvus takes 65,536."""
DEVICE_BYTES = 64
KEY_BYTES = DEVICE_BYTES + 24
_DEVICE = re.compile(r"[A-Za-z0-9._-]{1,64}")
ABOUT = ("device", "row_id", "number", "person", "camera", "modality", "time")
"""Fields that a hit has."""
ALL = (*ABOUT, "seq", "metadata", "vector")


def check_device(device: str) -> str:
    """The id of a device.

    Raises:
        UserError: it cannot be one.
    """
    if not _DEVICE.fullmatch(device):
        raise UserError(f"--device {device!r}: expected up to {DEVICE_BYTES} letters, digits, '.', '_' or '-'")
    return device


def key_of(device: str, row_id: int) -> str:
    """Primary key of a device's row. Rows of several devices may share a collection."""
    return f"{device}:{row_id}"


def number_of(device: str, row_id: int) -> int:
    """A number that tells rows of all devices apart: 63 bits of the key's digest.

    Two of a million rows share one with probability 5e-8; nothing is stored or deleted by it alone.
    """
    digest = hashlib.blake2b(key_of(device, row_id).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def record_of(device: str, row_id: int, seq: int, row: Row) -> dict[str, Any]:
    """What is sent for a row.

    Raises:
        UserError: something of it is longer than the collection takes; the row is named.
    """
    person, camera, modality, time, metadata, _ = check_row(row_id, row)
    for what, value, limit in (
        ("person id", person or "", NAME_BYTES),
        ("camera id", camera or "", NAME_BYTES),
        ("metadata", metadata, METADATA_BYTES),
    ):
        if len(value.encode()) > limit:
            raise UserError(f"row {row_id}: its {what} has {len(value.encode())} bytes; a collection takes {limit}")
    return {
        "key": key_of(device, row_id),
        "device": device,
        "row_id": row_id,
        "number": number_of(device, row_id),
        "seq": seq,
        "person": person or "",
        "camera": camera or "",
        "modality": modality,
        "time": time,
        "metadata": json.loads(metadata),
        "vector": np.asarray(row.embedding, np.float32),
    }


def row_of(record: dict[str, Any], row_id: int) -> Row:
    """The row of a record."""
    return Row(
        np.asarray(record["vector"], np.float32),
        record["person"] or None,
        record["camera"] or None,
        Modality(record["modality"]),
        float(record["time"]),
        None,
        dict(record["metadata"]),
        row_id,
    )


def expression(where: Filter, device: str | None = None) -> str | None:
    """A filter as Milvus says it; "" is met by every row, None by no row (and no server need be asked)."""
    tests = [] if device is None else [f"device == {quoted(device)}"]
    for column, names in (("person", where.persons), ("camera", where.cameras), ("modality", where.modalities)):
        if names is not None:
            if not names:
                return None
            tests.append(f"{column} in {listed(map(str, names))}")
    if where.not_cameras:
        tests.append(f"camera not in {listed(where.not_cameras)}")
    if where.known is not None:
        tests.append('person != ""' if where.known else 'person == ""')
    for bound, test, all_pass in ((where.since, ">=", -math.inf), (where.until, "<", math.inf)):
        if bound is None or bound == all_pass:
            continue
        if math.isinf(bound):
            return None
        tests.append(f"time {test} {float(bound)!r}")
    return " and ".join(tests)


def listed(names: Iterable[str]) -> str:
    """A list of strings."""
    return f"[{', '.join(map(quoted, names))}]"


def quoted(text: str) -> str:
    """A string. Both servers take every other character as it is."""
    for char, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(char, escaped)
    return f'"{text}"'
