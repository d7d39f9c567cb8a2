"""Boxes of a detector as JSON lines: every line is a commit, and a bad line is named."""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edge_runtime.boxes import BoxReader, crop
from edge_runtime.embedder import Embedder
from edge_runtime.enrol import Observation
from edge_runtime.gallery import Gallery
from edge_runtime.tracks import Tracks
from reid.errors import UserError


@pytest.fixture
def frame(people: Path, tmp_path: Path) -> dict[str, list[int]]:
    """frame.png with two people side by side on grey; who is where."""
    picture = Image.new("RGB", (300, 200), (128, 128, 128))
    boxes = {}
    for place, name in enumerate(("p0000", "p0001")):
        person = Image.open(people / "staff" / name / "c1.png").convert("RGB")
        left = 20 + 150 * place
        picture.paste(person, (left, 40))
        boxes[name] = [left, 40, person.width, person.height]
    picture.save(tmp_path / "frame.png")
    return boxes


def write(path: Path, *lines: object) -> None:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))


def rows_of(path: Path) -> list[Any]:
    with Gallery.open(path, read_only=True) as opened:
        return opened.rows(opened.ids())


def test_boxes_are_cut_out_and_embedded_as_if_they_were_files(
    edge: Any, frame: dict[str, list[int]], people: Path, embedder: Embedder, tmp_path: Path
) -> None:
    write(
        tmp_path / "boxes.jsonl",
        {
            "image": "frame.png", "time": 12.5, "camera": "yard",
            "boxes": [{"box": frame["p0000"], "person": "ann", "metadata": {"confidence": 0.5}}, frame["p0001"]],
        },
        {"image": "frame.png", "time": 13, "box": frame["p0001"], "track": 7},
    )  # fmt: skip
    done = edge("enroll", "g.db", "--boxes", "boxes.jsonl", "--camera", "door", "--json")
    assert done.code == 0, done.err
    first, second, third = rows_of(tmp_path / "g.db")
    assert (first.person_id, first.camera_id, first.time) == ("ann", "yard", 12.5)
    assert first.metadata["confidence"] == 0.5
    assert first.metadata["box"] == frame["p0000"]
    assert (second.person_id, second.camera_id) == (None, "yard")
    assert (third.camera_id, third.time, third.metadata["track"]) == ("door", 13.0, "7")
    files = [people / "staff" / name / "c1.png" for name in frame]
    np.testing.assert_allclose([first.embedding, second.embedding], embedder.embed(files, "rgb"), atol=1e-5)


def test_a_line_is_on_disk_before_the_next_one_is_read(
    edge: Any, frame: dict[str, list[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []

    def lines() -> Iterator[str]:
        for place in range(3):
            yield json.dumps({"image": "frame.png", "box": frame["p0000"]}) + "\n"
            with Gallery.open(tmp_path / "g.db", read_only=True) as opened:
                counts.append((place, opened.count))

    monkeypatch.setattr(sys, "stdin", lines())
    assert edge("enroll", "g.db", "--boxes", "-").code == 0
    assert counts == [(0, 1), (1, 2), (2, 3)]


def test_a_picture_may_come_within_the_line(edge: Any, people: Path, embedder: Embedder, tmp_path: Path) -> None:
    file = people / "staff" / "p0002" / "c1.png"
    write(tmp_path / "b.jsonl", {"data": base64.b64encode(file.read_bytes()).decode(), "person": "unknown"})
    assert edge("enroll", "g.db", "--boxes", "b.jsonl").code == 0
    (row,) = rows_of(tmp_path / "g.db")
    assert row.person_id is None
    np.testing.assert_allclose(row.embedding, embedder.embed([file], "rgb")[0], atol=1e-5)


BAD: dict[str, tuple[object, str]] = {
    "no json": ("{", "is not JSON"),
    "a list": ("[]", "is a list; expected a frame"),
    "key": ({"image": "frame.png", "bbox": [1, 2, 3, 4]}, "key 'bbox' is not known here; expected"),
    "no image": ({"box": [1, 2, 3, 4]}, "expected either 'image', a path, or 'data'"),
    "absent": ({"image": "none.png"}, "none.png: no such image"),
    "base64": ({"data": "***"}, "'data' is not base64"),
    "no picture": ({"data": "AAAA"}, "does not decode as an image"),
    "outside": ({"image": "frame.png", "box": [400, 0, 10, 10]}, "holds nothing of an image of 300 x 200 pixels"),
    "no area": ({"image": "frame.png", "box": [4, 4, 0, 10]}, "holds nothing"),
    "three": ({"image": "frame.png", "box": [4, 4, 10]}, "is no box; expected [left, top, width, height]"),
    "words": ({"image": "frame.png", "box": ["a", 4, 10, 9]}, "is no box"),
    "nan": ('{"image": "frame.png", "box": [NaN, 4, 10, 9]}', "is no box"),
    "time": ({"image": "frame.png", "time": "now"}, "time 'now'; expected seconds"),
    "endless": ('{"image": "frame.png", "time": Infinity}', "time inf; expected seconds"),
    "camera": ({"image": "frame.png", "camera": [1]}, "'camera' is a list; expected text"),
    "modality": ({"image": "frame.png", "modality": "x"}, "'x' is not a modality"),
    "boxes": ({"image": "frame.png", "boxes": {}}, "'boxes' is a dict; expected a list"),
    "box key": ({"image": "frame.png", "boxes": [{"score": 1}]}, "box 0: key 'score' is not known"),
    "metadata": ({"image": "frame.png", "metadata": 5}, "'metadata' is a int; expected an object"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_named_what_came_before_stays_and_skip_broken_goes_on(
    name: str, edge: Any, frame: dict[str, list[int]], tmp_path: Path
) -> None:
    line, message = BAD[name]
    good = {"image": "frame.png", "box": frame["p0000"]}
    write(tmp_path / "b.jsonl", good, line, good)
    done = edge("enroll", "g.db", "--boxes", "b.jsonl")
    assert done.code == 2
    error = done.err.splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
    assert len(rows_of(tmp_path / "g.db")) == 1
    done = edge("enroll", "h.db", "--boxes", "b.jsonl", "--skip-broken")
    assert done.code == 0, done.err
    assert len(rows_of(tmp_path / "h.db")) == 2
    assert message in done.err


def test_one_bad_box_does_not_take_the_others_of_its_frame(
    edge: Any, frame: dict[str, list[int]], tmp_path: Path
) -> None:
    write(tmp_path / "b.jsonl", {"image": "frame.png", "boxes": [[900, 0, 5, 5], frame["p0000"], frame["p0001"]]})
    done = edge("enroll", "g.db", "--boxes", "b.jsonl", "--skip-broken", "--json")
    told = json.loads(done.out)
    assert (len(told["ids"]), len(told["skipped"])) == (2, 1)
    assert "line 1, box 0" in told["skipped"][0]


def test_a_stream_of_tracks_gives_a_row_for_each_tracklet(
    edge: Any, frame: dict[str, list[int]], tmp_path: Path
) -> None:
    lines = [
        {"image": "frame.png", "time": float(t), "boxes": [
            {"box": frame["p0000"], "track": "a"}, *([{"box": frame["p0001"], "track": "b"}] if t < 3 else []),
        ]}
        for t in range(10)
    ]  # fmt: skip
    write(tmp_path / "b.jsonl", *lines)
    done = edge("enroll", "g.db", "--boxes", "b.jsonl", "--tracklets", "--tracklet-crops", 8, "--json")
    assert done.code == 0, done.err
    found = [(row.metadata["track"], row.metadata["crops"], row.time) for row in rows_of(tmp_path / "g.db")]
    assert found == [("b", 3, 0.0), ("a", 8, 0.0), ("a", 2, 8.0)]


def test_old_unknown_rows_go_and_known_people_stay(edge: Any, frame: dict[str, list[int]], tmp_path: Path) -> None:
    write(
        tmp_path / "b.jsonl",
        {"image": "frame.png", "time": 5, "box": frame["p0000"], "person": "ann"},
        *({"image": "frame.png", "time": 5, "box": frame["p0001"]} for _ in range(4)),
    )
    done = edge("enroll", "g.db", "--boxes", "b.jsonl", "--max-rows", 1, "--json")
    assert json.loads(done.out)["deleted"] == 3
    assert [row.person_id for row in rows_of(tmp_path / "g.db")] == ["ann", None]
    done = edge("enroll", "g.db", "--boxes", "b.jsonl", "--keep-days", 1, "--forget-known", "--json")
    assert json.loads(done.out)["rows"] == 0


SIDE, EDGE, EXTENT = st.integers(1, 60), st.integers(-80, 80), st.floats(0.1, 90)


@given(SIDE, SIDE, EDGE, EDGE, EXTENT, EXTENT)
def test_a_box_gives_the_pixels_that_it_covers_or_is_refused(
    width: int, height: int, left: int, top: int, wide: float, high: float
) -> None:
    numbers = np.arange(width * height, dtype=np.uint32).reshape(height, width)
    pixels = np.stack([numbers >> 8, numbers & 255, numbers * 0], axis=-1).astype(np.uint8)
    ys, xs = np.mgrid[:height, :width]
    inside = (xs + 1 > left) & (xs < left + wide) & (ys + 1 > top) & (ys < top + high)
    try:
        found = np.asarray(crop(Image.fromarray(pixels), [left, top, wide, high], "here"))
    except UserError:
        assert not inside.any()
    else:
        assert found.reshape(-1, 3).tolist() == pixels[inside].tolist()


def test_every_crop_of_a_track_leaves_it_once() -> None:
    """Whatever the order of times: a clock that went backwards loses nothing."""
    rng = np.random.default_rng(0)
    tracks, given_, taken = Tracks(most=4, gap=1.0), [], []
    for number in range(500):
        one = Observation(
            b"", str(number), camera_id=f"c{rng.integers(2)}", time=float(rng.normal(number / 10, 3)),
            track=None if rng.random() < 0.1 else f"t{rng.integers(5)}",
        )  # fmt: skip
        given_.append(one)
        taken += tracks.take([one])
    taken += tracks.rest()
    assert sorted(int(one.name) for part in taken for one in part) == list(range(500))
    assert all(len(part) <= 4 for part in taken)
    assert all(len({(one.camera_id, one.track) for one in part}) == 1 for part in taken)
    assert tracks.rest() == []


def test_consecutive_lines_of_one_frame_decode_it_once(
    tmp_path: Path, frame: dict[str, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import edge_runtime.boxes

    calls = []
    plain = edge_runtime.boxes.read_image

    def counted(source: Any, **options: Any) -> Any:
        calls.append(source)
        return plain(source, **options)

    monkeypatch.setattr(edge_runtime.boxes, "read_image", counted)
    lines = io.StringIO("".join(json.dumps({"image": "frame.png", "box": box}) + "\n" for box in frame.values()))
    assert len(list(BoxReader(tmp_path, "lines").frames(lines))) == 2
    assert len(calls) == 1
