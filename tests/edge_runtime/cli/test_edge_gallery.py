"""`edge gallery`: each command does what it says, and says it in words and in JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.bundle import open_bundle
from edge_runtime.gallery import Gallery
from reid.modality import Modality


def told(done: Any) -> Any:
    assert done.code == 0, done.err
    return json.loads(done.out)


def names(path: Path) -> list[str | None]:
    with Gallery.open(path, read_only=True) as opened:
        return [row.person_id for row in opened.rows(opened.ids(), crops=False)]


def test_people_are_listed_with_the_unknown_last(edge: Any, gallery: Path, people: Path) -> None:
    assert edge("enroll", gallery, people / "visitors" / "p0005" / "c3.png", "--time", 60).code == 0
    lines = edge("gallery", "people", gallery).out.splitlines()
    assert lines[0].split() == ["person", "rows", "first", "last"]
    assert lines[1].split()[:2] == ["p0000", "2"]
    assert lines[-1].split() == ["unknown", "1", "1970-01-01", "00:01:00", "1970-01-01", "00:01:00"]


def test_rows_are_deleted_by_person_by_number_and_by_condition(edge: Any, gallery: Path) -> None:
    at = ("--gallery", gallery, "--json")
    assert told(edge("gallery", "delete", "--person", "p0000", "--person", "p0001", *at))["deleted"] == 4
    assert told(edge("gallery", "delete", "--row", 5, "--row", 5, "--row", 99, *at))["deleted"] == 1
    assert told(edge("gallery", "delete", "--camera", "yard", *at))["deleted"] == 0
    assert names(gallery) == ["p0002", *(f"p{n:04}" for n in (3, 4, 5) for _ in range(2))]
    assert told(edge("gallery", "delete", "--person", "p0003", "--until", "now", *at)) == {
        "gallery": str(gallery), "rows": 5, "deleted": 2,
    }  # fmt: skip


def test_people_are_renamed_merged_and_assigned(edge: Any, gallery: Path) -> None:
    done = edge("gallery", "rename", "p0000", "ann", "--gallery", gallery)
    assert done.out == "renamed p0000 to ann: 2 rows\n"
    done = edge("gallery", "merge", "p0001", "p0002", "--into", "ann", "--gallery", gallery)
    assert done.out == "merged p0001, p0002 into ann: 4 rows\n"
    assert edge("gallery", "assign", 1, 7, "--gallery", gallery).out == "2 rows are now of unknown\n"
    assert edge("gallery", "assign", 7, "--person", "zoe", "--gallery", gallery).code == 0
    assert names(gallery)[:8] == [None, *["ann"] * 5, "zoe", "p0003"]


def test_old_and_too_many_unknown_rows_expire(edge: Any, gallery: Path, people: Path) -> None:
    for time in (100, 200, 300):
        assert edge("enroll", gallery, people / "visitors" / "p0005" / "c3.png", "--time", time).code == 0
    at = ("--gallery", gallery, "--json")
    assert told(edge("gallery", "expire", "--max-rows", 2, *at))["deleted"] == 1
    assert told(edge("gallery", "expire", "--keep-days", 1, *at))["deleted"] == 2
    assert told(edge("gallery", "expire", "--max-rows", 3, "--known", *at))["rows"] == 3


@pytest.mark.parametrize("name", ["out.jsonl", "out.arrow"])
def test_an_export_goes_into_another_gallery_unchanged(
    name: str, edge: Any, gallery: Path, bundle: Path, tmp_path: Path
) -> None:
    assert told(edge("gallery", "export", name, "--gallery", gallery, "--json"))["exported"] == 12
    space = open_bundle(bundle)
    with Gallery.open(tmp_path / "copy.db", space_id=space.space_id, dim=space.dim):
        pass
    assert len(told(edge("gallery", "import", name, "--gallery", "copy.db", "--json"))["ids"]) == 12
    with (
        Gallery.open(gallery, read_only=True) as one,
        Gallery.open(tmp_path / "copy.db", read_only=True) as other,
    ):
        for a, b in zip(one.rows(one.ids()), other.rows(other.ids()), strict=True):
            assert (a.person_id, a.camera_id, a.time, a.crop, dict(a.metadata)) == (
                b.person_id, b.camera_id, b.time, b.crop, dict(b.metadata),
            )  # fmt: skip
            assert a.embedding.tobytes() == b.embedding.tobytes()


def test_a_backup_opens_as_a_gallery_and_compaction_gives_room_back(edge: Any, gallery: Path, people: Path) -> None:
    assert edge("gallery", "backup", "copy.db", "--gallery", gallery).code == 0
    for name in ("p0000", "p0001", "p0002", "p0003"):
        assert edge("gallery", "delete", "--person", name, "--gallery", gallery).code == 0
    found = told(edge("gallery", "compact", gallery, "--json"))
    assert found["after"] < found["before"]
    file = people / "staff" / "p0000" / "c1.png"
    assert told(edge("search", "copy.db", file, "--json"))["answers"][0]["person"] == "p0000"
    assert edge("verify", gallery, "copy.db").code == 0


def test_a_gallery_is_embedded_again_with_another_bundle_from_its_crops(
    edge: Any, gallery: Path, people: Path, other_bundle: Path
) -> None:
    assert told(edge("gallery", "reembed", gallery, "--json", bundle=other_bundle))["reembedded"] == 12
    file = people / "staff" / "p0002" / "c1.png"
    (found,) = told(edge("search", gallery, file, "--json", bundle=other_bundle))["answers"]
    assert found["candidates"][0]["rows"][0]["score"] > 0.95
    with Gallery.open(gallery, read_only=True) as opened:
        assert (opened.space_id, opened.dim) == ("5" * 64, 8)


def test_info_says_what_a_gallery_and_a_bundle_hold(edge: Any, gallery: Path, bundle: Path) -> None:
    found = told(edge("info", gallery, "--json"))["gallery"]
    assert (found["rows"], found["people"], found["unknown rows"], found["width"]) == (12, 6, 0, 16)
    found = told(edge("info", bundle, "--json"))["bundle"]
    assert found["student"] == "vit-micro"
    assert found["modalities"] == [str(modality) for modality in Modality]
    assert (found["precisions"], found["batches"], found["signed by"]) == (["fp32"], [1, 4, 8], None)
    assert "  sentences      by its text student" in edge("info", bundle).out


def test_build_says_what_serves_and_what_was_not_taken(edge: Any, bundle: Path) -> None:
    found = told(edge("build", bundle, "--engine", "onnxruntime", "--json"))
    assert found["engine"]["name"] == "onnxruntime"
    assert found["engine"]["check"]["cosine_min"] > 0.99999
    assert "check crops: cosine min" in edge("build", bundle, "--engine", "onnxruntime").out


def test_bench_times_every_stage(edge: Any, gallery: Path) -> None:
    words = ("--rounds", 3, "--seconds", 0.01, "--most-threads", 1, "--engine", "onnxruntime", "--json")
    found = told(edge("bench", gallery, *words))
    assert [stage["name"] for stage in found["ms"]] == [
        "decode", "preprocess", "engine, batch 1", "engine, batch 4", "engine, batch 8", "search top 10",
        "search, a camera left out",
    ]  # fmt: skip
    assert all(0 < stage["p50"] <= stage["p99"] for stage in found["ms"])
    assert found["gallery"]["rows"] == 12
    assert found["crops/s by threads"]["1"] > 0
    assert found["sensors"]["why_not"].startswith("not a Jetson")
    found = told(edge("bench", "--rows", 50, *words))
    assert found["gallery"]["rows"] == 50


def test_the_picture_shows_query_and_crops_framed_by_the_threshold(
    edge: Any, gallery: Path, people: Path, tmp_path: Path
) -> None:
    from PIL import Image

    from reid.pictures.rank_list import NEUTRAL, RIGHT, WRONG

    file = people / "staff" / "p0003" / "c1.png"
    colours = {}
    for name, words in (("framed", ("--threshold", 0.9999)), ("neutral", ())):
        done = edge("search", gallery, file, "-k", 3, "--show", f"{name}.png", *words)
        assert done.code == 0, done.err
        assert f"wrote {name}.png, " in done.out
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png"))
        colours[name] = {c: int((pixels == c).all(axis=-1).sum()) for c in (RIGHT, WRONG, NEUTRAL)}
    assert colours["framed"][WRONG] > colours["framed"][RIGHT] > 500
    assert colours["framed"][NEUTRAL] == 0
    assert colours["neutral"][NEUTRAL] > 1500
    assert colours["neutral"][RIGHT] == colours["neutral"][WRONG] == 0


def test_the_picture_does_without_crops_and_shows_sentences(edge: Any, people: Path, tmp_path: Path) -> None:
    assert edge("enroll", "bare.db", people / "staff", "--no-crops").code == 0
    words = ("search", "bare.db", "--text", "a woman with a blue bag", "--show", "text.png", "--json")
    assert len(told(edge(*words))["answers"]) == 1
    assert (tmp_path / "text.png").stat().st_size > 1000
