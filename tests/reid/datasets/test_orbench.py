"""ORBench in miniature: people 0003 and 0005 to train on, 0001 and 0009 to test, in lists that number them anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reid.datasets import load_dataset
from reid.datasets.check import check_dataset
from reid.errors import UserError
from reid.modality import Modality
from reid.protocol import Drop
from reid.sample import Split
from reid.table import SampleTable
from reid.trials import resolve

TEST_FILE = "test_gallery_and_queries.json"
LISTS: dict[str, Any] = {
    "RGB_GALLERY": [[1, "vis/0001/2.png"], [1, "vis/0001/1.png"], [2, "vis/0009/1.png"]],
    "CP": [[1, "cp/0001/1.png"]],
    "SK": [[1, "sk/0001/1.png"]],
    "TEXT": [[2, "a man in blue"], [1, "a man in blue"], [1, "a man with a bag"], [1, "a man in blue"]],
    "TEXT+NIR": [[1, "a man in blue", "nir/0001/1.png"]],
    "NIR": [[2, "nir/0009/1.png"], [1, "nir/0001/1.png"]],
    "NIR+TEXT": [[1, "nir/0001/1.png", "seen once more"]],
    "NIR+CP": [[1, "nir/0001/1.png", "cp/0001/1.png"], [2, "nir/0009/1.png", "cp/0009/1.png"]],
    "CP+NIR": [[1, "cp/0001/1.png", "nir/0001/1.png"]],
    "CP+SK+TEXT": [[1, "cp/0001/1.png", "sk/0001/1.png", "a man with a bag"]],
    "TEXT+NIR+CP+SK": [[1, "a man in blue", "nir/0001/1.png", "cp/0001/1.png", "sk/0001/1.png"]],
}


@pytest.fixture
def root(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    folder = tmp_path / "ORBench"
    for kind in ("vis", "nir", "cp", "sk"):
        for person in ("0001", "0003", "0005", "0009"):
            write_image(folder / kind / person / "1.png")
    write_image(folder / "vis" / "0001" / "2.png")
    write_image(folder / "nir" / "0003" / "2.png")
    train = [
        {"id": 2, "file_path": "vis/0005/1.png", "caption": "person five"},
        {"id": 1, "file_path": "vis/0003/1.png", "caption": "person three"},
    ]
    (folder / "train_annos.json").write_text(json.dumps(train))
    (folder / TEST_FILE).write_text(json.dumps(LISTS))
    return folder


def test_train_takes_every_image_of_its_people(root: Path) -> None:
    dataset = load_dataset("orbench", root)
    train = {s.sample_id: s for s in dataset.select(Split.TRAIN)}
    assert set(train) == {
        *(f"{kind}/{person}/1.png" for kind in ("vis", "nir", "cp", "sk") for person in ("0003", "0005")),
        "nir/0003/2.png",
        "vis/0003/1.png#0",
        "vis/0005/1.png#0",
    }
    caption = train["vis/0003/1.png#0"]
    assert (caption.person_id, caption.text, caption.source_id) == ("0003", "person three", "vis/0003/1.png")
    assert {s.person_id for s in train.values()} == {"0003", "0005"}, "folders name people, labels restart"


def test_colour_pencil_and_sketch_are_sketches_kept_apart(root: Path) -> None:
    by_id = {s.sample_id: s for s in load_dataset("orbench", root).samples}
    told = {i: (by_id[i].modality, by_id[i].camera_id) for i in ("vis/0001/1.png", "nir/0001/1.png")}
    assert told == {"vis/0001/1.png": (Modality.RGB, None), "nir/0001/1.png": (Modality.IR, None)}
    for kind in ("cp", "sk"):
        for person in ("0001", "0003"):
            sample = by_id[f"{kind}/{person}/1.png"]
            assert (sample.modality, sample.camera_id, sample.source_id) == (Modality.SKETCH, kind, None)


def test_equal_captions_are_one_sample_per_person(root: Path) -> None:
    texts = load_dataset("orbench", root).select(Split.TEST, modalities=[Modality.TEXT])
    assert [(s.sample_id, s.person_id, s.text) for s in texts] == [
        ("0001#0", "0001", "a man in blue"),
        ("0001#1", "0001", "a man with a bag"),
        ("0001#2", "0001", "seen once more"),
        ("0009#0", "0009", "a man in blue"),
    ]


def test_a_protocol_for_every_list_with_its_members_in_order(root: Path) -> None:
    dataset = load_dataset("orbench", root)
    groups = {p.name.removeprefix("orbench-"): p.query_groups for p in dataset.protocols}
    assert list(groups) == [
        *("cp", "sk", "text", "nir"),
        *("text+nir", "nir+text", "nir+cp", "cp+nir"),
        *("cp+sk+text", "text+nir+cp+sk"),
    ]
    assert groups["nir"] == (("nir/0009/1.png",), ("nir/0001/1.png",))
    # The list asks one caption twice, and so do we.
    assert groups["text"] == (("0009#0",), ("0001#0",), ("0001#1",), ("0001#0",))
    assert groups["nir+cp"] == (("nir/0001/1.png", "cp/0001/1.png"), ("nir/0009/1.png", "cp/0009/1.png"))
    assert groups["cp+nir"] == (("cp/0001/1.png", "nir/0001/1.png"),)
    assert groups["text+nir"] == (("0001#0", "nir/0001/1.png"),)
    assert groups["nir+text"] == (("nir/0001/1.png", "0001#2"),)
    assert groups["cp+sk+text"] == (("cp/0001/1.png", "sk/0001/1.png", "0001#1"),)
    assert groups["text+nir+cp+sk"] == (("0001#0", "nir/0001/1.png", "cp/0001/1.png", "sk/0001/1.png"),)
    assert {p.drop for p in dataset.protocols} == {Drop.NONE}


def test_notes_tell_the_group_and_the_fusion(root: Path) -> None:
    notes = {p.name: " / ".join(p.notes) for p in load_dataset("orbench", root).protocols}
    for name, group, lists in (("nir", "ONE", 4), ("nir+cp", "TWO", 12), ("cp+sk+text", "THREE", 12)):
        assert f"group {group}: published tables give the mean over its {lists} query lists" in notes[f"orbench-{name}"]
        assert ("ReID5o learns a fusion module" in notes[f"orbench-{name}"]) == (name != "nir")


def test_protocols_are_grouped_by_the_number_of_members(root: Path) -> None:
    groups = {p.name.removeprefix("orbench-"): p.group for p in load_dataset("orbench", root).protocols}
    assert groups == {
        **dict.fromkeys(("cp", "sk", "text", "nir"), "ORBench ONE"),
        **dict.fromkeys(("text+nir", "nir+text", "nir+cp", "cp+nir"), "ORBench TWO"),
        "cp+sk+text": "ORBench THREE",
        "text+nir+cp+sk": "ORBench FOUR",
    }


def test_the_gallery_is_the_list(root: Path, write_image: Callable[..., Path]) -> None:
    write_image(root / "vis" / "0009" / "not listed.png")
    dataset = load_dataset("orbench", root)
    table = SampleTable.of(dataset.samples)
    for protocol in dataset.protocols:
        (trial,) = resolve(protocol, table)
        gallery = {table.sample_id[row] for row in trial.gallery}
        assert gallery == {"vis/0001/1.png", "vis/0001/2.png", "vis/0009/1.png"}
        assert len(trial.query_person) == len(LISTS[protocol.name.removeprefix("orbench-").upper()])
    assert not check_dataset(dataset, progress=False).broken


def test_published_figures(root: Path) -> None:
    counts = {c.what: (c.found, c.published) for c in load_dataset("orbench", root).counts}
    assert counts == {
        "people": (4, 1_000),
        "train people": (2, 600),
        "test people": (2, 400),
        "query lists of group ONE": (4, 4),
        "query lists of group TWO": (4, 12),
        "query lists of group THREE": (1, 12),
        "query lists of group FOUR": (1, 4),
    }


def test_people_held_out(root: Path) -> None:
    dataset = load_dataset("orbench", root, {"val_people": "1"})
    assert len({s.person_id for s in dataset.select(Split.VAL)}) == 1
    assert {s.modality for s in dataset.select(Split.VAL)} == set(Modality)
    assert len(dataset.select(Split.TEST)) == len(load_dataset("orbench", root).select(Split.TEST))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"RGB_GALLERY": []}, "expected a JSON object with a list RGB_GALLERY"),
        ({"NIR+XX": []}, r"'NIR\+XX' is no query list; expected names made of NIR, CP, SK, TEXT"),
        ({"NIR+CP": [[1, "nir/0001/1.png"]]}, r"NIR\+CP, entry 1: expected a person and 2 path"),
        ({"NIR": [[1, 7]]}, "NIR, entry 1: expected a person and 1 path"),
        ({"NIR": [["ann", "nir/0001/1.png"]]}, "NIR, entry 1: 'ann' is no person number"),
        ({"NIR": [[1, "0001.png"]]}, r"NIR, entry 1: '0001\.png' is no image; expected \{vis,nir,cp,sk\}/PERSON/IMAGE"),
        ({"NIR": [[1, "nir/0009/1.png"]]}, "person 1 is in folders 0001 and 0009"),
        ({"NIR": [[3, "nir/0009/1.png"]]}, "folder 0009 belongs to several persons"),
        ({"RGB_GALLERY": [[1, "vis/0001/9.png"]]}, r"names vis/0001/9\.png, which is not in"),
    ],
)
def test_broken_lists(root: Path, change: dict[str, Any], message: str) -> None:
    (root / TEST_FILE).write_text(json.dumps({**LISTS, **change}))
    with pytest.raises(UserError, match=message) as error:
        load_dataset("orbench", root)
    assert "\n" not in str(error.value)


def test_broken_train_list_and_layout(root: Path) -> None:
    file = root / "train_annos.json"
    for raw, message in (
        ("{", "not a JSON file"),
        ("[]", "expected a JSON list"),
        ('[{"id": 1, "caption": "x"}]', "entry 1: no file_path"),
        ('[{"id": 1, "file_path": "vis/0003/1.png"}]', "entry 1: no caption"),
    ):
        file.write_text(raw)
        with pytest.raises(UserError, match=rf"train_annos\.json: {message}"):
            load_dataset("orbench", root)
    file.unlink()
    with pytest.raises(UserError, match=r"ORBench folder; expected vis, nir, cp, sk, train_annos\.json"):
        load_dataset("orbench", root)


def test_a_person_known_by_captions_only(root: Path) -> None:
    (root / TEST_FILE).write_text(json.dumps({**LISTS, "TEXT": [[77, "nobody has seen this one"]]}))
    texts = load_dataset("orbench", root).select(Split.TEST, modalities=[Modality.TEXT])
    assert ("test-77#0", "test-77") in {(s.sample_id, s.person_id) for s in texts}
