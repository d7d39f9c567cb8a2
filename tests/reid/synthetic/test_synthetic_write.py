"""A world on disk is the world in memory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reid.artifact import check_files, read_manifest
from reid.datasets import open_dataset
from reid.datasets.check import check_dataset
from reid.errors import UserError
from reid.modality import Modality
from reid.synthetic import World, write_world
from reid.synthetic import write as write_module

WORLD = World(4, 12, cameras=2, per_camera=1)


def test_what_is_written_reads_back_as_the_same_data_set(tmp_path: Path) -> None:
    out = tmp_path / "people"
    assert write_world(WORLD, out, progress=False) == len(WORLD)
    dataset = open_dataset(str(out))
    assert dataset.samples == WORLD.samples(out)
    for index, sample in enumerate(dataset.samples):
        if sample.image is not None:
            with Image.open(sample.image) as image:
                assert np.array_equal(np.asarray(image), WORLD.render(index))
    assert not check_dataset(dataset).broken
    assert dataset.protocol().name == "rgb-to-rgb"
    manifest = read_manifest(out)
    assert (manifest.kind, manifest.writer["seed"]) == ("dataset", 4)
    assert check_files(out, manifest) == []
    assert [path.name for path in tmp_path.iterdir()] == ["people"]


def test_people_json_tells_of_everyone(tmp_path: Path) -> None:
    write_world(WORLD, tmp_path / "people", modalities=(Modality.TEXT,), progress=False)
    told = json.loads((tmp_path / "people" / "people.json").read_text())
    assert list(told) == [WORLD.person_id(n) for n in range(12)]
    for number, about in enumerate(told.values()):
        person = WORLD.person(number)
        assert about["upper"] == f"{person.upper_cloth.colour} {person.upper}"
        assert about["split"] == str(WORLD.split(number))
        assert ("scarf" in about) == (person.scarf is not None)


def test_only_what_is_asked_for_is_written(tmp_path: Path) -> None:
    write_world(WORLD, tmp_path / "a", modalities=(Modality.RGB,), per_camera=2, progress=False)
    assert sorted(p.name for p in (tmp_path / "a" / "images").iterdir()) == ["rgb"]
    assert len(list((tmp_path / "a" / "images" / "rgb").iterdir())) == 12 * 2 * 2


def test_workers_write_the_same(tmp_path: Path) -> None:
    write_world(WORLD, tmp_path / "one", progress=False)
    write_world(WORLD, tmp_path / "two", workers=2, progress=False)
    assert read_manifest(tmp_path / "one").files == read_manifest(tmp_path / "two").files


def test_an_existing_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "people").mkdir()
    (tmp_path / "people" / "mine").write_text("keep")
    with pytest.raises(UserError, match="already exists"):
        write_world(WORLD, tmp_path / "people", progress=False)
    assert (tmp_path / "people" / "mine").read_text() == "keep"
    with pytest.raises(UserError, match="workers: 0"):
        write_world(WORLD, tmp_path / "other", workers=0, progress=False)


def test_nothing_is_left_when_it_fails_half_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = write_module._make

    def fail(world: World, folder: Path, index: int) -> object:
        if index == 20:
            raise RuntimeError("stop")
        return made(world, folder, index)

    monkeypatch.setattr(write_module, "_make", fail)
    with pytest.raises(RuntimeError, match="stop"):
        write_world(WORLD, tmp_path / "people", progress=False)
    assert list(tmp_path.iterdir()) == []
