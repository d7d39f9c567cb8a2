"""Which samples can be read, for runs that may go on without the others."""

from __future__ import annotations

from collections.abc import Sequence

from reid.errors import UserError
from reid.images import read_rgb
from reid.progress import progress_bar
from reid.sample import Sample


def readable(samples: Sequence[Sample], *, progress: bool = True) -> list[Sample]:
    """The samples whose image decodes, and all sentences, in order."""
    good = []
    for sample in progress_bar(samples, what="reading", unit="images", shown=progress):
        if sample.image is not None:
            try:
                read_rgb(sample.image)
            except UserError:
                continue
        good.append(sample)
    return good
