"""Is this copy of a data set whole, and fit to train on and to be scored by?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from reid.dataset import Dataset
from reid.datasets.scan import MAX_SIDE, MIN_SIDE, ImageFacts, scan_images
from reid.errors import UserError
from reid.modality import Modality
from reid.protocol import Drop
from reid.sample import Sample, Split
from reid.table import SampleTable
from reid.trials import resolve

TEST_SPLITS = (Split.QUERY, Split.GALLERY, Split.TEST)
SHOWN = 5
"""How many offenders a row of the printed table names."""


class Verdict(str, Enum):
    """What a finding means for the user."""

    OK = "ok"
    WARN = "warn"
    """Look at it: scores may not be comparable."""
    BROKEN = "BROKEN"
    """Do not use this copy: it cannot be read, or its scores would be false."""
    SKIPPED = "skipped"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class CheckRow:
    """One thing that was looked at.

    Attributes:
        check: what was looked at.
        found, expected: in words or numbers.
        verdict: what it means.
        offenders: sample_ids or person_ids, all of them, in a stable order.
    """

    check: str
    found: str
    expected: str
    verdict: Verdict
    offenders: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckReport:
    """All findings about one data set; prints as a table."""

    kind: str
    root: Path
    rows: tuple[CheckRow, ...]
    warnings: tuple[str, ...] = ()

    @property
    def broken(self) -> bool:
        """Whether this copy must not be used."""
        return any(row.verdict is Verdict.BROKEN for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values, every offender named."""
        rows = [{**asdict(row), "verdict": row.verdict.value, "offenders": list(row.offenders)} for row in self.rows]
        return {
            "kind": self.kind,
            "root": str(self.root),
            "broken": self.broken,
            "warnings": list(self.warnings),
            "rows": rows,
        }

    def __str__(self) -> str:
        table = [("check", "found", "expected", "verdict")]
        table += [(row.check, row.found, row.expected, str(row.verdict)) for row in self.rows]
        widths = [max(len(line[column]) for line in table) for column in range(3)]
        lines = [f"{self.kind} at {self.root}", *(f"warning: {warning}" for warning in self.warnings)]
        for line, row in zip(table, (None, *self.rows), strict=True):
            check, found, expected, verdict = line
            lines.append(f"{check:<{widths[0]}}  {found:>{widths[1]}}  {expected:>{widths[2]}}  {verdict}")
            if row is not None and row.offenders:
                more = len(row.offenders) - SHOWN
                named = ", ".join(row.offenders[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")
                lines.append(f"    {named}")
        return "\n".join(lines)


def check_dataset(dataset: Dataset, *, images: bool = True, progress: bool = True) -> CheckReport:
    """Compare a copy with the published data set and look for what would falsify training or scores.

    Args:
        dataset: as a loader gave it.
        images: decode every image to its last byte, look at its size and look for copies. Without it, images are
            only looked for.
        progress: show a progress bar while decoding.
    """
    facts = scan_images(dataset.samples, decode=images, progress=progress)
    rows = [
        *_counts(dataset),
        *_images(dataset.samples, facts, decoded=images),
        *_captions(dataset.samples),
        *_people(dataset.samples),
        *_copies(dataset.samples, facts, decoded=images),
        _cameras(dataset),
        _positives(dataset),
    ]
    return CheckReport(dataset.kind, dataset.root, tuple(rows), dataset.warnings)


def _row(check: str, offenders: Iterable[str], if_any: Verdict, expected: str = "0") -> CheckRow:
    """A row whose finding is how many offenders there are."""
    named = tuple(offenders)
    return CheckRow(check, f"{len(named):,}", expected, if_any if named else Verdict.OK, named)


def _counts(dataset: Dataset) -> list[CheckRow]:
    return [
        CheckRow(
            count.what,
            f"{count.found:,}",
            "-" if count.published is None else f"{count.published:,}",
            Verdict.WARN if count.differs else Verdict.OK,
        )
        for count in dataset.counts
    ]


def _images(samples: Sequence[Sample], facts: dict[Path, ImageFacts], decoded: bool) -> list[CheckRow]:
    unreadable, odd = [], []
    for s in samples:
        if s.image is None:
            continue
        fact = facts[s.image]
        if fact.error is not None:
            unreadable.append(f"{s.sample_id} ({fact.error})")
        elif fact.is_odd:
            odd.append(f"{s.sample_id} ({fact.width} x {fact.height})")
    if not decoded:
        return [
            _row("missing or empty images", unreadable, Verdict.BROKEN),
            CheckRow("images decoded", "-", "all", Verdict.SKIPPED),
        ]
    return [
        _row("unreadable images", unreadable, Verdict.BROKEN),
        _row(f"odd image sizes (side < {MIN_SIDE} or > {MAX_SIDE}, or a strip)", odd, Verdict.WARN),
    ]


def _captions(samples: Sequence[Sample]) -> list[CheckRow]:
    texts = [s for s in samples if s.modality is Modality.TEXT]
    if not texts:
        return []
    empty = [s.sample_id for s in texts if not (s.text or "").strip()]
    return [
        _row("empty captions", empty, Verdict.BROKEN),
        _row("images without a caption", _uncaptioned(samples), Verdict.WARN),
    ]


def _uncaptioned(samples: Sequence[Sample]) -> list[str]:
    """Images nobody describes, among the splits that have captions and the modalities that captions are about."""
    by_id = {s.sample_id: s for s in samples}
    described: set[str] = set()
    people: set[tuple[Split, str]] = set()
    modalities: dict[Split, set[Modality]] = defaultdict(set)
    for s in samples:
        if s.modality is not Modality.TEXT:
            continue
        if s.source_id is not None and s.source_id in by_id:
            described.add(s.source_id)
            modalities[s.split].add(by_id[s.source_id].modality)
        else:
            people.add((s.split, s.person_id))
            modalities[s.split] |= {m for m in Modality if m.is_image}
    return [
        s.sample_id
        for s in samples
        if s.modality in modalities.get(s.split, ())
        and s.modality.is_image
        and s.sample_id not in described
        and s.source_id not in described
        and (s.split, s.person_id) not in people
    ]


def _people(samples: Sequence[Sample]) -> list[CheckRow]:
    train, val = ({s.person_id for s in samples if s.split is split} for split in (Split.TRAIN, Split.VAL))
    test = {s.person_id for s in samples if s.split in TEST_SPLITS}
    rows = [_row("people in both train and test", sorted(train & test), Verdict.BROKEN)]
    if val:
        rows.append(_row("people in both validation and test", sorted(val & test), Verdict.BROKEN))
        # Legal, and so in MSMT17; but validation then measures people the model has seen.
        rows.append(_row("people in both train and validation", sorted(train & val), Verdict.WARN))
    return rows


def _copies(samples: Sequence[Sample], facts: dict[Path, ImageFacts], decoded: bool) -> list[CheckRow]:
    """Byte-identical images. One photograph in training and in test gives scores that mean nothing."""
    if not decoded:
        return [CheckRow("copies of an image", "-", "0", Verdict.SKIPPED)]
    by_digest: dict[str, list[Sample]] = defaultdict(list)
    for s in samples:
        digest = facts[s.image].digest if s.image is not None else None
        if digest is not None:
            by_digest[digest].append(s)
    within, people, leaks = [], [], []
    for group in by_digest.values():
        if len(group) < 2:
            continue
        named = " = ".join(s.sample_id for s in group)
        in_test = {s.split in TEST_SPLITS for s in group}
        if len(in_test) == 2:
            leaks.append(named)
        elif len({s.person_id for s in group}) > 1:
            people.append(named)
        else:
            within.append(named)
    return [
        _row("copies across training or validation and test", leaks, Verdict.BROKEN),
        _row("copies under different people", people, Verdict.WARN),
        _row("copies of one person's image", within, Verdict.WARN),
    ]


def _cameras(dataset: Dataset) -> CheckRow:
    without = [s.sample_id for s in dataset.samples if s.modality.is_image and s.camera_id is None]
    needed = any(p.drop in (Drop.SAME_CAMERA, Drop.SAME_LOCATION) for p in dataset.protocols[:1])
    if not needed:
        return CheckRow("images without a camera", f"{len(without):,}", "-", Verdict.OK)
    return _row("images without a camera (no camera rule applies)", without, Verdict.WARN)


def _positives(dataset: Dataset) -> CheckRow:
    """Queries that nobody in the gallery answers, in the first trial of the default protocol."""
    if not dataset.protocols:
        return CheckRow("queries without a positive", "-", "0", Verdict.SKIPPED)
    protocol = dataset.protocols[0]
    check = f"queries without a positive ({protocol.name})"
    table = SampleTable.of(dataset.samples)
    try:
        trial = next(resolve(protocol, table))
    except UserError as error:
        return CheckRow(check, "-", "0", Verdict.BROKEN, (str(error),))
    gallery = list(zip(trial.gallery_person.tolist(), trial.gallery_drop.tolist(), strict=True))
    entries, dropped = Counter(person for person, _ in gallery), Counter(gallery)
    alone = [
        table.sample_id[row]
        for row, person, drop in zip(
            trial.query.tolist(), trial.query_person.tolist(), trial.query_drop.tolist(), strict=True
        )
        if entries[person] == (dropped[person, drop] if drop >= 0 else 0)
    ]
    return _row(check, alone, Verdict.BROKEN if len(alone) == len(trial.query) else Verdict.WARN)
