"""Protocols run on embeddings: means over trials, what is printed and saved, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from reid.errors import UserError
from reid.evaluation import evaluate, format_table, mean_row, trial_embeddings
from reid.modality import Modality
from reid.protocol import Drop, Fuse, Protocol, Sampling, Select, cross_modal
from reid.sample import Split
from reid.table import SampleTable
from reid.trials import resolve

RGB, IR, TEXT = Modality.RGB, Modality.IR, Modality.TEXT


def world(people: int = 6, seed: int = 0) -> tuple[SampleTable, np.ndarray]:
    """Each person twice under camera 1 and 2 in RGB (gallery) and once in infrared and text (query)."""
    rng = np.random.default_rng(seed)
    rows, vectors = [], []
    for person in range(people):
        centre = rng.standard_normal(8)
        for modality, camera, copies in ((RGB, "1", 2), (RGB, "2", 2), (IR, "3", 1), (TEXT, None, 1)):
            for copy in range(copies):
                name = f"{modality}/{camera}/{person}_{copy}"
                rows.append((name, f"{person:04d}", modality, Split.TEST, camera, f"photo-{person}"))
                vectors.append(centre + rng.standard_normal(8))
    return SampleTable(*(list(column) for column in zip(*rows, strict=True))), np.array(vectors, dtype=np.float32)


def literal_map(protocol: Protocol, table: SampleTable, embeddings: np.ndarray) -> float:
    """mAP by loops over samples, without drop rules."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    queries = [i for i in range(len(table)) if table.modality[i] in protocol.query.modalities]
    gallery = [i for i in range(len(table)) if table.modality[i] in protocol.gallery.modalities]
    values = []
    for q in queries:
        order = sorted(gallery, key=lambda g: -float(unit[q] @ unit[g]))
        hits, precision = 0, []
        for place, g in enumerate(order, 1):
            if table.person_id[g] == table.person_id[q]:
                hits += 1
                precision.append(hits / place)
        values.append(sum(precision) / len(precision))
    return sum(values) / len(values)


def test_map_of_a_whole_protocol_equals_loops() -> None:
    table, embeddings = world()
    protocol = cross_modal("ir", IR, RGB)
    result = evaluate(protocol, table, embeddings)
    assert result.mean_ap == pytest.approx(literal_map(protocol, table, embeddings))
    assert 0.1 < result.mean_ap < 0.99


def test_length_of_embeddings_does_not_matter() -> None:
    table, embeddings = world()
    scaled = embeddings * np.random.default_rng(1).uniform(0.1, 9, (len(embeddings), 1)).astype(np.float32)
    protocol = cross_modal("ir", IR, RGB)
    assert evaluate(protocol, table, scaled).mean_ap == pytest.approx(evaluate(protocol, table, embeddings).mean_ap)
    assert embeddings.max() > 1.5  # the caller's array is not normalised in place


def test_trials_are_averaged_and_differ() -> None:
    table, embeddings = world()
    protocol = Protocol(
        "p", Select((IR,), (Split.TEST,)), Select((RGB,), (Split.TEST,)), trials=10, sampling=Sampling(1, ("1", "2"))
    )
    result = evaluate(protocol, table, embeddings)
    singles = [trial.mean_ap for trial in result.trials]
    assert len(set(singles)) > 1
    assert result.mean_ap == pytest.approx(np.mean(singles))
    assert "±" in result.row()["mAP"]


def test_the_cmc_is_averaged_over_trials() -> None:
    table, embeddings = world()
    protocol = Protocol(
        "p", Select((IR,), (Split.TEST,)), Select((RGB,), (Split.TEST,)), trials=10, sampling=Sampling(1, ("1", "2"))
    )
    result = evaluate(protocol, table, embeddings)
    # [10, 50]: the share of queries whose first positive stands at place k or before.
    found = np.array([[np.mean(t.ranking.cmc_place <= k) for k in range(1, 51)] for t in result.trials])
    np.testing.assert_allclose(result.cmc, found.mean(axis=0))
    assert all(abs(one[0] - result.rank1) > 1e-6 for one in (found[0], found[-1]))  # no single trial stands for all
    assert result.row()["rank-1"] == f"{100 * found[:, 0].mean():.2f}"


def test_queries_without_a_positive_are_skipped_and_counted() -> None:
    table, embeddings = world()
    keep = [i for i in range(len(table)) if not (table.modality[i] is RGB and table.person_id[i] == "0002")]
    smaller = SampleTable(*([column[i] for i in keep] for column in vars(table).values()))
    result = evaluate(cross_modal("ir", IR, RGB), smaller, embeddings[keep])
    assert (result.trials[0].queries, result.trials[0].skipped) == (5, 1)
    assert result.row()["queries"] == "5 (1 skipped)"


def test_no_positive_at_all_is_refused() -> None:
    table, embeddings = world()
    with pytest.raises(UserError, match="none of the 24 queries has a positive"):
        evaluate(cross_modal("p", RGB, RGB, drop=Drop.SAME_SOURCE), table, embeddings)


def test_unusable_embeddings_that_take_part_are_named_and_others_ignored() -> None:
    table, embeddings = world()
    text = table.modality.index(TEXT)
    embeddings[text] = np.nan
    evaluate(cross_modal("ir", IR, RGB), table, embeddings)
    with pytest.raises(UserError, match=f"embeddings are NaN, infinite or zero: {table.sample_id[text]};"):
        evaluate(cross_modal("text", TEXT, RGB), table, embeddings)


def test_fused_queries_are_the_mean_of_unit_vectors() -> None:
    table, embeddings = world(3)
    protocol = Protocol("p", Select((TEXT, IR), (Split.TEST,)), Select((RGB,), (Split.TEST,)), fuse=Fuse.SOURCE)
    trial = next(iter(resolve(protocol, table)))
    query, _ = trial_embeddings(trial, table, embeddings)
    members = [i for i in range(len(table)) if table.person_id[i] == "0000" and table.modality[i] in (TEXT, IR)]
    mean = sum(embeddings[i] / np.linalg.norm(embeddings[i]) for i in members)
    np.testing.assert_allclose(query[0], mean / np.linalg.norm(mean), atol=1e-6)
    assert query.shape == (3, 8)


def test_the_saved_file_carries_every_querys_places(tmp_path: Path) -> None:
    table, embeddings = world()
    result = evaluate(cross_modal("ir", IR, RGB, notes=("read me",)), table, embeddings)
    result.save(tmp_path / "r.json")
    raw = json.loads((tmp_path / "r.json").read_text())
    assert raw["mAP"] == pytest.approx(result.mean_ap)
    assert "read me" in raw["notes"]
    queries = raw["trials"][0]["per_query"]
    assert [q["samples"] for q in queries] == [[s] for s in table.sample_id if s.startswith("ir/")]
    for query in queries:
        assert query["ap"] == pytest.approx(np.mean([i / p for i, p in enumerate(query["places"], 1)]))
        assert len(query["places"]) == 4


def test_the_printed_table_says_the_protocol_and_its_notes() -> None:
    table, embeddings = world()
    text = str(evaluate(cross_modal("ir-to-rgb", IR, RGB, notes=("ten trials",), source="a paper"), table, embeddings))
    assert "ir-to-rgb" in text
    assert "- ten trials" in text
    assert "- source: a paper" in text
    assert "plain mean of the precision" in text


def test_columns_are_aligned() -> None:
    lines = format_table([{"a": "x", "b": "1"}, {"a": "long", "b": "10.5"}]).split("\n")
    assert lines == ["a        b", "----  ----", "x        1", "long  10.5"]


def test_the_mean_of_splits_is_the_mean_of_their_scores() -> None:
    results = [evaluate(cross_modal("ir", IR, RGB), *world(seed=seed)) for seed in range(3)]
    assert mean_row(results)["mAP"].startswith(f"{100 * np.mean([r.mean_ap for r in results]):.2f} ±")
