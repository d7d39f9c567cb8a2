"""People held out of training for validation, for data sets that publish no validation split.

Whatever is chosen by scores (epoch, rank, weight) is chosen on these people, never on test.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from reid.datasets.kind import Option
from reid.errors import UserError
from reid.sample import Sample, Split

HOLD_OUT = Option("0", (), "number of people held out of train as split val, the same ones on every machine")


def hold_out(samples: Sequence[Sample], option: str, salt: str) -> tuple[Sample, ...]:
    """`samples` with some people of train moved to split val.

    The people are ordered by the sha256 of salt and person_id, and the first are taken: independent of file system,
    locale and machine, spread over the data set, and a larger number only adds people.

    Args:
        samples: all samples.
        option: value of the option `val_people`: how many people.
        salt: the data set's name; the same for all its versions, so that they hold out the same people.

    Raises:
        UserError: `option` is not a number, or would leave nobody to train on.
    """
    people = {s.person_id for s in samples if s.split is Split.TRAIN}
    if not (option.isascii() and option.isdigit()) or (int(option) >= len(people) and int(option) > 0):
        raise UserError(f"option val_people={option}: expected a number from 0 to {max(len(people) - 1, 0)}")
    order = sorted(people, key=lambda person: hashlib.sha256(f"{salt}:{person}".encode()).digest())
    held = set(order[: int(option)])
    return tuple(replace(s, split=Split.VAL) if s.split is Split.TRAIN and s.person_id in held else s for s in samples)
