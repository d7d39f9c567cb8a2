"""The embedding store: resumed after a kill, refused when it is not what was asked for, exact when read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.artifact import read_manifest
from reid.embeddings import EmbeddingStore, StoreWriter, differing
from reid.errors import UserError
from reid.modality import Modality
from reid.protocol import cross_modal
from reid.sample import Sample, Split

FINGERPRINT = {"model": "m", "data": "d"}


def people(n: int) -> list[Sample]:
    return [
        Sample(f"{i}.jpg", f"p{i % 3}", Modality.RGB, Split.TEST, None if i % 4 == 0 else f"c{i % 2}", Path(f"{i}.jpg"))
        for i in range(n)
    ]


def vectors(samples, dim: int = 4) -> np.ndarray:
    """Embeddings that tell which sample they belong to."""
    return np.array([[int(s.sample_id.split(".")[0]) + 1, *range(1, dim)] for s in samples], dtype=np.float32)


def open_writer(out: Path, n: int = 10, fingerprint=FINGERPRINT, reverse: bool = False, **options) -> StoreWriter:
    settings = {"dtype": "float32", "shard_rows": 3, "protocols": [cross_modal("p", Modality.RGB, Modality.RGB)]}
    samples = people(n)[::-1] if reverse else people(n)
    return StoreWriter(out, samples, 4, fingerprint=fingerprint, writer={}, **{**settings, **options})


def make(out: Path, **options) -> EmbeddingStore:
    with open_writer(out, **options) as plan:
        for shard in plan.pending():
            plan.write(shard, vectors(plan.rows(shard)))
    return EmbeddingStore.open(out)


def test_rows_come_back_as_they_went_in(tmp_path: Path) -> None:
    store = make(tmp_path / "s")
    samples = people(10)
    assert len(store) == 10
    assert store.table.sample_id == [s.sample_id for s in samples]
    assert store.table.camera_id == [s.camera_id for s in samples]
    assert store.table.modality[0] is Modality.RGB
    np.testing.assert_array_equal(store.embeddings(), vectors(samples))
    np.testing.assert_array_equal(store.embeddings(np.array([9, 0, 4])), vectors([samples[9], samples[0], samples[4]]))
    assert store.protocols == (cross_modal("p", Modality.RGB, Modality.RGB),)
    assert store.fingerprint == FINGERPRINT


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 20), st.integers(1, 7), st.sampled_from(["float16", "float32"]), st.integers(0, 2**31))
def test_any_size_and_type_survives(tmp_path_factory, n: int, shard_rows: int, dtype: str, seed: int) -> None:
    out = tmp_path_factory.mktemp("stores") / "s"
    values = np.random.default_rng(seed).uniform(0.5, 100, (n, 5)).astype(np.float32)
    with StoreWriter(out, people(n), 5, fingerprint={}, writer={}, dtype=dtype, shard_rows=shard_rows) as plan:
        for shard in reversed(plan.pending()):
            plan.write(shard, values[shard * shard_rows : (shard + 1) * shard_rows])
    expected = values.astype(dtype).astype(np.float32)
    np.testing.assert_array_equal(EmbeddingStore.open(out).embeddings(), expected)


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(10)), st.integers(0, 10))
def test_rows_are_found_by_sample_id(tmp_path_factory, order: list[int], count: int) -> None:
    """In any order, in any shard, and whatever else is asked for."""
    out = tmp_path_factory.mktemp("stores") / "s"
    store = make(out, reverse=True)
    wanted = [f"{i}.jpg" for i in order[:count]]
    assert store.rows_of(wanted).tolist() == [store.table.sample_id.index(name) for name in wanted]
    np.testing.assert_array_equal(store.embeddings(store.rows_of(wanted))[:, 0], [i + 1 for i in order[:count]])
    assert store.find([*wanted, "nobody.jpg"]).tolist() == [*store.rows_of(wanted).tolist(), -1]


def test_a_sample_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no sample 'nobody.jpg' \(1 of 2 are missing\)"):
        make(tmp_path / "s").rows_of(["3.jpg", "nobody.jpg"])


def test_a_killed_run_computes_only_what_is_missing(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path; from test_embeddings import open_writer, vectors\n"
        "with open_writer(Path(sys.argv[1])) as plan:\n"
        "    for shard in plan.pending():\n"
        "        if shard == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        plan.write(shard, vectors(plan.rows(shard)))\n"
    )
    out = tmp_path / "s"
    done = subprocess.run([sys.executable, "-c", script, str(out), str(Path(__file__).parent)], check=False)
    assert done.returncode == -9
    assert not out.exists()
    with open_writer(out) as plan:
        assert plan.pending() == [2, 3]
        for shard in plan.pending():
            plan.write(shard, vectors(plan.rows(shard)))
    np.testing.assert_array_equal(EmbeddingStore.open(out).embeddings(), vectors(people(10)))
    assert "plan.json" not in read_manifest(out).files


def test_a_run_that_dies_while_finishing_is_not_taken_up_by_another_model(tmp_path: Path) -> None:
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[2]); from unittest.mock import patch\n"
        "from pathlib import Path; from test_embeddings import open_writer, vectors\n"
        "with patch('reid.artifact.sha256_of', lambda path: os._exit(9)), open_writer(Path(sys.argv[1])) as plan:\n"
        "    for shard in plan.pending(): plan.write(shard, vectors(plan.rows(shard)))\n"
    )
    out = tmp_path / "s"
    done = subprocess.run([sys.executable, "-c", script, str(out), str(Path(__file__).parent)], check=False)
    assert done.returncode == 9
    with pytest.raises(UserError, match="begun with another data, model"), open_writer(out, fingerprint={"model": "x"}):
        pass
    with open_writer(out) as plan:
        assert plan.pending() == []
    np.testing.assert_array_equal(EmbeddingStore.open(out).embeddings(), vectors(people(10)))


def test_shards_without_a_plan_belong_to_nobody(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), open_writer(tmp_path / "s") as plan:
        plan.write(0, vectors(plan.rows(0)))
        raise KeyboardInterrupt
    (tmp_path / "s.partial" / "plan.json").unlink()
    with pytest.raises(UserError, match="nobody knows whose shards"), open_writer(tmp_path / "s"):
        pass


def test_a_shard_that_was_cut_short_is_computed_again(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), open_writer(tmp_path / "s") as plan:
        plan.write(0, vectors(plan.rows(0)))
        plan.write(1, vectors(plan.rows(1)))
        raise KeyboardInterrupt
    shard = tmp_path / "s.partial" / "shard-00001.arrow"
    shard.write_bytes(shard.read_bytes()[:-40])
    with pytest.raises(KeyboardInterrupt), open_writer(tmp_path / "s") as plan:
        assert plan.pending() == [1, 2, 3]
        raise KeyboardInterrupt


def test_processes_share_the_shards_without_overlap(tmp_path: Path) -> None:
    with open_writer(tmp_path / "s") as plan:
        shares = [plan.pending(i, 3) for i in range(3)]
        assert sorted(shard for share in shares for shard in share) == [0, 1, 2, 3]
        for shard in plan.pending():
            plan.write(shard, vectors(plan.rows(shard)))


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"fingerprint": {"model": "other", "data": "d"}}, "model"),
        ({"fingerprint": {"model": "m", "data": "d", "prompt": "p"}}, "prompt"),
        ({"n": 9}, "rows"),
        ({"dtype": "float16"}, "dtype"),
        ({"reverse": True}, "samples"),
    ],
)
def test_going_on_with_other_settings_is_refused_by_name(tmp_path: Path, options, what: str) -> None:
    with pytest.raises(KeyboardInterrupt), open_writer(tmp_path / "s") as plan:
        plan.write(0, vectors(plan.rows(0)))
        raise KeyboardInterrupt
    with pytest.raises(UserError, match=f"begun with another {what}"), open_writer(tmp_path / "s", **options):
        pass
    with open_writer(tmp_path / "s") as plan:
        assert plan.pending() == [1, 2, 3]
        for shard in plan.pending():
            plan.write(shard, vectors(plan.rows(shard)))


def test_a_full_disk_is_one_line_and_the_next_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    with (
        pytest.raises(UserError, match=r"shard-00001\.arrow: cannot be written \(No space left"),
        open_writer(tmp_path / "s") as plan,
    ):
        plan.write(0, vectors(plan.rows(0)))
        # A full disk cannot be had in a test; the call that meets it first can.
        monkeypatch.setattr("reid.embeddings.os.fsync", full)
        plan.write(1, vectors(plan.rows(1)))
    monkeypatch.undo()
    assert [p.name for p in (tmp_path / "s.partial").glob("shard*")] == ["shard-00000.arrow"]
    with open_writer(tmp_path / "s") as plan:
        assert plan.pending() == [1, 2, 3]
        for shard in plan.pending():
            plan.write(shard, vectors(plan.rows(shard)))


def test_a_store_is_not_finished_while_shards_are_missing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 shards were not written"), open_writer(tmp_path / "s") as plan:
        plan.write(0, vectors(plan.rows(0)))
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, 70000.0, 0.0])
def test_unusable_embeddings_are_refused_with_their_ids(tmp_path: Path, value: float) -> None:
    with (
        pytest.raises(UserError, match=r"1 of 3 embeddings .*: 1\.jpg"),
        open_writer(tmp_path / "s", dtype="float16") as plan,
    ):
        rows = vectors(plan.rows(0))
        rows[1] = [value, 0, 0, 0]
        plan.write(0, rows)
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_shard_is_refused_at_open(tmp_path: Path) -> None:
    make(tmp_path / "s")
    shard = tmp_path / "s" / "shard-00001.arrow"
    shard.write_bytes(shard.read_bytes()[:-10])
    with pytest.raises(UserError, match=r"shard-00001\.arrow has \d+ bytes; expected"):
        EmbeddingStore.open(tmp_path / "s")


def test_another_fingerprint_is_refused_by_what_differs(tmp_path: Path) -> None:
    store = make(tmp_path / "s")
    store.expect_fingerprint(FINGERPRINT)
    with pytest.raises(UserError, match="made with another model, prompt;"):
        store.expect_fingerprint({"model": "x", "data": "d", "prompt": "p"})
    assert differing({"a": "1"}, {"b": "1"}) == ["a", "b"]


def test_verify_finds_flipped_bytes_and_drift(tmp_path: Path) -> None:
    store = make(tmp_path / "s")
    right = {s.sample_id: row for s, row in zip(people(10), vectors(people(10)), strict=True)}
    assert store.verify(lambda ids: np.stack([right[i] for i in ids])) == []
    right["7.jpg"] = np.array([1, -5, 0, 0], dtype=np.float32)
    (drift,) = store.verify(lambda ids: np.stack([right[i] for i in ids]))
    assert drift.startswith("7.jpg: recomputed with cosine")
    shard = tmp_path / "s" / "shard-00000.arrow"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    assert any("has changed" in problem for problem in store.verify())


def test_an_unknown_key_in_the_protocols_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "s")
    path = tmp_path / "s" / "protocols.json"
    text = path.read_text().replace('"trials"', '"trialz"')
    path.write_text(text)
    with pytest.raises(UserError, match="unknown key 'trialz'"):
        EmbeddingStore.open(tmp_path / "s")


def test_something_else_is_not_a_store(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({}))
    with pytest.raises(UserError, match=r"manifest\.json: not a manifest"):
        EmbeddingStore.open(tmp_path)
    with pytest.raises(UserError, match="expected an artifact"):
        EmbeddingStore.open(tmp_path / "nowhere")


def test_a_changed_protocols_file_is_one_line(tmp_path: Path) -> None:
    make(tmp_path / "s")
    path = tmp_path / "s" / "protocols.json"
    path.write_bytes(b"\xff" + path.read_bytes()[1:])
    with pytest.raises(UserError, match=r"protocols\.json: not readable"):
        EmbeddingStore.open(tmp_path / "s")
