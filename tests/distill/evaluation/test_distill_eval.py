"""`distill eval`: a student on disk, its teacher's store, the data; what is told and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from distill.checkpoint import student_writer
from distill.evaluation.artifact import open_distilled
from distill.evaluation.coordinates import Coordinates, coordinates_of
from distill.evaluation.result import StudentReport, evaluate_student
from distill.evaluation.run import evaluate_run
from distill.evaluation.scores import Direction
from distill.settings import DistillRecipe
from distill.training.run import Run, Source, distil
from reid.dataset import Dataset
from reid.embeddings import EmbeddingStore, StoreWriter
from reid.errors import UserError
from reid.modality import Modality
from reid.sample import Split
from reid.subspace import Subspace
from student.checkpoint import load_student
from teacher.tiny.tokenizer import train_tokenizer

Recipes = Callable[..., DistillRecipe]
QUIET: Any = lambda line: None  # noqa: E731


def told_of(dataset: Dataset) -> list[str]:
    return [sample.text for sample in dataset.samples if sample.text is not None]


def distilled(source: Source, recipe: DistillRecipe, out: Path) -> Run:
    run = distil(source, "vit-micro", recipe, out, device="cpu", say=QUIET)
    assert run is not None
    with student_writer(run, out):
        pass
    return run


@pytest.fixture(scope="module")
def plain(source: Source, recipe: Recipes, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A student without a text student."""
    out = tmp_path_factory.mktemp("plain") / "student"
    return distilled(source, recipe("training.max_steps=2"), out), out


@pytest.fixture(scope="module")
def reading(source: Source, recipe: Recipes, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """One with."""
    out = tmp_path_factory.mktemp("reading") / "student"
    tokenizer = train_tokenizer(told_of(source.dataset), 300)
    changes = ("training.max_steps=2", "text.train=true", "text.layers=1", "text.width=32", "text.heads=2")
    return distilled(replace(source, tokenizer=lambda: tokenizer), recipe(*changes), out), out


def of(run: Run, **options: Any) -> Coordinates:
    module = run.module
    return coordinates_of(
        module.student, module.text, run.reader, run.subspace, run.source.store, run.source.dataset, **options
    )


def another_store(out: Path, samples: Any, model: str, data: str, embeddings: NDArray[np.float32]) -> EmbeddingStore:
    """A store of other rows, said to be of a model and of data."""
    writer = StoreWriter(
        out, samples, embeddings.shape[1], fingerprint={"model": model, "data": data}, writer={"command": "test"}
    )
    with writer as plan:
        plan.write(0, embeddings)
    return EmbeddingStore.open(out)


def test_coordinates_are_what_the_student_sees_and_what_the_store_holds(plain: tuple[Run, Path]) -> None:
    run, _ = plain
    coordinates = of(run, batch=5)
    dataset, store = run.source.dataset, run.source.store
    samples = [sample for sample in dataset.samples if sample.split not in (Split.TRAIN, Split.VAL)]
    assert list(coordinates.table.sample_id) == [sample.sample_id for sample in samples]
    preprocessing = run.module.student.preprocessing
    scale, shift = preprocessing.scale_and_shift()
    embeddings = dict(zip(store.table.sample_id, store.embeddings(), strict=True))
    for row, sample in enumerate(samples):
        stored = embeddings[sample.sample_id]
        np.testing.assert_array_equal(coordinates.teacher[row], stored)
        z = (
            stored / np.linalg.norm(stored) - run.subspace.mean[list(Modality).index(sample.modality)]
        ) @ run.subspace.basis
        np.testing.assert_allclose(coordinates.cloud[row], z, atol=1e-5)
        if sample.image is None:
            assert np.isnan(coordinates.edge[row]).all()
            assert not coordinates.answered[row]
            continue
        with Image.open(sample.image) as picture:
            assert picture.size == (preprocessing.width, preprocessing.height)
            pixels = np.asarray(picture.convert("RGB"), dtype=np.float32).transpose(2, 0, 1)
        seen = pixels * scale[:, None, None] + shift[:, None, None]
        with torch.no_grad():
            expected = run.module.student(torch.from_numpy(seen)[None])[0].numpy()
        np.testing.assert_allclose(coordinates.edge[row], expected, atol=1e-4)


def test_an_artifact_gives_the_same_as_the_run_that_wrote_it(reading: tuple[Run, Path]) -> None:
    run, out = reading
    expected = of(run)
    assert expected.answered.all()
    found = open_distilled(out, device="cpu", say=QUIET).coordinates()
    np.testing.assert_allclose(found.edge, expected.edge, atol=1e-5)
    np.testing.assert_array_equal(found.cloud, expected.cloud)
    assert str(evaluate_student(found)) == str(evaluate_student(expected))


def test_the_report_says_who_embeds_and_survives_json(plain: tuple[Run, Path], reading: tuple[Run, Path]) -> None:
    alone, both = (evaluate_student(of(run)) for run, _ in (plain, reading))
    assert "no text student" in str(alone)
    assert "no text student" not in str(both)
    for report, by in ((alone, Direction.CLOUD_TO_EDGE), (both, Direction.EDGE_TO_EDGE)):
        raw = json.loads(report.to_json())
        assert raw["deployed_by"]["text"] == str(by)
        assert raw["mean_cross_modal_mAP"] == pytest.approx(report.scores.mean_cross_modal())
        found = {(row["query"], row["gallery"]): row["mAP"] for row in raw["scores"][str(by)]}
        assert 100 * found["text", "rgb"] == pytest.approx(raw["deployed_mAP"]["text"])
        assert raw["prefix"]["lengths"][-1] == raw["rank"] == 8
    row = next(row for row in alone.score_rows() if row["query -> gallery"] == "text -> rgb")
    assert (row["edge to edge"], row["edge to cloud"]) == ("-", "-")
    assert "-" not in (row["cloud to edge"], row["teacher"], row["kept"])


def test_a_run_is_scored_by_its_test_people_or_else_by_its_validation_people(plain: tuple[Run, Path]) -> None:
    run, _ = plain

    def scored(*splits: Split) -> tuple[StudentReport | None, list[str]]:
        lines: list[str] = []
        samples = run.source.dataset.select(*splits)
        dataset = replace(run.source.dataset, samples=samples)
        found = evaluate_run(replace(run, source=replace(run.source, dataset=dataset)), say=lines.append)
        return (None if found is None else found[0]), lines

    tested, silent = scored()
    assert tested is not None
    assert (tested.who, tested.people, silent) == ("test people", 6, [])
    validated, lines = scored(Split.TRAIN, Split.VAL)
    assert validated is not None
    assert (validated.who, validated.people) == ("validation people", 2)
    assert "no test people" in lines[0]
    nobody, lines = scored(Split.TRAIN)
    assert nobody is None
    assert "not scored" in lines[0]
    with pytest.raises(UserError, match="nobody to ask for"):
        of(replace(run, source=replace(run.source, dataset=replace(run.source.dataset,
            samples=run.source.dataset.select(Split.TRAIN)))))  # fmt: skip


def test_the_command_prints_tables_and_writes_pictures(plain: tuple[Run, Path], tmp_path: Path, reid: Any) -> None:
    run, out = plain
    done = reid("distill", "eval", out, "--out", tmp_path / "eval", "--queries", 2, "--device", "cpu")
    assert done.code == 0, done.err
    report = str(evaluate_student(of(run)))
    assert done.out.startswith(report)
    assert (tmp_path / "eval" / "report.txt").read_text() == report + "\n"
    names = {path.name for path in (tmp_path / "eval").iterdir()}
    lists = {f"rank-list-{query}-to-rgb.png" for query in Modality}
    assert names == {"report.txt", "report.json", "prefix.png", *lists}
    for name in names:
        if name.endswith(".png"):
            with Image.open(tmp_path / "eval" / name) as picture:
                picture.verify()
    validated = reid("distill", "eval", out, "--val", "--device", "cpu")
    assert validated.out.startswith("2 validation people")


def test_a_store_that_has_moved_is_named_with_an_option(
    plain: tuple[Run, Path], people: Dataset, tmp_path: Path, reid: Any
) -> None:
    run, out = plain
    alone = tmp_path / "elsewhere" / "student"
    shutil.copytree(out, alone)
    manifest = json.loads((alone / "manifest.json").read_text())
    manifest["details"]["store"] = "no/such/place"
    (alone / "manifest.json").write_text(json.dumps(manifest))
    lost = reid("distill", "eval", alone, "--device", "cpu")
    assert lost.code == 2
    assert "--store" in lost.err
    found = reid("distill", "eval", alone, "--store", run.source.store.path, "--device", "cpu")
    assert found.code == 0, found.err
    other = another_store(
        tmp_path / "unknown", people.samples, "knowing", people.fingerprint(), run.source.store.embeddings() + 1
    )
    unknown = reid("distill", "eval", alone, "--store", other.path, "--data", people.root, "--device", "cpu")
    assert unknown.code == 2
    assert "nothing tells" in unknown.err


def test_other_data_of_the_same_teacher_is_scored_and_another_teacher_is_refused(
    plain: tuple[Run, Path], people: Dataset, tmp_path: Path
) -> None:
    run, out = plain
    embeddings = run.source.store.embeddings() + 1
    fingerprint = people.fingerprint()
    same = another_store(tmp_path / "same", people.samples, "knowing", fingerprint, embeddings)
    found = open_distilled(out, same.path, people, device="cpu", say=QUIET)
    subspace = Subspace.load(out / "subspace.safetensors")
    coordinates = found.coordinates()
    np.testing.assert_array_equal(coordinates.cloud, subspace.project(coordinates.teacher, coordinates.table.modality))
    other = another_store(tmp_path / "other", people.samples, "guessing", fingerprint, embeddings)
    with pytest.raises(UserError, match=r"another teacher than .* \(another model\)"):
        open_distilled(out, other.path, people, device="cpu", say=QUIET)


def test_what_is_no_student_or_has_a_broken_tokenizer_is_refused(
    plain: tuple[Run, Path], reading: tuple[Run, Path], tmp_path: Path, reid: Any
) -> None:
    store = plain[0].source.store.path
    refused = reid("distill", "eval", store, "--device", "cpu")
    assert refused.code == 2
    assert "expected 'student'" in refused.err
    broken = tmp_path / "student"
    shutil.copytree(reading[1], broken)
    tokenizer = broken / "text" / "tokenizer" / "tokenizer.json"
    tokenizer.write_bytes(b" " * tokenizer.stat().st_size)
    assert load_student(broken).config.dim == 8
    done = reid("distill", "eval", broken, "--store", store, "--device", "cpu")
    assert done.code == 2
    assert str(broken / "text" / "tokenizer") in done.err
