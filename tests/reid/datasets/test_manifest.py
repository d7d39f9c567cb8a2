"""The user's own data: reading, writing, what is refused and how it is scored."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reid.dataset import Dataset
from reid.datasets import load_dataset, open_dataset
from reid.datasets.manifest import write_manifest
from reid.errors import UserError
from reid.modality import Modality
from reid.sample import Sample, Split
from reid.table import SampleTable
from reid.trials import resolve

Write = Callable[..., Path]


def row(image: str, person: str = "ann", split: str = "train", **more: Any) -> dict[str, Any]:
    return {"image": image, "person_id": person, "split": split, **more}


def matches(dataset: Dataset, name: str) -> dict[str, set[str]]:
    """Query -> the gallery images of the same person that count, by the protocol called `name`."""
    table = SampleTable.of(dataset.samples)
    (trial,) = resolve(dataset.protocol(name), table)
    return {
        table.sample_id[query]: {
            table.sample_id[entry]
            for entry, p, d in zip(trial.gallery, trial.gallery_person, trial.gallery_drop, strict=True)
            if p == person and not (d >= 0 and d == drop)
        }
        for query, person, drop in zip(trial.query, trial.query_person, trial.query_drop, strict=True)
    }


# Reading


def test_rows_become_samples(write: Write) -> None:
    root = write(
        row("a/1.png", camera_id="door"),
        row("a/2.png", 7, "query", modality="IR", camera_id=3, text="warm coat"),
        {"text": "a woman in red", "person_id": "ann", "split": "gallery"},
        {"text": "she carries a bag", "person_id": "ann", "split": "gallery", "modality": "text"},
        row("s.png", modality="sketch", source_id="a/1.png", sample_id="drawn"),
        {"text": "as drawn", "person_id": "ann", "split": "train", "source_id": "drawn", "camera_id": None},
    )
    dataset = load_dataset("manifest", root)
    assert dataset.samples == (
        Sample("a/1.png", "ann", Modality.RGB, Split.TRAIN, "door", root / "a/1.png", None, "a/1.png"),
        Sample("a/2.png", "7", Modality.IR, Split.QUERY, "3", root / "a/2.png", None, "a/2.png"),
        Sample("a/2.png#0", "7", Modality.TEXT, Split.QUERY, None, None, "warm coat", "a/2.png"),
        Sample("ann#0", "ann", Modality.TEXT, Split.GALLERY, None, None, "a woman in red"),
        Sample("ann#1", "ann", Modality.TEXT, Split.GALLERY, None, None, "she carries a bag"),
        Sample("drawn", "ann", Modality.SKETCH, Split.TRAIN, None, root / "s.png", None, "a/1.png"),
        Sample("drawn#0", "ann", Modality.TEXT, Split.TRAIN, None, None, "as drawn", "drawn"),
    )
    assert (dataset.root, dataset.kind, dataset.warnings) == (root, "manifest", ())


def test_the_same_data_as_csv(write: Write, write_image: Callable[..., Path]) -> None:
    root = write(
        row("a/1.png", camera_id="1", text='a "red" coat, long'),
        row("b.png", "bob", "query"),
        {"text": "two\nlines", "person_id": "bob", "split": "query"},
    )
    expected = load_dataset("manifest", root).samples
    (root / "samples.jsonl").unlink()
    lines = (
        '\ufeffimage, text , person_id,camera_id,split\r\na/1.png, "a ""red"" coat, long",ann,1,train\r\n'
        'b.png,,bob,,query\r\n\r\n,"two\nlines",bob,,query\r\n'
    )
    (root / "samples.csv").write_text(lines, encoding="utf-8", newline="")
    assert load_dataset("manifest", root).samples == expected
    assert open_dataset(str(root)).samples == expected
    assert open_dataset(str(root / "samples.csv")).samples == expected


def test_rows_of_one_image_are_its_captions(write: Write) -> None:
    root = write(
        row("1.png"),
        row("1.png", text="one"),
        row("2.png", "bob"),
        row("1.png", text="two"),
    )
    samples = load_dataset("manifest", root).samples
    assert [s.sample_id for s in samples] == ["1.png", "1.png#0", "2.png", "1.png#1"]
    assert [s.text for s in samples] == [None, "one", None, "two"]
    for change in ({"person_id": "bob"}, {"split": "val"}, {"camera_id": "9"}, {"modality": "ir"}):
        root = write(row("1.png", text="one"), {**row("1.png", text="two"), **change})
        with pytest.raises(UserError, match=r"line 2: '1\.png' is another person, camera, .* than on line 1"):
            load_dataset("manifest", root)


def test_paths_are_told_apart_by_where_they_lead(
    write: Write, tmp_path: Path, write_image: Callable[..., Path]
) -> None:
    write_image(tmp_path / "outside.png")
    inner = tmp_path / "inner"
    write_image(inner / "a.png")
    lines = [row("./a.png"), row("../outside.png"), row(str(inner / "b.png")), row(str(tmp_path / "c.png"))]
    for name in ("inner/b.png", "c.png"):
        write_image(tmp_path / name)
    (inner / "samples.jsonl").write_text("".join(json.dumps(line) + "\n\n" for line in lines))
    dataset = load_dataset("manifest", inner)
    assert not dataset.warnings
    assert [s.sample_id for s in dataset.samples] == [
        "a.png",
        "../outside.png",
        "b.png",
        (tmp_path / "c.png").as_posix(),
    ]
    (inner / "samples.jsonl").write_text(json.dumps(row("a.png")) + "\n" + json.dumps(row("./a.png")))
    with pytest.raises(UserError, match=r"line 2: 'a\.png' is on line 1 already; sample_ids are unique"):
        load_dataset("manifest", inner)


def test_numbers_that_are_taken_are_passed_over(write: Write) -> None:
    sentence = {"text": "x", "person_id": "ann", "split": "train"}
    root = write({**sentence, "sample_id": "ann#0"}, sentence)
    assert [s.sample_id for s in load_dataset("manifest", root).samples] == ["ann#0", "ann#1"]


@pytest.mark.parametrize("as_csv", [False, True])
def test_whitespace_is_no_part_of_an_id(write: Write, as_csv: bool) -> None:
    ids = [("1 ", " ann", "c1 ", ""), (" 2", "ann ", "c1", " 1 "), ("3", "ann", "  ", "3")]
    keys = ("sample_id", "person_id", "camera_id", "source_id")
    rows = [row(f"{n}.png", split="test") | dict(zip(keys, values, strict=True)) for n, values in enumerate(ids)]
    del rows[0]["source_id"]
    root = write(*rows)
    if as_csv:
        (root / "samples.jsonl").unlink()
        lines = [",".join(("image", "split", *keys))]
        lines += [",".join((f"{n}.png", "test", *(f'"{v}"' for v in values))) for n, values in enumerate(ids)]
        (root / "samples.csv").write_text("\n".join(lines))
    dataset = load_dataset("manifest", root)
    assert [(s.sample_id, s.person_id, s.camera_id, s.source_id) for s in dataset.samples] == [
        ("1", "ann", "c1", "1"),
        ("2", "ann", "c1", "1"),
        ("3", "ann", None, "3"),
    ]
    assert matches(dataset, "rgb-to-rgb")["1"] == {"3"}, "one camera, however it is padded"


# Refusing


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"image": "1.png"', "line 2: not JSON"),
        ('["1.png"]', "line 2: expected a JSON object, found list"),
        ('{"image": "1.png", "persn_id": "a", "split": "train"}', "unknown key 'persn_id'; did you mean 'person_id'"),
        ('{"image": "1.png", "person_id": "a", "zzz": 1}', "unknown key 'zzz'; known are image, text, person_id"),
        ('{"image": "1.png", "split": "train"}', "line 2: no person_id; every row needs one"),
        ('{"image": "1.png", "person_id": "", "split": "train"}', "line 2: no person_id"),
        ('{"image": "1.png", "person_id": "a"}', "line 2: no split; every row needs one"),
        ('{"image": "1.png", "person_id": "a", "split": "tset"}', "line 2, split: 'tset' is not a split; expected one"),
        ('{"image": "1.png", "person_id": true, "split": "train"}', "line 2: person_id is true; expected a string"),
        ('{"image": "1.png", "person_id": 1.5, "split": "train"}', r"line 2: person_id is 1\.5; expected a string"),
        ('{"image": ["1.png"], "person_id": "a", "split": "train"}', "line 2: image is .* expected a string"),
        ('{"person_id": "a", "split": "train"}', "line 2: neither image nor text; every row needs one of them"),
        ('{"text": "", "person_id": "a", "split": "train"}', "line 2: neither image nor text"),
        ('{"image": "1.png", "person_id": " ", "split": "train"}', "line 2: no person_id"),
        ('{"a": ' + "[" * 100_000, "line 2: not JSON"),
        ('{"text": ' + "[" * 400 + "]" * 400 + "}", "line 2: text is a list; expected a string"),
        (r'{"text": "x", "person_id": "\ud800", "split": "train"}', r"line 2: person_id '\\ud800' holds half a char"),
        (r'{"\ud800": "x", "person_id": "a", "split": "train"}', r"line 2: unknown key '\\ud800'; known are"),
        (
            '{"image": "1.png", "modality": "xray", "person_id": "a", "split": "train"}',
            "line 2, modality: 'xray' is not a modality",
        ),
        (
            '{"image": "1.png", "text": "x", "modality": "text", "person_id": "a", "split": "train"}',
            "line 2: modality text, but there is an image",
        ),
        (
            '{"text": "x", "modality": "ir", "person_id": "a", "split": "train"}',
            "line 2: modality ir, but there is no image",
        ),
        ('{"image": "0.png", "person_id": "a", "split": "train"}', r"line 2: '0\.png' is on line 1 already"),
    ],
)
def test_bad_rows_are_named_with_their_line(write: Write, line: str, message: str) -> None:
    root = write(row("0.png", "a"))
    with (root / "samples.jsonl").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(UserError, match=rf"samples\.jsonl, {message}|samples\.jsonl, line 2: {message}") as error:
        load_dataset("manifest", root)
    assert "\n" not in str(error.value)
    assert str(error.value).isascii(), "half a character in a message cannot be printed"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,persn_id,split\n", "line 1: unknown key 'persn_id'; did you mean 'person_id'"),
        ("image,split,image\n", "line 1: column 'image' is there twice"),
        ("image,person_id,split\n1.png,ann,train\n2.png,ann\n", "line 3: 2 values for 3 columns"),
        ("text,person_id,split\na coat, red,ann,train\n", "line 2: 4 values for 3 columns"),
        ('text,person_id,split\n"a "coat,ann,train\n', "line 2: not CSV"),
        ("image,person_id,split\n1.png,,train\n", "line 2: no person_id"),
    ],
)
def test_bad_csv(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "samples.csv").write_text(text)
    with pytest.raises(UserError, match=rf"samples\.csv, {message}"):
        load_dataset("manifest", tmp_path)


def test_files_that_are_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected samples\.jsonl or samples\.csv in it, found an empty folder"):
        load_dataset("manifest", tmp_path)
    (tmp_path / "people.txt").write_text("x")
    with pytest.raises(UserError, match=r"people\.txt: a manifest's name ends in \.jsonl or \.csv"):
        load_dataset("manifest", tmp_path / "people.txt")
    (tmp_path / "samples.jsonl").write_text("\n")
    with pytest.raises(UserError, match=r"samples\.jsonl: empty; expected a row"):
        load_dataset("manifest", tmp_path)
    (tmp_path / "samples.jsonl").write_bytes(b'{"text": "caf\xe9", "person_id": "a", "split": "train"}\n')
    with pytest.raises(UserError, match=r"samples\.jsonl, after line 0: not UTF-8"):
        load_dataset("manifest", tmp_path)


def test_missing_images_are_counted_and_the_first_is_named(write: Write) -> None:
    rows = [row(f"{folder}/{n}.png", split="train") for folder in ("a", "b") for n in range(3)]
    root = write(*rows)
    for name in ("b/1.png", "a/2.png"):
        (root / name).unlink()
    dataset = load_dataset("manifest", root)
    (warning,) = dataset.warnings
    assert "2 of 6 images are missing" in warning
    assert warning.endswith("a/2.png on line 3")
    assert len(dataset.samples) == 6, "reading them fails by name, unless --skip-broken"
    with pytest.raises(UserError, match=r"none of its 2 images is there, the first is .*nowhere/1\.png on line 1"):
        load_dataset("manifest", write(row("nowhere/1.png"), row("nowhere/2.png"), images=False))


def test_a_sentence_in_place_of_an_image_is_a_missing_image(write: Write) -> None:
    root = write(row("1.png"))
    with (root / "samples.jsonl").open("a") as stream:
        for image in ("a man " * 1_000, "a man/" * 1_000 + "1.png"):
            stream.write(json.dumps(row(image)) + "\n")
    (warning,) = load_dataset("manifest", root).warnings
    assert "2 of 3 images are missing" in warning
    assert warning.endswith("on line 2")
    assert len(warning) < 600


# Writing

# No whitespace around: that is no part of an id.
WORD = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6).filter(lambda id: id == id.strip())
FILE_NAME = st.from_regex(r"[a-z0-9 é#,\"]{1,8}\.png", fullmatch=True).filter(lambda name: name == name.strip())


@st.composite
def samples(draw: st.DrawFn) -> list[Sample]:
    made = []
    for sample_id in draw(st.lists(WORD, unique=True, min_size=1, max_size=6)):
        modality = draw(st.sampled_from(Modality))
        source = draw(st.one_of(st.none(), st.just(sample_id), WORD))
        made.append(
            Sample(
                sample_id,
                draw(WORD),
                modality,
                draw(st.sampled_from(Split)),
                draw(st.one_of(st.none(), WORD)),
                Path(draw(FILE_NAME)) if modality.is_image else None,
                None if modality.is_image else draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=20)),
                source,
            )
        )
    return made


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=samples())
def test_what_is_written_reads_back_equal(made: list[Sample], tmp_path: Path) -> None:
    placed = []
    for s in made:
        image = None if s.image is None else tmp_path / "images" / s.image
        if image is not None:
            image.parent.mkdir(exist_ok=True)
            image.touch()
        text = s.text
        placed.append(Sample(s.sample_id, s.person_id, s.modality, s.split, s.camera_id, image, text, s.source_id))
    assert write_manifest(tmp_path / "samples.jsonl", iter(placed)) == len(placed)
    dataset = load_dataset("manifest", tmp_path)
    assert list(dataset.samples) == placed
    assert not any("missing" in warning for warning in dataset.warnings)


def test_images_elsewhere_are_written_with_their_whole_path(tmp_path: Path, write_image: Callable[..., Path]) -> None:
    outside, inside = write_image(tmp_path / "o.png"), write_image(tmp_path / "in" / "i.png")
    given = [
        Sample(name, "a", Modality.RGB, Split.TRAIN, None, path, None, name)
        for name, path in (("one", outside), ("two", inside))
    ]
    write_manifest(tmp_path / "in" / "samples.jsonl", given)
    rows = [json.loads(line) for line in (tmp_path / "in" / "samples.jsonl").read_text().splitlines()]
    assert [r["image"] for r in rows] == [outside.as_posix(), "i.png"]
    assert list(load_dataset("manifest", tmp_path / "in").samples) == given


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    def broken() -> Any:
        yield Sample("1", "a", Modality.TEXT, Split.TRAIN, text="x")
        raise RuntimeError("the disk is on fire")

    file = tmp_path / "samples.jsonl"
    file.write_text("old\n")
    with pytest.raises(RuntimeError, match="on fire"):
        write_manifest(file, broken())
    with pytest.raises(ValueError, match="does not fit into a manifest"):
        write_manifest(file, [Sample("1", "", Modality.TEXT, Split.TRAIN, text="x")])
    with pytest.raises(UserError, match="'door ': an id with whitespace around it"):
        write_manifest(file, [Sample("1", "a", Modality.TEXT, Split.TRAIN, "door ", text="x")])
    with pytest.raises(UserError, match=r"samples\.jsonl: a name in this row is not Unicode text.*udcff"):
        write_manifest(file, [Sample("1", "a\udcff", Modality.TEXT, Split.TRAIN, text="x")])
    assert [entry.name for entry in tmp_path.iterdir()] == ["samples.jsonl"]
    assert file.read_text() == "old\n"
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"samples\.jsonl: cannot be written"):
        write_manifest(tmp_path / "file" / "samples.jsonl", [])
