"""How the user's own data is scored: protocols made from the samples that are there."""

from __future__ import annotations

from test_manifest import Write, matches, row

from reid.datasets import load_dataset
from reid.datasets.check import check_dataset
from reid.protocol import Drop


def test_cameras_give_the_same_camera_rule_also_to_split_test(write: Write) -> None:
    root = write(*[row(f"{c}{n}.png", split="test", camera_id=c) for c in "AB" for n in range(2)])
    dataset = load_dataset("manifest", root)
    assert not check_dataset(dataset, progress=False).broken
    (protocol,) = dataset.protocols
    assert (protocol.name, protocol.drop) == ("rgb-to-rgb", Drop.SAME_CAMERA)
    assert matches(dataset, "rgb-to-rgb")["A0.png"] == {"B0.png", "B1.png"}


def test_without_cameras_an_image_does_not_find_itself(write: Write) -> None:
    root = write(*[row(f"{n}.png", split="test") for n in range(3)])
    dataset = load_dataset("manifest", root)
    assert dataset.protocols[0].drop is Drop.SAME_SOURCE
    assert matches(dataset, "rgb-to-rgb")["0.png"] == {"1.png", "2.png"}
    assert not dataset.warnings
    assert any("no camera rule" in note for note in dataset.protocols[0].notes)


def test_one_image_without_a_camera_is_enough_to_give_up_the_camera_rule(write: Write) -> None:
    root = write(
        row("1.png", split="test", camera_id="A"),
        row("2.png", split="test", camera_id="B"),
        row("3.png", split="test"),
    )
    dataset = load_dataset("manifest", root)
    assert matches(dataset, "rgb-to-rgb")["3.png"] == {"1.png", "2.png"}


def test_query_and_gallery_apart(write: Write) -> None:
    rows = [row("q.png", split="query"), row("g.png", split="gallery")]
    dataset = load_dataset("manifest", write(*rows))
    assert dataset.protocols[0].drop is Drop.NONE
    assert "no camera rule: the samples have no cameras" in dataset.protocols[0].notes
    # An image without a camera is no harm here: the rule has no effect on it.
    more = [{**r, "camera_id": "1"} for r in rows] + [row("h.png", split="gallery")]
    dataset = load_dataset("manifest", write(*more))
    assert dataset.protocols[0].drop is Drop.SAME_CAMERA
    assert matches(dataset, "rgb-to-rgb") == {"q.png": {"h.png"}}


def test_every_modality_asks_rgb(write: Write) -> None:
    root = write(
        row("p1.png", split="test", camera_id="1", text="a woman"),
        row("p2.png", split="test", camera_id="2"),
        row("i1.png", split="test", camera_id="1", modality="ir", source_id="p1.png"),
        row("s1.png", split="test", modality="sketch", source_id="p1.png"),
    )
    dataset = load_dataset("manifest", root)
    assert {p.name: p.drop for p in dataset.protocols} == {
        "rgb-to-rgb": Drop.SAME_CAMERA,
        "ir-to-rgb": Drop.SAME_CAMERA,
        "sketch-to-rgb": Drop.NONE,
        "sketch-to-rgb-drop-source": Drop.SAME_SOURCE,
        "text-to-rgb": Drop.NONE,
        "text-to-rgb-drop-source": Drop.SAME_SOURCE,
    }
    assert dataset.protocol().name == "rgb-to-rgb"
    both = {"p1.png", "p2.png"}
    assert matches(dataset, "ir-to-rgb") == {"i1.png": {"p2.png"}}
    assert matches(dataset, "sketch-to-rgb") == {"s1.png": both}
    assert matches(dataset, "sketch-to-rgb-drop-source") == {"s1.png": {"p2.png"}}
    assert matches(dataset, "text-to-rgb") == {"p1.png#0": both}
    assert matches(dataset, "text-to-rgb-drop-source") == {"p1.png#0": {"p2.png"}}


def test_infrared_alone_asks_infrared(write: Write) -> None:
    root = write(*[row(f"{n}.png", split="test", modality="ir") for n in range(2)])
    dataset = load_dataset("manifest", root)
    assert [p.name for p in dataset.protocols] == ["ir-to-ir"]
    assert matches(dataset, "ir-to-ir") == {"0.png": {"1.png"}, "1.png": {"0.png"}}


def test_an_image_with_neither_camera_nor_source_is_warned_of(write: Write) -> None:
    root = write(row("1.png", split="test", source_id=""), row("2.png", split="test"))
    (warning,) = load_dataset("manifest", root).warnings
    assert "rgb-to-rgb: 1 images of split test have neither camera_id nor source_id" in warning
    assert "1.png" in warning


def test_nothing_to_score(write: Write) -> None:
    assert load_dataset("manifest", write(row("1.png"))).protocols == ()
    only_text = {"text": "x", "person_id": "a", "split": "test"}
    assert load_dataset("manifest", write(row("1.png"), only_text)).protocols == ()
