"""What a user can do wrong at the device's commands: one line, exit code 2, and nothing half-done."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_runtime.gallery import Gallery, Row

NOTES = ("taking ", "engine: ", "tensorrt: ", "sentences: ", "no --threshold", "skipped: ")


def refusal(done: Any) -> str:
    """The one line that is not a note."""
    assert done.code == 2, (done.out, done.err)
    assert done.out == ""
    lines = [line for line in done.err.splitlines() if not line.startswith((*NOTES, "try: "))]
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return str(lines[0].removeprefix("error: "))


@pytest.fixture
def broken(tmp_path: Path, people: Path) -> Path:
    """A JPEG that was cut short."""
    out = io.BytesIO()
    Image.open(people / "staff" / "p0000" / "c1.png").convert("RGB").save(out, "jpeg")
    path = tmp_path / "broken.jpg"
    path.write_bytes(out.getvalue()[:-200])
    return path


def test_a_broken_image_is_named_and_nothing_is_enrolled(edge: Any, people: Path, broken: Path, tmp_path: Path) -> None:
    good = people / "staff" / "p0000" / "c1.png"
    said = refusal(edge("enroll", "g.db", good, broken, "--person", "ann"))
    assert said.startswith("broken.jpg: does not decode" if not broken.is_absolute() else f"{broken}: does not decode")
    with Gallery.open(tmp_path / "g.db", read_only=True) as opened:
        assert opened.count == 0


def test_with_skip_broken_the_others_go_on(edge: Any, people: Path, broken: Path) -> None:
    good = sorted((people / "staff" / "p0000").glob("*.png"))
    done = edge("enroll", "g.db", good[0], broken, good[1], "--person", "ann", "--skip-broken", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert len(told["ids"]) == 2
    assert [line.partition(": ")[0] for line in told["skipped"]] == [str(broken)]
    assert f"skipped: {broken}: does not decode" in done.err
    done = edge("search", "g.db", broken, good[0], "--skip-broken", "--json")
    assert [one["query"] for one in json.loads(done.out)["answers"]] == [str(good[0])]
    done = edge("embed", broken, good[0], "--skip-broken", "--json")
    assert json.loads(done.out)["names"] == [str(good[0])]


def test_a_search_of_broken_images_alone_has_no_answers(edge: Any, gallery: Path, broken: Path) -> None:
    done = edge("search", gallery, broken, "--skip-broken", "--json")
    assert done.code == 0
    assert json.loads(done.out)["answers"] == []


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (10_000, 3)])
def test_odd_sizes_are_embedded(size: tuple[int, int], edge: Any, tmp_path: Path) -> None:
    Image.new("RGB", size, (90, 60, 30)).save(tmp_path / "odd.png")
    assert edge("enroll", "g.db", "odd.png", "--person", "ann").code == 0
    done = edge("search", "g.db", "odd.png", "--json")
    assert json.loads(done.out)["answers"][0]["person"] == "ann"


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(edge: Any, tmp_path: Path) -> None:
    Image.new("1", (13_000, 13_000)).save(tmp_path / "bomb.png")
    said = refusal(edge("enroll", "g.db", "bomb.png", "--person", "x"))
    assert said.startswith("bomb.png: 13000 x 13000 pixels; at most")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("search", "none.db", "x.png"), "none.db: no such gallery; enrol into it first"),
        (("search", "http://", "IMAGE"), "expected the URI of a Milvus server"),
        (("search", "http://a:b@host", "IMAGE"), "has a name or password in the URI"),
        (("search", "GALLERY"), "search: expected either images, or --text and --vectors"),
        (("search", "GALLERY", "x.png", "--text", "a man"), "search: expected either images, or --text"),
        (("search", "GALLERY", "none.png"), "none.png: no such image"),
        (("search", "GALLERY", "IMAGE", "--modality", "thermal"), "--modality: 'thermal' is not a modality"),
        (("search", "GALLERY", "IMAGE", "--modality", "text"), "--modality text: the bundle has no such images"),
        (("search", "GALLERY", "IMAGE", "--seen-in", "x"), "--seen-in: 'x' is not a modality"),
        (("search", "GALLERY", "IMAGE", "--since", "yesterday"), "--since yesterday: expected a time such as"),
        (("search", "GALLERY", "IMAGE", "--threshold", "1.5"), "--threshold 1.5: expected a cosine"),
        (("search", "GALLERY", "IMAGE", "--threshold", "nan"), "--threshold nan: expected a cosine"),
        (("search", "GALLERY", "IMAGE", "--threshold", "t.json"), "--threshold t.json: no such file"),
        (("search", "GALLERY", "IMAGE", "--threshold", "IMAGE"), "cannot be read"),
        (("search", "GALLERY", "IMAGE", "--far", "0.1"), "--far: chooses in a file"),
        (("search", "GALLERY", "IMAGE", "--precision", "fp16"), "has no image graph in fp16 as onnx, only fp32"),
        (("search", "GALLERY", "IMAGE", "--engine", "tensorrt"), "--engine tensorrt: cannot be had here: "),
        (("search", "GALLERY", "IMAGE", "--key", "none.pub"), "none.pub"),
        (("search", "GALLERY", "IMAGE", "--show", "no/where.png"), "there is no folder no; make it first"),
        (("search", "GALLERY", "--text", "a man", "--centre"), "centring: no mean of modality 'text'"),
        (("enroll", "GALLERY"), "enroll: expected either images and folders, or --boxes"),
        (("enroll", "GALLERY", "none"), "none: no such image or folder"),
        (("enroll", "GALLERY", "IMAGE", "--person", ""), "person id is ''"),
        (("enroll", "GALLERY", "IMAGE", "--time", "soon"), "--time soon: expected a time such as"),
        (("enroll", "GALLERY", "EMPTY"), "has no sub-folders, one for each person"),
        (("enroll", "GALLERY", "EMPTY", "--person", "x"), "holds no images"),
        (("enroll", "GALLERY", "--boxes", "none.jsonl"), "none.jsonl: cannot be read"),
        (("enroll", "GALLERY", "--boxes", "x.jsonl", "--person", "ann"), "--person: the lines of --boxes say"),
        (("embed", "IMAGE"), "embed: nowhere to write to"),
        (("embed", "--json"), "embed: expected either images or --text"),
        (("info", "none"), "none: no such file or folder; expected a bundle"),
        (("verify",), "verify: no bundle under ./runs and no gallery"),
        (("build",), "runs: holds no finished artifact of kind 'bundle'"),
        (("doctor", "--gallery", "none.db"), "none.db: no such gallery"),
        (("gallery", "people", "none.db"), "none.db: no such gallery"),
        (("gallery", "rename", "p0000", "p0001", "--gallery", "GALLERY"), "there is a person 'p0001' already"),
        (("gallery", "rename", "p000", "x", "--gallery", "GALLERY"), "has no person 'p000'; did you mean 'p000"),
        (("gallery", "merge", "nobody", "--into", "x", "--gallery", "GALLERY"), "has no person 'nobody'"),
        (("gallery", "delete", "--gallery", "GALLERY"), "delete: expected either --row, or conditions"),
        (("gallery", "delete", "--person", "zoe", "--gallery", "GALLERY"), "has no person 'zoe'"),
        (("gallery", "assign", "999", "--person", "x", "--gallery", "GALLERY"), "has no row 999"),
        (("gallery", "expire", "--gallery", "GALLERY"), "expire: expected --keep-days"),
        (("gallery", "export", "x.csv", "--gallery", "GALLERY"), "expected a name that ends in .arrow or .jsonl"),
        (("gallery", "import", "x.jsonl", "--gallery", "GALLERY"), "x.jsonl: no such file"),
        (("gallery", "backup", "GALLERY", "--gallery", "GALLERY"), "is the gallery itself"),
    ],
)
def test_each_is_refused_in_one_line_and_the_gallery_is_as_it_was(
    words: tuple[str, ...], message: str, edge: Any, gallery: Path, people: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    real = {"GALLERY": gallery, "IMAGE": people / "staff" / "p0000" / "c1.png", "EMPTY": tmp_path / "empty"}
    with Gallery.open(gallery, read_only=True) as opened:
        before = opened.last_change
    assert message in refusal(edge(*(real.get(word, word) for word in words)))
    with Gallery.open(gallery, read_only=True) as opened:
        assert opened.last_change == before


def test_a_gallery_of_another_bundle_is_refused(edge: Any, gallery: Path, people: Path, other_bundle: Path) -> None:
    file = people / "staff" / "p0000" / "c1.png"
    for name in ("search", "enroll"):
        said = refusal(edge(name, gallery, file, bundle=other_bundle))
        assert "holds embeddings of bundle space" in said
        assert "or re-embed it from its stored crops" in said


def test_a_bundle_without_text_says_what_a_sentence_needs(edge: Any, other_bundle: Path, tmp_path: Path) -> None:
    with Gallery.open(tmp_path / "g.db", space_id="5" * 64, dim=8) as opened:
        opened.add([Row(np.eye(8, dtype=np.float32)[0])])
    said = refusal(edge("search", "g.db", "--text", "a man", bundle=other_bundle))
    assert "has no text student" in said
    assert "teacher embed-text" in said


def test_a_tampered_bundle_is_not_used(edge: Any, gallery: Path, people: Path, bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "copy"))
    graph = copy / "model" / "student.fp32.onnx"
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.write_bytes(data)
    file = people / "staff" / "p0000" / "c1.png"
    for words in (("search", gallery, file), ("enroll", gallery, file), ("embed", file, "--json"), ("bench",)):
        assert "model/student.fp32.onnx has changed since it was written" in refusal(edge(*words, bundle=copy))
    assert "model/student.fp32.onnx has changed" in refusal(edge("build", copy))
    done = edge("verify", copy)
    assert done.code == 2
    assert f"BAD  {copy}: " in done.out
    done = edge("verify", copy, "--json")
    assert done.code == 2
    assert len(json.loads(done.out)[0]["problems"]) == 1


def test_flipped_bytes_in_a_gallery_are_found_and_the_row_is_named(edge: Any, gallery: Path) -> None:
    with Gallery.open(gallery) as opened:
        vector = opened.rows([5])[0].embedding.tobytes()
        opened.compact()
    assert edge("verify", gallery).out == f"ok   {gallery}: gallery, 12 rows\n"
    data = bytearray(gallery.read_bytes())
    place = data.index(vector)
    data[place + 3] ^= 0x40
    gallery.write_bytes(data)
    done = edge("verify", gallery)
    assert done.code == 2
    assert "row 5: its embedding does not match its checksum" in done.out
    assert json.loads(edge("doctor", "--gallery", gallery, "--json").out)["ok"] is False


def test_a_file_that_is_no_gallery_is_refused(edge: Any, people: Path, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is not a database, but longer than a page header of it " * 10)
    assert "not a gallery" in refusal(edge("search", "text.db", people / "staff" / "p0000" / "c1.png"))


POINTS = {"points": [{"far_asked": 0.01, "threshold": 0.3}, {"far_asked": 0.001, "threshold": 0.6}]}
THRESHOLDS: dict[str, tuple[Any, tuple[object, ...], float | None]] = {
    "number": (0.25, (), 0.25),
    "key": ({"threshold": 0.5}, (), 0.5),
    "strictest": (POINTS, (), 0.6),
    "asked": (POINTS, ("--far", 0.01), 0.3),
    "absent": ({"points": [{"far_asked": 0.01, "threshold": 0.3}]}, ("--far", 0.5), None),
    "empty": ({}, (), None),
    "words": ({"threshold": "high"}, (), None),
    "list": ([], (), None),
}  # fmt: skip


@pytest.mark.parametrize("name", THRESHOLDS)
def test_a_threshold_comes_from_a_file(
    name: str, edge: Callable[..., Any], gallery: Path, people: Path, tmp_path: Path
) -> None:
    content, words, expected = THRESHOLDS[name]
    (tmp_path / "t.json").write_text(json.dumps(content))
    done = edge("search", gallery, people / "visitors" / "p0000" / "c3.png", "--json", "--threshold", "t.json", *words)
    if expected is None:
        assert "t.json" in refusal(done)
    else:
        assert done.code == 0, done.err
        assert json.loads(done.out)["threshold"] == expected
