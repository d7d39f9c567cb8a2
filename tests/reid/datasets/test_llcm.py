"""LLCM in miniature."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reid.datasets import load_dataset
from reid.errors import UserError
from reid.modality import Modality
from reid.protocol import Cmc, Drop
from reid.sample import Split

VIS_CAMERAS = ("1", "2", "3", "4", "5", "6", "7", "8", "9")
NIR_CAMERAS = ("1", "2", "4", "5", "6", "7", "8", "9")


@pytest.fixture
def root(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    folder = tmp_path / "LLCM"
    (folder / "idx").mkdir(parents=True)
    for kind in ("vis", "nir"):
        lines = []
        # Labels restart at 0 and are not the numbers of the people.
        for label, person in enumerate((5, 9)):
            path = f"{kind}/{person:04d}/{person:04d}_c0{label + 6}_s200656_f4830_{kind}.jpg"
            write_image(folder / path)
            lines.append(f"{path} {label}")
        (folder / "idx" / f"train_{kind}.txt").write_text("\n".join(reversed(lines)) + "\n")
    (folder / "idx" / "test_id.txt").write_text("10,0001\n")
    for kind, camera, person in (
        ("vis", 1, 1),
        ("vis", 3, 10),
        ("vis", 9, 1),
        ("nir", 1, 1),
        ("nir", 4, 10),
        ("nir", 4, 5),
    ):
        for number in (1, 2):
            write_image(folder / f"test_{kind}" / f"cam{camera}" / f"{person:04d}" / f"{number}_{kind}.jpg")
    return folder


def test_training_people_are_numbered_by_their_names_not_their_labels(root: Path) -> None:
    train = load_dataset("llcm", root).select(Split.TRAIN)
    assert [(s.sample_id, s.person_id, s.camera_id, s.modality) for s in train] == [
        ("vis/0005/0005_c06_s200656_f4830_vis.jpg", "0005", "6", Modality.RGB),
        ("vis/0009/0009_c07_s200656_f4830_vis.jpg", "0009", "7", Modality.RGB),
        ("nir/0005/0005_c06_s200656_f4830_nir.jpg", "0005", "6", Modality.IR),
        ("nir/0009/0009_c07_s200656_f4830_nir.jpg", "0009", "7", Modality.IR),
    ]


def test_test_images_are_those_of_the_test_people(root: Path) -> None:
    test = load_dataset("llcm", root).select(Split.TEST)
    assert [(s.sample_id.rpartition("/")[0], s.person_id, s.camera_id, s.modality) for s in test[::2]] == [
        ("test_vis/cam1/0001", "0001", "1", Modality.RGB),
        ("test_vis/cam3/0010", "0010", "3", Modality.RGB),
        ("test_vis/cam9/0001", "0001", "9", Modality.RGB),
        ("test_nir/cam1/0001", "0001", "1", Modality.IR),
        ("test_nir/cam4/0010", "0010", "4", Modality.IR),
    ]
    assert len(test) == 10
    assert load_dataset("llcm", root.parent).samples == load_dataset("llcm", root).samples


def test_the_three_protocols(root: Path) -> None:
    protocols = {p.name: p for p in load_dataset("llcm", root).protocols}
    assert list(protocols) == ["llcm-ir-to-vis", "llcm-vis-to-ir", "llcm-vis-to-ir-script"]
    sides = {
        "llcm-ir-to-vis": (Modality.IR, Modality.RGB, "gallery", VIS_CAMERAS),
        "llcm-vis-to-ir": (Modality.RGB, Modality.IR, "gallery", NIR_CAMERAS),
        # test.py with test_mode [2, 1]: the sampled infrared images ask, all visible ones are the gallery.
        "llcm-vis-to-ir-script": (Modality.IR, Modality.RGB, "query", NIR_CAMERAS),
    }
    for name, (query, gallery, side, cameras) in sides.items():
        protocol = protocols[name]
        assert (protocol.query.modalities, protocol.gallery.modalities) == ((query,), (gallery,))
        assert (protocol.drop, protocol.cmc, protocol.trials) == (Drop.SAME_CAMERA, Cmc.IDENTITY, 10)
        assert protocol.sampling is not None
        assert (protocol.sampling.side, protocol.sampling.cameras) == (side, cameras)
        assert protocol.sampling.per_camera == 1
        assert any("camera number" in note for note in protocol.notes)
    assert "swaps the roles" in " ".join(protocols["llcm-vis-to-ir-script"].notes)
    assert "paper" in " ".join(protocols["llcm-vis-to-ir"].notes)


def test_published_figures(root: Path) -> None:
    counts = {c.what: (c.found, c.published) for c in load_dataset("llcm", root).counts}
    assert counts["images"] == (14, 46_767)
    assert counts["people"] == (4, 1_064)
    assert counts["train people"] == (2, 713)
    assert counts["test people"] == (2, 351)
    assert counts["cameras"] == (6, 9)


def test_a_training_name_without_a_camera_is_refused(root: Path, write_image: Callable[..., Path]) -> None:
    write_image(root / "vis" / "x.jpg")
    (root / "idx" / "train_vis.txt").write_text("vis/x.jpg 0\n")
    with pytest.raises(UserError, match=r"x\.jpg: expected a name like 0351_c06"):
        load_dataset("llcm", root)


def test_wrong_layout(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a LLCM folder; expected idx, test_vis, test_nir in it"):
        load_dataset("llcm", tmp_path)
