"""Deriving a whole data set: where the files lie, what is kept, what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from reid.cli.derive import derive
from reid.dataset import Dataset
from reid.datasets import load_dataset
from reid.datasets.manifest import write_manifest
from reid.derive import derive_dataset
from reid.derive import write as module
from reid.errors import UserError
from reid.modality import Modality
from reid.sample import Sample, Split

IR, SKETCH = Modality.IR, Modality.SKETCH
NAMES = ("imgs/a/1.jpg", "imgs/a/2.jpg", "imgs/b/3.jpg")


def photo(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    blocks = np.kron(rng.integers(0, 255, (8, 4, 3)), np.ones((6, 5, 1)))
    Image.fromarray(blocks.astype(np.uint8)).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for seed, name in enumerate(NAMES):
        photo(tmp_path / "set" / name, seed)
    return tmp_path / "set"


def dataset(root: Path, names=NAMES, reads_views: bool = True) -> Dataset:
    samples = [
        Sample(name, f"p{i // 2}", Modality.RGB, Split.TRAIN, str(i % 2), root / name, source_id=name)
        for i, name in enumerate(names)
    ]
    samples.append(Sample("p0#0", "p0", Modality.TEXT, Split.TRAIN, text="a person", source_id=names[0]))
    options = {"ir": "", "sketch": ""} if reads_views else {}
    return Dataset("test", root, tuple(samples), (), options=options)


def files(root: Path) -> set[str]:
    return {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}


def contents(root: Path) -> dict[str, bytes]:
    return {name: (root / name).read_bytes() for name in files(root)}


def test_views_mirror_the_photographs(root):
    before = contents(root)
    report = derive_dataset(dataset(root))
    made = files(root) - set(before)
    assert made == {
        f"imgs-{view}/{name}" for view in ("ir", "sketch") for name in ("a/1.png", "a/2.png", "b/3.png", "derive.json")
    }
    assert {name: data for name, data in contents(root).items() if name in before} == before
    assert (report.written, report.kept, report.broken, report.manifest) == (6, 0, (), None)
    assert report.folders == {IR: (root / "imgs-ir",), SKETCH: (root / "imgs-sketch",)}
    with Image.open(root / "imgs-sketch/a/1.png") as view:
        assert (view.format, view.mode, view.size) == ("PNG", "L", (20, 48))


def test_the_loaders_of_pku_reid_find_what_was_written(tmp_path):
    root = tmp_path / "pku-reid"
    names = [f"images/00{person}_0{camera}_1.png" for person in (1, 2) for camera in (1, 2)]
    for seed, name in enumerate(names):
        photo(root / name, seed)
    captions = {person: {"captions": ["a man", "a person"]} for person in ("001", "002")}
    (root / "captions.json").write_text(json.dumps(captions))
    (root / "split.json").write_text(json.dumps({"train": ["001"], "test": ["002"]}))
    out = tmp_path / "elsewhere"
    derive_dataset(load_dataset("pku-reid", root), out_root=out)
    assert files(root) == {*names, "captions.json", "split.json"}
    folders = {"ir": str(out / "images-ir"), "sketch": str(out / "images-sketch")}
    read = load_dataset("pku-reid", root, folders)
    for modality in (IR, SKETCH):
        views = read.select(modalities=(modality,))
        assert [v.source_id for v in views] == names
        assert [v.person_id for v in views] == ["001", "001", "002", "002"]


def test_a_manifest_gets_a_manifest_with_the_views(tmp_path):
    root = tmp_path / "own"
    photo(root / "a.jpg", 0)
    photo(root / "door" / "b.png", 1)
    photo(tmp_path / "far" / "c.png", 2)
    (root / "samples.jsonl").write_text(
        '{"image": "a.jpg", "person_id": "ann", "split": "query", "camera_id": "x", "text": "a woman"}\n'
        '{"image": "door/b.png", "person_id": "bob", "split": "gallery"}\n'
        '{"image": "../far/c.png", "person_id": "bob", "split": "train"}\n'
    )
    report = derive_dataset(load_dataset("manifest", root), modalities=(SKETCH,))
    assert report.manifest == root / "samples-derived.jsonl"
    read = load_dataset("manifest", report.manifest)
    views = {v.sample_id: v for v in read.select(modalities=(SKETCH,))}
    assert set(views) == {"images-sketch/a.png", "door-sketch/b.png", "far-sketch/c.png"}
    ann = views["images-sketch/a.png"]
    assert (ann.person_id, ann.camera_id, ann.split, ann.source_id) == ("ann", "x", Split.QUERY, "a.jpg")
    assert all(v.image.is_file() for v in views.values())
    assert len(read.samples) == 4 + 3
    # Deriving again from the new manifest adds the other modality and repeats nothing.
    again = derive_dataset(read, modalities=(IR, SKETCH))
    assert (again.written, again.kept) == (3, 3)
    assert len(load_dataset("manifest", again.manifest).samples) == 4 + 3 + 3


def test_what_is_there_is_kept_and_the_rest_is_made_as_if_never_interrupted(root):
    derive_dataset(dataset(root))
    whole = contents(root)
    (root / "imgs-ir/b/3.png").unlink()
    torn = root / "imgs-sketch/a/2.png"
    torn.write_bytes(torn.read_bytes()[:-5])
    kept = root / "imgs-ir/a/1.png"
    old = kept.stat()
    report = derive_dataset(dataset(root))
    assert (report.written, report.kept) == (2, 4)
    assert contents(root) == whole
    assert (kept.stat().st_mtime_ns, kept.stat().st_ino) == (old.st_mtime_ns, old.st_ino)


def test_an_interruption_leaves_only_whole_pictures(root, monkeypatch):
    saved = []
    real = Image.Image.save

    def fails_in_the_middle(self, file, **options):
        if len(saved) == 3:
            Path(file).write_bytes(b"\x89PNG half")
            raise KeyboardInterrupt
        saved.append(file)
        real(self, file, **options)

    monkeypatch.setattr(Image.Image, "save", fails_in_the_middle)
    with pytest.raises(KeyboardInterrupt):
        derive_dataset(dataset(root))
    monkeypatch.undo()
    made = [root / name for name in files(root) if name.endswith(".png")]
    assert len(made) == 3
    for path in made:
        with Image.open(path) as view:
            view.load()
    assert not [name for name in files(root) if "partial" in name]
    assert derive_dataset(dataset(root)).written == 3


def test_pictures_depend_on_seed_and_sample_only(root, tmp_path):
    derive_dataset(dataset(root), out_root=tmp_path / "all", seed=1)
    derive_dataset(dataset(root, NAMES[2:]), out_root=tmp_path / "one", seed=1)
    # The third photograph alone is person p0 on camera 0, as it is p1 on camera 0 among the others.
    for view in ("imgs-sketch/b/3.png",):
        assert (tmp_path / "all" / view).read_bytes() == (tmp_path / "one" / view).read_bytes()
    derive_dataset(dataset(root), out_root=tmp_path / "other", seed=2)
    assert contents(tmp_path / "all") != contents(tmp_path / "other")
    differ = [
        n
        for n in files(tmp_path / "all")
        if (tmp_path / "all" / n).read_bytes() != (tmp_path / "other" / n).read_bytes()
    ]
    assert len([n for n in differ if n.endswith(".png")]) == 6


def test_workers_change_nothing(tmp_path):
    names = [f"imgs/{i}.png" for i in range(20)]
    for seed, name in enumerate(names):
        photo(tmp_path / name, seed)
    data = dataset(tmp_path, names)
    derive_dataset(data, out_root=tmp_path / "one")
    report = derive_dataset(data, out_root=tmp_path / "two", workers=2)
    assert report.written == 40
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_only_the_styles_named_are_used(root, monkeypatch):
    used: list[str] = []
    real = module.sketch
    monkeypatch.setattr(
        module, "sketch", lambda rgb, style, seed: used.append(style) or real(rgb, style=style, seed=seed)
    )
    derive_dataset(dataset(root), modalities=(SKETCH,), styles={SKETCH: ("marker",)})
    assert used == ["marker"] * 3
    with pytest.raises(UserError, match="'markr' is not a style of sketch views; did you mean 'marker'"):
        derive_dataset(dataset(root), styles={SKETCH: ("markr",)})


def test_an_infrared_camera_keeps_its_style_and_a_person_the_clothes(tmp_path, monkeypatch):
    calls: list[tuple[str, int, int]] = []
    names = [f"imgs/{i}.png" for i in range(12)]
    for seed, name in enumerate(names):
        photo(tmp_path / name, seed)
    real = module.infrared

    def spy(rgb, style, seed, material_seed):
        calls.append((style, seed, material_seed))
        return real(rgb, style=style, seed=seed, material_seed=material_seed)

    monkeypatch.setattr(module, "infrared", spy)
    derive_dataset(dataset(tmp_path, names), modalities=(IR,))
    assert len({style for style, _, _ in calls[::2]}) == len({style for style, _, _ in calls[1::2]}) == 1
    assert len({seed for _, seed, _ in calls}) == 12
    materials = [material for _, _, material in calls]
    assert materials[::2] == materials[1::2]
    assert len(set(materials)) == 6


def test_a_broken_photograph_is_named_or_skipped_and_counted(root):
    (root / NAMES[1]).write_bytes(b"no image")
    with pytest.raises(UserError, match=r"2\.jpg: does not decode"):
        derive_dataset(dataset(root))
    report = derive_dataset(dataset(root, reads_views=False), skip_broken=True)
    assert len(report.broken) == 1
    assert "2.jpg" in report.broken[0]
    assert report.written + report.kept == 4
    assert "1 photograph skipped" in str(report)
    listed = {s.sample_id for s in load_dataset("manifest", report.manifest).select(modalities=(IR, SKETCH))}
    assert listed == {f"imgs-{v}/{n}.png" for v in ("ir", "sketch") for n in ("a/1", "b/3")}
    for name in NAMES:
        (root / name).write_bytes(b"no image")
    with pytest.raises(UserError, match="none of the 3 photographs decodes"):
        derive_dataset(dataset(root), out_root=root.parent / "other", skip_broken=True)


def test_two_runs_with_other_settings_do_not_mix(root):
    derive_dataset(dataset(root), seed=1)
    with pytest.raises(UserError, match=r"imgs-ir: was made with seed 1 \(now 2\); remove it or choose another --out"):
        derive_dataset(dataset(root), seed=2)
    with pytest.raises(UserError, match="imgs-sketch: was made with styles"):
        derive_dataset(dataset(root), seed=1, styles={SKETCH: ("ink",)})


def test_sketches_of_others_are_not_touched(root):
    photo(root / "imgs-sketch/a/1.png", 9)
    before = contents(root)
    with pytest.raises(UserError, match="imgs-sketch: holds files that derive did not write"):
        derive_dataset(dataset(root), modalities=(SKETCH,))
    assert contents(root) == before


def test_photographs_whose_views_would_collide_are_refused(root):
    photo(root / "imgs/a/1.png", 5)
    with pytest.raises(UserError, match=r"1\.jpg and .*1\.png: both views would be .*imgs-ir"):
        derive_dataset(dataset(root, (*NAMES, "imgs/a/1.png")))
    assert not (root / "imgs-ir").exists()


def test_a_photograph_that_two_samples_name_is_derived_once(root):
    data = dataset(root)
    twin = Sample("again", "p0", Modality.RGB, Split.TEST, image=root / NAMES[0])
    report = derive_dataset(Dataset("test", root, (*data.samples, twin), (), options=data.options), modalities=(IR,))
    assert report.written == 3


def test_a_data_set_without_photographs_is_refused(root):
    data = Dataset("test", root, (Sample("t#0", "t", Modality.TEXT, Split.TRAIN, text="a person"),), ())
    with pytest.raises(UserError, match="no RGB photographs in this 'test' data set"):
        derive_dataset(data)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(root):
    root.chmod(0o555)
    try:
        with pytest.raises(UserError, match=r"imgs-ir: cannot be written .*--out"):
            derive_dataset(dataset(root))
    finally:
        root.chmod(0o755)


def test_a_file_in_the_place_of_the_folder_is_named(root):
    (root / "imgs-ir").write_text("in the way")
    with pytest.raises(UserError, match="imgs-ir: cannot be written"):
        derive_dataset(dataset(root))


def test_manifest_of_views_reads_back_with_camera_and_source(root):
    report = derive_dataset(dataset(root, reads_views=False), modalities=(IR,), out_root=root.parent / "out")
    read = load_dataset("manifest", report.manifest)
    for name, view in zip(NAMES, read.select(modalities=(IR,)), strict=True):
        assert view.source_id == name
        assert view.image == root.parent / "out" / Path(name.replace("imgs/", "imgs-ir/")).with_suffix(".png")
    assert write_manifest(root.parent / "copy.jsonl", read.samples) == 7


@pytest.mark.parametrize("workers", [0, -4])
def test_no_workers_are_refused(root, workers):
    before = files(root)
    with pytest.raises(UserError, match=rf"^workers: {workers} is not possible; expected at least 1$"):
        derive_dataset(dataset(root), workers=workers)
    result = CliRunner().invoke(derive, [str(root), "--workers", str(workers)])
    assert result.exit_code == 2
    assert "'--workers'" in result.output
    assert files(root) == before
