"""RegDB in miniature: four people, two trials with different splits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reid.datasets import load_dataset
from reid.errors import UserError
from reid.modality import Modality
from reid.protocol import Cmc, Drop
from reid.sample import Split

SPLITS = {1: {"train": [12, 7], "test": [3, 101]}, 2: {"train": [3, 7], "test": [12, 101]}}


@pytest.fixture
def root(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    folder = tmp_path / "RegDB"
    (folder / "idx").mkdir(parents=True)
    for trial, parts in SPLITS.items():
        for part, people in parts.items():
            for side, letter in (("Visible", "v"), ("Thermal", "t")):
                lines = []
                # As published, labels restart at 0 in train and in test.
                for label, person in enumerate(people):
                    for number in (2, 1):
                        path = f"{side}/{person}/male_front_{letter}_{number:05d}_{person}.bmp"
                        lines.append(f"{path} {label}")
                        if not (folder / path).exists():
                            write_image(folder / path)
                (folder / "idx" / f"{part}_{side.lower()}_{trial}.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_people_of_train_and_test_are_different_though_labels_repeat(root: Path) -> None:
    dataset = load_dataset("regdb", root)
    assert {s.person_id for s in dataset.select(Split.TRAIN)} == {"0007", "0012"}
    assert {s.person_id for s in dataset.select(Split.TEST)} == {"0003", "0101"}
    assert all(str(int(s.person_id)) == s.sample_id.split("/")[1] for s in dataset.samples)


def test_modalities_cameras_and_order(root: Path) -> None:
    dataset = load_dataset("regdb", root)
    for s in dataset.samples:
        visible = s.sample_id.startswith("Visible/")
        assert (s.modality, s.camera_id) == ((Modality.RGB, "1") if visible else (Modality.IR, "2"))
    assert len(dataset.samples) == 16
    assert not dataset.warnings
    assert dataset.samples[0].sample_id == "Visible/12/male_front_v_00001_12.bmp"
    assert load_dataset("regdb", root.parent).samples == dataset.samples


def test_trial_selects_the_split(root: Path) -> None:
    dataset = load_dataset("regdb", root, {"trial": "2"})
    assert {s.person_id for s in dataset.select(Split.TRAIN)} == {"0003", "0007"}
    assert dataset.options == {"trial": "2"}
    with pytest.raises(UserError, match=r"train_visible_3\.txt: no such file"):
        load_dataset("regdb", root, {"trial": "3"})
    for wrong in ("0", "11"):
        with pytest.raises(UserError, match=f"option trial={wrong} of 'regdb': expected one of 1, 2, .*10"):
            load_dataset("regdb", root, {"trial": wrong})


def test_both_directions_without_camera_rule(root: Path) -> None:
    dataset = load_dataset("regdb", root, {"trial": "2"})
    forth, back = dataset.protocols
    assert (forth.name, back.name) == ("regdb-visible-to-thermal", "regdb-thermal-to-visible")
    assert (forth.query.modalities, forth.gallery.modalities) == ((Modality.RGB,), (Modality.IR,))
    assert (back.query.modalities, back.gallery.modalities) == ((Modality.IR,), (Modality.RGB,))
    for protocol in dataset.protocols:
        assert (protocol.drop, protocol.cmc, protocol.trials) == (Drop.NONE, Cmc.IMAGE, 1)
        assert protocol.query.splits == protocol.gallery.splits == (Split.TEST,)
        assert any("trial 2 of 10" in note and "10 splits, a model for each" in note for note in protocol.notes)


def test_published_figures(root: Path) -> None:
    counts = load_dataset("regdb", root).counts
    assert [c.published for c in counts] == [2_060, 2_060, 206, 2_060, 2_060, 206]
    assert [c.found for c in counts] == [4, 4, 2, 4, 4, 2]


def test_names_that_do_not_tell_the_person_fall_back_to_labels_kept_apart(
    root: Path, write_image: Callable[..., Path]
) -> None:
    for part in ("train", "test"):
        for side in ("Visible", "Thermal"):
            lines = []
            for label in (0, 1):
                write_image(root / side / part / f"image{label}.bmp")
                lines.append(f"{side}/{part}/image{label}.bmp {label}")
            (root / "idx" / f"{part}_{side.lower()}_1.txt").write_text("\n".join(lines))
    dataset = load_dataset("regdb", root)
    assert {s.person_id for s in dataset.select(Split.TRAIN)} == {"train-0", "train-1"}
    assert {s.person_id for s in dataset.select(Split.TEST)} == {"test-0", "test-1"}


def test_labels_decide_where_a_name_contradicts_them(root: Path) -> None:
    file = root / "idx" / "train_thermal_1.txt"
    file.write_text(file.read_text().replace("_12.bmp 0", "_12.bmp 1"))
    people = {s.person_id for s in load_dataset("regdb", root).select(Split.TRAIN)}
    assert people == {"train-0", "train-1"}
    assert "disagree about who is who" in load_dataset("regdb", root).warnings[0]


def test_wrong_layout(tmp_path: Path) -> None:
    (tmp_path / "idx").mkdir()
    with pytest.raises(UserError, match="not a RegDB folder; expected idx, Visible, Thermal in it"):
        load_dataset("regdb", tmp_path)
