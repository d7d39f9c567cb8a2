"""The user's own data: one JSONL or CSV file, `samples.jsonl` or `samples.csv`, with a row for each observation.

Keys (JSONL) or columns (CSV); person_id, split and one of image and text are needed:

- image: path of the image, relative to the file's folder, with forward slashes; absolute paths are legal.
- text: a sentence about the person; beside an image, a caption of that image.
- person_id: any string or whole number.
- camera_id: likewise; may be missing, which means "no camera rule".
- modality: rgb, ir, sketch or text; without it, rgb for images and text for sentences alone.
- split: train, val, query, gallery or test; test lets the protocol decide who is asked and who is found.
- sample_id: unique; without it, the image's path, `<image>#<n>` for captions, `<person>#<n>` for sentences alone.
- source_id: sample_id of the photograph that this was made from or describes; without it, an image is its own source,
  and so is the image of a caption. In JSONL, "" means that even an image has no source.

Whitespace around ids is no part of them; an id of nothing else counts as missing.

An image may stand in several rows that differ in their text only: these are its captions.
"""

from __future__ import annotations

import csv
import difflib
import json
import os
import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from reid.artifact import PARTIAL
from reid.dataset import Dataset
from reid.datasets.folders import contents
from reid.datasets.kind import Kind
from reid.datasets.manifest_protocols import default_protocols
from reid.errors import UserError
from reid.modality import Modality
from reid.progress import progress_bar
from reid.sample import Sample, Split

FILES = ("samples.jsonl", "samples.csv")
COLUMNS = ("image", "text", "person_id", "camera_id", "modality", "split", "sample_id", "source_id")
IDS = frozenset({"person_id", "camera_id", "sample_id", "source_id"})
Row = dict[str, str]
"""One row: the keys that it gives, with their values as strings. Empty ones are left out, except for JSONL's source_id
and text, where "" says something: no source, and a sentence that is empty (for `check` to find)."""


def load(root: Path, options: Mapping[str, str]) -> Dataset:
    """The data set that the file `root` lists, or the `samples.jsonl` or `samples.csv` in the folder `root`.

    Samples are in the file's order. Images that are not there give a warning; it is an error if none is there.

    Raises:
        UserError: no such file, or a row that is not as described above, with its line.
    """
    file = _find(root)
    builder = _Builder(file)
    for line, row in _rows(file):
        builder.add(line, row)
    samples = tuple(builder.samples)
    if not samples:
        raise UserError(f"{file}: empty; expected a row for each image or sentence")
    protocols, warnings = default_protocols(samples)
    return Dataset(
        "manifest", file.parent, samples, protocols, (), dict(options), (*builder.missing_images(), *warnings)
    )


def write_manifest(path: Path, samples: Iterable[Sample]) -> int:
    """Write a JSONL file that reads back as `samples`, without holding them in memory.

    Images below the file's folder are written relative to it, others as absolute paths. The file appears whole or not
    at all.

    Args:
        path: of the file, usually `samples.jsonl` in the folder that holds the images.
        samples: each has an image or a sentence, not both.

    Returns:
        How many samples were written.

    Raises:
        UserError: the file cannot be written, or an id has whitespace around it or is not Unicode text.
        ValueError: a sample that a manifest cannot express: no person, or an empty string for a camera or a source.
    """
    partial, count = path.with_name(path.name + PARTIAL), 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8", newline="\n") as stream:
            for sample in samples:
                stream.write(json.dumps(_row_of(sample, path.parent), ensure_ascii=False) + "\n")
                count += 1
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or type(error).__name__})") from error
    except UnicodeEncodeError as error:
        # Names of files that are not UTF-8 come as lone surrogates.
        told = ascii(error.object)[:200]
        raise UserError(f"{path}: a name in this row is not Unicode text; rename the file or folder: {told}") from error
    finally:
        with suppress(OSError):
            partial.unlink()
    return count


def _row_of(s: Sample, folder: Path) -> Row:
    if not (s.sample_id and s.person_id) or "" in (s.camera_id, s.source_id) or (s.image is None) == (s.text is None):
        raise ValueError(f"sample {s.sample_id} does not fit into a manifest: {s}")
    for value in (s.sample_id, s.person_id, s.camera_id, s.source_id):
        if value is not None and value != value.strip():
            raise UserError(f"{value!r}: an id with whitespace around it does not fit into a manifest; rename it")
    row: Row = {}
    if s.image is not None:
        inside = s.image.is_relative_to(folder)
        row["image"] = s.image.relative_to(folder).as_posix() if inside else s.image.absolute().as_posix()
    if s.text is not None:
        row["text"] = s.text
    row["person_id"] = s.person_id
    if s.camera_id is not None:
        row["camera_id"] = s.camera_id
    row |= {"modality": s.modality.value, "split": s.split.value, "sample_id": s.sample_id}
    if s.image is not None and s.source_id is None:
        row["source_id"] = ""
    elif s.source_id is not None and s.source_id != (s.sample_id if s.image is not None else None):
        row["source_id"] = s.source_id
    return row


def _find(root: Path) -> Path:
    if root.is_dir():
        file = next((root / name for name in FILES if (root / name).is_file()), None)
        if file is None:
            raise UserError(f"{root}: expected {' or '.join(FILES)} in it, found {contents(root)}")
        return file
    if root.suffix.lower() not in (".jsonl", ".csv"):
        raise UserError(f"{root}: a manifest's name ends in .jsonl or .csv; rename it if it is one")
    return root


def _rows(file: Path) -> Iterator[tuple[int, Row]]:
    """The rows of a manifest with their line numbers, one by one."""
    read = _csv_rows if file.suffix.lower() == ".csv" else _json_rows
    line = 0
    try:
        with progress_bar(what=f"reading {file.name}", unit="rows") as bar:
            for line, row in read(file):
                yield line, row
                bar.update()
    except UnicodeDecodeError as error:
        raise UserError(f"{file}, after line {line}: not UTF-8 ({error.reason}); save it as UTF-8") from error


def _json_rows(file: Path) -> Iterator[tuple[int, Row]]:
    known = frozenset(COLUMNS)
    with file.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                raw = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UserError(f"{file}, line {number}: not JSON ({error}); expected one object per line") from error
            if not isinstance(raw, dict):
                raise UserError(f"{file}, line {number}: expected a JSON object, found {type(raw).__name__}")
            if not known.issuperset(raw):
                _refuse_unknown(raw, f"{file}, line {number}")
            yield number, _strings(raw, file, number)


def _strings(raw: dict[str, Any], file: Path, number: int) -> Row:
    row: Row = {}
    for key, value in raw.items():
        if type(value) is int:
            value = str(value)
        if key in IDS and isinstance(value, str):
            value = value.strip()
        if value is None or (value == "" and key not in ("source_id", "text")):
            continue
        if not isinstance(value, str):
            found = f"a {type(value).__name__}" if isinstance(value, (list, dict)) else json.dumps(value)[:80]
            raise UserError(f"{file}, line {number}: {key} is {found}; expected a string")
        if not _is_unicode(value):
            raise UserError(
                f"{file}, line {number}: {key} {ascii(value)[:80]} holds half a character (a lone surrogate); "
                "write the whole character in UTF-8"
            )
        row[key] = value
    return row


def _is_unicode(value: str) -> bool:
    """False for lone surrogates, which JSON can spell but nothing can print or save."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_file(path: Path) -> bool:
    """Path.is_file, but False also for names that are too long for any file."""
    try:
        return path.is_file()
    except OSError:
        return False


def _csv_rows(file: Path) -> Iterator[tuple[int, Row]]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, skipinitialspace=True, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            _refuse_unknown(header, f"{file}, line 1")
            repeated = [name for name, times in Counter(header).items() if times > 1]
            if repeated:
                raise UserError(f"{file}, line 1: column '{repeated[0]}' is there twice; keep one")
            for values in reader:
                if not values:
                    continue
                if len(values) != len(header):
                    raise UserError(
                        f"{file}, line {reader.line_num}: {len(values)} values for {len(header)} columns; "
                        "put values that hold a comma in double quotes"
                    )
                cells = ((k, v.strip() if k in IDS else v) for k, v in zip(header, values, strict=True))
                yield reader.line_num, {key: value for key, value in cells if value}
        except csv.Error as error:
            raise UserError(f"{file}, line {reader.line_num}: not CSV ({error})") from error


def _refuse_unknown(keys: Iterable[str], where: str) -> None:
    for key in keys:
        if key not in COLUMNS:
            near = difflib.get_close_matches(key.lower(), COLUMNS, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(COLUMNS)}"
            raise UserError(f"{where}: unknown key {ascii(key)[:80]}; {hint}")


class _Builder:
    """Rows in, samples out; remembers what it needs to number captions and to find repetitions."""

    def __init__(self, file: Path) -> None:
        self.samples: list[Sample] = []
        self._file = file
        self._folder = file.parent
        self._line_of: dict[str, int] = {}
        self._image_at: dict[str, int] = {}
        self._captions: Counter[str] = Counter()
        self._modalities = {m.value: m for m in Modality}
        self._splits = {s.value: s for s in Split}

    def add(self, line: int, row: Row) -> None:
        """One row: an image, a sentence, or an image with its caption."""
        for key in ("person_id", "split"):
            if key not in row:
                raise UserError(f"{self._where(line)}: no {key}; every row needs one")
        split = self._splits.get(row["split"]) or Split.parse(row["split"], f"{self._where(line)}, split")
        modality = self._modality(row, line)
        text = row.get("text")
        if modality is Modality.TEXT:
            source = row.get("source_id") or None
            sample_id = row.get("sample_id") or self._number(source or row["person_id"])
            self._append(
                Sample(sample_id, row["person_id"], modality, split, row.get("camera_id"), None, text, source), line
            )
            return
        image_id = self._add_image(row, modality, split, line)
        if text:
            caption_id = self._number(image_id)
            self._append(
                Sample(caption_id, row["person_id"], Modality.TEXT, split, text=text, source_id=image_id), line
            )

    def _add_image(self, row: Row, modality: Modality, split: Split, line: int) -> str:
        """The image's sample_id; a row that repeats an image for another caption adds no second sample."""
        image_id = row.get("sample_id") or self._path_id(row["image"])
        source = row.get("source_id", image_id) or None
        path = self._folder / row["image"]
        sample = Sample(image_id, row["person_id"], modality, split, row.get("camera_id"), path, None, source)
        at = self._image_at.get(image_id)
        if at is not None and row.get("text"):
            if self.samples[at] == sample:
                return image_id
            raise UserError(
                f"{self._where(line)}: '{image_id}' is another person, camera, modality or split than on line "
                f"{self._line_of[image_id]}; rows of one image may differ in their text only"
            )
        self._image_at[image_id] = len(self.samples)
        self._append(sample, line)
        return image_id

    def _append(self, sample: Sample, line: int) -> None:
        first = self._line_of.setdefault(sample.sample_id, line)
        if first != line:
            raise UserError(
                f"{self._where(line)}: '{sample.sample_id}' is on line {first} already; sample_ids are unique"
            )
        self.samples.append(sample)

    def _modality(self, row: Row, line: int) -> Modality:
        given = row.get("modality")
        modality = None
        if given is not None:
            modality = self._modalities.get(given) or Modality.parse(given, f"{self._where(line)}, modality")
        if "image" in row:
            if modality is Modality.TEXT:
                raise UserError(f"{self._where(line)}: modality text, but there is an image; name the image's modality")
            return modality or Modality.RGB
        if not row.get("text") and (modality is not Modality.TEXT or "text" not in row):
            raise UserError(f"{self._where(line)}: neither image nor text; every row needs one of them")
        if modality not in (None, Modality.TEXT):
            raise UserError(f"{self._where(line)}: modality {modality}, but there is no image")
        return Modality.TEXT

    def _number(self, prefix: str) -> str:
        """The next `<prefix>#<n>` that no row has taken."""
        while True:
            sample_id = f"{prefix}#{self._captions[prefix]}"
            self._captions[prefix] += 1
            if sample_id not in self._line_of:
                return sample_id

    def _path_id(self, value: str) -> str:
        """The path relative to the file's folder where it lies inside, otherwise as it is written; stripped."""
        if value.startswith("/") or ":" in value:
            path = Path(value)
            if path.is_absolute() and path.is_relative_to(self._folder):
                value = path.relative_to(self._folder).as_posix()
        return posixpath.normpath(value).strip()

    def _where(self, line: int) -> str:
        return f"{self._file}, line {line}"

    def missing_images(self) -> tuple[str, ...]:
        """A warning if images are not there; every folder is listed once, however many images it holds.

        Raises:
            UserError: none is there.
        """
        by_folder: dict[Path, list[tuple[Path, Sample]]] = defaultdict(list)
        for index in self._image_at.values():
            sample = self.samples[index]
            assert sample.image is not None
            by_folder[sample.image.parent].append((sample.image, sample))
        missing: list[Sample] = []
        for folder, images in by_folder.items():
            present: set[str] = set()
            # No such folder, or, where a sentence stands in place of a path, none that could be.
            with suppress(OSError, ValueError):
                present = {entry.name for entry in folder.iterdir()}
            # The second look is for file systems that ignore case.
            missing += [s for image, s in images if image.name not in present and not _is_file(image)]
        if not missing:
            return ()
        first = min(missing, key=lambda s: self._line_of[s.sample_id])
        told = f"the first is {str(first.image)[:300]} on line {self._line_of[first.sample_id]}"
        if len(missing) == len(self._image_at):
            raise UserError(
                f"{self._file}: none of its {len(missing):,} images is there, {told}; "
                "paths are relative to the file's folder, with forward slashes"
            )
        return (f"{self._file}: {len(missing):,} of {len(self._image_at):,} images are missing, {told}",)


KIND = Kind(
    name="manifest",
    title="your own data",
    layout=(
        "samples.jsonl or samples.csv, a row for each observation:\n"
        '{"image": "images/7.jpg", "person_id": "ann", "camera_id": "door", "modality": "rgb", "split": "query"}\n'
        '{"text": "a woman in a red coat", "person_id": "ann", "split": "query"}'
    ),
    load=load,
)
