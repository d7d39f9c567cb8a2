"""`teacher eval`: its table is that of the protocols, its JSON is JSON, its pictures can be looked at."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from reid.dataset import Dataset
from reid.embeddings import EmbeddingStore, StoreWriter
from reid.evaluation import Evaluation, evaluate
from reid.modality import Modality
from reid.protocol import on_validation
from reid.sample import Sample, Split
from teacher.evaluation.report import Report, draw, report, save

RGB, IR, SKETCH, TEXT = Modality

FAINT = {RGB: 0.6, IR: 1.0, SKETCH: 1.4, TEXT: 2.0}
"""How much noise hides a person."""


def vectors(samples: Sequence[Sample]) -> NDArray[np.float32]:
    """A direction of each person under noise, so that no score is 0 or 1."""
    rng = np.random.default_rng(0)
    people = {person: rng.standard_normal(8) for person in sorted({s.person_id for s in samples})}
    found = [people[s.person_id] + FAINT[s.modality] * rng.standard_normal(8) for s in samples]
    return np.array(found, dtype=np.float32)


def make(out: Path, samples: Sequence[Sample], values: NDArray[np.floating], **more: Any) -> EmbeddingStore:
    with StoreWriter(out, samples, values.shape[1], fingerprint={}, writer={}, dtype="float32", **more) as plan:
        plan.write(0, values)
    return EmbeddingStore.open(out)


@pytest.fixture(scope="module")
def store(people: Dataset, tmp_path_factory: Any) -> EmbeddingStore:
    out = tmp_path_factory.mktemp("stores") / "store"
    values = vectors(people.samples)
    return make(out, people.samples, values, protocols=people.protocols, dataset=str(people.root))


def cells(table: str) -> dict[tuple[str, str], list[float]]:
    """(query, gallery) -> mAP, rank-1 and mINP, from the printed table."""
    header, _, *rows = table.splitlines()[1:]
    galleries = re.split(r"\s{2,}", header)[1:]
    found = {}
    for row in rows[: rows.index("")]:
        query, *values = re.split(r"\s{2,}", row)
        for gallery, value in zip(galleries, values, strict=True):
            if value != "-":
                found[query, gallery] = [float(part) for part in value.split("/")]
    return found


def figures(result: Evaluation) -> list[float]:
    return [100 * result.mean_ap, 100 * result.rank1, 100 * result.mean_inp]


@pytest.mark.parametrize("val", [False, True])
def test_the_figures_are_those_of_the_data_sets_protocols(val: bool, store: EmbeddingStore, people: Dataset) -> None:
    found = cells(str(report(store, val=val)))
    # Of one sketch and one sentence a person there is none to find.
    assert {(str(a), str(b)) for a in Modality for b in Modality} - found.keys() == {
        ("sketch", "sketch"),
        ("text", "text"),
    }
    protocols = [on_validation(p) if val else p for p in people.protocols]
    assert len(protocols) >= 4
    for protocol in protocols:
        expected = figures(evaluate(protocol, store.table, store.embeddings()))
        pair = (str(protocol.query.modalities[0]), str(protocol.gallery.modalities[0]))
        np.testing.assert_allclose(found[pair], expected, atol=0.051)


@pytest.mark.parametrize("val", [False, True])
def test_a_pair_without_a_protocol_is_what_loops_find(val: bool, store: EmbeddingStore) -> None:
    """Sketches among infrared images, by a literal reading of mAP, rank-1 and mINP."""
    table, values = store.table, store.embeddings().astype(np.float64)
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    splits = (Split.VAL,) if val else (Split.TEST, Split.QUERY, Split.GALLERY)
    rows = [row for row, split in enumerate(table.split) if split in splits]
    gallery = [row for row in rows if table.modality[row] is IR]
    scores = []
    for query in (row for row in rows if table.modality[row] is SKETCH):
        order = sorted(gallery, key=lambda row: -float(unit[query] @ unit[row]))
        places = [n for n, row in enumerate(order, 1) if table.person_id[row] == table.person_id[query]]
        precision = np.mean([n / place for n, place in enumerate(places, 1)])
        scores.append((precision, places[0] == 1, len(places) / places[-1]))
    assert val or 0.2 < np.mean(scores) < 0.95
    np.testing.assert_allclose(
        cells(str(report(store, val=val)))["sketch", "ir"], 100 * np.mean(scores, axis=0), atol=0.051
    )


def strict(path: Path) -> dict[str, Any]:
    """What a parser reads that knows neither NaN nor Infinity."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    return raw


def seen(folder: Path, rows: Iterable[tuple[str, Modality]]) -> Dataset:
    """Test samples of these people and modalities."""
    samples = []
    for number, (person, modality) in enumerate(rows):
        image = folder / f"{number}.png"
        Image.new("RGB", (8, 16), (number, 0, 0)).save(image)
        told = {"image": image} if modality.is_image else {"text": f"number {number}"}
        samples.append(Sample(image.name, person, modality, Split.TEST, **told))  # type: ignore[arg-type]
    return Dataset("test", folder, tuple(samples), ())


def report_on(dataset: Dataset, out: Path, values: NDArray[np.floating]) -> Report:
    """All that the command writes."""
    store = make(out / "store", dataset.samples, values)
    result = report(store)
    save(result, out)
    draw(result, store, dataset, out)
    return result


def test_modalities_that_no_person_has_both_of_are_null(tmp_path: Path) -> None:
    dataset = seen(tmp_path, [("a", RGB), ("a", IR), ("b", RGB), ("b", IR), ("c", SKETCH), ("c", RGB)])
    result = report_on(dataset, tmp_path, vectors(dataset.samples))
    gaps = {tuple(gap["modalities"]): gap for gap in strict(tmp_path / "report.json")["gaps"]}
    assert gaps["ir", "sketch"]["cosine_same"] is None
    assert isinstance(gaps["ir", "sketch"]["cosine_different"], float)
    assert all(isinstance(value, float) for key, value in gaps["rgb", "ir"].items() if key != "modalities")
    assert ("ir", "sketch") not in {
        (row["query"], row["gallery"]) for row in strict(tmp_path / "report.json")["scores"]
    }
    assert "nan" not in str(result).lower()


def test_one_person_alone_is_null(tmp_path: Path) -> None:
    dataset = seen(tmp_path, [("a", RGB), ("a", IR)])
    report_on(dataset, tmp_path, vectors(dataset.samples))
    (gap,) = strict(tmp_path / "report.json")["gaps"]
    assert gap["cosine_different"] is None


def test_a_space_that_has_collapsed_is_reported_and_drawn(tmp_path: Path) -> None:
    dataset = seen(tmp_path, [(person, modality) for person in "abcd" for modality in Modality])
    report_on(dataset, tmp_path, np.ones((16, 4)))
    assert all(gap["centre_distance"] == 0 for gap in strict(tmp_path / "report.json")["gaps"])
    assert looked_at(tmp_path) >= {"map.png", "rank-list-text-to-rgb.png"}


def looked_at(folder: Path) -> set[str]:
    """The pictures in a folder, each decoded to its last byte and not of one colour."""
    names = set()
    for path in folder.glob("*.png"):
        if not path.stem.isdecimal():
            with Image.open(path) as picture:
                low, high = picture.convert("L").getextrema()
                assert low != high, path
            names.add(path.name)
    return names


PICTURES = {"map.png", *(f"rank-list-{modality}-to-rgb.png" for modality in Modality)}


def test_the_command_prints_what_it_writes(store: EmbeddingStore, tmp_path: Path, reid: Any) -> None:
    done = reid("teacher", "eval", store.path, "--out", tmp_path / "report", "--queries", "2")
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / "report" / "report.txt").read_text() in done.out
    assert looked_at(tmp_path / "report") == PICTURES
    written = strict(tmp_path / "report" / "report.json")
    printed = cells(done.out)
    for row in written["scores"]:
        expected = [100 * row[name] for name in ("mAP", "rank-1", "mINP")]
        np.testing.assert_allclose(printed[row["query"], row["gallery"]], expected, atol=0.051)
    assert len(written["gaps"]) == 6


def test_a_checkpoint_is_embedded_once(
    people: Dataset, teacher_of: Callable[..., Path], tmp_path: Path, reid: Any
) -> None:
    words = ["teacher", "eval", teacher_of(), "--data", people.root, "--out", tmp_path, "--device", "cpu"]
    first = reid(*words)
    assert (first.code, first.err) == (0, "")
    assert looked_at(tmp_path) == PICTURES
    assert cells(first.out[first.out.index("mAP / rank-1") :]) == cells(
        str(report(EmbeddingStore.open(tmp_path / "embeddings")))
    )
    before = (tmp_path / "embeddings" / "manifest.json").stat().st_mtime_ns
    second = reid(*words)
    assert f"wrote {tmp_path / 'embeddings'}" in first.out
    assert f"wrote {tmp_path / 'embeddings'}" not in second.out
    assert (tmp_path / "embeddings" / "manifest.json").stat().st_mtime_ns == before
    other = reid(*words[:2], teacher_of(seed=2), *words[3:])
    assert other.code == 2
    assert other.err == f"error: {tmp_path / 'embeddings'}: was made with another model; embed the data again\n"


def test_a_checkpoint_without_data_is_refused(teacher_of: Callable[..., Path], tmp_path: Path, reid: Any) -> None:
    done = reid("teacher", "eval", teacher_of(), "--out", tmp_path / "report")
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "name it with --data" in done.err
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("option", [["--base", "somewhere"], ["--recipe", "mllmembed"], ["--merge"]])
def test_a_store_is_scored_as_it_is(option: list[str], store: EmbeddingStore, reid: Any) -> None:
    done = reid("teacher", "eval", store.path, *option)
    assert done.code == 2
    assert done.err == f"error: {option[0]}: {store.path} is a store, already embedded; give the checkpoint instead\n"


def test_a_place_that_cannot_be_written_is_refused(store: EmbeddingStore, tmp_path: Path, reid: Any) -> None:
    (tmp_path / "file").touch()
    done = reid("teacher", "eval", store.path, "--out", tmp_path / "file" / "report")
    assert done.code == 2
    assert (
        done.err
        == f"error: {tmp_path / 'file' / 'report'}: cannot be written (Not a directory); choose another place\n"
    )
