"""What CUHK-PEDES, ICFG-PEDES and RSTPReid share: photographs in `imgs/`, one JSON list of captions.

Their Tri- versions (UNIReID, CVPR 2023) add a generated sketch of every photograph, the quad-modal ones (AIO, CVPR
2024) an infrared view too; `reid.datasets.views` tells where these lie.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from reid.dataset import Count, Dataset
from reid.datasets.folders import contents, find_folder
from reid.datasets.holdout import HOLD_OUT, hold_out
from reid.datasets.kind import Kind, Option
from reid.datasets.views import read_views, require_views
from reid.errors import UserError
from reid.modality import Modality
from reid.protocol import Drop, Fuse, Protocol, Select
from reid.sample import Sample, Split

IMAGES = "imgs"
SPLITS = (Split.TRAIN, Split.VAL, Split.TEST)
T_NOTE = "every caption is a query, the gallery is all test photographs; no camera rule"
SOURCE_NOTE = "the photograph that a query was drawn from or describes is dropped from its gallery"
FUSE_NOTE = "a composite query is the normalised mean of its normalised embeddings; UNIReID learns a fusion layer"
FIRST_CAPTION_NOTE = "MLLMEmbed-ReID asks only the first caption of photographs that have all four modalities"
IRRA = "IRRA utils/metrics.py:rank"
UNIREID = "UNIReID utils/metrics.py:eval_func, set=0 for 'original', set=2 for the others"
MLLMEMBED = "MLLMEmbed-ReID utils/test_util.py:display_aio_results_from_test_log (drops nothing)"


@dataclass(frozen=True)
class Record:
    """One entry of the JSON list: a photograph, relative to `imgs/`, and its captions."""

    person_id: str
    path: str
    captions: tuple[str, ...]
    split: Split


@dataclass(frozen=True)
class Size:
    """Published size of one split. `images` counts entries of the list, as all published tables do."""

    images: int
    people: int
    captions: int


@dataclass(frozen=True)
class CaptionedSet:
    """What differs between the three.

    Attributes:
        name: of the kind, e.g. "cuhk-pedes".
        title: in print, e.g. "CUHK-PEDES".
        annotations: possible names of the JSON file.
        published: the size of each split.
        example: one image below `imgs/`, for the layout.
        camera: finds the camera (group 1) in a base name; None where names do not tell.
        inspect: looks at all entries for known defects; returns warnings.
    """

    name: str
    title: str
    annotations: tuple[str, ...]
    published: Mapping[Split, Size]
    example: str
    camera: re.Pattern[str] | None = None
    inspect: Callable[[Sequence[Record]], tuple[str, ...]] = lambda records: ()


def kinds(spec: CaptionedSet) -> tuple[Kind, Kind, Kind]:
    """The loaders of the data set as published, of its Tri- version and of its quad-modal version."""
    holds_out = {} if Split.VAL in spec.published else {"val_people": HOLD_OUT}
    return (
        _kind(spec, spec.name, spec.title, (), holds_out),
        _kind(spec, f"tri-{spec.name}", f"Tri-{spec.title}", (Modality.SKETCH,), holds_out),
        _kind(spec, f"quad-{spec.name}", f"{spec.title}, quad-modal", (Modality.IR, Modality.SKETCH), holds_out),
    )


def _kind(
    spec: CaptionedSet, name: str, title: str, views: tuple[Modality, ...], options: Mapping[str, Option]
) -> Kind:
    lines = [f"{spec.title}/{IMAGES}/{spec.example}", f"{spec.title}/{' or '.join(spec.annotations)}"]
    if Modality.SKETCH in views:
        lines.append(f"{spec.title}/{IMAGES}-sketch2/ or {IMAGES}-sketch/  (mirrors {IMAGES}/; jpg or png)")
    if Modality.IR in views:
        lines.append(f"{spec.title}/{IMAGES}-IR/ or {IMAGES}-ir/  (mirrors {IMAGES}/; jpg or png)")
    folders = {m.value: Option("", (), f"folder of the {m} views, if not the one of the layout") for m in views}
    load = partial(_load, spec, name, title, views)
    return Kind(name, title, "\n".join(lines), load, {**options, **folders})


def _load(
    spec: CaptionedSet, name: str, title: str, views: tuple[Modality, ...], root: Path, options: Mapping[str, str]
) -> Dataset:
    names = (spec.title, f"Tri-{spec.title}") if views else (spec.title,)
    folder = find_folder(root, names, (IMAGES,), title)
    file = next((folder / f for f in spec.annotations if (folder / f).is_file()), None)
    if file is None:
        raise UserError(f"{folder}: expected {' or '.join(spec.annotations)} in it, found {contents(folder)}")
    images = folder / IMAGES
    records = read_records(file)
    if not (images / records[0].path).is_file():
        raise UserError(f"{file}: names {records[0].path}, which is not in {images}; unpack the images there")
    photos, captions, warnings = _samples(spec, records, images)
    warnings += spec.inspect(records)
    counts = _counts(spec, records)
    generated: list[Sample] = []
    for modality in views:
        read = read_views(photos, images, require_views(images, modality, options[modality.value]), modality)
        generated += read.samples
        warnings += read.warnings
        published = sum(size.images for size in spec.published.values())
        counts.append(Count(f"{modality} views", len(read.samples), published))
    samples = hold_out((*photos, *generated, *captions), options.get("val_people", "0"), spec.name)
    held = len({s.person_id for s in samples if s.split is Split.VAL}) if Split.VAL not in spec.published else 0
    if held:
        counts.append(Count("people held out of train for validation", held))
    protocols = tuple(replace(p, notes=(*p.notes, *_merged_note(records, photos))) for p in _protocols(name, views))
    return Dataset(name, folder, samples, protocols, tuple(counts), dict(options), tuple(warnings))


def read_records(file: Path) -> list[Record]:
    """The entries of the JSON list in `file`.

    Each has `id`, `file_path` (or `img_path`), `captions` and `split`. Where ids count from 0 in several splits, equal
    ids are different people, and person_ids start with the split's name.

    Raises:
        UserError: no JSON, no list, an empty one, or an entry that lacks a key.
    """
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file}: not a JSON file ({error}); download it again") from error
    if not isinstance(raw, list) or not raw:
        raise UserError(f"{file}: expected a JSON list with an entry for each image, found {type(raw).__name__}")
    records = [_record(entry, f"{file}: entry {number}") for number, entry in enumerate(raw, start=1)]
    if sum(_count_from_zero(records, split) for split in SPLITS) < 2:
        return records
    return [Record(f"{r.split}-{r.person_id}", r.path, r.captions, r.split) for r in records]


def _count_from_zero(records: Sequence[Record], split: Split) -> bool:
    people = {r.person_id for r in records if r.split is split}
    return bool(people) and people == {str(number) for number in range(len(people))}


def _record(entry: Any, where: str) -> Record:
    if not isinstance(entry, dict):
        raise UserError(f"{where}: expected an object with id, file_path, captions and split")
    path, captions = entry.get("file_path", entry.get("img_path")), entry.get("captions")
    person, split = entry.get("id"), entry.get("split")
    for key, value in (("id", person), ("file_path or img_path", path), ("captions", captions), ("split", split)):
        if value is None:
            raise UserError(f"{where}: no {key}; is this the published file with the splits?")
    captions = [captions] if isinstance(captions, str) else captions
    if not isinstance(captions, list) or not all(isinstance(caption, str) for caption in captions):
        raise UserError(f"{where}: captions are not a list of sentences")
    parsed = Split.parse(str(split), f"{where}, split")
    if parsed not in SPLITS:
        raise UserError(f"{where}: split '{split}' is not one of train, val, test")
    return Record(str(person), str(path).replace("\\", "/").lstrip("/"), tuple(captions), parsed)


def _samples(
    spec: CaptionedSet, records: Sequence[Record], images: Path
) -> tuple[list[Sample], list[Sample], list[str]]:
    """Photographs by split and path, their captions in the same order, and warnings.

    An image that is listed twice (ICFG-PEDES has one) is one photograph with the captions of both entries.
    """
    merged: dict[str, Record] = {}
    contradicted = []
    for r in records:
        first = merged.setdefault(r.path, r)
        if first is r:
            continue
        if (first.person_id, first.split) != (r.person_id, r.split):
            contradicted.append(r.path)
        else:
            merged[r.path] = Record(first.person_id, first.path, first.captions + r.captions, first.split)
    photos, captions = [], []
    for r in sorted(merged.values(), key=lambda r: (SPLITS.index(r.split), r.path)):
        sample_id = f"{IMAGES}/{r.path}"
        seen = spec.camera.search(r.path.rpartition("/")[2]) if spec.camera else None
        camera = str(int(seen.group(1))) if seen else None
        photos.append(
            Sample(sample_id, r.person_id, Modality.RGB, r.split, camera, images / r.path, source_id=sample_id)
        )
        for number, text in enumerate(r.captions):
            caption_id = f"{sample_id}#{number}"
            captions.append(Sample(caption_id, r.person_id, Modality.TEXT, r.split, text=text, source_id=sample_id))
    warnings = []
    if contradicted:
        warnings.append(
            f"{len(contradicted):,} images are listed again as another person or split, the first is "
            f"{contradicted[0]}; the first entry holds, the captions of the others are left out"
        )
    return photos, captions, warnings


def _merged_note(records: Sequence[Record], photos: Sequence[Sample]) -> tuple[str, ...]:
    """How many entries of the test list became part of another's photograph; nothing if none did.

    Entries that contradict the photograph were left out, not merged: a warning tells of them.
    """
    test = {(s.sample_id, s.person_id) for s in photos if s.split is Split.TEST}
    entries = sum(r.split is Split.TEST and (f"{IMAGES}/{r.path}", r.person_id) in test for r in records)
    merged = entries - len(test)
    if not merged:
        return ()
    return (
        f"the test list names some images again: {merged:,} of its {entries:,} entries merged, "
        f"the gallery has {len(test):,} photographs",
    )


def _counts(spec: CaptionedSet, records: Sequence[Record]) -> list[Count]:
    counts = []
    for split in SPLITS:
        size = spec.published.get(split)
        chosen = [r for r in records if r.split is split]
        if size is None and not chosen:
            continue
        people, captions = len({r.person_id for r in chosen}), sum(len(r.captions) for r in chosen)
        counts += [
            Count(f"{split} images", len(chosen), size.images if size else 0),
            Count(f"{split} people", people, size.people if size else 0),
            Count(f"{split} captions", captions, size.captions if size else 0),
        ]
    return counts


def _protocols(name: str, views: tuple[Modality, ...]) -> tuple[Protocol, ...]:
    """One row without views; the four rows of UNIReID with sketches; every subset of three with infrared too."""
    if not views:
        return (_protocol(name, (Modality.TEXT,), Drop.NONE, (T_NOTE,), IRRA),)
    text, sketch, ir = (Modality.TEXT,), (Modality.SKETCH,), (Modality.IR,)
    if Modality.IR not in views:
        original, source = [text], UNIREID
        queries = [text, sketch, text + sketch]
        notes: tuple[str, ...] = ()
    else:
        original, source = [text, ir, sketch], f"{MLLMEMBED}; {UNIREID}"
        queries = [text, ir, sketch, text + ir, text + sketch, ir + sketch, text + ir + sketch]
        notes = (FIRST_CAPTION_NOTE,)
    return (
        *(
            _protocol(f"{name}-{'+'.join(q)}-original", q, Drop.NONE, ("nothing is dropped", *notes), source)
            for q in original
        ),
        *(_protocol(f"{name}-{'+'.join(q)}", q, Drop.SAME_SOURCE, (SOURCE_NOTE, *notes), source) for q in queries),
    )


def _protocol(name: str, query: tuple[Modality, ...], drop: Drop, notes: tuple[str, ...], source: str) -> Protocol:
    fused = len(query) > 1
    return Protocol(
        name,
        Select(query, (Split.TEST,)),
        Select((Modality.RGB,), (Split.TEST,)),
        drop,
        fuse=Fuse.SOURCE if fused else Fuse.NONE,
        notes=(*notes, FUSE_NOTE) if fused else notes,
        source=source,
    )
