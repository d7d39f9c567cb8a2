"""ORBench: Zuo et al., ReID5o: Achieving Omni Multi-modal Person Re-identification in a Single Model, NeurIPS 2025.

Colour-pencil drawings (`cp/`) and sketches (`sk/`) are both `Modality.SKETCH`; the folder is their camera_id.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reid.dataset import Count, Dataset, count_people
from reid.datasets.folders import find_folder, image_files, sample_id
from reid.datasets.holdout import HOLD_OUT, hold_out
from reid.datasets.kind import Kind
from reid.errors import UserError
from reid.modality import Modality
from reid.protocol import Protocol, Select
from reid.sample import Sample, Split

TITLE = "ORBench"
TRAIN_FILE, TEST_FILE, GALLERY = "train_annos.json", "test_gallery_and_queries.json", "RGB_GALLERY"
FOLDERS = {"vis": Modality.RGB, "nir": Modality.IR, "cp": Modality.SKETCH, "sk": Modality.SKETCH}
PARTS = {"NIR": Modality.IR, "CP": Modality.SKETCH, "SK": Modality.SKETCH, "TEXT": Modality.TEXT}
"""Part of a query list's name, such as `TEXT+NIR` -> modality of that member of its queries."""
GROUPS = {1: ("ONE", 4), 2: ("TWO", 12), 3: ("THREE", 12), 4: ("FOUR", 4)}
"""Number of members -> the name of the group and its published number of query lists."""
FUSE_NOTE = "a composite query is the normalised mean of its normalised embeddings; ReID5o learns a fusion module"
SOURCE = "ReID5o datasets/orbench.py, utils/metrics.py; no camera rule"

Entry = tuple[int, tuple[str, ...]]
"""Label of a person, and the members (paths, captions) of one gallery entry or query in the order of its list."""


def load(root: Path, options: Mapping[str, str]) -> Dataset:
    """The data set at `root`, or in `ORBench` inside it.

    A person_id is the name of the person's folder, because labels count anew in the lists. A caption of a test person
    is `<person>#<n>`: the lists do not say which photograph it describes.

    Raises:
        UserError: wrong layout or a broken list.
    """
    folder = find_folder(root, (TITLE,), (*FOLDERS, TRAIN_FILE, TEST_FILE), TITLE)
    train = _train(folder)
    lists = _read_lists(folder / TEST_FILE)
    gallery, queries = lists[GALLERY], {key: entries for key, entries in lists.items() if key != GALLERY}
    people = _people(folder / TEST_FILE, lists)
    captions = _captions(queries, people)
    paths = {members[0]: people[label] for label, members in gallery}
    for key, entries in queries.items():
        for label, members in entries:
            paths.update((m, people[label]) for part, m in _members(key, members) if part != "TEXT")
    if not (folder / gallery[0][1][0]).is_file():
        raise UserError(f"{folder / TEST_FILE}: names {gallery[0][1][0]}, which is not in {folder}; unpack it there")
    test = [_image(folder / path, folder, person, Split.TEST) for path, person in sorted(paths.items())]
    texts = [
        Sample(name, person, Modality.TEXT, Split.TEST, text=text)
        for (person, text), name in sorted(captions.items(), key=lambda item: _caption_order(item[1]))
    ]
    protocols = [_protocol(key, queries[key], people, captions) for key in sorted(queries, key=_size)]
    samples = hold_out((*train, *test, *texts), options["val_people"], "orbench")
    return Dataset("orbench", folder, samples, tuple(protocols), _counts((*train, *test), queries), dict(options))


def _train(root: Path) -> list[Sample]:
    """Photographs and captions of the list, and every other image in the folders of the same people."""
    file = root / TRAIN_FILE
    entries = _json(file)
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{file}: expected a JSON list with an entry for each photograph")
    captions: dict[str, list[str]] = {}
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict) or not isinstance(entry.get("file_path"), str):
            raise UserError(f"{file}: entry {number}: no file_path")
        found = entry.get("caption", entry.get("captions"))
        sentences = [found] if isinstance(found, str) else found
        if not isinstance(sentences, list) or not all(isinstance(s, str) for s in sentences):
            raise UserError(f"{file}: entry {number}: no caption")
        captions.setdefault(_clean(entry["file_path"]), []).extend(sentences)
    samples, texts = [], []
    for path in sorted(captions):
        photo = _image(root / path, root, _folder_of(path, file), Split.TRAIN)
        samples.append(photo)
        for number, text in enumerate(captions[path]):
            name = f"{photo.sample_id}#{number}"
            texts.append(
                Sample(name, photo.person_id, Modality.TEXT, Split.TRAIN, text=text, source_id=photo.sample_id)
            )
    people = sorted({s.person_id for s in samples})
    for kind in ("nir", "cp", "sk"):
        for person in people:
            folder = root / kind / person
            if folder.is_dir():
                samples += [_image(image, root, person, Split.TRAIN) for image in image_files(folder)]
    return [*samples, *texts]


def _image(image: Path, root: Path, person: str, split: Split) -> Sample:
    path = sample_id(image, root)
    kind = path.partition("/")[0]
    camera = kind if kind in ("cp", "sk") else None
    return Sample(path, person, FOLDERS[kind], split, camera, image, source_id=path if kind == "vis" else None)


def _read_lists(file: Path) -> dict[str, list[Entry]]:
    """The gallery and the query lists by name, checked."""
    raw = _json(file)
    if not isinstance(raw, dict) or not isinstance(raw.get(GALLERY), list) or not raw[GALLERY]:
        raise UserError(f"{file}: expected a JSON object with a list {GALLERY} and the query lists")
    lists: dict[str, list[Entry]] = {}
    for key, entries in raw.items():
        unknown = [] if key == GALLERY else [part for part in key.split("+") if part not in PARTS]
        if unknown or not isinstance(entries, list):
            raise UserError(
                f"{file}: '{key}' is no query list; expected names made of {', '.join(PARTS)}, like TEXT+NIR"
            )
        size = 1 if key == GALLERY else _size(key)
        lists[key] = [_entry(entry, size, key, f"{file}: {key}, entry {n}") for n, entry in enumerate(entries, start=1)]
    return lists


def _entry(entry: Any, size: int, key: str, where: str) -> Entry:
    """`[label, member, ...]` as a label and members in the order of the list's name, paths cleaned and checked."""
    if not isinstance(entry, list) or len(entry) != size + 1 or not all(isinstance(m, str) for m in entry[1:]):
        raise UserError(f"{where}: expected a person and {size} path(s) or caption(s) in the order of the list's name")
    label = str(entry[0])
    if not (label.isascii() and label.isdigit()):
        raise UserError(f"{where}: '{label[:80]}' is no person number")
    members = []
    for part, member in _members(key, entry[1:]):
        members.append(member if part == "TEXT" else _clean(member))
        if part != "TEXT":
            _folder_of(members[-1], where)
    return int(label), tuple(members)


def _members(key: str, members: Sequence[str]) -> list[tuple[str, str]]:
    return list(zip(["vis"] if key == GALLERY else key.split("+"), members, strict=True))


def _people(file: Path, lists: Mapping[str, list[Entry]]) -> dict[int, str]:
    """Label -> the name of the person's folder, as told by the paths that the label stands beside."""
    people: dict[int, str] = {}
    for key, entries in lists.items():
        for label, members in entries:
            for part, member in _members(key, members):
                if part != "TEXT":
                    person = _folder_of(member, file)
                    if people.setdefault(label, person) != person:
                        raise UserError(
                            f"{file}: person {label} is in folders {people[label]} and {person}; download it again"
                        )
    shared = [person for person, number in Counter(people.values()).items() if number > 1]
    if shared:
        raise UserError(f"{file}: folder {shared[0]} belongs to several persons; download it again")
    for entries in lists.values():
        for label, _ in entries:
            people.setdefault(label, f"test-{label}")
    return people


def _captions(queries: Mapping[str, list[Entry]], people: Mapping[int, str]) -> dict[tuple[str, str], str]:
    """(person, caption) -> sample_id. Equal captions of one person are one sample, of two people two samples."""
    names: dict[tuple[str, str], str] = {}
    numbers: Counter[str] = Counter()
    for key in sorted(queries, key=_size):
        for label, members in queries[key]:
            for part, member in _members(key, members):
                described = (people[label], member)
                if part == "TEXT" and described not in names:
                    names[described] = f"{people[label]}#{numbers[people[label]]}"
                    numbers[people[label]] += 1
    return names


def _caption_order(name: str) -> tuple[str, int]:
    person, _, number = name.rpartition("#")
    return person, int(number)


def _protocol(
    key: str, entries: list[Entry], people: Mapping[int, str], captions: Mapping[tuple[str, str], str]
) -> Protocol:
    size = _size(key)
    group, lists = GROUPS.get(size, (str(size), 0))
    groups = tuple(
        tuple(captions[people[label], m] if part == "TEXT" else m for part, m in _members(key, members))
        for label, members in entries
    )
    notes = (f"group {group}: published tables give the mean over its {lists} query lists", *([FUSE_NOTE] * (size > 1)))
    return Protocol(
        name=f"orbench-{key.lower()}",
        query=Select(tuple(dict.fromkeys(PARTS[part] for part in key.split("+"))), (Split.TEST,)),
        gallery=Select((Modality.RGB,), (Split.TEST,)),
        query_groups=groups,
        notes=notes,
        source=SOURCE,
        group=f"{TITLE} {group}",
    )


def _counts(samples: Sequence[Sample], queries: Iterable[str]) -> tuple[Count, ...]:
    sizes = Counter(_size(key) for key in queries)
    return (
        count_people(samples, "people", 1_000),
        count_people(samples, "train people", 600, Split.TRAIN),
        count_people(samples, "test people", 400, Split.TEST),
        *(Count(f"query lists of group {name}", sizes[size], lists) for size, (name, lists) in GROUPS.items()),
    )


def _size(key: str) -> int:
    return key.count("+") + 1


def _clean(path: str) -> str:
    return path.replace("\\", "/").removeprefix("./").lstrip("/")


def _folder_of(path: str, where: object) -> str:
    """The person's folder in a path such as `vis/0601/0001.jpg`."""
    parts = path.split("/")
    if len(parts) != 3 or parts[0] not in FOLDERS:
        raise UserError(f"{where}: '{path[:80]}' is no image; expected {{{','.join(FOLDERS)}}}/PERSON/IMAGE")
    return parts[1]


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file}: not a JSON file ({error}); download it again") from error


KIND = Kind(
    name="orbench",
    title=TITLE,
    layout=(
        "ORBench/{vis,nir,cp,sk}/0001/\n"
        "ORBench/train_annos.json  (list of id, file_path, caption)\n"
        "ORBench/test_gallery_and_queries.json  (RGB_GALLERY, NIR, ..., TEXT+NIR+CP+SK)"
    ),
    load=load,
    options={"val_people": HOLD_OUT},
)
