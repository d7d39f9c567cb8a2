"""Before and after: nothing is lost by nothing, who takes part, and what a broken graph costs."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from small_export import small_source

from export.crops import Crops
from export.parity.bars import BARS, judge, unmeasured
from export.parity.measure import compare
from export.parity.reference import reference_embeddings
from export.parity.retrieval import Retrieval, RetrievalTask, retrieval_table, retrieval_task
from export.source import Source
from reid.dataset import Dataset
from reid.datasets import open_dataset
from reid.evaluation import evaluate, format_table
from reid.matrix import score_pairs
from reid.modality import Modality
from reid.sample import Split
from reid.synthetic.world import World
from reid.synthetic.write import write_world

RGB, IR, SKETCH = Modality.RGB, Modality.IR, Modality.SKETCH


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return small_source(tmp_path_factory.mktemp("source") / "student")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    place = tmp_path_factory.mktemp("data") / "people"
    write_world(World(3, 16, cameras=2, per_camera=2), place, progress=False)
    return open_dataset(str(place))


def knowing(crops: Crops) -> NDArray[np.float32]:
    """Embeddings that tell people apart, all images of a person alike but for a little of their own."""
    rows = []
    for sample in crops.samples:
        person = np.random.default_rng(int(sample.person_id)).normal(size=16)
        own = np.random.default_rng(zlib.crc32(sample.sample_id.encode())).normal(size=16)
        rows.append(person + 0.6 * own)
    return np.array(rows, dtype=np.float32)


def noisy(crops: Crops) -> NDArray[np.float32]:
    rows = knowing(crops)
    return (rows + 1.5 * np.random.default_rng(0).normal(size=rows.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def task(dataset: Dataset, source: Source) -> RetrievalTask:
    found = retrieval_task(dataset, source, per_modality=None, embed_reference=knowing)
    assert found is not None
    return found


def test_the_student_itself_loses_nothing(dataset: Dataset, source: Source) -> None:
    found = retrieval_table(dataset, source, lambda crops: reference_embeddings(source, crops), per_modality=12)
    assert found is not None
    assert {(pair.query, pair.gallery) for pair in found.pairs} == {
        (q, g) for q in (RGB, IR, SKETCH) for g in (RGB, IR, SKETCH)
    }
    assert found.lost == 0
    assert all(pair.lost == pair.lost_mixed == 0 for pair in found.pairs)


def test_the_numbers_before_are_those_of_the_evaluation(task: RetrievalTask, dataset: Dataset) -> None:
    found = task.score(knowing)
    table, pairs = score_pairs(dataset, task.samples)
    for pair in found.pairs:
        result = evaluate(pairs[pair.query, pair.gallery], table, task.reference)
        assert pair.reference.mean_ap == pytest.approx(100 * result.mean_ap)
        assert pair.reference.rank1 == pytest.approx(100 * result.rank1)


def test_noise_loses_and_a_gallery_of_the_student_loses_otherwise(task: RetrievalTask) -> None:
    found = task.score(noisy)
    assert found.lost > 1
    assert any(pair.found != pair.mixed for pair in found.pairs)
    assert found.worst.lost == max(pair.lost for pair in found.pairs)
    rows = found.rows()
    assert rows[-1]["query -> gallery"] == "mean"
    assert float(rows[-1]["lost"]) == pytest.approx(found.lost, abs=0.01)
    assert len(format_table(rows).splitlines()) == len(found.pairs) + 3


def test_a_cap_takes_whole_people_in_every_modality_and_says_so(dataset: Dataset, source: Source) -> None:
    whole = retrieval_task(dataset, source, per_modality=None, embed_reference=knowing)
    capped = retrieval_task(dataset, source, per_modality=4, embed_reference=knowing)
    assert whole is not None
    assert capped is not None
    assert not whole.notes
    assert any("samples take part" in note for note in capped.notes)
    for modality in (RGB, IR, SKETCH):
        assert 0 < sum(sample.modality is modality for sample in capped.samples) <= 4
    people = {m: {s.person_id for s in capped.samples if s.modality is m} for m in (RGB, IR)}
    assert people[RGB] == people[IR]
    assert (RGB, RGB) in capped.pairs


def test_a_broken_graph_is_scored_and_told_of(task: RetrievalTask) -> None:
    found = task.score(lambda crops: np.full((len(crops), 16), np.nan, dtype=np.float32))
    assert found.lost > 0
    assert any("NaN or infinite" in note for note in found.notes)


def test_without_test_people_the_validation_people_are_asked(dataset: Dataset, source: Source) -> None:
    val = dataset.select(Split.TRAIN, Split.VAL)
    only = Dataset(dataset.kind, dataset.root, val, dataset.protocols)
    found = retrieval_task(only, source, embed_reference=knowing)
    people = {sample.person_id for sample in dataset.select(Split.VAL)}
    if not people:
        assert found is None
        return
    assert found is not None
    assert {sample.person_id for sample in found.samples} <= people
    assert "no test people" in found.notes[0]


def test_with_nobody_to_find_there_is_no_table(dataset: Dataset, source: Source) -> None:
    only = Dataset(dataset.kind, dataset.root, dataset.select(Split.TRAIN), ())
    assert retrieval_table(only, source, lambda crops: reference_embeddings(source, crops)) is None


def test_the_bar_on_map_names_mean_pair_and_what_was_expected(task: RetrievalTask) -> None:
    rows = np.eye(4, dtype=np.float32)
    parity = compare(rows, rows, [RGB] * 4)
    bad: Retrieval = task.score(noisy)
    (missed,) = judge(parity, bad, BARS["int8"])
    assert f"{bad.lost:.2f} points of mAP" in missed
    assert bad.worst.name in missed
    assert "expected at most 0.5" in missed
    assert judge(parity, bad, BARS["fp16"]) == []
    assert "not measured" in unmeasured(None, BARS["int8"])[0]
    assert unmeasured(None, BARS["fp16"]) == unmeasured(bad, BARS["int8"]) == []
