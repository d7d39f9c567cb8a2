"""Each check against a data set that is broken in just that way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from reid.dataset import Count, Dataset
from reid.datasets import load_dataset
from reid.datasets.check import CheckReport, CheckRow, Verdict, check_dataset
from reid.modality import Modality
from reid.protocol import Drop, Sampling, cross_modal
from reid.sample import Sample, Split

WriteImage = Callable[..., Path]
PLAN = [
    ("train/a1.png", "a", Split.TRAIN, "1"),
    ("train/a2.png", "a", Split.TRAIN, "2"),
    ("query/b1.jpg", "b", Split.QUERY, "1"),
    ("query/c1.png", "c", Split.QUERY, "2"),
    ("gallery/b2.jpg", "b", Split.GALLERY, "2"),
    ("gallery/c2.png", "c", Split.GALLERY, "1"),
]


@pytest.fixture
def sound(tmp_path: Path, write_image: WriteImage) -> Dataset:
    """A data set in which nothing is wrong."""
    samples = tuple(
        Sample(name, person, Modality.RGB, split, camera, write_image(tmp_path / name))
        for name, person, split, camera in PLAN
    )
    protocol = cross_modal("rule-m", Modality.RGB, Modality.RGB, drop=Drop.SAME_CAMERA)
    return Dataset("mini", tmp_path, samples, (protocol,), (Count("train images", 2, 2), Count("cameras", 2)))


def check(dataset: Dataset, **options: bool) -> CheckReport:
    return check_dataset(dataset, progress=False, **options)


def row(report: CheckReport, start: str) -> CheckRow:
    (found,) = [r for r in report.rows if r.check.startswith(start)]
    return found


def others(report: CheckReport, start: str) -> Iterator[Verdict]:
    return (r.verdict for r in report.rows if not r.check.startswith(start))


def changed(dataset: Dataset, index: int, **fields: object) -> Dataset:
    samples = list(dataset.samples)
    samples[index] = replace(samples[index], **fields)  # type: ignore[arg-type]
    return replace(dataset, samples=tuple(samples))


def caption(name: str, person: str, split: Split, text: str = "a man", source: str | None = None) -> Sample:
    return Sample(name, person, Modality.TEXT, split, None, None, text, source)


def with_samples(dataset: Dataset, *more: Sample) -> Dataset:
    return replace(dataset, samples=(*dataset.samples, *more))


def test_a_sound_data_set_passes(sound: Dataset) -> None:
    report = check(sound)
    assert {r.verdict for r in report.rows} == {Verdict.OK}
    assert not report.broken


def test_counts_that_differ_are_a_warning(sound: Dataset) -> None:
    report = check(replace(sound, counts=(Count("train images", 2, 12_936), Count("cameras", 2))))
    assert row(report, "train images") == CheckRow("train images", "2", "12,936", Verdict.WARN)
    assert row(report, "cameras").expected == "-"
    assert not report.broken


def cut(path: Path, bytes_off: int = 40) -> None:
    path.write_bytes(path.read_bytes()[:-bytes_off])


def flip(path: Path) -> None:
    """Another value of one byte of the checksum of a PNG's pixels, before its last 12 bytes (IEND)."""
    raw = bytearray(path.read_bytes())
    raw[-14] ^= 255
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("index", "harm", "reason"),
    [
        (0, cut, "image file is truncated"),
        (0, lambda path: cut(path, 12), "truncated PNG file"),
        (0, flip, "broken PNG file"),
        (2, cut, "image file is truncated"),
        (2, lambda path: cut(path, 1), "image file is truncated"),
        (2, lambda path: path.write_bytes(b"<html>404</html>"), "not an image"),
        (4, lambda path: path.write_bytes(b""), "empty file"),
        (5, lambda path: path.unlink(), "missing"),
        (5, lambda path: (path.unlink(), path.mkdir()), "missing"),
    ],
)
def test_unreadable_images_break_and_are_named(
    sound: Dataset, index: int, harm: Callable[[Path], object], reason: str
) -> None:
    sample = sound.samples[index]
    assert sample.image is not None
    harm(sample.image)
    report = check(sound)
    found = row(report, "unreadable images")
    assert (found.verdict, found.found) == (Verdict.BROKEN, "1")
    assert found.offenders[0].startswith(f"{sample.sample_id} (")
    assert reason in found.offenders[0]
    assert report.broken
    assert set(others(report, "unreadable images")) == {Verdict.OK}


def test_without_decoding_only_missing_and_empty_files_are_noticed(sound: Dataset) -> None:
    paths = [s.image for s in sound.samples if s.image is not None]
    cut(paths[0])
    assert not check(sound, images=False).broken
    paths[1].unlink()
    paths[2].write_bytes(b"")
    report = check(sound, images=False)
    assert row(report, "missing or empty").offenders == ("train/a2.png (missing)", "query/b1.jpg (empty file)")
    assert row(report, "images decoded").verdict is Verdict.SKIPPED
    assert row(report, "copies").verdict is Verdict.SKIPPED


@pytest.mark.parametrize("size", [(15, 40), (40, 15), (4097, 500), (16, 161)])
def test_odd_sizes_are_a_warning(sound: Dataset, write_image: WriteImage, size: tuple[int, int]) -> None:
    write_image(sound.root / "train/a1.png", size)
    report = check(sound)
    found = row(report, "odd image sizes")
    assert (found.verdict, found.offenders) == (Verdict.WARN, (f"train/a1.png ({size[0]} x {size[1]})",))
    assert not report.broken


@pytest.mark.parametrize("size", [(16, 32), (16, 160), (400, 800)])
def test_crops_of_usual_sizes_are_not_odd(sound: Dataset, write_image: WriteImage, size: tuple[int, int]) -> None:
    write_image(sound.root / "train/a1.png", size)
    assert row(check(sound), "odd image sizes").verdict is Verdict.OK


def test_empty_captions_break(sound: Dataset) -> None:
    captions = [caption(f"{s.sample_id}#0", s.person_id, s.split, source=s.sample_id) for s in sound.samples]
    described = with_samples(sound, *captions)
    assert row(check(described), "empty captions").verdict is Verdict.OK
    report = check(changed(described, 6, text=" \n"))
    found = row(report, "empty captions")
    assert (found.verdict, found.offenders) == (Verdict.BROKEN, ("train/a1.png#0",))


def test_images_without_a_caption_are_a_warning(sound: Dataset) -> None:
    captions = [
        caption(f"{s.sample_id}#0", s.person_id, s.split, source=s.sample_id)
        for s in sound.samples
        if s.split is not Split.GALLERY and s.sample_id != "train/a2.png"
    ]
    report = check(with_samples(sound, *captions))
    found = row(report, "images without a caption")
    # The gallery has no captions at all: nobody is meant to be described there.
    assert (found.verdict, found.offenders) == (Verdict.WARN, ("train/a2.png",))
    assert not report.broken


def test_a_caption_of_a_person_describes_all_images_of_that_person(sound: Dataset) -> None:
    assert (
        row(check(with_samples(sound, caption("a#0", "a", Split.TRAIN))), "images without a cap").verdict is Verdict.OK
    )
    found = row(check(with_samples(sound, caption("b#0", "b", Split.QUERY))), "images without a caption")
    assert found.offenders == ("query/c1.png",)


def test_sketches_of_a_described_photograph_need_no_caption(sound: Dataset, write_image: WriteImage) -> None:
    photo = sound.samples[0]
    more = [
        Sample(f"{n}.png", "a", Modality.SKETCH, Split.TRAIN, None, write_image(sound.root / f"{n}.png"), None, source)
        for n, source in (("drawn", photo.sample_id), ("free", None))
    ]
    captions = [caption(f"{s.sample_id}#0", "a", Split.TRAIN, source=s.sample_id) for s in sound.samples[:2]]
    assert row(check(with_samples(sound, *more, *captions)), "images without a caption").verdict is Verdict.OK


def test_a_sketch_is_described_by_the_caption_of_its_photograph_even_if_other_sketches_have_captions(
    sound: Dataset, write_image: WriteImage
) -> None:
    photo = sound.samples[0]
    names = {"own": None, "drawn": photo.sample_id, "alone": None}
    more = [
        Sample(n, "a", Modality.SKETCH, Split.TRAIN, None, write_image(sound.root / f"{n}.png"), None, source)
        for n, source in names.items()
    ]
    captions = [caption(f"{name}#0", "a", Split.TRAIN, source=name) for name in ("own", "train/a1.png", "train/a2.png")]
    report = check(with_samples(sound, *more, *captions))
    assert row(report, "images without a caption").offenders == ("alone",)


def test_a_data_set_without_captions_is_not_asked_for_them(sound: Dataset) -> None:
    assert not [r for r in check(sound).rows if "caption" in r.check]


@pytest.mark.parametrize("split", [Split.QUERY, Split.GALLERY, Split.TEST])
def test_a_person_in_train_and_test_breaks(sound: Dataset, split: Split) -> None:
    report = check(changed(sound, 1, split=split, sample_id="x"))
    found = row(report, "people in both train and test")
    assert (found.verdict, found.offenders) == (Verdict.BROKEN, ("a",))
    assert report.broken


def test_validation_people_must_not_be_test_people_and_may_be_training_people(sound: Dataset) -> None:
    assert not [r for r in check(sound).rows if "validation" in r.check and "people" in r.check]
    shared = check(changed(sound, 1, split=Split.VAL))
    assert row(shared, "people in both train and validation").offenders == ("a",)
    assert row(shared, "people in both train and validation").verdict is Verdict.WARN
    assert not shared.broken
    leaked = check(changed(sound, 1, split=Split.VAL, person_id="b"))
    assert row(leaked, "people in both validation and test").verdict is Verdict.BROKEN
    assert row(leaked, "people in both validation and test").offenders == ("b",)


@pytest.mark.parametrize(
    ("original", "copy", "start", "verdict"),
    [
        (0, 1, "copies of one person's image", Verdict.WARN),
        (3, 5, "copies of one person's image", Verdict.WARN),
        (3, 4, "copies under different people", Verdict.WARN),
        (0, 5, "copies across training or validation and test", Verdict.BROKEN),
    ],
)
def test_copies_of_an_image(sound: Dataset, original: int, copy: int, start: str, verdict: Verdict) -> None:
    first, second = sound.samples[original], sound.samples[copy]
    assert first.image is not None
    assert second.image is not None
    shutil.copyfile(first.image, second.image)
    report = check(sound)
    assert row(report, start) == CheckRow(start, "1", "0", verdict, (f"{first.sample_id} = {second.sample_id}",))
    assert set(others(report, start)) == {Verdict.OK}


def test_one_file_listed_under_two_names_is_a_copy(sound: Dataset, write_image: WriteImage) -> None:
    write_image(sound.root / "train/a1.png", (40, 80))  # no other file has this size in bytes
    report = check(changed(sound, 1, image=sound.samples[0].image))
    assert row(report, "copies of one").offenders == ("train/a1.png = train/a2.png",)


def test_files_of_equal_size_and_different_bytes_are_no_copies(sound: Dataset) -> None:
    for index, value in ((0, 10), (1, 20)):
        image = sound.samples[index].image
        assert image is not None
        Image.new("L", (16, 32), value).save(image.with_suffix(".bmp"))
        sound = changed(sound, index, image=image.with_suffix(".bmp"))
    sizes = {s.image.stat().st_size for s in sound.samples[:2] if s.image is not None}
    assert len(sizes) == 1
    assert {r.verdict for r in check(sound).rows} == {Verdict.OK}


def test_missing_cameras_are_a_warning_where_a_camera_rule_applies(sound: Dataset) -> None:
    without = changed(sound, 4, camera_id=None)
    found = row(check(without), "images without a camera")
    assert (found.verdict, found.offenders) == (Verdict.WARN, ("gallery/b2.jpg",))
    free = replace(without, protocols=(replace(without.protocols[0], drop=Drop.NONE),))
    assert row(check(free), "images without a camera").verdict is Verdict.OK


def test_queries_without_a_positive_are_named(sound: Dataset) -> None:
    # b's only gallery image is dropped as the same camera's.
    report = check(changed(sound, 4, camera_id="1"))
    found = row(report, "queries without a positive (rule-m)")
    assert (found.verdict, found.offenders) == (Verdict.WARN, ("query/b1.jpg",))
    stranger = row(check(changed(sound, 4, person_id="d")), "queries without a positive")
    assert stranger.offenders == ("query/b1.jpg",)
    free = replace(sound.protocols[0], drop=Drop.NONE)
    assert row(check(changed(replace(sound, protocols=(free,)), 4, camera_id="1")), "queries").verdict is Verdict.OK


def test_dropping_by_location_takes_other_people_along(sound: Dataset) -> None:
    rule = replace(sound.protocols[0], drop=Drop.SAME_LOCATION, locations=(("1", "hall"), ("2", "hall")))
    found = row(check(replace(sound, protocols=(rule,))), "queries without a positive")
    assert (found.verdict, found.found) == (Verdict.BROKEN, "2")


def test_no_query_with_a_positive_breaks(sound: Dataset) -> None:
    none_left = changed(changed(sound, 4, camera_id="1"), 5, camera_id="2")
    assert row(check(none_left), "queries without a positive").verdict is Verdict.BROKEN


def test_an_empty_gallery_breaks_with_the_reason(sound: Dataset) -> None:
    found = row(check(replace(sound, samples=sound.samples[:4])), "queries without a positive")
    assert found.verdict is Verdict.BROKEN
    assert "empty gallery" in found.offenders[0]


def test_sampled_galleries_are_drawn(sound: Dataset) -> None:
    sampled = replace(sound.protocols[0], trials=10, sampling=Sampling(1, ("2",)))
    found = row(check(replace(sound, protocols=(sampled,))), "queries without a positive")
    assert found.offenders == ("query/c1.png",)


def test_a_data_set_without_protocols_skips_that_check(sound: Dataset) -> None:
    report = check(replace(sound, protocols=()))
    assert row(report, "queries without a positive").verdict is Verdict.SKIPPED
    assert not report.broken


def test_report_prints_an_aligned_table_with_warnings_and_few_offenders(sound: Dataset) -> None:
    offenders = tuple(f"s{n}" for n in range(8))
    rows = (
        CheckRow("unreadable images", "8", "0", Verdict.BROKEN, offenders),
        CheckRow("train images", "12,930", "12,936", Verdict.WARN),
    )
    text = str(CheckReport("mini", Path("there"), rows, ("withdrawn",)))
    assert text.splitlines() == [
        "mini at there",
        "warning: withdrawn",
        "check               found  expected  verdict",
        "unreadable images       8         0  BROKEN",
        "    s0, s1, s2, s3, s4 and 3 more",
        "train images       12,930    12,936  warn",
    ]


def test_report_as_json_names_every_offender(sound: Dataset) -> None:
    image = sound.samples[0].image
    assert image is not None
    image.unlink()
    raw = json.loads(json.dumps(check(replace(sound, warnings=("old",))).to_dict()))
    assert raw["broken"] is True
    assert raw["kind"] == "mini"
    assert raw["warnings"] == ["old"]
    (broken,) = [r for r in raw["rows"] if r["verdict"] == "BROKEN"]
    assert broken == {
        "check": "unreadable images",
        "found": "1",
        "expected": "0",
        "verdict": "BROKEN",
        "offenders": ["train/a1.png (missing)"],
    }


def test_many_images_are_all_looked_at_in_a_stable_order(tmp_path: Path, write_image: WriteImage) -> None:
    samples = tuple(
        Sample(f"{n:03d}.png", f"{n:03d}", Modality.RGB, Split.TRAIN, "1", write_image(tmp_path / f"{n:03d}.png"))
        for n in range(700)
    )
    bad = [s for n, s in enumerate(samples) if n % 99 == 0]
    for s in bad:
        assert s.image is not None
        cut(s.image)
    found = row(check(Dataset("mini", tmp_path, samples, ())), "unreadable images")
    assert [offender.partition(" ")[0] for offender in found.offenders] == [s.sample_id for s in bad]


def test_a_copy_of_a_published_set_that_lost_an_image_is_told(tmp_path: Path, write_image: WriteImage) -> None:
    for name in ("bounding_box_train/0002_c1s1_1.jpg", "query/0001_c1s1_1.jpg", "bounding_box_test/0001_c2s1_1.jpg"):
        write_image(tmp_path / name)
    report = check(load_dataset("market1501", tmp_path))
    assert row(report, "train images").verdict is Verdict.WARN
    assert row(report, "gallery images").expected == "15,913"
    assert not report.broken


def test_a_fingerprint_tells_images_of_one_size_apart(tmp_path: Path) -> None:
    samples = [Sample("a.bmp", "1", Modality.RGB, Split.TRAIN, None, tmp_path / "a.bmp")]
    prints = []
    for colour in ("red", "green", "red"):
        Image.new("RGB", (16, 32), colour).save(tmp_path / "a.bmp")
        prints.append(Dataset("mini", tmp_path, tuple(samples), ()).fingerprint())
    assert prints[0] == prints[2] != prints[1]
