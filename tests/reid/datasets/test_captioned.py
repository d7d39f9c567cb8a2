"""What the captioned data sets share, their Tri- and quad-modal versions, on miniatures of the published layouts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reid.dataset import Dataset
from reid.datasets import KINDS, load_dataset
from reid.datasets.captioned import read_records
from reid.datasets.check import check_dataset
from reid.errors import UserError
from reid.modality import Modality
from reid.protocol import Drop, Fuse
from reid.sample import Split
from reid.table import SampleTable
from reid.trials import resolve

FILES = {"cuhk-pedes": "reid_raw.json", "icfg-pedes": "ICFG-PEDES.json", "rstp-reid": "data_captions.json"}
FOLDERS = {"cuhk-pedes": "CUHK-PEDES", "icfg-pedes": "ICFG-PEDES", "rstp-reid": "RSTPReid"}


def entry(person: int, path: str, split: str, *captions: str) -> dict[str, Any]:
    return {"split": split, "captions": list(captions), "file_path": path, "processed_tokens": [["a"]], "id": person}


# Out of order on purpose: the order of samples must not be that of the file.
ENTRIES = [
    entry(5, "cam_b/y.png", "test", "person five from behind"),
    entry(5, "cam_a/x.png", "test", "person five", "again five", "five once more"),
    entry(6, "cam_a/z.png", "test", "person six"),
    entry(6, "Market/z.png", "test", "person six elsewhere"),
    entry(1, "CUHK01/b.png", "train", "person one"),
    entry(1, "CUHK01/a.png", "train", "person one, too"),
    entry(2, "CUHK01/c.png", "train", "person two"),
    entry(3, "CUHK01/d.png", "val", "person three"),
]


def build(root: Path, kind: str, entries: list[dict[str, Any]], write_image: Callable[..., Path]) -> Path:
    folder = root / FOLDERS[kind]
    folder.mkdir(parents=True, exist_ok=True)
    for e in entries:
        write_image(folder / "imgs" / str(e.get("file_path", e.get("img_path"))))
    (folder / FILES[kind]).write_text(json.dumps(entries), encoding="utf-8")
    return folder


@pytest.fixture
def cuhk(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    return build(tmp_path, "cuhk-pedes", ENTRIES, write_image)


def mirror(folder: Path, name: str, suffix: str = ".png") -> Path:
    """A generated view of every photograph, named as in the published sets."""
    for image in sorted((folder / "imgs").rglob("*.png")):
        target = (folder / name / image.relative_to(folder / "imgs")).with_suffix(suffix)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image, target)
    return folder / name


def queries(dataset: Dataset, name: str) -> list[tuple[tuple[str, ...], set[str]]]:
    """Each query's members, and the gallery entries of its person that count, as sample_ids."""
    table = SampleTable.of(dataset.samples)
    (trial,) = resolve(dataset.protocol(name), table)
    found = []
    for q in range(len(trial.query_person)):
        members = trial.query_members[trial.query_offsets[q] : trial.query_offsets[q + 1]]
        counted = {
            table.sample_id[row]
            for row, person, drop in zip(trial.gallery, trial.gallery_person, trial.gallery_drop, strict=True)
            if person == trial.query_person[q] and not (drop >= 0 and drop == trial.query_drop[q])
        }
        found.append((tuple(table.sample_id[row] for row in members), counted))
    return found


def test_photographs_and_captions(cuhk: Path) -> None:
    dataset = load_dataset("cuhk-pedes", cuhk)
    assert [s.sample_id for s in dataset.select(modalities=[Modality.RGB])] == [
        "imgs/CUHK01/a.png",
        "imgs/CUHK01/b.png",
        "imgs/CUHK01/c.png",
        "imgs/CUHK01/d.png",
        "imgs/Market/z.png",
        "imgs/cam_a/x.png",
        "imgs/cam_a/z.png",
        "imgs/cam_b/y.png",
    ]
    for photo in dataset.select(modalities=[Modality.RGB]):
        assert photo.source_id == photo.sample_id
        assert photo.image == cuhk / photo.sample_id
        assert photo.camera_id is None
    told = [s for s in dataset.select(Split.TEST, modalities=[Modality.TEXT]) if s.source_id == "imgs/cam_a/x.png"]
    assert [(s.sample_id, s.person_id, s.text) for s in told] == [
        ("imgs/cam_a/x.png#0", "5", "person five"),
        ("imgs/cam_a/x.png#1", "5", "again five"),
        ("imgs/cam_a/x.png#2", "5", "five once more"),
    ]
    assert {s.person_id for s in dataset.select(Split.VAL)} == {"3"}
    assert not check_dataset(dataset, progress=False).broken


def test_order_does_not_depend_on_the_file(cuhk: Path) -> None:
    before = load_dataset("cuhk-pedes", cuhk).samples
    (cuhk / "reid_raw.json").write_text(json.dumps(ENTRIES[::-1]))
    assert load_dataset("cuhk-pedes", cuhk.parent).samples == before


def test_every_caption_asks_all_test_photographs(cuhk: Path) -> None:
    dataset = load_dataset("cuhk-pedes", cuhk)
    (protocol,) = dataset.protocols
    assert (protocol.name, protocol.drop) == ("cuhk-pedes", Drop.NONE)
    asked = queries(dataset, "cuhk-pedes")
    five, six = {"imgs/cam_a/x.png", "imgs/cam_b/y.png"}, {"imgs/cam_a/z.png", "imgs/Market/z.png"}
    assert sorted((*members, tuple(sorted(counted))) for members, counted in asked) == [
        ("imgs/Market/z.png#0", tuple(sorted(six))),
        ("imgs/cam_a/x.png#0", tuple(sorted(five))),
        ("imgs/cam_a/x.png#1", tuple(sorted(five))),
        ("imgs/cam_a/x.png#2", tuple(sorted(five))),
        ("imgs/cam_a/z.png#0", tuple(sorted(six))),
        ("imgs/cam_b/y.png#0", tuple(sorted(five))),
    ]


def test_tri_has_four_rows_and_drops_the_source_photograph(cuhk: Path) -> None:
    mirror(cuhk, "imgs-sketch2", ".jpg")
    dataset = load_dataset("tri-cuhk-pedes", cuhk)
    names = [p.name for p in dataset.protocols]
    assert names == [f"tri-cuhk-pedes-{row}" for row in ("text-original", "text", "sketch", "text+sketch")]
    assert [p.drop for p in dataset.protocols] == [Drop.NONE, *[Drop.SAME_SOURCE] * 3]
    assert [p.fuse for p in dataset.protocols] == [*[Fuse.NONE] * 3, Fuse.SOURCE]
    sketch = next(s for s in dataset.samples if s.sample_id == "imgs-sketch2/cam_a/x.jpg")
    assert (sketch.modality, sketch.person_id, sketch.split, sketch.source_id, sketch.image) == (
        Modality.SKETCH,
        "5",
        Split.TEST,
        "imgs/cam_a/x.png",
        cuhk / "imgs-sketch2" / "cam_a" / "x.jpg",
    )
    assert dict(queries(dataset, "tri-cuhk-pedes-sketch"))[("imgs-sketch2/cam_a/x.jpg",)] == {"imgs/cam_b/y.png"}
    assert dict(queries(dataset, "tri-cuhk-pedes-text"))[("imgs/cam_a/x.png#1",)] == {"imgs/cam_b/y.png"}
    original = dict(queries(dataset, "tri-cuhk-pedes-text-original"))
    assert original[("imgs/cam_a/x.png#1",)] == {"imgs/cam_a/x.png", "imgs/cam_b/y.png"}
    fused = dict(queries(dataset, "tri-cuhk-pedes-text+sketch"))
    assert len(fused) == 6, "every caption with the sketch of its photograph"
    assert fused[("imgs/cam_a/x.png#2", "imgs-sketch2/cam_a/x.jpg")] == {"imgs/cam_b/y.png"}


def test_quad_adds_infrared(cuhk: Path) -> None:
    mirror(cuhk, "imgs-sketch")
    mirror(cuhk, "imgs-IR")
    dataset = load_dataset("quad-cuhk-pedes", cuhk)
    assert {s.modality for s in dataset.samples} == set(Modality)
    rows = {p.name.removeprefix("quad-cuhk-pedes-"): p.drop for p in dataset.protocols}
    assert next(iter(rows)) == "text-original"
    assert {row for row, drop in rows.items() if drop is Drop.NONE} == {
        "text-original",
        "ir-original",
        "sketch-original",
    }
    assert {row for row, drop in rows.items() if drop is Drop.SAME_SOURCE} == {
        *("text", "ir", "sketch", "text+ir", "text+sketch", "ir+sketch", "text+ir+sketch")
    }
    fused = dict(queries(dataset, "quad-cuhk-pedes-text+ir+sketch"))
    members = ("imgs/cam_a/x.png#0", "imgs-IR/cam_a/x.png", "imgs-sketch/cam_a/x.png")
    assert fused[members] == {"imgs/cam_b/y.png"}
    assert set(dict(queries(dataset, "quad-cuhk-pedes-ir-original"))[("imgs-IR/cam_b/y.png",)]) == {
        "imgs/cam_a/x.png",
        "imgs/cam_b/y.png",
    }
    assert any("MLLMEmbed" in note for note in dataset.protocols[0].notes)
    assert not check_dataset(dataset, progress=False).broken


def test_folders_that_derive_writes_are_read(cuhk: Path) -> None:
    mirror(cuhk, "imgs-ir")
    mirror(cuhk, "imgs-sketch")
    dataset = load_dataset("quad-cuhk-pedes", cuhk)
    assert sum(s.sample_id.startswith("imgs-ir/") for s in dataset.samples) == 8


def test_published_sketches_win_over_derived_ones(cuhk: Path) -> None:
    mirror(cuhk, "imgs-sketch")
    mirror(cuhk, "imgs-sketch2")
    ids = [s.sample_id for s in load_dataset("tri-cuhk-pedes", cuhk).select(modalities=[Modality.SKETCH])]
    assert len(ids) == 8
    assert all(i.startswith("imgs-sketch2/") for i in ids)


def test_views_in_a_folder_that_the_user_names(cuhk: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "derived"
    elsewhere.mkdir()
    mirror(cuhk, "imgs-sketch").rename(elsewhere / "imgs-sketch")
    shutil.copytree(elsewhere / "imgs-sketch", tmp_path / "by hand")
    for named, holder in ((elsewhere / "imgs-sketch",) * 2, (elsewhere, elsewhere / "imgs-sketch")):
        dataset = load_dataset("tri-cuhk-pedes", cuhk, {"sketch": str(named)})
        assert dataset.select(Split.TEST, modalities=[Modality.SKETCH])[0].image == holder / "Market" / "z.png"
    dataset = load_dataset("tri-cuhk-pedes", cuhk, {"sketch": str(tmp_path / "by hand")})
    sketch = dataset.select(Split.TEST, modalities=[Modality.SKETCH])[0]
    assert sketch.image == tmp_path / "by hand" / "Market" / "z.png"
    assert sketch.sample_id == "imgs-sketch/Market/z.png", "an id must not depend on where the folder lies"
    with pytest.raises(UserError, match="option sketch=nowhere: no such folder"):
        load_dataset("tri-cuhk-pedes", cuhk, {"sketch": "nowhere"})


def test_missing_views_are_named_and_counted(cuhk: Path) -> None:
    folder = mirror(cuhk, "imgs-sketch2")
    (folder / "cam_a" / "x.png").unlink()
    (folder / "cam_b" / "y.png").unlink()
    dataset = load_dataset("tri-cuhk-pedes", cuhk)
    (warning,) = dataset.warnings
    assert "2 of 8 photographs have no sketch view there, the first is cam_a/x.png" in warning
    found = next(c for c in dataset.counts if c.what == "sketch views")
    assert (found.found, found.published) == (6, 40_206)
    assert len(queries(dataset, "tri-cuhk-pedes-text+sketch")) == 2


def test_no_views_at_all(cuhk: Path) -> None:
    with pytest.raises(UserError, match=r"no sketch views; expected a folder imgs-sketch2 or imgs-sketch that mirrors"):
        load_dataset("tri-cuhk-pedes", cuhk)
    (cuhk / "imgs-sketch").mkdir()
    with pytest.raises(UserError, match=r"imgs-sketch: no sketch view of any photograph in it; expected CUHK01/a\.png"):
        load_dataset("tri-cuhk-pedes", cuhk)
    mirror(cuhk, "imgs-sketch")
    with pytest.raises(UserError, match=r"no ir views; expected a folder imgs-IR or imgs-ir"):
        load_dataset("quad-cuhk-pedes", cuhk)


def test_an_image_listed_twice_is_one_photograph(tmp_path: Path, write_image: Callable[..., Path]) -> None:
    again = [*ENTRIES, entry(1, "CUHK01/a.png", "train", "a second entry"), entry(9, "CUHK01/c.png", "train", "who?")]
    dataset = load_dataset("cuhk-pedes", build(tmp_path, "cuhk-pedes", again, write_image))
    told = [s.text for s in dataset.samples if s.source_id == "imgs/CUHK01/a.png" and s.text]
    assert told == ["person one, too", "a second entry"]
    images = next(c for c in dataset.counts if c.what == "train images")
    assert images.found == 5, "published figures count entries"
    (warning,) = dataset.warnings
    assert "1 images are listed again as another person or split, the first is CUHK01/c.png" in warning
    assert {s.person_id for s in dataset.samples if "CUHK01/c.png" in s.sample_id} == {"2"}


def test_scores_tell_how_many_test_entries_were_merged(tmp_path: Path, write_image: Callable[..., Path]) -> None:
    train = entry(1, "CUHK01/a.png", "train", "in train: of no interest to a score")
    stranger = entry(9, "cam_a/x.png", "test", "left out with a warning, not merged")
    test = [entry(6, "cam_a/z.png", "test", "again"), entry(6, "cam_a/z.png", "test", "and again")]
    for more, merged in (((train, stranger, stranger), False), ((train, stranger, *test), True)):
        folder = build(tmp_path, "cuhk-pedes", [*ENTRIES, *more], write_image)
        mirror(folder, "imgs-sketch")
        for kind in ("cuhk-pedes", "tri-cuhk-pedes"):
            for protocol in load_dataset(kind, folder).protocols:
                told = [note for note in protocol.notes if "merged" in note]
                expected = "2 of its 6 entries merged, the gallery has 4 photographs"
                assert [expected in note for note in told] == [True] * merged


def test_ids_that_count_anew_in_every_split_are_different_people(tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    file.write_text(json.dumps([entry(n, f"{s}{n}.png", s, "x") for s in ("train", "test") for n in (0, 1)]))
    assert [r.person_id for r in read_records(file)] == ["train-0", "train-1", "test-0", "test-1"]
    file.write_text(json.dumps([entry(0, "a.png", "train", "x"), entry(1, "b.png", "test", "x")]))
    assert [r.person_id for r in read_records(file)] == ["0", "1"]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("{not json", "not a JSON file"),
        ("[]", "expected a JSON list with an entry for each image"),
        ('{"a": 1}', "expected a JSON list .* found dict"),
        ("[3]", "entry 1: expected an object"),
        (json.dumps([{"id": 1, "file_path": "a.png", "captions": ["x"]}]), "entry 1: no split; is this the published"),
        (json.dumps([{"file_path": "a.png", "captions": ["x"], "split": "test"}]), "entry 1: no id"),
        (json.dumps([{"id": 1, "captions": ["x"], "split": "test"}]), "entry 1: no file_path or img_path"),
        (json.dumps([entry(1, "a.png", "nowhere", "x")]), "entry 1, split: 'nowhere' is not a split"),
        (json.dumps([entry(1, "a.png", "query", "x")]), "entry 1: split 'query' is not one of train, val, test"),
        (json.dumps([{**entry(1, "a.png", "test"), "captions": [7]}]), "entry 1: captions are not a list of sentences"),
    ],
)
def test_broken_lists(cuhk: Path, raw: str, message: str) -> None:
    (cuhk / "reid_raw.json").write_text(raw)
    with pytest.raises(UserError, match=rf"reid_raw\.json: {message}") as error:
        load_dataset("cuhk-pedes", cuhk)
    assert "\n" not in str(error.value)


def test_wrong_layout(cuhk: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not a CUHK-PEDES folder; expected imgs in it .*found CUHK01/, Market/"):
        load_dataset("cuhk-pedes", cuhk / "imgs")
    (cuhk / "reid_raw.json").rename(cuhk / "caption_all.json")
    with pytest.raises(UserError, match=r"expected reid_raw\.json in it, found caption_all\.json, imgs/"):
        load_dataset("cuhk-pedes", cuhk)
    (cuhk / "reid_raw.json").write_text(json.dumps([entry(1, "cam_a/nowhere.png", "test", "x")]))
    with pytest.raises(UserError, match=r"names cam_a/nowhere\.png, which is not in"):
        load_dataset("cuhk-pedes", cuhk)


def test_the_registry_has_all_nine() -> None:
    for name, folder in FOLDERS.items():
        for prefix in ("", "tri-", "quad-"):
            kind = KINDS[prefix + name]
            assert kind.name == prefix + name
            assert folder in kind.layout
            assert ("imgs-sketch" in kind.layout, "imgs-IR" in kind.layout) == (prefix != "", prefix == "quad-")
