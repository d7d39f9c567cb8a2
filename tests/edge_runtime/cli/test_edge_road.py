"""Bundle, enrol, search: the whole road through the commands, on people that never existed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_runtime.embedder import Embedder
from edge_runtime.gallery import Gallery
from edge_runtime.search import quality
from edge_runtime.text import write_vectors
from reid.modality import Modality


def answers(done: Any) -> list[dict[str, Any]]:
    assert done.code == 0, done.err
    found: list[dict[str, Any]] = json.loads(done.out)["answers"]
    return found


def stored(path: Path) -> tuple[list[Any], Any]:
    """All rows in their order, and their embeddings [n, k]."""
    with Gallery.open(path, read_only=True) as opened:
        rows = opened.rows(opened.ids())
    return rows, np.stack([row.embedding for row in rows])


def test_a_folder_is_enrolled_under_the_names_of_its_sub_folders(edge: Any, gallery: Path, people: Path) -> None:
    rows, _ = stored(gallery)
    files = sorted((people / "staff").glob("*/*.png"))
    assert [row.person_id for row in rows] == [file.parent.name for file in files]
    assert [row.metadata["file"] for row in rows] == [str(file) for file in files]
    assert {(row.camera_id, row.modality) for row in rows} == {("door", Modality.RGB)}
    listed = json.loads(edge("gallery", "people", gallery, "--json").out)
    assert [(one["person"], one["rows"]) for one in listed] == [(f"p{n:04}", 2) for n in range(6)]


def test_who_was_enrolled_is_found_by_the_same_picture(edge: Any, gallery: Path, people: Path) -> None:
    files = sorted((people / "staff").glob("*/c1.png"))
    found = answers(edge("search", gallery, *files, "--json", "--threshold", 0.999))
    assert [one["person"] for one in found] == [file.parent.name for file in files]
    assert min(one["score"] for one in found) > 0.9999


def test_ranks_and_scores_are_those_of_a_plain_matrix_product(
    edge: Any, gallery: Path, people: Path, embedder: Embedder
) -> None:
    files = sorted((people / "visitors").glob("*/*.png"))
    rows, vectors = stored(gallery)
    scores = embedder.embed(files, "rgb") @ vectors.T
    names = np.array([row.person_id for row in rows])
    for one, line in zip(answers(edge("search", gallery, *files, "--json", "-k", 4)), scores, strict=True):
        best = {name: line[names == name].max() for name in dict.fromkeys(names)}
        expected = sorted(best.items(), key=lambda pair: -pair[1])[:4]
        assert [c["person"] for c in one["candidates"]] == [name for name, _ in expected]
        np.testing.assert_allclose([c["score"] for c in one["candidates"]], [s for _, s in expected], atol=1e-5)


def test_a_search_prints_who_it_is_and_the_candidates(edge: Any, gallery: Path, people: Path) -> None:
    file = people / "staff" / "p0003" / "c1.png"
    done = edge("search", gallery, file, "-k", 2, "--threshold", 0.9)
    assert done.code == 0, done.err
    first, second, third = done.out.splitlines()
    assert first == f"{file}: p0003 (1.0000)"
    assert second.split()[:5] == ["1", "p0003", "1.0000", "camera", "door"]
    assert third.split()[0] == "2"


def test_unknown_is_an_answer(edge: Any, gallery: Path, people: Path) -> None:
    file = people / "visitors" / "p0003" / "c3.png"
    done = edge("search", gallery, file, "--threshold", 1)
    assert done.code == 0
    assert done.out.splitlines()[0].startswith(f"{file}: unknown (best 0.")
    (found,) = answers(edge("search", gallery, file, "--threshold", 1, "--json"))
    assert (found["person"], found["matched"]) == (None, False)


def test_without_a_threshold_it_is_said_that_the_best_is_named_whatever_its_score(
    edge: Any, gallery: Path, people: Path
) -> None:
    done = edge("search", gallery, people / "visitors" / "p0001" / "c3.png")
    assert "no --threshold" in done.err
    assert "unknown" not in done.out.splitlines()[0]


def test_somebody_unnamed_who_was_seen_before_is_unknown_but_matched(edge: Any, people: Path, tmp_path: Path) -> None:
    file = people / "visitors" / "p0002" / "c3.png"
    assert edge("enroll", "seen.db", file).code == 0
    (found,) = answers(edge("search", "seen.db", file, "--threshold", 0.9, "--json"))
    assert (found["person"], found["matched"], found["candidates"][0]["person"]) == (None, True, None)
    assert "unknown, seen before" in edge("search", "seen.db", file, "--threshold", 0.9).out


@pytest.mark.parametrize(
    "words", [("--camera", "yard"), ("--seen-in", "ir"), ("--until", "2001-01-01"), ("--not-known",)]
)
def test_a_filter_that_nothing_meets_gives_an_empty_answer(
    words: tuple[str, ...], edge: Any, gallery: Path, people: Path
) -> None:
    file = people / "staff" / "p0000" / "c1.png"
    (found,) = answers(edge("search", gallery, file, *words, "--json"))
    assert (found["person"], found["score"], found["candidates"]) == (None, None, [])
    assert "unknown (no row meets the conditions)" in edge("search", gallery, file, *words).out


def test_cameras_times_and_modalities_choose_rows(edge: Any, people: Path) -> None:
    folder = people / "staff" / "p0000"
    assert edge("enroll", "g.db", folder / "c1.png", "--camera", "a", "--time", 100, "--person", "x").code == 0
    assert edge("enroll", "g.db", folder / "c2.png", "--camera", "b", "--time", 200, "--person", "y").code == 0
    sketch = people / "sketches" / "p0000.png"
    assert edge("enroll", "g.db", sketch, "--modality", "sketch", "--time", 300, "--person", "z").code == 0

    def who(*words: object) -> set[str]:
        (found,) = answers(edge("search", "g.db", folder / "c1.png", "--json", *words))
        return {candidate["person"] for candidate in found["candidates"]}

    assert who() == {"x", "y", "z"}
    assert who("--camera", "a") == {"x"}
    assert who("--not-camera", "a") == {"y", "z"}
    assert who("--since", 150, "--until", 300) == {"y"}
    assert who("--until", "1970-01-01T00:02:30Z") == {"x"}
    assert who("--seen-in", "sketch") == {"z"}
    assert who("--seen-in", "rgb", "--camera", "b", "--camera", "a") == {"x", "y"}


def test_more_candidates_than_rows_are_all_rows(edge: Any, gallery: Path, people: Path) -> None:
    (found,) = answers(edge("search", gallery, people / "staff" / "p0000" / "c1.png", "--json", "-k", 1000))
    assert len(found["candidates"]) == 6


def test_crops_of_one_person_become_one_row_weighted_by_quality(
    edge: Any, people: Path, embedder: Embedder, tmp_path: Path
) -> None:
    files = sorted((people / "staff" / "p0001").glob("*.png"))
    done = edge("enroll", "t.db", *files, "--person", "ann", "--tracklets", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["crops"] == 2
    rows, (vector,) = stored(tmp_path / "t.db")
    weights = np.array([quality(np.asarray(Image.open(file).convert("RGB"))) for file in files])
    mean = weights @ embedder.embed(files, "rgb")
    np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)
    assert rows[0].metadata["crops"] == 2
    (found,) = answers(edge("search", "t.db", *files, "--tracklet", "--json"))
    assert found["person"] == "ann"
    assert found["score"] > 0.9999


def test_folders_of_people_as_tracklets_give_one_row_each(edge: Any, people: Path, tmp_path: Path) -> None:
    done = edge("enroll", "t.db", people / "staff", "--tracklets", "--json")
    told = json.loads(done.out)
    assert (len(told["ids"]), told["crops"]) == (6, 12)
    rows, _ = stored(tmp_path / "t.db")
    assert [row.person_id for row in rows] == [f"p{n:04}" for n in range(6)]


def test_enrolling_again_with_new_only_adds_nothing(edge: Any, gallery: Path, people: Path) -> None:
    told = json.loads(edge("enroll", gallery, people / "staff", "--new-only", "--json").out)
    assert (told["ids"], told["there already"], told["rows"]) == ([], 12, 12)


def test_a_stored_crop_shows_the_person_and_can_be_left_out(
    edge: Any, gallery: Path, people: Path, tmp_path: Path
) -> None:
    rows, _ = stored(gallery)
    with Image.open(people / "staff" / "p0000" / "c1.png") as image:
        original = np.asarray(image.convert("RGB"), dtype=float)
    (tmp_path / "crop.jpg").write_bytes(rows[0].crop)
    with Image.open(tmp_path / "crop.jpg") as image:
        assert np.abs(np.asarray(image, dtype=float) - original).mean() < 8
    assert edge("enroll", "bare.db", people / "staff" / "p0000", "--person", "x", "--no-crops").code == 0
    assert {row.crop for row in stored(tmp_path / "bare.db")[0]} == {None}


def test_a_sentence_is_answered_by_the_text_student_as_plain_scores_say(
    edge: Any, gallery: Path, tmp_path: Path
) -> None:
    text = "a man in a red coat"
    done = edge("embed", "--text", text, "--out", "q.npz")
    assert done.code == 0, done.err
    with np.load(tmp_path / "q.npz") as arrays:
        query = arrays["embeddings"]
    rows, vectors = stored(gallery)
    (found,) = answers(edge("search", gallery, "--text", text, "--json", "-k", 1))
    best = int(np.argmax(vectors @ query[0]))
    assert found["query"] == text
    assert found["person"] == rows[best].person_id
    assert found["score"] == pytest.approx(float(vectors[best] @ query[0]), abs=1e-5)


def test_vectors_of_the_cloud_are_projected_and_searched(
    edge: Any, gallery: Path, bundle: Path, tmp_path: Path
) -> None:
    from edge_runtime.bundle import open_bundle

    subspace = open_bundle(bundle).subspace()
    rng = np.random.default_rng(0)
    cloud = rng.standard_normal((2, subspace.dim)).astype(np.float32)
    write_vectors(tmp_path / "q.npz", cloud, ["one", "two"])
    wanted = (cloud / np.linalg.norm(cloud, axis=1, keepdims=True) - subspace.mean) @ subspace.basis
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    _, vectors = stored(gallery)
    found = answers(edge("search", gallery, "--vectors", "q.npz", "--json"))
    assert [one["query"] for one in found] == ["one", "two"]
    np.testing.assert_allclose([one["score"] for one in found], (wanted @ vectors.T).max(axis=1), atol=1e-5)
    (second,) = answers(edge("search", gallery, "--vectors", "q.npz", "--text", "two", "--json"))
    assert second == found[1]


def test_re_ranking_and_centring_answer_too(edge: Any, gallery: Path, people: Path) -> None:
    file = people / "staff" / "p0004" / "c2.png"
    for words in (("--rerank", 12), ("--centre",), ("--aggregate", "mean", "--rows-of-person", 2)):
        (found,) = answers(edge("search", gallery, file, "--json", *words))
        assert found["person"] is not None
        assert len(found["candidates"]) == 6


def test_every_way_of_scanning_gives_the_same_answer(edge: Any, gallery: Path, people: Path) -> None:
    file = people / "visitors" / "p0004" / "c3.png"
    found = [answers(edge("search", gallery, file, "--json", "--index", how)) for how in ("faiss", "numpy")]
    assert [c["person"] for c in found[0][0]["candidates"]] == [c["person"] for c in found[1][0]["candidates"]]


def test_what_is_not_named_is_taken_from_the_default_places_and_that_is_said(
    edge: Any, people: Path, bundle: Path, tmp_path: Path
) -> None:
    import shutil

    shutil.copytree(bundle, tmp_path / "runs" / "bundle" / "newest")
    done = edge("enroll", people / "staff" / "p0000", "--person", "ann", bundle=None)
    assert done.code == 0, done.err
    assert "taking the newest bundle, runs/bundle/newest" in done.err
    assert "taking the gallery runs/gallery/gallery.db" in done.err
    found = answers(edge("search", people / "staff" / "p0000" / "c1.png", "--json", bundle=None))
    assert found[0]["person"] == "ann"
    told = json.loads(edge("info", "--json").out)
    assert told["bundle"]["path"] == "runs/bundle/newest"
    assert told["gallery"]["rows"] == 2


def test_embeddings_go_into_a_file_or_onto_standard_output(
    edge: Any, people: Path, embedder: Embedder, tmp_path: Path
) -> None:
    files = sorted((people / "staff").glob("*/c1.png"))[:2]
    wanted = embedder.embed(files, "rgb")
    assert edge("embed", *files, "--out", "e.npz").code == 0
    with np.load(tmp_path / "e.npz") as arrays:
        np.testing.assert_allclose(arrays["embeddings"], wanted, atol=1e-6)
        assert arrays["names"].tolist() == [str(file) for file in files]
        assert str(arrays["space_id"]) == embedder.space_id
    told = json.loads(edge("embed", *files, "--json").out)
    np.testing.assert_allclose(told["embeddings"], wanted, atol=1e-6)
