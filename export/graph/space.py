"""The identity of a space of coordinates: what gallery, queries and every precision must have in common."""

from __future__ import annotations

import hashlib
import json

from export.source import Source
from student.checkpoint import CONFIG, SUBSPACE, WEIGHTS

_FORMAT = "reid-distill space 1"


def space_id(source: Source) -> str:
    """sha256 in hex over all that decides where an image lands.

    That is the weights and the config of the student for images, its preprocessing, the number of coordinates and the
    subspace that they are of. The precision is no part of it: the parity gate is what vouches that a precision lands in
    the same place. Nor is the text student: its sentences are queries *in* this space, and its graph carries this id
    too, so that one distilled again still finds what a gallery holds.
    """
    files = source.manifest.files
    parts = {
        "format": _FORMAT,
        "weights": files[WEIGHTS].sha256,
        "config": files[CONFIG].sha256,
        "preprocessing": source.preprocessing.to_dict(),
        "dim": source.student.config.dim,
        "subspace": files[SUBSPACE].sha256,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
